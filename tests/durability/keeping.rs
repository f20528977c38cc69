//! Numbers, keys, history, search, read markers, and the differences without a store.

use std::thread;

use plaza::history::Durability;
use serde_json::{Value, json};

use crate::{
    kept,
    person::Person,
    support::{self, Running},
};

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

#[test]
fn many_writers_get_numbers_without_a_hole_and_every_ack_is_in_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let address = server.address;
    let mut listener = Person::joined(address, "listener", "lobby");
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            thread::spawn(move || {
                let mut person = Person::joined(address, &format!("w{writer}"), "lobby");
                (0..50)
                    .map(|n| {
                        let text = format!("{writer} {n}");
                        (number(&person.say("lobby", &text), "seq"), text)
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut acked: Vec<(u64, String)> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
    acked.sort();
    assert!(acked.iter().map(|(seq, _)| *seq).eq(1..=400));
    let stored = listener.all("lobby");
    for ((seq, text), message) in acked.iter().zip(&stored) {
        assert_eq!(
            (
                number(message, "seq"),
                number(message, "prev"),
                message["text"].as_str().unwrap()
            ),
            (*seq, seq - 1, &**text)
        );
    }
    for (seq, text) in acked {
        let heard = listener.next("message");
        assert_eq!((number(&heard, "seq"), heard["text"].as_str().unwrap()), (seq, &*text));
    }
}

#[test]
fn a_key_makes_a_repeated_talk_one_message_also_while_the_first_waits_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let message = json!({"talk": {"room": "lobby", "text": "once", "key": "k"}});
    let ids: Vec<u64> = (0..20).map(|_| ann.send(message.clone())).collect();
    let acks: Vec<Value> = ids.into_iter().map(|id| ann.reply(id)["ack"].clone()).collect();
    assert!(acks.iter().all(|ack| number(ack, "seq") == 1), "{acks:?}");
    assert_eq!(
        acks.iter().filter(|ack| ack["duplicate"] == false).count(),
        1,
        "{acks:?}"
    );
    let other = json!({"talk": {"room": "lobby", "text": "other", "key": "k"}});
    assert_eq!(ann.ask(other.clone())["error"]["code"], "key_conflict");
    let direct = json!({"direct": {"to": "bob", "text": "once", "key": "d"}});
    assert_eq!(ann.ask(direct.clone())["ack"]["duplicate"], false);
    assert_eq!(ann.ask(direct.clone())["ack"]["duplicate"], true);
    let messages = ann.heard().iter().filter(|event| event["message"].is_object()).count();
    assert_eq!(messages, 1, "one message for twenty copies");
    let key = ann.key();
    drop((ann, server));
    let server = Running::start(&config);
    let mut ann = Person::hello(server.address, json!({"name": "ann", "key": key}));
    ann.join(json!({"room": "lobby"}));
    let ack = ann.ask(message);
    assert_eq!(
        (&ack["ack"]["seq"], &ack["ack"]["duplicate"]),
        (&json!(1), &json!(true)),
        "{ack}"
    );
    assert_eq!(ann.ask(direct)["ack"]["duplicate"], true);
    assert_eq!(ann.ask(other)["error"]["code"], "key_conflict");
    assert!(
        ann.heard().iter().all(|event| event["message"].is_null()),
        "nothing is sent again"
    );
    assert_eq!(ann.all("lobby").len(), 1);
}

#[test]
fn history_is_paged_in_both_directions_and_searched_in_chinese_and_english() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut ann = Person::joined(server.address, "ann", "lobby");
    ann.say_all((1..=30).map(|n| {
        let text = match n % 3 {
            0 => format!("今天天气很好 {n}"),
            1 => format!("Good morning {n}"),
            _ => format!("nothing {n}"),
        };
        json!({"talk": {"room": "lobby", "text": text}})
    }));
    let numbers = |page: &Value| -> Vec<u64> {
        let messages = page["messages"].as_array().unwrap();
        messages.iter().map(|message| number(message, "seq")).collect()
    };
    let newest = ann.history(json!({"room": "lobby", "limit": 4}));
    assert_eq!(
        (numbers(&newest), &newest["more"], number(&newest, "first")),
        (vec![27, 28, 29, 30], &json!(true), 1)
    );
    assert_eq!(
        numbers(&ann.history(json!({"room": "lobby", "before": 27, "limit": 3}))),
        [24, 25, 26]
    );
    let last = ann.history(json!({"room": "lobby", "before": 3, "limit": 3}));
    assert_eq!((numbers(&last), &last["more"]), (vec![1, 2], &json!(false)));
    assert_eq!(
        numbers(&ann.history(json!({"room": "lobby", "after": 0, "limit": 2}))),
        [1, 2]
    );
    assert_eq!(
        numbers(&ann.history(json!({"room": "lobby", "after": 28, "limit": 9}))),
        [29, 30]
    );
    for (text, first) in [("天气", 30), ("很好", 30), ("morning", 28), ("MORNING", 28)] {
        let mut found = Vec::new();
        let mut before = 0;
        loop {
            let page = ann.ask(json!({"search": {"room": "lobby", "text": text, "before": before, "limit": 4}}));
            found.extend(numbers(&page["search"]));
            before = number(&page["search"], "next");
            if before == 0 {
                break;
            }
        }
        let expected: Vec<u64> = (0..10).map(|n| first - 3 * n).collect();
        assert_eq!(found, expected, "{text}");
    }
    let none = ann.ask(json!({"search": {"room": "lobby", "text": "天好"}}));
    assert!(numbers(&none["search"]).is_empty(), "{none}");
    let mut bob = Person::named(server.address, "bob");
    assert_eq!(
        bob.ask(json!({"history": {"room": "lobby"}}))["error"]["code"],
        "not_member"
    );
}

#[test]
fn pages_of_long_texts_asked_for_all_at_once_do_not_end_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let long = "x".repeat(60_000);
    ann.say_all((0..40).map(|_| json!({"talk": {"room": "lobby", "text": long}})));
    let mut bob = Person::joined(server.address, "bob", "lobby");
    let ids: Vec<u64> = (0..64)
        .map(|_| bob.send(json!({"history": {"room": "lobby", "limit": 200}})))
        .collect();
    for id in ids {
        let page = bob.reply(id);
        assert_eq!(page["history"]["more"], true, "a page is bounded in bytes");
    }
}

#[test]
fn read_positions_and_unread_counts_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept(dir.path());
    let server = Running::start(&config);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    let mut bob = Person::joined(server.address, "bob", "lobby");
    for n in 1..=5 {
        ann.say("lobby", &format!("{n}"));
        ann.direct("bob", &format!("{n}"));
    }
    let mark = bob.ask(json!({"read": {"room": "lobby", "seq": 3}}))["read"].clone();
    assert_eq!((number(&mark, "seq"), number(&mark, "unread")), (3, 2));
    let back = bob.ask(json!({"read": {"room": "lobby", "seq": 2}}))["read"].clone();
    assert_eq!(
        (number(&back, "seq"), number(&back, "unread")),
        (3, 2),
        "positions only grow"
    );
    bob.ask(json!({"read": {"peer": "ann", "seq": 4}}));
    let key = bob.key();
    drop((ann, bob, server));
    let server = Running::start(&config);
    let mut bob = Person::hello(server.address, json!({"name": "bob", "key": key}));
    assert_eq!(bob.next("direct")["text"], "5", "only the unread one comes again");
    let unread = bob.ask(json!({"unread": {}}))["unread"]["conversations"].clone();
    let of = |name: &str, key: &str| {
        let all = unread.as_array().unwrap().iter();
        let entry = all
            .clone()
            .find(|entry| entry[key] == name)
            .unwrap_or_else(|| panic!("{unread}"));
        (number(entry, "read"), number(entry, "head"), number(entry, "unread"))
    };
    assert_eq!((of("lobby", "room"), of("ann", "peer")), ((3, 5, 2), (4, 5, 1)));
    let joined = bob.join(json!({"room": "lobby", "last": 2}));
    assert_eq!((number(&joined, "read"), number(&joined, "from")), (3, 3));
}

#[test]
fn whoever_gives_no_id_gets_no_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let mut ann = Person::joined(server.address, "ann", "lobby");
    for _ in 0..2 {
        ann.peer.send_text(r#"{"talk":{"room":"lobby","text":"x","key":"k"}}"#);
        ann.peer.send_text(r#"{"direct":{"to":"bob","text":"x","key":"k"}}"#);
    }
    // Acknowledged, so all before it is.
    ann.say("lobby", "last");
    ann.direct("bob", "last");
    assert!(ann.heard().iter().all(|event| event["ack"].is_null()));
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
        assert_eq!(ann.ask(question.clone())["error"]["code"], "no_history", "{question}");
    }
    assert_eq!(
        ann.ask(json!({"direct": {"to": "bob", "text": "x"}}))["error"]["code"],
        "no_such_user"
    );
    assert!(!config.server.data.exists());
}

#[test]
fn without_fsync_a_clean_restart_loses_nothing_either() {
    for durability in [Durability::Os, Durability::None] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = kept(dir.path());
        config.history.durability = durability;
        let server = Running::start(&config);
        let mut ann = Person::joined(server.address, "ann", "lobby");
        ann.say_all((1..=500).map(|n| json!({"talk": {"room": "lobby", "text": n.to_string()}})));
        let epoch = ann.join(json!({"room": "other"}))["epoch"].clone();
        drop((ann, server));
        let server = Running::start(&config);
        let mut ann = Person::joined(server.address, "ann", "lobby");
        assert_eq!(ann.all("lobby").len(), 500, "{durability:?}");
        assert_eq!(ann.join(json!({"room": "other"}))["epoch"], epoch);
    }
}

#[test]
fn a_legacy_client_gets_the_last_messages_on_joining_where_the_setting_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = kept(dir.path());
    config.chat.legacy_history_on_join = 3;
    let server = Running::start(&config);
    let mut ann = Person::joined(server.address, "ann", "lobby");
    for n in 1..=5 {
        ann.say("lobby", &format!("said {n}"));
    }
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
