//! The dialect of document 003 over real sockets: one to one, groups, codes, silence, and its pages.
#![allow(clippy::unwrap_used)]

mod support;

use std::{thread, time::Duration};

use serde_json::{Value, json};
use support::{CLOSE, Heard, Peer, Running, api, get, settings, start, start_with, stored, until};

/// A client that is connected and has been told so.
fn connected(server: &Running) -> Peer {
    let mut socket = Peer::websocket(server.address, "/ws/action");
    let entered = socket.event();
    assert_eq!(entered["code"], 200);
    assert_eq!(entered["msg"], "success");
    assert_eq!(entered["data"]["action"], "enter");
    assert_eq!(entered["data"]["content"], "连接成功");
    let seconds: u64 = entered["data"]["msgTimestamp"].as_str().unwrap().parse().unwrap();
    assert!(seconds > 1_700_000_000);
    socket
}

fn ask(socket: &mut Peer, action: &str, data: Value) {
    let request = json!({ "seq": "s-1", "action": action, "data": data });
    socket.send_text(&request.to_string());
}

/// The code and the text of the next message, which answers this action.
fn answered(socket: &mut Peer, action: &str) -> (u64, String) {
    let answer = socket.event();
    assert_eq!(answer["action"], action, "{answer}");
    assert_eq!(answer["seq"], "s-1");
    let response = &answer["response"];
    let words = response["msg"].as_str().unwrap().to_owned();
    (response["code"].as_u64().unwrap(), words)
}

/// Asks for something, and returns the code of the answer.
fn code_of(socket: &mut Peer, action: &str, data: Value) -> u64 {
    ask(socket, action, data);
    answered(socket, action).0
}

fn log_in(server: &Running, user: &str, to: &str, group: &str) -> Peer {
    log_in_to(server, 1, user, to, group)
}

fn log_in_to(server: &Running, app: u32, user: &str, to: &str, group: &str) -> Peer {
    let mut socket = connected(server);
    let data = json!({ "appId": app, "userId": user, "toUid": to, "groupsId": group });
    ask(&mut socket, "login", data);
    assert_eq!(answered(&mut socket, "login"), (200, "Success".to_owned()));
    socket
}

/// Logs in as the third user, into a group.
fn log_in_to_group(socket: &mut Peer, group: &str) -> u64 {
    code_of(socket, "login", json!({ "appId": 1, "userId": "3", "groupsId": group }))
}

fn say(socket: &mut Peer, text: &str) {
    ask(socket, "sendmsg", json!({ "msgType": "text", "message": text }));
}

/// Says something one to one, which is accepted.
fn say_to_peer(socket: &mut Peer, text: &str) {
    say(socket, text);
    assert_eq!(answered(socket, "sendmsg").0, 200);
}

/// Says something in a group; the push of it to oneself. It may come before or after the answer: the reference's clients tell them
/// apart.
fn say_to_group(socket: &mut Peer, text: &str) -> Value {
    say(socket, text);
    let mut own = [socket.event(), socket.event()];
    own.sort_by_key(|message| message.get("response").is_none());
    let [answer, push] = own;
    assert_eq!(
        (&answer["response"]["code"], &push["data"]["content"]),
        (&json!(200), &json!(text))
    );
    push["data"].clone()
}

/// The next push: action, content, from and to.
fn pushed(socket: &mut Peer) -> [String; 4] {
    let push = socket.event();
    assert_eq!(push["code"], 200, "{push}");
    ["action", "content", "from", "to"].map(|key| push["data"][key].as_str().unwrap().to_owned())
}

/// Nothing but the answer to a heartbeat comes: all that was sent to it before has been seen.
fn has_nothing_more(socket: &mut Peer) {
    ask(socket, "heartbeat", json!({}));
    assert_eq!(answered(socket, "heartbeat"), (200, "Success".to_owned()));
}

fn push(action: &str, content: &str, from: &str, to: &str) -> [String; 4] {
    [action, content, from, to].map(str::to_owned)
}

#[test]
fn one_to_one_reaches_every_window_of_the_other_user_and_nobody_else() {
    let server = start();
    let mut ann = log_in(&server, "1", "2", "0");
    // On both shards, whichever they are.
    let mut windows = [(); 4].map(|()| log_in(&server, "2", "1", "0"));
    let mut stranger = log_in(&server, "3", "1", "0");
    for text in ["你好", "<script>alert(1)</script>"] {
        say_to_peer(&mut ann, text);
        for window in &mut windows {
            assert_eq!(pushed(window), push("sendmsg", text, "1", "2"));
        }
    }
    has_nothing_more(&mut stranger);
    has_nothing_more(&mut ann);
}

#[test]
fn the_last_window_that_closes_tells_the_peer_and_the_ones_before_do_not() {
    let server = start();
    let mut ann = log_in(&server, "1", "2", "0");
    let [first, second, mut third] = [(); 3].map(|()| log_in(&server, "2", "1", "0"));
    drop((first, second));
    // Before the third goes.
    until("both are gone, and so are their sessions", || {
        let (_, sessions) = api(server.admin, "GET", "sessions?user=2", "");
        sessions["sessions"].as_array().unwrap().len() == 1
    });
    has_nothing_more(&mut ann);
    third.send_frame(CLOSE, &1000u16.to_be_bytes());
    let gone = pushed(&mut ann);
    assert_eq!(gone, push("exit", "用户已经离开", "2", "1"));
    has_nothing_more(&mut ann);
}

#[test]
fn a_group_sees_its_members_talk_and_leave_the_sender_included() {
    let server = start();
    let mut ann = log_in(&server, "1", "0", "7");
    let others = ["2", "3", "4"];
    let mut members = others.map(|user| log_in(&server, user, "0", "7"));
    let mut elsewhere = log_in(&server, "5", "0", "8");
    assert_eq!(say_to_group(&mut ann, "大家好")["to"], "1");
    for (member, user) in members.iter_mut().zip(others) {
        assert_eq!(pushed(member), push("sendmsg", "大家好", "1", user));
    }
    drop(ann);
    for (member, user) in members.iter_mut().zip(others) {
        assert_eq!(pushed(member), push("exit", "用户已经离开", "1", user));
    }
    has_nothing_more(&mut elsewhere);
}

#[test]
fn group_1_is_the_lobby_where_the_users_of_other_dialects_are() {
    let server = start();
    let mut ann = log_in(&server, "1", "0", "1");
    let mut tutor = Peer::websocket(server.address, "/ws/tutorial");
    assert_eq!(tutor.event()["user_list"], json!(["1"]));
    tutor.send_text(r#"{"type":"login","content":"bob"}"#);
    assert_eq!(tutor.event()["type"], "login");
    tutor.send_text(r#"{"type":"user","content":"hello"}"#);
    assert_eq!(pushed(&mut ann), push("sendmsg", "hello", "bob", "1"));
}

#[test]
fn every_code_that_a_client_can_get_is_got() {
    let server = Running::start(&settings(&[("chat.action_app_ids", "7")]));
    let mut socket = connected(&server);
    let login = |user: &str, app: u32| json!({ "appId": app, "userId": user, "toUid": "2", "groupsId": "0" });
    for (code, action, data) in [
        (1000, "heartbeat", json!({})),
        (1000, "sendmsg", json!({ "msgType": "text", "message": "x" })),
        (1010, "dance", json!({})),
        (1001, "login", json!([])),
        (1002, "login", Value::Null),
        (1001, "heartbeat", json!([])),
        (1002, "login", login("", 7)),
        (1002, "login", login("null", 7)),
        (1002, "login", login(&"9".repeat(20), 7)),
        // The reference's own appIds are not accepted when others are set.
        (1003, "login", login("1", 1)),
        (1003, "login", json!({ "userId": "1" })),
        (1001, "login", json!({ "userId": "1", "appId": -1 })),
        (1001, "login", json!({ "userId": "1", "appId": "7" })),
        (1001, "login", json!({ "userId": 1, "appId": 7 })),
        (200, "login", login("1", 7)),
        (1009, "login", login("2", 7)),
        (1001, "sendmsg", json!({ "msgType": "text", "message": 7 })),
    ] {
        assert_eq!(code_of(&mut socket, action, data.clone()), code, "{action} {data}");
    }
    for bad in [
        "",
        "hello",
        "{",
        "[]",
        r#"{"seq":"#,
        r#"{"seq":1,"action":"heartbeat"}"#,
    ] {
        socket.send_text(bad);
        assert_eq!(socket.hear(), Heard::Text("数据不合法".to_owned()), "{bad:?}");
    }
    socket.send_text("null");
    assert_eq!(socket.event()["response"]["code"], 1010);
    has_nothing_more(&mut socket);
}

#[test]
fn any_kind_of_message_and_an_empty_one_arrive_with_the_seq_and_the_kind_that_their_sender_said() {
    let server = start();
    let mut ann = log_in(&server, "1", "2", "0");
    let mut bob = log_in(&server, "2", "1", "0");
    let mut kim = log_in(&server, "3", "0", "7");
    let mut tim = log_in(&server, "4", "0", "7");
    for (sender, receiver) in [(&mut ann, &mut bob), (&mut kim, &mut tim)] {
        let files = [("img", "/a.png"), ("file", "/b.zip"), ("voice", "/c.ogg")];
        for (kind, message) in [("", "x"), ("text", "")].into_iter().chain(files) {
            ask(sender, "sendmsg", json!({ "msgType": kind, "message": message }));
            let push = receiver.event();
            let seen = ["msgId", "msgType", "content"].map(|key| push["data"][key].as_str().unwrap());
            assert_eq!(seen, ["s-1", kind, message], "{push}");
        }
    }
}

#[test]
fn a_login_that_names_nobody_is_into_group_1() {
    let server = start();
    let mut tutor = Peer::websocket(server.address, "/ws/tutorial");
    tutor.event();
    tutor.send_text(r#"{"type":"login","content":"bob"}"#);
    tutor.event();
    let mut ann = log_in(&server, "1", "", "");
    assert_eq!(tutor.event()["content"], "1");
    say(&mut ann, "to the group");
    assert_eq!(tutor.event()["content"], "to the group");
}

#[test]
fn apps_are_worlds_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(&stored(data.path()));
    let mut ann = log_in_to(&server, 1, "71", "72", "0");
    let mut bob = log_in_to(&server, 1, "72", "71", "0");
    let mut other_bob = log_in_to(&server, 2, "72", "71", "0");
    let mut other_ann = log_in_to(&server, 2, "71", "72", "0");
    let mut member = log_in_to(&server, 1, "5", "0", "1");
    let mut other_member = log_in_to(&server, 2, "6", "0", "1");
    let mut native = Peer::native_in(server.address, "eve", "lobby");

    // Direct messages, also those that wait for somebody.
    say_to_peer(&mut ann, "app 1");
    assert_eq!(pushed(&mut bob), push("sendmsg", "app 1", "71", "72"));
    say_to_peer(&mut other_ann, "app 2");
    assert_eq!(pushed(&mut other_bob), push("sendmsg", "app 2", "71", "72"));
    has_nothing_more(&mut bob);
    // Its pong acknowledges what it was sent.
    has_nothing_more(&mut other_bob);
    drop(other_bob);
    assert_eq!(pushed(&mut other_ann), push("exit", "用户已经离开", "72", "71"));
    has_nothing_more(&mut ann);
    say_to_peer(&mut other_ann, "stored in app 2");
    let mut again = log_in_to(&server, 1, "72", "71", "0");
    has_nothing_more(&mut again);
    let mut other_again = log_in_to(&server, 2, "72", "71", "0");
    assert_eq!(pushed(&mut other_again)[1], "stored in app 2");

    // Groups, and the lobby.
    assert_eq!(say_to_group(&mut other_member, "only in app 2")["to"], "6");
    has_nothing_more(&mut member);

    // Lists and presence.
    for (path, data) in [
        ("list?groupsId=1&appId=2", json!({"userList": [{"ID": 6}]})),
        ("list?groupsId=1", json!({"userList": [{"ID": 5}, {"ID": "eve"}]})),
        ("groupslist?appId=2", json!([{"ID": 1}])),
    ] {
        is_page(&server, path, 200, "Success", data);
    }

    // Nobody else can say, join or see what belongs to an app.
    let room = "⟦2⟧group:1";
    for request in [
        json!({"join": {"room": room}}),
        json!({"talk": {"room": room, "text": "x"}}),
        json!({"direct": {"to": "⟦2⟧72", "text": "x"}}),
        json!({"rename": {"name": "⟦2⟧72"}}),
    ] {
        native.refused("bad_name", request);
    }
    let (_, rooms) = api(server.admin, "GET", "rooms", "");
    let mut entries = rooms["rooms"].as_array().unwrap().iter();
    assert!(entries.any(|entry| entry["name"] == room), "{rooms}");
    let mut socket = Peer::websocket(server.address, "/chat");
    socket.get("welcome", json!({"hello": {"name": "kim"}}));
    let rooms = socket.get("rooms", json!({"rooms": {}}));
    assert!(!rooms.to_string().contains('⟦'), "{rooms}");
    for request in [
        json!({"users": {"room": room}}),
        json!({"history": {"peer": "⟦2⟧72"}}),
        json!({"search": {"room": room, "text": "x"}}),
    ] {
        socket.refused("bad_name", request);
    }
    let mut legacy = Peer::websocket(server.address, "/ws/tutorial");
    legacy.event();
    legacy.send_text(r#"{"type":"login","content":"⟦2⟧72"}"#);
    assert_eq!(legacy.event()["type"], "system");
}

#[test]
fn a_user_silent_for_too_long_is_disconnected_and_one_with_heartbeats_is_not() {
    let server = start_with(|config| config.chat.action_silence = Some(Duration::from_millis(400)));
    let mut silent = log_in(&server, "1", "2", "0");
    let mut beating = log_in(&server, "2", "1", "0");
    loop {
        ask(&mut beating, "heartbeat", json!({}));
        if beating.event()["data"]["action"] == "exit" {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    silent.close_code();
    // The heartbeat behind the last one that was answered.
    assert_eq!(answered(&mut beating, "heartbeat").0, 200);
    has_nothing_more(&mut beating);
}

#[test]
fn nobody_is_disconnected_for_silence_by_default() {
    let server = start_with(|config| assert_eq!(config.chat.action_silence, None));
    let mut quiet = log_in(&server, "1", "2", "0");
    thread::sleep(Duration::from_millis(600));
    has_nothing_more(&mut quiet);
}

#[test]
fn a_group_with_members_in_the_settings_refuses_everybody_else_in_every_dialect() {
    let server = Running::start(&settings(&[("chat.action_members", "7=1 2")]));
    let mut ann = log_in(&server, "1", "0", "7");
    let mut bob = log_in(&server, "2", "0", "7");
    let mut eve = connected(&server);
    ask(&mut eve, "login", json!({ "appId": 1, "userId": "3", "groupsId": "7" }));
    assert_eq!(answered(&mut eve, "login"), (1003, "未授权".to_owned()));
    say(&mut eve, "let me in");
    assert_eq!(answered(&mut eve, "sendmsg").0, 1003);
    let mut native = Peer::native(server.address, "eve");
    native.refused("forbidden", json!({"join": {"room": "group:7"}}));
    // Nor by another name taken inside: an open group's member who takes a name that is not on the list.
    assert_eq!(native.join("group:8")["online"], 1);
    say(&mut ann, "between us");
    assert_eq!(pushed(&mut bob), push("sendmsg", "between us", "1", "2"));
    has_nothing_more(&mut eve);
    // Eve goes where she may.
    assert_eq!(log_in_to_group(&mut eve, "8"), 200);
}

#[test]
fn with_closed_groups_only_those_on_a_list_enter_and_the_lobby_is_open() {
    let server = Running::start(&settings(&[
        ("chat.action_open_groups", "false"),
        ("chat.action_groups", "1=lobby,5=games"),
        ("chat.action_members", "5=1"),
    ]));
    log_in(&server, "1", "0", "5");
    log_in(&server, "9", "0", "1");
    for group in ["5", "6"] {
        let mut eve = connected(&server);
        assert_eq!(log_in_to_group(&mut eve, group), 1003, "group {group}");
    }
    let (status, _) = api(server.admin, "PUT", "groups/6/members", r#"{"members":[3]}"#);
    assert_eq!(status, 201);
    log_in(&server, "3", "0", "6");
}

#[test]
fn members_taken_off_the_list_are_put_out() {
    let server = start();
    let mut ann = log_in(&server, "1", "0", "7");
    let mut eve = log_in(&server, "3", "0", "7");
    let (status, room) = api(server.admin, "PUT", "groups/7/members", r#"{"members":[1,"2"]}"#);
    assert_eq!((status, &room["members"]), (200, &json!(["1", "2"])));
    assert_eq!(pushed(&mut ann), push("exit", "用户已经离开", "3", "1"));
    say(&mut eve, "still here?");
    assert_eq!(answered(&mut eve, "sendmsg").0, 1003);
    // A member that takes a name which is not on the list is out as well.
    let mut bob = Peer::native_in(server.address, "2", "group:7");
    bob.get("renamed", json!({"rename": {"name": "mallory"}}));
    assert_eq!(pushed(&mut ann)[0], "exit");
    bob.refused("not_member", json!({"talk": {"room": "group:7", "text": "hidden"}}));
    has_nothing_more(&mut ann);
    // Without a list everybody may enter again.
    api(server.admin, "PUT", "groups/7/members", r#"{"members":null}"#);
    assert_eq!(log_in_to_group(&mut eve, "7"), 200);
}

/// A page of the original below `/user/`, byte for byte.
fn is_page(server: &Running, path: &str, code: u32, words: &str, data: Value) {
    let answer = get(server.address, &format!("/user/{path}"));
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(
        answer.body,
        format!(r#"{{"code":{code},"msg":"{words}","data":{data}}}"#),
        "{path}"
    );
}

#[test]
fn the_pages_of_the_original_tell_users_and_groups() {
    let server = Running::start(&settings(&[("chat.action_groups", "1=lobby,5=games")]));
    let _ann = log_in(&server, "2", "0", "1");
    let _bob = log_in(&server, "10", "0", "1");
    let _eve = log_in(&server, "张三", "0", "1");
    let _carol = log_in(&server, "4", "0", "77");
    let users = json!({"userList": [{"ID": 10}, {"ID": 2}, {"ID": "张三"}]});
    for (path, code, words, data) in [
        ("list?groupsId=1", 200, "Success", users.clone()),
        // Without a group it is group 1.
        ("list", 200, "Success", users),
        ("list?groupsId=77", 200, "Success", json!({"userList": [{"ID": 4}]})),
        ("list?groupsId=nobody", 200, "Success", json!({"userList": []})),
        ("list?groupsId=%00", 1001, "参数不合法", Value::Null),
        (
            "groupslist?appId=1",
            200,
            "Success",
            json!([{"ID": 1}, {"ID": 5}, {"ID": 77}]),
        ),
        ("groupslist?appId=2", 200, "Success", Value::Null),
        ("groupslist?appId=9", 1011, "appid不存在", Value::Null),
        ("groupslist", 1001, "参数不合法", Value::Null),
    ] {
        is_page(&server, path, code, words, data);
    }
    for path in ["/home/index?uid=1&to_uid=2", "/home/room?uid=1&groups_id=1"] {
        assert!(get(server.address, path).body.contains("action/page.js"), "{path}");
    }
}

#[test]
fn the_pages_of_the_originals_can_be_switched_off() {
    let server = Running::start(&settings(&[("chat.legacy_pages", "false")]));
    for path in [
        "/user/list?groupsId=1",
        "/user/groupslist?appId=1",
        "/home/index?uid=1&to_uid=2",
        "/connect.proto",
    ] {
        assert_eq!(get(server.address, path).status, 404, "{path}");
    }
}
