//! The direct messages of all sessions of this shard. [`DirectInbox`] decides for one session; this file asks the store and
//! sends.
//!
//! Invariants:
//! - A session gets a direct message only if its right to its name is valid at that moment.
//! - While too many bytes wait for a session's socket, its stored messages stay in the store and take no memory here.
//! - A session whose question the store refused, because its queue was full, asks again, first come, first served.

use std::{collections::VecDeque, sync::Arc};

use super::{
    backfill::{Step, Unread},
    fanout::{Delivery, DirectQueue},
    inbox::DirectInbox,
};
use crate::{
    chat::{
        Conversation, Direct, ErrorCode, GoodbyeCode, LostInterval, Position, Refusal, Reply, Seq, SessionId, ShardId,
        UserId,
    },
    history::{ConversationFilter, DirectPage, LogId, Query, UserPair},
    shard::{
        connection::{
            session::{Proof, Session},
            write::Socket,
        },
        event::direct::DirectEvent,
        parts::Parts,
        per_connection::PerConnection,
        store::{returned::InboxAnswer, ticket::Ticket},
    },
};

/// The direct messages of one shard.
#[derive(Debug)]
pub(crate) struct DirectInboxes {
    shard: ShardId,
    live: DirectQueue,
    /// Only for sessions that have got a direct message or have read stored ones.
    inboxes: PerConnection<Box<DirectInbox>>,
    /// The sessions whose question the store refused, oldest first.
    refused: VecDeque<SessionId>,
}

/// Whether the messages of a gap can be read later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    ForEver,
    ForNow,
}

impl DirectInboxes {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            live: DirectQueue::default(),
            inboxes: PerConnection::default(),
            refused: VecDeque::new(),
        }
    }

    /// Queues a message for the sessions of a user here; its share of [`crate::shard::bus::directory::Directory::directs`] is
    /// `bytes`.
    pub(crate) fn push(&mut self, user: UserId, except: SessionId, direct: Arc<DirectEvent>, bytes: usize) {
        self.live.push(user, except, direct, bytes);
    }

    /// Whether the queue of live messages is empty.
    pub(crate) fn is_delivered(&self) -> bool {
        self.live.is_empty()
    }

    pub(crate) fn begin_turn(&mut self) {
        self.live.begin_turn();
    }

    /// Delivers live messages up to the limit of a turn. Returns whether there was one.
    pub(crate) fn deliver<S: Socket>(&mut self, parts: &mut Parts<'_, S>) -> bool {
        let mut any = false;
        while let Some(Delivery { session, user, direct }) = self.live.next(parts.directory, self.shard) {
            any = true;
            // Since the look-up the session may have been renamed, or somebody else may have claimed its name.
            let holds = parts.connections.session(session);
            if holds.is_some_and(|session| session.holds(&user, parts.store)) {
                self.deliver_to(session, &user, &direct, parts);
            }
        }
        any
    }

    /// Delivers the whole queue, before the server ends.
    pub(crate) fn deliver_all<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        while !self.live.is_empty() {
            self.live.begin_turn();
            self.deliver(parts);
        }
    }

    fn deliver_to<S: Socket>(
        &mut self,
        id: SessionId,
        user: &UserId,
        direct: &Arc<DirectEvent>,
        parts: &mut Parts<'_, S>,
    ) {
        // Only a session that owns its inbox may skip: any other loses the right to read the store when somebody claims its name.
        let stored = parts.store.is_there() && parts.owns_inbox(id);
        if stored && parts.connections.is_full(id) {
            // These bytes may be from this turn, so the socket may have room for them.
            parts.connections.write(id, parts.now);
        }
        let skip = stored && parts.connections.is_full(id);
        let peer = peer_of(direct, user);
        let waits = match self.inboxes.get_mut(id) {
            Some(inbox) => inbox.queue_live(direct, &peer, skip),
            None => skip && self.inboxes.entry(id).queue_live(direct, &peer, true),
        };
        if !waits {
            self.show(id, direct, &peer, parts);
        }
    }

    fn show<S: Socket>(&mut self, id: SessionId, direct: &Arc<DirectEvent>, peer: &UserId, parts: &mut Parts<'_, S>) {
        let seq = direct.message.seq;
        if self.inboxes.get(id).is_some_and(|inbox| inbox.has(peer, seq)) {
            return;
        }
        parts.connections.show_direct(id, direct, parts.now);
        if parts.reads_inbox(id) && self.inboxes.entry(id).record(peer, seq) {
            self.note_delivered(id, peer.clone(), seq, parts);
        }
    }

    // ---------------------------------------------------------------- stored messages

    /// Begins to read the stored messages for the new name of a session, if it may read them.
    pub(crate) fn begin<S: Socket>(
        &mut self,
        id: SessionId,
        positions: Vec<(UserId, Position)>,
        parts: &mut Parts<'_, S>,
    ) {
        if parts.reads_inbox(id) {
            self.inboxes.entry(id).begin(positions);
            self.read_on(id, parts);
        }
    }

    /// Forgets what a session has, because it has another name now.
    pub(crate) fn renamed(&mut self, id: SessionId) {
        if let Some(inbox) = self.inboxes.get_mut(id) {
            inbox.renamed();
        }
    }

    /// Removes a session that is over. What it did not get stays unread.
    pub(crate) fn remove(&mut self, id: SessionId) {
        self.inboxes.take(id);
    }

    /// Continues the backfill of a session whose waiting bytes are written.
    pub(crate) fn written<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        self.read_on(id, parts);
    }

    /// Takes the next steps of a backfill, up to a question to the store or the end.
    fn read_on<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        loop {
            let Some(inbox) = self.inboxes.get_mut(id) else { return };
            if parts.connections.is_full(id) {
                // The backfill continues when these bytes are written.
                return;
            }
            let Some(session) = parts.connections.session(id) else {
                return;
            };
            let Some((number, step)) = inbox.next() else { return };
            let (user, credential) = (session.user().clone(), session.credential());
            let ask = match step {
                Step::Wait | Step::End => return,
                Step::Send(direct) => {
                    let peer = peer_of(&direct, &user);
                    self.show(id, &direct, &peer, parts);
                    continue;
                }
                Step::Waiting(known) => Query::Conversations {
                    user,
                    filter: ConversationFilter::Inbox { credential, known },
                },
                Step::Changed { since, after } => Query::Changed {
                    user,
                    credential,
                    since,
                    after,
                },
                Step::Page { peer, after } => Query::Direct {
                    user,
                    credential,
                    peer,
                    after,
                },
            };
            let accepted = parts.store.ask(ask, Ticket::Inbox { session: id, number });
            inbox.asked(accepted);
            if !accepted {
                self.refused.push_back(id);
            }
            return;
        }
    }

    /// Repeats the questions that the store refused.
    pub(crate) fn retry<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        let mut waiting = std::mem::take(&mut self.refused);
        while let Some(id) = waiting.pop_front() {
            let Some(inbox) = self.inboxes.get_mut(id).filter(|inbox| inbox.is_refused()) else {
                continue;
            };
            inbox.answered();
            self.read_on(id, parts);
            if !self.refused.is_empty() {
                // The store is full again; the others keep their order.
                break;
            }
        }
        self.refused.append(&mut waiting);
    }

    /// Handles an answer of the store.
    pub(crate) fn answer<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        answer: Result<InboxAnswer, Refusal>,
        parts: &mut Parts<'_, S>,
    ) {
        let holds = parts.connections.session(id);
        if answer.is_ok() && !holds.is_some_and(|session| session.holds_its_name(parts.store)) {
            // Somebody else has claimed its name. The session is about to be renamed, which ends the backfill.
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
                    parts.send_gap(id, &peer, lost, Lost::ForEver);
                }
                parts.send_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Changed {
                conversations,
                next,
                unreadable,
            }) => {
                inbox.found_changed(conversations, next);
                parts.send_unreadable(id, unreadable);
            }
            Ok(InboxAnswer::Page(None)) => return inbox.stop_reading(),
            Ok(InboxAnswer::Page(Some(page))) => self.send_page(id, page, parts),
            Err(refusal) => {
                let Some(unread) = inbox.unanswered() else { return };
                parts.refuse(id, None, refusal);
                match unread {
                    // A receipt for a later message would mark the unreadable ones as read. The client reconnects for the rest.
                    _ if parts.is_read_by_name(id) => return parts.goodbye(id, GoodbyeCode::Busy),
                    // The client does not know about the skipped messages. It reconnects with its positions.
                    Unread::Skipped => return parts.goodbye(id, GoodbyeCode::Busy),
                    Unread::Rest(peer, interval) => parts.send_gap(id, &peer, interval, Lost::ForNow),
                    // The client notices from `prev` what is missing.
                    Unread::Waiting => {}
                }
            }
        }
        if let Some(inbox) = self.inboxes.get_mut(id) {
            inbox.answered();
            self.read_on(id, parts);
        }
    }

    /// Sends a session a page of a conversation.
    fn send_page<S: Socket>(&mut self, id: SessionId, page: DirectPage, parts: &mut Parts<'_, S>) {
        let Some(own) = parts.connections.session(id).map(Session::receiver) else {
            return;
        };
        let peer = page.peer;
        let Some(other) = peer.receiver() else {
            // Clients could not tell whose messages these are. In open mode every user has a name.
            return self.inboxes.entry(id).stop_reading();
        };
        let mut lost = page.lost.into_iter().peekable();
        let mut last: Option<Seq> = None;
        let mut is_all = true;
        for message in page.messages {
            if parts.connections.is_full(id) {
                // The store reads the rest again when the waiting bytes are written.
                is_all = false;
                break;
            }
            while let Some(interval) = lost.next_if(|interval| interval.from < message.seq) {
                parts.send_gap(id, &peer, interval, Lost::ForEver);
            }
            last = Some(message.seq);
            let to = if message.user == own.user { &other } else { &own }.clone();
            parts.reply(id, None, &Reply::Direct(Arc::new(Direct { to, message })));
        }
        if is_all {
            for interval in lost {
                parts.send_gap(id, &peer, interval, Lost::ForEver);
            }
        }
        let upto = if is_all { Some(page.upto) } else { last };
        if let Some(upto) = upto
            && let Some(inbox) = self.inboxes.get_mut(id)
            && inbox.record_page(&peer, upto, page.head.seq)
            && let Some(seq) = last
        {
            self.note_delivered(id, peer, seq, parts);
        }
    }

    // ---------------------------------------------------------------- receipts

    /// Sends a ping behind a message if the dialect has no request for read receipts ([`super::receipts`]).
    fn note_delivered<S: Socket>(&mut self, id: SessionId, peer: UserId, seq: Seq, parts: &mut Parts<'_, S>) {
        if parts.is_read_by_name(id)
            && let Some(inbox) = self.inboxes.get_mut(id)
            && let Some(payload) = inbox.receipts().delivered(peer, seq)
        {
            parts.connections.ping_behind(id, payload);
        }
    }

    /// Handles a pong, which may be a receipt.
    pub(crate) fn pong<S: Socket>(&mut self, id: SessionId, payload: &[u8], parts: &mut Parts<'_, S>) {
        let Some(session) = parts.connections.session(id) else {
            return;
        };
        let Some(inbox) = self.inboxes.get_mut(id) else { return };
        let (user, credential) = (session.user().clone(), session.credential());
        let (read, next) = inbox.receipts().pong(payload);
        for (peer, seq) in read {
            let ask = Query::AdvanceMarker {
                log: LogId::Pair(UserPair::of(user.clone(), peer)),
                user: user.clone(),
                seq,
                credential,
            };
            // If the store refuses, the next session gets the messages again, with the same numbers.
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
    fn send_gap(&mut self, id: SessionId, peer: &UserId, interval: LostInterval, lost: Lost) {
        let LostInterval { epoch, from, to } = interval;
        let Some(peer) = peer.name() else { return };
        let gap = Reply::Gap {
            conversation: Conversation::Peer(peer.clone()),
            epoch,
            from,
            to,
            lost: lost == Lost::ForEver,
        };
        self.reply(id, None, &gap);
    }

    fn send_unreadable(&mut self, id: SessionId, conversations: usize) {
        if conversations > 0 {
            let text = format!(
                "{conversations} of this user's direct conversations are damaged and cannot be read; the server's operator has to look"
            );
            self.refuse(id, None, ErrorCode::StoreFailed.because(text));
        }
    }

    fn owns_inbox(&self, id: SessionId) -> bool {
        let session = self.connections.session(id);
        session.is_some_and(|session| session.owns_inbox(self.connections.is_native(id), self.store))
    }

    /// Whether a session reads stored messages.
    fn reads_inbox(&self, id: SessionId) -> bool {
        let said = |session: &Session| session.proof() == Proof::Unclaimed;
        self.store.is_there()
            && (self.owns_inbox(id) || self.connections.session(id).is_some_and(said) && self.is_read_by_name(id))
    }

    /// Whether a connection's dialect has neither keys nor a request for read receipts, so that its user reads the inbox by name
    /// alone.
    fn is_read_by_name(&self, id: SessionId) -> bool {
        self.connections
            .profile(id)
            .is_some_and(|profile| profile.inbox_by_name)
    }
}

/// The other user of a direct message.
fn peer_of(direct: &Direct, user: &UserId) -> UserId {
    if direct.message.user == *user {
        direct.to.user.clone()
    } else {
        direct.message.user.clone()
    }
}
