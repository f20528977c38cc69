//! What the engine does with direct messages: it delivers them to sessions, and reads the inbox of sessions from the store.
//!
//! [`Inbox`] decides what is read and in which order; this asks the store and sends what it answers.

use std::sync::Arc;

use crate::shard::{
    connection::session::Proof,
    connection::write::Socket,
    direct::event::DirectEvent,
    direct::fanout::Delivery,
    direct::inbox::{Inbox, Live},
    direct::reading::{Step, Unread},
    engine::{Clock, Engine},
    store::{returned::InboxAnswer, ticket::Ticket},
};
use crate::{
    chat::{Conversation, Direct, ErrorCode, GoodbyeCode, Position, Refusal, Reply, Seq, SessionId, UserName},
    history::{Ask, DirectPage, LogId, LostInterval, UserPair, Which},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Delivers as much of the queue as this turn may. Whether it was anything.
    pub(crate) fn deliver_directs(&mut self) -> bool {
        let mut any = false;
        while let Some(Delivery { session, user, direct }) = self.directs.next(&self.directory, self.me) {
            any = true;
            // It may have taken another name since it was found under this one, or somebody else may have claimed the name.
            if self.holds_name(session, &user) {
                self.deliver_direct(session, &direct);
            }
        }
        any
    }

    /// Delivers the whole queue: nothing will be delivered later.
    pub(crate) fn deliver_all_directs(&mut self) {
        while !self.directs.is_empty() {
            self.directs.begin_turn();
            self.deliver_directs();
        }
    }

    /// A session has come that may read the messages stored for its name.
    pub(crate) fn read_inbox(&mut self, id: SessionId, brought: Vec<(UserName, Position)>) {
        if let Some(session) = self.session(id) {
            session.inbox.get_or_insert_default().arrive(brought);
        }
        self.read_inbox_on(id);
    }

    fn inbox(&mut self, id: SessionId) -> Option<&mut Inbox> {
        self.session(id)?.inbox.as_deref_mut()
    }

    /// The inbox to which an answer of the store belongs.
    fn awaiting(&mut self, id: SessionId, number: u32) -> Option<&mut Inbox> {
        self.inbox(id).filter(|inbox| inbox.awaits(number))
    }

    /// An answer has been used: the reading goes on.
    fn inbox_answered(&mut self, id: SessionId) {
        if let Some(inbox) = self.inbox(id) {
            inbox.answered();
            self.read_inbox_on(id);
        }
    }

    /// The store has answered a reading, or could not.
    pub(crate) fn inbox_answer(&mut self, id: SessionId, number: u32, answer: Result<InboxAnswer, Refusal>) {
        if answer.is_ok() && !self.holds_its_name(id) {
            // Somebody else has claimed its name. It is about to be renamed, which ends the reading.
            return;
        }
        let Some(inbox) = self.awaiting(id, number) else { return };
        match answer {
            Ok(InboxAnswer::Waiting {
                user,
                conversations,
                more,
                unreadable,
            }) => {
                for (peer, lost) in inbox.found_waiting(&user, conversations, more) {
                    self.tell_lost(id, &peer, lost, Lost::ForEver);
                }
                self.say_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Changed {
                conversations,
                next,
                unreadable,
            }) => {
                inbox.found_changed(conversations, next);
                self.say_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Page(None)) => return inbox.stop_reading(),
            Ok(InboxAnswer::Page(Some(page))) => self.inbox_page(id, page),
            Err(refusal) => {
                let Some(unread) = inbox.unanswered() else { return };
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
            }
        }
        self.inbox_answered(id);
    }

    /// Takes the next steps of a reading, up to a question to the store or its end.
    fn read_inbox_on(&mut self, id: SessionId) {
        loop {
            if self.connections.is_full(id) {
                // It goes on when this much has been written.
                return;
            }
            let Some(session) = self.session(id) else { return };
            let (user, bearer) = (session.name.clone(), session.bearer());
            let Some(inbox) = session.inbox.as_mut() else { return };
            let Some((number, step)) = inbox.next() else { return };
            let ask = match step {
                Step::Wait | Step::End => return,
                Step::Tell(direct) => {
                    let peer = peer_of(&direct, &user);
                    self.show_live(id, &direct, &peer);
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
            let taken = self.store.ask(ask, Ticket::Inbox { session: id, number });
            if let Some(inbox) = self.inbox(id) {
                inbox.asked(taken);
            }
            if !taken {
                self.refused_inboxes.push_back(id);
            }
            return;
        }
    }

    /// Asks again what the store had no room for, those first that have waited longest.
    pub(crate) fn retry_inboxes(&mut self) {
        let mut waiting = std::mem::take(&mut self.refused_inboxes);
        while let Some(id) = waiting.pop_front() {
            let Some(inbox) = self.inbox(id).filter(|inbox| inbox.is_refused()) else {
                continue;
            };
            inbox.answered();
            self.read_inbox_on(id);
            if !self.refused_inboxes.is_empty() {
                // Still full: the others keep their places.
                break;
            }
        }
        self.refused_inboxes.append(&mut waiting);
    }

    /// A page of the conversation at hand.
    fn inbox_page(&mut self, id: SessionId, page: DirectPage) {
        let Some(user) = self.session(id).map(|session| session.name.clone()) else {
            return;
        };
        let peer = page.peer;
        let mut lost = page.lost.into_iter().peekable();
        let mut given: Option<Seq> = None;
        let mut is_all = true;
        for talk in page.talks {
            if self.connections.is_full(id) {
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
        if let Some(upto) = upto
            && let Some(inbox) = self.inbox(id)
            && inbox.given_page(&peer, upto, page.head.seq)
            && let Some(seq) = given
        {
            self.note_delivered(id, peer, seq);
        }
    }

    /// What waited has been written: the reading may go on.
    pub(crate) fn inbox_after_write(&mut self, id: SessionId) {
        if self.inbox(id).is_some() {
            self.read_inbox_on(id);
        }
    }

    /// A live direct message for a session: at once, or behind stored ones. When much waits for the session's socket already and
    /// the message is stored, it is left to the store and takes no memory here.
    fn deliver_direct(&mut self, id: SessionId, direct: &Arc<DirectEvent>) {
        // A session that reads by its name alone loses that right once the name has a key: nothing may be left to the store.
        let stored = self.store.is_there() && self.owns_inbox(id);
        if stored && self.connections.is_full(id) {
            // All of it may be of this turn, and the socket has not been asked yet.
            self.write(id);
        }
        let left_to_store = stored && self.connections.is_full(id);
        let Some(session) = self.session(id) else { return };
        let peer = peer_of(direct, &session.name);
        let waits = match &mut session.inbox {
            Some(inbox) => inbox.live(direct, &peer, left_to_store) == Live::Wait,
            None if left_to_store => session.inbox.insert(Default::default()).live(direct, &peer, true) == Live::Wait,
            None => false,
        };
        if !waits {
            self.show_live(id, direct, &peer);
        }
    }

    fn show_live(&mut self, id: SessionId, direct: &Arc<DirectEvent>, peer: &UserName) {
        let seq = direct.talk.seq;
        if self.inbox(id).is_some_and(|inbox| inbox.has(peer, seq)) {
            return;
        }
        self.show_direct(id, direct);
        if !self.reads_inbox(id) {
            return;
        }
        if let Some(session) = self.session(id)
            && session.inbox.get_or_insert_default().given(peer, seq)
        {
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

    /// Whether a session asks the store for the messages of its name.
    pub(crate) fn reads_inbox(&self, id: SessionId) -> bool {
        let connection = self.connections.get(id);
        let session = connection.and_then(|connection| connection.session());
        let said = session.is_some_and(|session| session.proof == Proof::Said);
        self.store.is_there() && (self.owns_inbox(id) || said && self.is_read_by_name(id))
    }

    /// Whether a connection's dialect has no keys, and what it is given counts as read.
    pub(crate) fn is_read_by_name(&self, id: SessionId) -> bool {
        self.connections.profile(id).is_some_and(|profile| profile.mail_by_name)
    }

    /// Where the dialect has no words for "read", the pong to a ping sent behind a message says that it arrived.
    fn note_delivered(&mut self, id: SessionId, peer: UserName, seq: Seq) {
        if self.is_read_by_name(id)
            && let Some(inbox) = self.inbox(id)
            && let Some(payload) = inbox.receipts().delivered(peer, seq)
        {
            self.ping_behind(id, payload);
        }
    }

    /// Sends a ping behind what was sent before, not ahead of it as other control frames.
    fn ping_behind(&mut self, id: SessionId, payload: [u8; 4]) {
        self.connections.ping_behind(id, payload);
    }

    /// A pong acknowledges direct messages, or just that the peer lives.
    pub(crate) fn pong(&mut self, id: SessionId, payload: &[u8]) {
        let Some(session) = self.session(id) else { return };
        let (user, bearer) = (session.name.clone(), session.bearer());
        let Some(inbox) = session.inbox.as_mut() else { return };
        let (read, next) = inbox.receipts().pong(payload);
        for (peer, seq) in read {
            let ask = Ask::Mark {
                log: LogId::Pair(UserPair::of(&user, &peer)),
                user: user.clone(),
                seq,
                bearer,
            };
            // If the store is too busy the messages come once more, with the same ids.
            let _ = self.store.ask(ask, Ticket::Silent(id.shard()));
        }
        if let Some(payload) = next {
            self.ping_behind(id, payload);
        }
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
