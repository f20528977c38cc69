//! The full sockets of a shard, and the bytes that wait for them.
//!
//! Invariants:
//! - A connection whose socket is full is in the list once, and leaves it at the first tick at which its socket has room.
//! - Bytes for sockets with room do not count, because they are written in the same turn.
//!
//! This file ends no connection: [`Connections::reply`](super::connections::Connections::reply) does, if too much waits.

use crate::{chat::SessionId, limits};

#[derive(Debug, Default)]
pub(super) struct Pressure {
    full: Vec<SessionId>,
    /// Bytes of replies at the last tick.
    bytes: usize,
}

impl Pressure {
    /// Adds a connection that is not in the list.
    pub(super) fn note_full(&mut self, id: SessionId) {
        self.full.push(id);
    }

    /// Counts the waiting bytes; `waiting` returns those of a connection whose socket is still full, and `None` otherwise.
    pub(super) fn measure(&mut self, mut waiting: impl FnMut(SessionId) -> Option<usize>) {
        let mut sum = 0;
        self.full.retain(|id| {
            let bytes = waiting(*id);
            sum += bytes.unwrap_or(0);
            bytes.is_some()
        });
        self.bytes = sum;
    }

    /// The number of connections whose sockets were full at some time since the last tick.
    pub(super) fn full(&self) -> usize {
        self.full.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_high(&self) -> bool {
        self.bytes > limits::WAITING_BYTES
    }

    #[cfg(test)]
    pub(super) fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
    }
}
