//! This shard's copies of rooms: members, the ring of recent events, fan-out, pacing and replay.

pub(crate) mod attendance;
mod delivery;
pub(crate) mod event;
pub(crate) mod fanout;
pub(crate) mod members;
pub(crate) mod outcome;
pub(crate) mod pacer;
pub(crate) mod replay;
mod replays;
pub(crate) mod ring;
pub(crate) mod rings;
pub(crate) mod rooms;
mod schedule;
#[cfg(test)]
mod tests;
