//! The memberships, unanswered joins and replays of one connection.

use std::collections::VecDeque;

use super::rings::Durability;
use crate::{
    chat::{Admission, RoomName, Seq},
    shard::ids::{MemberSlot, RoomSlot},
};

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
    /// Frees `replays` when it is empty.
    pub(super) fn forget_if_done(&mut self) {
        self.replays
            .take_if(|replays| replays.pending_joins.is_empty() && replays.queue.is_empty());
    }
}

/// The replays of one connection.
#[derive(Debug, Default)]
pub(super) struct Replays {
    pub(super) pending_joins: Vec<PendingJoin>,
    /// The first one is in progress.
    pub(super) queue: VecDeque<Replay>,
}

/// The replay of one member.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) number: u32,
    pub(super) room: RoomName,
    /// The replay has sent every message between this number and `after`. A gap moves it forward.
    pub(super) from: Seq,
    /// The member has everything up to this number.
    pub(super) after: Seq,
    /// The replay ends at this number; the ring has what follows.
    pub(super) target: Seq,
    pub(super) durability: Durability,
    /// The store has an open question for the page after this number.
    pub(super) asked: Option<Seq>,
    /// Messages per page, computed from the size of the last page's messages so that a page may wait for the socket.
    pub(super) page: usize,
}

/// A join whose answer waits until the store has read the user's read marker.
#[derive(Debug)]
pub(crate) struct PendingJoin {
    pub(crate) number: u32,
    /// Without the read marker.
    pub(crate) admission: Box<Admission>,
}

/// A page that the store should read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageAsk {
    pub(crate) number: u32,
    pub(crate) room: RoomName,
    pub(crate) after: Seq,
    pub(crate) limit: usize,
}

impl Replay {
    pub(super) fn ask_after(&self, after: Seq) -> PageAsk {
        PageAsk {
            number: self.number,
            room: self.room.clone(),
            after,
            limit: self.page,
        }
    }
}
