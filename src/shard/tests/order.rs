//! What a client sends in one go is carried out in that order, also where it depends on a join or a leave before it.

use serde_json::Value;

use crate::{
    proto::plaza::{self, client_message::Request as Ask},
    shard::testing::{Speaks, World, answers},
};

fn join(room: &str) -> Ask {
    Ask::Join(plaza::Join {
        room: room.into(),
        ..Default::default()
    })
}

fn leave(room: &str) -> Ask {
    Ask::Leave(plaza::Leave { room: room.into() })
}

fn talk(room: &str) -> Ask {
    Ask::Talk(plaza::Talk {
        room: room.into(),
        text: "hi".into(),
        ..Default::default()
    })
}

fn users(room: &str) -> Ask {
    Ask::Users(plaza::Users {
        room: room.into(),
        ..Default::default()
    })
}

fn topic(room: &str) -> Ask {
    Ask::Topic(plaza::SetTopic {
        room: room.into(),
        topic: "tea".into(),
    })
}

fn history(room: &str) -> Ask {
    Ask::History(plaza::History {
        room: room.into(),
        ..Default::default()
    })
}

fn search(room: &str) -> Ask {
    Ask::Search(plaza::Search {
        room: room.into(),
        text: "hi".into(),
        ..Default::default()
    })
}

fn read(room: &str) -> Ask {
    Ask::Read(plaza::Read {
        room: room.into(),
        seq: 1,
        ..Default::default()
    })
}

fn hello(name: &str, key: &str, rooms: &[&str]) -> Ask {
    let resume = rooms.iter().map(|room| plaza::Position {
        room: (*room).into(),
        ..Default::default()
    });
    Ask::Hello(plaza::Hello {
        name: name.into(),
        key: key.into(),
        resume: resume.collect(),
        ..Default::default()
    })
}

fn rename(name: &str, key: &str) -> Ask {
    Ask::Rename(plaza::Rename {
        name: name.into(),
        key: key.into(),
    })
}

fn direct(to: &str, text: &str) -> Ask {
    Ask::Direct(plaza::Direct {
        to: to.into(),
        text: text.into(),
        ..Default::default()
    })
}

fn history_with(peer: &str) -> Ask {
    Ask::History(plaza::History {
        peer: peer.into(),
        ..Default::default()
    })
}

fn read_of(peer: &str, seq: u64) -> Ask {
    Ask::Read(plaza::Read {
        peer: peer.into(),
        seq,
        ..Default::default()
    })
}

fn unread() -> Ask {
    Ask::Unread(plaza::Unread {})
}

fn rooms() -> Ask {
    Ask::Rooms(plaza::Rooms::default())
}

fn exit() -> Ask {
    Ask::Exit(plaza::Exit {})
}

fn ping() -> Ask {
    Ask::Ping(plaza::Ping {})
}

/// Sends all of these in one piece; what answers each: its kind, or the code of an error.
fn in_one_go(world: &mut World, client: usize, requests: Vec<Ask>) -> Vec<String> {
    let answers = answers_in_one_go(world, client, requests);
    answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(String::new, kind))
        .collect()
}

/// Sends all of these in one piece; what answers each.
fn answers_in_one_go(world: &mut World, client: usize, requests: Vec<Ask>) -> Vec<Option<Value>> {
    let mut bytes = Vec::new();
    let count = requests.len() as u64;
    for (id, request) in (1..).zip(requests) {
        bytes.extend(world.encoded(client, id, request));
    }
    world.give(client, bytes);
    world.store_answers();
    let told = world.messages(client);
    let answer = |id| told.iter().find(|message| answers(message, id)).cloned();
    (1..=count).map(answer).collect()
}

fn kind(message: &Value) -> String {
    let members = message.as_object().unwrap();
    let (kind, body) = members.iter().find(|(member, _)| *member != "id").unwrap();
    match kind.as_str() {
        "error" => body["code"].as_str().unwrap().to_owned(),
        kind => kind.to_owned(),
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Requests of a client that has not said hello, and what answers them with a store.
fn cases() -> Vec<(Vec<Ask>, &'static str)> {
    let ann = || hello("ann", "", &[]);
    vec![
        (vec![ann(), join("tea"), history("tea")], "welcome joined history"),
        (vec![ann(), join("tea"), search("tea")], "welcome joined search"),
        (vec![ann(), join("tea"), read("tea")], "welcome joined read"),
        (vec![ann(), join("tea"), users("tea")], "welcome joined users"),
        (vec![ann(), join("tea"), topic("tea")], "welcome joined topic"),
        (vec![ann(), join("tea"), talk("tea")], "welcome joined ack"),
        (vec![ann(), join("tea"), leave("tea")], "welcome joined left"),
        (vec![ann(), join("tea"), join("tea")], "welcome joined already_member"),
        (
            vec![ann(), join("tea"), leave("tea"), join("tea"), history("tea"), ping()],
            "welcome joined left joined history pong",
        ),
        (
            vec![
                ann(),
                join("tea"),
                leave("tea"),
                leave("tea"),
                join("tea"),
                leave("tea"),
            ],
            "welcome joined left not_member joined left",
        ),
        (
            vec![
                ann(),
                join("tea"),
                leave("tea"),
                history("tea"),
                talk("tea"),
                users("tea"),
                read("tea"),
            ],
            "welcome joined left not_member not_member users not_member",
        ),
        (vec![ann(), history("tea"), join("tea")], "welcome not_member joined"),
        // Two rooms are allowed.
        (
            vec![ann(), join("a"), join("b"), leave("a"), join("tea"), history("tea")],
            "welcome joined joined left joined history",
        ),
        (
            vec![ann(), join("a"), join("b"), join("tea"), history("tea")],
            "welcome joined joined too_many_rooms not_member",
        ),
        (vec![hello("ann", "", &["tea"]), history("tea")], "welcome history"),
        (
            vec![hello("ann", KEY, &["tea"]), history("tea"), talk("tea")],
            "welcome history ack",
        ),
        (vec![hello("ann", "short", &[]), join("tea")], "invalid no_hello"),
        (
            vec![ann(), join("tea"), rename("anna", KEY), talk("tea"), users("tea")],
            "welcome joined renamed ack users",
        ),
        (
            vec![ann(), join("tea"), read("tea"), rename("anna", ""), talk("tea")],
            "welcome joined read renamed ack",
        ),
        (
            vec![ann(), unread(), rename("anna", KEY), unread(), rename("ann", "")],
            "welcome unread renamed unread renamed",
        ),
        (
            vec![ann(), join("tea"), history("tea"), talk("tea"), exit()],
            "welcome joined history ack goodbye",
        ),
        (
            vec![ann(), unread(), ping(), exit(), ping()],
            "welcome unread pong goodbye ",
        ),
        (
            vec![ann(), join("a"), join("b"), leave("a"), join("tea"), exit()],
            "welcome joined joined left joined goodbye",
        ),
    ]
}

#[test]
fn requests_that_are_sent_in_one_go_are_carried_out_in_order() {
    for shards in [1, 3] {
        for (requests, expected) in cases() {
            let named = format!("{requests:?} on {shards} shards");
            let mut world = World::with(shards, 64, |settings| settings.rooms_per_session = 2).kept();
            let client = world.connect(0, Speaks::Json, "");
            assert_eq!(in_one_go(&mut world, client, requests).join(" "), expected, "{named}");
            world.check_rest();
        }
    }
}

#[test]
fn what_is_asked_in_one_go_is_answered_with_what_was_said_joined_and_read_before() {
    for shards in [1, 3] {
        let mut world = World::new(shards).kept();
        let bob = world.user(0, "bob");
        world.direct(bob, "ann", "psst");
        world.store_answers();
        let client = world.connect(0, Speaks::Json, "");
        let requests = vec![
            hello("ann", "", &[]),
            join("tea"),
            rooms(),
            talk("tea"),
            history("tea"),
            talk("tea"),
            search("tea"),
            direct("bob", "hello"),
            history_with("bob"),
            read_of("bob", 2),
            unread(),
            direct("bob", "bye"),
            exit(),
        ];
        let told: Vec<Value> = answers_in_one_go(&mut world, client, requests)
            .into_iter()
            .map(|answer| answer.unwrap_or_default())
            .collect();
        assert_eq!(told[2]["rooms"]["rooms"][0]["name"], "tea", "{shards}: {told:?}");
        let texts = |page: &Value| -> Vec<String> {
            let messages = page["messages"].as_array().unwrap();
            messages
                .iter()
                .map(|m| m["text"].as_str().unwrap().to_owned())
                .collect()
        };
        // A message does not wait for a page, so the one behind it may be on it already.
        assert!(matches!(texts(&told[4]["history"]).len(), 1 | 2), "{shards}: {told:?}");
        assert_eq!(texts(&told[6]["search"]), ["hi", "hi"], "{shards}: {told:?}");
        assert_eq!(texts(&told[8]["history"]), ["psst", "hello"], "{shards}: {told:?}");
        assert_eq!(
            told[10]["unread"]["conversations"].as_array().map_or(0, Vec::len),
            0,
            "{told:?}"
        );
        assert!(told[11]["ack"].is_object(), "{told:?}");
        assert_eq!(kind(&told[12]), "goodbye", "{told:?}");
    }
}

#[test]
fn an_exit_does_not_wait_for_ever_for_what_was_asked_before_it() {
    let mut world = World::new(2).kept();
    let client = world.user(0, "ann");
    world.store_answers();
    world.told(client);
    world.ask(client, unread());
    let late = world.outcome(|_| true);
    world.ask(client, exit());
    world.pass_ms(1_000);
    assert_eq!(world.heard(client), [""; 0]);
    world.pass_ms(1_500);
    assert_eq!(world.heard(client), ["goodbye exit", "close 1000"]);
    world.hand(late);
    assert_eq!(world.heard(client), [""; 0]);
}

#[test]
fn without_a_store_the_order_is_the_same() {
    for shards in [1, 3] {
        for (requests, expected) in cases() {
            let named = format!("{requests:?} on {shards} shards");
            // Nothing is stored and no key is looked at.
            let expected = expected.replace("invalid no_hello", "welcome joined");
            let expected: Vec<String> = requests
                .iter()
                .zip(expected.split(' '))
                .map(|(request, answer)| match request {
                    Ask::History(_) | Ask::Search(_) | Ask::Read(_) | Ask::Unread(_) => "no_history".to_owned(),
                    _ => answer.to_owned(),
                })
                .collect();
            let mut world = World::with(shards, 64, |settings| settings.rooms_per_session = 2);
            let client = world.connect(0, Speaks::Json, "");
            assert_eq!(in_one_go(&mut world, client, requests), expected, "{named}");
            world.check_rest();
        }
    }
}

#[test]
fn what_is_typed_right_behind_a_join_is_seen_and_under_the_name_of_a_rename_before_it() {
    let mut world = World::new(3).kept();
    let [bob] = world.members("tea", ["bob"]);
    world.store_answers();
    world.told(bob);
    let client = world.connect(0, Speaks::Json, "");
    let typing = Ask::Typing(plaza::Typing {
        room: "tea".into(),
        ..Default::default()
    });
    let requests = vec![hello("ann", "", &[]), join("tea"), rename("anna", KEY), typing];
    in_one_go(&mut world, client, requests);
    let told = world.messages(bob);
    let typed = told.iter().find(|message| message["typing"].is_object());
    assert_eq!(
        typed.map(|message| &message["typing"]["from"]),
        Some(&"anna".into()),
        "{told:?}"
    );
}
