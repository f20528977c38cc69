//! The runtime of a shard: its thread, its sockets, and the handle for other threads.

pub(crate) mod handle;
pub(crate) mod newcomers;
pub(crate) mod poller;
pub(crate) mod report;
pub(crate) mod thread;
pub(crate) mod transport;
