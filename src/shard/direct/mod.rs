//! Direct messages: to the sessions that are online, and from the inbox of offline messages.

pub(crate) mod device;
pub(crate) mod event;
pub(crate) mod fanout;
pub(crate) mod inbox;
pub(crate) mod inboxes;
pub(crate) mod reading;
pub(crate) mod receipts;
