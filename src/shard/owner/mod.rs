//! This shard as the owner of rooms and of pairs of users: it orders what is said in them.

pub(crate) mod commands;
pub(crate) mod open;
pub(crate) mod pairs;
