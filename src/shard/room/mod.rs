//! The rooms of a shard: its members, the ring of recent events of each room, and fan-out from the ring to the members' sockets.
//!
//! Start with [`rooms::Rooms`], the only type that others hold. An event comes in through `Rooms::append`; `schedule` and `pacer`
//! say when its room is flushed; `fanout` walks the members and `delivery` writes to each. `replay` sends what a member missed
//! before it joined. What the engine has to do for rooms is said in [`outcome`].
//!
//! Nothing here sends to other shards, reads the store, closes a connection or knows the time but as an argument.

pub(crate) mod attendance;
#[cfg(test)]
mod check;
mod delivery;
pub(crate) mod event;
pub(crate) mod fanout;
pub(crate) mod members;
pub(crate) mod outcome;
pub(crate) mod pacer;
mod replay;
mod replays;
mod resuming;
pub(crate) mod ring;
pub(crate) mod rings;
pub(crate) mod rooms;
mod schedule;
pub(crate) mod serving;
#[cfg(test)]
mod tests;
