//! Every dialect there is.

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

/// Every dialect and in how many encodings its members see events, one line each.
pub(super) const TABLE: &[(&dyn Dialect, usize)] = &[
    (&Native, native::ENCODINGS),
    (&Communication::DEFAULT, communication::ENCODINGS),
    (&ChatRequest, 1),
    (&Chatroom, 1),
    (&Tutorial::DEFAULT, tutorial::ENCODINGS),
    (&Action::DEFAULT, 1),
];

/// Every dialect, by its number.
pub static DIALECTS: &[&dyn Dialect; TABLE.len()] = &{
    let mut dialects = [TABLE[0].0; TABLE.len()];
    let mut number = 0;
    while number < dialects.len() {
        dialects[number] = TABLE[number].0;
        number += 1;
    }
    dialects
};

/// The dialects of one server, in the order of [`DIALECTS`]; made once at its start.
#[derive(Clone, Copy)]
pub struct Dialects(&'static [&'static dyn Dialect]);

impl Dialects {
    /// Every dialect with these settings. What they need is kept until the program ends: once per server, not per client.
    pub fn configured(settings: &DialectSettings) -> Self {
        let dialects: Vec<_> = DIALECTS
            .iter()
            .map(|dialect| dialect.configured(settings).unwrap_or(*dialect))
            .collect();
        Self(dialects.leak())
    }
}

impl std::ops::Deref for Dialects {
    type Target = [&'static dyn Dialect];

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self(DIALECTS)
    }
}

impl std::fmt::Debug for Dialects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|dialect| dialect.name()))
            .finish()
    }
}

/// The name of Plaza's own protocol among the dialects.
pub const NATIVE: &str = "plaza";

/// The number of the dialect with this name.
pub fn number_of(name: &str) -> Option<usize> {
    DIALECTS.iter().position(|dialect| dialect.name() == name)
}
