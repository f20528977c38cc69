//! The lists that a client requests: the users of a room, and the rooms of this shard.

use std::{ops::Bound, sync::Arc};

use super::OwnedRooms;
use crate::chat::{Effect, ListOrder, Page, Reply, RequestId, RoomEntry, RoomName, SessionId, UserList, world::MARKED};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoomScope {
    /// Those of the common world, for clients.
    Common,
    /// Those of all worlds, for the operator.
    All,
}

impl OwnedRooms {
    /// A page of the users of a room. An unknown room has none.
    pub(crate) fn users(
        &mut self,
        name: &RoomName,
        session: SessionId,
        id: RequestId,
        page: &Page,
        now_ms: u64,
    ) -> Effect {
        let settings = self.settings;
        let (users, next) = match self.rooms.get_mut(name) {
            None => (empty_list(), None),
            Some(room) => room.page(page, &settings, now_ms),
        };
        let room = name.clone();
        Effect::answer(session, id, Reply::UserPage { room, users, next })
    }

    pub(crate) fn roster(&mut self, name: &RoomName, order: ListOrder, now_ms: u64) -> UserList {
        let settings = self.settings;
        self.rooms
            .get_mut(name)
            .map_or_else(empty_list, |room| room.list(order, &settings, now_ms))
    }

    /// The first `limit` rooms after `after`, by name.
    pub(crate) fn rooms(&self, scope: RoomScope, after: Option<&str>, limit: usize) -> Vec<RoomEntry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (first_marked, behind_marked) = MARKED;
        let (until, behind) = match scope {
            RoomScope::All => (Bound::Unbounded, None),
            RoomScope::Common => {
                let marked = after.filter(|after| *after >= first_marked);
                let behind = after.filter(|after| *after >= behind_marked);
                let until = marked.map_or(Bound::Excluded(first_marked), Bound::Included);
                (
                    until,
                    Some(behind.map_or(Bound::Included(behind_marked), Bound::Excluded)),
                )
            }
        };
        // Rooms of apps sort between the other rooms, so these are two ranges.
        let before = self.names.range::<str, _>((from, until));
        let behind = behind.map(|behind| self.names.range::<str, _>((behind, Bound::Unbounded)));
        before
            .chain(behind.into_iter().flatten())
            .take(limit)
            .map(|name| match self.rooms.get(name) {
                Some(room) => RoomEntry {
                    name: name.clone(),
                    topic: room.topic(),
                    online: room.online(),
                },
                None => RoomEntry {
                    name: name.clone(),
                    topic: self.kept.get(name).cloned().unwrap_or_default(),
                    online: 0,
                },
            })
            .collect()
    }
}

pub(super) fn empty_list() -> UserList {
    UserList {
        online: 0,
        names: Arc::from([]),
    }
}
