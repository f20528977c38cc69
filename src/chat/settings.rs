//! What the operator decides about all rooms.

use super::Seq;

/// What the operator decides about all rooms.
#[derive(Debug, Clone, Copy)]
pub struct RoomSettings {
    /// A room with up to this many users announces each join and leave; a larger one sends digests.
    pub presence_events_max: usize,
    /// Least time between two digests of a room, milliseconds.
    pub digest_every_ms: u64,
    /// How long the list of a large room may be reused, milliseconds.
    pub list_cache_ms: u64,
    /// How long an ephemeral room remembers an idempotency key, milliseconds.
    pub key_window_ms: u64,
    /// The number of the next message of an ephemeral room, by that of its newest one; larger than that.
    pub numbering: fn(Seq) -> Seq,
}
