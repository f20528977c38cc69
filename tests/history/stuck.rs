//! A reader that stands still beside the server does not make the write-ahead log grow, or the operator learns of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plaza::limits;

use crate::support::{Caller, append, committed, room, unsynced};

/// The largest write-ahead log between two checkpoints: the writer checks it every eight commits.
const USUAL_WAL: u64 = 4_096 * limits::HISTORY_WAL_PAGES + 8 * 4 * limits::TEXT_BYTES as u64;

fn wal(dir: &Path) -> u64 {
    fs::metadata(dir.join("history.db-wal")).unwrap().len()
}

/// Says so many bytes, a commit each message, and never more than the search index reads at a time, which reads beside the
/// writer as well.
fn say(caller: &Caller, bytes: u64) {
    let text = "x".repeat(limits::TEXT_BYTES);
    let indexed = || caller.history.stats().indexed.load(Ordering::Relaxed);
    for n in 0..bytes / limits::TEXT_BYTES as u64 {
        caller.submit(append(&room("lobby"), "ann", &text, None, n));
        let seq = committed(caller.next()).seq;
        until("the index does not catch up", &|| indexed() + 128 > seq);
    }
}

fn until(what: &str, holds: &dyn Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn an_export_whose_output_nobody_reads_does_not_make_the_log_grow_and_is_complete_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    say(&caller, 4 * 1024 * 1024);
    let before = caller.head(&room("lobby")).seq;
    let mut export = Command::new(env!("CARGO_BIN_EXE_plaza"))
        .args(["history", "--data"])
        .arg(dir.path())
        .arg("export")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    // It has begun, and has more to say than a pipe holds.
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with(r#"{"message""#), "{first}");
    say(&caller, 3 * USUAL_WAL);
    let bytes = wal(dir.path());
    assert!(bytes < 2 * USUAL_WAL, "{bytes} bytes of {USUAL_WAL}");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(export.wait().unwrap().success());
    // As the store was when it began.
    let messages = rest.iter().filter(|line| line.starts_with(r#"{"message""#)).count() as u64 + 1;
    assert_eq!(messages, before);
    assert!(
        rest.last().unwrap().starts_with(r#"{"end":{"messages":"#),
        "{:?}",
        rest.last()
    );
}

#[test]
fn a_reader_that_stands_still_is_seen_in_the_stats_until_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    say(&caller, 1024 * 1024);
    let mut reader = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    let stands = reader.transaction().unwrap();
    let count = |sql: &str| stands.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("SELECT count(*) FROM message") > 0);
    say(&caller, 2 * USUAL_WAL);
    let stats = caller.history.stats();
    until("the reader is not noticed", &|| {
        stats.wal_held_seconds.load(Ordering::Relaxed) > 0
    });
    assert!(stats.wal_bytes.load(Ordering::Relaxed) > USUAL_WAL * 3 / 2);
    drop(stands);
    until("the reader has gone", &|| {
        stats.wal_held_seconds.load(Ordering::Relaxed) == 0
    });
    // The next commits use the log again.
    let bytes = wal(dir.path());
    say(&caller, USUAL_WAL);
    assert!(wal(dir.path()) <= bytes);
}
