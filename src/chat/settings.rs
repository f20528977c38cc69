//! The operator's settings for all rooms.

use super::Seq;

#[derive(Debug, Clone, Copy)]
pub struct RoomSettings {
    /// A room with up to this many users announces each join and leave; a larger one sends digests.
    pub presence_events_max: usize,
    /// Least interval between two digests of a room, milliseconds.
    pub digest_every_ms: u64,
    /// The greatest age of the cached list of a large room, milliseconds.
    pub list_cache_ms: u64,
    /// How long an ephemeral room remembers an idempotency key, milliseconds.
    pub key_window_ms: u64,
    /// Computes the number of the next message of an ephemeral room from its newest one. The result must be larger.
    pub numbering: fn(Seq) -> Seq,
}
