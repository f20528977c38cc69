//! Twenty messages per dialect that are malformed, too long, unknown or too early. Each gets the error of its dialect or the close in
//! docs/events.md and RFC 6455, and a healthy client beside it loses nothing.
#![allow(clippy::unwrap_used)]

mod stories;

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
    vec![
        binary("a key without its length", b"\x0a", Close(1007)),
        binary("a text shorter than it says", b"\x0a\x05ab", Close(1007)),
        binary("4 GiB announced", b"\x0a\xff\xff\xff\xff\x0f", Close(1007)),
        binary("a varint that does not end", [0xFF; 11], Close(1007)),
        binary("text that is not UTF-8", b"\x0a\x02\xff\xfe", Close(1007)),
        binary("a number where a text belongs", b"\x08\x01", Close(1007)),
        binary("field 0", b"\x00\x00", Close(1007)),
        text("JSON", r#"{"type":"talk"}"#, Close(1007)),
        text("chat text", "hello", Close(1007)),
        binary("two thousand list entries", b"\x22\x00".repeat(2000), Close(1008)),
        binary("more than 4 KiB", vec![0; 4097], Close(1009)),
    ]
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
    let mut messages = broken_frames();
    messages.extend(no_protobuf());
    messages.extend([
        binary("a Type of 65 bytes", long.encode_to_vec(), Close(1008)),
        binary("69 names in a list", sixty_five.encode_to_vec(), Close(1008)),
        bad(
            "1,100 lists at once",
            frame(BINARY, b"\x0a\x013").repeat(1100),
            Talk("1,024 lists"),
        ),
    ]);
    messages
}

fn of_chat_request() -> Vec<Bad> {
    let mut messages = broken_frames();
    messages.extend(no_protobuf());
    messages.extend([
        // A talk without content asks for the list.
        binary("an empty talk", b"\x12\x04talk", Answer::Binary(b"userlist")),
        binary("69 list entries", b"\x22\x00".repeat(69), Close(1008)),
        bad(
            "1,100 empty talks at once",
            frame(BINARY, b"\x12\x04talk").repeat(1100),
            Talk("1,024 lists"),
        ),
    ]);
    messages
}

fn of_chatroom() -> Vec<Bad> {
    let mut messages = broken_frames();
    messages.extend(no_protobuf());
    messages.extend([
        binary("an empty talk", b"\x0a\x04talk", Answer::Binary(b"userlist")),
        binary("69 list entries", b"\x22\x00".repeat(69), Close(1008)),
    ]);
    messages
}

fn of_tutorial() -> Vec<Bad> {
    let mut messages = broken_frames();
    messages.extend([
        text("chat text", "hello", Text("not a JSON object")),
        text("half an object", r#"{"type":"user","#, Text("not a JSON object")),
        text("an array", "[]", Text("not a JSON object")),
        text("nothing", "", Text("not a JSON object")),
        text(
            "a number as content",
            r#"{"type":"user","content":7}"#,
            Text("not a JSON object"),
        ),
        text("two objects", "{}{}", Text("not a JSON object")),
        text(
            "four thousand arrays in one another",
            "[".repeat(4000),
            Text("not a JSON object"),
        ),
        binary("protobuf", b"\x0a\x011", Text("not a JSON object")),
        text("no type", "{}", Text("the type is none of")),
        text("an unknown type", r#"{"type":"dance"}"#, Text("the type is none of")),
        text(
            "a second login",
            r#"{"type":"login","content":"again"}"#,
            Text("logged in here already"),
        ),
        text("an empty message", r#"{"type":"user","content":""}"#, Text("empty")),
        text(
            "an empty name",
            r#"{"type":"rename","content":" "}"#,
            Text("the name is empty"),
        ),
        text(
            "a name with a line break",
            r#"{"type":"rename","content":"a\nb"}"#,
            Text("U+000A"),
        ),
        text("text that is not UTF-8", b"{\"type\":\"\xff\"}", Close(1007)),
        text("more than 64 KiB", " ".repeat(65_537), Close(1009)),
    ]);
    messages
}

fn of_action() -> Vec<Bad> {
    let mut messages = broken_frames();
    messages.extend([
        text("chat text", "hello", Text("数据不合法")),
        text("half an object", r#"{"seq":"1","#, Text("数据不合法")),
        text("an array", "[]", Text("数据不合法")),
        text("nothing", "", Text("数据不合法")),
        text("a number as action", r#"{"seq":"1","action":7}"#, Text("数据不合法")),
        binary("protobuf", b"\x0a\x011", Text("数据不合法")),
        text(
            "no action",
            r#"{"seq":"7"}"#,
            Text(r#"{"seq":"7","action":"","response":{"code":1010"#),
        ),
        text(
            "an unknown action",
            r#"{"seq":"8","action":"dance"}"#,
            Text(r#""code":1010,"msg":"路由不存在""#),
        ),
        text(
            "a number as seq",
            r#"{"seq":9,"action":"heartbeat"}"#,
            Text("数据不合法"),
        ),
        text(
            "an array as data",
            r#"{"seq":"9","action":"heartbeat","data":[]}"#,
            Text(r#""code":1001,"msg":"参数不合法""#),
        ),
        text(
            "a number as message",
            r#"{"seq":"9","action":"sendmsg","data":{"message":7}}"#,
            Text(r#""code":1001"#),
        ),
        text(
            "a login without data",
            r#"{"seq":"2","action":"login"}"#,
            Text(r#""code":1002"#),
        ),
        text(
            "a login of nobody",
            r#"{"seq":"2","action":"login","data":{"appId":1,"userId":"null"}}"#,
            Text(r#""code":1002"#),
        ),
        text(
            "a userId of 20 bytes",
            r#"{"seq":"2","action":"login","data":{"appId":1,"userId":"12345678901234567890"}}"#,
            Text(r#""code":1002"#),
        ),
        text(
            "an appId that does not exist",
            r#"{"seq":"2","action":"login","data":{"appId":9,"userId":"5"}}"#,
            Text(r#""code":1003"#),
        ),
        text("text that is not UTF-8", b"{\"action\":\"\xff\"}", Close(1007)),
        text("more than 64 KiB", " ".repeat(65_537), Close(1009)),
    ]);
    messages
}

fn of_plaza() -> Vec<Bad> {
    let mut messages = broken_frames();
    let deep = format!(r#"{{"id":4,"ping":{}1{}}}"#, r#"{"a":"#.repeat(40), "}".repeat(40));
    messages.extend([
        text("chat text", "hello", Text(r#""code":"malformed""#)),
        text("half an object", r#"{"id":1,"#, Text(r#""code":"malformed""#)),
        text("an array", "[]", Text(r#""code":"malformed""#)),
        text("nothing", "", Text(r#""code":"malformed""#)),
        text("objects in one another", deep, Text(r#""code":"malformed""#)),
        text(
            "no request",
            r#"{"id":3}"#,
            Text(r#"{"id":3,"error":{"code":"malformed""#),
        ),
        text(
            "two requests",
            r#"{"id":3,"ping":{},"exit":{}}"#,
            Text(r#"{"id":3,"error""#),
        ),
        text(
            "an unknown request",
            r#"{"id":4,"dance":{}}"#,
            Text(r#"{"id":4,"error":{"code":"unknown_request""#),
        ),
        text(
            "a second hello",
            r#"{"id":5,"hello":{"name":"x"}}"#,
            Text(r#""code":"hello_again""#),
        ),
        text(
            "a talk without text",
            r#"{"id":6,"talk":{"room":"lobby","text":""}}"#,
            Text(r#""code":"invalid""#),
        ),
        text(
            "a talk elsewhere",
            r#"{"id":6,"talk":{"room":"moon","text":"x"}}"#,
            Text(r#""code":"not_member""#),
        ),
        text(
            "a number as text",
            r#"{"id":6,"talk":{"room":"lobby","text":7}}"#,
            Text(r#"{"id":6,"error""#),
        ),
        text(
            "a name of 65 characters",
            format!(r#"{{"id":7,"rename":{{"name":"{}"}}}}"#, "x".repeat(65)),
            Text(r#""code":"bad_name""#),
        ),
        text(
            "joined already",
            r#"{"id":8,"join":{"room":"lobby"}}"#,
            Text(r#""code":"already_member""#),
        ),
        text("text that is not UTF-8", b"{\"ping\":\"\xff\"}", Close(1007)),
        text("more than 64 KiB", " ".repeat(65_537), Close(1009)),
    ]);
    messages
}

/// What may only come after a name.
fn too_early(dialect: &str) -> Vec<Bad> {
    match dialect {
        "plaza" => vec![
            text(
                "a talk before hello",
                r#"{"id":1,"talk":{"room":"lobby","text":"x"}}"#,
                Text(r#""code":"no_hello""#),
            ),
            text(
                "a join before hello",
                r#"{"id":1,"join":{"room":"lobby"}}"#,
                Text(r#""code":"no_hello""#),
            ),
        ],
        "tutorial" => vec![
            text(
                "a message before login",
                r#"{"type":"user","content":"x"}"#,
                Text("nobody is logged in"),
            ),
            text("a list before login", r#"{"type":"list"}"#, Text("nobody is logged in")),
            text(
                "a name of 65 characters",
                format!(r#"{{"type":"login","content":"{}"}}"#, "x".repeat(65)),
                Text("65 characters"),
            ),
        ],
        "action" => vec![
            text(
                "a heartbeat before login",
                r#"{"seq":"1","action":"heartbeat","data":{}}"#,
                Text(r#""code":1000,"msg":"未登录""#),
            ),
            text(
                "a message before login",
                r#"{"seq":"1","action":"sendmsg","data":{"msgType":"text","message":"x"}}"#,
                Text(r#""code":1000"#),
            ),
        ],
        // These are named by their handshake: nothing can come before it.
        "communication" | "chat-request" | "chatroom" => Vec::new(),
        other => panic!("what is too early in {other}?"),
    }
}

fn messages(dialect: &str) -> Vec<Bad> {
    match dialect {
        "plaza" => of_plaza(),
        "communication" => of_communication(),
        "chat-request" => of_chat_request(),
        "chatroom" => of_chatroom(),
        "tutorial" => of_tutorial(),
        "action" => of_action(),
        other => panic!("no bad messages for {other}"),
    }
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
            let path = if dialect == "plaza" {
                "/chat".to_owned()
            } else {
                format!("/ws/{dialect}")
            };
            let mut stranger = Peer::open(address, &path, &[]);
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
    for bad in [
        binary("a key without its length", b"\x0a", Answer::Binary(b"malformed")),
        binary(
            "a text shorter than it says",
            b"\x0a\x05ab",
            Answer::Binary(b"malformed"),
        ),
        binary("a varint that does not end", [0xFF; 11], Answer::Binary(b"malformed")),
        binary("field 0", b"\x00\x00", Answer::Binary(b"malformed")),
        binary("nothing", b"", Answer::Binary(b"malformed")),
        binary("no request", b"\x08\x07", Answer::Binary(b"malformed")),
        binary(
            "an unknown request",
            b"\x08\x07\xf2\x01\x00",
            Answer::Binary(b"unknown_request"),
        ),
        binary(
            "a reserved request",
            b"\x08\x07\x92\x01\x00",
            Answer::Binary(b"unknown_request"),
        ),
        binary("a second hello", b"\x08\x07\x12\x00", Answer::Binary(b"hello_again")),
        binary(
            "a talk without a room",
            b"\x08\x07\x2a\x03\x12\x01x",
            Answer::Binary(b"bad_name"),
        ),
        binary(
            "a talk without text",
            b"\x08\x07\x2a\x07\x0a\x05lobby",
            Answer::Binary(b"invalid"),
        ),
        binary(
            "a talk elsewhere",
            b"\x08\x07\x2a\x09\x0a\x04moon\x12\x01x",
            Answer::Binary(b"not_member"),
        ),
        binary(
            "a name that is not UTF-8",
            b"\x08\x07\x52\x04\x0a\x02\xff\xfe",
            Answer::Binary(b"malformed"),
        ),
        binary("no name", b"\x08\x07\x52\x00", Answer::Binary(b"bad_name")),
        binary("more than 64 KiB", vec![0; 65_537], Close(1009)),
        text("text that is not UTF-8", b"\xff", Close(1007)),
    ]
    .into_iter()
    .chain(broken_frames())
    {
        let mut sufferer = open();
        sufferer.try_send(&bad.bytes);
        healthy.send_binary(&[
            0x2A,
            0x0A,
            0x0A,
            0x05,
            b'l',
            b'o',
            b'b',
            b'b',
            b'y',
            0x12,
            0x01,
            b'A' + said,
        ]);
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
