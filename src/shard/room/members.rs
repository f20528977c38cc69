//! The members of one room on this shard.
//!
//! Invariants:
//! - A member that leaves stays in the list until it has been sent what happened before it left.
//! - Only [`Members::remove`] changes the slot of another member, and its result names that member's connection, so that
//!   [`super::rooms::Rooms`] can update the other end of the membership.

use crate::{
    chat::{ConnectionSlot, RequestId, Seq},
    limits,
    shard::ids::MemberSlot,
};

/// A member is a cursor. Events that it has not been sent are in the ring and not copied for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(super) connection: ConnectionSlot,
    pub(super) hold: Hold,
    /// The index of the next event to send.
    pub(super) cursor: u64,
    /// The last message that was sent.
    pub(super) seq: Seq,
}

/// Whether a member is sent live events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Live,
    /// Its cursor waits: first it is sent what it missed, or its dialect has to show.
    Held,
}

/// Where a member that leaves stops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) connection: ConnectionSlot,
    /// The first event that it is not sent.
    pub(super) until: u64,
    /// The last message before that.
    pub(super) seq: Seq,
    /// The request to leave, to be answered when the member goes.
    pub(super) request: RequestId,
}

/// The members of one room, in no order.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
    leaving: Vec<Leaving>,
}

/// What removing a member leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    /// The request with which it left; empty if it did not ask or is not let go in order.
    pub(super) request: RequestId,
    /// The connection of the member that has its slot now.
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

    /// The member that a walk serves after so many others.
    pub(super) fn at_mut(&mut self, index: usize) -> Option<&mut Member> {
        self.all.get_mut(index)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.iter()
    }

    /// Whether some member stays. While one does, the room's owner counts this shard and sends it every event.
    pub(super) fn some_stay(&self) -> bool {
        self.leaving.len() < self.all.len()
    }

    /// Whether all of them stay, are live and have been sent everything before `end`.
    pub(super) fn are_at_rest(&self, end: u64) -> bool {
        let at_rest = |member: &Member| member.cursor == end && member.hold == Hold::Live;
        self.leaving.is_empty() && self.all.iter().all(at_rest)
    }

    /// Where the member of this connection stops, if it leaves.
    pub(super) fn leaving(&self, connection: ConnectionSlot) -> Option<Leaving> {
        let mut leaving = self.leaving.iter();
        leaving.find(|leaving| leaving.connection == connection).copied()
    }

    pub(super) fn join(&mut self, member: Member) -> MemberSlot {
        let slot = MemberSlot::new(self.all.len());
        if self.all.len() < limits::MEMBERS_VECTOR {
            // Most rooms stay small.
            self.all.reserve_exact(1);
        }
        self.all.push(member);
        slot
    }

    /// A member begins to leave; once only.
    pub(super) fn leave(&mut self, leaving: Leaving) {
        debug_assert!(self.leaving(leaving.connection).is_none(), "a member leaves twice");
        self.leaving.push(leaving);
    }

    /// Takes a member out; the last one takes its slot.
    pub(super) fn remove(&mut self, slot: MemberSlot) -> Option<Removed> {
        self.get(slot)?;
        let gone = self.all.swap_remove(slot.index());
        let leaving = self
            .leaving
            .iter()
            .position(|leaving| leaving.connection == gone.connection);
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
            hold: Hold::Live,
            cursor: 0,
            seq: 0,
        }
    }

    #[test]
    fn the_last_member_takes_the_slot_of_one_that_goes() {
        let mut members = Members::default();
        let slots: Vec<_> = (0..3).map(|connection| members.join(member(connection))).collect();
        let removed = members.remove(slots[0]).unwrap();
        assert_eq!((removed.request, removed.moved), (None, Some(ConnectionSlot::new(2))));
        assert_eq!(members.get(slots[0]).unwrap().connection, ConnectionSlot::new(2));
        assert_eq!(members.remove(slots[1]).unwrap().moved, None, "it was the last itself");
        assert_eq!(members.remove(slots[1]), None);
    }

    #[test]
    fn a_member_that_leaves_does_not_stay_and_takes_its_request_along() {
        let mut members = Members::default();
        let (ada, bob) = (members.join(member(0)), members.join(member(1)));
        let request = std::num::NonZeroU64::new(7);
        members.leave(Leaving {
            connection: ConnectionSlot::new(1),
            until: 0,
            seq: 0,
            request,
        });
        assert!(members.some_stay() && !members.are_at_rest(0));
        assert!(members.remove(ada).unwrap().moved.is_some());
        assert!(!members.some_stay() && !members.is_empty());
        assert_eq!(members.remove(ada).unwrap().request, request, "bob has ada's slot");
        let _ = bob;
        assert!(members.is_empty());
    }
}
