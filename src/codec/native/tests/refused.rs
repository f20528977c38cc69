//! Refusals.

use super::*;

/// The lines of a table: a message, and its refusal.
fn lines(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.trim().lines().map(|line| line.trim().split_once(" → ").unwrap())
}

#[test]
fn a_wrong_type_is_named_with_its_place() {
    let table = r#"
        {"id":1,"talk":{"room":5,"text":"x"}} → talk.room is 5; expected text
        {"id":1,"talk":{"room":["a"],"text":"x"}} → talk.room is a list; expected text
        {"id":1,"talk":"hi"} → talk is "hi"; expected an object
        {"id":1,"ping":true} → ping is true; expected an object
        {"id":1,"join":{"room":"a","last":"5"}} → join.last is "5"; expected a whole number
        {"id":1,"join":{"room":"a","last":1.5}} → join.last is 1.5; expected a whole number
        {"id":1,"join":{"room":"a","last":-1}} → join.last is -1; expected a whole number
        {"id":1,"join":{"room":"a","last":4294967296}} → join.last is 4294967296; expected a whole number from 0 to 4294967295
        {"id":1,"read":{"room":"a","seq":9007199254740992}} → read.seq is 9007199254740992; numbers
        {"id":1,"hello":{"resume":{}}} → hello.resume is an object; expected a list
        {"id":1,"hello":{"resume":[{"room":"a"},5]}} → hello.resume[1] is 5; expected an object
        {"id":1,"hello":{"resume":[{"room":7}]}} → hello.resume[0].room is 7; expected text
        {"id":1,"talk":{"room":"a","text":"x","kind":"song"}} → talk.kind is "song"; expected text, image
        {"id":1,"talk":{"room":"a","text":"x","kind":[]}} → talk.kind is a list; expected text, image
        {"id":1,"talk":{"room":"a","text":"x","kind":4}} → talk.kind is 4; known kinds are 0 to 3
    "#;
    for (json, expected) in lines(table) {
        let (id, code, text) = refused(from_json(json));
        assert_eq!((id, code), (Some(1), ErrorCode::Invalid), "{json}: {text}");
        assert!(text.contains(expected), "{json}: {text}");
    }
    let (id, code, text) = refused(from_json(r#"{"id":"1","ping":{}}"#));
    assert_eq!((id, code), (None, ErrorCode::Invalid));
    assert!(text.contains("id is \"1\"; expected a whole number"), "{text}");
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

/// A request of the schema from its JSON, in which `x*65` stands for 65 times `x`.
fn written(json: &str) -> plaza::ClientMessage {
    let written = [31, 64, 65, 129, 257, 8_193, limits::TEXT_BYTES, limits::TEXT_BYTES + 1]
        .iter()
        .fold(json.to_owned(), |json, count| {
            json.replace(&format!("\"x*{count}\""), &format!("{:?}", "x".repeat(*count)))
        });
    let (_, request) = json::read(written.as_bytes()).unwrap();
    client_message(request)
}

#[test]
fn every_limit_is_checked_in_both_forms() {
    let table = r#"
        {"talk":{"text":"x"}} → bad_name: talk.room: the name is empty
        {"talk":{"room":"a\nb","text":"x"}} → bad_name: talk.room: the name contains U+000A
        {"talk":{"room":"x*65","text":"x"}} → bad_name: talk.room: the name has 65 characters
        {"talk":{"room":"a"}} → invalid: talk.text is empty; give 1 to 64512 bytes
        {"talk":{"room":"a","text":"x*64513"}} → invalid: talk.text has 64513 bytes; at most 64512
        {"talk":{"room":"a","text":"x","key":"x*65"}} → invalid: talk.key has 65 bytes; at most 64
        {"talk":{"room":"a","text":"x","kind":4}} → invalid: talk.kind is 4; known kinds are 0 to 3: text, image
        {"direct":{"to":"ann"}} → invalid: direct.text is empty
        {"direct":{"text":"x"}} → bad_name: direct.to: the name is empty
        {"hello":{"name":"\u202ex"}} → bad_name: hello.name: the name contains U+202E
        {"hello":{"token":"x*8193"}} → invalid: hello.token has 8193 bytes; at most 8192
        {"hello":{"key":"x*129"}} → invalid: hello.key has 129 bytes; at most 128
        {"hello":{"client":"x*31"}} → invalid: hello.client is not a client id (31 bytes); give 128 random bits as 32 hexadecimal digits
        {"hello":{"resume":[{"epoch":1,"seq":1}]}} → invalid: hello.resume has no conversation
        {"hello":{"resume":[{"room":"a","peer":"b","epoch":1,"seq":1}]}} → invalid: two conversations, the room "a" and the user "b"
        {"hello":{"resume":[{"room":"a","seq":1}]}} → invalid: hello.resume.epoch is missing
        {"hello":{"resume":[{"room":"a","epoch":9007199254740992,"seq":1}]}} → invalid: hello.resume.epoch is 9007199254740992; numbers
        {"join":{"room":"a","epoch":1,"seq":9007199254740992}} → invalid: join.seq is 9007199254740992
        {"join":{"room":"a","seq":5}} → invalid: join.seq is 5 but join.epoch is missing
        {"users":{"room":"a","after":"x*257"}} → invalid: users.after has 257 bytes; at most 256
        {"rooms":{"after":"x*257"}} → invalid: rooms.after has 257 bytes
        {"topic":{"room":"a","topic":"x*257"}} → invalid: topic.topic has 257 characters; at most 256
        {"topic":{"room":"a","topic":"x\ny"}} → invalid: topic.topic holds U+000A
        {"rename":{}} → bad_name: rename.name: the name is empty
        {"history":{"room":"a","before":3,"after":1}} → invalid: history.before is 3 and history.after is 1; give at most one
        {"history":{"room":"a","after":9007199254740992}} → invalid: history.after is 9007199254740992
        {"history":{}} → invalid: give either history.room or history.peer
        {"search":{"room":"a","text":" "}} → invalid: search.text is empty
        {"search":{"room":"a","text":"x*129"}} → invalid: search.text has 129 characters; at most 128
        {"search":{"room":"a","text":"x","before":9007199254740992}} → invalid: search.before is 9007199254740992
        {"read":{"room":"a","peer":"b","seq":1}} → invalid: give either read.room or read.peer
        {"typing":{"room":"a","to":"b"}} → invalid: give either typing.room or typing.to
    "#;
    for (json, expected) in lines(table) {
        let (id, code, text) = refused(from_both(&written(json)));
        let (expected_code, part) = expected.split_once(": ").unwrap();
        assert_eq!((id, code.name()), (Some(7), expected_code), "{text}");
        assert!(text.contains(part), "{text} does not say {part}");
        assert!(text.len() < 400, "{text}");
    }
    assert!(
        from_both(&written(
            r#"{"talk":{"room":"x*64","text":"x*64512","key":"x*64","kind":3}}"#
        ))
        .is_ok()
    );
    let resume = |positions: usize| {
        let position = plaza::Position {
            room: "a".into(),
            epoch: 1,
            seq: 1,
            ..Default::default()
        };
        from_both(&client_message(RequestBody::Hello(plaza::Hello {
            resume: vec![position; positions],
            ..Default::default()
        })))
    };
    assert!(resume(limits::RESUME_POSITIONS).is_ok());
    let (_, code, text) = refused(resume(limits::RESUME_POSITIONS + 1));
    assert_eq!(code, ErrorCode::Invalid);
    assert!(text.contains("hello.resume has 257 positions; at most 256"), "{text}");
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
    // 300 invalid positions: a decoder that reads one before counting reports another error.
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
