//! A named user on one connection.
//!
//! Invariants: it says exit once; a notice that it types passes at most once per [`limits::TYPING_EVERY`]; while requests wait
//! for one before them, every later one waits behind them.

use std::collections::VecDeque;

use crate::{
    chat::{ClientId, NewMessage, Request, RequestId, RoomName, SessionTag, UserName},
    limits,
    shard::{
        connection::held_back::HeldBack,
        rate_limit::{Gcra, MessageRate},
    },
};

/// A named user's connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: UserName,
    tag: SessionTag,
    /// Which client it is, where that said so: its idempotency keys belong to it.
    client: Option<Box<ClientId>>,
    /// When the user last said something, for the idle kick.
    pub(super) said_ms: u64,
    typed_ms: u64,
    rate: Gcra,
    /// The user has said exit: goodbye when the last room has let it go.
    exiting: Option<RequestId>,
    /// Requests that wait for one before them, in order.
    #[expect(
        clippy::box_collection,
        reason = "hardly a session ever has one, and the box saves 24 bytes in each"
    )]
    deferred: Option<Box<VecDeque<Request>>>,
    /// The user whose going this session is told of.
    watched: Option<UserName>,
    /// By what right it has its name.
    pub(crate) proof: Proof,
    /// Messages that a busy owner gave back.
    held: Option<Box<HeldBack>>,
}

/// By what right a session has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It has shown the key.
    Key,
    /// It said the name when nobody had claimed it.
    Said,
    /// The server chose the name. The next one may be given it, too, so nothing stored belongs to it.
    Assigned,
}

/// The result of a rename.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) old: UserName,
    /// What is stored for the name is new to the session: also where it claims the one that the server chose for it.
    pub(crate) inbox_is_new: bool,
}

impl Session {
    pub(crate) fn new(name: UserName, proof: Proof, tag: SessionTag, client: Option<ClientId>, now_ms: u64) -> Self {
        Self {
            name,
            tag,
            client: client.map(Box::new),
            said_ms: now_ms,
            typed_ms: 0,
            rate: Gcra::default(),
            exiting: None,
            deferred: None,
            watched: None,
            proof,
            held: None,
        }
    }

    /// Takes another name, or shows another right to the one it has.
    pub(crate) fn rename(&mut self, name: UserName, proof: Proof) -> Renamed {
        let had = std::mem::replace(&mut self.proof, proof);
        let old = std::mem::replace(&mut self.name, name);
        Renamed {
            inbox_is_new: old != self.name || had == Proof::Assigned,
            old,
        }
    }

    pub(crate) fn tag(&self) -> SessionTag {
        self.tag
    }

    pub(crate) fn client(&self) -> Option<ClientId> {
        self.client.as_deref().copied()
    }

    /// A message of the user counts for the rate limit.
    pub(crate) fn count_message(&mut self, rate: MessageRate, now_us: u64) {
        self.rate.count(rate, now_us);
    }

    /// When its next message conforms to the rate limit, microseconds.
    pub(crate) fn conforms_at_us(&self, rate: MessageRate) -> u64 {
        self.rate.conforms_at_us(rate)
    }

    /// The user has said something.
    pub(crate) fn spoke(&mut self, now_ms: u64) {
        self.said_ms = now_ms;
    }

    /// The user types; whether others are told now.
    pub(crate) fn may_type(&mut self, now_ms: u64) -> bool {
        let every_ms = limits::TYPING_EVERY.as_millis() as u64;
        let may = self.typed_ms == 0 || now_ms >= self.typed_ms + every_ms;
        if may {
            self.typed_ms = now_ms;
        }
        may
    }

    /// Is told when this user goes; whom it watched before.
    pub(crate) fn watch(&mut self, user: UserName) -> Option<UserName> {
        self.watched.replace(user)
    }

    pub(crate) fn watched(&self) -> Option<&UserName> {
        self.watched.as_ref()
    }

    /// The user says exit; whether for the first time.
    pub(crate) fn exit(&mut self, request: RequestId) -> bool {
        let is_first = self.exiting.is_none();
        self.exiting.get_or_insert(request);
        is_first
    }

    /// The request with which the user said exit.
    pub(crate) fn exiting(&self) -> Option<RequestId> {
        self.exiting
    }

    /// The requests that wait for one before them; `None`: the next request need not wait behind others.
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

    /// The messages that a busy owner gave back, while there are any.
    pub(crate) fn held(&mut self) -> Option<&mut HeldBack> {
        self.held.as_deref_mut()
    }

    /// When the messages that were given back are due again, milliseconds.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.retry_ms())
    }

    /// All messages that were given back have been taken.
    pub(crate) fn end_holding(&mut self) {
        self.held = None;
    }

    /// A busy owner gave this message back.
    pub(crate) fn hold_back(&mut self, room: RoomName, message: Box<NewMessage>, now_ms: u64) {
        let held = self.held.get_or_insert_with(|| Box::new(HeldBack::new(now_ms)));
        held.give_back(room, message, now_ms);
    }
}
