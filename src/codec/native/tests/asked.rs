//! What clients ask.

use super::*;

#[test]
fn every_request_is_read_from_json() {
    let lobby = Conversation::Room(room("lobby"));
    let ann = Conversation::Peer(user("ann"));
    let cases = [
        (r#"{"hello":{}}"#, Command::Hello(Hello::default())),
        (
            r#"{"hello":{"name":"张三","token":"t","key":"k","resume":[{"room":"lobby","epoch":9,"seq":4},{"peer":"ann"}]}}"#,
            Command::Hello(Hello {
                name: Some(user("张三")),
                token: Some("t".into()),
                key: Some("k".into()),
                resume: vec![
                    ResumeFrom {
                        conversation: lobby.clone(),
                        position: Position { epoch: 9, seq: 4 },
                    },
                    ResumeFrom {
                        conversation: ann.clone(),
                        position: Position { epoch: 0, seq: 0 },
                    },
                ],
            }),
        ),
        (
            r#"{"join":{"room":"lobby"}}"#,
            Command::Join {
                room: room("lobby"),
                since: Since::Now,
            },
        ),
        (
            r#"{"join":{"room":"lobby","last":5000}}"#,
            Command::Join {
                room: room("lobby"),
                since: Since::Last(1000),
            },
        ),
        (
            r#"{"join":{"room":"lobby","epoch":3,"seq":0,"last":50}}"#,
            Command::Join {
                room: room("lobby"),
                since: Since::Position(Position { epoch: 3, seq: 0 }),
            },
        ),
        (r#"{"leave":{"room":"lobby"}}"#, Command::Leave { room: room("lobby") }),
        (
            r#"{"talk":{"room":"lobby","text":" \u4f60\u597d\n","key":"k-1","kind":"voice"}}"#,
            Command::Talk {
                room: room("lobby"),
                text: " 你好\n".into(),
                kind: TalkKind::Voice,
                key: Some("k-1".into()),
            },
        ),
        (
            r#"{"direct":{"to":"ann","text":"hi","kind":1}}"#,
            Command::Direct {
                to: user("ann"),
                text: "hi".into(),
                kind: TalkKind::Image,
                key: None,
            },
        ),
        (
            r#"{"users":{"room":"lobby","after":"bob","limit":100000}}"#,
            Command::Users {
                room: room("lobby"),
                page: Page {
                    after: Some("bob".into()),
                    limit: limits::PAGE_ENTRIES,
                },
            },
        ),
        (
            r#"{"rooms":{"limit":3}}"#,
            Command::Rooms {
                page: Page { after: None, limit: 3 },
            },
        ),
        (
            r#"{"topic":{"room":"lobby","topic":"news"}}"#,
            Command::SetTopic {
                room: room("lobby"),
                topic: "news".into(),
            },
        ),
        (r#"{"rename":{"name":"bob"}}"#, Command::Rename { name: user("bob") }),
        (
            r#"{"history":{"room":"lobby","after":0}}"#,
            Command::History {
                conversation: lobby.clone(),
                before: None,
                after: Some(0),
                limit: limits::PAGE_ENTRIES_DEFAULT,
            },
        ),
        (
            r#"{"history":{"peer":"ann","before":9,"after":0,"limit":2}}"#,
            Command::History {
                conversation: ann.clone(),
                before: Some(9),
                after: None,
                limit: 2,
            },
        ),
        (
            r#"{"history":{"room":"lobby","before":0,"after":null}}"#,
            Command::History {
                conversation: lobby.clone(),
                before: None,
                after: None,
                limit: limits::PAGE_ENTRIES_DEFAULT,
            },
        ),
        (
            r#"{"search":{"room":"lobby","text":" 公告 ","before":8}}"#,
            Command::Search {
                conversation: lobby.clone(),
                text: "公告".into(),
                before: Some(8),
                limit: limits::PAGE_ENTRIES_DEFAULT,
            },
        ),
        (
            r#"{"read":{"peer":"ann","seq":12}}"#,
            Command::Read {
                conversation: ann.clone(),
                seq: 12,
            },
        ),
        (r#"{"unread":{}}"#, Command::Unread),
        (
            r#"{"typing":{"room":"lobby"}}"#,
            Command::Typing { conversation: lobby },
        ),
        (r#"{"typing":{"to":"ann"}}"#, Command::Typing { conversation: ann }),
        (r#"{"ping":{}}"#, Command::Ping),
        (r#"{"exit":{}}"#, Command::Exit),
    ];
    for (json, expected) in cases {
        assert_eq!(command(json), expected, "{json}");
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
            kind: TalkKind::Text,
            key: Some("k".into()),
        },
    };
    assert_eq!(from_protobuf(bytes).unwrap(), expected);
    assert_eq!(
        from_json(r#"{"id":7,"talk":{"room":"lobby","text":"hi","key":"k"}}"#).unwrap(),
        expected
    );
}

#[test]
fn id_zero_null_and_none_ask_for_no_acknowledgement() {
    for json in [r#"{"ping":{}}"#, r#"{"id":0,"ping":{}}"#, r#"{"id":null,"ping":{}}"#] {
        assert_eq!(from_json(json).unwrap().id, None, "{json}");
    }
    assert_eq!(from_protobuf(b"\x82\x01\x00").unwrap().id, None);
    assert_eq!(
        from_json(r#"{"ping":{},"id":9007199254740991}"#).unwrap().id,
        NonZeroU64::new((1 << 53) - 1)
    );
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
fn a_wrong_type_is_named_with_its_place() {
    let cases = [
        (
            r#"{"id":1,"talk":{"room":5,"text":"x"}}"#,
            "talk.room is a number; expected is text",
        ),
        (
            r#"{"id":1,"talk":{"room":["a"],"text":"x"}}"#,
            "talk.room is a list; expected is text",
        ),
        (r#"{"id":1,"talk":"hi"}"#, "talk is text; expected is an object"),
        (
            r#"{"id":1,"ping":true}"#,
            "ping is a truth value; expected is an object",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":"5"}}"#,
            "join.last is text; expected is a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":1.5}}"#,
            "join.last is 1.5; a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":-1}}"#,
            "join.last is -1; a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":4294967296}}"#,
            "join.last is 4294967296; at most",
        ),
        (
            r#"{"id":1,"read":{"room":"a","seq":9007199254740992}}"#,
            "read.seq is 9007199254740992; numbers",
        ),
        (
            r#"{"id":1,"hello":{"resume":{}}}"#,
            "hello.resume is an object; expected is a list",
        ),
        (
            r#"{"id":1,"hello":{"resume":[{"room":"a"},5]}}"#,
            "hello.resume[1] is a number; expected is an object",
        ),
        (
            r#"{"id":1,"hello":{"resume":[{"room":7}]}}"#,
            "hello.resume[0].room is a number",
        ),
        (
            r#"{"id":1,"talk":{"room":"a","text":"x","kind":"song"}}"#,
            r#"talk.kind is "song"; expected is text, image"#,
        ),
        (
            r#"{"id":1,"talk":{"room":"a","text":"x","kind":[]}}"#,
            "talk.kind is a list; expected is text, image",
        ),
        (
            r#"{"id":1,"talk":{"room":"a","text":"x","kind":4}}"#,
            "talk.kind is 4; known kinds are 0 to 3",
        ),
    ];
    for (json, expected) in cases {
        let (id, code, text) = refused(from_json(json));
        assert_eq!((id, code), (Some(1), ErrorCode::Invalid), "{json}: {text}");
        assert!(text.contains(expected), "{json}: {text}");
    }
    let (id, code, text) = refused(from_json(r#"{"id":"1","ping":{}}"#));
    assert_eq!((id, code), (None, ErrorCode::Invalid));
    assert!(text.contains("id is text; expected is a whole number"), "{text}");
    assert_eq!(
        refused(from_json(r#"{"id":9007199254740992,"ping":{}}"#)).1,
        ErrorCode::Invalid
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_the_id_that_could() {
    let cases = [
        ("", None),
        ("hello", None),
        ("[]", None),
        ("5", None),
        (r#"{"id":5,"talk":{"room":"#, Some(5)),
        (r#"{"id":5,"ping":{}} x"#, Some(5)),
        (r#"{"id":5,"ping":{},}"#, Some(5)),
        (r#"{"id":5 "ping":{}}"#, Some(5)),
        (r#"{"id":5,"talk":{"room":"a","text":"\ud800"}}"#, Some(5)),
        ("{\"id\":5,\"talk\":{\"room\":\"a\",\"text\":\"\n\"}}", Some(5)),
    ];
    for (json, expected) in cases {
        let (id, code, text) = refused(from_json(json));
        assert_eq!((id, code), (expected, ErrorCode::Malformed), "{json}: {text}");
    }
    let (_, _, text) = refused(decode_with(
        codec(Some(JSON)).as_mut(),
        Message::Text(b"{\"ping\xff\":{}}"),
    ));
    assert!(text.contains("not UTF-8 at byte 6"), "{text}");
    let cases: [(&[u8], Option<u64>); 8] = [
        (b"\x08\x05\x2a\x0e\x0a", Some(5)),                      // a talk that is cut off
        (b"\x08\x05\x2a\x03\x0a\x05l", Some(5)),                 // a room that is longer than its talk
        (b"\x08\x05\x2a\x03\x0a\x01\xff", Some(5)),              // a room that is not UTF-8
        (b"\x08\x05\x2a\x02\x08\x01", Some(5)),                  // a room that is a number
        (b"\x08\x05\x28\x01", Some(5)),                          // a talk that is a number
        (b"\x08\x05\x03", Some(5)),                              // field 0
        (b"\x08\x05\x13\x14", Some(5)),                          // a group
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", None), // 65 bits
    ];
    for (bytes, expected) in cases {
        let (id, code, text) = refused(from_protobuf(bytes));
        assert_eq!((id, code), (expected, ErrorCode::Malformed), "{bytes:x?}: {text}");
    }
    let (_, _, text) = refused(from_protobuf(b"\x08\x05\x2a\x03\x0a\x01\xff"));
    assert!(text.contains("Talk.room"), "{text}");
    // {id: {}}
    assert!(refused(from_protobuf(b"\x0a\x00")).2.contains("field 1 (id)"));
}

#[test]
fn every_limit_is_checked_in_both_forms() {
    use plaza::{Direct, Hello, History, Join, Position, Read, Rename, Rooms, Search, SetTopic, Talk, Typing, Users};
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    let talk = |room: &str, text: &str, key: &str, kind| {
        Asked::Talk(Talk {
            room: room.into(),
            text: text.into(),
            key: key.into(),
            kind,
        })
    };
    let position = |room: &str, peer: &str, epoch, seq| Position {
        room: room.into(),
        peer: peer.into(),
        epoch,
        seq,
    };
    let resume = |positions| {
        Asked::Hello(Hello {
            resume: positions,
            ..Default::default()
        })
    };
    let two_to_53 = limits::JSON_NUMBERS_BELOW;
    let cases = [
        (talk("", "x", "", 0), ErrorCode::BadName, "talk.room: the name is empty"),
        (
            talk("a\nb", "x", "", 0),
            ErrorCode::BadName,
            "talk.room: the name holds U+000A",
        ),
        (
            talk(&long[..65], "x", "", 0),
            ErrorCode::BadName,
            "talk.room: the name has 65 characters",
        ),
        (
            talk("a", "", "", 0),
            ErrorCode::Invalid,
            "talk.text is empty; give 1 to 64512 bytes",
        ),
        (
            talk("a", &long, "", 0),
            ErrorCode::Invalid,
            "talk.text has 64513 bytes; at most 64512",
        ),
        (
            talk("a", "x", &long[..65], 0),
            ErrorCode::Invalid,
            "talk.key has 65 bytes; at most 64",
        ),
        (
            talk("a", "x", "", 4),
            ErrorCode::Invalid,
            "talk.kind is 4; known kinds are 0 to 3: text, image",
        ),
        (
            Asked::Direct(Direct {
                to: "ann".into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "direct.text is empty",
        ),
        (
            Asked::Direct(Direct {
                text: "x".into(),
                ..Default::default()
            }),
            ErrorCode::BadName,
            "direct.to: the name is empty",
        ),
        (
            Asked::Hello(Hello {
                name: "\u{202e}x".into(),
                ..Default::default()
            }),
            ErrorCode::BadName,
            "hello.name: the name holds U+202E",
        ),
        (
            Asked::Hello(Hello {
                token: long[..8193].into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "hello.token has 8193 bytes; at most 8192",
        ),
        (
            Asked::Hello(Hello {
                key: long[..129].into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "hello.key has 129 bytes; at most 128",
        ),
        (
            resume(vec![position("a", "", 1, 1); limits::RESUME_POSITIONS + 1]),
            ErrorCode::Invalid,
            "hello.resume has 257 positions; at most 256",
        ),
        (
            resume(vec![position("", "", 1, 1)]),
            ErrorCode::Invalid,
            "hello.resume names no conversation",
        ),
        (
            resume(vec![position("a", "b", 1, 1)]),
            ErrorCode::Invalid,
            r#"two conversations, the room "a" and the user "b""#,
        ),
        (
            resume(vec![position("a", "", 0, 1)]),
            ErrorCode::Invalid,
            "hello.resume.epoch is missing",
        ),
        (
            resume(vec![position("a", "", two_to_53, 1)]),
            ErrorCode::Invalid,
            "hello.resume.epoch is 9007199254740992; numbers",
        ),
        (
            Asked::Join(Join {
                room: "a".into(),
                epoch: 1,
                seq: two_to_53,
                last: 0,
            }),
            ErrorCode::Invalid,
            "join.seq is 9007199254740992",
        ),
        (
            Asked::Join(Join {
                room: "a".into(),
                epoch: 0,
                seq: 5,
                last: 0,
            }),
            ErrorCode::Invalid,
            "join.seq is 5 but join.epoch is missing",
        ),
        (
            Asked::Users(Users {
                room: "a".into(),
                after: long[..257].into(),
                limit: 0,
            }),
            ErrorCode::Invalid,
            "users.after has 257 bytes; at most 256",
        ),
        (
            Asked::Rooms(Rooms {
                after: long[..257].into(),
                limit: 0,
            }),
            ErrorCode::Invalid,
            "rooms.after has 257 bytes",
        ),
        (
            Asked::Topic(SetTopic {
                room: "a".into(),
                topic: long[..257].into(),
            }),
            ErrorCode::Invalid,
            "topic.topic has 257 characters; at most 256",
        ),
        (
            Asked::Topic(SetTopic {
                room: "a".into(),
                topic: "x\ny".into(),
            }),
            ErrorCode::Invalid,
            "topic.topic holds U+000A",
        ),
        (
            Asked::Rename(Rename { name: String::new() }),
            ErrorCode::BadName,
            "rename.name: the name is empty",
        ),
        (
            Asked::History(History {
                room: "a".into(),
                before: 3,
                after: Some(1),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "history.before is 3 and history.after is 1; give at most one",
        ),
        (
            Asked::History(History {
                room: "a".into(),
                after: Some(two_to_53),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "history.after is 9007199254740992",
        ),
        (
            Asked::History(History::default()),
            ErrorCode::Invalid,
            "give either history.room or history.peer",
        ),
        (
            Asked::Search(Search {
                room: "a".into(),
                text: " ".into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "search.text is empty",
        ),
        (
            Asked::Search(Search {
                room: "a".into(),
                text: long[..129].into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "search.text has 129 characters; at most 128",
        ),
        (
            Asked::Search(Search {
                room: "a".into(),
                text: "x".into(),
                before: two_to_53,
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "search.before is 9007199254740992",
        ),
        (
            Asked::Read(Read {
                room: "a".into(),
                peer: "b".into(),
                seq: 1,
            }),
            ErrorCode::Invalid,
            "give either read.room or read.peer",
        ),
        (
            Asked::Typing(Typing {
                room: "a".into(),
                to: "b".into(),
            }),
            ErrorCode::Invalid,
            "give either typing.room or typing.to",
        ),
    ];
    for (request, code, expected) in cases {
        let (id, seen, text) = refused(from_both(&asked(request)));
        assert_eq!((id, seen), (Some(7), code), "{text}");
        assert!(text.contains(expected), "{text} does not say {expected}");
        assert!(text.len() < 400, "{text}");
    }
    assert!(from_both(&asked(talk(&long[..64], &long[1..], &long[..64], 3))).is_ok());
    assert!(from_both(&asked(resume(vec![position("a", "", 1, 1); limits::RESUME_POSITIONS]))).is_ok());
}

#[test]
fn a_nest_of_lists_is_refused_with_its_id_before_anything_looks_into_it() {
    let nest = |depth: usize| {
        format!(
            r#"{{"id":4,"x":{}{},"ping":{{}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(from_json(&nest(limits::JSON_DEPTH - 1)).is_ok());
    for depth in [limits::JSON_DEPTH, 30_000] {
        let (id, code, text) = refused(from_json(&nest(depth)));
        assert_eq!((id, code), (Some(4), ErrorCode::Malformed));
        assert!(text.contains("nested more than 16 deep"), "{text}");
    }
    assert!(from_json(r#"{"id":4,"x":"[[[[[[[[[[[[[[[[[[[[\"[[[[","ping":{}}"#).is_ok());
}

#[test]
fn the_form_follows_the_subprotocol_and_else_the_first_message() {
    let ping = b"\x82\x01\x00";
    let mut undecided = codec(None);
    assert_eq!(undecided.view(), 1);
    assert!(decode_with(undecided.as_mut(), Message::Binary(ping)).is_ok());
    assert_eq!(undecided.view(), 0);
    assert!(decode_with(undecided.as_mut(), Message::Text(br#"{"ping":{}}"#)).is_err());

    let mut text_first = codec(None);
    assert!(decode_with(text_first.as_mut(), Message::Text(br#"{"ping":{}}"#)).is_ok());
    assert_eq!(text_first.view(), 1);
    let (_, code, text) = refused(decode_with(text_first.as_mut(), Message::Binary(ping)));
    assert_eq!(code, ErrorCode::Malformed);
    assert!(
        text.contains("a binary message was seen") && text.contains(PROTOBUF),
        "{text}"
    );

    assert_eq!(codec(Some(PROTOBUF)).view(), 0);
    assert!(decode_with(codec(Some(JSON)).as_mut(), Message::Binary(ping)).is_err());
    let (_, _, text) = refused(decode_with(codec(Some(PROTOBUF)).as_mut(), Message::Text(b"{}")));
    assert!(
        text.contains("a text message was seen") && text.contains(JSON),
        "{text}"
    );
    assert_eq!(codec(None).opening().unwrap(), Vec::new());
}
