//! The connections of a shard: what a client sent becomes commands, and replies become frames.

pub(crate) mod backpressure;
pub(crate) mod close;
pub(crate) mod commands;
pub(crate) mod connections;
pub(crate) mod deferring;
pub(crate) mod dialect;
pub(crate) mod liveness;
pub(crate) mod naming;
pub(crate) mod read;
mod reader;
pub(crate) mod reply;
pub(crate) mod state;
pub(crate) mod write;
