//! This shard's copies of rooms: the members that are connected here, a ring of recent events for each room, and the fan-out from
//! the ring to the members' sockets.
//!
//! [`rooms::Rooms`] is the only type that other modules use. It owns all state of this module; its methods are spread over files:
//! - `rooms`: joins, leaves, and queries about members
//! - `serving`: the entry points for the engine, which combine the other files
//! - `fanout`: walks over the members of a room and writes their events
//! - `resuming` and `replay`: send a member the messages that it missed
//! - `check`: the invariants, for tests
//!
//! The other files are its parts: `rings`, `ring`, `members` and `attendance` (state), `schedule` and `pacer` (when a room is
//! flushed), `delivery` (one write to one member), and `counts` (what the metrics get).
//!
//! Nothing here sends to other shards or reads a clock, except to measure what a flush costs.

pub(crate) mod attendance;
#[cfg(test)]
mod check;
pub(crate) mod counts;
mod delivery;
pub(crate) mod fanout;
pub(crate) mod members;
pub(crate) mod pacer;
mod replay;
mod resuming;
pub(crate) mod ring;
pub(crate) mod rings;
pub(crate) mod rooms;
mod schedule;
pub(crate) mod serving;
#[cfg(test)]
mod tests;
