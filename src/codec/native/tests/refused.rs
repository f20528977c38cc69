//! What clients are refused.

use super::*;

#[test]
fn a_wrong_type_is_named_with_its_place() {
    let cases = [
        (
            r#"{"id":1,"talk":{"room":5,"text":"x"}}"#,
            "talk.room is 5; expected is text",
        ),
        (
            r#"{"id":1,"talk":{"room":["a"],"text":"x"}}"#,
            "talk.room is a list; expected is text",
        ),
        (r#"{"id":1,"talk":"hi"}"#, "talk is \"hi\"; expected is an object"),
        (r#"{"id":1,"ping":true}"#, "ping is true; expected is an object"),
        (
            r#"{"id":1,"join":{"room":"a","last":"5"}}"#,
            "join.last is \"5\"; expected is a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":1.5}}"#,
            "join.last is 1.5; expected is a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":-1}}"#,
            "join.last is -1; expected is a whole number",
        ),
        (
            r#"{"id":1,"join":{"room":"a","last":4294967296}}"#,
            "join.last is 4294967296; expected is a whole number from 0 to 4294967295",
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
            "hello.resume[1] is 5; expected is an object",
        ),
        (
            r#"{"id":1,"hello":{"resume":[{"room":7}]}}"#,
            "hello.resume[0].room is 7; expected is text",
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
    assert!(text.contains("id is \"1\"; expected is a whole number"), "{text}");
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
            Asked::Hello(Hello {
                client: long[..31].into(),
                ..Default::default()
            }),
            ErrorCode::Invalid,
            "hello.client is no client id (31 bytes were seen); give 128 random bits as 32 hexadecimal digits",
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
            Asked::Rename(Rename::default()),
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
fn positions_are_counted_before_any_is_read() {
    // 300 positions that cannot be read: whoever reads one before counting says something else.
    let mut body = b"\x22\x01\xff".repeat(300);
    let mut bytes = vec![0x12, 0x84, 0x07];
    assert_eq!(body.len(), 4 + 7 * 128);
    bytes.append(&mut body);
    let json = format!(r#"{{"hello":{{"resume":[{}5]}}}}"#, "5,".repeat(299));
    for (code, text) in [from_protobuf(&bytes), from_json(&json)].map(|result| {
        let (_, code, text) = refused(result);
        (code, text)
    }) {
        assert_eq!(code, ErrorCode::Invalid);
        assert!(text.contains("hello.resume has 300 positions; at most 256"), "{text}");
    }
}
