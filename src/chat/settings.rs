//! What the operator decides about rooms.

/// What the operator decides about rooms.
#[derive(Debug, Clone, Copy)]
pub struct HomeSettings {
    /// Up to this many users a room announces each coming and going; above it, digests.
    pub presence_events_max: usize,
    /// Pace of the digests, milliseconds.
    pub digest_every_ms: u64,
    /// How long the list of a large room may be reused, milliseconds.
    pub list_cache_ms: u64,
    /// How long an idempotency key is remembered in a room without history, milliseconds.
    pub key_window_ms: u64,
}
