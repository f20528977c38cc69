//! Direct messages on the shards of their receivers: delivery to sessions that are online, offline messages from the store, and
//! receipts.
//!
//! [`inboxes::DirectInboxes`] is the only type with I/O, and the engine's entry point. The others decide:
//! - `fanout`: the queue of live messages
//! - `inbox`: whether a live message is sent, waits, or is skipped and read from the store later
//! - `backfill`: which stored messages a session reads, and in which order
//! - `device`: which messages the device has
//! - `receipts`: read markers of dialects without a request for them

pub(crate) mod backfill;
pub(crate) mod device;
pub(crate) mod fanout;
pub(crate) mod inbox;
pub(crate) mod inboxes;
pub(crate) mod receipts;
