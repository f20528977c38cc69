//! What the rest of this folder shares: which keys still count, what is known of one, and where that is stored.

use std::path::Path;

use rusqlite::Connection;

use crate::{
    chat::Position,
    history::{
        fault::StoreFault,
        fingerprint::Fingerprint,
        rows::{LogRow, int},
        settings::KeyWindow,
    },
};

/// Which keys still count, at a moment of log time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveKeys {
    oldest_at: i64,
    pub(super) messages: u64,
}

impl LiveKeys {
    /// `now` is the time of the log, Unix milliseconds.
    pub(crate) fn at(now: u64, window: KeyWindow) -> Self {
        let age = u64::try_from(window.age.as_millis()).unwrap_or(u64::MAX);
        Self {
            oldest_at: int(now.saturating_sub(age)),
            messages: window.messages,
        }
    }

    /// Whether the key of a message still counts in its log.
    pub(super) fn includes(&self, log: &LogRow, ordinal: u64, at: i64) -> bool {
        at >= self.oldest_at && log.ordinal.saturating_sub(ordinal) < self.messages
    }
}

/// The result of looking up an idempotency key.
pub(crate) enum Known {
    /// It is new, and is remembered for this message from now on: by the fingerprint in its row, if there is one.
    New(Option<Fingerprint>),
    /// It was used for the same message, which stands here.
    Same { position: Position, at: u64 },
    /// It was used for something else.
    Other,
    /// The stored keys could not be read.
    Unreadable(StoreFault),
}

/// The database as the functions of this folder see it.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'t> {
    pub(crate) db: &'t Connection,
    pub(crate) file: &'t Path,
}
