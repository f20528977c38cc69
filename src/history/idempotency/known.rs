//! The types that the rest of this folder shares.

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

/// Decides which keys still count, at one moment of log time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveKeys {
    oldest_at: i64,
    pub(super) messages: u64,
}

impl LiveKeys {
    /// `now` is log time, Unix milliseconds.
    pub(crate) fn at(now: u64, window: KeyWindow) -> Self {
        let age = u64::try_from(window.age.as_millis()).unwrap_or(u64::MAX);
        Self {
            oldest_at: int(now.saturating_sub(age)),
            messages: window.messages,
        }
    }

    pub(super) fn includes(&self, log: &LogRow, ordinal: u64, at: i64) -> bool {
        at >= self.oldest_at && log.ordinal.saturating_sub(ordinal) < self.messages
    }
}

pub(crate) enum Known {
    /// The key is new, and now remembered for this message. The row of the message gets the fingerprint, if there is one.
    New(Option<Fingerprint>),
    /// The key was used for the same message, at this position.
    Same { position: Position, at: u64 },
    /// The key was used for another message.
    Other,
    /// The stored keys are damaged.
    Unreadable(StoreFault),
}

#[derive(Clone, Copy)]
pub(crate) struct Tables<'t> {
    pub(crate) db: &'t Connection,
    pub(crate) file: &'t Path,
}
