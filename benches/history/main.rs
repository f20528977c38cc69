//! The cost of history: the store against a bare rusqlite loop in the same run; and over sockets through the real server, the added
//! latency of a message, resuming, search, and a start with a million stored messages.
//!
//! `cargo bench --bench history` prints the tables of BENCHMARKING.md; `cargo bench --bench history -- --criterion` runs the part that
//! criterion follows from change to change. `… -- durable` (or `keys`, `fan-out`, `million`, `resume`, `search`) measures one part.
//! `PLAZA_BENCH_DIR` chooses the disk, `PLAZA_BENCH_MILLION` the directory that keeps the million messages for the next run.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "../../tests/durability/person.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod person;
mod server;
mod store;
#[path = "../../tests/support/mod.rs"]
mod support;
mod words;

use std::path::{Path, PathBuf};

/// Messages in the room for all measurements of large rooms.
const MILLION: u64 = 1_000_000;

fn main() {
    let base = std::env::var("PLAZA_BENCH_DIR").unwrap_or_else(|_| "target".to_owned());
    let base = Path::new(&base);
    if std::env::args().any(|word| word == "--criterion") {
        let mut criterion = criterion::Criterion::default();
        store::criterion(&mut criterion, base);
        return;
    }
    let named = |part: &str| std::env::args().any(|word| word == part);
    let any = PARTS.into_iter().any(named);
    let wanted = |part: &str| !any || named(part);
    if wanted("durable") {
        store::durable_talks(base);
    }
    if wanted("keys") {
        store::keys(base);
    }
    if wanted("fan-out") {
        server::fan_out(base);
    }
    if !["million", "resume", "search"].into_iter().any(wanted) {
        return;
    }
    let kept = std::env::var_os("PLAZA_BENCH_MILLION").map(PathBuf::from);
    let temporary = tempfile::tempdir_in(base).unwrap();
    let dir = kept.as_deref().unwrap_or_else(|| temporary.path());
    if !dir.join("history.db").exists() {
        store::million(dir);
    }
    if wanted("million") {
        server::start(dir);
    }
    if wanted("resume") {
        server::resume(dir);
    }
    if wanted("search") {
        server::search(dir);
    }
}

/// The parts that can be measured alone.
const PARTS: [&str; 6] = ["durable", "keys", "fan-out", "million", "resume", "search"];

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
