//! Pipelined requests of a client are carried out in order, even if one depends on an unfinished join or leave before it.

use serde_json::{Value, json};

use crate::shard::testing::{Speaks, World, answers};

/// A request in short, such as `join tea`; `hello` is ann's, and `{…}` is JSON.
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

/// Sends the requests in one piece. Returns for each the kind of its answer, the code of its error, or `-`.
fn in_one_go(world: &mut World, client: usize, requests: &[Value]) -> Vec<String> {
    let answers = answers_in_one_go(world, client, requests);
    answers
        .iter()
        .map(|answer| answer.as_ref().map_or_else(|| "-".to_owned(), kind))
        .collect()
}

/// Sends the requests in one piece. Returns the answer to each.
fn answers_in_one_go(world: &mut World, client: usize, requests: &[Value]) -> Vec<Option<Value>> {
    let mut bytes = Vec::new();
    let count = requests.len() as u64;
    for (id, request) in (1..).zip(requests) {
        bytes.extend(world.encoded(client, id, request.clone()));
    }
    world.send_bytes(client, bytes);
    world.store_answers();
    let received = world.messages(client);
    let answer = |id| received.iter().find(|message| answers(message, id)).cloned();
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

/// Requests of a client without a hello, and their answers with a store. Two rooms per session are allowed.
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
fn pipelined_requests_are_carried_out_in_order() {
    for shards in [1, 3] {
        for (requests, expected) in cases() {
            let named = format!("{requests:?} on {shards} shards");
            let mut world = World::with(shards, 64, |settings| settings.rooms_per_session = 2).with_store();
            let client = world.connect(0, Speaks::Json, "");
            assert_eq!(in_one_go(&mut world, client, &requests).join(" "), expected, "{named}");
        }
    }
}

#[test]
fn a_pipelined_question_sees_the_messages_joins_and_read_markers_before_it() {
    for shards in [1, 3] {
        let mut world = World::new(shards).with_store();
        let bob = world.user(0, "bob");
        world.direct(bob, "ann", "psst");
        world.store_answers();
        let client = world.connect(0, Speaks::Json, "");
        let requests = requests(concat!(
            "hello; join tea; rooms; talk tea; history tea; talk tea; search tea; ",
            r#"{"direct":{"to":"bob","text":"hello"}}; {"history":{"peer":"bob"}}; {"read":{"peer":"bob","seq":2}}; "#,
            r#"unread; {"direct":{"to":"bob","text":"bye"}}; exit"#,
        ));
        let received: Vec<Value> = answers_in_one_go(&mut world, client, &requests)
            .into_iter()
            .map(|answer| answer.unwrap_or_default())
            .collect();
        assert_eq!(
            received[2]["rooms"]["rooms"][0]["name"], "tea",
            "{shards}: {received:?}"
        );
        let texts = |page: &Value| -> Vec<String> {
            let messages = page["messages"].as_array().unwrap();
            messages
                .iter()
                .map(|m| m["text"].as_str().unwrap().to_owned())
                .collect()
        };
        // A message does not wait for a page, so a page may contain the message behind it.
        assert!(
            matches!(texts(&received[4]["history"]).len(), 1 | 2),
            "{shards}: {received:?}"
        );
        assert_eq!(texts(&received[6]["search"]), ["hi", "hi"], "{shards}: {received:?}");
        assert_eq!(
            texts(&received[8]["history"]),
            ["psst", "hello"],
            "{shards}: {received:?}"
        );
        assert_eq!(
            received[10]["unread"]["conversations"].as_array().map_or(0, Vec::len),
            0,
            "{received:?}"
        );
        assert!(received[11]["ack"].is_object(), "{received:?}");
        assert_eq!(kind(&received[12]), "goodbye", "{received:?}");
    }
}

#[test]
fn an_exit_waits_only_for_a_bounded_time_for_earlier_requests() {
    let mut world = World::new(2).with_store();
    let client = world.user(0, "ann");
    world.store_answers();
    world.received(client);
    world.request(client, request("unread"));
    let late = world.outcome(|_| true);
    world.request(client, request("exit"));
    world.pass_ms(1_000);
    assert_eq!(world.heard(client), [""; 0]);
    world.pass_ms(1_500);
    assert_eq!(world.heard(client), ["goodbye exit", "close 1000"]);
    world.deliver_outcome(late);
    assert_eq!(world.heard(client), [""; 0]);
}

#[test]
fn pipelined_requests_have_the_same_order_without_a_store() {
    for shards in [1, 3] {
        for (requests, expected) in cases() {
            let named = format!("{requests:?} on {shards} shards");
            // Without a store there is no history, and keys are ignored.
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
fn typing_right_behind_a_join_is_shown_under_the_name_of_an_earlier_rename() {
    let mut world = World::new(3).with_store();
    let [bob] = world.members("tea", ["bob"]);
    world.store_answers();
    world.received(bob);
    let client = world.connect(0, Speaks::Json, "");
    let words = r#"hello; join tea; {"rename":{"name":"anna","key":"KEY"}}; {"typing":{"room":"tea"}}"#;
    in_one_go(&mut world, client, &requests(words));
    let received = world.messages(bob);
    let typed = received.iter().find(|message| message["typing"].is_object());
    assert_eq!(
        typed.map(|message| &message["typing"]["from"]),
        Some(&"anna".into()),
        "{received:?}"
    );
}
