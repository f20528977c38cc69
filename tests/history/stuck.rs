//! A reader that stands still beside the server does not make the write-ahead log grow, or the operator learns of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use plaza::limits;

use crate::support::{Caller, Store, room, until};

/// The largest write-ahead log between two checkpoints: the writer checks it every eight commits.
const USUAL_WAL: u64 = 4_096 * limits::HISTORY_WAL_PAGES + 8 * 4 * limits::TEXT_BYTES as u64;

fn wal(dir: &Path) -> u64 {
    fs::metadata(dir.join("history.db-wal")).unwrap().len()
}

/// Says so many bytes, a commit each message, and never more than the search index reads at a time, which reads beside the
/// writer as well.
fn say(caller: &Caller, bytes: u64) {
    let text = "x".repeat(limits::TEXT_BYTES);
    for _ in 0..bytes / limits::TEXT_BYTES as u64 {
        let seq = caller.say(&room("lobby"), "ann", &text).seq;
        caller.is_indexed(seq.saturating_sub(127));
    }
}

#[test]
fn an_export_whose_output_nobody_reads_does_not_make_the_log_grow_and_is_complete_in_the_end() {
    let store = Store::unsynced();
    say(&store, 4 * 1024 * 1024);
    let before = store.head(&room("lobby")).seq;
    let mut export = Command::new(env!("CARGO_BIN_EXE_plaza"))
        .args(["history", "--data"])
        .arg(store.path())
        .arg("export")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    // It has begun, and has more to say than a pipe holds.
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with(r#"{"message""#), "{first}");
    say(&store, 3 * USUAL_WAL);
    let bytes = wal(store.path());
    assert!(bytes < 2 * USUAL_WAL, "{bytes} bytes of {USUAL_WAL}");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(export.wait().unwrap().success());
    // As the store was when it began.
    let messages = rest.iter().filter(|line| line.starts_with(r#"{"message""#)).count() as u64 + 1;
    assert_eq!(messages, before);
    let last = rest.last().unwrap();
    assert!(last.starts_with(r#"{"end":{"messages":"#), "{last}");
}

#[test]
fn a_reader_that_stands_still_is_seen_in_the_stats_until_it_goes() {
    let store = Store::unsynced();
    say(&store, 1024 * 1024);
    let mut reader = rusqlite::Connection::open(store.path().join("history.db")).unwrap();
    let stands = reader.transaction().unwrap();
    let count = |sql: &str| stands.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(count("SELECT count(*) FROM message") > 0);
    say(&store, 2 * USUAL_WAL);
    let stats = store.history.stats();
    let held = || stats.wal_held_seconds.load(Ordering::Relaxed);
    until("the reader is noticed", || held() > 0);
    assert!(stats.wal_bytes.load(Ordering::Relaxed) > USUAL_WAL * 3 / 2);
    drop(stands);
    until("the reader has gone", || held() == 0);
    // The next commits use the log from its beginning again; the first few do not if the search index is reading just then.
    store.is_indexed(store.head(&room("lobby")).seq);
    let bytes = wal(store.path());
    say(&store, USUAL_WAL);
    assert!(wal(store.path()) < bytes + USUAL_WAL / 4);
}
