//! This shard's copies of rooms: members, the ring of recent events, fan-out, pacing and replay.

pub(crate) mod event;
pub(crate) mod fanout;
pub(crate) mod pacer;
pub(crate) mod ring;
