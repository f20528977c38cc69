//! A session: a named user on one connection.
//!
//! Invariants: an exit begins once; at most one typing notice per [`limits::TYPING_EVERY`] passes; while a request is deferred,
//! every later one is deferred behind it.

use std::collections::VecDeque;

use crate::{
    chat::{ClientId, NewMessage, Request, RequestId, RoomName, SessionTag, UserName},
    limits,
    shard::{
        connection::retry_queue::RetryQueue,
        rate_limit::{Gcra, MessageRate},
    },
};

#[derive(Debug)]
pub(crate) struct Session {
    name: UserName,
    tag: SessionTag,
    /// The client, if it identified itself: its idempotency keys belong to it.
    client: Option<Box<ClientId>>,
    /// When the user last sent a message, for the idle kick.
    active_ms: u64,
    typed_ms: u64,
    rate: Gcra,
    /// The request of the user's exit. The session ends after it has left the last room.
    exiting: Option<RequestId>,
    /// Requests that wait for an earlier one, in order.
    #[expect(
        clippy::box_collection,
        reason = "hardly a session ever has one, and the box saves 24 bytes in each"
    )]
    deferred: Option<Box<VecDeque<Request>>>,
    /// The user whose going offline this session is notified of.
    watched: Option<UserName>,
    proof: Proof,
    retries: Option<Box<RetryQueue>>,
}

/// A session's right to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It has shown the key.
    Key,
    /// It took the name while the name was unclaimed.
    Unclaimed,
    /// The server assigned the name. A later session may get the same one, so no stored messages belong to it.
    Assigned,
}

/// The result of a rename.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) old: UserName,
    /// Whether the session must read the inbox of its name from the start: the name is another one, or was assigned before.
    pub(crate) inbox_is_new: bool,
}

impl Session {
    pub(crate) fn new(name: UserName, proof: Proof, tag: SessionTag, client: Option<ClientId>, now_ms: u64) -> Self {
        Self {
            name,
            tag,
            client: client.map(Box::new),
            active_ms: now_ms,
            typed_ms: 0,
            rate: Gcra::default(),
            exiting: None,
            deferred: None,
            watched: None,
            proof,
            retries: None,
        }
    }

    /// Changes the name, or the right to it.
    pub(crate) fn rename(&mut self, name: UserName, proof: Proof) -> Renamed {
        let had = std::mem::replace(&mut self.proof, proof);
        let old = std::mem::replace(&mut self.name, name);
        Renamed {
            inbox_is_new: old != self.name || had == Proof::Assigned,
            old,
        }
    }

    pub(crate) fn name(&self) -> &UserName {
        &self.name
    }

    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }

    pub(crate) fn tag(&self) -> SessionTag {
        self.tag
    }

    pub(crate) fn client(&self) -> Option<ClientId> {
        self.client.as_deref().copied()
    }

    pub(crate) fn count_message(&mut self, rate: MessageRate, now_us: u64) {
        self.rate.count(rate, now_us);
    }

    /// When the next message conforms to the rate limit, microseconds.
    pub(crate) fn conforms_at_us(&self, rate: MessageRate) -> u64 {
        self.rate.conforms_at_us(rate)
    }

    /// The user has sent a message.
    pub(crate) fn note_activity(&mut self, now_ms: u64) {
        self.active_ms = now_ms;
    }

    /// When the user last sent a message, milliseconds.
    pub(super) fn last_active_ms(&self) -> u64 {
        self.active_ms
    }

    /// The shard stalled: moves all times forward.
    pub(super) fn discount_stall(&mut self, later: impl Fn(&mut u64)) {
        later(&mut self.active_ms);
        if let Some(retries) = &mut self.retries {
            retries.discount_stall(later);
        }
    }

    /// The user types; returns whether a notice passes now.
    pub(crate) fn may_type(&mut self, now_ms: u64) -> bool {
        let every_ms = limits::TYPING_EVERY.as_millis() as u64;
        let may = self.typed_ms == 0 || now_ms >= self.typed_ms + every_ms;
        if may {
            self.typed_ms = now_ms;
        }
        may
    }

    /// Watches this user; returns the user that it watched before.
    pub(crate) fn watch(&mut self, user: UserName) -> Option<UserName> {
        self.watched.replace(user)
    }

    pub(crate) fn watched(&self) -> Option<&UserName> {
        self.watched.as_ref()
    }

    /// Begins an exit; returns whether it is the first.
    pub(crate) fn exit(&mut self, request: RequestId) -> bool {
        let is_first = self.exiting.is_none();
        self.exiting.get_or_insert(request);
        is_first
    }

    /// The request of the exit, if one has begun.
    pub(crate) fn exiting(&self) -> Option<RequestId> {
        self.exiting
    }

    /// The deferred requests. While this is `Some`, every later request is deferred, even if the queue is empty.
    pub(crate) fn deferred(&self) -> Option<&VecDeque<Request>> {
        self.deferred.as_deref()
    }

    pub(crate) fn defer(&mut self, request: Request) {
        self.deferred.get_or_insert_default().push_back(request);
    }

    pub(crate) fn next_deferred(&mut self) -> Option<Request> {
        self.deferred.as_mut()?.pop_front()
    }

    pub(crate) fn end_deferring(&mut self) {
        self.deferred = None;
    }

    /// The messages that a busy owner refused, while there are any.
    pub(crate) fn retry_queue(&mut self) -> Option<&mut RetryQueue> {
        self.retries.as_deref_mut()
    }

    /// When the refused messages are due again, milliseconds.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.retries.as_ref().map(|retries| retries.retry_ms())
    }

    /// The owners have accepted all refused messages.
    pub(crate) fn end_retries(&mut self) {
        self.retries = None;
    }

    /// Queues a message that a busy owner refused.
    pub(crate) fn retry_later(&mut self, room: RoomName, message: Box<NewMessage>, now_ms: u64) {
        let retries = self.retries.get_or_insert_with(|| Box::new(RetryQueue::new(now_ms)));
        retries.push_refused(room, message, now_ms);
    }
}
