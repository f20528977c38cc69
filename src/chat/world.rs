//! Worlds: isolated sets of users and rooms (tenants). Nearly all users are in the common world; each further app of document 003 has its
//! own.
//!
//! The names of an app's users and rooms begin with its mark, `⟦<app>⟧`. They are valid names, so rooms, inboxes, lists and watches are
//! separate without further code. Clients of other dialects cannot enter a world: the server refuses their commands with a [marked
//! name](super::Command::marked_name), and leaves marked rooms out of their lists.

use super::{NameFault, RoomName, UserName};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The world that all dialects share.
    Common,
    /// An app of document 003.
    App(u32),
}

impl World {
    /// Adds the mark to a user's name.
    ///
    /// # Errors
    /// If it is not a valid name, or has a mark already.
    pub fn user(self, name: &str) -> Result<UserName, NameFault> {
        let named = unmarked(UserName::parse(name)?, UserName::as_str)?;
        match self {
            Self::Common => Ok(named),
            Self::App(app) => UserName::parse(&marked(app, named.as_str())),
        }
    }

    /// Adds the mark to a room's name.
    ///
    /// # Errors
    /// See [`World::user`].
    pub fn room(self, name: &str) -> Result<RoomName, NameFault> {
        let named = unmarked(RoomName::parse(name)?, RoomName::as_str)?;
        match self {
            Self::Common => Ok(named),
            Self::App(app) => RoomName::parse(&marked(app, named.as_str())),
        }
    }

    /// The mark of this world, followed by `rest`.
    pub fn prefix(self, rest: &str) -> String {
        match self {
            Self::Common => rest.to_owned(),
            Self::App(app) => marked(app, rest),
        }
    }
}

/// Whether the name belongs to the world of an app.
pub fn is_marked(name: &str) -> bool {
    name.starts_with(MARK)
}

/// A name without its mark.
pub fn local(name: &str) -> &str {
    match name.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK_END)) {
        Some((_, name)) => name,
        None => name,
    }
}

/// All marked names sort between these two.
pub(super) const MARKED: (&str, &str) = ("⟦", "⟧");

fn marked(app: u32, name: &str) -> String {
    format!("{MARK}{app}{MARK_END}{name}")
}

fn unmarked<N>(name: N, text: impl Fn(&N) -> &str) -> Result<N, NameFault> {
    if is_marked(text(&name)) {
        Err(NameFault::Marked)
    } else {
        Ok(name)
    }
}

const MARK: char = '⟦';
const MARK_END: char = '⟧';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_world_has_names_of_its_own_that_are_said_without_the_mark() {
        assert_eq!(World::Common.user("72").unwrap().as_str(), "72");
        let user = World::App(2).user(" 72 ").unwrap();
        assert_eq!((user.as_str(), local(user.as_str())), ("⟦2⟧72", "72"));
        let room = World::App(2).room("group:1").unwrap();
        assert_eq!((room.as_str(), local(room.as_str())), ("⟦2⟧group:1", "group:1"));
        // Stored names are parsed as plain names.
        assert_eq!(UserName::parse(user.as_str()).unwrap(), user);
        assert!(is_marked(user.as_str()) && !is_marked("72") && !is_marked("7⟦2⟧"));
    }

    #[test]
    fn nobody_can_say_a_name_of_another_world() {
        for world in [World::Common, World::App(2)] {
            for name in ["⟦2⟧72", " ⟦2⟧72", "⟦x", "⟦"] {
                assert_eq!(world.user(name), Err(NameFault::Marked), "{name}");
                assert!(world.room(name).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn marked_names_stand_together_in_the_order_of_names() {
        for name in ["⟦2⟧72", "⟦", "⟦\u{10FFFF}"] {
            assert!((MARKED.0..MARKED.1).contains(&name));
        }
        for name in ["lobby", "张三", "⟧", "\u{27E5}x"] {
            assert!(!(MARKED.0..MARKED.1).contains(&name), "{name}");
        }
    }
}
