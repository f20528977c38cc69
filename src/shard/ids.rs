//! Places in the tables of a shard. Each table has its own type of place, so that one cannot be taken for another.
//!
//! A connection is found by its whole [`crate::chat::SessionId`]; rooms and members have no generation, so their places are
//! only held by what the table itself keeps up to date.

/// The place of a room's ring in the shard's table of rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RoomSlot(u32);

/// The place of a member in its ring. It changes when another member of the ring goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberSlot(u32);

impl RoomSlot {
    pub(crate) const fn new(index: usize) -> Self {
        Self(index as u32)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl MemberSlot {
    pub(crate) const fn new(index: usize) -> Self {
        Self(index as u32)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}
