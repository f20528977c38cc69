//! The rooms that one shard owns: their members, numbers, topics and lists.
//!
//! A hash of its name gives every room one owner, which executes all commands about the room here. The [`Effect`]s are in the order in
//! which every member sees them.
//!
//! Invariants:
//! - A room without stored messages numbers its own: 1, 2, 3, … in a random epoch. In a durable room the store numbers.
//! - The count of users is exact, and a user is announced once, however many sessions it has.
//! - A room is open exactly while it has a member, a topic, or messages that the store has not answered.
//!
//! Nothing here touches a socket, reads a clock (time is a parameter) or encodes.

mod digest;
mod join;
mod leave;
mod lists;
mod messages;
mod operator;
mod room;

pub(crate) use lists::RoomScope;
pub(crate) use operator::{RoomDetails, TooManyRooms};
pub(crate) use room::key_conflict;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Access, Effect, ErrorCode, LogHead, Refusal, Reply, RequestId, RoomName, RoomSettings, SessionId, UserName,
};
use crate::limits;
use room::Room;

#[derive(Debug)]
pub(crate) struct OwnedRooms {
    rooms: foldhash::HashMap<RoomName, Box<Room>>,
    /// The names of `rooms` and of `kept`, sorted, so that a page of them costs no more than its length.
    names: BTreeSet<RoomName>,
    /// Rooms without members that stay open for their topic, in the order in which they lost their last member. The key is the room's
    /// `vacant_since`.
    vacant: BTreeMap<u64, RoomName>,
    /// The newest key in `vacant`.
    vacated: u64,
    /// The topics of the rooms that the operator keeps open without members.
    kept: foldhash::HashMap<RoomName, Arc<str>>,
    access: Access,
    settings: RoomSettings,
    /// Rooms with a scheduled digest.
    digests: Vec<RoomName>,
    /// Rooms with a scheduled list.
    scheduled_lists: Vec<RoomName>,
    random: fastrand::Rng,
}

impl OwnedRooms {
    /// No rooms yet. `seed` generates the epochs of ephemeral rooms.
    pub(crate) fn new(settings: RoomSettings, seed: u64) -> Self {
        Self {
            rooms: Default::default(),
            names: BTreeSet::new(),
            vacant: BTreeMap::new(),
            vacated: 0,
            kept: Default::default(),
            access: Access::default(),
            settings,
            digests: Vec::new(),
            scheduled_lists: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Sets which users may enter which rooms.
    #[must_use]
    pub(crate) fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.len()
    }

    pub(crate) fn knows(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    pub(crate) fn has(&self, room: &RoomName, session: SessionId) -> bool {
        self.rooms.get(room).is_some_and(|room| room.has(session))
    }

    /// Opens a durable room at the head of its log; does nothing if it is open.
    pub(crate) fn open_stored(&mut self, room: &RoomName, head: LogHead) {
        self.open_with(room, || Room::durable(head));
    }

    /// Opens an ephemeral room in a random epoch, if it is not open.
    fn open(&mut self, room: &RoomName) -> &mut Room {
        let epoch = self.random.u64(1..limits::EPOCH_END);
        self.open_with(room, || Room::ephemeral(epoch))
    }

    fn open_with(&mut self, name: &RoomName, new: impl FnOnce() -> Room) -> &mut Room {
        let (names, kept) = (&mut self.names, &self.kept);
        self.rooms.entry(name.clone()).or_insert_with(|| {
            names.insert(name.clone());
            let mut room = new();
            if let Some(topic) = kept.get(name) {
                room.set_topic(topic.clone());
            }
            Box::new(room)
        })
    }

    /// Closes a room without members. One with a topic stays open until [`limits::TOPICS_KEPT`] others have lost their last member after
    /// it.
    fn close_if_empty(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.is_empty()) else {
            return;
        };
        if !room.has_topic() {
            self.forget(name);
            return;
        }
        self.vacated += 1;
        if let Some(before) = room.set_vacant_since(Some(self.vacated)) {
            self.vacant.remove(&before);
        }
        self.vacant.insert(self.vacated, name.clone());
        while self.vacant.len() > limits::TOPICS_KEPT
            && let Some((_, oldest)) = self.vacant.pop_first()
        {
            self.forget(&oldest);
        }
    }

    /// Removes the room from `vacant`.
    fn occupy(&mut self, name: &RoomName) {
        let room = self.rooms.get_mut(name);
        if let Some(place) = room.and_then(|room| room.set_vacant_since(None)) {
            self.vacant.remove(&place);
        }
    }

    fn forget(&mut self, name: &RoomName) {
        self.occupy(name);
        self.rooms.remove(name);
        if !self.kept.contains_key(name) {
            self.names.remove(name);
        }
    }

    fn member(&mut self, name: &RoomName, session: SessionId) -> Option<(&mut Room, UserName)> {
        let room = self.rooms.get_mut(name)?;
        let user = room.user(session)?;
        Some((room, user))
    }
}

fn not_member(session: SessionId, id: RequestId, room: &RoomName) -> Effect {
    let refusal: Refusal =
        ErrorCode::NotMember.because(format!("this session is not in the room {room}; join it first"));
    Effect::answer(session, id, Reply::Error(refusal))
}
