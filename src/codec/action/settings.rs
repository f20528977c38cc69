//! What an operator may set of document 003's dialect, and which group is which room.

use std::borrow::Cow;

use crate::chat::{NameFault, RoomName};

/// What an operator may set. The server makes one at its start and keeps it.
#[derive(Debug)]
pub struct Settings {
    /// The `appId`s that may log in.
    pub app_ids: Cow<'static, [u32]>,
    /// The group that is the lobby, where the users of all dialects meet; any other group is the room `group:<id>`.
    pub lobby_group: Cow<'static, str>,
}

impl Settings {
    /// What the reference has.
    pub const REFERENCE: Self = Self {
        app_ids: Cow::Borrowed(&[1, 2]),
        lobby_group: Cow::Borrowed("1"),
    };

    /// The room of a group.
    pub fn room(&self, group: &str) -> Result<RoomName, NameFault> {
        if group == self.lobby_group {
            Ok(RoomName::lobby())
        } else {
            RoomName::parse(&format!("{GROUP_PREFIX}{group}"))
        }
    }

    /// The group of a room; a room that is no group has its name for one.
    pub fn group<'a>(&'a self, room: &'a RoomName) -> &'a str {
        if *room == RoomName::lobby() {
            &self.lobby_group
        } else {
            room.as_str().strip_prefix(GROUP_PREFIX).unwrap_or(room.as_str())
        }
    }
}

const GROUP_PREFIX: &str = "group:";
