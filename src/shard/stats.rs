//! What a shard counts beside its connections: plain numbers while it works, given to the metrics once per tick.

use crate::codec::DIALECTS;

/// Counts since the last tick.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stats {
    /// Talks in rooms that were given their number, by their sender's dialect.
    pub(crate) messages: [u64; DIALECTS.len()],
    pub(crate) deliveries: u64,
    /// Direct messages given their number.
    pub(crate) directs: u64,
    /// Gaps that members were told because their cursor fell off the ring.
    pub(crate) gaps: u64,
    /// Cost of each flush, microseconds, and the longest batch it wrote, bytes.
    pub(crate) flushes: Vec<(u64, usize)>,
    /// How far behind members were when their socket, which had been full, had room again, in events.
    pub(crate) lags: Vec<u64>,
}

/// What there is on a shard at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) sessions: usize,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) blocked: usize,
    pub(crate) inflight_bytes: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) inbox: usize,
    pub(crate) overflow: usize,
}
