//! The connections of a shard: what they are, what waits for them, and when they are read.
//!
//! - `connections`: all of them, found by their ids
//! - `state`: one of them, made of the parts below
//! - `reader`, `backpressure`, `held_back`: when it is read, and what waits meanwhile
//! - `write`: what waits for its socket
//! - `dialect`: how certain its dialect is, and what waits until it is
//! - `naming`, `session`: its name, and the user that has it
//! - `liveness`, `deadlines`, `wheel`, `timers`: what time does to it
//! - `reading`, `uncertain`, `reply`, `close`: how all of them are read, show their dialects, are sent something, and end
//! - `pressure`: the sockets that are full
//! - `happened`: what the rest of the shard learns of that; `counts`: what the metrics do
//!
//! Nothing here sends to other shards or knows rooms, the store or a clock. What others have to do is given out by
//! [`connections::Connections::poll`], and the engine passes it on.

pub(crate) mod backpressure;
mod close;
pub(crate) mod connections;
pub(crate) mod counts;
mod deadlines;
pub(crate) mod dialect;
pub(crate) mod happened;
pub(crate) mod held_back;
mod liveness;
pub(crate) mod naming;
mod pressure;
pub(crate) mod reader;
pub(crate) mod reading;
mod reply;
mod service;
pub(crate) mod session;
pub(crate) mod state;
mod timers;
mod uncertain;
pub(crate) mod wheel;
pub(crate) mod write;
