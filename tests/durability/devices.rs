//! Direct messages that a device receives after the store lost some, and while many arrive.

use std::{fs, path::Path, thread};

use serde_json::{Value, json};

use crate::{kept, person::Person, support::Running};

/// The events of a device's direct conversations up to this text: `ann 1`, `gap ann 3-3`.
fn heard_until(person: &mut Person, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let event = person.event();
        let (direct, gap) = (&event["direct"], &event["gap"]);
        if direct.is_object() {
            heard.push(direct["text"].as_str().unwrap().to_owned());
        } else if gap.is_object() {
            assert_eq!(gap["lost"], true, "{gap}");
            heard.push(format!(
                "gap {} {}-{}",
                gap["peer"].as_str().unwrap(),
                gap["from"],
                gap["to"]
            ));
        }
        if heard.last().is_some_and(|heard| heard == last) {
            return heard;
        }
    }
}

fn say(person: &mut Person, count: u64) {
    let name = person.welcome["name"].as_str().unwrap().to_owned();
    for n in 1..=count {
        person.direct("bob", &format!("{name} {n}"));
    }
}

/// Sends it to bob, and repeats it while the server is busy with earlier messages.
fn insist(person: &mut Person, text: &str) {
    loop {
        let answer = person.ask(json!({"direct": {"to": "bob", "text": text}}));
        if answer["ack"].is_object() {
            return;
        }
        assert_eq!(answer["error"]["code"], "busy", "{answer}");
    }
}

fn bob(server: &Running, key: &str) -> Person {
    Person::hello(server.address, json!({"name": "bob", "key": key}))
}

#[test]
fn a_damaged_direct_message_is_told_as_lost_and_the_rest_and_all_older_conversations_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let key = Person::named(server.address, "bob").key();
    for name in ["carl", "ann", "dora"] {
        say(&mut Person::named(server.address, name), 5);
    }
    drop(server);
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    let forged = db
        .execute("UPDATE message SET text = 'forged' WHERE text = 'ann 3'", [])
        .unwrap();
    assert_eq!(forged, 1);
    drop(db);
    let server = Running::start(&config);
    for _ in 0..2 {
        let heard = heard_until(&mut bob(&server, &key), "carl 5");
        let due = [
            "dora 1",
            "dora 2",
            "dora 3",
            "dora 4",
            "dora 5",
            "ann 1",
            "ann 2",
            "gap ann 3-3",
            "ann 4",
            "ann 5",
            "carl 1",
            "carl 2",
            "carl 3",
            "carl 4",
            "carl 5",
        ];
        assert_eq!(heard, due);
    }
}

#[test]
fn a_device_with_a_position_in_a_conversation_that_is_lost_as_a_whole_is_told() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = kept(dir.path());
    let server = Running::start(&config);
    let key = Person::named(server.address, "bob").key();
    let anns = Person::named(server.address, "ann").key();
    drop(server);
    // All of it is in the write-ahead log, and the crash leaves none of that.
    let server = Running::start(&config);
    let mut ann = Person::hello(server.address, json!({"name": "ann", "key": anns}));
    let epoch = (1..=3)
        .map(|n| ann.direct("bob", &n.to_string())["epoch"].clone())
        .next()
        .unwrap();
    crash_without_log(dir.path(), copy.path());
    drop((ann, server));
    let server = Running::start(&kept(copy.path()));
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 2}]);
    let hello = json!({"name": "bob", "key": key, "resume": resume});
    let mut bob = Person::hello(server.address, hello.clone());
    let gap = bob.next("gap");
    let told = [&gap["peer"], &gap["epoch"], &gap["from"], &gap["to"], &gap["lost"]];
    assert_eq!(told, [&json!("ann"), &epoch, &json!(1), &json!(2), &json!(true)]);
    // The conversation goes on in a new epoch.
    let mut ann = Person::hello(server.address, json!({"name": "ann", "key": anns}));
    ann.direct("bob", "on");
    let on = bob.next("direct");
    assert_eq!((&on["seq"], &on["text"]), (&json!(1), &json!("on")));
    assert_ne!(on["epoch"], epoch);
    // Whoever still comes with the old position is told too, and given what was said since.
    let mut bob = Person::hello(server.address, hello);
    assert_eq!(heard_until(&mut bob, "on"), ["gap ann 1-2", "on"]);
}

fn crash_without_log(from: &Path, to: &Path) {
    for name in ["history.db", "history.head"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn devices_that_come_while_much_is_said_and_read_are_given_everything_unread_from_the_first_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let mut quick = bob(&server, &key);
    let mut ann = Person::named(address, "ann");
    let long = "x".repeat(10_000);
    let text = move |n: usize| format!("{n} {long}");
    let count = 450;
    for n in 1..=50 {
        insist(&mut ann, &text(n));
    }
    let read = |quick: &mut Person, upto: u64| {
        while quick.next("direct")["seq"] != upto {}
        quick.ask(json!({"read": {"peer": "ann", "seq": upto}}));
    };
    read(&mut quick, 10);
    let writer = thread::spawn(move || {
        for n in 51..=count {
            insist(&mut ann, &text(n));
        }
        ann
    });
    let mut devices: Vec<Person> = (0..5).map(|_| bob(&server, &key)).collect();
    // What waited has been looked for before more of it is read.
    for device in &mut devices {
        assert_eq!(device.next("direct")["seq"], 11);
    }
    for upto in [60, 200, 300, 450] {
        read(&mut quick, upto);
    }
    let _ann = writer.join().unwrap();
    for device in &mut devices {
        let mut last = 11;
        while last < count as u64 {
            let event: Value = device.event();
            assert!(event["gap"].is_null(), "{event}");
            if let Some(seq) = event["direct"]["seq"].as_u64() {
                assert_eq!(seq, last + 1);
                last = seq;
            }
        }
        assert!(
            device
                .heard()
                .iter()
                .all(|event| event["direct"].is_null() && event["gap"].is_null())
        );
    }
}
