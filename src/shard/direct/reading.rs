//! Stored direct messages on their way to a device: those that waited when it came, and those that were left to the store because
//! its socket was slow.
//!
//! A session is registered first and its stored messages are read then; what arrives in between waits behind them, so each
//! conversation comes in the order of its numbers and nothing comes twice. [`crate::shard::direct::device`] decides what is read; this
//! asks the store and gives what it answers. A session that does not read costs one page of memory.

use std::sync::Arc;

use crate::shard::{
    connection::naming::Proof,
    connection::state::Phase,
    connection::write::Socket,
    direct::device::{Mail, Step, Unread},
    direct::event::DirectEvent,
    engine::{Clock, Engine},
    store::port::Ticket,
};
use crate::{
    chat::{Conversation, Direct, ErrorCode, GoodbyeCode, Position, Refusal, Reply, Seq, SessionId, UserName},
    history::{Ask, ChangedConversation, ChangedUpTo, ConversationHead, DirectPage, LostInterval, Which},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session has come that may read the messages stored for its name.
    pub(crate) fn read_mail(&mut self, id: SessionId, brought: Vec<(UserName, Position)>) {
        if let Some(session) = self.session(id) {
            session.readings = session.readings.wrapping_add(1);
            session.mail = Some(Box::new(Mail::arrived(session.readings, brought)));
        }
        self.mail_on(id);
    }

    /// Whether an answer belongs to the reading that is under way.
    fn awaits(&mut self, id: SessionId, number: u32) -> bool {
        self.mail(id).is_some_and(|mail| mail.number() == number)
    }

    /// An answer has been used: the reading goes on.
    fn mail_answered(&mut self, id: SessionId) {
        if let Some(mail) = self.mail(id) {
            mail.answered();
            self.mail_on(id);
        }
    }

    /// The conversations of a session's user in which something waits are known; with `more` there are others, for the next
    /// time.
    pub(crate) fn mail_found(
        &mut self,
        id: SessionId,
        number: u32,
        user: &UserName,
        (conversations, more): (Vec<ConversationHead>, bool),
        unreadable: usize,
    ) {
        if !self.awaits(id, number) {
            return;
        }
        let Some(session) = self.session(id) else { return };
        let Some(mail) = session.mail.as_mut() else { return };
        let gaps = mail.found_waiting(&mut session.device, user, conversations, more);
        for (peer, lost) in gaps {
            self.tell_lost(id, &peer, lost, Lost::ForEver);
        }
        self.say_unreadable(id, unreadable);
        self.mail_answered(id);
    }

    /// Conversations in which somebody wrote since messages were left to the store are known.
    pub(crate) fn mail_changed(
        &mut self,
        id: SessionId,
        number: u32,
        conversations: Vec<ChangedConversation>,
        next: Option<ChangedUpTo>,
        unreadable: usize,
    ) {
        if !self.awaits(id, number) {
            return;
        }
        let Some(session) = self.session(id) else { return };
        let Some(mail) = session.mail.as_mut() else { return };
        mail.found_changed(session.device.as_deref(), conversations, next);
        self.say_unreadable(id, unreadable);
        self.mail_answered(id);
    }

    /// Takes the next steps of a reading, up to a question to the store or its end.
    fn mail_on(&mut self, id: SessionId) {
        loop {
            if self.is_full(id) {
                // It goes on when this much has been written.
                return;
            }
            let Some(session) = self.session(id) else { return };
            let (user, bearer) = (session.name.clone(), session.bearer());
            let Some(mail) = session.mail.as_mut() else { return };
            let number = mail.number();
            let ask = match mail.next(session.device.as_deref()) {
                Step::Wait => return,
                Step::End => {
                    session.mail = None;
                    return;
                }
                Step::Tell(direct) => {
                    let peer = peer_of(&direct, &user);
                    self.tell_session(id, &direct, &peer);
                    continue;
                }
                Step::Waiting(known) => Ask::Conversations {
                    user,
                    which: Which::Mail { bearer, known },
                },
                Step::Changed { since, after } => Ask::Changed {
                    user,
                    bearer,
                    since,
                    after,
                },
                Step::Page { peer, after } => Ask::Direct {
                    user,
                    bearer,
                    peer,
                    after,
                },
            };
            let taken = self.ask_store(ask, Ticket::Mail { session: id, number });
            if let Some(mail) = self.mail(id) {
                if taken {
                    mail.asked();
                } else {
                    mail.refused();
                    self.refused_mail.push_back(id);
                }
            }
            return;
        }
    }

    /// Asks again what the store had no room for, those first that have waited longest.
    pub(crate) fn retry_mail(&mut self) {
        let mut waiting = std::mem::take(&mut self.refused_mail);
        while let Some(id) = waiting.pop_front() {
            let Some(mail) = self.mail(id).filter(|mail| mail.is_refused()) else {
                continue;
            };
            mail.answered();
            self.mail_on(id);
            if !self.refused_mail.is_empty() {
                // Still full: the others keep their places.
                break;
            }
        }
        self.refused_mail.append(&mut waiting);
    }

    /// A page of the conversation at hand; `None`: the name has a key now, and the session has not shown it.
    pub(crate) fn mail_page(&mut self, id: SessionId, number: u32, page: Option<DirectPage>) {
        if !self.awaits(id, number) {
            return;
        }
        let Some(page) = page else {
            if let Some(session) = self.session(id) {
                session.mail = None;
            }
            return;
        };
        let Some(user) = self.session(id).map(|session| session.name.clone()) else {
            return;
        };
        let peer = page.peer;
        let mut lost = page.lost.into_iter().peekable();
        let mut given: Option<Seq> = None;
        let mut is_all = true;
        for talk in page.talks {
            if self.is_full(id) {
                // The rest is read again when what waits has been written.
                is_all = false;
                break;
            }
            while let Some(interval) = lost.next_if(|interval| interval.from < talk.seq) {
                self.tell_lost(id, &peer, interval, Lost::ForEver);
            }
            given = Some(talk.seq);
            let to = if talk.from == user { peer.clone() } else { user.clone() };
            self.reply(id, None, &Reply::Direct(Arc::new(Direct { to, talk })));
        }
        if is_all {
            for interval in lost {
                self.tell_lost(id, &peer, interval, Lost::ForEver);
            }
        }
        let upto = if is_all { Some(page.upto) } else { given };
        if let Some(session) = self.session(id)
            && let Some(mail) = session.mail.as_mut()
            && let Some(upto) = upto
        {
            let device = session.device.get_or_insert_default();
            mail.given(device, upto, page.head.seq);
            if device.is_whole(&peer)
                && let Some(seq) = given
            {
                self.note_delivered(id, peer, seq);
            }
        }
        self.mail_answered(id);
    }

    /// What waited has been written: the reading may go on.
    pub(crate) fn mail_after_write(&mut self, id: SessionId) {
        if self.mail(id).is_some() {
            self.mail_on(id);
        }
    }

    /// The store could not answer. What can be named is a gap, and the reading goes on behind it.
    pub(crate) fn mail_failed(&mut self, id: SessionId, number: u32, refusal: Refusal) {
        if !self.awaits(id, number) {
            return;
        }
        let Some(session) = self.session(id) else { return };
        let device = session.device.get_or_insert_default();
        let Some(mail) = session.mail.as_mut() else { return };
        let unread = mail.unanswered(device);
        self.refuse(id, None, refusal);
        match unread {
            // What it is given counts as read with all that stands before: it has to come back for the rest.
            _ if self.is_read_by_name(id) => return self.goodbye(id, None, GoodbyeCode::Busy),
            // It had been told nothing of these: it comes back with its positions.
            Unread::Left => return self.goodbye(id, None, GoodbyeCode::Busy),
            Unread::Rest(peer, interval) => self.tell_lost(id, &peer, interval, Lost::ForNow),
            // It sees from `prev` what it has not been given.
            Unread::Waiting => {}
        }
        self.mail_answered(id);
    }

    /// A direct message for a session: at once, or behind stored ones. When much waits for the session's socket already and the
    /// message is stored, it is read from there as fast as the client reads, and takes no memory here.
    pub(crate) fn direct_to(&mut self, id: SessionId, direct: &Arc<DirectEvent>) {
        // Those whose mail goes by their name alone are not given it once the name has a key: nothing may be left to it.
        let stored = self.store.is_some() && self.owns_mail(id);
        if stored && self.is_full(id) {
            // All of it may be of this turn, and the socket has not been asked yet.
            self.write(id);
        }
        let from_store = stored && self.is_full(id);
        let Some(session) = self.session(id) else { return };
        let peer = peer_of(direct, &session.name);
        if session.mail.is_none() && !from_store {
            return self.tell_session(id, direct, &peer);
        }
        if session.mail.is_none() {
            session.readings = session.readings.wrapping_add(1);
        }
        let number = session.readings;
        let mail = session.mail.get_or_insert_with(|| Box::new(Mail::behind(number)));
        mail.wait(direct, &peer);
    }

    fn tell_session(&mut self, id: SessionId, direct: &Arc<DirectEvent>, peer: &UserName) {
        let seq = direct.talk.seq;
        if self
            .session(id)
            .and_then(|session| session.device.as_ref())
            .is_some_and(|device| device.has(peer, seq))
        {
            // The store was faster than the way here.
            return;
        }
        self.show_direct(id, direct);
        if !self.reads_mail(id) {
            return;
        }
        let Some(session) = self.session(id) else { return };
        let device = session.device.get_or_insert_default();
        device.given(peer, seq);
        if device.is_whole(peer) {
            self.note_delivered(id, peer.clone(), seq);
        }
    }

    fn tell_lost(&mut self, id: SessionId, peer: &UserName, interval: LostInterval, lost: Lost) {
        let LostInterval { epoch, from, to } = interval;
        let gap = Reply::Gap {
            conversation: Conversation::Peer(peer.clone()),
            epoch,
            from,
            to,
            lost: lost == Lost::ForEver,
        };
        self.reply(id, None, &gap);
    }

    fn say_unreadable(&mut self, id: SessionId, conversations: usize) {
        if conversations > 0 {
            let text = format!(
                "{conversations} of this user's direct conversations are damaged and cannot be read; the server's operator has to look"
            );
            self.refuse(id, None, ErrorCode::StoreFailed.because(text));
        }
    }

    /// Whether as much waits for a session's socket as may before it is given more.
    fn is_full(&self, id: SessionId) -> bool {
        self.private_bytes(id) > self.private_most()
    }

    /// Whether a session asks the store for the messages of its name.
    pub(crate) fn reads_mail(&self, id: SessionId) -> bool {
        let connection = self.connections.get(id);
        let session = connection.and_then(|connection| connection.session());
        let said = session.is_some_and(|session| session.proof == Proof::Said);
        self.store.is_some() && (self.owns_mail(id) || said && self.is_read_by_name(id))
    }

    /// Whether a connection's dialect has no keys, and what it is given counts as read.
    pub(crate) fn is_read_by_name(&self, id: SessionId) -> bool {
        let phase = self.connections.get(id).map(|connection| connection.phase());
        match phase {
            Some(Phase::Open(speaking)) => self.profiles[usize::from(speaking.dialect)].mail_by_name,
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => false,
        }
    }

    /// Bytes of direct messages that wait in memory behind those that a session is given from the store.
    #[cfg(test)]
    pub(crate) fn mail_behind(&mut self, id: SessionId) -> usize {
        self.mail(id).map_or(0, |mail| mail.live_bytes())
    }

    fn mail(&mut self, id: SessionId) -> Option<&mut Mail> {
        self.session(id)?.mail.as_deref_mut()
    }
}

/// Whether a client may ask for the messages of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    ForEver,
    ForNow,
}

/// Who the other one is.
fn peer_of(direct: &Direct, user: &UserName) -> UserName {
    if direct.talk.from == *user {
        direct.to.clone()
    } else {
        direct.talk.from.clone()
    }
}
