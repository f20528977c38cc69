//! Between a shard and the store: appends, questions, names, and the results that come back.

pub(crate) mod names;
pub(crate) mod port;
pub(crate) mod queries;
pub(crate) mod refusals;
pub(crate) mod returned;
pub(crate) mod ticket;
