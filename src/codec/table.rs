//! The table of dialects: their names, their wire formats, and their numbers of encodings.
//!
//! The table does not compile if it has more encodings than [`Encoding`](super::Encoding) can number, or a row in the wrong place.

use std::{fmt, ops::Index};

use super::{
    dialect::{Dialect, DialectSettings},
    legacy::{
        action::Action,
        chat_request::ChatRequest,
        chatroom::Chatroom,
        communication::{self, Communication},
        tutorial::{self, Tutorial},
    },
    native::{self, Native},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DialectId {
    /// Plaza's own protocol.
    Native,
    /// The format of document 000.
    Communication,
    /// The format of document 001.
    ChatRequest,
    /// The format of document 002.
    Chatroom,
    /// The format of document 004.
    Tutorial,
    /// The format of document 003.
    Action,
}

struct Row {
    id: DialectId,
    name: &'static str,
    /// The dialect without settings, as in the original system.
    reference: &'static dyn Dialect,
    encodings: usize,
}

const TABLE: [Row; 6] = [
    row(DialectId::Native, "plaza", &Native, native::ENCODINGS),
    row(
        DialectId::Communication,
        "communication",
        &Communication::DEFAULT,
        communication::ENCODINGS,
    ),
    row(DialectId::ChatRequest, "chat-request", &ChatRequest, 1),
    row(DialectId::Chatroom, "chatroom", &Chatroom, 1),
    row(DialectId::Tutorial, "tutorial", &Tutorial::DEFAULT, tutorial::ENCODINGS),
    row(DialectId::Action, "action", &Action::DEFAULT, 1),
];

pub const DIALECTS: [DialectId; TABLE.len()] = {
    let mut dialects = [DialectId::Native; TABLE.len()];
    let mut place = 0;
    while place < dialects.len() {
        dialects[place] = TABLE[place].id;
        assert!(
            dialects[place] as usize == place,
            "the order of the table is that of the numbers"
        );
        place += 1;
    }
    dialects
};

impl DialectId {
    pub fn named(name: &str) -> Option<Self> {
        DIALECTS.into_iter().find(|dialect| dialect.name() == name)
    }

    /// As in `/ws/<dialect>`, in settings and in metrics.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// Its wire format without settings.
    pub const fn reference(self) -> &'static dyn Dialect {
        TABLE[self as usize].reference
    }

    /// The number of encodings in which its members see events.
    pub const fn encodings(self) -> usize {
        TABLE[self as usize].encodings
    }
}

/// Its index in lists with one entry for each dialect.
impl From<DialectId> for usize {
    fn from(dialect: DialectId) -> Self {
        dialect as Self
    }
}

/// The dialects of one server, created once at its start.
#[derive(Clone, Copy)]
pub struct Dialects(&'static [&'static dyn Dialect; DIALECTS.len()]);

impl Dialects {
    /// All dialects with these settings. Their data lives until the program ends.
    pub fn configured(settings: &DialectSettings) -> Self {
        let dialects = DIALECTS.map(|dialect| {
            let reference = dialect.reference();
            reference.configured(settings).unwrap_or(reference)
        });
        Self(Box::leak(Box::new(dialects)))
    }
}

impl Index<DialectId> for Dialects {
    type Output = dyn Dialect;

    fn index(&self, dialect: DialectId) -> &Self::Output {
        self.0[dialect as usize]
    }
}

/// Without settings, as their originals.
impl Default for Dialects {
    fn default() -> Self {
        static REFERENCES: [&dyn Dialect; DIALECTS.len()] = {
            let mut references = [TABLE[0].reference; DIALECTS.len()];
            let mut place = 0;
            while place < references.len() {
                references[place] = TABLE[place].reference;
                place += 1;
            }
            references
        };
        Self(&REFERENCES)
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialects")
    }
}

const fn row(id: DialectId, name: &'static str, reference: &'static dyn Dialect, encodings: usize) -> Row {
    Row {
        id,
        name,
        reference,
        encodings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_dialect() {
        for dialect in DIALECTS {
            assert_eq!(DialectId::named(dialect.name()), Some(dialect));
        }
        assert_eq!(DialectId::named("morse"), None);
    }
}
