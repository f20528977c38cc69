//! History measured: the store against a bare rusqlite loop in the same run, and through the real server over sockets what it
//! adds to a talk, what coming back costs, search, and the start with a million stored messages.
//!
//! `cargo bench --bench history` prints the tables of BENCHMARKING.md; `cargo bench --bench history -- --criterion` is the
//! part that criterion follows from change to change. `PLAZA_BENCH_DIR` decides which disk is measured.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../../tests/durability/person.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod person;
mod server;
mod store;
#[path = "../../tests/support/mod.rs"]
mod support;
mod words;

use std::path::Path;

/// Talks in the room that everything about large rooms is measured in.
const MILLION: u64 = 1_000_000;

fn main() {
    let base = std::env::var("PLAZA_BENCH_DIR").unwrap_or_else(|_| "target".to_owned());
    let base = Path::new(&base);
    if std::env::args().any(|word| word == "--criterion") {
        let mut criterion = criterion::Criterion::default();
        store::criterion(&mut criterion, base);
        return;
    }
    store::durable_talks(base);
    server::fan_out(base);
    let dir = tempfile::tempdir_in(base).unwrap();
    let pages = store::million(dir.path());
    server::start(dir.path());
    server::resume(dir.path(), pages);
    server::search(dir.path());
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
