//! Idempotency keys: their owner, and that the store has one message per key.

use plaza::{
    chat::{ClientId, Position},
    history::{Append, LogId, Outcome},
};

use crate::support::{Caller, append, committed, pair, room};

const PHONE: &str = "00112233445566778899aabbccddeeff";
const LAPTOP: &str = "ffeeddccbbaa99887766554433221100";

fn said_by(client: Option<&str>, log: &LogId, from: &str, text: &str, key: &str) -> Append<u64> {
    let mut append = append(log, from, text, Some(key), 0);
    append.said.client = client.map(|client| ClientId::parse(client).unwrap());
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
