//! Who a user is, apart from the name that is displayed.
//!
//! What belongs to a user (inbox, read markers, pairs of direct messages, a claim, idempotency keys) belongs to the id. In open mode, the
//! only one there is, nobody proves anything and the id is the name: [`UserId::of_name`] is the one place that says so.

use std::{borrow::Cow, fmt, sync::Arc};

use super::UserName;
use crate::limits;

/// The id of a user: its kind, a colon, and what tells users of this kind apart. `name:ann` is whoever says the name ann.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The text of the id of who has a name, without a copy of it.
pub(crate) struct IdOfName<'n>(pub(crate) &'n UserName);

const NAME: &str = "name:";

impl UserId {
    /// Who has this name in open mode.
    pub fn of_name(name: &UserName) -> Self {
        Self(IdOfName(name).to_string().into())
    }

    /// Parses an id. `None`: it has no kind, is longer than [`limits::USER_ID_BYTES`], or is that of a name that none can have.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(NAME) {
            Some(name) => UserName::parse(name)
                .ok()
                .filter(|parsed| parsed.as_str() == name)
                .map(|name| Self::of_name(&name)),
            None => {
                let (kind, rest) = text.split_once(':')?;
                let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase());
                (is_kind && !rest.is_empty() && text.len() <= limits::USER_ID_BYTES).then(|| Self(text.into()))
            }
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a user of open mode.
    pub fn name(&self) -> Option<UserName> {
        UserName::parse(self.0.strip_prefix(NAME)?).ok()
    }

    /// The id as the store has it: a name is itself, and anything else has a blank before it, with which no name begins. So the rows of
    /// stores that knew names only are right.
    pub(crate) fn stored(&self) -> Cow<'_, str> {
        match self.0.strip_prefix(NAME) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!(" {}", self.0)),
        }
    }

    /// The id that a row of the store means.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        match text.strip_prefix(' ') {
            Some(id) if !id.starts_with(NAME) => Self::parse(id),
            Some(_) => None,
            None => UserName::parse(text).ok().map(|name| Self::of_name(&name)),
        }
    }
}

impl<'n> IdOfName<'n> {
    /// The parts of which it is put together.
    pub(crate) fn parts(&self) -> [&'n str; 2] {
        [NAME, self.0.as_str()]
    }
}

impl fmt::Display for IdOfName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}{}", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
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
            assert_eq!(id.as_str(), format!("name:{name}"));
            assert_eq!(id.name(), Some(name.clone()));
            assert_eq!(UserId::parse(id.as_str()), Some(id.clone()));
            assert_eq!(id.stored(), name.as_str());
            assert_eq!(UserId::from_stored(&id.stored()), Some(id));
        }
        let token = UserId::parse("token:issuer|1").unwrap();
        assert_eq!(token.name(), None);
        assert_eq!(token.stored(), " token:issuer|1");
        assert_eq!(UserId::from_stored(&token.stored()), Some(token));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = format!("token:{}", "x".repeat(limits::USER_ID_BYTES));
        for text in ["", "ann", "name:", "name: ann", ":x", "Token:x", "token:", &long] {
            assert_eq!(UserId::parse(text), None, "{text}");
        }
        for stored in ["", " ", " name:ann", " ann", "a\u{7}"] {
            assert_eq!(UserId::from_stored(stored), None, "{stored:?}");
        }
    }
}
