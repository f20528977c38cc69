//! The dialect of document 003 over real sockets: one to one, groups, codes, silence, and its pages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod support;

use plaza_client::RawSocket;
use serde_json::{Value, json};
use support::{Running, next, next_json, settings, start, start_with};

/// A client that is connected and has been told so.
async fn connected(server: &Running) -> RawSocket {
    let socket = server.client("/ws/action").connect().await.unwrap();
    let entered = next_json(&socket).await;
    assert_eq!(entered["code"], 200);
    assert_eq!(entered["msg"], "success");
    assert_eq!(entered["data"]["action"], "enter");
    assert_eq!(entered["data"]["content"], "连接成功");
    let seconds: u64 = entered["data"]["msgTimestamp"].as_str().unwrap().parse().unwrap();
    assert!(seconds > 1_700_000_000);
    socket
}

async fn ask(socket: &RawSocket, action: &str, data: Value) {
    let request = json!({ "seq": "s-1", "action": action, "data": data });
    socket.send_text(request.to_string()).await.unwrap();
}

/// The code and the text of the next message, which answers this action.
async fn answered(socket: &RawSocket, action: &str) -> (u64, String) {
    let answer = next_json(socket).await;
    assert_eq!(answer["action"], action, "{answer}");
    assert_eq!(answer["seq"], "s-1");
    let response = &answer["response"];
    (
        response["code"].as_u64().unwrap(),
        response["msg"].as_str().unwrap().to_owned(),
    )
}

async fn log_in(server: &Running, user: &str, to: &str, group: &str) -> RawSocket {
    log_in_to(server, 1, user, to, group).await
}

async fn log_in_to(server: &Running, app: u32, user: &str, to: &str, group: &str) -> RawSocket {
    let socket = connected(server).await;
    ask(
        &socket,
        "login",
        json!({ "appId": app, "userId": user, "toUid": to, "groupsId": group }),
    )
    .await;
    assert_eq!(answered(&socket, "login").await, (200, "Success".to_owned()));
    socket
}

async fn say(socket: &RawSocket, text: &str) {
    ask(socket, "sendmsg", json!({ "msgType": "text", "message": text })).await;
}

/// The next push: action, content, from and to.
async fn pushed(socket: &RawSocket) -> [String; 4] {
    let push = next_json(socket).await;
    assert_eq!(push["code"], 200, "{push}");
    ["action", "content", "from", "to"].map(|key| push["data"][key].as_str().unwrap().to_owned())
}

/// Nothing but the answer to a heartbeat comes: all that was sent to it before has been seen.
async fn has_nothing_more(socket: &RawSocket) {
    ask(socket, "heartbeat", json!({})).await;
    assert_eq!(answered(socket, "heartbeat").await, (200, "Success".to_owned()));
}

fn push(action: &str, content: &str, from: &str, to: &str) -> [String; 4] {
    [action, content, from, to].map(str::to_owned)
}

#[tokio::test]
async fn one_to_one_reaches_every_window_of_the_other_user_and_nobody_else() {
    let server = start(&[]);
    let ann = log_in(&server, "1", "2", "0").await;
    let mut windows = Vec::new();
    // On both shards, whichever they are.
    for _ in 0..4 {
        windows.push(log_in(&server, "2", "1", "0").await);
    }
    let stranger = log_in(&server, "3", "1", "0").await;
    for text in ["你好", "<script>alert(1)</script>"] {
        say(&ann, text).await;
        assert_eq!(answered(&ann, "sendmsg").await.0, 200);
        for window in &windows {
            assert_eq!(pushed(window).await, push("sendmsg", text, "1", "2"));
        }
    }
    has_nothing_more(&stranger).await;
    has_nothing_more(&ann).await;
}

#[tokio::test]
async fn the_last_window_that_closes_tells_the_peer_and_the_ones_before_do_not() {
    let server = start(&[]);
    let ann = log_in(&server, "1", "2", "0").await;
    let first = log_in(&server, "2", "1", "0").await;
    let second = log_in(&server, "2", "1", "0").await;
    let third = log_in(&server, "2", "1", "0").await;
    first.abort();
    second.abort();
    // Both are gone, and so are their sessions, before the third goes.
    for _ in 0..200 {
        let (_, sessions) = server.api("GET", "sessions?user=2", "").await;
        if sessions["sessions"].as_array().unwrap().len() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    has_nothing_more(&ann).await;
    third.close(1000, "").await.unwrap();
    let gone = pushed(&ann).await;
    assert_eq!(gone, push("exit", "用户已经离开", "2", "1"));
    has_nothing_more(&ann).await;
}

#[tokio::test]
async fn a_group_sees_its_members_talk_and_leave_the_sender_included() {
    let server = start(&[]);
    let mut members = Vec::new();
    for user in ["1", "2", "3", "4"] {
        members.push(log_in(&server, user, "0", "7").await);
    }
    let elsewhere = log_in(&server, "5", "0", "8").await;
    say(&members[0], "大家好").await;
    // The answer and the push may come in either order: the reference's clients tell them apart.
    let mut own = [next_json(&members[0]).await, next_json(&members[0]).await];
    own.sort_by_key(|message| message.get("response").is_none());
    assert_eq!(own[0]["response"]["code"], 200);
    assert_eq!(own[1]["data"]["content"], "大家好");
    assert_eq!(own[1]["data"]["to"], "1");
    for (member, user) in members.iter().zip(["1", "2", "3", "4"]).skip(1) {
        assert_eq!(pushed(member).await, push("sendmsg", "大家好", "1", user));
    }
    members.remove(0).abort();
    for (member, user) in members.iter().zip(["2", "3", "4"]) {
        assert_eq!(pushed(member).await, push("exit", "用户已经离开", "1", user));
    }
    has_nothing_more(&elsewhere).await;
}

#[tokio::test]
async fn group_1_is_the_lobby_where_the_users_of_other_dialects_are() {
    let server = start(&[]);
    let ann = log_in(&server, "1", "0", "1").await;
    let tutor = server.client("/ws/tutorial").connect().await.unwrap();
    assert_eq!(next_json(&tutor).await["user_list"], json!(["1"]));
    tutor.send_text(r#"{"type":"login","content":"bob"}"#).await.unwrap();
    assert_eq!(next_json(&tutor).await["type"], "login");
    tutor.send_text(r#"{"type":"user","content":"hello"}"#).await.unwrap();
    assert_eq!(pushed(&ann).await, push("sendmsg", "hello", "bob", "1"));
}

#[tokio::test]
async fn every_code_that_a_client_can_get_is_got() {
    let server = start(&[("chat.action_app_ids", "7")]);
    let socket = connected(&server).await;
    let refused = async |action: &str, data: Value| {
        ask(&socket, action, data).await;
        answered(&socket, action).await.0
    };
    let login = |user: &str, app: u32| json!({ "appId": app, "userId": user, "toUid": "2", "groupsId": "0" });
    assert_eq!(refused("heartbeat", json!({})).await, 1000);
    assert_eq!(
        refused("sendmsg", json!({ "msgType": "text", "message": "x" })).await,
        1000
    );
    assert_eq!(refused("dance", json!({})).await, 1010);
    assert_eq!(refused("login", json!([])).await, 1001);
    assert_eq!(refused("login", Value::Null).await, 1002);
    assert_eq!(refused("heartbeat", json!([])).await, 1001);
    assert_eq!(refused("login", login("", 7)).await, 1002);
    assert_eq!(refused("login", login("null", 7)).await, 1002);
    assert_eq!(refused("login", login(&"9".repeat(20), 7)).await, 1002);
    // The reference's own appIds are not accepted when others are set.
    assert_eq!(refused("login", login("1", 1)).await, 1003);
    assert_eq!(refused("login", json!({ "userId": "1" })).await, 1003);
    assert_eq!(refused("login", json!({ "userId": "1", "appId": -1 })).await, 1001);
    assert_eq!(refused("login", json!({ "userId": "1", "appId": "7" })).await, 1001);
    assert_eq!(refused("login", json!({ "userId": 1, "appId": 7 })).await, 1001);
    assert_eq!(refused("login", login("1", 7)).await, 200);
    assert_eq!(refused("login", login("2", 7)).await, 1009);
    assert_eq!(
        refused("sendmsg", json!({ "msgType": "text", "message": 7 })).await,
        1001
    );
    for bad in [
        "",
        "hello",
        "{",
        "[]",
        "{\"seq\":",
        "{\"seq\":1,\"action\":\"heartbeat\"}",
    ] {
        socket.send_text(bad).await.unwrap();
        assert_eq!(next(&socket).await, "数据不合法", "{bad:?}");
    }
    socket.send_text("null").await.unwrap();
    assert_eq!(next_json(&socket).await["response"]["code"], 1010);
    has_nothing_more(&socket).await;
}

#[tokio::test]
async fn any_kind_of_message_and_an_empty_one_arrive_with_the_seq_and_the_kind_that_their_sender_said() {
    let server = start(&[]);
    let ann = log_in(&server, "1", "2", "0").await;
    let bob = log_in(&server, "2", "1", "0").await;
    let kim = log_in(&server, "3", "0", "7").await;
    let tim = log_in(&server, "4", "0", "7").await;
    for (sender, receiver) in [(&ann, &bob), (&kim, &tim)] {
        for (kind, message) in [
            ("img", "/a.png"),
            ("file", "/b.zip"),
            ("", "x"),
            ("text", ""),
            ("voice", "/c.ogg"),
        ] {
            ask(sender, "sendmsg", json!({ "msgType": kind, "message": message })).await;
            let push = next_json(receiver).await;
            let data = &push["data"];
            assert_eq!(
                (&data["msgId"], &data["msgType"], &data["content"]),
                (&json!("s-1"), &json!(kind), &json!(message)),
                "{push}"
            );
        }
    }
}

#[tokio::test]
async fn a_login_that_names_nobody_is_into_group_1() {
    let server = start(&[]);
    let tutor = server.client("/ws/tutorial").connect().await.unwrap();
    next_json(&tutor).await;
    tutor.send_text(r#"{"type":"login","content":"bob"}"#).await.unwrap();
    next_json(&tutor).await;
    let ann = log_in(&server, "1", "", "").await;
    assert_eq!(next_json(&tutor).await["content"], "1");
    say(&ann, "to the group").await;
    assert_eq!(next_json(&tutor).await["content"], "to the group");
}

#[tokio::test]
async fn apps_are_worlds_of_their_own() {
    let data = tempfile::tempdir().unwrap();
    let mut config = settings(&[]);
    config.server.memory = false;
    config.server.data = data.path().to_owned();
    config.log.talk_log = false;
    let server = start_with(&config);
    let ann = log_in_to(&server, 1, "71", "72", "0").await;
    let bob = log_in_to(&server, 1, "72", "71", "0").await;
    let other_bob = log_in_to(&server, 2, "72", "71", "0").await;
    let other_ann = log_in_to(&server, 2, "71", "72", "0").await;
    let member = log_in_to(&server, 1, "5", "0", "1").await;
    let other_member = log_in_to(&server, 2, "6", "0", "1").await;
    let native = |name: &str| {
        let config = plaza_client::Config::new(format!("ws://{}/chat", server.address())).name(name);
        plaza_client::Client::connect(config)
    };
    let (native, _events) = native("eve").await.unwrap();
    native.join("lobby").await.unwrap();

    // Direct messages, also those that wait for somebody.
    say(&ann, "app 1").await;
    assert_eq!(answered(&ann, "sendmsg").await.0, 200);
    assert_eq!(pushed(&bob).await, push("sendmsg", "app 1", "71", "72"));
    say(&other_ann, "app 2").await;
    assert_eq!(answered(&other_ann, "sendmsg").await.0, 200);
    assert_eq!(pushed(&other_bob).await, push("sendmsg", "app 2", "71", "72"));
    has_nothing_more(&bob).await;
    drop(other_bob);
    assert_eq!(pushed(&other_ann).await, push("exit", "用户已经离开", "72", "71"));
    has_nothing_more(&ann).await;
    say(&other_ann, "stored in app 2").await;
    assert_eq!(answered(&other_ann, "sendmsg").await.0, 200);
    let again = log_in_to(&server, 1, "72", "71", "0").await;
    has_nothing_more(&again).await;
    let other_again = log_in_to(&server, 2, "72", "71", "0").await;
    assert_eq!(pushed(&other_again).await[1], "stored in app 2");

    // Groups, and the lobby.
    say(&other_member, "only in app 2").await;
    let mut own = [next_json(&other_member).await, next_json(&other_member).await];
    own.sort_by_key(|message| message.get("response").is_none());
    assert_eq!(own[1]["data"]["to"], "6");
    has_nothing_more(&member).await;

    // Lists and presence.
    let listed = async |path: &str| server.get(path).await.1;
    assert_eq!(
        listed("/user/list?groupsId=1&appId=2").await,
        r#"{"code":200,"msg":"Success","data":{"userList":[{"ID":6}]}}"#
    );
    assert_eq!(
        listed("/user/list?groupsId=1").await,
        r#"{"code":200,"msg":"Success","data":{"userList":[{"ID":5},{"ID":"eve"}]}}"#
    );
    assert_eq!(
        listed("/user/groupslist?appId=2").await,
        r#"{"code":200,"msg":"Success","data":[{"ID":1}]}"#
    );

    // Nobody else can say, join or see what belongs to an app.
    let room = "⟦2⟧group:1";
    assert_eq!(native.join(room).await.unwrap_err().code(), Some("bad_name"));
    assert_eq!(native.talk(room, "x").await.unwrap_err().code(), Some("bad_name"));
    assert_eq!(native.direct("⟦2⟧72", "x").await.unwrap_err().code(), Some("bad_name"));
    assert_eq!(native.rename("⟦2⟧72").await.unwrap_err().code(), Some("bad_name"));
    let (_, rooms) = server.api("GET", "rooms", "").await;
    assert!(
        rooms["rooms"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["name"] == room),
        "{rooms}"
    );
    let socket = server.client("/chat").connect().await.unwrap();
    for request in [
        r#"{"id":1,"hello":{"name":"kim"}}"#,
        r#"{"id":2,"rooms":{}}"#,
        r#"{"id":3,"users":{"room":"⟦2⟧group:1"}}"#,
        r#"{"id":4,"history":{"peer":"⟦2⟧72"}}"#,
        r#"{"id":5,"search":{"room":"⟦2⟧group:1","text":"x"}}"#,
    ] {
        socket.send_text(request).await.unwrap();
        let answer = next_json(&socket).await;
        match answer["id"].as_u64().unwrap() {
            1 => assert!(answer["welcome"].is_object(), "{answer}"),
            2 => assert!(!answer.to_string().contains('⟦'), "{answer}"),
            _ => assert_eq!(answer["error"]["code"], "bad_name", "{answer}"),
        }
    }
    let legacy = server.client("/ws/tutorial").connect().await.unwrap();
    next_json(&legacy).await;
    legacy.send_text(r#"{"type":"login","content":"⟦2⟧72"}"#).await.unwrap();
    assert_eq!(next_json(&legacy).await["type"], "system");
}

#[tokio::test]
async fn a_user_silent_for_too_long_is_disconnected_and_one_with_heartbeats_is_not() {
    let mut config = settings(&[]);
    config.chat.action_silence = Some(std::time::Duration::from_millis(400));
    let server = start_with(&config);
    let silent = log_in(&server, "1", "2", "0").await;
    let beating = log_in(&server, "2", "1", "0").await;
    let beats = async {
        loop {
            ask(&beating, "heartbeat", json!({})).await;
            let told = next_json(&beating).await;
            if told["data"]["action"] == "exit" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let silence = async {
        loop {
            if let Err(ended) = silent.next_payload().await {
                break ended;
            }
        }
    };
    tokio::time::timeout(support::PATIENCE, async { tokio::join!(beats, silence) })
        .await
        .unwrap();
    has_nothing_more(&beating).await;
}

#[tokio::test]
async fn nobody_is_disconnected_for_silence_by_default() {
    let config = settings(&[]);
    assert_eq!(config.chat.action_silence, None);
    let server = start_with(&config);
    let quiet = log_in(&server, "1", "2", "0").await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    has_nothing_more(&quiet).await;
}

#[tokio::test]
async fn a_group_with_members_in_the_settings_refuses_everybody_else_in_every_dialect() {
    let server = start(&[("chat.action_members", "7=1 2")]);
    let ann = log_in(&server, "1", "0", "7").await;
    let bob = log_in(&server, "2", "0", "7").await;
    let eve = connected(&server).await;
    ask(&eve, "login", json!({ "appId": 1, "userId": "3", "groupsId": "7" })).await;
    assert_eq!(answered(&eve, "login").await, (1003, "未授权".to_owned()));
    say(&eve, "let me in").await;
    assert_eq!(answered(&eve, "sendmsg").await.0, 1003);
    let (native, _) =
        plaza_client::Client::connect(plaza_client::Config::new(format!("ws://{}/chat", server.address())).name("eve"))
            .await
            .unwrap();
    let refused = native.join("group:7").await.unwrap_err();
    assert_eq!(refused.code(), Some("forbidden"));
    // Nor by another name taken inside: an open group's member who takes a name that is not on the list.
    assert_eq!(native.join("group:8").await.unwrap().online, 1);
    say(&ann, "between us").await;
    assert_eq!(pushed(&bob).await, push("sendmsg", "between us", "1", "2"));
    has_nothing_more(&eve).await;
    // Eve goes where she may.
    ask(&eve, "login", json!({ "appId": 1, "userId": "3", "groupsId": "8" })).await;
    assert_eq!(answered(&eve, "login").await.0, 200);
}

#[tokio::test]
async fn with_closed_groups_only_those_on_a_list_enter_and_the_lobby_is_open() {
    let server = start(&[
        ("chat.action_open_groups", "false"),
        ("chat.action_groups", "1=lobby,5=games"),
        ("chat.action_members", "5=1"),
    ]);
    log_in(&server, "1", "0", "5").await;
    log_in(&server, "9", "0", "1").await;
    for group in ["5", "6"] {
        let eve = connected(&server).await;
        ask(&eve, "login", json!({ "appId": 1, "userId": "3", "groupsId": group })).await;
        assert_eq!(answered(&eve, "login").await.0, 1003, "group {group}");
    }
    let (status, _) = server.api("PUT", "groups/6/members", r#"{"members":[3]}"#).await;
    assert_eq!(status, 201);
    log_in(&server, "3", "0", "6").await;
}

#[tokio::test]
async fn members_taken_off_the_list_are_put_out() {
    let server = start(&[]);
    let ann = log_in(&server, "1", "0", "7").await;
    let eve = log_in(&server, "3", "0", "7").await;
    let (status, room) = server.api("PUT", "groups/7/members", r#"{"members":[1,"2"]}"#).await;
    assert_eq!((status, &room["members"]), (200, &json!(["1", "2"])));
    assert_eq!(pushed(&ann).await, push("exit", "用户已经离开", "3", "1"));
    say(&eve, "still here?").await;
    assert_eq!(answered(&eve, "sendmsg").await.0, 1003);
    // A member that takes a name which is not on the list is out as well.
    let (bob, _) =
        plaza_client::Client::connect(plaza_client::Config::new(format!("ws://{}/chat", server.address())).name("2"))
            .await
            .unwrap();
    bob.join("group:7").await.unwrap();
    bob.rename("mallory").await.unwrap();
    assert_eq!(pushed(&ann).await[0], "exit");
    let refused = bob.talk("group:7", "hidden").await.unwrap_err();
    assert_eq!(refused.code(), Some("not_member"));
    has_nothing_more(&ann).await;
    // Without a list everybody may enter again.
    server.api("PUT", "groups/7/members", r#"{"members":null}"#).await;
    ask(&eve, "login", json!({ "appId": 1, "userId": "3", "groupsId": "7" })).await;
    assert_eq!(answered(&eve, "login").await.0, 200);
}

#[tokio::test]
async fn the_pages_of_the_original_tell_users_and_groups() {
    let server = start(&[("chat.action_groups", "1=lobby,5=games")]);
    let _ann = log_in(&server, "2", "0", "1").await;
    let _bob = log_in(&server, "10", "0", "1").await;
    let _eve = log_in(&server, "张三", "0", "1").await;
    let _carol = log_in(&server, "4", "0", "77").await;
    let page = async |path: &str| {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{path}");
        body
    };
    assert_eq!(
        page("/user/list?groupsId=1").await,
        r#"{"code":200,"msg":"Success","data":{"userList":[{"ID":10},{"ID":2},{"ID":"张三"}]}}"#
    );
    assert_eq!(
        page("/user/list?groupsId=77").await,
        r#"{"code":200,"msg":"Success","data":{"userList":[{"ID":4}]}}"#
    );
    assert_eq!(
        page("/user/list?groupsId=nobody").await,
        r#"{"code":200,"msg":"Success","data":{"userList":[]}}"#
    );
    assert_eq!(
        page("/user/groupslist?appId=1").await,
        r#"{"code":200,"msg":"Success","data":[{"ID":1},{"ID":5},{"ID":77}]}"#
    );
    assert_eq!(
        page("/user/groupslist?appId=9").await,
        r#"{"code":1011,"msg":"appid不存在","data":null}"#
    );
    assert_eq!(
        page("/user/list").await,
        page("/user/list?groupsId=1").await,
        "without a group it is group 1"
    );
    assert_eq!(
        page("/user/groupslist?appId=2").await,
        r#"{"code":200,"msg":"Success","data":null}"#
    );
    assert_eq!(
        page("/user/groupslist").await,
        r#"{"code":1001,"msg":"参数不合法","data":null}"#
    );
    assert_eq!(
        page("/user/list?groupsId=%00").await,
        r#"{"code":1001,"msg":"参数不合法","data":null}"#
    );
    assert!(page("/home/index?uid=1&to_uid=2").await.contains("action/page.js"));
    assert!(page("/home/room?uid=1&groups_id=1").await.contains("action/page.js"));
}

#[tokio::test]
async fn the_pages_of_the_originals_can_be_switched_off() {
    let server = start(&[("chat.legacy_pages", "false")]);
    for path in [
        "/user/list?groupsId=1",
        "/user/groupslist?appId=1",
        "/home/index?uid=1&to_uid=2",
        "/connect.proto",
    ] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
}
