//! The id of a user, as opposed to the displayed name.
//!
//! Inboxes, read markers, direct conversations and idempotency keys belong to the id. So far there is only open mode, in which
//! users do not authenticate and the id is `name:` followed by the name. [`UserId::of_name`] makes this id when a session gets its
//! name, when a user addresses another one by name, and when the store reads a row.
//!
//! Invariant: every [`UserId`] is valid. To clone one, or to make one from a name, takes no allocation.

use std::{fmt, sync::Arc};

use super::UserName;
use crate::limits;

/// The id of a user: its kind, a colon, and a text that is unique within the kind. `name:ann` is every user with the name ann.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Id);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    /// The id of a user in open mode.
    Name(UserName),
    /// Any other id, with a leading blank as in the store. The box makes the pointer thin, so that an id is as small as a name.
    Other(Arc<Box<str>>),
}

/// Prefix of an id made from a name.
const NAME: &str = "name:";

/// The receiver of a direct message, and the name to display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub user: UserId,
    pub name: UserName,
}

impl UserId {
    /// The id that a user of this name has in open mode.
    pub fn of_name(name: &UserName) -> Self {
        Self(Id::Name(name.clone()))
    }

    /// Parses an id. `None`: it has no kind, is longer than [`limits::USER_ID_BYTES`], or contains a name that is invalid or not
    /// normalised. An id made from a name may be longer, up to [`limits::NAME_ID_BYTES`].
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(NAME) {
            Some(name) => UserName::parse(name)
                .ok()
                .filter(|parsed| parsed.as_str() == name)
                .map(|name| Self::of_name(&name)),
            None => {
                let (kind, rest) = text.split_once(':')?;
                let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
                let is_valid = is_kind && !rest.is_empty() && text.len() <= limits::USER_ID_BYTES;
                is_valid.then(|| Self(Id::Other(Arc::new(format!(" {text}").into()))))
            }
        }
    }

    /// The text of the id, in two parts.
    pub(crate) fn parts(&self) -> [&str; 2] {
        match &self.0 {
            Id::Name(name) => [NAME, name.as_str()],
            Id::Other(stored) => ["", stored.trim_start()],
        }
    }

    /// The name by which clients know the user; `None` if the id was not made from a name.
    pub fn name(&self) -> Option<&UserName> {
        match &self.0 {
            Id::Name(name) => Some(name),
            Id::Other(_) => None,
        }
    }

    /// The user as the receiver of a direct message; `None` if clients know no name for the user.
    pub(crate) fn receiver(&self) -> Option<Receiver> {
        let (user, name) = (self.clone(), self.name()?.clone());
        Some(Receiver { user, name })
    }

    /// The id as the store writes it: a name without `name:`, any other id after a blank. No name begins with a blank, so the two
    /// cannot collide, and rows of older stores, which knew only names, stay valid.
    pub(crate) fn stored(&self) -> &str {
        match &self.0 {
            Id::Name(name) => name.as_str(),
            Id::Other(stored) => stored,
        }
    }

    /// What the store writes about the id next to the name of its user: nothing if the id follows from the name.
    pub(crate) fn stored_beside(&self, name: &UserName) -> Option<&str> {
        (self.name() != Some(name)).then(|| self.stored())
    }

    /// Parses an id as [`Self::stored`] writes it.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        match text.strip_prefix(' ') {
            Some(id) if !id.starts_with(NAME) => Self::parse(id),
            Some(_) => None,
            None => UserName::parse(text).ok().map(|name| Self::of_name(&name)),
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, rest] = self.parts();
        write!(f, "{kind}{rest}")
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let longest = "😀".repeat(limits::NAME_CHARS);
        for name in ["ann", "张三", "token:mallory|1", &longest] {
            let name = UserName::parse(name).unwrap();
            let id = UserId::of_name(&name);
            assert_eq!(id.to_string(), format!("name:{name}"));
            assert_eq!(id.name(), Some(&name));
            assert_eq!(UserId::parse(&id.to_string()), Some(id.clone()));
            assert_eq!((id.stored(), id.stored_beside(&name)), (name.as_str(), None));
            assert_eq!(id.stored_beside(&UserName::operator()), Some(name.as_str()));
            assert_eq!(UserId::from_stored(id.stored()), Some(id));
        }
        let token = UserId::parse("token:issuer|1").unwrap();
        assert_eq!(token.to_string(), "token:issuer|1");
        assert_eq!(token.name(), None);
        assert_eq!(token.stored(), " token:issuer|1");
        assert_eq!(UserId::from_stored(token.stored()), Some(token));
    }

    #[test]
    fn an_id_has_at_most_as_many_bytes_as_the_limits_say() {
        let name = UserName::parse(&"😀".repeat(limits::NAME_CHARS)).unwrap();
        assert_eq!(UserId::of_name(&name).to_string().len(), limits::NAME_ID_BYTES);
        let token = |bytes: usize| UserId::parse(&format!("token:{}", "x".repeat(bytes - "token:".len())));
        assert!(token(limits::USER_ID_BYTES).is_some());
        assert_eq!(token(limits::USER_ID_BYTES + 1), None);
    }

    #[test]
    fn an_id_is_as_small_as_a_name_and_is_never_that_of_another_kind() {
        assert_eq!(size_of::<UserId>(), size_of::<UserName>());
        let name = UserId::of_name(&UserName::parse("token:issuer|1").unwrap());
        assert_ne!(Some(name), UserId::parse("token:issuer|1"));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "ann", "name:", "name: ann", ":x", "Token:x", "token:"] {
            assert_eq!(UserId::parse(text), None, "{text}");
        }
        for stored in ["", " ", " name:ann", " ann", "a\u{7}"] {
            assert_eq!(UserId::from_stored(stored), None, "{stored:?}");
        }
    }
}
