//! A shard: one core's connections, members of rooms, owned rooms and pairs, inbox and timers.
//!
//! - The owner of a room is the shard that orders its events. The room's members may be on any shard.
//! - A pair is two users with a direct conversation. It has an owner as well.
//! - A turn is one run of a shard's engine. It begins with bytes, messages, an outcome of the store or a timer, and ends with
//!   writes to sockets.
//!
//! From the bottom up; each folder may use those before it (`tests/architecture` enforces this):
//! - `event`: events of rooms and direct messages, with their encoded frames
//! - `bus`: messages between shards, inboxes, and the directory of online users
//! - `connection`: bytes to commands, replies to bytes
//! - `store`: the shard's side of the store, and the rules of names
//! - `parts`: what the engine lends to the parts above
//! - `room`: members, ring, fan-out, pacing, replay
//! - `owner`: commands to events, for the rooms and pairs that this shard owns
//! - `direct`: live direct messages and offline messages
//! - `session`: the rules that turn a request into an action
//! - `engine`: connects the parts; turns, timers, drain
//! - `runtime`: the thread, its sockets, and the handle for other threads

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod bus;
mod connection;
mod direct;
mod end;
mod engine;
mod event;
mod ids;
mod owner;
mod parts;
mod per_connection;
mod rate_limit;
mod room;
mod runtime;
mod session;
mod settings;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;

pub use end::End;
pub use rate_limit::{MessageRate, SharedRate};
pub use settings::ShardSettings;

pub(crate) use bus::{
    message::ToShard,
    operator::{OperatorRequest, OperatorRoomRequest, SessionEntry},
};
pub(crate) use owner::Observer;
pub(crate) use runtime::{
    handle::{Shards, Unanswered},
    newcomers::{Arrived, Arriving},
    report::Reporter,
    thread::{Local, Newcomers, run},
};
pub(crate) use store::{port::StorePort, ticket::Ticket};
