//! The admin API over sockets: rooms, topics, sessions, messages of the server, and who may not use it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod support;

use plaza_client::{Client, Config, Error, Event};
use serde_json::json;
use support::{PATIENCE, Running, exchange, next_json, settings, start, start_with};
use tokio::time::timeout;

async fn native(server: &Running, name: &str) -> Client {
    let config = Config::new(format!("ws://{}/chat", server.address())).name(name);
    Client::connect(config).await.unwrap().0
}

/// The first event that this finds something in.
async fn await_event<T>(client: &Client, mut find: impl FnMut(&Event) -> Option<T>) -> T {
    let waiting = async {
        loop {
            let event = client.next_event().await.unwrap();
            if let Some(found) = find(&event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn rooms_are_opened_listed_page_by_page_and_closed() {
    let server = start(&[]);
    for (room, topic) in [("茶", "tea"), ("b", "bread"), ("a", "")] {
        let name = percent(room);
        let (status, told) = server
            .api("PUT", &format!("rooms/{name}"), &json!({ "topic": topic }).to_string())
            .await;
        assert_eq!(
            (status, &told["name"], &told["topic"]),
            (201, &json!(room), &json!(topic))
        );
        assert_eq!(told["kept"], true);
    }
    let (status, _) = server.api("PUT", "rooms/a", "").await;
    assert_eq!(status, 200);
    let (_, page) = server.api("GET", "rooms?limit=2", "").await;
    assert_eq!(
        page["rooms"],
        json!([{"name":"a","topic":"","online":0},{"name":"b","topic":"bread","online":0}])
    );
    assert_eq!(page["next"], "b");
    let (_, page) = server.api("GET", "rooms?limit=2&after=b", "").await;
    assert_eq!(page["rooms"], json!([{"name":"茶","topic":"tea","online":0}]));
    assert_eq!(page["next"], json!(null));

    let ann = native(&server, "ann").await;
    assert_eq!(ann.join("b").await.unwrap().topic, "bread");
    let bob = native(&server, "bob").await;
    bob.join("b").await.unwrap();
    let (_, room) = server.api("GET", "rooms/b", "").await;
    assert_eq!((&room["online"], &room["users"]), (&json!(2), &json!(["ann", "bob"])));
    assert_eq!(room["members"], json!(null));
    let (status, closed) = server.api("DELETE", "rooms/b", "").await;
    assert_eq!((status, &closed["sessions"]), (200, &json!(2)));
    for client in [&ann, &bob] {
        await_event(client, |event| {
            matches!(event, Event::Left(left) if left.room == "b").then_some(())
        })
        .await;
    }
    assert_eq!(ann.talk("b", "anybody?").await.unwrap_err().code(), Some("not_member"));
    assert_eq!(server.api("GET", "rooms/b", "").await.0, 404);
    assert_eq!(server.api("DELETE", "rooms/b", "").await.0, 404);
    // Whoever joins later opens a new one.
    assert_eq!(bob.join("b").await.unwrap().topic, "");
}

#[tokio::test]
async fn a_topic_set_by_the_operator_is_told_to_the_members() {
    let server = start(&[]);
    let ann = native(&server, "ann").await;
    ann.join("tea").await.unwrap();
    let (status, _) = server.api("PUT", "rooms/tea", r#"{"topic":"green"}"#).await;
    assert_eq!(status, 200);
    let topic = await_event(&ann, |event| match event {
        Event::Topic(topic) => Some(topic.topic.clone()),
        _ => None,
    });
    assert_eq!(topic.await, "green");
    let (status, told) = server
        .api("PUT", "rooms/tea", &json!({ "topic": "x".repeat(257) }).to_string())
        .await;
    assert_eq!(status, 400);
    assert!(told["error"].as_str().unwrap().contains("at most 256"));
}

#[tokio::test]
async fn what_the_operator_set_of_rooms_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings(&[("chat.action_members", "7=1 2")]);
    config.server.memory = false;
    config.server.data = dir.path().to_owned();
    let server = start_with(&config);
    for (path, body) in [
        ("rooms/tea", r#"{"topic":"green"}"#),
        ("rooms/club", r#"{"members":["ann"]}"#),
        ("rooms/gone", r#"{"topic":"soon"}"#),
        ("groups/7/members", r#"{"members":null}"#),
        ("groups/8", r#"{"members":[3]}"#),
    ] {
        let (status, told) = server.api("PUT", path, body).await;
        assert!(status == 200 || status == 201, "{path}: {status} {told}");
    }
    assert_eq!(server.api("DELETE", "rooms/gone", "").await.0, 200);
    drop(server);

    let server = start_with(&config);
    let (_, tea) = server.api("GET", "rooms/tea", "").await;
    assert_eq!((&tea["topic"], &tea["kept"]), (&json!("green"), &json!(true)));
    assert_eq!(server.api("GET", "rooms/club", "").await.1["members"], json!(["ann"]));
    assert_eq!(server.api("GET", "rooms/gone", "").await.0, 404);
    assert_eq!(server.api("GET", "groups/7", "").await.1["members"], json!(null));
    assert_eq!(server.api("GET", "groups/8", "").await.1["members"], json!(["3"]));
    let bob = native(&server, "bob").await;
    assert_eq!(bob.join("tea").await.unwrap().topic, "green");
    assert_eq!(bob.join("club").await.unwrap_err().code(), Some("forbidden"));
}

#[tokio::test]
async fn sessions_of_all_dialects_are_listed_and_ended() {
    let server = start(&[]);
    let ann = native(&server, "ann").await;
    ann.join("lobby").await.unwrap();
    let mut bobs = Vec::new();
    for _ in 0..3 {
        let bob = server.client("/ws/communication?username=bob").connect().await.unwrap();
        // The list says that it is in.
        bob.send_binary([0x0A, 1, b'3']).await.unwrap();
        bob.next_payload().await.unwrap();
        bobs.push(bob);
    }
    let (_, all) = server.api("GET", "sessions", "").await;
    let all = all["sessions"].as_array().unwrap().clone();
    assert_eq!(all.len(), 4);
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let (_, page) = server.api("GET", &format!("sessions?limit=1&after={after}"), "").await;
        paged.extend(page["sessions"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let of = |user: &str| all.iter().find(|session| session["user"] == user).unwrap().clone();
    assert_eq!(of("ann")["dialect"], "plaza");
    assert_eq!(of("ann")["rooms"], json!(["lobby"]));
    assert!(of("bob")["peer"].as_str().unwrap().starts_with("127.0.0.1:"));

    let id = of("ann")["id"].as_str().unwrap().to_owned();
    assert_eq!(server.api("DELETE", &format!("sessions/{id}"), "").await.0, 200);
    let ended = timeout(PATIENCE, async {
        loop {
            if let Err(ended) = ann.next_event().await {
                break ended;
            }
        }
    });
    let ended: Error = ended.await.unwrap();
    assert_eq!(
        ann.goodbye().map(|goodbye| goodbye.code.as_str()),
        Some("disconnected"),
        "{ended}"
    );
    assert_eq!(server.api("DELETE", &format!("sessions/{id}"), "").await.0, 404);
    assert_eq!(server.api("DELETE", "sessions/9-0-0", "").await.0, 404);

    let (_, gone) = server.api("DELETE", "users/bob/sessions", "").await;
    assert_eq!(gone["sessions"], 3);
    for bob in &bobs {
        timeout(PATIENCE, async { while bob.next_payload().await.is_ok() {} })
            .await
            .unwrap();
    }
    let (_, gone) = server.api("DELETE", "users/bob/sessions", "").await;
    assert_eq!(gone["sessions"], 0);
}

#[tokio::test]
async fn a_message_of_the_server_reaches_a_room_or_everybody_in_every_dialect() {
    let server = start(&[]);
    let ann = native(&server, "ann").await;
    ann.join("tea").await.unwrap();
    let tutor = server.client("/ws/tutorial").connect().await.unwrap();
    tutor.send_text(r#"{"type":"login","content":"bob"}"#).await.unwrap();
    for kind in ["handshake", "login"] {
        assert_eq!(next_json(&tutor).await["type"], kind);
    }
    let said = |event: &Event| match event {
        Event::System(system) => Some(system.text.clone()),
        _ => None,
    };
    let (status, told) = server
        .api("POST", "rooms/tea/message", r#"{"text":"closing soon"}"#)
        .await;
    assert_eq!((status, &told["users"]), (200, &json!(1)));
    assert_eq!(await_event(&ann, said).await, "closing soon");
    let (status, told) = server.api("POST", "message", r#"{"text":"你们好"}"#).await;
    assert_eq!((status, &told["sessions"]), (200, &json!(2)));
    assert_eq!(await_event(&ann, said).await, "你们好");
    // Bob is not in the room tea: this is the first that he is told.
    let system = next_json(&tutor).await;
    assert_eq!(
        (&system["type"], &system["content"]),
        (&json!("system"), &json!("你们好"))
    );
    assert_eq!(
        server.api("POST", "rooms/nowhere/message", r#"{"text":"x"}"#).await.0,
        404
    );
    assert_eq!(server.api("POST", "message", r#"{"text":""}"#).await.0, 400);
}

#[tokio::test]
async fn the_lobby_cannot_be_closed_or_made_exclusive() {
    let server = start(&[]);
    assert_eq!(server.api("DELETE", "rooms/lobby", "").await.0, 409);
    assert_eq!(server.api("PUT", "groups/1/members", r#"{"members":[1]}"#).await.0, 409);
    assert_eq!(server.api("PUT", "rooms/lobby", r#"{"topic":"welcome"}"#).await.0, 201);
    let ann = native(&server, "ann").await;
    assert_eq!(ann.join("lobby").await.unwrap().topic, "welcome");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let server = start(&[]);
    for (method, path, body, status) in [
        ("GET", "nothing", "", 404),
        ("POST", "rooms", "{}", 405),
        ("GET", "rooms?limit=0", "", 400),
        ("GET", "rooms?limit=1001", "", 400),
        ("GET", "sessions?after=x", "", 400),
        ("PUT", "rooms/%00", "{}", 400),
        ("PUT", "rooms/a", "[1]", 400),
        ("PUT", "rooms/a", r#"{"colour":"red"}"#, 400),
        ("PUT", "groups/7/members", "{}", 400),
        ("PUT", "groups/7/members", r#"{"members":["a\u0000"]}"#, 400),
    ] {
        let (seen, told) = server.api(method, path, body).await;
        assert_eq!(seen, status, "{method} {path} {body}: {told}");
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()));
    }
    assert_eq!(server.api("GET", "rooms", "").await.1["rooms"], json!([]));
}

#[tokio::test]
async fn pages_of_other_origins_and_forms_change_nothing() {
    let server = start(&[]);
    let ask = async |headers: &str| {
        let body = r#"{"topic":"owned"}"#;
        let head = format!(
            "PUT /api/rooms/a HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(server.admin(), head.as_bytes()).await.0
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(
        ask(&format!("Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n{json}")).await,
        403
    );
    assert_eq!(
        ask(&format!("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n{json}")).await,
        403
    );
    assert_eq!(ask(&format!("Host: evil.example\r\n{json}")).await, 403);
    assert_eq!(ask("Host: 127.0.0.1\r\nContent-Type: text/plain\r\n").await, 415);
    assert_eq!(server.api("GET", "rooms", "").await.1["rooms"], json!([]));
    // The public listener has no API.
    assert_eq!(server.get("/api/rooms").await.0, 404);
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
