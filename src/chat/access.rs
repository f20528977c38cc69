//! Who may enter which room.

use std::collections::BTreeSet;

use super::{RoomName, UserName, local};

/// Lists of members, by room. Only listed users may enter a room with a list. A room without one is open, unless it is a group and groups
/// are closed. The lobby is always open.
#[derive(Debug, Clone, Default)]
pub struct Access {
    lists: foldhash::HashMap<RoomName, BTreeSet<UserName>>,
    groups: Groups,
}

/// Whether a group without a list is open.
#[derive(Debug, Clone, Default)]
pub enum Groups {
    #[default]
    Open,
    Closed {
        /// A room is a group if its name, without the mark of a world, begins with this.
        prefix: &'static str,
        /// These rooms are groups too.
        rooms: BTreeSet<RoomName>,
    },
}

impl Access {
    pub fn new(groups: Groups) -> Self {
        Self {
            lists: Default::default(),
            groups,
        }
    }

    pub fn admits(&self, room: &RoomName, user: &UserName) -> bool {
        if *room == RoomName::lobby() {
            return true;
        }
        match self.lists.get(room) {
            Some(members) => members.contains(user),
            None => match &self.groups {
                Groups::Open => true,
                Groups::Closed { prefix, rooms } => !local(room.as_str()).starts_with(prefix) && !rooms.contains(room),
            },
        }
    }

    pub fn members(&self, room: &RoomName) -> Option<&BTreeSet<UserName>> {
        self.lists.get(room)
    }

    /// Sets or removes the list of a room.
    pub fn set(&mut self, room: RoomName, members: Option<BTreeSet<UserName>>) {
        match members {
            Some(members) => self.lists.insert(room, members),
            None => self.lists.remove(&room),
        };
    }

    pub fn listed(&self) -> impl Iterator<Item = &RoomName> {
        self.lists.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    #[test]
    fn a_list_closes_its_room_to_everybody_else() {
        let mut access = Access::default();
        access.set(room("group:7"), Some(BTreeSet::from([user("1")])));
        assert!(access.admits(&room("group:7"), &user("1")));
        assert!(!access.admits(&room("group:7"), &user("2")));
        assert!(access.admits(&room("group:8"), &user("2")));
        access.set(room("group:7"), None);
        assert!(access.admits(&room("group:7"), &user("2")));
    }

    #[test]
    fn groups_without_a_list_can_be_closed_and_the_lobby_cannot() {
        let rooms = BTreeSet::from([room("games"), RoomName::lobby()]);
        let mut access = Access::new(Groups::Closed {
            prefix: "group:",
            rooms,
        });
        for (name, admitted) in [
            ("group:7", false),
            ("⟦2⟧group:7", false),
            ("games", false),
            ("tea", true),
            ("lobby", true),
        ] {
            assert_eq!(access.admits(&room(name), &user("1")), admitted, "{name}");
        }
        access.set(RoomName::lobby(), Some(BTreeSet::new()));
        assert!(access.admits(&RoomName::lobby(), &user("1")));
    }
}
