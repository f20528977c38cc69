//! A named user on one connection.

use crate::{
    chat::{ClientId, RequestId, SessionTag, UserName},
    shard::{
        connection::{deferred::Deferred, held_back::HeldBack},
        direct::inbox::Inbox,
        rate_limit::Gcra,
    },
};

/// A named user's connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: UserName,
    pub(crate) tag: SessionTag,
    /// Which client it is, where that said so: its idempotency keys belong to it.
    pub(crate) client: Option<Box<ClientId>>,
    /// When the user last said something, for the idle kick.
    pub(crate) said_ms: u64,
    pub(crate) typed_ms: u64,
    pub(crate) rate: Gcra,
    /// The user has said exit: goodbye when the last room has let it go.
    pub(crate) exiting: Option<RequestId>,
    /// Requests that wait for a join or leave before them.
    pub(crate) deferred: Option<Box<Deferred>>,
    /// The user whose going this session is told of.
    pub(crate) peer: Option<UserName>,
    /// By what right it has its name.
    pub(crate) proof: Proof,
    /// Its side of its user's inbox; `None`: it has had nothing to do with direct messages.
    pub(crate) inbox: Option<Box<Inbox>>,
    /// Messages that a busy owner gave back.
    pub(crate) held: Option<Box<HeldBack>>,
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
