//! The members of one room on this shard.
//!
//! Invariants:
//! - A leaving member stays in the list until it has the events before its leave.
//! - Only [`Members::remove`] changes the slot of another member, and its result names that member's connection, so that
//!   [`super::rooms::Rooms`] can update the other end of the membership.

use crate::{
    chat::{ConnectionSlot, RequestId, Seq},
    limits,
    shard::ids::MemberSlot,
};

/// A member: a cursor into the ring. Unsent events stay in the ring and are not copied for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(super) connection: ConnectionSlot,
    pub(super) feed: Feed,
    /// Index of the next event to send.
    pub(super) cursor: u64,
    /// Number of the last message that was sent.
    pub(super) seq: Seq,
}

/// Whether a member gets live events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    Live,
    /// Not yet: its replay has not ended, or the dialect of its connection is not known. The cursor does not move.
    Pending,
}

/// A member that leaves, and where its events end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) connection: ConnectionSlot,
    /// Index of the first event that it does not get.
    pub(super) until: u64,
    /// Number of the last message before that.
    pub(super) seq: Seq,
    /// The request to leave. It is answered when the member has its last event.
    pub(super) request: RequestId,
}

/// The members of one room, in no order.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
    leaving: Vec<Leaving>,
}

/// The result of removing a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    /// The request to leave; `None` if the session did not ask, or is over.
    pub(super) request: RequestId,
    /// The connection of the member that moved into the free slot.
    pub(super) moved: Option<ConnectionSlot>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, slot: MemberSlot) -> Option<&Member> {
        self.all.get(slot.index())
    }

    pub(super) fn get_mut(&mut self, slot: MemberSlot) -> Option<&mut Member> {
        self.all.get_mut(slot.index())
    }

    /// The member at this index, for a walk over all members.
    pub(super) fn at_mut(&mut self, index: usize) -> Option<&mut Member> {
        self.all.get_mut(index)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.iter()
    }

    /// Whether some member is not leaving. As long as there is one, the room's owner sends this shard every event.
    pub(super) fn any_staying(&self) -> bool {
        self.leaving.len() < self.all.len()
    }

    /// Whether no member is leaving and all are live and have every event before `end`.
    pub(super) fn are_at_rest(&self, end: u64) -> bool {
        let at_rest = |member: &Member| member.cursor == end && member.feed == Feed::Live;
        self.leaving.is_empty() && self.all.iter().all(at_rest)
    }

    /// The leave of this connection's member, if it is leaving.
    pub(super) fn leaving(&self, connection: ConnectionSlot) -> Option<Leaving> {
        let mut leaving = self.leaving.iter();
        leaving.find(|leaving| leaving.connection == connection).copied()
    }

    pub(super) fn join(&mut self, member: Member) -> MemberSlot {
        let slot = MemberSlot::new(self.all.len());
        if self.all.len() < limits::MEMBERS_VECTOR {
            // Exact growth saves memory, because most rooms stay small.
            self.all.reserve_exact(1);
        }
        self.all.push(member);
        slot
    }

    /// Marks a member as leaving; at most once per member.
    pub(super) fn leave(&mut self, leaving: Leaving) {
        debug_assert!(self.leaving(leaving.connection).is_none(), "a member leaves twice");
        self.leaving.push(leaving);
    }

    /// Removes a member; the last one moves into its slot.
    pub(super) fn remove(&mut self, slot: MemberSlot) -> Option<Removed> {
        self.get(slot)?;
        let removed_member = self.all.swap_remove(slot.index());
        let leaving = self
            .leaving
            .iter()
            .position(|leaving| leaving.connection == removed_member.connection);
        let leaving = leaving.map(|at| self.leaving.swap_remove(at));
        Some(Removed {
            request: leaving.and_then(|leaving| leaving.request),
            moved: self.get(slot).map(|member| member.connection),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(connection: u32) -> Member {
        Member {
            connection: ConnectionSlot::new(connection),
            feed: Feed::Live,
            cursor: 0,
            seq: 0,
        }
    }

    #[test]
    fn the_last_member_moves_into_the_slot_of_a_removed_one() {
        let mut members = Members::default();
        let slots: Vec<_> = (0..3).map(|connection| members.join(member(connection))).collect();
        let removed = members.remove(slots[0]).unwrap();
        assert_eq!((removed.request, removed.moved), (None, Some(ConnectionSlot::new(2))));
        assert_eq!(members.get(slots[0]).unwrap().connection, ConnectionSlot::new(2));
        assert_eq!(members.remove(slots[1]).unwrap().moved, None, "it was the last itself");
        assert_eq!(members.remove(slots[1]), None);
    }

    #[test]
    fn a_leaving_member_does_not_count_as_staying_and_its_removal_returns_its_request() {
        let mut members = Members::default();
        let (ada, bob) = (members.join(member(0)), members.join(member(1)));
        let request = std::num::NonZeroU64::new(7);
        members.leave(Leaving {
            connection: ConnectionSlot::new(1),
            until: 0,
            seq: 0,
            request,
        });
        assert!(members.any_staying() && !members.are_at_rest(0));
        assert!(members.remove(ada).unwrap().moved.is_some());
        assert!(!members.any_staying() && !members.is_empty());
        assert_eq!(members.remove(ada).unwrap().request, request, "bob has ada's slot");
        let _ = bob;
        assert!(members.is_empty());
    }
}
