//! The rooms that have members on this shard: a ring of recent events each, and who reads it.
//!
//! Invariants, which [`Rooms::check`] tests:
//! - A ring is found by its room's name exactly while a member stays in it. The owner counts the shard just as long, and sends
//!   it every event. Who joins after the last member left gets a new ring without a hole; who still reads what happened before
//!   it left keeps the old ring, which has no name any more.
//! - The two ends of a membership point at each other: [`Member`] names the connection, [`Membership`] the slots.
//! - `members` is the sum over all rings.
//! - A ring that has no members is gone.
//!
//! This type sends nothing to other shards and closes no connection: what is to be done is returned to the engine.

use std::{collections::HashMap, sync::Arc};

use super::{
    attendance::{Attendance, Membership, Stay},
    delivery::Batches,
    event::RoomEvent,
    members::{Hold, Leaving, Member},
    outcome::{JoinRefusal, Trouble},
    pacer::PaceSettings,
    rings::{Durability, Rings, RoomRing},
    schedule::{FlushState, Schedule},
};
use crate::{
    chat::{Joined, RequestId, RoomName, SessionId},
    shard::{ids::RoomSlot, per_connection::PerConnection, settings::Settings, time::Moment},
};

pub(crate) struct Rooms {
    pub(super) rings: Rings,
    pub(super) by_name: HashMap<RoomName, RoomSlot, foldhash::fast::RandomState>,
    pub(super) attendance: PerConnection<Attendance>,
    /// Members of all rooms.
    members: usize,
    pub(super) schedule: Schedule,
    pub(super) batches: Batches,
    pub(super) troubles: Vec<Trouble>,
    pub(super) pacing: PaceSettings,
    /// Of the newest question to the store.
    pub(super) number: u32,
}

impl Rooms {
    pub(crate) fn new(settings: &Settings, shards: usize) -> Self {
        Self {
            rings: Rings::new(settings),
            by_name: HashMap::default(),
            attendance: PerConnection::default(),
            members: 0,
            schedule: Schedule::default(),
            batches: Batches::default(),
            troubles: Vec::new(),
            pacing: settings.pacing(shards),
            number: 0,
        }
    }

    /// Members of all rooms.
    pub(crate) fn members(&self) -> usize {
        self.members
    }

    /// Bytes of the events of all rings.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.rings.bytes()
    }

    /// The ring of a room in which some member stays.
    pub(crate) fn find(&self, room: &RoomName) -> Option<RoomSlot> {
        self.by_name.get(room).copied()
    }

    /// The session asks to join: noted until the owner's answer comes.
    pub(crate) fn ask_to_join(&mut self, id: SessionId, room: &RoomName, most: usize) -> Result<(), JoinRefusal> {
        // By name: a ring that is only read by members that leave is not found.
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

    /// The owner has refused a join.
    pub(crate) fn refuse(&mut self, id: SessionId, room: &RoomName) {
        if let Some(attendance) = self.attendance.get_mut(id) {
            attendance.joining.retain(|joining| joining != room);
        }
    }

    /// The owner has taken the session in; whether it was waiting for that. One that departed meanwhile is not.
    pub(crate) fn admit(&mut self, id: SessionId, hold: Hold, joined: &Joined) -> bool {
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
            hold,
            cursor: ring.events().end(),
            seq: joined.head.seq,
        });
        self.members += 1;
        let stay = Stay::Member;
        attendance.rooms.push(Membership { room, member, stay });
        true
    }

    /// The session asks to leave; whether there is anything to leave.
    pub(crate) fn ask_to_leave(&mut self, id: SessionId, room: &RoomName) -> bool {
        let slot = self.find(room);
        let Some(attendance) = self.attendance.get_mut(id) else {
            return false;
        };
        let mut memberships = attendance.rooms.iter_mut();
        let member = memberships.find(|membership| Some(membership.room) == slot && membership.stay == Stay::Member);
        match member {
            Some(membership) => {
                membership.stay = Stay::AskedToLeave;
                true
            }
            None => attendance.joining.contains(room),
        }
    }

    /// The session asks to leave all its rooms, and those that it is joining: these.
    pub(crate) fn ask_to_leave_all(&mut self, id: SessionId) -> Vec<RoomName> {
        let rooms = self.rooms_of(id);
        if let Some(attendance) = self.attendance.get_mut(id) {
            for membership in &mut attendance.rooms {
                if membership.stay == Stay::Member {
                    membership.stay = Stay::AskedToLeave;
                }
            }
        }
        rooms
    }

    /// The owner has let the session go. It is still sent what happened before that; [`Rooms::catch_up`] says when it has been.
    /// Whether it was a member.
    pub(crate) fn dismiss(&mut self, id: SessionId, room: &RoomName, request: RequestId) -> bool {
        let Some(slot) = self.find(room) else { return false };
        let Some(attendance) = self.attendance.get_mut(id) else {
            return false;
        };
        let mut memberships = attendance.rooms.iter_mut();
        let (Some(membership), Some(ring)) = (
            memberships.find(|membership| membership.room == slot && membership.stay != Stay::Leaving),
            self.rings.get_mut(slot),
        ) else {
            return false;
        };
        membership.stay = Stay::Leaving;
        ring.members.leave(Leaving {
            connection: id.slot(),
            until: ring.events().end(),
            seq: ring.events().head_seq(),
            request,
        });
        self.close_if_nobody_stays(slot);
        true
    }

    /// The session is over: it is in no room any more. The rooms whose owners still count it, or are about to.
    pub(crate) fn remove(&mut self, id: SessionId) -> Vec<RoomName> {
        let Some(attendance) = self.attendance.take(id) else {
            return Vec::new();
        };
        let mut rooms = attendance.joining;
        for membership in attendance.rooms {
            if membership.stay == Stay::Member
                && let Some(ring) = self.rings.get(membership.room)
            {
                rooms.push(ring.name.clone());
            }
            self.remove_member(membership);
        }
        rooms
    }

    /// Takes a member out of its ring. The caller removes the other end of the membership.
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
        self.close_if_nobody_stays(membership.room);
        removed.request
    }

    fn close_if_nobody_stays(&mut self, room: RoomSlot) {
        let Some(ring) = self.rings.get(room) else {
            return;
        };
        if ring.members.some_stay() {
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

    /// Whether the session is a member that has not asked to leave.
    pub(crate) fn is_member(&self, id: SessionId, room: &RoomName) -> bool {
        let membership = self.find(room).and_then(|slot| self.membership_at(id, slot));
        membership.is_some_and(|membership| membership.stay == Stay::Member)
    }

    pub(crate) fn is_joining(&self, id: SessionId, room: &RoomName) -> bool {
        self.attendance
            .get(id)
            .is_some_and(|attendance| attendance.joining.contains(room))
    }

    /// How many joins of the session the owners have not answered.
    pub(crate) fn joins(&self, id: SessionId) -> usize {
        self.attendance.get(id).map_or(0, |attendance| attendance.joining.len())
    }

    /// Whether the session is on its way out of this room, or of any.
    pub(crate) fn is_leaving(&self, id: SessionId, room: Option<&RoomName>) -> bool {
        self.memberships(id).iter().any(|membership| {
            let ring = self.rings.get(membership.room);
            membership.stay != Stay::Member && ring.is_some_and(|ring| room.is_none_or(|room| ring.name == *room))
        })
    }

    /// How many rooms the session is in, on its way out of, or joining.
    pub(crate) fn count(&self, id: SessionId) -> usize {
        self.memberships(id).len() + self.joins(id)
    }

    /// The rooms that a session is in, or has asked to be in.
    pub(crate) fn rooms_of(&self, id: SessionId) -> Vec<RoomName> {
        let Some(attendance) = self.attendance.get(id) else {
            return Vec::new();
        };
        let stays = attendance
            .rooms
            .iter()
            .filter(|membership| membership.stay == Stay::Member);
        let rings = stays.filter_map(|membership| self.rings.get(membership.room));
        attendance
            .joining
            .iter()
            .chain(rings.map(|ring| &ring.name))
            .cloned()
            .collect()
    }

    /// The rooms of which a session is sent events: also those that it leaves.
    pub(crate) fn heard_by(&self, id: SessionId) -> impl Iterator<Item = &RoomName> {
        let rings = self
            .memberships(id)
            .iter()
            .filter_map(|membership| self.rings.get(membership.room));
        rings.map(|ring| &ring.name)
    }

    /// Appends an event to the ring of its room, and plans the flush.
    pub(crate) fn append(&mut self, room: RoomSlot, event: Arc<RoomEvent>, now: Moment) {
        self.rings.append(room, event, now.ms);
        self.plan_flush(room, now.us);
    }

    /// Whether the ring of an ephemeral room is half full with an event of so many bytes: more may drop what a member has not
    /// been sent.
    pub(crate) fn is_half_full(&self, room: RoomSlot, coming: usize) -> bool {
        let ring = self.rings.get(room);
        ring.is_some_and(|ring| {
            ring.durability == Durability::Ephemeral && self.rings.is_half(ring.events().bytes() + coming)
        })
    }

    /// Whether the events that wait for this member are half a ring, with one of so many bytes; `None`: it is no member.
    pub(crate) fn is_half_behind(&self, id: SessionId, room: RoomSlot, coming: usize) -> Option<bool> {
        let membership = self.membership_at(id, room)?;
        let ring = self.rings.get(room)?;
        let member = ring.members.get(membership.member)?;
        Some(self.rings.is_half(ring.events().bytes_after(member.cursor) + coming))
    }

    /// Forgets what is too old or too much, some rings at a time.
    pub(crate) fn tick(&mut self, now: Moment) {
        self.rings.tick(now.ms);
    }
}
