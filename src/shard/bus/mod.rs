//! What shards say to each other, and how: messages, the bounded lock-free inboxes that carry them, and the directory of users.

pub(crate) mod directory;
pub(crate) mod inbox;
pub(crate) mod message;
pub(crate) mod sync;
