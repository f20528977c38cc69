//! Names as old clients send them, names that would forge something, and several connections of one user.
// Tables of cases are read more easily than names for their types.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod stories;

use std::net::SocketAddr;

use serde_json::json;
use stories::{
    Heard, Peer,
    drivers::{self, Driver, Member, Said, Shown, talk},
    start, strings,
};

/// A header's name and value.
type Header<'a> = (&'a str, &'a [u8]);

/// The names in the room, asked for by this client in its dialect.
fn list(client: &mut Peer, dialect: &str) -> Vec<String> {
    let driver = drivers::driver(dialect);
    driver.list.unwrap()().send(client);
    loop {
        if let Shown::List(names) = driver.shown(&client.hear()) {
            return names;
        }
    }
}

fn named(address: SocketAddr, dialect: &str, path: &str, headers: &[(&str, &[u8])]) -> Vec<String> {
    list(&mut Peer::open(address, path, headers), dialect)
}

#[test]
fn names_are_read_percent_encoded_and_raw_from_query_and_headers() {
    let zhang = "张三".as_bytes();
    let encoded = b"%E5%BC%A0%E4%B8%89".as_slice();
    let cases: &[(&str, &str, &[Header<'_>], &str)] = &[
        ("communication", "?username=%E5%BC%A0%E4%B8%89", &[], "张三"),
        ("communication", "?username=张三", &[], "张三"),
        ("communication", "?a=1&username=a+b%2Bc&b=2", &[], "a b+c"),
        ("communication", "", &[("login-username", zhang)], "张三"),
        ("communication", "", &[("Login-Username", encoded)], "张三"),
        ("communication", "", &[("username", zhang)], "张三"),
        ("communication", "", &[("username", b"a+b%20c")], "a+b c"),
        ("communication", "?username=ann", &[("login-username", b"bob")], "ann"),
        (
            "communication",
            "",
            &[("username", b"cyd"), ("login-username", b"bob")],
            "bob",
        ),
        ("communication", "?username=", &[("username", b"cyd")], "cyd"),
        ("communication", "", &[("login-username", b"%E6%9D%8E%2B+")], "李++"),
        ("chat-request", "", &[("username", zhang)], "张三"),
        ("chat-request", "", &[("username", encoded)], "张三"),
        ("chat-request", "", &[("username", b"a+b%20c")], "a+b c"),
        ("chatroom", "", &[("username", zhang)], "张三"),
        ("chatroom", "", &[("username", encoded)], "张三"),
        ("chatroom", "", &[("Username", b"a+b%20c")], "a+b c"),
        ("chatroom", "", &[("username", b"  ann  ")], "ann"),
        // Brought to NFC: `e` with an accent behind it is `é`.
        ("chatroom", "", &[("username", "re\u{301}mi".as_bytes())], "r\u{e9}mi"),
        ("chatroom", "", &[], "guest-1"),
        ("chatroom", "", &[("username", b"")], "guest-1"),
        ("communication", "?username=%20", &[], "guest-1"),
    ];
    for (dialect, query, headers, name) in cases {
        let running = start();
        let path = format!("/ws/{dialect}{query}");
        let names = named(running.address, dialect, &path, headers);
        assert_eq!(names, [*name], "{path} {headers:?}");
    }
}

#[test]
fn doubled_slashes_are_the_same_path() {
    let running = start();
    let address = running.address;
    for path in [
        "//ws?username=ann",
        "/ws?username=ann",
        "///ws//?username=ann",
        "//ws//communication?username=ann",
    ] {
        assert_eq!(named(address, "communication", path, &[]).len(), 1, "{path}");
    }
    for path in ["//ws/tutorial", "/ws//tutorial"] {
        assert!(matches!(Peer::open(address, path, &[]).hear(), Heard::Text(text) if text.contains("handshake")));
    }
    let mut native = Peer::open(address, "//chat", &[]);
    native.send_text(r#"{"id":1,"hello":{}}"#);
    assert!(matches!(native.hear(), Heard::Text(text) if text.contains("welcome")));
    // Not in the query: there it is content.
    assert!(named(address, "communication", "/ws?username=a//b", &[]).contains(&"a//b".to_owned()));
}

#[test]
fn names_that_cannot_be_shown_are_refused_in_every_dialect() {
    let running = start();
    let address = running.address;
    let long = "x".repeat(300);
    for name in [
        "a\nb",
        "a\0b",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{2028}b",
        "\u{2800}",
        "ann\u{200d}",
        "系\u{200d}统",
        &long,
    ] {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let query = format!("?username={encoded}");
        for (dialect, query, header) in [
            ("communication", query.as_str(), None),
            ("communication", "", Some("login-username")),
            ("communication", "", Some("username")),
            ("chat-request", "", Some("username")),
            ("chatroom", "", Some("username")),
        ] {
            let path = format!("/ws/{dialect}{query}");
            let header = header.map(|name| (name, encoded.as_bytes()));
            let heard = Peer::open(address, &path, header.as_slice()).hear();
            let is_refused = matches!(&heard, Heard::Close(1008, reason) if reason.contains("name"));
            assert!(is_refused, "{dialect} {name:?}: {heard:?}");
        }
        let login = json!({"appId": 1, "userId": name});
        for (path, message, answer) in [
            (
                "/chat",
                json!({"id": 1, "hello": {"name": name}}),
                r#""code":"bad_name""#,
            ),
            (
                "/ws/tutorial",
                json!({"type": "login", "content": name}),
                r#""type":"system""#,
            ),
            (
                "/ws/action",
                json!({"seq": "1", "action": "login", "data": login}),
                r#""code":1002"#,
            ),
        ] {
            let mut client = Peer::open(address, path, &[]);
            client.send_text(&message.to_string());
            loop {
                let Heard::Text(text) = client.hear() else {
                    panic!("{path} {name:?}")
                };
                if !text.contains("handshake") && !text.contains("连接成功") {
                    assert!(text.contains(answer), "{path} {name:?}: {text}");
                    break;
                }
            }
        }
    }
    let mut client = Peer::open(address, "/ws/chat-request", &[]);
    client.send_binary(&strings(&["a\nb", "talk", "x"]));
    // The guest that it is until then may have been sent the list.
    let mut heard = client.hear();
    while matches!(drivers::driver("chat-request").shown(&heard), Shown::Changed(_)) {
        heard = client.hear();
    }
    assert!(matches!(heard, Heard::Close(1008, _)), "{heard:?}");
    // Nobody of them is in the room.
    let names = named(address, "chatroom", "/ws/chatroom", &[("username", b"ann")]);
    assert_eq!(names, ["ann"]);
}

#[test]
fn names_cannot_forge_a_sender_a_list_or_the_server() {
    let running = start();
    let address = running.address;
    let come = |driver: &Driver| Member::come(address, driver.dialect, driver.dialect);
    let mut watchers: Vec<Member> = drivers::all().map(come).collect();
    for (name, in_protobuf, in_tutorial, in_action) in [
        ("ann,bob", "ann，bob", "ann,bob", "ann,bob"),
        ("ann:hello", "ann：hello", "ann:hello", "ann:hello"),
        ("系统", "系统(用户)", "系统", "系统(用户)"),
        ("boss→ann", "boss⇒ann", "boss⇒ann", "boss→ann"),
        ("<b>bob</b>", "<b>bob</b>", "<b>bob</b>", "<b>bob</b>"),
    ] {
        let mut forger = Member::come(address, "plaza", name);
        forger.talk("it is me");
        for watcher in &mut watchers {
            let shown = match watcher.driver.dialect {
                "plaza" => name,
                "tutorial" => in_tutorial,
                "action" => in_action,
                _ => in_protobuf,
            };
            watcher.wait_for(&talk(shown, "it is me"));
            if watcher.driver.list.is_some() {
                let names = list(&mut watcher.client, watcher.driver.dialect);
                // In `tutorial` and `plaza` a list is a list, whatever the names hold.
                let is_any = matches!(watcher.driver.dialect, "plaza" | "tutorial");
                let listed = if is_any { name } else { in_protobuf };
                assert_eq!(names.len(), 7, "{name}: {names:?}");
                assert!(names.iter().any(|seen| seen == listed), "{name}: {names:?}");
            }
            watcher.take();
        }
        forger.say(&forger.driver.exit.unwrap()());
        watchers[0].wait_for(&Shown::Went(name.into()));
        watchers[0].take();
    }
}

#[test]
fn the_sender_is_the_one_of_the_session_whatever_a_message_says() {
    let running = start();
    let address = running.address;
    let action =
        r#"{"seq":"1","action":"sendmsg","data":{"userId":"boss","from":"boss","msgType":"text","message":"hi"}}"#;
    let mut members: Vec<Member> = Vec::new();
    for (dialect, said) in [
        ("communication", Said::Binary(strings(&["1", "hi", "boss"]))),
        ("chat-request", Said::Binary(strings(&["boss", "talk", "hi"]))),
        ("chatroom", Said::Binary(strings(&["talk", "boss", "hi"]))),
        (
            "tutorial",
            Said::Text(r#"{"type":"user","user":"boss","from":"boss","content":"hi"}"#.into()),
        ),
        ("action", Said::Text(action.into())),
        (
            "plaza",
            Said::Text(r#"{"talk":{"room":"lobby","from":"boss","session":"00000001","text":"hi"}}"#.into()),
        ),
    ] {
        members.push(Member::come(address, dialect, dialect));
        members.last_mut().unwrap().say(&said);
        for member in &mut members {
            member.wait_for(&talk(dialect, "hi"));
        }
    }
}

#[test]
fn two_tabs_of_one_user_are_one_user_who_hears_everything_twice() {
    for driver in drivers::all() {
        let running = start();
        let address = running.address;
        let mut watcher = Member::come(address, "plaza", "watcher");
        let mut first = Member::come(address, driver.dialect, "二");
        watcher.wait_for(&Shown::Came("二".into()));
        watcher.take();
        let mut second = Member::come(address, driver.dialect, "二");
        first.talk("from the first");
        second.wait_for(&talk("二", "from the first"));
        first.wait_for(&talk("二", "from the first"));
        second.talk("from the second");
        first.wait_for(&talk("二", "from the second"));
        second.wait_for(&talk("二", "from the second"));
        watcher.wait_for(&talk("二", "from the second"));
        let mut names = list(&mut watcher.client, "plaza");
        names.sort();
        assert_eq!(names, ["watcher", "二"], "{}", driver.dialect);
        drop(first);
        second.talk("still here");
        second.wait_for(&talk("二", "still here"));
        watcher.wait_for(&talk("二", "still here"));
        drop(second);
        watcher.wait_for(&Shown::Went("二".into()));
        // Presence spoke of the first who came and the last who went only.
        let mut presence = watcher.take();
        presence.retain(|shown| matches!(shown, Shown::Came(_) | Shown::Went(_)));
        assert_eq!(presence, [Shown::Went("二".into())], "{}", driver.dialect);
    }
}

#[test]
fn clients_that_all_call_themselves_tom_in_their_first_message_are_nobodys_exit() {
    let running = start();
    let mut witness = Member::come(running.address, "chat-request", "witness");
    // As the load script of document 001: no header, the same name in every message.
    let toms: Vec<Peer> = ["one", "two", "three"]
        .into_iter()
        .map(|text| {
            let mut tom = Peer::open(running.address, "/ws/chat-request", &[]);
            tom.send_binary(&strings(&["tom", "talk", text]));
            witness.wait_for(&talk("tom", text));
            tom
        })
        .collect();
    let shown = witness.take();
    assert!(!shown.iter().any(|shown| matches!(shown, Shown::Went(_))), "{shown:?}");
    drop(toms);
}
