//! The rooms that have members on this shard: the rings, their members, and the memberships of each connection.
//!
//! Invariants, which [`Rooms::check`] tests:
//! - `by_name` has a ring as long as one of its members is not leaving. For exactly that time the room's owner counts this shard
//!   and sends it every event. A session that joins later gets a new ring, which has no hole. Leaving members that have not read
//!   everything keep the old ring, which is no longer in `by_name`.
//! - The two ends of a membership point at each other: [`Member`] names the connection, [`Membership`] the slots.
//! - `members` is the sum over all rings.
//! - A ring without members does not exist.
//!
//! The methods of this file change state and send nothing; the other files are listed in [`super`].

use std::{collections::HashMap, sync::Arc};

use super::{
    attendance::{Attendance, Membership, MembershipState},
    counts::RoomCounts,
    delivery::{Batches, DeliveryFailure},
    members::{Feed, Leaving, Member},
    pacer::PaceSettings,
    rings::{Durability, Rings, RoomRing},
    schedule::{FlushState, Schedule},
};
use crate::{
    chat::{Joined, RequestId, RoomName, SessionId},
    shard::{
        event::room::RoomEvent, ids::RoomSlot, per_connection::PerConnection, settings::ShardSettings, time::Moment,
    },
};

/// Why a shard refuses a join without asking the room's owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JoinRefusal {
    AlreadyMember,
    /// The session is in this many rooms, which is the most.
    TooMany(usize),
}

pub(crate) struct Rooms {
    pub(super) rings: Rings,
    pub(super) by_name: HashMap<RoomName, RoomSlot, foldhash::fast::RandomState>,
    pub(super) attendance: PerConnection<Attendance>,
    members: usize,
    pub(super) schedule: Schedule,
    pub(super) batches: Batches,
    pub(super) failures: Vec<DeliveryFailure>,
    pub(super) pacing: PaceSettings,
    pub(super) counts: RoomCounts,
    /// Number of the last replay, or of the last question about a new member.
    pub(super) number: u32,
}

impl Rooms {
    pub(crate) fn new(settings: &ShardSettings, shards: usize) -> Self {
        Self {
            rings: Rings::new(settings),
            by_name: HashMap::default(),
            attendance: PerConnection::default(),
            members: 0,
            schedule: Schedule::default(),
            batches: Batches::default(),
            failures: Vec::new(),
            pacing: PaceSettings {
                factor: settings.pace,
                apart_us: settings.flush_max.as_micros() as u64,
                shards,
            },
            counts: RoomCounts::default(),
            number: 0,
        }
    }

    /// Members of all rooms on this shard.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    pub(crate) fn counts(&mut self) -> &mut RoomCounts {
        &mut self.counts
    }

    /// Bytes of the events of all rings.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.rings.bytes()
    }

    /// The slot of a room, unless all its members are leaving.
    pub(crate) fn find(&self, room: &RoomName) -> Option<RoomSlot> {
        self.by_name.get(room).copied()
    }

    /// Notes that a session asks to join, until the owner answers.
    pub(crate) fn ask_to_join(&mut self, id: SessionId, room: &RoomName, most: usize) -> Result<(), JoinRefusal> {
        // Compares names, because `find` does not find a ring whose members are all leaving.
        let is_here = |membership: &Membership| self.rings.get(membership.room).is_some_and(|ring| ring.name == *room);
        let attendance = self.attendance.entry(id);
        if attendance.rooms.iter().any(is_here) || attendance.joining.contains(room) {
            return Err(JoinRefusal::AlreadyMember);
        }
        let count = attendance.rooms.len() + attendance.joining.len();
        if count >= most {
            return Err(JoinRefusal::TooMany(count));
        }
        attendance.joining.push(room.clone());
        Ok(())
    }

    /// Ends a join that the owner refused.
    pub(crate) fn refuse(&mut self, id: SessionId, room: &RoomName) {
        if let Some(attendance) = self.attendance.get_mut(id) {
            attendance.joining.retain(|joining| joining != room);
        }
    }

    /// Adds a member that the owner admitted. Returns false if the session has ended or left meanwhile.
    pub(crate) fn admit(&mut self, id: SessionId, feed: Feed, joined: &Joined) -> bool {
        let Some(attendance) = self.attendance.get_mut(id) else {
            return false;
        };
        let Some(at) = attendance.joining.iter().position(|room| *room == joined.room) else {
            return false;
        };
        attendance.joining.remove(at);
        let room = match self.by_name.get(&joined.room) {
            Some(room) => *room,
            None => {
                let room = self.rings.insert(RoomRing::new(joined));
                self.by_name.insert(joined.room.clone(), room);
                room
            }
        };
        let Some(ring) = self.rings.get_mut(room) else {
            return false;
        };
        let member = ring.members.join(Member {
            connection: id.slot(),
            feed,
            cursor: ring.events().end(),
            seq: joined.head.seq,
        });
        self.members += 1;
        let state = MembershipState::Member;
        attendance.rooms.push(Membership { room, member, state });
        true
    }

    /// Notes that a session asks to leave. Returns whether it is in the room or joining it.
    pub(crate) fn ask_to_leave(&mut self, id: SessionId, room: &RoomName) -> bool {
        let slot = self.find(room);
        let Some(attendance) = self.attendance.get_mut(id) else {
            return false;
        };
        let mut memberships = attendance.rooms.iter_mut();
        let member =
            memberships.find(|membership| Some(membership.room) == slot && membership.state == MembershipState::Member);
        match member {
            Some(membership) => {
                membership.state = MembershipState::AskedToLeave;
                true
            }
            None => attendance.joining.contains(room),
        }
    }

    /// Notes that a session asks to leave all its rooms, and returns them, with those that it is joining.
    pub(crate) fn ask_to_leave_all(&mut self, id: SessionId) -> Vec<RoomName> {
        let rooms = self.rooms_of(id);
        if let Some(attendance) = self.attendance.get_mut(id) {
            for membership in &mut attendance.rooms {
                if membership.state == MembershipState::Member {
                    membership.state = MembershipState::AskedToLeave;
                }
            }
        }
        rooms
    }

    /// Marks a member that the owner has removed as leaving. It still gets the earlier events; [`Rooms::catch_up`] removes it
    /// after the last one. Returns whether the session was a member.
    pub(crate) fn dismiss(&mut self, id: SessionId, room: &RoomName, request: RequestId) -> bool {
        let Some(slot) = self.find(room) else { return false };
        let Some(attendance) = self.attendance.get_mut(id) else {
            return false;
        };
        let mut memberships = attendance.rooms.iter_mut();
        let (Some(membership), Some(ring)) = (
            memberships.find(|membership| membership.room == slot && membership.state != MembershipState::Leaving),
            self.rings.get_mut(slot),
        ) else {
            return false;
        };
        membership.state = MembershipState::Leaving;
        ring.members.leave(Leaving {
            connection: id.slot(),
            until: ring.events().end(),
            seq: ring.events().head_seq(),
            request,
        });
        self.remove_if_all_left(slot);
        true
    }

    /// Removes a session that is over from all rooms. Returns the rooms whose owners need its leave: those that it is in or is
    /// joining, without those that it has asked to leave.
    pub(crate) fn remove(&mut self, id: SessionId) -> Vec<RoomName> {
        let Some(attendance) = self.attendance.take(id) else {
            return Vec::new();
        };
        let mut rooms = attendance.joining;
        for membership in attendance.rooms {
            if membership.state == MembershipState::Member
                && let Some(ring) = self.rings.get(membership.room)
            {
                rooms.push(ring.name.clone());
            }
            self.remove_member(membership);
        }
        rooms
    }

    /// Removes a member from its ring. The caller removes the other end of the membership.
    pub(super) fn remove_member(&mut self, membership: Membership) -> RequestId {
        let ring = self.rings.get_mut(membership.room)?;
        let removed = ring.members.remove(membership.member)?;
        self.members -= 1;
        if let FlushState::Walking(walk) = &mut ring.flush {
            walk.disturbed = true;
        }
        if let Some(moved) = removed.moved
            && let Some(attendance) = self.attendance.at_mut(moved)
            && let Some(other) = attendance.rooms.iter_mut().find(|other| other.room == membership.room)
        {
            other.member = membership.member;
        }
        self.remove_if_all_left(membership.room);
        removed.request
    }

    fn remove_if_all_left(&mut self, room: RoomSlot) {
        let Some(ring) = self.rings.get(room) else {
            return;
        };
        if ring.members.any_staying() {
            return;
        }
        if self.by_name.get(&ring.name) == Some(&room) {
            self.by_name.remove(&ring.name);
        }
        if ring.members.is_empty() {
            self.rings.remove(room);
        }
    }

    pub(super) fn memberships(&self, id: SessionId) -> &[Membership] {
        self.attendance.get(id).map_or(&[], |attendance| &attendance.rooms)
    }

    pub(super) fn membership_at(&self, id: SessionId, room: RoomSlot) -> Option<Membership> {
        let mut memberships = self.memberships(id).iter();
        memberships.find(|membership| membership.room == room).copied()
    }

    /// This session as a member of a room.
    pub(super) fn member(&mut self, id: SessionId, room: &RoomName) -> Option<&mut Member> {
        let membership = self.membership_at(id, self.find(room)?)?;
        let ring = self.rings.get_mut(membership.room)?;
        ring.members.get_mut(membership.member)
    }

    /// Whether a session is a member and has not asked to leave.
    pub(crate) fn is_member(&self, id: SessionId, room: &RoomName) -> bool {
        let membership = self.find(room).and_then(|slot| self.membership_at(id, slot));
        membership.is_some_and(|membership| membership.state == MembershipState::Member)
    }

    pub(crate) fn is_joining(&self, id: SessionId, room: &RoomName) -> bool {
        self.attendance
            .get(id)
            .is_some_and(|attendance| attendance.joining.contains(room))
    }

    /// Number of a session's joins that owners have not answered.
    pub(crate) fn joins(&self, id: SessionId) -> usize {
        self.attendance.get(id).map_or(0, |attendance| attendance.joining.len())
    }

    /// Whether a session is leaving this room, or any room.
    pub(crate) fn is_leaving(&self, id: SessionId, room: Option<&RoomName>) -> bool {
        self.memberships(id).iter().any(|membership| {
            let ring = self.rings.get(membership.room);
            membership.state != MembershipState::Member
                && ring.is_some_and(|ring| room.is_none_or(|room| ring.name == *room))
        })
    }

    /// Number of rooms that a session is in, is leaving, or is joining.
    pub(crate) fn count(&self, id: SessionId) -> usize {
        self.memberships(id).len() + self.joins(id)
    }

    /// The rooms that a session is in or is joining, without those that it is leaving.
    pub(crate) fn rooms_of(&self, id: SessionId) -> Vec<RoomName> {
        let Some(attendance) = self.attendance.get(id) else {
            return Vec::new();
        };
        let stays = attendance
            .rooms
            .iter()
            .filter(|membership| membership.state == MembershipState::Member);
        let rings = stays.filter_map(|membership| self.rings.get(membership.room));
        attendance
            .joining
            .iter()
            .chain(rings.map(|ring| &ring.name))
            .cloned()
            .collect()
    }

    /// The rooms whose events a session gets, with those that it is leaving.
    pub(crate) fn receiving(&self, id: SessionId) -> impl Iterator<Item = &RoomName> {
        let rings = self
            .memberships(id)
            .iter()
            .filter_map(|membership| self.rings.get(membership.room));
        rings.map(|ring| &ring.name)
    }

    /// Appends an event to the ring of its room and plans the flush.
    pub(crate) fn append(&mut self, room: RoomSlot, event: Arc<RoomEvent>, now: Moment) {
        self.rings.append(room, event, now.ms);
        self.plan_flush(room, now.us);
    }

    /// Whether `coming` more bytes make the ring of an ephemeral room half full. Beyond that, the ring may drop unsent events,
    /// which no store has.
    pub(crate) fn is_half_full(&self, room: RoomSlot, coming: usize) -> bool {
        let ring = self.rings.get(room);
        ring.is_some_and(|ring| {
            ring.durability == Durability::Ephemeral && self.rings.is_half(ring.events().bytes() + coming)
        })
    }

    /// Whether a member's unsent events, with `coming` more bytes, are more than half a ring; `None` if the session is no member.
    pub(crate) fn is_half_behind(&self, id: SessionId, room: RoomSlot, coming: usize) -> Option<bool> {
        let membership = self.membership_at(id, room)?;
        let ring = self.rings.get(room)?;
        let member = ring.members.get(membership.member)?;
        Some(self.rings.is_half(ring.events().bytes_after(member.cursor) + coming))
    }

    /// Drops expired and excess events from a bounded number of rings.
    pub(crate) fn tick(&mut self, now: Moment) {
        self.rings.tick(now.ms);
    }
}
