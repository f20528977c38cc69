//! The admin API over sockets: rooms, topics, sessions, messages of the server, and requests that it must refuse.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{Peer, Request, Running, api, get, settings, start, strings};

/// The next event of this kind.
fn next(client: &mut Peer, kind: &str) -> Value {
    client.event_where(|event| event[kind].is_object())[kind].clone()
}

#[test]
fn rooms_are_opened_listed_page_by_page_and_closed() {
    let server = start();
    for (room, topic) in [("茶", "tea"), ("b", "bread"), ("a", "")] {
        let path = format!("rooms/{}", percent(room));
        let (status, told) = api(server.admin, "PUT", &path, &json!({ "topic": topic }).to_string());
        assert_eq!(
            (status, &told["name"], &told["topic"]),
            (201, &json!(room), &json!(topic))
        );
        assert_eq!(told["kept"], true);
    }
    let (status, _) = api(server.admin, "PUT", "rooms/a", "");
    assert_eq!(status, 200);
    let (_, page) = api(server.admin, "GET", "rooms?limit=2", "");
    let rooms = json!([{"name":"a","topic":"","online":0},{"name":"b","topic":"bread","online":0}]);
    assert_eq!((&page["rooms"], &page["next"]), (&rooms, &json!("b")));
    let (_, page) = api(server.admin, "GET", "rooms?limit=2&after=b", "");
    assert_eq!(page["rooms"], json!([{"name":"茶","topic":"tea","online":0}]));
    assert_eq!(page["next"], json!(null));

    let mut ann = Peer::native(server.address, "ann");
    assert_eq!(ann.join("b")["topic"], "bread");
    let mut bob = Peer::native(server.address, "bob");
    bob.join("b");
    let (_, room) = api(server.admin, "GET", "rooms/b", "");
    assert_eq!((&room["online"], &room["users"]), (&json!(2), &json!(["ann", "bob"])));
    assert_eq!(room["members"], json!(null));
    let (status, closed) = api(server.admin, "DELETE", "rooms/b", "");
    assert_eq!((status, &closed["sessions"]), (200, &json!(2)));
    for client in [&mut ann, &mut bob] {
        client.event_where(|event| event["left"]["room"] == "b");
    }
    ann.refused("not_member", json!({"talk": {"room": "b", "text": "anybody?"}}));
    assert_eq!(api(server.admin, "GET", "rooms/b", "").0, 404);
    assert_eq!(api(server.admin, "DELETE", "rooms/b", "").0, 404);
    // Whoever joins later opens a new one.
    assert_eq!(bob.join("b")["topic"], "");
}

#[test]
fn a_topic_set_by_the_operator_is_told_to_the_members() {
    let server = start();
    let mut ann = Peer::native(server.address, "ann");
    ann.join("tea");
    let (status, _) = api(server.admin, "PUT", "rooms/tea", r#"{"topic":"green"}"#);
    assert_eq!(status, 200);
    assert_eq!(next(&mut ann, "topic")["topic"], "green");
    let long = json!({ "topic": "x".repeat(257) }).to_string();
    let (status, told) = api(server.admin, "PUT", "rooms/tea", &long);
    assert_eq!(status, 400);
    assert!(told["error"].as_str().unwrap().contains("at most 256"));
}

#[test]
fn what_the_operator_set_of_rooms_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings(&[("chat.action_members", "7=1 2")]);
    config.server.memory = false;
    config.server.data = dir.path().to_owned();
    let server = Running::start(&config);
    for (path, body) in [
        ("rooms/tea", r#"{"topic":"green"}"#),
        ("rooms/club", r#"{"members":["ann"]}"#),
        ("rooms/gone", r#"{"topic":"soon"}"#),
        ("groups/7/members", r#"{"members":null}"#),
        ("groups/8", r#"{"members":[3]}"#),
    ] {
        let (status, told) = api(server.admin, "PUT", path, body);
        assert!(status == 200 || status == 201, "{path}: {status} {told}");
    }
    assert_eq!(api(server.admin, "DELETE", "rooms/gone", "").0, 200);
    drop(server);

    let server = Running::start(&config);
    let (_, tea) = api(server.admin, "GET", "rooms/tea", "");
    assert_eq!((&tea["topic"], &tea["kept"]), (&json!("green"), &json!(true)));
    assert_eq!(api(server.admin, "GET", "rooms/club", "").1["members"], json!(["ann"]));
    assert_eq!(api(server.admin, "GET", "rooms/gone", "").0, 404);
    assert_eq!(api(server.admin, "GET", "groups/7", "").1["members"], json!(null));
    assert_eq!(api(server.admin, "GET", "groups/8", "").1["members"], json!(["3"]));
    let mut bob = Peer::native(server.address, "bob");
    assert_eq!(bob.join("tea")["topic"], "green");
    bob.refused("forbidden", json!({"join": {"room": "club"}}));
}

#[test]
fn sessions_of_all_dialects_are_listed_and_ended() {
    let server = start();
    let mut ann = Peer::native(server.address, "ann");
    ann.join("lobby");
    let mut bobs = [(); 3].map(|()| {
        let mut bob = Peer::websocket(server.address, "/ws/communication?username=bob");
        // The list says that it is in.
        bob.send_binary(&strings(&["3"]));
        bob.hear();
        bob
    });
    let (_, all) = api(server.admin, "GET", "sessions", "");
    let all = all["sessions"].as_array().unwrap().clone();
    assert_eq!(all.len(), 4);
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let (_, page) = api(server.admin, "GET", &format!("sessions?limit=1&after={after}"), "");
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
    assert_eq!(api(server.admin, "DELETE", &format!("sessions/{id}"), "").0, 200);
    assert_eq!(next(&mut ann, "goodbye")["code"], "disconnected");
    assert!(ann.close_code().is_some());
    assert_eq!(api(server.admin, "DELETE", &format!("sessions/{id}"), "").0, 404);
    assert_eq!(api(server.admin, "DELETE", "sessions/9-0-1", "").0, 404);

    let (_, gone) = api(server.admin, "DELETE", "users/bob/sessions", "");
    assert_eq!(gone["sessions"], 3);
    for bob in &mut bobs {
        assert!(bob.close_code().is_some());
    }
    let (_, gone) = api(server.admin, "DELETE", "users/bob/sessions", "");
    assert_eq!(gone["sessions"], 0);
}

#[test]
fn a_message_of_the_server_reaches_a_room_or_everybody_in_every_dialect() {
    let server = start();
    let mut ann = Peer::native(server.address, "ann");
    ann.join("tea");
    let mut tutor = Peer::websocket(server.address, "/ws/tutorial");
    tutor.send_text(r#"{"type":"login","content":"bob"}"#);
    for kind in ["handshake", "login"] {
        assert_eq!(tutor.event()["type"], kind);
    }
    let (status, told) = api(server.admin, "POST", "rooms/tea/message", r#"{"text":"closing soon"}"#);
    assert_eq!((status, &told["users"]), (200, &json!(1)));
    assert_eq!(next(&mut ann, "system")["text"], "closing soon");
    let (status, told) = api(server.admin, "POST", "message", r#"{"text":"你们好"}"#);
    assert_eq!((status, &told["sessions"]), (200, &json!(2)));
    assert_eq!(next(&mut ann, "system")["text"], "你们好");
    // Bob is not in the room tea: this is the first that he is told.
    let system = tutor.event();
    assert_eq!(
        (&system["type"], &system["content"]),
        (&json!("system"), &json!("你们好"))
    );
}

#[test]
fn the_lobby_cannot_be_closed_or_made_exclusive() {
    let server = start();
    assert_eq!(api(server.admin, "DELETE", "rooms/lobby", "").0, 409);
    let members = api(server.admin, "PUT", "groups/1/members", r#"{"members":[1]}"#);
    assert_eq!(members.0, 409);
    assert_eq!(api(server.admin, "PUT", "rooms/lobby", r#"{"topic":"welcome"}"#).0, 201);
    let mut ann = Peer::native(server.address, "ann");
    assert_eq!(ann.join("lobby")["topic"], "welcome");
}

#[test]
fn what_is_wrong_with_a_request_is_told() {
    let server = start();
    for (method, path, body, status) in [
        ("GET", "nothing", "", 404),
        ("POST", "rooms", "{}", 405),
        ("GET", "rooms?limit=0", "", 400),
        ("GET", "rooms?limit=1001", "", 400),
        ("GET", "sessions?after=x", "", 400),
        ("PUT", "rooms/%00", "{}", 400),
        ("PUT", "rooms/a", "[1]", 400),
        ("PUT", "rooms/a", r#"{"colour":"red"}"#, 400),
        ("POST", "rooms/nowhere/message", r#"{"text":"x"}"#, 404),
        ("POST", "message", r#"{"text":""}"#, 400),
        ("PUT", "groups/7/members", "{}", 400),
        ("PUT", "groups/7/members", r#"{"members":["a\u0000"]}"#, 400),
    ] {
        let (seen, told) = api(server.admin, method, path, body);
        assert_eq!(seen, status, "{method} {path} {body}: {told}");
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()));
    }
    assert_eq!(api(server.admin, "GET", "rooms", "").1["rooms"], json!([]));
}

#[test]
fn pages_of_other_origins_and_forms_change_nothing() {
    let server = start();
    let body = br#"{"topic":"owned"}"#;
    let ask = |host: &str, headers: &[(&str, &str)]| {
        let request = Request {
            line: "PUT /api/rooms/a HTTP/1.1".to_owned(),
            headers: Vec::new(),
            after: body.to_vec(),
        };
        let request = request
            .with("Host", host)
            .with("Content-Length", body.len().to_string());
        let with = |request: Request, (name, value): &(&str, &str)| request.with(name, value);
        let request = headers.iter().fold(request, with);
        let mut peer = Peer::connect(server.admin);
        peer.send(&request.bytes());
        peer.response().status
    };
    let json = ("Content-Type", "application/json");
    assert_eq!(ask("127.0.0.1", &[("Origin", "https://evil.example"), json]), 403);
    assert_eq!(ask("127.0.0.1", &[("Sec-Fetch-Site", "cross-site"), json]), 403);
    assert_eq!(ask("evil.example", &[json]), 403);
    assert_eq!(ask("127.0.0.1", &[("Content-Type", "text/plain")]), 415);
    assert_eq!(api(server.admin, "GET", "rooms", "").1["rooms"], json!([]));
    // The public listener has no API.
    assert_eq!(get(server.address, "/api/rooms").status, 404);
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
