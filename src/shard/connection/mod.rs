//! The connections of a shard: what they are, what waits for them, and when they are read.
//!
//! - `connections`: all of them, found by their ids
//! - `state`: one of them, made of the parts below
//! - `reader`, `backpressure`, `held_back`: when it is read, and what waits meanwhile
//! - `write`: what waits for its socket
//! - `dialect`: how certain its dialect is, and what waits until it is
//! - `naming`, `session`: its name, and the user that has it
//! - `liveness`, `deadlines`: what time does to it
//!
//! Nothing here sends to other shards or knows rooms, the store or a clock: what is due is returned, and the engine does it.

pub(crate) mod backpressure;
pub(crate) mod connections;
pub(crate) mod deadlines;
pub(crate) mod dialect;
pub(crate) mod held_back;
mod liveness;
pub(crate) mod naming;
pub(crate) mod reader;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod write;
