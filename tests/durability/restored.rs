//! A server with a restored backup, as its clients see it: each learns exactly what is lost, and receives what follows.

use std::{fs, path::Path};

use plaza::history::tools;
use serde_json::{Value, json};

use crate::{kept, person::Person, support::Running};

const BEFORE: u64 = 10;
const ALL: u64 = 20;

/// Sends these numbers to the lobby, and returns the epoch.
fn say(data: &Path, numbers: std::ops::RangeInclusive<u64>) -> Value {
    let server = Running::start(&kept(data));
    let mut ann = Person::joined(server.address, &format!("ann {}", numbers.end()), "lobby");
    let mut epoch = Value::Null;
    for n in numbers {
        let ack = ann.say("lobby", &n.to_string());
        assert_eq!(ack["seq"], n);
        epoch = ack["epoch"].clone();
    }
    epoch
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
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&backup, &data).unwrap();
    let server = Running::start(&kept(&data));
    // One comes back at once, and one after the server has grown past its position.
    let mut people = Vec::new();
    let mut ann = None;
    for name in ["early", "late"] {
        for seen in [0, 5, BEFORE, BEFORE + 1, ALL] {
            let mut person = Person::named(server.address, &format!("{name} {seen}"));
            let joined = person.join(json!({"room": "lobby", "epoch": epoch, "seq": seen}));
            assert_ne!(joined["epoch"], epoch, "{joined}");
            assert_eq!(joined["from"], seen.min(BEFORE), "{joined}");
            people.push((name, seen, person));
        }
        let ann = ann.get_or_insert_with(|| Person::joined(server.address, "ann", "lobby"));
        if name == "early" {
            for n in BEFORE + 1..ALL + 5 {
                assert_eq!(ann.say("lobby", &format!("again {n}"))["seq"], n);
            }
        }
    }
    ann.unwrap().say("lobby", "end");
    for (name, seen, mut person) in people {
        let lost = (seen > BEFORE).then(|| format!("gap {}-{seen} lost true", BEFORE + 1));
        let missed = (seen + 1..=BEFORE).map(|n| n.to_string());
        let again = (BEFORE + 1..ALL + 5).map(|n| format!("again {n}"));
        let expected: Vec<String> = lost
            .into_iter()
            .chain(missed)
            .chain(again)
            .chain(["end".to_owned()])
            .collect();
        assert_eq!(heard_until(&mut person, "end"), expected, "{name} {seen}");
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
    for n in 1..=BEFORE {
        epoch = ann.direct("bob", &n.to_string())["epoch"].clone();
    }
    tools::backup(&data, &backup).unwrap();
    for n in BEFORE + 1..=ALL {
        assert_eq!(ann.direct("bob", &n.to_string())["epoch"], epoch);
    }
    heard_until(&mut bob, &ALL.to_string());
    drop((ann, bob, server));
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&backup, &data).unwrap();
    let server = Running::start(&kept(&data));
    let mut ann = Person::hello(server.address, json!({"name": "ann", "key": keys[0]}));
    for n in BEFORE + 1..=ALL + 5 {
        let ack = ann.direct("bob", &format!("again {n}"));
        assert_eq!(ack["seq"], n);
        assert_ne!(ack["epoch"], epoch);
    }
    for seen in [5, BEFORE, BEFORE + 1, ALL] {
        let resume = json!([{"peer": "ann", "epoch": epoch, "seq": seen}]);
        let mut bob = Person::hello(server.address, json!({"name": "bob", "key": keys[1], "resume": resume}));
        let lost = (seen > BEFORE).then(|| format!("gap {}-{seen} lost true", BEFORE + 1));
        let missed = (seen + 1..=BEFORE).map(|n| n.to_string());
        let again = (BEFORE + 1..=ALL + 5).map(|n| format!("again {n}"));
        let expected: Vec<String> = lost.into_iter().chain(missed).chain(again).collect();
        assert_eq!(heard_until(&mut bob, &format!("again {}", ALL + 5)), expected, "{seen}");
    }
}
