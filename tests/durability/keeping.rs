//! Numbers, keys, history, search, read markers, and the differences without a store.

use std::thread;

use plaza::history::Durability;
use serde_json::{Value, json};

use crate::{
    Kept,
    person::Person,
    support::{self, Running},
    talks,
};

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The numbers of the messages in a page.
fn numbers(page: &Value) -> Vec<u64> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| number(message, "seq")).collect()
}

#[test]
fn many_writers_get_numbers_without_a_hole_and_every_ack_is_in_the_history() {
    let server = Kept::start();
    let address = server.address;
    let mut listener = Person::joined(address, "listener", "lobby");
    let write = |writer: usize| {
        thread::spawn(move || {
            let mut person = Person::joined(address, &format!("w{writer}"), "lobby");
            let texts = (0..50).map(|n| format!("{writer} {n}"));
            let acks = texts.map(|text| (number(&person.say("lobby", &text), "seq"), text));
            acks.collect::<Vec<_>>()
        })
    };
    let writers: Vec<_> = (0..8).map(write).collect();
    let mut acked: Vec<(u64, String)> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    acked.sort();
    assert!(acked.iter().map(|(seq, _)| *seq).eq(1..=400));
    let stored = listener.all("lobby");
    for ((seq, text), message) in acked.iter().zip(&stored) {
        let place = (number(message, "prev"), number(message, "seq"));
        assert_eq!((place, &message["text"]), ((seq - 1, *seq), &json!(text)));
    }
    for (seq, text) in acked {
        let heard = listener.next("message");
        assert_eq!((number(&heard, "seq"), &heard["text"]), (seq, &json!(text)));
    }
}

#[test]
fn a_key_makes_a_repeated_talk_one_message_also_while_the_first_waits_and_after_a_restart() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let message = json!({"talk": {"room": "lobby", "text": "once", "key": "k"}});
    let ids: Vec<u64> = (0..20).map(|_| ann.send(message.clone())).collect();
    let acks: Vec<Value> = ids.into_iter().map(|id| ann.reply(id)["ack"].clone()).collect();
    assert!(acks.iter().all(|ack| number(ack, "seq") == 1), "{acks:?}");
    let firsts = acks.iter().filter(|ack| ack["duplicate"] == false).count();
    assert_eq!(firsts, 1, "{acks:?}");
    let other = json!({"talk": {"room": "lobby", "text": "other", "key": "k"}});
    ann.refused("key_conflict", other.clone());
    let direct = json!({"direct": {"to": "bob", "text": "once", "key": "d"}});
    assert_eq!(ann.get("ack", direct.clone())["duplicate"], false);
    assert_eq!(ann.get("ack", direct.clone())["duplicate"], true);
    let messages = ann.heard().iter().filter(|event| event["message"].is_object()).count();
    assert_eq!(messages, 1, "one message for twenty copies");
    let key = ann.key();
    drop(ann);
    let server = server.restarted();
    let mut ann = Person::with_key(server.address, "ann", &key);
    ann.join(json!({"room": "lobby"}));
    let ack = ann.get("ack", message);
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(1), &json!(true)), "{ack}");
    assert_eq!(ann.get("ack", direct)["duplicate"], true);
    ann.refused("key_conflict", other);
    ann.heard_no("message");
    assert_eq!(ann.all("lobby").len(), 1);
}

#[test]
fn history_is_paged_in_both_directions_and_searched_in_chinese_and_english() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let words = ["今天天气很好", "Good morning", "nothing"];
    ann.say_all(talks("lobby", (1..=30).map(|n| format!("{} {n}", words[n % 3]))));
    for (page, seqs, more) in [
        (json!({"room": "lobby", "limit": 4}), vec![27, 28, 29, 30], true),
        (
            json!({"room": "lobby", "before": 27, "limit": 3}),
            vec![24, 25, 26],
            true,
        ),
        (json!({"room": "lobby", "before": 3, "limit": 3}), vec![1, 2], false),
        (json!({"room": "lobby", "after": 0, "limit": 2}), vec![1, 2], true),
        (json!({"room": "lobby", "after": 28, "limit": 9}), vec![29, 30], false),
    ] {
        let found = ann.history(page.clone());
        assert_eq!((numbers(&found), &found["more"]), (seqs, &json!(more)), "{page}");
        assert_eq!(number(&found, "first"), 1, "{page}");
    }
    for (text, first) in [("天气", 30), ("很好", 30), ("morning", 28), ("MORNING", 28)] {
        let mut found = Vec::new();
        let mut before = 0;
        loop {
            let search = json!({"room": "lobby", "text": text, "before": before, "limit": 4});
            let page = ann.get("search", json!({ "search": search }));
            found.extend(numbers(&page));
            before = number(&page, "next");
            if before == 0 {
                break;
            }
        }
        let expected: Vec<u64> = (0..10).map(|n| first - 3 * n).collect();
        assert_eq!(found, expected, "{text}");
    }
    let none = ann.get("search", json!({"search": {"room": "lobby", "text": "天好"}}));
    assert!(numbers(&none).is_empty(), "{none}");
    let mut bob = Person::named(server.address, "bob");
    bob.refused("not_member", json!({"history": {"room": "lobby"}}));
}

#[test]
fn pages_of_long_texts_asked_for_all_at_once_do_not_end_the_connection() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all(talks("lobby", vec!["x".repeat(60_000); 40]));
    let mut bob = Person::joined(server.address, "bob", "lobby");
    let page = json!({"history": {"room": "lobby", "limit": 200}});
    let ids: Vec<u64> = (0..64).map(|_| bob.send(page.clone())).collect();
    for id in ids {
        let page = bob.reply(id);
        assert_eq!(page["history"]["more"], true, "a page is bounded in bytes");
    }
}

#[test]
fn read_positions_and_unread_counts_outlive_a_restart() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let mut bob = Person::joined(server.address, "bob", "lobby");
    for n in 1..=5 {
        ann.say("lobby", &format!("{n}"));
        ann.direct("bob", &format!("{n}"));
    }
    // Positions only grow.
    for seq in [3, 2] {
        let mark = bob.get("read", json!({"read": {"room": "lobby", "seq": seq}}));
        assert_eq!((number(&mark, "seq"), number(&mark, "unread")), (3, 2), "{seq}");
    }
    bob.ask(json!({"read": {"peer": "ann", "seq": 4}}));
    let key = bob.key();
    drop((ann, bob));
    let server = server.restarted();
    let mut bob = Person::with_key(server.address, "bob", &key);
    assert_eq!(bob.next("direct")["text"], "5", "only the unread one comes again");
    let unread = bob.get("unread", json!({"unread": {}}));
    let of = |name: &str, key: &str| {
        let mut all = unread["conversations"].as_array().unwrap().iter();
        let entry = all.find(|entry| entry[key] == name);
        let entry = entry.unwrap_or_else(|| panic!("{unread}"));
        ["read", "head", "unread"].map(|key| number(entry, key))
    };
    assert_eq!((of("lobby", "room"), of("ann", "peer")), ([3, 5, 2], [4, 5, 1]));
    let joined = bob.join(json!({"room": "lobby", "last": 2}));
    assert_eq!((number(&joined, "read"), number(&joined, "from")), (3, 3));
}

#[test]
fn whoever_gives_no_id_gets_no_acknowledgement() {
    let server = Kept::start();
    let mut ann = Person::joined(server.address, "ann", "lobby");
    for _ in 0..2 {
        ann.peer.send_text(r#"{"talk":{"room":"lobby","text":"x","key":"k"}}"#);
        ann.peer.send_text(r#"{"direct":{"to":"bob","text":"x","key":"k"}}"#);
    }
    // Acknowledged, so all before it is.
    ann.say("lobby", "last");
    ann.direct("bob", "last");
    ann.heard_no("ack");
}

#[test]
fn in_memory_there_is_no_history_no_mail_and_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = support::config();
    config.server.data = dir.path().join("data");
    let server = Running::start(&config);
    let mut ann = Person::named(server.address, "ann");
    assert_eq!(ann.join(json!({"room": "lobby"}))["history"], false);
    assert_eq!(ann.welcome["key"], "");
    assert_eq!(number(&ann.say("lobby", "x"), "seq"), 1);
    for question in [
        json!({"history": {"room": "lobby"}}),
        json!({"search": {"room": "lobby", "text": "x"}}),
        json!({"read": {"room": "lobby", "seq": 1}}),
        json!({"unread": {}}),
    ] {
        ann.refused("no_history", question);
    }
    ann.refused("no_such_user", json!({"direct": {"to": "bob", "text": "x"}}));
    assert!(!config.server.data.exists());
}

#[test]
fn without_fsync_a_clean_restart_loses_nothing_either() {
    for durability in [Durability::Os, Durability::None] {
        let server = Kept::with(|config| config.history.durability = durability);
        let mut ann = Person::joined(server.address, "ann", "lobby");
        ann.say_all(talks("lobby", 1..=500));
        let epoch = ann.join(json!({"room": "other"}))["epoch"].clone();
        drop(ann);
        let server = server.restarted();
        let mut ann = Person::joined(server.address, "ann", "lobby");
        assert_eq!(ann.all("lobby").len(), 500, "{durability:?}");
        assert_eq!(ann.join(json!({"room": "other"}))["epoch"], epoch);
    }
}

#[test]
fn a_legacy_client_gets_the_last_messages_on_joining_where_the_setting_says_so() {
    let server = Kept::with(|config| config.chat.legacy_history_on_join = 3);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all(talks("lobby", (1..=5).map(|n| format!("said {n}"))));
    let mut old = support::Peer::open(server.address, "/ws/chatroom", &[("username", b"tom")]);
    let mut said = Vec::new();
    while said.len() < 3 {
        let frame = old.frame().unwrap();
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        if let Some(at) = text.find("said ") {
            said.push(text[at..at + 6].to_owned());
        }
    }
    assert_eq!(said, ["said 3", "said 4", "said 5"]);
}
