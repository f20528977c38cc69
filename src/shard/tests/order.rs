//! What a client sends in one go is carried out in that order, also where it depends on a join or a leave before it.

use serde_json::{Value, json};

use crate::shard::testing::{Speaks, World, answers};

/// A request in short: `join tea`, and its like with a room; `hello` of ann, or `{…}` itself.
fn request(words: &str) -> Value {
    let (kind, room) = words.split_once(' ').unwrap_or((words, ""));
    match kind {
        "join" | "leave" | "users" | "history" => json!({kind: {"room": room}}),
        "talk" | "search" => json!({kind: {"room": room, "text": "hi"}}),
        "read" => json!({kind: {"room": room, "seq": 1}}),
        "topic" => json!({kind: {"room": room, "topic": "tea"}}),
        "hello" => json!({kind: {"name": "ann"}}),
        "unread" | "rooms" | "ping" | "exit" => json!({kind: {}}),
        _ => serde_json::from_str(&words.replace("KEY", KEY)).unwrap(),
    }
}

fn requests(words: &str) -> Vec<Value> {
    words.split("; ").map(request).collect()
}

/// Sends all of these in one piece; what answers each: its kind, the code of an error, or `-`.
fn in_one_go(world: &mut World, client: usize, requests: &[Value]) -> Vec<String> {
    let answers = answers_in_one_go(world, client, requests);
    answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(|| "-".to_owned(), kind))
        .collect()
}

/// Sends all of these in one piece; what answers each.
fn answers_in_one_go(world: &mut World, client: usize, requests: &[Value]) -> Vec<Option<Value>> {
    let mut bytes = Vec::new();
    let count = requests.len() as u64;
    for (id, request) in (1..).zip(requests) {
        bytes.extend(world.encoded(client, id, request.clone()));
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

/// Requests of a client that has not said hello, and what answers them with a store. Two rooms are allowed.
const CASES: &str = r#"
    hello; join tea; history tea → welcome joined history
    hello; join tea; search tea → welcome joined search
    hello; join tea; read tea → welcome joined read
    hello; join tea; users tea → welcome joined users
    hello; join tea; topic tea → welcome joined topic
    hello; join tea; talk tea → welcome joined ack
    hello; join tea; leave tea → welcome joined left
    hello; join tea; join tea → welcome joined already_member
    hello; join tea; leave tea; join tea; history tea; ping → welcome joined left joined history pong
    hello; join tea; leave tea; leave tea; join tea; leave tea → welcome joined left not_member joined left
    hello; join tea; leave tea; history tea; talk tea; users tea; read tea → welcome joined left not_member not_member users not_member
    hello; history tea; join tea → welcome not_member joined
    hello; join a; join b; leave a; join tea; history tea → welcome joined joined left joined history
    hello; join a; join b; join tea; history tea → welcome joined joined too_many_rooms not_member
    {"hello":{"name":"ann","resume":[{"room":"tea"}]}}; history tea → welcome history
    {"hello":{"name":"ann","key":"KEY","resume":[{"room":"tea"}]}}; history tea; talk tea → welcome history ack
    {"hello":{"name":"ann","key":"short"}}; join tea → invalid no_hello
    hello; join tea; {"rename":{"name":"anna","key":"KEY"}}; talk tea; users tea → welcome joined renamed ack users
    hello; join tea; read tea; {"rename":{"name":"anna"}}; talk tea → welcome joined read renamed ack
    hello; unread; {"rename":{"name":"anna","key":"KEY"}}; unread; {"rename":{"name":"ann"}} → welcome unread renamed unread renamed
    hello; join tea; history tea; talk tea; exit → welcome joined history ack goodbye
    hello; unread; ping; exit; ping → welcome unread pong goodbye -
    hello; join a; join b; leave a; join tea; exit → welcome joined joined left joined goodbye"#;

fn cases() -> impl Iterator<Item = (Vec<Value>, &'static str)> {
    let cases = CASES.lines().filter_map(|line| line.trim().split_once(" → "));
    cases.map(|(words, expected)| (requests(words), expected))
}

#[test]
fn requests_that_are_sent_in_one_go_are_carried_out_in_order() {
    for shards in [1, 3] {
        for (requests, expected) in cases() {
            let named = format!("{requests:?} on {shards} shards");
            let mut world = World::with(shards, 64, |settings| settings.rooms_per_session = 2).kept();
            let client = world.connect(0, Speaks::Json, "");
            assert_eq!(in_one_go(&mut world, client, &requests).join(" "), expected, "{named}");
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
        let requests = requests(concat!(
            "hello; join tea; rooms; talk tea; history tea; talk tea; search tea; ",
            r#"{"direct":{"to":"bob","text":"hello"}}; {"history":{"peer":"bob"}}; {"read":{"peer":"bob","seq":2}}; "#,
            r#"unread; {"direct":{"to":"bob","text":"bye"}}; exit"#,
        ));
        let told: Vec<Value> = answers_in_one_go(&mut world, client, &requests)
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
    world.ask(client, request("unread"));
    let late = world.outcome(|_| true);
    world.ask(client, request("exit"));
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
                .map(|(request, answer)| {
                    let stored = ["history", "search", "read", "unread"];
                    let asks_the_store = stored.iter().any(|kind| request.get(kind).is_some());
                    if asks_the_store { "no_history" } else { answer }.to_owned()
                })
                .collect();
            let mut world = World::with(shards, 64, |settings| settings.rooms_per_session = 2);
            let client = world.connect(0, Speaks::Json, "");
            assert_eq!(in_one_go(&mut world, client, &requests), expected, "{named}");
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
    let words = r#"hello; join tea; {"rename":{"name":"anna","key":"KEY"}}; {"typing":{"room":"tea"}}"#;
    in_one_go(&mut world, client, &requests(words));
    let told = world.messages(bob);
    let typed = told.iter().find(|message| message["typing"].is_object());
    assert_eq!(
        typed.map(|message| &message["typing"]["from"]),
        Some(&"anna".into()),
        "{told:?}"
    );
}
