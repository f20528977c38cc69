//! Detection of the dialect on plain `/ws`, over real sockets: every rule, with its metric and its line in the debug log, and listeners
//! with a fixed dialect.
#![allow(clippy::unwrap_used)]

mod stories;

use std::{
    io::{BufRead, BufReader},
    time::{Duration, Instant},
};

use stories::{
    BINARY, Heard, Peer, Running, TEXT,
    drivers::{self, Member, Shown, talk},
    frame, listen, start, start_with, strings,
    support::{Program, get},
    until,
};

/// Waits until the metric says so: shards report ten times a second.
fn wait_for_metric(running: &Running, dialect: &str, why: &str) {
    until(&format!("{dialect} is counted by {why}"), || {
        running.metrics.render().unwrap().lines().any(|line| {
            line.starts_with("plaza_dialects_decided_total{")
                && line.contains(&format!("dialect=\"{dialect}\""))
                && line.contains(&format!("by=\"{why}\""))
                && line.ends_with(" 1")
        })
    });
}

fn list(names: &[&str]) -> Shown {
    Shown::List(names.iter().map(|name| (*name).to_owned()).collect())
}

const HEARTBEAT: &str = r#"{"seq":"1","action":"heartbeat","data":{}}"#;
const REFUSED: &str = r#"{"seq":"1","action":"heartbeat","response":{"code":1000,"msg":"未登录","data":null}}"#;

/// What a client says of itself (a query and a header), what it says first (the first fields of a protobuf, or text), what it turns out to
/// speak and why, and what it is shown in answer.
const CASES: &str = r#"
    ?uid=1&to_uid=2 |                     | HEARTBEAT                       | action by query_uid                    | REFUSED
    ?uid=           | username: bob       | HEARTBEAT                       | action by query_uid                    | REFUSED
    ?username=ann   |                     | "1", "hi"                       | communication by query_username        | talk ann hi
    ?username=ann   | username: bob       | "3"                             | communication by query_username        | list ann
                    | login-username: ann | "1", "你好"                     | communication by header_login_username | talk ann 你好
                    | username: bob       | "1", "hi"                       | communication by type_number           | talk bob hi
                    | username: bob       | "3"                             | communication by type_number           | list bob
                    | username: bob       | "talk", "", "你好"              | chatroom by type_first                 | talk bob 你好
                    | username: bob       | "userlist"                      | chatroom by type_first                 | list bob
                    | username: bob       | "bob", "talk", "你好"           | chat-request by type_second            | talk bob 你好
                    | username: bob       | "", "userlist"                  | chat-request by type_second            | list bob
                    | username: exit      | "talk", "exit", "hi"            | chatroom by name_of_handshake          | talk exit hi
                    | username: exit      | "exit", "talk", "hi"            | chat-request by name_of_handshake      | talk exit hi
                    | username: 1         | "1", "talk", "hi"               | chat-request by name_of_handshake      | talk 1 hi
                    |                     | "tom", "talk", "hello"          | chat-request by type_second            | talk tom hello
                    |                     | "talk", "tom", "hello"          | chatroom by type_first                 | talk guest-1 hello
                    |                     | "1", "hhhhhh"                   | communication by type_number           | talk guest-1 hhhhhh
                    |                     | HEARTBEAT                       | action by json_action                  | REFUSED
                    |                     | {"type":"login","content":"ann"} | tutorial by json                      | came ann
                    |                     | hello                           | tutorial by unclear                    | UNCLEAR"#;

fn shown(told: &'static str) -> Shown {
    match told.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["talk", from, text] => talk(from, text),
        ["list", name] => list(&[name]),
        ["came", name] => Shown::Came(name.into()),
        ["REFUSED"] => Shown::Other("response", REFUSED.into()),
        ["UNCLEAR"] => Shown::Other(
            "system",
            "the message is not a JSON object with text in type and content".into(),
        ),
        _ => panic!("{told} is nothing that a client is shown"),
    }
}

#[test]
fn what_a_client_says_first_tells_its_dialect_in_text_and_binary_frames() {
    for case in CASES.trim_start_matches('\n').lines() {
        let [query, header, first, decided, told] = case.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{case} is no case")
        };
        let header = header.split_once(": ").map(|(name, value)| (name, value.as_bytes()));
        let first = match first {
            "HEARTBEAT" => HEARTBEAT.into(),
            fields if fields.starts_with('"') => {
                strings(&serde_json::from_str::<Vec<&str>>(&format!("[{fields}]")).unwrap())
            }
            text => text.into(),
        };
        let (dialect, why) = decided.split_once(" by ").unwrap();
        let expected = shown(told);
        for opcode in [TEXT, BINARY] {
            let running = start();
            let mut client = Peer::open(running.address, &format!("/ws{query}"), header.as_slice());
            client.send_frame(opcode, &first);
            let driver = drivers::driver(dialect);
            let shown = loop {
                match driver.shown(&client.hear()) {
                    // Those who are greeted are greeted before, and some are sent the list when they come.
                    Shown::Other("handshake" | "enter", _) | Shown::Changed(_) => {}
                    Shown::List(_) if !matches!(expected, Shown::List(_)) => {}
                    shown => break shown,
                }
            };
            assert_eq!(shown, expected, "{case}");
            wait_for_metric(&running, dialect, why);
        }
    }
}

#[test]
fn who_stays_silent_is_taken_for_the_likeliest_client_when_the_hold_is_over() {
    let running = start();
    let address = running.address;
    let began = Instant::now();
    let mut named = Peer::open(address, "/ws", &[("username", b"bob")]);
    let mut nameless = Peer::open(address, "/ws", &[]);
    let mut witness = Member::come(address, "plaza", "ann");
    let heard = nameless.hear();
    assert!(
        matches!(&heard, Heard::Text(text) if text.contains(r#""type":"handshake""#)),
        "{heard:?}"
    );
    assert!(
        began.elapsed() >= Duration::from_millis(290),
        "held back for only {:?}",
        began.elapsed()
    );
    witness.wait_for_list(&["ann", "bob"]);
    witness.talk("hello");
    assert_eq!(drivers::driver("chatroom").shown(&named.hear()), talk("ann", "hello"));
    assert!(
        began.elapsed() >= Duration::from_millis(1990),
        "held back for only {:?}",
        began.elapsed()
    );
    wait_for_metric(&running, "tutorial", "silence");
    wait_for_metric(&running, "chatroom", "silence");
}

#[test]
fn a_silent_client_is_a_member_at_once_and_loses_nothing_that_is_said_before_its_dialect_is_known() {
    for (first, dialect) in [
        (strings(&["userlist"]), "chatroom"),
        (strings(&["", "userlist"]), "chat-request"),
        (strings(&["3"]), "communication"),
    ] {
        let running = start();
        let mut client = Peer::open(running.address, "/ws", &[("username", b"bob")]);
        let mut ann = Member::come(running.address, "plaza", "ann");
        ann.wait_for_list(&["ann", "bob"]);
        for text in ["said to who is silent", "你好"] {
            ann.talk(text);
            ann.wait_for(&talk("ann", text));
        }
        assert_eq!(client.hear_until_pong(), [], "sent before its dialect was known");
        client.send_binary(&first);
        let driver = drivers::driver(dialect);
        let mut talks = Vec::new();
        let mut listed = false;
        while talks.len() < 2 || !listed {
            match driver.shown(&client.hear()) {
                Shown::Talk { from, text } => talks.push((from, text)),
                Shown::List(_) | Shown::Changed(_) => listed = true,
                other => panic!("{dialect}: {other:?}"),
            }
        }
        let ann = || "ann".to_owned();
        assert_eq!(
            talks,
            [(ann(), "said to who is silent".into()), (ann(), "你好".into())],
            "{dialect}"
        );
    }
}

#[test]
fn a_wrong_guess_is_corrected_by_the_first_message_and_nothing_comes_twice() {
    let running = start();
    let mut client = Peer::open(running.address, "/ws", &[("username", b"bob")]);
    let mut ann = Member::come(running.address, "plaza", "ann");
    ann.wait_for_list(&["ann", "bob"]);
    ann.talk("before");
    // Guessed after two seconds.
    assert_eq!(drivers::driver("chatroom").shown(&client.hear()), talk("ann", "before"));
    client.send_binary(&strings(&["bob", "talk", "I speak"]));
    let driver = drivers::driver("chat-request");
    let next = |client: &mut Peer| {
        loop {
            match driver.shown(&client.hear()) {
                Shown::Changed(names) => assert_eq!(names, ["ann", "bob"]),
                shown => return shown,
            }
        }
    };
    assert_eq!(next(&mut client), talk("bob", "I speak"));
    ann.talk("after");
    assert_eq!(next(&mut client), talk("ann", "after"));
    ann.wait_for(&talk("bob", "I speak"));
    wait_for_metric(&running, "chatroom", "silence");
    wait_for_metric(&running, "chat-request", "type_second");
}

#[test]
fn a_silent_client_is_taken_for_what_recent_clients_of_its_kind_were() {
    let running = start();
    let address = running.address;
    let mut first = Peer::open(address, "/ws", &[("username", b"tom")]);
    first.send_binary(&strings(&["tom", "talk", "hi"]));
    let driver = drivers::driver("chat-request");
    while driver.shown(&first.hear()) != talk("tom", "hi") {}
    let mut witness = Member::come(address, "plaza", "ann");
    let mut silent = Peer::open(address, "/ws", &[("username", b"bob")]);
    witness.wait_for_list(&["ann", "bob", "tom"]);
    first.send_binary(&strings(&["tom", "talk", "hello"]));
    while driver.shown(&silent.hear()) != talk("tom", "hello") {}
    wait_for_metric(&running, "chat-request", "recent");
    // Pages are another kind of client.
    let mut page = Peer::open(address, "/ws", &[("username", b"cyd"), ("origin", b"null")]);
    witness.wait_for_list(&["ann", "bob", "cyd", "tom"]);
    first.send_binary(&strings(&["tom", "talk", "again"]));
    assert_eq!(drivers::driver("chatroom").shown(&page.hear()), talk("tom", "again"));
}

#[test]
fn a_path_says_it_outright_whatever_the_client_says_of_itself() {
    let running = start();
    let mut client = Peer::open(
        running.address,
        "/ws/chatroom?uid=1&username=ann",
        &[("username", b"bob")],
    );
    client.send_binary(&strings(&["userlist"]));
    assert_eq!(drivers::driver("chatroom").shown(&client.hear()), list(&["bob"]));
    wait_for_metric(&running, "chatroom", "path");
}

#[test]
fn on_a_pinned_listener_plain_ws_is_that_dialect() {
    let dialects: Vec<&'static str> = drivers::all()
        .map(|driver| driver.dialect)
        .filter(|name| *name != "plaza")
        .collect();
    let running = start_with(|config| {
        config.server.listen = dialects.iter().map(|dialect| listen(Some(dialect))).collect();
    });
    for (dialect, address) in dialects.iter().zip(running.server.addresses()) {
        // What it says of itself would make it `action` elsewhere.
        let mut client = Peer::open(*address, "//ws?uid=1", &[("username", b"bob")]);
        match *dialect {
            "tutorial" => assert!(matches!(client.hear(), Heard::Text(text) if text.contains("handshake"))),
            "action" => assert!(matches!(client.hear(), Heard::Text(text) if text.contains("连接成功"))),
            "chat-request" => client.send_binary(&strings(&["", "exit"])),
            "communication" => client.send_binary(&strings(&["2"])),
            "chatroom" => client.send_binary(&strings(&["exit"])),
            other => panic!("what does a client of {other} say?"),
        }
        if !matches!(*dialect, "tutorial" | "action") {
            while !matches!(client.hear(), Heard::Close(1000, _)) {}
        }
        wait_for_metric(&running, dialect, "listener");
        // A path still says it outright.
        assert!(matches!(
            Peer::open(*address, "/ws/tutorial", &[]).hear(),
            Heard::Text(_)
        ));
    }
}

#[test]
fn the_debug_log_and_the_metrics_page_say_what_decided() {
    let pinned = [
        "--listen",
        "127.0.0.1:0=chatroom",
        "--memory",
        "--shards",
        "1",
        "--log",
        "plaza=debug",
    ];
    let mut program = Program::start(&pinned);
    let [plain, pinned] = program.addresses[..] else {
        panic!("two listeners: {:?}", program.addresses)
    };
    let mut log = BufReader::new(program.stderr()).lines();
    let mut logged = |dialect: &str, why: &str| {
        let wanted = |line: &str| {
            let bare = line.replace('"', "");
            bare.contains(&format!("dialect={dialect}")) && bare.contains(&format!("by={why}"))
        };
        log.by_ref()
            .map(Result::unwrap)
            .find(|line| wanted(line))
            .unwrap_or_else(|| panic!("{dialect} by {why} is not logged"));
    };

    let mut client = Peer::open(plain, "/ws", &[("username", b"bob")]);
    client.try_send(&frame(BINARY, &strings(&["bob", "talk", "hi"])));
    while drivers::driver("chat-request").shown(&client.hear()) != talk("bob", "hi") {}
    logged("chat-request", "type_second");
    let _named = Peer::open(plain, "/ws?username=ann", &[]);
    logged("communication", "query_username");
    let _outright = Peer::open(plain, "/ws/tutorial", &[]);
    logged("tutorial", "path");
    let _pinned = Peer::open(pinned, "/ws", &[]);
    logged("chatroom", "listener");
    let _silent = Peer::open(plain, "/ws", &[]);
    logged("tutorial", "silence");

    until("five decisions are counted", || {
        let page = get(program.admin, "/metrics").body;
        let decided = |line: &&str| line.starts_with("plaza_dialects_decided_total{");
        page.lines().filter(decided).count() == 5
    });
}
