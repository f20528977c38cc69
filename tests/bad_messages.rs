//! Twenty messages per dialect that are malformed, too long, unknown or too early. Each gets the error of its dialect or the close in
//! docs/events.md and RFC 6455, and a healthy client beside it loses nothing.
#![allow(clippy::unwrap_used)]

mod stories;

use plaza::codec::{DialectId, Profile};
use prost::Message as _;
use stories::{
    BINARY, CLOSE, Heard, PING, Peer, TEXT,
    drivers::{self, Member, Shown, talk},
    frame, start,
};

/// What is sent: raw bytes, so that broken frames can be too.
struct Bad {
    what: &'static str,
    bytes: Vec<u8>,
    answer: Answer,
}

/// What its sender gets.
#[derive(Debug)]
enum Answer {
    /// A text message that holds this; the connection goes on.
    Text(&'static str),
    /// A talk of the server's own user that holds this; the connection goes on.
    Talk(&'static str),
    /// A binary message that holds these bytes; the connection goes on.
    Binary(&'static [u8]),
    /// A close with this code.
    Close(u16),
}

use Answer::{Close, Talk, Text};

fn bad(what: &'static str, bytes: impl Into<Vec<u8>>, answer: Answer) -> Bad {
    Bad {
        what,
        bytes: bytes.into(),
        answer,
    }
}

fn text(what: &'static str, payload: impl AsRef<[u8]>, answer: Answer) -> Bad {
    bad(what, frame(TEXT, payload.as_ref()), answer)
}

fn binary(what: &'static str, payload: impl AsRef<[u8]>, answer: Answer) -> Bad {
    bad(what, frame(BINARY, payload.as_ref()), answer)
}

/// The lines of a table: what it is, the kind of frame and its payload, the answer. In a payload `\x0a` is a byte.
fn table(table: &'static str) -> Vec<Bad> {
    let line = |line: &'static str| {
        let [what, sent, due] = line.split(" | ").map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("{line} is no line of the table")
        };
        let (kind, payload) = sent.split_once(' ').unwrap_or((sent, ""));
        let answer = match due.split_once(' ').unwrap() {
            ("text", part) => Text(part),
            ("binary", part) => Answer::Binary(part.as_bytes()),
            ("close", code) => Close(code.parse().unwrap()),
            _ => panic!("{due} is no answer"),
        };
        match kind {
            "text" => text(what, bytes(payload), answer),
            "binary" => binary(what, bytes(payload), answer),
            _ => panic!("{kind} is no kind of frame"),
        }
    };
    table.trim().lines().map(line).collect()
}

fn bytes(payload: &str) -> Vec<u8> {
    let mut parts = payload.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// Frames that break RFC 6455 itself, so that no dialect sees them.
fn broken_frames() -> Vec<Bad> {
    let mut unmasked = vec![0x81, 2];
    unmasked.extend_from_slice(b"hi");
    let mut fragment_in_fragment = frame(0x01, b"{");
    fragment_in_fragment.extend(frame(TEXT, b"{}"));
    vec![
        bad("an unmasked frame", unmasked, Close(1002)),
        bad("a frame with a bit for extensions", frame(0xC1, b"{}"), Close(1002)),
        bad("a continuation of nothing", frame(0x80, b"{}"), Close(1002)),
        bad(
            "a new message inside an unfinished one",
            fragment_in_fragment,
            Close(1002),
        ),
        bad("a ping of 126 bytes", frame(PING, &[b'x'; 126]), Close(1002)),
        bad("a frame type that does not exist", frame(0x83, b""), Close(1002)),
        bad("a close with half a code", frame(CLOSE, b"\x03"), Close(1002)),
    ]
}

/// What no protobuf dialect can read.
fn no_protobuf() -> Vec<Bad> {
    let mut messages = table(
        r#"
        a key without its length | binary \x0a | close 1007
        a text shorter than it says | binary \x0a\x05ab | close 1007
        4 GiB announced | binary \x0a\xff\xff\xff\xff\x0f | close 1007
        a varint that does not end | binary \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff | close 1007
        text that is not UTF-8 | binary \x0a\x02\xff\xfe | close 1007
        a number where a text belongs | binary \x08\x01 | close 1007
        field 0 | binary \x00\x00 | close 1007
        JSON | text {"type":"talk"} | close 1007
        chat text | text hello | close 1007
        "#,
    );
    messages.extend([
        binary("two thousand list entries", b"\x22\x00".repeat(2000), Close(1008)),
        binary("more than 4 KiB", vec![0; 4097], Close(1009)),
    ]);
    messages
}

fn of_communication() -> Vec<Bad> {
    use plaza::proto::communication::Communication;
    let long = Communication {
        r#type: "x".repeat(65),
        ..Default::default()
    };
    let sixty_five = Communication {
        userlist: vec!["a".into(); 69],
        ..Default::default()
    };
    let lists = frame(BINARY, b"\x0a\x013").repeat(1100);
    let mut messages = no_protobuf();
    messages.extend([
        binary("a Type of 65 bytes", long.encode_to_vec(), Close(1008)),
        binary("69 names in a list", sixty_five.encode_to_vec(), Close(1008)),
        bad("1,100 lists at once", lists, Talk("1,024 requests")),
    ]);
    messages
}

fn of_chat_request() -> Vec<Bad> {
    let lists = frame(BINARY, b"\x12\x04talk").repeat(1100);
    let mut messages = no_protobuf();
    messages.extend([
        // A talk without content asks for the list.
        binary("an empty talk", b"\x12\x04talk", Answer::Binary(b"userlist")),
        binary("69 list entries", b"\x22\x00".repeat(69), Close(1008)),
        bad("1,100 empty talks at once", lists, Talk("1,024 requests")),
    ]);
    messages
}

fn of_chatroom() -> Vec<Bad> {
    let mut messages = no_protobuf();
    messages.extend([
        binary("an empty talk", b"\x0a\x04talk", Answer::Binary(b"userlist")),
        binary("69 list entries", b"\x22\x00".repeat(69), Close(1008)),
    ]);
    messages
}

fn of_tutorial() -> Vec<Bad> {
    let mut messages = table(
        r#"
        chat text | text hello | text not a JSON object
        half an object | text {"type":"user", | text not a JSON object
        an array | text [] | text not a JSON object
        nothing | text | text not a JSON object
        a number as content | text {"type":"user","content":7} | text not a JSON object
        two objects | text {}{} | text not a JSON object
        protobuf | binary \x0a\x011 | text not a JSON object
        no type | text {} | text the type is not one of
        an unknown type | text {"type":"dance"} | text the type is not one of
        a second login | text {"type":"login","content":"again"} | text already logged in
        an empty message | text {"type":"user","content":""} | text empty
        an empty name | text {"type":"rename","content":" "} | text the name is empty
        a name with a line break | text {"type":"rename","content":"a\nb"} | text U+000A
        text that is not UTF-8 | text {"type":"\xff"} | close 1007
        "#,
    );
    let nest = "[".repeat(4000);
    messages.extend([
        text("four thousand arrays in one another", nest, Text("not a JSON object")),
        text("more than 64 KiB", " ".repeat(65_537), Close(1009)),
    ]);
    messages
}

fn of_action() -> Vec<Bad> {
    let mut messages = table(
        r#"
        chat text | text hello | text 数据不合法
        half an object | text {"seq":"1", | text 数据不合法
        an array | text [] | text 数据不合法
        nothing | text | text 数据不合法
        a number as action | text {"seq":"1","action":7} | text 数据不合法
        protobuf | binary \x0a\x011 | text 数据不合法
        no action | text {"seq":"7"} | text {"seq":"7","action":"","response":{"code":1010
        an unknown action | text {"seq":"8","action":"dance"} | text "code":1010,"msg":"路由不存在"
        a number as seq | text {"seq":9,"action":"heartbeat"} | text 数据不合法
        an array as data | text {"seq":"9","action":"heartbeat","data":[]} | text "code":1001,"msg":"参数不合法"
        a number as message | text {"seq":"9","action":"sendmsg","data":{"message":7}} | text "code":1001
        a login without data | text {"seq":"2","action":"login"} | text "code":1002
        a login of nobody | text {"seq":"2","action":"login","data":{"appId":1,"userId":"null"}} | text "code":1002
        a userId of 20 bytes | text {"seq":"2","action":"login","data":{"appId":1,"userId":"12345678901234567890"}} | text "code":1002
        an appId that does not exist | text {"seq":"2","action":"login","data":{"appId":9,"userId":"5"}} | text "code":1003
        text that is not UTF-8 | text {"action":"\xff"} | close 1007
        "#,
    );
    messages.push(text("more than 64 KiB", " ".repeat(65_537), Close(1009)));
    messages
}

fn of_plaza() -> Vec<Bad> {
    let mut messages = table(
        r#"
        chat text | text hello | text "code":"malformed"
        half an object | text {"id":1, | text "code":"malformed"
        an array | text [] | text "code":"malformed"
        nothing | text | text "code":"malformed"
        no request | text {"id":3} | text {"id":3,"error":{"code":"malformed"
        two requests | text {"id":3,"ping":{},"exit":{}} | text {"id":3,"error"
        an unknown request | text {"id":4,"dance":{}} | text {"id":4,"error":{"code":"unknown_request"
        a second hello | text {"id":5,"hello":{"name":"x"}} | text "code":"hello_again"
        a talk without text | text {"id":6,"talk":{"room":"lobby","text":""}} | text "code":"invalid"
        a talk elsewhere | text {"id":6,"talk":{"room":"moon","text":"x"}} | text "code":"not_member"
        a number as text | text {"id":6,"talk":{"room":"lobby","text":7}} | text {"id":6,"error"
        joined already | text {"id":8,"join":{"room":"lobby"}} | text "code":"already_member"
        text that is not UTF-8 | text {"ping":"\xff"} | close 1007
        "#,
    );
    let deep = format!(r#"{{"id":4,"ping":{}1{}}}"#, r#"{"a":"#.repeat(40), "}".repeat(40));
    let long = format!(r#"{{"id":7,"rename":{{"name":"{}"}}}}"#, "x".repeat(65));
    messages.extend([
        text("objects in one another", deep, Text(r#""code":"malformed""#)),
        text("a name of 65 characters", long, Text(r#""code":"bad_name""#)),
        text("more than 64 KiB", " ".repeat(65_537), Close(1009)),
    ]);
    messages
}

/// What may only come after a name.
fn too_early(dialect: &str) -> Vec<Bad> {
    match dialect {
        "plaza" => table(
            r#"
            a talk before hello | text {"id":1,"talk":{"room":"lobby","text":"x"}} | text "code":"no_hello"
            a join before hello | text {"id":1,"join":{"room":"lobby"}} | text "code":"no_hello"
            "#,
        ),
        "tutorial" => {
            let mut messages = table(
                r#"
                a message before login | text {"type":"user","content":"x"} | text not logged in
                a list before login | text {"type":"list"} | text not logged in
                "#,
            );
            let long = format!(r#"{{"type":"login","content":"{}"}}"#, "x".repeat(65));
            messages.push(text("a name of 65 characters", long, Text("65 characters")));
            messages
        }
        "action" => table(
            r#"
            a heartbeat before login | text {"seq":"1","action":"heartbeat","data":{}} | text "code":1000,"msg":"未登录"
            a message before login | text {"seq":"1","action":"sendmsg","data":{"msgType":"text","message":"x"}} | text "code":1000
            "#,
        ),
        // These are named by their handshake: nothing can come before it.
        "communication" | "chat-request" | "chatroom" => Vec::new(),
        other => panic!("what is too early in {other}?"),
    }
}

fn messages(dialect: &str) -> Vec<Bad> {
    let mut messages = match dialect {
        "plaza" => of_plaza(),
        "communication" => of_communication(),
        "chat-request" => of_chat_request(),
        "chatroom" => of_chatroom(),
        "tutorial" => of_tutorial(),
        "action" => of_action(),
        other => panic!("no bad messages for {other}"),
    };
    messages.extend(broken_frames());
    messages
}

#[test]
fn bad_messages_get_the_dialects_own_answer_and_a_healthy_client_beside_loses_nothing() {
    for driver in drivers::all() {
        let dialect = driver.dialect;
        let running = start();
        let address = running.address;
        let mut healthy = Member::come(address, dialect, "healthy");
        let mut number = 0;
        let (messages, early) = (messages(dialect), too_early(dialect));
        assert!(
            messages.len() + early.len() >= 20,
            "{dialect} has only {}",
            messages.len() + early.len()
        );
        for bad in messages {
            let mut sufferer = Member::come(address, dialect, "sufferer");
            healthy.talk(&format!("talk {number}"));
            number += 1;
            sufferer.client.try_send(&bad.bytes);
            healthy.talk(&format!("talk {number}"));
            number += 1;
            expect(dialect, &mut sufferer.client, &bad);
            if !matches!(bad.answer, Close(_)) {
                sufferer.talk("still here");
                sufferer.wait_for(&talk("sufferer", "still here"));
            }
        }
        for bad in early {
            let mut stranger = Peer::open(address, &format!("/ws/{dialect}"), &[]);
            stranger.try_send(&bad.bytes);
            healthy.talk(&format!("talk {number}"));
            number += 1;
            expect(dialect, &mut stranger, &bad);
        }
        healthy.wait_for(&talk("healthy", &format!("talk {}", number - 1)));
        let own: Vec<Shown> = healthy
            .take()
            .into_iter()
            .filter(|shown| matches!(shown, Shown::Talk { from, .. } if from != "sufferer"))
            .collect();
        let said: Vec<Shown> = (0..number)
            .map(|number| talk("healthy", &format!("talk {number}")))
            .collect();
        assert_eq!(own, said, "{dialect}");
    }
}

/// Reads up to the answer; before it there may only be what happens in the room anyway.
fn expect(dialect: &str, client: &mut Peer, bad: &Bad) {
    let driver = drivers::driver(dialect);
    loop {
        let heard = client.hear();
        let answered = match (&bad.answer, &heard) {
            (Close(code), Heard::Close(closed, reason)) => {
                assert_eq!(closed, code, "{dialect}: {} ({reason})", bad.what);
                assert!(!reason.is_empty(), "{dialect}: {} is closed without a reason", bad.what);
                // Nothing more is read, nothing more is said.
                client.send_frame(CLOSE, &code.to_be_bytes());
                assert_eq!(client.hear(), Heard::End, "{dialect}: {}", bad.what);
                true
            }
            (_, Heard::Close(..) | Heard::End) => {
                panic!("{dialect}: {}: {heard:?} instead of {:?}", bad.what, bad.answer)
            }
            (Text(part), Heard::Text(text)) => text.contains(part),
            (Answer::Binary(part), Heard::Binary(bytes)) => bytes.windows(part.len()).any(|window| window == *part),
            (Talk(part), Heard::Binary(_)) => {
                matches!(driver.shown(&heard), Shown::Talk { from, text } if from == "系统" && text.contains(part))
            }
            _ => false,
        };
        if answered {
            return;
        }
    }
}

#[test]
fn bad_protobuf_gets_the_errors_of_plazas_own_protocol_too() {
    let running = start();
    let open = || {
        let mut client = Peer::open(
            running.address,
            "/chat",
            &[("sec-websocket-protocol", b"plaza.v1.proto".as_slice())],
        );
        // {id: 1, hello: {name: "ann"}}, {id: 2, join: {room: "lobby"}}
        client.send_binary(b"\x08\x01\x12\x05\x0a\x03ann");
        client.send_binary(b"\x08\x02\x1a\x07\x0a\x05lobby");
        client
    };
    let mut healthy = open();
    let mut said = 0u8;
    let messages = table(
        r#"
        a key without its length | binary \x0a | binary malformed
        a text shorter than it says | binary \x0a\x05ab | binary malformed
        a varint that does not end | binary \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff | binary malformed
        field 0 | binary \x00\x00 | binary malformed
        nothing | binary | binary malformed
        no request | binary \x08\x07 | binary malformed
        an unknown request | binary \x08\x07\xf2\x01\x00 | binary unknown_request
        a reserved request | binary \x08\x07\x92\x01\x00 | binary unknown_request
        a second hello | binary \x08\x07\x12\x00 | binary hello_again
        a talk without a room | binary \x08\x07\x2a\x03\x12\x01x | binary bad_name
        a talk without text | binary \x08\x07\x2a\x07\x0a\x05lobby | binary invalid
        a talk elsewhere | binary \x08\x07\x2a\x09\x0a\x04moon\x12\x01x | binary not_member
        a name that is not UTF-8 | binary \x08\x07\x52\x04\x0a\x02\xff\xfe | binary malformed
        no name | binary \x08\x07\x52\x00 | binary bad_name
        text that is not UTF-8 | text \xff | close 1007
        "#,
    );
    let long = binary("more than 64 KiB", vec![0; 65_537], Close(1009));
    for bad in messages.into_iter().chain([long]).chain(broken_frames()) {
        let mut sufferer = open();
        sufferer.try_send(&bad.bytes);
        // {talk: {room: "lobby", text: …}}
        healthy.send_binary(&[b"\x2A\x0A\x0A\x05lobby\x12\x01".as_slice(), &[b'A' + said]].concat());
        said += 1;
        expect("plaza", &mut sufferer, &bad);
    }
    let mut heard = 0;
    while heard < said {
        let Heard::Binary(bytes) = healthy.hear() else {
            panic!("only binary messages are spoken here")
        };
        if let Some(plaza::proto::plaza::server_message::Event::Message(message)) =
            plaza::proto::plaza::ServerMessage::decode(&bytes[..]).unwrap().event
        {
            assert_eq!(message.text.as_bytes(), [b'A' + heard]);
            heard += 1;
        }
    }
}

#[test]
fn a_message_that_is_too_long_is_answered_in_the_dialects_own_words_before_the_close() {
    let running = start();
    let bounds = [("chatroom", 4 * 1024), ("tutorial", 64 * 1024), ("action", 64 * 1024)];
    for driver in drivers::all().filter(|driver| driver.dialect != "plaza") {
        let most = Profile::of(DialectId::named(driver.dialect).unwrap()).message_bytes;
        let due = bounds.iter().find(|(dialect, _)| *dialect == driver.dialect);
        assert!(
            due.is_none_or(|(_, bytes)| *bytes == most),
            "{}: {most}",
            driver.dialect
        );
        for long in [most + 1, 4 * 1024 * 1024] {
            let mut member = Member::come(running.address, driver.dialect, "eve");
            member.take();
            let said = (driver.talk)(&"x".repeat(long));
            member.say(&said);
            member.wait_until("the close", |shown| matches!(shown, Shown::Close(_)));
            let mut shown = member.take_events();
            assert_eq!(shown.pop(), Some(Shown::Close(1009)), "{}", driver.dialect);
            let answered = match shown.pop() {
                Some(Shown::Talk { from, text }) => from == "系统" && text.contains("is longer than"),
                Some(Shown::Other("system", text)) => text.contains("is longer than"),
                Some(Shown::Other("response", json)) => json.contains("1001"),
                other => panic!("{}: {other:?}", driver.dialect),
            };
            assert!(answered, "{}", driver.dialect);
        }
    }
}
