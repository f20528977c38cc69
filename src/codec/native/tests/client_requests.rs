//! Requests of clients.

use super::*;
use crate::chat::ListOrder;

#[test]
fn every_request_is_read_from_json() {
    let page = |after: Option<&str>, limit| Page {
        order: ListOrder::Name,
        after: after.map(Into::into),
        limit,
    };
    let read = |json: &str, expected: Command| assert_eq!(command(json), expected, "{json}");
    table! { read:
        r#"{"hello":{}}"# => Command::Hello(Hello::default());
        r#"{"hello":{"name":"张三","token":"t","key":"k","client":"00112233445566778899AABBccddeeff","resume":[{"room":"lobby","epoch":9,"seq":4},{"peer":"ann"}]}}"# =>
            Command::Hello(Hello {
                name: Some(user("张三")),
                token: Some("t".into()),
                key: Some("k".into()),
                client: ClientId::parse("00112233445566778899aabbccddeeff"),
                resume: vec![
                    ResumeFrom { conversation: lobby(), position: Position { epoch: 9, seq: 4 } },
                    ResumeFrom { conversation: ann(), position: Position { epoch: 0, seq: 0 } },
                ],
            });
        r#"{"join":{"room":"lobby"}}"# => Command::Join { room: room("lobby"), since: Since::Now };
        r#"{"join":{"room":"lobby","last":5000}}"# => Command::Join { room: room("lobby"), since: Since::Last(1000) };
        r#"{"join":{"room":"lobby","epoch":3,"seq":0,"last":50}}"# =>
            Command::Join { room: room("lobby"), since: Since::Position(Position { epoch: 3, seq: 0 }) };
        r#"{"leave":{"room":"lobby"}}"# => Command::Leave { room: room("lobby") };
        r#"{"talk":{"room":"lobby","text":" \u4f60\u597d\n","key":"k-1","kind":"voice"}}"# =>
            Command::Talk { room: room("lobby"), text: " 你好\n".into(), kind: MessageKind::Voice, key: Some("k-1".into()) };
        r#"{"direct":{"to":"ann","text":"hi","kind":1}}"# =>
            Command::Direct { to: user("ann"), text: "hi".into(), kind: MessageKind::Image, key: None };
        r#"{"users":{"room":"lobby","after":"bob","limit":100000}}"# =>
            Command::Users { room: room("lobby"), page: page(Some("bob"), limits::PAGE_ENTRIES) };
        r#"{"rooms":{"limit":3}}"# => Command::Rooms { page: page(None, 3) };
        r#"{"topic":{"room":"lobby","topic":"news"}}"# =>
            Command::SetTopic { room: room("lobby"), topic: "news".into() };
        r#"{"rename":{"name":"bob","key":"k"}}"# => Command::Rename { name: user("bob"), key: Some("k".into()) };
        r#"{"history":{"room":"lobby","after":0}}"# =>
            Command::History { conversation: lobby(), before: None, after: Some(0), limit: limits::PAGE_ENTRIES_DEFAULT };
        r#"{"history":{"peer":"ann","before":9,"after":0,"limit":2}}"# =>
            Command::History { conversation: ann(), before: Some(9), after: None, limit: 2 };
        r#"{"history":{"room":"lobby","before":0,"after":null}}"# =>
            Command::History { conversation: lobby(), before: None, after: None, limit: limits::PAGE_ENTRIES_DEFAULT };
        r#"{"search":{"room":"lobby","text":" 公告 ","before":8}}"# =>
            Command::Search { conversation: lobby(), text: "公告".into(), before: Some(8), limit: limits::PAGE_ENTRIES_DEFAULT };
        r#"{"read":{"peer":"ann","seq":12}}"# => Command::Read { conversation: ann(), seq: 12 };
        r#"{"unread":{}}"# => Command::Unread;
        r#"{"typing":{"room":"lobby"}}"# => Command::Typing { conversation: lobby() };
        r#"{"typing":{"to":"ann"}}"# => Command::Typing { conversation: ann() };
        r#"{"ping":{}}"# => Command::Ping;
        r#"{"exit":{}}"# => Command::Exit;
    }
}

#[test]
fn golden_bytes_of_a_client_are_read() {
    // {id: 7, talk: {room: "lobby", text: "hi", key: "k"}}, made by hand from the schema.
    let bytes = b"\x08\x07\x2a\x0e\x0a\x05lobby\x12\x02hi\x1a\x01k";
    let expected = Request {
        id: NonZeroU64::new(7),
        command: Command::Talk {
            room: room("lobby"),
            text: "hi".into(),
            kind: MessageKind::Text,
            key: Some("k".into()),
        },
    };
    assert_eq!(from_protobuf(bytes).unwrap(), expected);
    let json = r#"{"id":7,"talk":{"room":"lobby","text":"hi","key":"k"}}"#;
    assert_eq!(from_json(json).unwrap(), expected);
}

#[test]
fn id_zero_null_and_none_ask_for_no_acknowledgement() {
    for json in [r#"{"ping":{}}"#, r#"{"id":0,"ping":{}}"#, r#"{"id":null,"ping":{}}"#] {
        assert_eq!(from_json(json).unwrap().id, None, "{json}");
    }
    assert_eq!(from_protobuf(b"\x82\x01\x00").unwrap().id, None);
    let largest = from_json(r#"{"ping":{},"id":9007199254740991}"#).unwrap();
    assert_eq!(largest.id, NonZeroU64::new((1 << 53) - 1));
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    for json in [
        r#"{"trace":"x","ping":{}}"#,
        r#"{"trace":{"deep":[1,{"x":null}]},"ping":{"why":[]}}"#,
        r#"{"extra":[{}],"id":1,"talk":{"room":"lobby","text":"hi","colour":{"r":1},"text ":5}}"#,
        r#"{"hello":{"resume":[{"room":"lobby","shard":[]}]}}"#,
        r#"{"ping":{},"talk":null}"#,
    ] {
        assert!(from_json(json).is_ok(), "{json}");
    }
    // Field 100 as a varint, a string, 8 bytes and 4 bytes, around ping.
    let bytes = b"\xa0\x06\x05\xa2\x06\x01x\x82\x01\x00\xa1\x06abcdefgh\xa5\x06abcd";
    assert_eq!(from_protobuf(bytes).unwrap().command, Command::Ping);
    // Leave {room: "lobby", field 100: "x"}
    assert!(from_protobuf(b"\x22\x0b\x0a\x05lobby\xa2\x06\x01x").is_ok());
}

#[test]
fn unknown_requests_are_told_apart_from_none_and_from_two() {
    let (id, code, text) = refused(from_json(r#"{"id":3,"dance":{"now":true}}"#));
    assert_eq!((id, code), (Some(3), ErrorCode::UnknownRequest));
    assert!(text.contains(r#""dance""#) && text.contains("hello"), "{text}");
    let (id, code, text) = refused(from_protobuf(b"\x92\x01\x00\x08\x03"));
    assert_eq!((id, code), (Some(3), ErrorCode::UnknownRequest));
    assert!(text.contains("field 18"), "{text}");
    for none in [r#"{"id":3}"#, r#"{"id":3,"x":5}"#, r#"{"id":3,"ping":null}"#] {
        let (id, code, text) = refused(from_json(none));
        assert_eq!((id, code), (Some(3), ErrorCode::Malformed));
        assert!(text.contains("no request"), "{text}");
    }
    assert_eq!(refused(from_protobuf(b"")).1, ErrorCode::Malformed);
    assert_eq!(refused(from_protobuf(b"\x08\x03")).0, Some(3));
    for two in [r#"{"ping":{},"id":3,"exit":{}}"#, r#"{"id":3,"ping":{},"ping":{}}"#] {
        let (id, code, text) = refused(from_json(two));
        assert_eq!((id, code), (Some(3), ErrorCode::Malformed));
        assert!(text.contains("two requests, ping and"), "{text}");
    }
    let (id, code, text) = refused(from_protobuf(b"\x82\x01\x00\x8a\x01\x00\x08\x03"));
    assert_eq!((id, code), (None, ErrorCode::Malformed));
    assert!(text.contains("ping and exit"), "{text}");
}

#[test]
fn the_form_follows_the_subprotocol_and_else_the_first_message() {
    let ping = b"\x82\x01\x00";
    let mut undecided = codec(None);
    assert_eq!(undecided.encoding(), 1);
    assert!(decode_with(undecided.as_mut(), Message::Binary(ping)).is_ok());
    assert_eq!(undecided.encoding(), 0);
    assert!(decode_with(undecided.as_mut(), Message::Text(br#"{"ping":{}}"#)).is_err());

    let mut text_first = codec(None);
    assert!(decode_with(text_first.as_mut(), Message::Text(br#"{"ping":{}}"#)).is_ok());
    assert_eq!(text_first.encoding(), 1);
    let (_, code, text) = refused(decode_with(text_first.as_mut(), Message::Binary(ping)));
    assert_eq!(code, ErrorCode::Malformed);
    assert!(
        text.contains("a binary message was seen") && text.contains(PROTOBUF),
        "{text}"
    );

    assert_eq!(codec(Some(PROTOBUF)).encoding(), 0);
    assert!(decode_with(codec(Some(JSON)).as_mut(), Message::Binary(ping)).is_err());
    let (_, _, text) = refused(decode_with(codec(Some(PROTOBUF)).as_mut(), Message::Text(b"{}")));
    assert!(
        text.contains("a text message was seen") && text.contains(JSON),
        "{text}"
    );
    assert_eq!(codec(None).opening().unwrap(), Vec::new());
}
