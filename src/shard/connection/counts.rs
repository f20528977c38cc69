//! What a shard counts of its connections, given to the metrics once per tick.

use crate::{
    chat::ErrorCode,
    codec::{DialectId, detect::Why},
    shard::End,
};

/// Counts since the last tick.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Times that a session was not read on because of its rate limit.
    pub(crate) rate_limited: u64,
    /// Senders that are not read because the owner of a room is busy.
    pub(crate) backpressured: u64,
    /// Requests refused.
    pub(crate) refusals: Vec<ErrorCode>,
    /// Why connections ended, and which dialect they spoke.
    pub(crate) ends: Vec<(Option<DialectId>, End)>,
    /// New connections, by dialect where the handshake tells it.
    pub(crate) opened: Vec<Option<DialectId>>,
    /// Connections that showed their dialect, or another one than had been guessed: from which to which.
    pub(crate) shown: Vec<(Option<DialectId>, DialectId)>,
    /// What decided the dialect of connections on plain `/ws`.
    pub(crate) detected: Vec<(DialectId, Why)>,
}
