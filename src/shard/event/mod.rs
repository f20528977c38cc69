//! Events of rooms and direct messages, each with a cache of its encoded frames.
//!
//! Invariant: an event does not change after it is created, so that all shards and all receivers share it.

pub(crate) mod direct;
mod frames;
pub(crate) mod room;

pub(crate) use frames::Encoded;
