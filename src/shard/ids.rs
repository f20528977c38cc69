//! Slots in the tables of a shard. Each table has its own type of slot, so that one cannot be used for another.
//!
//! A connection is looked up by its [`crate::chat::SessionId`], which includes a generation. The slots of rooms and members have
//! no generation, so only their own table may store them.

/// The slot of a room in the shard's table of rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RoomSlot(u32);

/// The slot of a member in its ring. It changes when another member of the ring is removed.
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
