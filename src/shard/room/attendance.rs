//! What one connection is in the rooms of this shard: the other end of each membership, the joins under way, and the replays.

use super::replays::Replays;
use crate::chat::RoomName;
use crate::shard::ids::{MemberSlot, RoomSlot};

#[derive(Debug, Default)]
pub(super) struct Attendance {
    pub(super) rooms: Vec<Membership>,
    /// Rooms that the connection asked to join and whose owner has not answered.
    pub(super) joining: Vec<RoomName>,
    /// What its members have missed, if anything.
    pub(super) replays: Option<Box<Replays>>,
}

/// One membership, seen from its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(super) room: RoomSlot,
    pub(super) member: MemberSlot,
    pub(super) stay: Stay,
}

/// How far a member is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    Member,
    /// The owner has been asked and has not answered: it still counts the member.
    AskedToLeave,
    /// The owner has let it go: it is sent what happened before, and no more.
    Leaving,
}

impl Attendance {
    /// Frees the room for replays when there are none.
    pub(super) fn forget_if_done(&mut self) {
        self.replays.take_if(|replays| replays.is_empty());
    }
}
