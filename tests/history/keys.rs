//! Idempotency keys: their owner, and that the store has one message per key.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use plaza::{
    chat::{ClientId, Position},
    history::{Append, KeyWindow, LogId, Outcome, Retention, Settings, tools},
};

use crate::support::{Caller, append, committed, pair, room, unsynced, user};

const PHONE: &str = "00112233445566778899aabbccddeeff";
const LAPTOP: &str = "ffeeddccbbaa99887766554433221100";

fn said_by(client: Option<&str>, log: &LogId, from: &str, text: &str, key: &str) -> Append<u64> {
    let mut append = append(log, from, text, Some(key), 0);
    append.message.client = client.map(|client| ClientId::parse(client).unwrap());
    append
}

fn say(caller: &Caller, append: Append<u64>) -> Outcome<u64> {
    caller.submit(append);
    caller.next()
}

fn duplicate(outcome: Outcome<u64>) -> Position {
    match outcome {
        Outcome::Duplicate { position, .. } => position,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_clients_key_outlives_a_rename_and_a_restart_in_rooms_and_direct_conversations() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let lobby = room("lobby");
    let first = committed(say(&caller, said_by(Some(PHONE), &lobby, "ann", "hi", "k")));
    let direct = committed(say(
        &caller,
        said_by(Some(PHONE), &pair("ann", "bob"), "ann", "psst", "k"),
    ));
    caller.history.stop();
    let caller = Caller::open(dir.path());
    let again = say(&caller, said_by(Some(PHONE), &lobby, "anna", "hi", "k"));
    assert_eq!(duplicate(again), first);
    let again = say(&caller, said_by(Some(PHONE), &pair("anna", "bob"), "anna", "psst", "k"));
    assert_eq!(duplicate(again), direct);
    // To somebody else it is another message.
    committed(say(
        &caller,
        said_by(Some(PHONE), &pair("anna", "cyd"), "anna", "psst", "k"),
    ));
    assert_eq!(caller.head(&pair("anna", "bob")).seq, 0);
}

#[test]
fn without_a_client_a_key_belongs_to_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let lobby = room("lobby");
    let first = committed(say(&caller, said_by(None, &lobby, "ann", "hi", "k")));
    assert_eq!(duplicate(say(&caller, said_by(None, &lobby, "ann", "hi", "k"))), first);
    committed(say(&caller, said_by(None, &lobby, "anna", "hi", "k")));
}

#[test]
fn a_client_neither_sees_nor_blocks_the_keys_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    for log in [room("lobby"), pair("ann", "bob")] {
        for (text, client) in [("one", Some(PHONE)), ("two", Some(LAPTOP)), ("three", None)] {
            committed(say(&caller, said_by(client, &log, "ann", text, "k")));
        }
        let other = say(&caller, said_by(Some(PHONE), &log, "ann", "two", "k"));
        assert!(matches!(other, Outcome::KeyConflict { .. }), "{other:?}");
    }
    // A user cannot take the name under which a client's keys are stored.
    for name in [format!(" room {PHONE}"), format!(" direct {PHONE}")] {
        committed(say(&caller, said_by(None, &room("lobby"), &name, "four", "k")));
    }
}

#[test]
fn a_key_used_for_a_message_to_one_user_is_new_for_a_message_to_the_one_who_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    // A note to oneself, and, behind a rename, messages to whoever has the first name by then.
    for (from, key) in [("ann", "k1"), ("anna", "k2"), ("bob", "k3")] {
        committed(say(
            &caller,
            said_by(Some(PHONE), &pair("ann", "bob"), "ann", "hi", key),
        ));
        let to_ann = said_by(Some(PHONE), &pair(from, "ann"), from, "hi", key);
        let first = committed(say(&caller, to_ann.clone()));
        assert_eq!(duplicate(say(&caller, to_ann)), first, "{from}");
    }
}

#[test]
fn another_text_under_a_clients_key_is_a_conflict_also_after_a_rename() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    for [before, after] in [
        [room("lobby"), room("lobby")],
        [pair("ann", "bob"), pair("anna", "bob")],
    ] {
        committed(say(&caller, said_by(Some(PHONE), &before, "ann", "hi", "k")));
        let other = say(&caller, said_by(Some(PHONE), &after, "anna", "ho", "k"));
        assert!(matches!(other, Outcome::KeyConflict { .. }), "{other:?}");
    }
}

#[test]
fn a_store_of_an_older_schema_is_migrated_and_its_keys_stay() {
    for schema in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("history.db");
        std::fs::write(&file, include_bytes!("version-2.db")).unwrap();
        if schema == 1 {
            let db = rusqlite::Connection::open(&file).unwrap();
            db.execute_batch("DROP INDEX idem_of_clients; PRAGMA user_version = 1")
                .unwrap();
        }
        let caller = Caller::open(dir.path());
        let in_room = said_by(None, &room("lobby"), "ann", "hello world 6", "k");
        assert_eq!(duplicate(say(&caller, in_room)).seq, 6);
        let direct = said_by(Some(PHONE), &pair("anna", "bob"), "anna", "psst 2", "k");
        assert_eq!(duplicate(say(&caller, direct)).seq, 2);
        let other = said_by(None, &room("lobby"), "ann", "something else", "k");
        assert!(matches!(say(&caller, other), Outcome::KeyConflict { .. }));
    }
}

/// Messages of ann under the keys of these numbers, submitted together; with keys, the position of each.
fn say_all(caller: &Caller, log: &LogId, numbers: std::ops::Range<u64>) -> Vec<Outcome<u64>> {
    let mut outcomes = Vec::new();
    for start in numbers.clone().step_by(500) {
        let part = start..numbers.end.min(start + 500);
        for n in part.clone() {
            caller.submit(append(log, "ann", &format!("text {n}"), Some(&n.to_string()), n));
        }
        outcomes.extend(part.map(|_| caller.next()));
    }
    outcomes
}

#[test]
fn keys_of_deleted_messages_count_until_their_window_is_over_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keep = |messages| Settings {
        retention: Retention {
            messages: Some(messages),
            ..Retention::FOREVER
        },
        keys: KeyWindow {
            messages: 2_000,
            ..unsynced(dir.path()).keys
        },
        retention_pause: Duration::ZERO,
        ..unsynced(dir.path())
    };
    let lobby = room("lobby");
    // Three complete blocks, and one that is open.
    let caller = Caller::start(keep(10)).unwrap();
    for outcome in say_all(&caller, &lobby, 1..3_301) {
        committed(outcome);
    }
    while caller.head(&lobby).first < 3_291 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let all_count = |caller: &Caller| {
        for (n, outcome) in (1_301..3_301).zip(say_all(caller, &lobby, 1_301..3_301)) {
            assert_eq!(duplicate(outcome).seq, n);
        }
    };
    all_count(&caller);
    drop(caller);
    let caller = Caller::start(keep(10)).unwrap();
    all_count(&caller);
    let other = say(&caller, said_by(None, &lobby, "ann", "other", "3300"));
    assert!(matches!(other, Outcome::KeyConflict { .. }), "{other:?}");
    let run_out = say(&caller, said_by(None, &lobby, "ann", "other", "1300"));
    assert_eq!(committed(run_out).seq, 3_301);
    // Retention has deleted the block of which nothing counts.
    while blocks(dir.path()).contains(&0) {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(blocks(dir.path()), [1, 2, 3]);
}

fn blocks(dir: &Path) -> Vec<u32> {
    let db = rusqlite::Connection::open(dir.join("history.db")).unwrap();
    let mut select = db.prepare("SELECT block FROM key_block ORDER BY block").unwrap();
    let blocks = select.query_map([], |row| row.get(0)).unwrap();
    blocks.map(Result::unwrap).collect()
}

#[test]
fn a_damaged_block_of_keys_is_named_and_made_again_from_the_messages() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    for outcome in say_all(&caller, &lobby, 1..1_101) {
        committed(outcome);
    }
    drop(caller);
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.execute_batch("UPDATE key_block SET at = at + 1").unwrap();
    drop(db);
    let damages = tools::check(dir.path()).unwrap().damages;
    assert_eq!(damages, ["table key_block: block 0 of log 1 is damaged"]);
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    for n in [1, 5, 1_024, 1_025, 1_100] {
        for outcome in say_all(&caller, &lobby, n..n + 1) {
            assert_eq!(duplicate(outcome).seq, n);
        }
    }
    let other = say(&caller, said_by(None, &lobby, "ann", "other", "5"));
    assert!(matches!(other, Outcome::KeyConflict { .. }), "{other:?}");
    committed(say(&caller, said_by(None, &lobby, "ann", "new", "new")));
    assert_eq!(caller.history.stats().damage.load(Ordering::Relaxed), 1);
    drop(caller);
    assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
}

#[test]
fn a_store_of_schema_3_is_migrated_and_its_keys_stay() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("history.db"), include_bytes!("version-3.db")).unwrap();
    let (lobby, direct) = (room("lobby"), pair("ann", "bob"));
    // It was made with the numbers of `chain.rs`, which have holes.
    let seq = |n: usize| if n == 0 { 5 } else { 8 * n as u64 + 3 };
    for restarted in [false, true] {
        let caller = Caller::open(dir.path());
        // The first messages of the room were deleted, and their keys count. Every fourth is a client's.
        for n in (0..30_usize).step_by(2) {
            let client = n.is_multiple_of(4).then_some(PHONE);
            let (name, text) = (["ann", "bob", "张三"][n % 3], format!("message {n}"));
            let again = said_by(client, &lobby, name, &text, &format!("k{n}"));
            assert_eq!(duplicate(say(&caller, again.clone())).seq, seq(n));
            let mut other = again;
            other.message.text = "other".into();
            assert!(matches!(say(&caller, other), Outcome::KeyConflict { .. }));
        }
        for n in 0..6_usize {
            let client = n.is_multiple_of(4).then_some(PHONE);
            let again = said_by(
                client,
                &direct,
                ["ann", "bob"][n % 2],
                &format!("direct {n}"),
                &format!("k{n}"),
            );
            assert_eq!(duplicate(say(&caller, again)).seq, seq(n));
        }
        for log in [&lobby, &direct] {
            let new = say(&caller, said_by(None, log, "bob", "new", "new"));
            assert_eq!(matches!(new, Outcome::Duplicate { .. }), restarted, "{new:?}");
        }
        assert!(caller.history.claims().has(&user("ann")));
        drop(caller);
        assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
    }
}
