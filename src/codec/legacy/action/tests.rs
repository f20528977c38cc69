//! Requests of a client of document 003, and the answers.

use super::*;
use crate::{
    chat::{Departure, Joined, Position, World},
    codec::{
        handshake::tests::{silent, with_query},
        json::tests::malformed,
        testing::{self, AT, came, digest, direct, message, renamed, texts, user, welcome, went},
    },
};

type Client = Box<dyn Codec>;

fn ask(client: &mut Client, text: &str) -> Result<Vec<Request>, Fault> {
    testing::ask(&mut **client, text)
}

fn sent(client: &mut Client, id: RequestId, reply: &Reply) -> Vec<String> {
    texts(&testing::reply_frames(&mut **client, id, reply))
}

/// The answer of the codec to a message that it refuses.
fn refused(client: &mut Client, text: &str) -> String {
    match ask(client, text) {
        Err(Fault::Refused(id, refusal)) => sent(client, id, &Reply::Error(refusal)).remove(0),
        other => panic!("{text}: {other:?}"),
    }
}

fn request(action: &str, data: &str) -> String {
    format!(r#"{{"seq":"s-1","action":"{action}","data":{data}}}"#)
}

fn login(user: &str, to: &str, group: &str) -> String {
    let data = format!(r#"{{"userId":"{user}","appId":1,"toUid":"{to}","groupsId":"{group}"}}"#);
    request("login", &data)
}

fn joined(room: &RoomName) -> Reply {
    Reply::Joined(Box::new(Joined {
        room: room.clone(),
        head: Position::default(),
        from: 0,
        online: 1,
        topic: "".into(),
        history: true,
        read: None,
    }))
}

fn ack() -> Reply {
    Reply::Ack {
        position: Position { epoch: 7, seq: 42 },
        at: AT,
        duplicate: false,
    }
}

fn error(code: ErrorCode) -> Reply {
    Reply::Error(code.because("x"))
}

fn opened() -> Client {
    Action::DEFAULT.open(&silent())
}

/// A client logged in as `1`, one to one with `2`.
fn one_to_one() -> Client {
    let mut client = opened();
    let requests = ask(&mut client, &login("1", "2", "0")).unwrap();
    sent(&mut client, requests[0].id, &welcome("1"));
    client
}

fn seen(room: &str, happening: &Happening) -> Vec<String> {
    let mut out = Frames::default();
    let room = RoomName::parse(room).unwrap();
    Action::DEFAULT.encode_at(AT, 0, &room, happening, &mut out);
    texts(&out)
}

/// A push of a text, byte for byte.
fn push(action: &str, id: &str, content: &str, from: &str, to: &str) -> String {
    format!(
        r#"{{"code":200,"msg":"success","data":{{"action":"{action}","msgId":"{id}","msgType":"text","content":"{content}","from":"{from}","to":"{to}","msgTimestamp":"1767323045"}}}}"#
    )
}

fn response(action: &str, code: u16, msg: &str) -> String {
    format!(r#"{{"seq":"s-1","action":"{action}","response":{{"code":{code},"msg":"{msg}","data":null}}}}"#)
}

/// Asserts that this reply completes the login.
fn logs_in(client: &mut Client, id: RequestId, reply: &Reply) {
    assert_eq!(sent(client, id, reply), [response("login", 200, "Success")]);
}

fn is_unauthorized(client: &mut Client, id: RequestId, reply: &Reply) {
    assert_eq!(sent(client, id, reply), [response("login", 1003, "未授权")]);
}

#[test]
fn a_client_is_greeted_with_enter() {
    let greeting = Reply::Greeting {
        peer: "192.0.2.7:1".parse().unwrap(),
        users: crate::codec::testing::all(&["ann"]),
    };
    let enter = push("enter", &format!("enter-{AT}-1"), "连接成功", "", "");
    assert_eq!(sent(&mut opened(), None, &greeting), [enter]);
}

#[test]
fn a_login_one_to_one_is_answered_by_the_welcome_and_watches_the_other() {
    let mut client = opened();
    let requests = ask(&mut client, &login("1", "2", "0")).unwrap();
    assert!(
        matches!(&requests[0].command, Command::Hello(hello) if hello.name == Some(user("1"))),
        "{requests:?}"
    );
    assert_eq!(requests[1].command, Command::Watch { user: user("2") });
    assert_eq!(requests.len(), 2);
    logs_in(&mut client, requests[0].id, &welcome("1"));
}

#[test]
fn a_login_into_a_group_is_answered_once_the_group_lets_it_in() {
    for (group, room) in [("1", "lobby"), ("7", "group:7")] {
        let mut client = opened();
        let requests = ask(&mut client, &login("1", "", group)).unwrap();
        assert!(matches!(&requests[1].command, Command::Join { room: joined, .. } if joined.as_str() == room));
        assert_eq!(sent(&mut client, requests[0].id, &welcome("1")), [""; 0]);
        logs_in(&mut client, requests[1].id, &joined(&RoomName::parse(room).unwrap()));
    }
    let mut client = opened();
    let requests = ask(&mut client, &login("1", "", "7")).unwrap();
    sent(&mut client, requests[0].id, &welcome("1"));
    is_unauthorized(&mut client, requests[1].id, &error(ErrorCode::Forbidden));
}

#[test]
fn a_refused_login_is_answered_once_and_may_be_tried_again() {
    let mut client = opened();
    let requests = ask(&mut client, &login("1", "", "1")).unwrap();
    is_unauthorized(&mut client, requests[0].id, &error(ErrorCode::Unauthorized));
    assert_eq!(sent(&mut client, requests[1].id, &error(ErrorCode::NoHello)), [""; 0]);
    assert_eq!(ask(&mut client, &login("1", "", "1")).unwrap().len(), 2);
}

#[test]
fn user_ids_and_app_ids_are_checked() {
    let bad_id = response("login", 1002, "非法的用户Id");
    let too_long = ["12345678901234567890", "一二三四五六七"];
    for id in ["", "null", " ", "a\\u0000b", "a\\nb", "⟦2⟧1"]
        .into_iter()
        .chain(too_long)
    {
        assert_eq!(refused(&mut opened(), &login(id, "2", "0")), bad_id, "{id}");
    }
    for id in ["1234567890123456789", "一二三四五六"] {
        assert!(ask(&mut opened(), &login(id, "2", "0")).is_ok(), "{id}");
    }
    assert_eq!(refused(&mut opened(), &login("1", "null\\u0000", "0")), bad_id);
    let unauthorized = response("login", 1003, "未授权");
    let bad_parameters = response("login", 1001, "参数不合法");
    let with_app = |app: &str| request("login", &format!(r#"{{"userId":"1","appId":{app}}}"#));
    for app in ["3", "0", "null", "4294967295"] {
        assert_eq!(refused(&mut opened(), &with_app(app)), unauthorized, "{app}");
    }
    let without_app = request("login", r#"{"userId":"1"}"#);
    assert_eq!(refused(&mut opened(), &without_app), unauthorized);
    for app in ["\"1\"", "\"\"", "1.5", "-1", "99999999999", "[1]"] {
        assert_eq!(refused(&mut opened(), &with_app(app)), bad_parameters, "{app}");
    }
    for data in [
        "[]",
        "7",
        r#""x""#,
        r#"{"userId":{}}"#,
        r#"{"userId":1,"appId":1}"#,
        r#"{"userId":"1","appId":1,"toUid":2}"#,
        r#"{"userId":"1","appId":1,"groupsId":1}"#,
    ] {
        let answer = refused(&mut opened(), &request("login", data));
        assert_eq!(answer, bad_parameters, "{data}");
    }
    // Missing data counts as an empty object: the missing user id is the first fault.
    for nothing in [r#""data":{}"#, r#""data":null"#, r#""x":1"#] {
        let text = format!(r#"{{"seq":"s-1","action":"login",{nothing}}}"#);
        assert_eq!(refused(&mut opened(), &text), bad_id, "{nothing}");
    }
}

#[test]
fn app_ids_and_the_group_of_the_lobby_are_settings() {
    static SETTINGS: LazyLock<ActionSettings> = LazyLock::new(|| {
        let lobby = ("main".to_owned(), RoomName::lobby());
        let games = ("5".to_owned(), RoomName::parse("games").unwrap());
        ActionSettings::new(vec![9], [lobby, games].into())
    });
    let common = World::Common;
    assert_eq!(SETTINGS.room(common, "5").unwrap().as_str(), "games");
    assert_eq!(SETTINGS.group(&RoomName::parse("games").unwrap()), "5");
    let mut client = Action::new(&SETTINGS).open(&silent());
    let answer = refused(&mut client, &login("1", "2", "0"));
    assert_eq!(answer, response("login", 1003, "未授权"));
    assert_eq!(SETTINGS.room(common, "main").unwrap(), RoomName::lobby());
    assert_eq!(SETTINGS.room(common, "1").unwrap().as_str(), "group:1");
    assert_eq!(SETTINGS.group(&RoomName::lobby()), "main");
    assert_eq!(SETTINGS.group(&SETTINGS.room(common, "1").unwrap()), "1");
}

#[test]
fn the_query_hints_at_what_the_login_leaves_out() {
    let text = r#"{"seq":"s-1","action":"login","data":{"userId":"1","appId":1,"toUid":"null","groupsId":"null"}}"#;
    let second = |query: &'static str| {
        let mut client = Action::DEFAULT.open(&with_query(query));
        ask(&mut client, text).unwrap().remove(1).command
    };
    assert_eq!(second("uid=1&to_uid=2"), Command::Watch { user: user("2") });
    assert!(matches!(second("uid=1&groups_id=7"), Command::Join { room, .. } if room.as_str() == "group:7"));
}

#[test]
fn a_login_that_names_neither_group_nor_user_is_into_group_1() {
    for (data, room) in [
        (r#"{"userId":"1","appId":1}"#, "lobby"),
        (r#"{"userId":"1","appId":1,"toUid":"","groupsId":"null"}"#, "lobby"),
        (r#"{"userId":"1","appId":2}"#, "⟦2⟧group:1"),
    ] {
        let requests = ask(&mut opened(), &request("login", data)).unwrap();
        assert!(
            matches!(&requests[1].command, Command::Join { room: joined, .. } if joined.as_str() == room),
            "{requests:?}"
        );
    }
}

#[test]
fn users_groups_and_peers_of_a_further_app_have_names_of_their_own_and_are_shown_without_its_mark() {
    let mut client = opened();
    let login = r#"{"seq":"s-1","action":"login","data":{"userId":"72","appId":2,"toUid":"1","groupsId":"0"}}"#;
    let requests = ask(&mut client, login).unwrap();
    assert!(matches!(&requests[0].command, Command::Hello(hello) if hello.name == Some(user("⟦2⟧72"))));
    assert_eq!(requests[1].command, Command::Watch { user: user("⟦2⟧1") });
    sent(&mut client, requests[0].id, &welcome("⟦2⟧72"));
    let push = &sent(&mut client, None, &direct("⟦2⟧1", "⟦2⟧72", "psst"))[0];
    assert!(
        push.contains(r#""msgId":"7-42-1-72""#) && push.contains(r#""from":"1","to":"72""#),
        "{push}"
    );
    let went_push = &sent(&mut client, None, &Reply::PeerLeft { user: user("⟦2⟧1") })[0];
    assert!(went_push.contains(r#""from":"1","to":"72""#), "{went_push}");
    let push = &seen("⟦2⟧group:7", &Happening::Message(message("⟦2⟧1", "hi")))[0];
    assert!(
        push.contains(r#""msgId":"7-42-7""#) && push.contains(r#""from":"1""#),
        "{push}"
    );
    // The same id in another app is another user.
    let other = r#"{"seq":"s-1","action":"login","data":{"userId":"72","appId":1,"toUid":"1","groupsId":"0"}}"#;
    assert_eq!(refused(&mut client, other), response("login", 1009, "操作失败"));
}

#[test]
fn logging_in_again_turns_to_another_peer_but_not_to_another_user() {
    let mut client = one_to_one();
    let requests = ask(&mut client, &login("1", "3", "0")).unwrap();
    assert_eq!(requests[0].command, Command::Watch { user: user("3") });
    logs_in(&mut client, requests[1].id, &Reply::Pong { at: AT });
    let requests = ask(&mut client, &login("1", "", "1")).unwrap();
    logs_in(&mut client, requests[0].id, &error(ErrorCode::AlreadyMember));
    let requests = ask(&mut client, &login("1", "2", "0")).unwrap();
    assert!(matches!(requests[0].command, Command::Leave { .. }));
    let answer = refused(&mut client, &login("9", "2", "0"));
    assert_eq!(answer, response("login", 1009, "操作失败"));
}

#[test]
fn a_heartbeat_is_200_when_logged_in_and_1000_before() {
    let heartbeat = r#"{"seq":"s-1","action":"heartbeat","data":{}}"#;
    assert_eq!(refused(&mut opened(), heartbeat), response("heartbeat", 1000, "未登录"));
    let mut client = one_to_one();
    let requests = ask(&mut client, heartbeat).unwrap();
    assert_eq!(requests[0].command, Command::Ping);
    let answers = sent(&mut client, requests[0].id, &Reply::Pong { at: AT });
    assert_eq!(answers, [response("heartbeat", 200, "Success")]);
    for data in ["[]", "7", "\"x\""] {
        let text = heartbeat.replace("{}", data);
        for client in [&mut client, &mut opened()] {
            let answer = refused(client, &text);
            assert_eq!(answer, response("heartbeat", 1001, "参数不合法"), "{data}");
        }
    }
    let bare = r#"{"seq":"s-1","action":"heartbeat"}"#;
    assert_eq!(ask(&mut client, bare).unwrap()[0].command, Command::Ping);
}

#[test]
fn a_message_is_answered_only_when_it_is_accepted_or_refused() {
    let mut client = one_to_one();
    let send = |seq: u32| {
        format!(r#"{{"seq":"{seq}","action":"sendmsg","data":{{"msgType":"text","message":"你好","toUid":"9"}}}}"#)
    };
    let first = ask(&mut client, &send(1)).unwrap();
    let second = ask(&mut client, &send(2)).unwrap();
    assert!(
        matches!(&first[0].command, Command::Direct { to, text, kind: MessageKind::Text, .. } if *to == user("2") && &**text == "你好")
    );
    assert_eq!(
        sent(&mut client, second[0].id, &error(ErrorCode::StoreFailed)),
        [r#"{"seq":"2","action":"sendmsg","response":{"code":1008,"msg":"存储错误","data":null}}"#]
    );
    assert_eq!(
        sent(&mut client, first[0].id, &ack()),
        [r#"{"seq":"1","action":"sendmsg","response":{"code":200,"msg":"Success","data":null}}"#]
    );
    assert_eq!(sent(&mut client, first[0].id, &ack()), [""; 0]);
}

#[test]
fn every_kind_of_message_is_sent_an_empty_one_too() {
    let mut client = one_to_one();
    for (name, kind) in [
        ("text", MessageKind::Text),
        ("image", MessageKind::Image),
        ("video", MessageKind::Video),
        ("voice", MessageKind::Voice),
    ] {
        let text = format!(r#"{{"seq":"s-1","action":"sendmsg","data":{{"msgType":"{name}","message":"m"}}}}"#);
        let requests = ask(&mut client, &text).unwrap();
        assert!(matches!(&requests[0].command, Command::Direct { kind: asked, .. } if *asked == kind));
        let mut message = message("2", "m");
        message.kind = kind;
        assert!(seen("lobby", &Happening::Message(message))[0].contains(&format!(r#""msgType":"{name}""#)));
    }
    for (data, kind, called) in [
        (r#"{"msgType":"img","message":"m"}"#, MessageKind::Image, Some("img")),
        (r#"{"msgType":"file","message":"m"}"#, MessageKind::Text, Some("file")),
        (r#"{"msgType":"","message":"m"}"#, MessageKind::Text, Some("")),
        (r#"{"message":"m"}"#, MessageKind::Text, Some("")),
        (r#"{"msgType":"text","message":""}"#, MessageKind::Text, None),
        (r#"{"msgType":"text"}"#, MessageKind::Text, None),
        ("{}", MessageKind::Text, Some("")),
        ("null", MessageKind::Text, Some("")),
    ] {
        let requests = ask(&mut client, &request("sendmsg", data)).unwrap();
        assert!(
            matches!(&requests[0].command, Command::Direct { kind: asked, .. } if *asked == kind),
            "{data}"
        );
        let echo = client.echo(requests[0].id).unwrap();
        assert_eq!((&*echo.request, echo.kind.as_deref()), ("s-1", called), "{data}");
        let mut message = message("2", "m");
        message.echo = Some(echo);
        let push = &seen("lobby", &Happening::Message(message))[0];
        let called = format!(r#""msgId":"s-1","msgType":"{}""#, called.unwrap_or("text"));
        assert!(push.contains(&called), "{push}");
    }
    let long = r#"{"msgType":"text","message":"LONG"}"#.replace("LONG", &"x".repeat(limits::TEXT_BYTES + 1));
    let wrong = [
        r#"{"msgType":"text","message":7}"#,
        r#"{"msgType":7,"message":"m"}"#,
        "[]",
        &long,
    ];
    for data in wrong {
        let answer = refused(&mut client, &request("sendmsg", data));
        assert_eq!(answer, response("sendmsg", 1001, "参数不合法"), "{data}");
    }
}

#[test]
fn a_group_message_goes_to_its_room_and_is_pushed_to_all_with_a_stable_id() {
    let mut client = opened();
    let requests = ask(&mut client, &login("1", "", "7")).unwrap();
    sent(&mut client, requests[0].id, &welcome("1"));
    let hi = request("sendmsg", r#"{"msgType":"text","message":"hi"}"#);
    let sent = ask(&mut client, &hi).unwrap();
    assert!(matches!(&sent[0].command, Command::Talk { room, .. } if room.as_str() == "group:7"));
    for (room, id) in [("group:7", "7-42-7"), ("lobby", "7-42-1")] {
        let push = push("sendmsg", id, "hi", "张三", "ann");
        assert_eq!(seen(room, &Happening::Message(message("张三", "hi"))), [push]);
    }
}

#[test]
fn a_direct_message_reaches_the_other_and_not_the_senders_windows() {
    let mut client = one_to_one();
    let psst = push("sendmsg", "7-42-2-1", "psst", "2", "1");
    assert_eq!(sent(&mut client, None, &direct("2", "1", "psst")), [psst]);
    assert_eq!(sent(&mut client, None, &direct("1", "2", "psst")), [""; 0]);
    assert_eq!(sent(&mut client, None, &direct("1", "1", "note")).len(), 1);
}

#[test]
fn peer_and_group_learn_that_a_user_left() {
    let mut client = one_to_one();
    let went_push = sent(&mut client, None, &Reply::PeerLeft { user: user("2") });
    assert_eq!(
        went_push,
        [push("exit", &format!("exit-{AT}-1"), "用户已经离开", "2", "1")]
    );
    assert_eq!(sent(&mut client, None, &Reply::PeerLeft { user: user("3") }), [""; 0]);
    for how in [Departure::Requested, Departure::Disconnected] {
        let exit = push("exit", "exit-6-7", "用户已经离开", "2", "ann");
        assert_eq!(seen("group:7", &went("2", how)), [exit]);
    }
    assert_eq!(seen("lobby", &digest(Some("a"), Some("b"))).len(), 1);
    assert_eq!(seen("lobby", &digest(Some("a"), None)), [""; 0]);
    assert_eq!(seen("lobby", &came("a", None)), [""; 0]);
    assert_eq!(seen("lobby", &renamed("a", "b")), [""; 0]);
}

#[test]
fn what_is_not_json_and_what_has_no_route_have_the_references_words() {
    let mut client = one_to_one();
    assert_eq!(refused(&mut client, "hello"), "数据不合法");
    assert_eq!(
        refused(&mut client, r#"{"seq":"s-1","action":"fly","data":{}}"#),
        response("fly", 1010, "路由不存在")
    );
    for nothing in ["{}", "null", " null "] {
        assert_eq!(
            refused(&mut client, nothing),
            r#"{"seq":"","action":"","response":{"code":1010,"msg":"路由不存在","data":null}}"#
        );
    }
    for wrong in [
        r#"{"seq":1,"action":"heartbeat","data":{}}"#,
        r#"{"seq":"1","action":7,"data":{}}"#,
        "[]",
        "7",
        "nul",
    ] {
        assert_eq!(refused(&mut client, wrong), "数据不合法", "{wrong}");
    }
    let sent = r#"{"seq":"s-1","action":"sendmsg","data":{"msgType":"text","message":"x"}}"#;
    assert_eq!(refused(&mut opened(), sent), response("sendmsg", 1000, "未登录"));
    let long = format!(r#"{{"seq":"{}","action":"heartbeat"}}"#, "x".repeat(65));
    assert!(refused(&mut client, &long).contains("1001"));
}

#[test]
fn malformed_frames_are_answered_with_the_text_of_document_003() {
    // `null` is an empty request in the original.
    for frame in malformed().into_iter().filter(|frame| frame != b"null") {
        let mut client = one_to_one();
        match client.decode(Message::Text(&frame), &mut Vec::new()) {
            Err(Fault::Refused(id, refusal)) => {
                let answer = sent(&mut client, id, &Reply::Error(refusal));
                assert_eq!(answer, ["数据不合法"], "{frame:?}");
            }
            other => panic!("{frame:?} gave {other:?}"),
        }
    }
}

#[test]
fn too_many_unanswered_messages_are_refused_and_then_closed() {
    let mut client = one_to_one();
    let send = r#"{"seq":"s-1","action":"sendmsg","data":{"msgType":"text","message":"x"}}"#;
    let mut ids = Vec::new();
    for _ in 0..limits::LEGACY_UNANSWERED {
        ids.push(ask(&mut client, send).unwrap()[0].id);
    }
    assert_eq!(refused(&mut client, send), response("sendmsg", 1009, "操作失败"));
    assert_eq!(sent(&mut client, ids[0], &ack()).len(), 1);
    assert_eq!(ask(&mut client, send).unwrap().len(), 1);
    let closed = (0..=limits::LEGACY_UNANSWERED).any(|_| matches!(ask(&mut client, send), Err(Fault::Close(1008, _))));
    assert!(closed);
}
