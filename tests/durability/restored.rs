//! A server with a restored backup, as its clients see it: each learns exactly what is lost, and receives what follows.

use std::{fs, path::Path};

use plaza::history::tools;
use serde_json::{Value, json};

use crate::{kept, person::Person, support::Running};

const BEFORE: u64 = 10;
const ALL: u64 = 20;
const AGAIN: u64 = 25;

/// Sends these numbers to the lobby, and returns the epoch.
fn say(data: &Path, numbers: std::ops::RangeInclusive<u64>) -> Value {
    let server = Running::start(&kept(data));
    let mut ann = Person::joined(server.address, &format!("ann {}", numbers.end()), "lobby");
    let said = numbers.map(|n| {
        let ack = ann.say("lobby", &n.to_string());
        assert_eq!(ack["seq"], n);
        ack["epoch"].clone()
    });
    said.last().unwrap()
}

/// Puts the backup in the place of the directory, and starts a server on it.
fn put_back(backup: &Path, data: &Path) -> Running {
    fs::remove_dir_all(data).unwrap();
    fs::rename(backup, data).unwrap();
    Running::start(&kept(data))
}

/// A user who had seen messages up to `seen` before the restore gets a gap for the lost ones, the rest of the restored ones, and then
/// the messages that replaced the lost ones.
fn hears_all_after(person: &mut Person, seen: u64) {
    let lost = (seen > BEFORE).then(|| format!("gap {}-{seen} lost true", BEFORE + 1));
    let missed = (seen + 1..=BEFORE).map(|n| n.to_string());
    let again = (BEFORE + 1..=AGAIN).map(|n| format!("again {n}"));
    let due: Vec<String> = lost.into_iter().chain(missed).chain(again).collect();
    assert_eq!(heard_until(person, &format!("again {AGAIN}")), due, "{seen}");
}

/// The events before this message, in short form.
fn heard_until(person: &mut Person, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let event = person.event();
        if event["gap"].is_object() {
            let gap = &event["gap"];
            heard.push(format!("gap {}-{} lost {}", gap["from"], gap["to"], gap["lost"]));
        }
        let text = [&event["message"], &event["direct"]].map(|message| message["text"].clone());
        if let Some(text) = text.iter().find_map(Value::as_str) {
            heard.push(text.to_owned());
            if text == last {
                return heard;
            }
        }
    }
}

#[test]
fn clients_of_a_restored_room_are_told_what_is_lost_and_hear_what_is_said_next() {
    let base = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| base.path().join(name));
    let epoch = say(&data, 1..=BEFORE);
    tools::backup(&data, &backup).unwrap();
    assert_eq!(say(&data, BEFORE + 1..=ALL), epoch, "a plain restart keeps the epoch");
    let server = put_back(&backup, &data);
    let come_back = |when: &str| {
        [0, 5, BEFORE, BEFORE + 1, ALL].map(|seen| {
            let mut person = Person::named(server.address, &format!("{when} {seen}"));
            let joined = person.join(json!({"room": "lobby", "epoch": epoch, "seq": seen}));
            assert_ne!(joined["epoch"], epoch, "{joined}");
            assert_eq!(joined["from"], seen.min(BEFORE), "{joined}");
            (seen, person)
        })
    };
    // Some come back at once, and some after the server has grown past their position.
    let early = come_back("early");
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let mut again = |n: u64| assert_eq!(ann.say("lobby", &format!("again {n}"))["seq"], n);
    (BEFORE + 1..AGAIN).for_each(&mut again);
    let late = come_back("late");
    again(AGAIN);
    for (seen, mut person) in early.into_iter().chain(late) {
        hears_all_after(&mut person, seen);
    }
}

#[test]
fn devices_of_a_restored_direct_conversation_are_told_what_is_lost_and_hear_what_is_said_next() {
    let base = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| base.path().join(name));
    let server = Running::start(&kept(&data));
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| Person::named(server.address, name));
    let keys = [ann.key(), bob.key()];
    let mut epoch = Value::Null;
    for n in 1..=ALL {
        let said = ann.direct("bob", &n.to_string())["epoch"].clone();
        assert!(n == 1 || said == epoch, "{n}");
        epoch = said;
        if n == BEFORE {
            tools::backup(&data, &backup).unwrap();
        }
    }
    heard_until(&mut bob, &ALL.to_string());
    drop((ann, bob, server));
    let server = put_back(&backup, &data);
    let mut ann = Person::with_key(server.address, "ann", &keys[0]);
    for n in BEFORE + 1..=AGAIN {
        let ack = ann.direct("bob", &format!("again {n}"));
        assert_eq!(ack["seq"], n);
        assert_ne!(ack["epoch"], epoch);
    }
    for seen in [5, BEFORE, BEFORE + 1, ALL] {
        let resume = json!([{"peer": "ann", "epoch": epoch, "seq": seen}]);
        let mut bob = Person::hello(server.address, json!({"name": "bob", "key": keys[1], "resume": resume}));
        hears_all_after(&mut bob, seen);
    }
}
