//! Idempotency keys: their owner, and that the store has one message per key.

use std::{fs, ops::Range, path::Path, time::Duration};

use plaza::{
    chat::ClientId,
    history::{Append, HistorySettings, KeyWindow, LogId, Outcome, tools},
};

use crate::support::{
    Caller, Store, append, committed, conflicts, duplicate, is_whole, name_of, newest, only, pair, room, settings, sql,
    unsynced, until,
};

const PHONE: Option<&str> = Some("00112233445566778899aabbccddeeff");
const LAPTOP: Option<&str> = Some("ffeeddccbbaa99887766554433221100");

fn said_by(client: Option<&str>, log: &LogId, from: &str, text: &str, key: &str) -> Append<u64> {
    let mut append = append(log, from, text, Some(key), 0);
    append.message.client = client.map(|client| ClientId::parse(client).unwrap());
    append
}

#[test]
fn a_clients_key_outlives_a_rename_and_a_restart_in_rooms_and_direct_conversations() {
    let store = Store::new();
    let conversations = [
        [room("lobby"), room("lobby")],
        [pair("ann", "bob"), pair("anna", "bob")],
    ];
    let said = |log: &LogId, from: &str, text: &str| said_by(PHONE, log, from, text, "k");
    let first = conversations
        .each_ref()
        .map(|[before, _]| committed(store.append(said(before, "ann", "hi"))));
    let store = store.restarted();
    for ([_, after], first) in conversations.iter().zip(first) {
        assert_eq!(duplicate(store.append(said(after, "anna", "hi"))), first);
        conflicts(store.append(said(after, "anna", "ho")));
    }
    // To somebody else it is another message.
    committed(store.append(said(&pair("anna", "cyd"), "anna", "hi")));
    assert_eq!(store.head(&pair("anna", "bob")).seq, 0);
}

#[test]
fn without_a_client_a_key_belongs_to_the_user() {
    let store = Store::new();
    let said = |from: &str| said_by(None, &room("lobby"), from, "hi", "k");
    let first = said("ann");
    let (sent, position) = (first.at, committed(store.append(first)));
    let mut later = said("ann");
    later.at += 1;
    let again = only!(store.append(later), Outcome::Duplicate { position, at, .. } => (position, at));
    assert_eq!(again, (position, sent));
    committed(store.append(said("anna")));
}

#[test]
fn a_client_neither_sees_nor_blocks_the_keys_of_others() {
    let store = Store::new();
    for log in [room("lobby"), pair("ann", "bob")] {
        for (text, client) in [("one", PHONE), ("two", LAPTOP), ("three", None)] {
            committed(store.append(said_by(client, &log, "ann", text, "k")));
        }
        conflicts(store.append(said_by(PHONE, &log, "ann", "two", "k")));
    }
    // A user cannot take the name under which a client's keys are stored.
    for kind in ["room", "direct"] {
        let name = format!(" {kind} {}", PHONE.unwrap());
        committed(store.append(said_by(None, &room("lobby"), &name, "four", "k")));
    }
}

#[test]
fn a_key_used_for_a_message_to_one_user_is_new_for_a_message_to_the_one_who_wrote_it() {
    let store = Store::new();
    // A note to oneself, and, behind a rename, messages to whoever has the first name by then.
    for (from, key) in [("ann", "k1"), ("anna", "k2"), ("bob", "k3")] {
        committed(store.append(said_by(PHONE, &pair("ann", "bob"), "ann", "hi", key)));
        let to_ann = said_by(PHONE, &pair(from, "ann"), from, "hi", key);
        let first = committed(store.append(to_ann.clone()));
        assert_eq!(duplicate(store.append(to_ann)), first, "{from}");
    }
}

/// Messages of ann under the keys of these numbers, submitted together.
fn say_all(caller: &Caller, log: &LogId, numbers: Range<u64>) -> Vec<Outcome<u64>> {
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

/// The keys of these numbers are known.
fn all_count(caller: &Caller, log: &LogId, numbers: Range<u64>) {
    for (n, outcome) in numbers.clone().zip(say_all(caller, log, numbers)) {
        assert_eq!(duplicate(outcome).seq, n);
    }
}

#[test]
fn keys_of_deleted_messages_count_until_their_window_is_over_also_after_a_restart() {
    let store = Store::with(|dir| HistorySettings {
        retention: newest(10),
        keys: KeyWindow {
            messages: 2_000,
            ..settings(dir).keys
        },
        retention_pause: Duration::ZERO,
        ..unsynced(dir)
    });
    let lobby = room("lobby");
    // Three complete blocks, and one that is open.
    for outcome in say_all(&store, &lobby, 1..3_301) {
        committed(outcome);
    }
    until("retention deletes", || store.head(&lobby).first >= 3_291);
    all_count(&store, &lobby, 1_301..3_301);
    let store = store.restarted();
    all_count(&store, &lobby, 1_301..3_301);
    conflicts(store.say_with(&lobby, "ann", "other", "3300"));
    let run_out = store.say_with(&lobby, "ann", "other", "1300");
    assert_eq!(committed(run_out).seq, 3_301);
    // Retention deletes the block of which nothing counts.
    until("the first block goes", || blocks(store.path()) == [1, 2, 3]);
}

fn blocks(dir: &Path) -> Vec<u32> {
    let db = rusqlite::Connection::open(dir.join("history.db")).unwrap();
    let mut select = db.prepare("SELECT block FROM key_block ORDER BY block").unwrap();
    let blocks = select.query_map([], |row| row.get(0)).unwrap();
    blocks.map(Result::unwrap).collect()
}

#[test]
fn a_damaged_block_of_keys_is_named_and_made_again_from_the_messages() {
    let store = Store::unsynced();
    let lobby = room("lobby");
    for outcome in say_all(&store, &lobby, 1..1_101) {
        committed(outcome);
    }
    let store = store.changed(|dir| {
        sql(dir, "UPDATE key_block SET at = at + 1");
        let damages = tools::check(dir).unwrap().damages;
        assert_eq!(damages, ["table key_block: block 0 of log 1 is damaged"]);
    });
    for n in [1, 5, 1_024, 1_025, 1_100] {
        all_count(&store, &lobby, n..n + 1);
    }
    conflicts(store.say_with(&lobby, "ann", "other", "5"));
    committed(store.say_with(&lobby, "ann", "new", "new"));
    assert_eq!(store.damage(), 1);
    is_whole(store.stopped().path());
}

#[test]
fn a_store_of_schema_1_or_2_is_migrated_and_its_keys_stay() {
    for schema in [1, 2] {
        let files = |dir: &Path| {
            fs::write(dir.join("history.db"), include_bytes!("version-2.db")).unwrap();
            if schema == 1 {
                sql(dir, "DROP INDEX idem_of_clients; PRAGMA user_version = 1");
            }
        };
        let store = Store::laid(files, settings);
        let lobby = room("lobby");
        assert_eq!(duplicate(store.say_with(&lobby, "ann", "hello world 6", "k")).seq, 6);
        let direct = said_by(PHONE, &pair("anna", "bob"), "anna", "psst 2", "k");
        assert_eq!(duplicate(store.append(direct)).seq, 2);
        conflicts(store.say_with(&lobby, "ann", "something else", "k"));
    }
}

#[test]
fn a_store_of_schema_3_is_migrated_and_its_keys_stay() {
    let file = include_bytes!("version-3.db");
    let mut store = Store::laid(|dir| fs::write(dir.join("history.db"), file).unwrap(), settings);
    let (lobby, direct) = (room("lobby"), pair("ann", "bob"));
    // It was made with the numbers of `chain.rs`, which have holes.
    let seq = |n: usize| if n == 0 { 5 } else { 8 * n as u64 + 3 };
    // Every fourth is a client's.
    let said = |n: usize, log: &LogId, names: &[&str], text: &str| {
        let client = PHONE.filter(|_| n.is_multiple_of(4));
        said_by(client, log, names[n % names.len()], text, &format!("k{n}"))
    };
    for restarted in [false, true] {
        // The first messages of the room were deleted, and their keys count.
        for n in (0..30_usize).step_by(2) {
            let say = |text: &str| store.append(said(n, &lobby, &["ann", "bob", "张三"], text));
            assert_eq!(duplicate(say(&format!("message {n}"))).seq, seq(n));
            conflicts(say("other"));
        }
        for n in 0..6_usize {
            let again = said(n, &direct, &["ann", "bob"], &format!("direct {n}"));
            assert_eq!(duplicate(store.append(again)).seq, seq(n));
        }
        for log in [&lobby, &direct] {
            let new = store.say_with(log, "bob", "new", "new");
            assert_eq!(matches!(new, Outcome::Duplicate { .. }), restarted, "{new:?}");
        }
        assert!(store.history.claims().has(&name_of("ann")));
        store = store.changed(is_whole);
    }
}
