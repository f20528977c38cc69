//! What the operator decides about shards.

use std::time::Duration;

use crate::shard::{rate_limit::SharedRate, room::pacer::PaceSettings};
use crate::{
    chat::{Access, RoomSettings},
    codec::Dialects,
};

/// Settings of all shards, the same for each.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The dialects, with what the operator set of them.
    pub dialects: Dialects,
    /// Who may enter which room.
    pub access: Access,
    /// About rooms.
    pub rooms: RoomSettings,
    /// A connection from which nothing came for so long is dead.
    pub dead_after: Duration,
    /// A user who said nothing for so long is sent away; `None`: never.
    pub idle_kick: Option<Duration>,
    /// How fast one session may send.
    pub message_rate: SharedRate,
    /// A socket that takes nothing for so long is reset.
    pub write_timeout: Duration,
    /// The next flush waits at most this many times the cost of the last one; 0: never.
    pub pace: f32,
    /// Longest time between the beginnings of two flushes of a room because of waiting.
    pub flush_max: Duration,
    /// Writes of a flush before other work gets its turn.
    pub yield_writes: usize,
    /// Bytes of recent events that one room may keep on one shard.
    pub ring_bytes: usize,
    /// Bytes of recent events that all rooms of a shard may keep together.
    pub ring_budget: usize,
    /// How long recent events are kept for those who come back.
    pub ring_keep: Duration,
    /// Rooms that one session may be in.
    pub rooms_per_session: usize,
    /// Messages in a shard's inbox.
    pub inbox_messages: usize,
    /// Bytes of events on the way to one shard above which owners answer `busy`.
    pub underway_bytes: usize,
    /// How many of the last talks clients of the five systems are given on joining.
    pub legacy_history: u32,
    /// On drain, clients are told to come back after a random part of this.
    pub retry_spread: Duration,
}

impl Default for Settings {
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
            underway_bytes: crate::limits::IN_FLIGHT_BYTES,
            legacy_history: 0,
            retry_spread: Duration::from_secs(10),
        }
    }
}

impl Settings {
    pub(super) fn pacing(&self, shards: usize) -> PaceSettings {
        PaceSettings {
            factor: self.pace,
            apart_us: self.flush_max.as_micros() as u64,
            shards,
        }
    }
}
