//! Acknowledged messages are never lost: the guarantees of history, resume and direct messages, tested from outside through Plaza's own
//! protocol as JSON. Every run takes a small size of each test; `LONG_PROOFS=1` makes them long.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod devices;
mod directs;
mod faults;
#[path = "../support/forgetful.rs"]
mod forgetful;
mod forgets;
mod keeping;
mod person;
mod proofs;
mod restored;
mod resume;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/mod.rs"]
mod support;

use std::{ops::Deref, path::Path};

use plaza::config::Config;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::Running;

/// Settings of a server that stores the messages of every room in this directory.
pub fn kept(dir: &Path) -> Config {
    let mut config = support::stored(dir);
    config.history.all = true;
    config
}

/// A server that stores the messages of every room in a directory of its own.
pub struct Kept {
    server: Running,
    config: Config,
    dir: TempDir,
}

impl Kept {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// With changed settings.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = kept(dir.path());
        change(&mut config);
        let server = Running::start(&config);
        Self { server, config, dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn restarted(self) -> Self {
        self.changed(|_| {})
    }

    /// Started again after a change of its files.
    pub fn changed(self, change: impl FnOnce(&Path)) -> Self {
        let Self { server, config, dir } = self;
        drop(server);
        change(dir.path());
        let server = Running::start(&config);
        Self { server, config, dir }
    }
}

impl Deref for Kept {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.server
    }
}

/// Requests that say these texts in a room.
pub fn talks<T: ToString>(room: &str, texts: impl IntoIterator<Item = T>) -> impl Iterator<Item = Value> {
    let texts = texts.into_iter();
    texts.map(move |text| json!({"talk": {"room": room, "text": text.to_string()}}))
}

/// Requests that say these texts to a user.
pub fn directs<T: ToString>(to: &str, texts: impl IntoIterator<Item = T>) -> impl Iterator<Item = Value> {
    let texts = texts.into_iter();
    texts.map(move |text| json!({"direct": {"to": to, "text": text.to_string()}}))
}

/// The size of a test: the small one, unless `LONG_PROOFS` is set.
pub fn size(small: usize, long: usize) -> usize {
    if std::env::var_os("LONG_PROOFS").is_some() {
        long
    } else {
        small
    }
}
