//! The operator's commands for rooms: keep one open, set its topic or its list of members, close it.
//!
//! Clients have no access to these.

use std::{collections::BTreeSet, sync::Arc};

use super::{OwnedRooms, lists::empty_list};
use crate::{
    chat::{Effect, Effects, Happening, Page, RoomName, SessionId, UserList, UserName},
    limits,
};

/// A room as the admin API shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RoomDetails {
    pub topic: Arc<str>,
    /// Whether it stays open without members.
    pub kept: bool,
    /// The users who may enter; `None`: as in the settings.
    pub members: Option<BTreeSet<UserName>>,
    /// One page of the users in it.
    pub users: UserList,
    /// Where the next page begins, if there is one.
    pub next: Option<UserName>,
}

/// The result of closing a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Closed {
    pub sessions: usize,
    /// The leaves of the members, unless they wait for the store.
    pub effects: Effects,
}

/// The operator already keeps the maximum number of rooms open on this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyRooms;

impl OwnedRooms {
    pub(crate) fn describe(&mut self, name: &RoomName, page: &Page, now_ms: u64) -> Option<RoomDetails> {
        let settings = self.settings;
        let members = self.access.members(name).cloned();
        let kept = self.kept.get(name).cloned();
        let room = self.rooms.get_mut(name);
        if room.is_none() && kept.is_none() && members.is_none() {
            return None;
        }
        let (topic, (users, next)) = match room {
            Some(room) => (room.topic(), room.page(page, &settings, now_ms)),
            None => (kept.clone().unwrap_or_default(), (empty_list(), None)),
        };
        Some(RoomDetails {
            topic,
            kept: kept.is_some(),
            members,
            users,
            next,
        })
    }

    /// Keeps the room open from now on, even without members. Returns whether it was neither open nor kept open before.
    ///
    /// # Errors
    /// If [`limits::ROOMS_PINNED`] rooms are already kept open.
    pub(crate) fn keep(&mut self, name: &RoomName) -> Result<bool, TooManyRooms> {
        if self.kept.contains_key(name) {
            return Ok(false);
        }
        if self.kept.len() >= limits::ROOMS_PINNED {
            return Err(TooManyRooms);
        }
        let topic = self.rooms.get(name).map(|room| room.topic());
        let new = topic.is_none();
        self.kept.insert(name.clone(), topic.unwrap_or_default());
        self.names.insert(name.clone());
        Ok(new)
    }

    /// Sets the topic of a room that is kept open.
    pub(crate) fn set_kept_topic(&mut self, name: &RoomName, topic: Arc<str>) -> Option<Effect> {
        if let Some(kept) = self.kept.get_mut(name) {
            *kept = topic.clone();
        }
        let room = self.rooms.get_mut(name)?;
        room.set_topic(topic.clone());
        let from = UserName::operator();
        Some(Effect::broadcast(name, room.shards(), Happening::Topic { topic, from }))
    }

    /// Sets or removes the list of members of a room. Sessions that are no longer allowed there leave.
    pub(crate) fn set_members(&mut self, name: &RoomName, members: Option<BTreeSet<UserName>>) -> Effects {
        self.access.set(name.clone(), members);
        let access = &self.access;
        let room = self.rooms.get(name);
        let outsiders = room.map_or_else(Vec::new, |room| room.outsiders(|user| access.admits(name, user)));
        expel(outsiders, name)
    }

    /// Closes a room: it loses its topic and list, and its members leave. `None`: there is no such room.
    ///
    /// The members stay until the store has answered for all messages, so that they see these.
    pub(crate) fn close(&mut self, name: &RoomName) -> Option<Closed> {
        let listed = self.access.members(name).is_some();
        self.access.set(name.clone(), None);
        let kept = self.kept.remove(name).is_some();
        let Some(room) = self.rooms.get_mut(name) else {
            self.names.remove(name);
            return (kept || listed).then(Closed::default);
        };
        room.set_topic(Arc::from(""));
        let leaving = room.outsiders(|_| false);
        let sessions = leaving.len();
        let leave_now = if sessions > 0 && room.awaits_store() {
            room.close_after_store(leaving);
            Vec::new()
        } else {
            leaving
        };
        // If it has no members, it closes now or when the store has answered.
        self.close_if_empty(name);
        Some(Closed {
            sessions,
            effects: expel(leave_now, name),
        })
    }

    pub(crate) fn online(&self, name: &RoomName) -> Option<u32> {
        self.rooms.get(name).map(|room| room.online())
    }

    /// The names that satisfy `wanted`, of rooms that are open or have a list; at most `limit`.
    pub(crate) fn names(&self, wanted: impl Fn(&RoomName) -> bool, limit: usize) -> Vec<RoomName> {
        let names: BTreeSet<&RoomName> = self
            .names
            .iter()
            .chain(self.access.listed())
            .filter(|name| wanted(name))
            .collect();
        names.into_iter().take(limit).cloned().collect()
    }
}

fn expel(sessions: Vec<SessionId>, room: &RoomName) -> Effects {
    sessions
        .into_iter()
        .map(|session| Effect::expel(session, room))
        .collect()
}
