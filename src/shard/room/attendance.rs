//! What one connection has to do with rooms: its memberships, its unanswered joins, and its replays.

use super::replays::Replays;
use crate::chat::RoomName;
use crate::shard::ids::{MemberSlot, RoomSlot};

#[derive(Debug, Default)]
pub(super) struct Attendance {
    pub(super) rooms: Vec<Membership>,
    /// Rooms that the connection asked to join; their owners have not answered yet.
    pub(super) joining: Vec<RoomName>,
    /// `None` if there are none, which is the usual case.
    pub(super) replays: Option<Box<Replays>>,
}

/// One membership, seen from its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(super) room: RoomSlot,
    pub(super) member: MemberSlot,
    pub(super) state: MembershipState,
}

/// Whether a member stays or leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MembershipState {
    Member,
    /// The session asked to leave, and the owner has not answered: the owner still counts the member.
    AskedToLeave,
    /// The owner has removed the member. It gets the events before that point, and then leaves its ring.
    Leaving,
}

impl Attendance {
    /// Frees the memory of `replays` if there are none.
    pub(super) fn forget_if_done(&mut self) {
        self.replays.take_if(|replays| replays.is_empty());
    }
}
