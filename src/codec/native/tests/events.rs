//! Events and replies as clients receive them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use plaza_client::Wire;

use super::*;
use crate::chat::{
    ChatMessage, Departure, Direct, GoodbyeCode, HistoryPage, Joined, RoomEntry, SessionTag, UnreadEntry, UnreadPage,
    UserId, UserList, Welcome,
};

/// The payload of the only frame; checks its head.
fn payload(frames: &Frames, first: u8) -> &[u8] {
    let bytes = &frames.buffer[..];
    assert_eq!(bytes[0], first);
    let (head, length) = match bytes[1] {
        126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    let shortest = match length {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    };
    assert_eq!(head, shortest);
    assert_eq!(bytes.len(), head + length);
    &bytes[head..]
}

fn json_of(reply: &Reply) -> String {
    let mut frames = Frames::default();
    codec(Some(JSON)).encode_at(0, NonZeroU64::new(7), reply, &mut frames);
    String::from_utf8(payload(&frames, 0x81).to_vec()).unwrap()
}

fn json_pushed(happening: &Happening) -> String {
    let mut frames = Frames::default();
    Native.encode_at(0, 1, &room("lobby"), happening, &mut frames);
    String::from_utf8(payload(&frames, 0x81).to_vec()).unwrap()
}

fn message() -> ChatMessage {
    ChatMessage {
        epoch: 9,
        seq: 2,
        prev: 1,
        at: 1_700_000_000_000,
        from: user("张三"),
        user: UserId::of_name(&user("张三")),
        session: SessionTag(0xAB),
        text: "a \"b\"\n".into(),
        kind: MessageKind::Image,
        echo: None,
    }
}

fn page(conversation: Conversation) -> HistoryPage {
    HistoryPage {
        conversation,
        epoch: 9,
        messages: vec![message()],
        more: true,
        first: 1,
    }
}

const MESSAGE: &str = r#""seq":2,"prev":1,"at":1700000000000,"from":"张三","session":"000000ab","text":"a \"b\"\n","kind":"image","epoch":9,"user":"name:张三""#;

/// Calls this with everything that can happen in the room `lobby`, and its JSON.
fn happenings(mut check: impl FnMut(Happening, &str)) {
    let names = |names: &[&str]| names.iter().map(|name| user(name)).collect::<Arc<[_]>>();
    let users = || {
        Some(UserList {
            online: 3,
            names: names(&["ann"]),
        })
    };
    let json = format!(r#"{{"message":{{"room":"lobby",{MESSAGE}}}}}"#);
    table! { check:
        Happening::Message(message()) => &json;
        Happening::UserJoined { user: user("ann"), online: 3, version: 8, users: users() } =>
            r#"{"presence":{"room":"lobby","online":3,"version":8,"joined":["ann"]}}"#;
        Happening::UserLeft { user: user("ann"), how: Departure::Disconnected, online: 0, version: 9, users: users() } =>
            r#"{"presence":{"room":"lobby","online":0,"version":9,"left":["ann"]}}"#;
        Happening::Renamed { old: user("ann"), new: user("bob"), session: SessionTag(1), online: 3, users: users() } =>
            r#"{"renamed":{"room":"lobby","old":"ann","new":"bob","session":"00000001"}}"#;
        Happening::Digest {
            online: 1000, version: 10, joined: 5, left: 4, last_joined: Some(user("zoe")), last_left: None,
            sample: names(&["ann", "bob"]), users: users(),
        } =>
            r#"{"presence":{"room":"lobby","online":1000,"version":10,"names":["ann","bob"]}}"#;
        Happening::Topic { topic: "".into(), from: user("ann") } =>
            r#"{"topic":{"room":"lobby","topic":"","from":"ann"}}"#;
        Happening::Typing { from: user("ann") } => r#"{"typing":{"room":"lobby","from":"ann"}}"#;
        Happening::System { text: "soon".into() } => r#"{"system":{"room":"lobby","text":"soon"}}"#;
    }
}

/// An answer to a join of the lobby at this head.
fn joined(seq: u64, history: bool, read: Option<u64>) -> Reply {
    Reply::Joined(Box::new(Joined {
        room: room("lobby"),
        head: Position { epoch: 9, seq },
        from: 0,
        online: 1,
        topic: "".into(),
        history,
        read,
    }))
}

/// Calls this with every reply, and its JSON.
fn replies(mut check: impl FnMut(Reply, &str)) {
    let no_users = UserList {
        online: 0,
        names: Arc::from([]),
    };
    let welcome = Welcome {
        session: SessionTag(1),
        name: user("ann"),
        key: None,
        heartbeat: Duration::from_secs(25),
        at: 5,
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
    };
    let (back_soon, later) = (Duration::from_millis(1500), Duration::from_micros(10));
    let (rooms, lobbys) = (
        vec![RoomEntry {
            name: room("lobby"),
            topic: "".into(),
            online: 2,
        }],
        Some(room("lobby")),
    );
    let unread = UnreadPage {
        entries: vec![UnreadEntry {
            conversation: lobby(),
            epoch: 9,
            read: 1,
            head: 4,
            unread: 3,
        }],
        more: true,
    };
    let version = env!("CARGO_PKG_VERSION");
    let to_ann = UserId::of_name(&user("ann")).receiver().unwrap();
    table! { check:
        Reply::Welcome(Box::new(welcome)) => &format!(r#"{{"id":7,"welcome":{{"session":"00000001","name":"ann","key":"","heartbeat_ms":25000,"limits":{{"message_bytes":65536,"text_bytes":64512,"name_chars":64,"rooms":256,"page":200}},"version":"{version}","at":5}}}}"#);
        joined(0, false, None) =>
            r#"{"id":7,"joined":{"room":"lobby","epoch":9,"head":0,"online":1,"topic":"","history":false,"from":0}}"#;
        // Nothing was read, and that is known.
        joined(3, true, Some(0)) =>
            r#"{"id":7,"joined":{"room":"lobby","epoch":9,"head":3,"online":1,"topic":"","history":true,"read":0,"from":0}}"#;
        Reply::Left { room: room("lobby") } => r#"{"id":7,"left":{"room":"lobby"}}"#;
        Reply::Replayed { room: room("lobby"), message: Arc::new(message()) } =>
            &format!(r#"{{"id":7,"message":{{"room":"lobby",{MESSAGE}}}}}"#);
        Reply::Direct(Arc::new(Direct { to: to_ann, message: message() })) =>
            r#"{"id":7,"direct":{"from":"张三","to":"ann","seq":2,"prev":1,"at":1700000000000,"session":"000000ab","text":"a \"b\"\n","kind":"image","epoch":9,"user":"name:张三"}}"#;
        Reply::Ack { position: Position { epoch: 9, seq: 2 }, at: 5, duplicate: false } =>
            r#"{"id":7,"ack":{"seq":2,"at":5,"epoch":9,"duplicate":false}}"#;
        Reply::UserPage { room: room("lobby"), users: no_users, next: None } =>
            r#"{"id":7,"users":{"room":"lobby","online":0,"names":[],"next":""}}"#;
        Reply::RoomPage { rooms, next: lobbys } =>
            r#"{"id":7,"rooms":{"rooms":[{"name":"lobby","topic":"","online":2}],"next":"lobby"}}"#;
        Reply::TopicSet { room: room("lobby"), topic: "news".into() } =>
            r#"{"id":7,"topic":{"room":"lobby","topic":"news","from":""}}"#;
        Reply::Renamed { old: user("ann"), new: user("bob"), session: SessionTag(u32::MAX), key: None } =>
            r#"{"id":7,"renamed":{"old":"ann","new":"bob","session":"ffffffff"}}"#;
        Reply::History(Box::new(page(lobby()))) => &format!(
            r#"{{"id":7,"history":{{"room":"lobby","epoch":9,"messages":[{{"room":"lobby",{MESSAGE}}}],"more":true,"first":1}}}}"#
        );
        Reply::Search { page: Box::new(page(ann())), next: None } =>
            &format!(r#"{{"id":7,"search":{{"peer":"ann","messages":[{{{MESSAGE}}}],"next":0}}}}"#);
        Reply::ReadMark { conversation: ann(), seq: 3, unread: 0 } =>
            r#"{"id":7,"read":{"peer":"ann","seq":3,"unread":0}}"#;
        Reply::UnreadList(unread) =>
            r#"{"id":7,"unread":{"conversations":[{"room":"lobby","epoch":9,"read":1,"head":4,"unread":3}],"more":true}}"#;
        Reply::TypingTo { from: user("ann") } => r#"{"id":7,"typing":{"from":"ann"}}"#;
        Reply::Gap { conversation: lobby(), epoch: 9, from: 3, to: 7, lost: true } =>
            r#"{"id":7,"gap":{"room":"lobby","epoch":9,"from":3,"to":7,"lost":true}}"#;
        Reply::System { text: "hi".into() } => r#"{"id":7,"system":{"text":"hi"}}"#;
        Reply::Pong { at: 0 } => r#"{"id":7,"pong":{"at":0}}"#;
        Reply::Error(ErrorCode::Busy.because("later").retry_after(later)) =>
            r#"{"id":7,"error":{"code":"busy","text":"later","retry_after":1}}"#;
        Reply::Goodbye { code: GoodbyeCode::ShuttingDown, text: "back soon".into(), retry_after: Some(back_soon) } =>
            r#"{"id":7,"goodbye":{"code":"shutting_down","text":"back soon","retry_after":1500}}"#;
    }
}

#[test]
fn everything_told_is_this_json() {
    replies(|reply, expected| assert_eq!(json_of(&reply), expected));
    happenings(|happening, expected| assert_eq!(json_pushed(&happening), expected));
}

#[test]
fn the_client_library_reads_the_same_from_both_forms() {
    let mut pairs: Vec<[Vec<u8>; 2]> = Vec::new();
    replies(|reply, _| {
        pairs.push([(PROTOBUF, 0x82), (JSON, 0x81)].map(|(subprotocol, first)| {
            let mut frames = Frames::default();
            codec(Some(subprotocol)).encode_at(0, NonZeroU64::new(7), &reply, &mut frames);
            payload(&frames, first).to_vec()
        }));
    });
    happenings(|happening, _| {
        pairs.push([(0, 0x82), (1, 0x81)].map(|(encoding, first)| {
            let mut frames = Frames::default();
            Native.encode_at(0, encoding, &room("lobby"), &happening, &mut frames);
            payload(&frames, first).to_vec()
        }));
    });
    for [protobuf, json] in pairs {
        let from_protobuf = Wire::Proto.decode(&protobuf).unwrap();
        let from_json = Wire::Json.decode(&json).unwrap();
        assert!(from_json.event.is_some(), "{}", String::from_utf8_lossy(&json));
        assert_eq!(from_protobuf, from_json);
    }
}

#[test]
fn golden_bytes_of_a_push_and_a_reply() {
    let mut frames = Frames::default();
    Native.encode_at(0, 0, &room("r"), &Happening::Typing { from: user("a") }, &mut frames);
    // A binary frame of 9 bytes; field 17: {room: "r", from: "a"}.
    assert_eq!(&frames.buffer[..], b"\x82\x09\x8a\x01\x06\x0a\x01r\x12\x01a");
    // The next frame follows it.
    codec(Some(JSON)).encode_at(0, None, &Reply::Pong { at: 1 }, &mut frames);
    assert_eq!(&frames.buffer[11..], b"\x81\x11{\"pong\":{\"at\":1}}");
}

#[test]
fn a_greeting_has_no_words() {
    let mut frames = Frames::default();
    let greeting = Reply::Greeting {
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
        users: UserList {
            online: 0,
            names: Arc::from([]),
        },
    };
    codec(None).encode_at(0, None, &greeting, &mut frames);
    assert!(frames.buffer.is_empty());
}

proptest! {
    #[test]
    fn a_text_of_any_length_is_framed_and_read_again(
        text in prop_oneof![".{0,200}", "[a\"\n长]{110,140}", (60_000..64_000usize).prop_map(|n| "x".repeat(n)),
            (20_000..21_400usize).prop_map(|n| "\u{1}张".repeat(n / 2))],
    ) {
        let happening = Happening::Message(ChatMessage { text: text.as_str().into(), ..message() });
        for (view, first, wire) in [(0, 0x82, Wire::Proto), (1, 0x81, Wire::Json)] {
            let mut frames = Frames::default();
            Native.encode_at(0, view, &room("lobby"), &happening, &mut frames);
            let read = wire.decode(payload(&frames, first)).unwrap();
            let Some(plaza_client::Event::Message(message)) = read.event else {
                panic!("{read:?} is no message");
            };
            prop_assert_eq!(&message.text, &text);
        }
    }
}

#[test]
fn the_examples_of_the_document_are_read_by_both_sides() {
    let document = include_str!("../../../../docs/protocol.md");
    let mut refusals = Vec::new();
    let (mut requests, mut events) = (0, 0);
    for line in document.lines() {
        if let Some(request) = line.strip_prefix("→ ") {
            requests += 1;
            if let Err(Fault::Refused(_, refusal)) = from_json(request) {
                refusals.push(refusal);
            }
        } else if let Some(event) = line.strip_prefix("← ")
            && !event.contains('…')
        {
            events += 1;
            let read = Wire::Json.decode(event.as_bytes()).unwrap();
            match read.event {
                Some(plaza_client::Event::Error(error)) => {
                    let expected = refusals.pop().unwrap();
                    let expected = (expected.code.name(), &*expected.text);
                    assert_eq!((error.code.as_str(), error.text.as_str()), expected);
                }
                Some(_) => {}
                None => panic!("{event} is no event"),
            }
        }
    }
    assert_eq!(refusals, []);
    assert!(requests >= 5 && events >= 5, "{requests} requests, {events} events");
}

#[test]
fn a_replayed_message_is_the_same_json_as_before() {
    let long = "长\u{1F600}\"".repeat(20_000);
    for text in ["", " plain\n", "a \"b\"\n\t\\ \u{7}\u{2028}</script>", &long] {
        for (kind, seq) in [(MessageKind::Text, 1), (MessageKind::Voice, (1 << 53) - 1)] {
            let message = ChatMessage {
                seq,
                prev: seq - 1,
                session: SessionTag(u32::MAX),
                text: text.into(),
                kind,
                echo: None,
                ..message()
            };
            let replayed = Reply::Replayed {
                room: room("lobby"),
                message: Arc::new(message.clone()),
            };
            let mut frames = Frames::default();
            codec(Some(JSON)).encode_at(0, None, &replayed, &mut frames);
            let shown = String::from_utf8_lossy(payload(&frames, 0x81));
            assert_eq!(shown, json_pushed(&Happening::Message(message)));
        }
    }
}
