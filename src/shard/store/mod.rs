//! Between a shard and the store: what it writes, what it asks, and what becomes of the answers.

pub(crate) mod hello;
pub(crate) mod names;
pub(crate) mod port;
pub(crate) mod queries;
pub(crate) mod refusals;
pub(crate) mod returned;
pub(crate) mod ticket;
