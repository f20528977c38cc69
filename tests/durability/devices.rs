//! Direct messages that a device receives after the store lost some, and while many arrive.

use std::{fs, thread};

use serde_json::{Value, json};

use crate::{Kept, kept, person::Person, support::Running};

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
            let peer = gap["peer"].as_str().unwrap();
            heard.push(format!("gap {peer} {}-{}", gap["from"], gap["to"]));
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

#[test]
fn a_damaged_direct_message_is_told_as_lost_and_the_rest_and_all_older_conversations_are_given() {
    let server = Kept::start();
    let key = Person::named(server.address, "bob").key();
    for name in ["carl", "ann", "dora"] {
        say(&mut Person::named(server.address, name), 5);
    }
    let server = server.changed(|dir| {
        let db = rusqlite::Connection::open(dir.join("history.db")).unwrap();
        let forged = db.execute("UPDATE message SET text = 'forged' WHERE text = 'ann 3'", []);
        assert_eq!(forged.unwrap(), 1);
    });
    for _ in 0..2 {
        let mut bob = Person::with_key(server.address, "bob", &key);
        let mut due: Vec<String> = ["dora", "ann", "carl"]
            .iter()
            .flat_map(|name| (1..=5).map(move |n| format!("{name} {n}")))
            .collect();
        due[7] = "gap ann 3-3".to_owned();
        assert_eq!(heard_until(&mut bob, "carl 5"), due);
    }
}

#[test]
fn a_device_with_a_position_in_a_conversation_that_is_lost_as_a_whole_is_told() {
    let copy = tempfile::tempdir().unwrap();
    let server = Kept::start();
    let [anns, key] = ["ann", "bob"].map(|name| Person::named(server.address, name).key());
    // All of it is in the write-ahead log, and the crash leaves none of that.
    let server = server.restarted();
    let mut ann = Person::with_key(server.address, "ann", &anns);
    let epoch = ann.direct("bob", "1")["epoch"].clone();
    ann.direct("bob", "2");
    for name in ["history.db", "history.head"] {
        fs::copy(server.path().join(name), copy.path().join(name)).unwrap();
    }
    drop((ann, server));
    let server = Running::start(&kept(copy.path()));
    let resume = json!([{"peer": "ann", "epoch": epoch, "seq": 2}]);
    let hello = json!({"name": "bob", "key": key, "resume": resume});
    let mut bob = Person::hello(server.address, hello.clone());
    let gap = bob.next("gap");
    let told = [&gap["peer"], &gap["epoch"], &gap["from"], &gap["to"], &gap["lost"]];
    assert_eq!(told, [&json!("ann"), &epoch, &json!(1), &json!(2), &json!(true)]);
    // The conversation goes on in a new epoch.
    let mut ann = Person::with_key(server.address, "ann", &anns);
    ann.direct("bob", "on");
    let on = bob.next("direct");
    assert_eq!((&on["seq"], &on["text"]), (&json!(1), &json!("on")));
    assert_ne!(on["epoch"], epoch);
    // Whoever still comes with the old position is told too, and given what was said since.
    let mut bob = Person::hello(server.address, hello);
    assert_eq!(heard_until(&mut bob, "on"), ["gap ann 1-2", "on"]);
}

#[test]
fn devices_that_come_while_much_is_said_and_read_are_given_everything_unread_from_the_first_on() {
    let server = Kept::start();
    let address = server.address;
    let key = Person::named(address, "bob").key();
    let bob = || Person::with_key(address, "bob", &key);
    let mut quick = bob();
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
    let mut devices: Vec<Person> = (0..5).map(|_| bob()).collect();
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
        let more = device.heard();
        assert!(
            more.iter()
                .all(|event| event["direct"].is_null() && event["gap"].is_null())
        );
    }
}
