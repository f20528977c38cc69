//! The operator's settings for shards.

use std::time::Duration;

use crate::{
    chat::{Access, RoomSettings},
    codec::Dialects,
    shard::rate_limit::SharedRate,
};

/// The settings that all shards share.
#[derive(Debug, Clone)]
pub struct ShardSettings {
    pub dialects: Dialects,
    /// Which users may enter which rooms.
    pub access: Access,
    pub rooms: RoomSettings,
    /// The server ends a connection from which no bytes arrived for this time.
    pub dead_after: Duration,
    /// The server closes a session whose user sent no message for this time; `None`: never.
    pub idle_kick: Option<Duration>,
    /// The rate limit of one session.
    pub message_rate: SharedRate,
    /// The server resets a full socket that accepted no bytes for this time.
    pub write_timeout: Duration,
    /// Longest delay before a room's next flush, as a multiple of the cost of the last one; 0: no delay.
    pub pace: f32,
    /// A delay never makes the time between the beginnings of two flushes longer than this.
    pub flush_max: Duration,
    /// Number of writes after which a flush yields to other work.
    pub yield_writes: usize,
    /// Bytes of one room's ring.
    pub ring_bytes: usize,
    /// Bytes of all rings of a shard together.
    pub ring_budget: usize,
    /// How long a ring holds events for returning members.
    pub ring_keep: Duration,
    /// Rooms that one session may be in.
    pub rooms_per_session: usize,
    /// Capacity of a shard's inbox, in messages.
    pub inbox_messages: usize,
    /// In-flight bytes to one shard above which owners answer `busy`.
    pub inflight_bytes: usize,
    /// Number of last messages that a legacy client gets when it joins.
    pub legacy_history: u32,
    /// A goodbye that invites clients back gives each a random delay up to this.
    pub retry_spread: Duration,
}

impl Default for ShardSettings {
    fn default() -> Self {
        Self {
            dialects: Dialects::default(),
            access: Access::default(),
            rooms: RoomSettings {
                presence_events_max: 500,
                digest_every_ms: 2_000,
                list_cache_ms: 1_000,
                key_window_ms: 600_000,
                numbering: |head| head + 1,
            },
            dead_after: Duration::from_secs(60),
            idle_kick: None,
            message_rate: SharedRate::default(),
            write_timeout: Duration::from_secs(10),
            pace: 2.5,
            flush_max: Duration::from_millis(11),
            yield_writes: 128,
            ring_bytes: 1024 * 1024,
            ring_budget: 64 * 1024 * 1024,
            ring_keep: Duration::from_secs(60),
            rooms_per_session: crate::limits::ROOMS_PER_SESSION,
            inbox_messages: crate::limits::INBOX_MESSAGES,
            inflight_bytes: crate::limits::IN_FLIGHT_BYTES,
            legacy_history: 0,
            retry_spread: Duration::from_secs(10),
        }
    }
}
