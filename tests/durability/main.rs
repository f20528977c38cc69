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

use std::path::Path;

use plaza::config::Config;

/// Settings of a server that stores the messages of every room in this directory.
pub fn kept(dir: &Path) -> Config {
    let mut config = support::stored(dir);
    config.history.all = true;
    config
}

/// The size of a test: the small one, unless `LONG_PROOFS` is set.
pub fn size(small: usize, long: usize) -> usize {
    if std::env::var_os("LONG_PROOFS").is_some() {
        long
    } else {
        small
    }
}
