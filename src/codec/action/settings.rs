//! What an operator may set of document 003's dialect, and which group is which room.

use std::collections::BTreeMap;

use crate::chat::{NameFault, RoomName};

/// What an operator may set. The server makes one at its start and keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The `appId`s that may log in.
    pub app_ids: Vec<u32>,
    /// Groups that are rooms of another name than `group:<id>`.
    groups: BTreeMap<String, RoomName>,
}

impl Settings {
    /// These `appId`s, and these groups with rooms of their own names.
    pub fn new(app_ids: Vec<u32>, groups: BTreeMap<String, RoomName>) -> Self {
        Self { app_ids, groups }
    }

    /// The room of a group.
    pub fn room(&self, group: &str) -> Result<RoomName, NameFault> {
        match self.groups.get(group) {
            Some(room) => Ok(room.clone()),
            None => RoomName::parse(&format!("{GROUP_PREFIX}{group}")),
        }
    }

    /// The group of a room: the first of those that are set to be it. A room that is no group has its name for one.
    pub fn group<'a>(&'a self, room: &'a RoomName) -> &'a str {
        match self.groups.iter().find(|(_, other)| *other == room) {
            Some((group, _)) => group,
            None => room.as_str().strip_prefix(GROUP_PREFIX).unwrap_or(room.as_str()),
        }
    }

    /// The groups that are set, and their rooms.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &RoomName)> {
        self.groups.iter().map(|(group, room)| (group.as_str(), room))
    }

    /// Whether the room is a group's: set, or by its name.
    pub fn is_group(&self, room: &RoomName) -> bool {
        room.as_str().starts_with(GROUP_PREFIX) || self.groups.values().any(|other| other == room)
    }
}

/// What the reference has: `appId` 1 and 2, and its only group, 1, is the lobby.
impl Default for Settings {
    fn default() -> Self {
        Self::new(vec![1, 2], BTreeMap::from([("1".to_owned(), RoomName::lobby())]))
    }
}

/// What the names of groups' rooms begin with.
pub const GROUP_PREFIX: &str = "group:";
