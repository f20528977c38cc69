//! Where a session lives.

use std::fmt;

/// One core: 0 to the number of shards less one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A session, by its place: the shard its connection lives on, the slot there, and which occupant of the slot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The shard of its connection.
    pub shard: ShardId,
    /// The slot in that shard's table of connections.
    pub slot: u32,
    /// Counts the occupants of the slot, so that a late message never reaches the next one.
    pub generation: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
