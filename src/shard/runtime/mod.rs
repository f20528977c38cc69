//! How a shard runs: its thread, its sockets, and the handle by which other threads reach it.

pub(crate) mod handle;
pub(crate) mod newcomers;
pub(crate) mod poller;
pub(crate) mod report;
pub(crate) mod thread;
pub(crate) mod transport;
