//! Counts of a shard's rooms, which the metrics get once per tick.

use super::delivery::Sent;
use crate::{codec::DIALECTS, shard::connection::counts::ConnectionCounts};

/// Counts since the last tick.
#[derive(Debug, Default)]
pub(crate) struct RoomCounts {
    /// Numbered messages of this shard's sessions, by the sender's dialect.
    pub(crate) messages: [u64; DIALECTS.len()],
    pub(crate) deliveries: u64,
    /// Gaps that members got because their cursor fell off the ring.
    pub(crate) gaps: u64,
    /// For each flush its cost in microseconds, and the bytes of its largest batch.
    pub(crate) flushes: Vec<(u64, usize)>,
    /// For each full socket that became writable and each of its rooms: how many events the member was behind.
    pub(crate) lags: Vec<u64>,
}

impl RoomCounts {
    pub(super) fn add(&mut self, sent: &Sent, connections: &mut ConnectionCounts) {
        connections.bytes_out += sent.bytes;
        self.deliveries += sent.events;
    }
}
