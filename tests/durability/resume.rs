//! A returning client gets the messages that it missed, then live ones, without a gap or a duplicate.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use plaza::config::{ByteCount, Config};
use serde_json::{Value, json};

use crate::{Kept, person::Person, support::until, talks};

/// Sends to a room until it is stopped, and returns the number of messages.
struct Noise {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Noise {
    fn start(address: SocketAddr, room: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, room) = (stop.clone(), room.to_owned());
        let thread = thread::spawn(move || {
            let mut person = Person::joined(address, "noise", &room);
            let mut said = 0;
            // Relaxed: only has to be seen at some time.
            while !told.load(Ordering::Relaxed) {
                person.say_all(talks(&room, (0..8).map(|n| format!("noise {}", said + n))));
                said += 8;
            }
            person.say(&room, "end");
            said + 1
        });
        Self { stop, thread }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Receives a room after `seq` up to the text `end`, and fails on a gap, a duplicate or a wrong predecessor.
fn hear_all(person: &mut Person, mut seq: u64) -> u64 {
    loop {
        let event = person.event();
        assert!(event["gap"].is_null(), "{event}");
        let message = &event["message"];
        if message.is_null() {
            continue;
        }
        let place = (&message["prev"], &message["seq"]);
        assert_eq!(place, (&json!(seq), &json!(seq + 1)), "{message}");
        seq += 1;
        if message["text"] == "end" {
            return seq;
        }
    }
}

/// The ring holds little, so that most comes from the store.
fn small_ring(config: &mut Config) {
    config.flush.ring_bytes = ByteCount(1024);
}

fn comes_back_after(missed: u64, settings: fn(&mut Config)) {
    let server = Kept::with(settings);
    let address = server.address;
    let mut bob = Person::joined(address, "bob", "lobby");
    let epoch = bob.say("lobby", "here")["epoch"].clone();
    let key = bob.key();
    drop(bob);
    let mut ann = Person::joined(address, "ann", "lobby");
    ann.say_all(talks("lobby", 0..missed));
    let noise = Noise::start(address, "lobby");
    let mut bobs = Vec::new();
    for n in 0..4 {
        // In hello and in join, on this shard and on that.
        bobs.push(if n % 2 == 0 {
            let resume = json!([{"room": "lobby", "epoch": epoch, "seq": 1}]);
            Person::hello(address, json!({"name": "bob", "key": key, "resume": resume}))
        } else {
            let mut bob = Person::with_key(address, "bob", &key);
            let joined = bob.join(json!({"room": "lobby", "epoch": epoch, "seq": 1}));
            assert_eq!(joined["from"], 1, "{joined}");
            bob
        });
    }
    let said = noise.end();
    for mut bob in bobs {
        assert_eq!(hear_all(&mut bob, 1), 1 + missed + said);
    }
}

#[test]
fn a_gap_of_ten_is_filled_while_the_room_is_busy() {
    comes_back_after(10, |_| {});
}

#[test]
fn a_gap_of_three_hundred_is_filled_from_the_ring_while_the_room_is_busy() {
    comes_back_after(300, |_| {});
}

#[test]
fn a_gap_of_three_hundred_is_filled_from_the_store_while_the_room_is_busy() {
    comes_back_after(300, small_ring);
}

#[test]
fn a_gap_of_twenty_thousand_is_filled_while_the_room_is_busy() {
    comes_back_after(20_000, |_| {});
}

#[test]
fn a_new_device_gets_the_last_messages_that_it_asks_for() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all(talks("lobby", 1..=20));
    let said = ["21", "22", "23"];
    for ((last, from), text) in [(5, 15), (20, 1), (1_000, 0)].into_iter().zip(said) {
        let mut bob = Person::named(server.address, "bob");
        let joined = bob.join(json!({"room": "lobby", "last": last}));
        assert_eq!(joined["from"], from, "{joined}");
        ann.say("lobby", text);
        let expected = (from + 1..=text.parse().unwrap()).map(|n: u64| n.to_string());
        assert!(bob.texts_until("message", text).into_iter().eq(expected), "{last}");
    }
}

#[test]
fn who_comes_back_is_told_how_far_it_had_read_whether_the_room_is_open_or_empty() {
    let server = Kept::with(small_ring);
    let mut bob = Person::joined(server.address, "bob", "lobby");
    let (key, epoch) = (bob.key(), bob.say("lobby", "1")["epoch"].clone());
    bob.say_all(talks("lobby", 2..=2_999));
    bob.say("lobby", "end");
    bob.ask(json!({"read": {"room": "lobby", "seq": 7}}));
    let mut eve = Person::joined(server.address, "eve", "lobby");
    let leave = json!({"leave": {"room": "lobby"}});
    for room in ["open", "empty"] {
        let last = if room == "open" { &mut bob } else { &mut eve };
        last.get("left", leave.clone());
        // 1: beyond the first page and the ring; 2,990: within the first page.
        for seq in [1, 2_990] {
            let mut back = Person::with_key(server.address, "bob", &key);
            let joined = back.join(json!({"room": "lobby", "epoch": epoch, "seq": seq}));
            let told = (&joined["read"], &joined["from"]);
            assert_eq!(told, (&json!(7), &json!(seq)), "{room}: {joined}");
            assert_eq!(hear_all(&mut back, seq), 3_000, "{room}");
            back.ask(leave.clone());
        }
    }
}

#[test]
fn what_retention_deleted_is_not_missing_for_who_asks_for_the_last_messages() {
    let server = Kept::with(|config| config.history.max_count = Some(10));
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all(talks("lobby", 1..=100));
    drop(ann);
    // Retention has looked at the room once the oldest stored one is no longer the first.
    let server = server.restarted();
    let mut eve = Person::joined(server.address, "eve", "lobby");
    until("retention deletes", || {
        eve.say("lobby", "more");
        eve.history(json!({"room": "lobby"}))["first"].as_u64().unwrap() > 50
    });
    drop(eve);
    let server = server.restarted();
    let mut bob = Person::named(server.address, "bob");
    bob.join(json!({"room": "lobby", "last": 1_000}));
    assert!(bob.next("message")["seq"].as_u64().unwrap() > 50);
    bob.heard_no("gap");
}

#[test]
fn a_position_without_an_epoch_goes_on_from_the_beginning_and_one_of_another_epoch_is_told_what_is_lost() {
    let server = Kept::start();
    let address = server.address;
    // Whoever joins an empty room knows no epoch yet.
    let mut bob = Person::named(address, "bob");
    let joined = bob.join(json!({"room": "lobby"}));
    let known = json!([{"room": "lobby", "epoch": joined["epoch"], "seq": joined["head"]}]);
    let key = bob.key();
    drop(bob);
    let mut ann = Person::joined(address, "ann", "lobby");
    ann.say("lobby", "1");
    ann.say("lobby", "end");
    let epoch = ann.say("lobby", "3")["epoch"].as_u64().unwrap();
    let mut bob = Person::hello(address, json!({"name": "bob", "key": key, "resume": known}));
    assert_eq!(hear_all(&mut bob, 0), 2);
    let mut eve = Person::named(address, "eve");
    let joined = eve.join(json!({"room": "lobby", "epoch": epoch ^ 1, "seq": 9}));
    let told = (&joined["epoch"], &joined["from"]);
    assert_eq!(told, (&json!(epoch), &json!(0)), "{joined}");
    let gap = eve.next("gap");
    let told = ["epoch", "from", "to", "lost"].map(|key| gap[key].clone());
    assert_eq!(told, [json!(epoch ^ 1), json!(1), json!(9), json!(true)], "{gap}");
    assert_eq!(hear_all(&mut eve, 0), 2);
}

#[test]
fn a_resume_of_many_rooms_that_is_larger_than_what_may_wait_is_not_cut() {
    let server = Kept::with(|config| config.server.shards = 1);
    let mut ann = Person::named(server.address, "ann");
    let long = "x".repeat(30_000);
    let rooms: Vec<String> = (0..24).map(|n| format!("room {n}")).collect();
    let mut resume = Vec::new();
    for room in &rooms {
        ann.join(json!({"room": room}));
        let epoch = ann.say(room, "first")["epoch"].clone();
        ann.say_all(talks(room, vec![&long; 28]));
        ann.say(room, "end");
        ann.heard();
        resume.push(json!({"room": room, "epoch": epoch, "seq": 0}));
    }
    let mut bob = Person::hello(server.address, json!({"name": "bob", "resume": resume}));
    let mut counts = HashMap::<String, u64>::new();
    let mut ended = 0;
    while ended < rooms.len() {
        let message = bob.next("message");
        let count = counts.entry(message["room"].as_str().unwrap().to_owned()).or_default();
        *count += 1;
        assert_eq!(message["seq"].as_u64().unwrap(), *count);
        ended += usize::from(message["text"] == "end");
    }
}

#[test]
fn whoever_leaves_while_it_is_given_what_it_missed_hears_no_more_and_coming_back_hears_each_once() {
    let server = Kept::with(small_ring);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all(talks("lobby", 1..=2_999));
    let epoch = ann.say("lobby", "end")["epoch"].clone();
    let join = json!({"join": {"room": "lobby", "epoch": epoch, "seq": 0}});
    let leave = json!({"leave": {"room": "lobby"}});
    let mut bob = Person::named(server.address, "bob");
    for _ in 0..20 {
        let (joins, leaves) = (bob.send(join.clone()), bob.send(leave.clone()));
        let mut order: Vec<Value> = Vec::new();
        let mut seq = 0;
        while order.len() < 2 {
            let event = bob.event();
            if event["message"].is_object() {
                assert_eq!(event["message"]["seq"], seq + 1);
                seq += 1;
            } else if event["id"].is_u64() {
                order.push(event["id"].clone());
            }
        }
        assert_eq!(order, [json!(joins), json!(leaves)], "joined, then left");
        bob.heard_no("message");
    }
    bob.ask(join.clone());
    bob.ask(leave);
    // That belongs to the first join, and may be all of it: whoever waits for the answer may leave too late.
    bob.heard();
    bob.ask(join);
    for seq in 1..=3_000 {
        assert_eq!(bob.next("message")["seq"], seq);
    }
    bob.heard_no("message");
}
