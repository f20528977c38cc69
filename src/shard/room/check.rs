//! The invariants of [`Rooms`], for tests to check between its methods.

use super::{attendance::MembershipState, rooms::Rooms};
use crate::{chat::ConnectionSlot, shard::ids::MemberSlot};

impl Rooms {
    /// Checks what holds between any two methods.
    pub(crate) fn check(&self) {
        let (mut members, mut bytes, mut names) = (0, 0, 0);
        for (slot, ring) in self.rings.iter() {
            let is_named = self.find(&ring.name) == Some(slot);
            assert_eq!(is_named, ring.members.any_staying(), "the ring of {}", ring.name);
            assert!(!ring.members.is_empty(), "a ring without members stays");
            names += usize::from(is_named);
            members += ring.members.len();
            bytes += ring.events().bytes();
            for (index, member) in ring.members.iter().enumerate() {
                assert!(member.cursor <= ring.events().end());
                let mut attendances = self.attendance.iter();
                let (_, attendance) = attendances.find(|(slot, _)| *slot == member.connection).unwrap();
                let ends = attendance.rooms.iter().filter(|membership| membership.room == slot);
                let ends: Vec<_> = ends.map(|membership| membership.member).collect();
                assert_eq!(ends, [MemberSlot::new(index)], "the other end of a membership");
            }
        }
        assert_eq!(self.members(), members, "the members of all rings");
        assert_eq!(self.ring_bytes(), bytes, "the bytes of all rings");
        assert_eq!(self.by_name.len(), names, "a name without a ring");
        for (connection, attendance) in self.attendance.iter() {
            for membership in &attendance.rooms {
                let ring = &self.rings.get(membership.room).unwrap();
                let is_leaving = ring.members.leaving(connection).is_some();
                assert_eq!(is_leaving, membership.state == MembershipState::Leaving);
                assert_eq!(ring.members.get(membership.member).unwrap().connection, connection);
            }
        }
    }

    /// Also checks what holds when nothing is in flight: a member whose socket is not full has every event.
    pub(crate) fn check_rest(&self, is_blocked: impl Fn(ConnectionSlot) -> bool) {
        self.check();
        for (_, ring) in self.rings.iter() {
            for member in ring.members.iter() {
                let is_behind = member.cursor < ring.events().end() && !is_blocked(member.connection);
                assert!(!is_behind, "a member was forgotten by the flush");
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rings.iter().next().is_none()
    }
}
