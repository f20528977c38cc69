//! The direct messages of this shard's sessions: live ones, and those of their inboxes.
//!
//! [`Inbox`] decides what one session is given and in which order; here it is asked of the store, and sent.
//!
//! Invariants:
//! - A session is given only what is for a name that it has by a right that holds at that moment.
//! - Where much waits for a session's socket, a stored message is left to the store and takes no memory here.
//! - A reading whose question the store had no room for asks again in its turn.

use std::{collections::VecDeque, sync::Arc};

use super::{
    event::DirectEvent,
    fanout::{Delivery, DirectQueue},
    inbox::{Inbox, Live},
    reading::{Step, Unread},
};
use crate::{
    chat::{
        Conversation, Direct, ErrorCode, GoodbyeCode, LostInterval, Position, Refusal, Reply, Seq, SessionId, ShardId,
        UserName,
    },
    history::{Ask, DirectPage, LogId, UserPair, Which},
    shard::{
        bus::directory::Directory,
        connection::{
            connections::Connections,
            session::{Proof, Session},
            write::Socket,
        },
        per_connection::PerConnection,
        store::{port::StorePort, returned::InboxAnswer, ticket::Ticket},
        time::Moment,
    },
};

/// The direct messages of one shard's sessions.
#[derive(Debug)]
pub(crate) struct Inboxes {
    shard: ShardId,
    /// To be delivered here.
    live: DirectQueue,
    /// Of sessions that have had to do with direct messages.
    inboxes: PerConnection<Box<Inbox>>,
    /// Sessions whose question the store had no room for, those first that have waited longest.
    refused: VecDeque<SessionId>,
}

/// The parts of the shard that inboxes need.
pub(crate) struct Parts<'a, S> {
    pub(crate) connections: &'a mut Connections<S>,
    pub(crate) store: &'a mut StorePort,
    pub(crate) directory: &'a Directory,
    pub(crate) now: Moment,
}

/// Whether a client may ask for the messages of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    ForEver,
    ForNow,
}

impl Inboxes {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            live: DirectQueue::default(),
            inboxes: PerConnection::default(),
            refused: VecDeque::new(),
        }
    }

    /// Queues a message for the sessions of a user here, which counts `bytes` in [`Directory::directs`].
    pub(crate) fn push(&mut self, user: UserName, except: SessionId, direct: Arc<DirectEvent>, bytes: usize) {
        self.live.push(user, except, direct, bytes);
    }

    /// Whether no live message waits to be delivered.
    pub(crate) fn is_delivered(&self) -> bool {
        self.live.is_empty()
    }

    pub(crate) fn begin_turn(&mut self) {
        self.live.begin_turn();
    }

    /// Delivers as many live messages as this turn may; whether it was any.
    pub(crate) fn deliver<S: Socket>(&mut self, parts: &mut Parts<'_, S>) -> bool {
        let mut any = false;
        while let Some(Delivery { session, user, direct }) = self.live.next(parts.directory, self.shard) {
            any = true;
            // It may have taken another name since it was found under this one, or somebody else may have claimed the name.
            let holds = parts.connections.session(session);
            if holds.is_some_and(|session| session.holds(&user, parts.store)) {
                self.deliver_to(session, &user, &direct, parts);
            }
        }
        any
    }

    /// Delivers all of them: nothing will be delivered later.
    pub(crate) fn deliver_all<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        while !self.live.is_empty() {
            self.live.begin_turn();
            self.deliver(parts);
        }
    }

    fn deliver_to<S: Socket>(
        &mut self,
        id: SessionId,
        user: &UserName,
        direct: &Arc<DirectEvent>,
        parts: &mut Parts<'_, S>,
    ) {
        // A session that reads by its name alone loses that right once the name has a key: nothing may be left to the store.
        let stored = parts.store.is_there() && parts.owns_inbox(id);
        if stored && parts.connections.is_full(id) {
            // All of it may be of this turn, and the socket has not been asked yet.
            parts.connections.write(id, parts.now);
        }
        let left_to_store = stored && parts.connections.is_full(id);
        let peer = peer_of(direct, user);
        let waits = match self.inboxes.get_mut(id) {
            Some(inbox) => inbox.live(direct, &peer, left_to_store) == Live::Wait,
            None => left_to_store && self.inboxes.entry(id).live(direct, &peer, true) == Live::Wait,
        };
        if !waits {
            self.show(id, direct, &peer, parts);
        }
    }

    fn show<S: Socket>(&mut self, id: SessionId, direct: &Arc<DirectEvent>, peer: &UserName, parts: &mut Parts<'_, S>) {
        let seq = direct.message.seq;
        if self.inboxes.get(id).is_some_and(|inbox| inbox.has(peer, seq)) {
            return;
        }
        parts.connections.show_direct(id, direct, parts.now);
        if parts.reads_inbox(id) && self.inboxes.entry(id).given(peer, seq) {
            self.note_delivered(id, peer.clone(), seq, parts);
        }
    }

    // ---------------------------------------------------------------- what is stored

    /// A session has come or has another name: it reads what is stored for the name, if it may.
    pub(crate) fn begin<S: Socket>(
        &mut self,
        id: SessionId,
        brought: Vec<(UserName, Position)>,
        parts: &mut Parts<'_, S>,
    ) {
        if parts.reads_inbox(id) {
            self.inboxes.entry(id).arrive(brought);
            self.read_on(id, parts);
        }
    }

    /// A session bears another name: it has nothing of that name's messages.
    pub(crate) fn renamed(&mut self, id: SessionId) {
        if let Some(inbox) = self.inboxes.get_mut(id) {
            inbox.renamed();
        }
    }

    /// A session is over. What was not given to it stays unread.
    pub(crate) fn remove(&mut self, id: SessionId) {
        self.inboxes.take(id);
    }

    /// What waited for a socket has been written: the reading may go on.
    pub(crate) fn written<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        self.read_on(id, parts);
    }

    /// Takes the next steps of a reading, up to a question to the store or its end.
    fn read_on<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        loop {
            let Some(inbox) = self.inboxes.get_mut(id) else { return };
            if parts.connections.is_full(id) {
                // It goes on when this much has been written.
                return;
            }
            let Some(session) = parts.connections.session(id) else {
                return;
            };
            let Some((number, step)) = inbox.next() else { return };
            let (user, bearer) = (session.name.clone(), session.bearer());
            let ask = match step {
                Step::Wait | Step::End => return,
                Step::Tell(direct) => {
                    let peer = peer_of(&direct, &user);
                    self.show(id, &direct, &peer, parts);
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
            let taken = parts.store.ask(ask, Ticket::Inbox { session: id, number });
            inbox.asked(taken);
            if !taken {
                self.refused.push_back(id);
            }
            return;
        }
    }

    /// Asks again what the store had no room for.
    pub(crate) fn retry<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        let mut waiting = std::mem::take(&mut self.refused);
        while let Some(id) = waiting.pop_front() {
            let Some(inbox) = self.inboxes.get_mut(id).filter(|inbox| inbox.is_refused()) else {
                continue;
            };
            inbox.answered();
            self.read_on(id, parts);
            if !self.refused.is_empty() {
                // Still full: the others keep their places.
                break;
            }
        }
        self.refused.append(&mut waiting);
    }

    /// The store has answered a reading, or could not.
    pub(crate) fn answer<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        answer: Result<InboxAnswer, Refusal>,
        parts: &mut Parts<'_, S>,
    ) {
        let holds = parts.connections.session(id);
        if answer.is_ok() && !holds.is_some_and(|session| session.holds_its_name(parts.store)) {
            // Somebody else has claimed its name. It is about to be renamed, which ends the reading.
            return;
        }
        let Some(inbox) = self.inboxes.get_mut(id).filter(|inbox| inbox.awaits(number)) else {
            return;
        };
        match answer {
            Ok(InboxAnswer::Waiting {
                user,
                conversations,
                more,
                unreadable,
            }) => {
                for (peer, lost) in inbox.found_waiting(&user, conversations, more) {
                    parts.tell_lost(id, &peer, lost, Lost::ForEver);
                }
                parts.tell_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Changed {
                conversations,
                next,
                unreadable,
            }) => {
                inbox.found_changed(conversations, next);
                parts.tell_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Page(None)) => return inbox.stop_reading(),
            Ok(InboxAnswer::Page(Some(page))) => self.give(id, page, parts),
            Err(refusal) => {
                let Some(unread) = inbox.unanswered() else { return };
                parts.refuse(id, refusal);
                match unread {
                    // What it is given counts as read with all that stands before: it has to come back for the rest.
                    _ if parts.is_read_by_name(id) => return parts.send_away(id),
                    // It had been told nothing of these: it comes back with its positions.
                    Unread::Left => return parts.send_away(id),
                    Unread::Rest(peer, interval) => parts.tell_lost(id, &peer, interval, Lost::ForNow),
                    // It sees from `prev` what it has not been given.
                    Unread::Waiting => {}
                }
            }
        }
        if let Some(inbox) = self.inboxes.get_mut(id) {
            inbox.answered();
            self.read_on(id, parts);
        }
    }

    /// Gives a session a page of the conversation at hand.
    fn give<S: Socket>(&mut self, id: SessionId, page: DirectPage, parts: &mut Parts<'_, S>) {
        let Some(user) = parts.connections.session(id).map(|session| session.name.clone()) else {
            return;
        };
        let peer = page.peer;
        let mut lost = page.lost.into_iter().peekable();
        let mut given: Option<Seq> = None;
        let mut is_all = true;
        for message in page.messages {
            if parts.connections.is_full(id) {
                // The rest is read again when what waits has been written.
                is_all = false;
                break;
            }
            while let Some(interval) = lost.next_if(|interval| interval.from < message.seq) {
                parts.tell_lost(id, &peer, interval, Lost::ForEver);
            }
            given = Some(message.seq);
            let to = if message.from == user {
                peer.clone()
            } else {
                user.clone()
            };
            parts.reply(id, &Reply::Direct(Arc::new(Direct { to, message })));
        }
        if is_all {
            for interval in lost {
                parts.tell_lost(id, &peer, interval, Lost::ForEver);
            }
        }
        let upto = if is_all { Some(page.upto) } else { given };
        if let Some(upto) = upto
            && let Some(inbox) = self.inboxes.get_mut(id)
            && inbox.given_page(&peer, upto, page.head.seq)
            && let Some(seq) = given
        {
            self.note_delivered(id, peer, seq, parts);
        }
    }

    // ---------------------------------------------------------------- what is read

    /// Where the dialect has no words for "read", the pong to a ping sent behind a message says that it arrived.
    fn note_delivered<S: Socket>(&mut self, id: SessionId, peer: UserName, seq: Seq, parts: &mut Parts<'_, S>) {
        if parts.is_read_by_name(id)
            && let Some(inbox) = self.inboxes.get_mut(id)
            && let Some(payload) = inbox.receipts().delivered(peer, seq)
        {
            parts.connections.ping_behind(id, payload);
        }
    }

    /// A pong acknowledges direct messages, or just that the peer lives.
    pub(crate) fn pong<S: Socket>(&mut self, id: SessionId, payload: &[u8], parts: &mut Parts<'_, S>) {
        let Some(session) = parts.connections.session(id) else {
            return;
        };
        let Some(inbox) = self.inboxes.get_mut(id) else { return };
        let (user, bearer) = (session.name.clone(), session.bearer());
        let (read, next) = inbox.receipts().pong(payload);
        for (peer, seq) in read {
            let ask = Ask::Mark {
                log: LogId::Pair(UserPair::of(&user, &peer)),
                user: user.clone(),
                seq,
                bearer,
            };
            // If the store is too busy the messages come once more, with the same ids.
            let _ = parts.store.ask(ask, Ticket::Silent(self.shard));
        }
        if let Some(payload) = next {
            parts.connections.ping_behind(id, payload);
        }
    }

    #[cfg(test)]
    pub(crate) fn live_bytes(&self, id: SessionId) -> usize {
        self.inboxes.get(id).map_or(0, |inbox| inbox.live_bytes())
    }
}

impl<S: Socket> Parts<'_, S> {
    fn reply(&mut self, id: SessionId, reply: &Reply) {
        self.connections.reply(id, None, reply, self.now);
    }

    fn refuse(&mut self, id: SessionId, refusal: Refusal) {
        self.reply(id, &Reply::Error(refusal));
    }

    /// Closes a session that has to come back for the rest of its messages.
    fn send_away(&mut self, id: SessionId) {
        self.connections.goodbye(id, None, GoodbyeCode::Busy, self.now);
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
        self.reply(id, &gap);
    }

    fn tell_unreadable(&mut self, id: SessionId, conversations: usize) {
        if conversations > 0 {
            let text = format!(
                "{conversations} of this user's direct conversations are damaged and cannot be read; the server's operator has to look"
            );
            self.refuse(id, ErrorCode::StoreFailed.because(text));
        }
    }

    fn owns_inbox(&self, id: SessionId) -> bool {
        let session = self.connections.session(id);
        session.is_some_and(|session| session.owns_inbox(self.connections.is_native(id), self.store))
    }

    /// Whether a session asks the store for the messages of its name.
    fn reads_inbox(&self, id: SessionId) -> bool {
        let said = |session: &Session| session.proof == Proof::Said;
        self.store.is_there()
            && (self.owns_inbox(id) || self.connections.session(id).is_some_and(said) && self.is_read_by_name(id))
    }

    /// Whether a connection's dialect has no keys, and what it is given counts as read.
    fn is_read_by_name(&self, id: SessionId) -> bool {
        self.connections.profile(id).is_some_and(|profile| profile.mail_by_name)
    }
}

/// The other user of a direct message.
fn peer_of(direct: &Direct, user: &UserName) -> UserName {
    if direct.message.from == *user {
        direct.to.clone()
    } else {
        direct.message.from.clone()
    }
}
