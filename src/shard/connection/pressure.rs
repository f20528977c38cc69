//! The sockets of a shard that are full, and how much waits for them together.
//!
//! Invariants:
//! - A connection whose socket is full is in the list, once. One whose socket has room again leaves the list at the next tick.
//! - Bytes that wait for sockets with room do not count: they are written in the same turn.
//!
//! What follows from too much waiting is decided where something is to be appended
//! ([`Connections::reply`](super::connections::Connections::reply)).

use crate::{chat::SessionId, limits};

/// Connections whose sockets are full, and the bytes of replies that waited for them when time was last looked at.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    full: Vec<SessionId>,
    bytes: usize,
}

impl Pressure {
    /// The socket of a connection is full that is not in the list.
    pub(super) fn note_full(&mut self, id: SessionId) {
        self.full.push(id);
    }

    /// Counts what waits now; `waiting` gives the bytes of a connection whose socket is still full.
    pub(super) fn measure(&mut self, mut waiting: impl FnMut(SessionId) -> Option<usize>) {
        let mut sum = 0;
        self.full.retain(|id| {
            let bytes = waiting(*id);
            sum += bytes.unwrap_or(0);
            bytes.is_some()
        });
        self.bytes = sum;
    }

    /// Connections whose sockets were full at some time since the last tick.
    pub(super) fn full(&self) -> usize {
        self.full.len()
    }

    /// Bytes that waited at the last tick.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more waits than should.
    pub(super) fn is_high(&self) -> bool {
        self.bytes > limits::WAITING_BYTES
    }

    #[cfg(test)]
    pub(super) fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
    }
}
