//! Settings of document 003's format: which apps may log in, and which group is which room.

use std::collections::BTreeMap;

use crate::chat::{NameFault, RoomName, World, local};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionSettings {
    /// The `appId`s that may log in. The first one shares the chat of all dialects; each other one has its own world.
    pub app_ids: Vec<u32>,
    /// Groups of the first app whose rooms are not called `group:<id>`.
    groups: BTreeMap<String, RoomName>,
}

impl ActionSettings {
    pub fn new(app_ids: Vec<u32>, groups: BTreeMap<String, RoomName>) -> Self {
        Self { app_ids, groups }
    }

    /// The world of an app; `None` if it may not log in.
    pub fn world(&self, app: u32) -> Option<World> {
        match self.app_ids.iter().position(|known| *known == app)? {
            0 => Some(World::Common),
            _ => Some(World::App(app)),
        }
    }

    /// The room of a group.
    pub fn room(&self, world: World, group: &str) -> Result<RoomName, NameFault> {
        match (world, self.groups.get(group)) {
            (World::Common, Some(room)) => Ok(room.clone()),
            (World::Common | World::App(_), _) => world.room(&format!("{GROUP_PREFIX}{group}")),
        }
    }

    /// The group of a room: the first one mapped to it, else the name of the room.
    pub fn group<'a>(&'a self, room: &'a RoomName) -> &'a str {
        match self.groups.iter().find(|(_, other)| *other == room) {
            Some((group, _)) => group,
            None => {
                let name = local(room.as_str());
                name.strip_prefix(GROUP_PREFIX).unwrap_or(name)
            }
        }
    }

    pub fn groups(&self) -> impl Iterator<Item = (&str, &RoomName)> {
        self.groups.iter().map(|(group, room)| (group.as_str(), room))
    }
}

/// As the original: `appId` 1 and 2, and its only group, 1, is the lobby.
impl Default for ActionSettings {
    fn default() -> Self {
        Self::new(vec![1, 2], BTreeMap::from([("1".to_owned(), RoomName::lobby())]))
    }
}

/// The prefix of the rooms of groups.
pub const GROUP_PREFIX: &str = "group:";
