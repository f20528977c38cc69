//! What a shard counts: plain numbers while it works, given to the metrics once per tick.

use crate::{
    chat::ErrorCode,
    codec::{DIALECTS, DialectId, detect::Why},
};

/// Counts since the last tick.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    /// Talks in rooms that were given their number, by their sender's dialect.
    pub(crate) talks: [u64; DIALECTS.len()],
    pub(crate) deliveries: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Times that a session was not read on because it had said more than it may.
    pub(crate) held_back: u64,
    /// Direct messages given their number.
    pub(crate) directs: u64,
    /// Requests refused.
    pub(crate) refusals: Vec<ErrorCode>,
    /// Senders that are not read because the owner of a room is busy.
    pub(crate) paused: u64,
    /// Gaps that members were told because their cursor fell off the ring.
    pub(crate) gaps: u64,
    /// Cost of each flush, microseconds, and the longest batch it wrote, bytes.
    pub(crate) flushes: Vec<(u64, usize)>,
    /// How far behind members were when their socket, which had been full, had room again, in events.
    pub(crate) lags: Vec<u64>,
    /// Why connections ended, and which dialect they spoke.
    pub(crate) ends: Vec<(Option<DialectId>, crate::shard::End)>,
    /// New connections, by dialect where the handshake tells it.
    pub(crate) opened: Vec<Option<DialectId>>,
    /// Connections that showed their dialect, or another one than had been guessed: from which to which.
    pub(crate) shown: Vec<(Option<DialectId>, DialectId)>,
    /// What decided the dialect of connections on plain `/ws`.
    pub(crate) detected: Vec<(DialectId, Why)>,
}

/// What there is on a shard at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) sessions: usize,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) blocked: usize,
    pub(crate) underway_bytes: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) inbox: usize,
    pub(crate) overflow: usize,
}
