//! Compares the table of events in `docs/events.md` with the dialects. Tests only.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Client, Codec, DIALECTS, DialectId, Fault, Frames, Handshake, Message,
    handshake::tests::silent,
    native,
    testing::{all, came, digest, direct, fixed_cases, frames, message, refusal, renamed, user, welcome, went},
};
use crate::{
    chat::{Conversation, Departure, Echo, Happening, Reply, RoomName},
    limits,
};

const DOCUMENT: &str = include_str!("../../docs/events.md");

/// The event of a row of the table.
enum Event {
    Room(Happening),
    Session(Reply),
}

fn event(row: &str) -> Event {
    match row {
        "message" => Event::Room(Happening::Message(message("bob", "你好"))),
        "join" => Event::Room(came("bob", Some(all(&["ann", "bob"])))),
        "exit" => Event::Room(went("bob", Departure::Requested)),
        "lost connection" => Event::Room(went("bob", Departure::Disconnected)),
        "renamed" => Event::Room(renamed("bob", "rob")),
        "digest" => Event::Room(digest(Some("bob"), Some("tim"))),
        "list changed" => Event::Room(Happening::Roster {
            users: all(&["ann", "bob"]),
        }),
        "topic" => Event::Room(Happening::Topic {
            topic: "news".into(),
            from: user("bob"),
        }),
        "typing" => Event::Room(Happening::Typing { from: user("bob") }),
        "system in the room" => Event::Room(Happening::System { text: "x".into() }),
        "direct" => Event::Session(direct("bob", "ann", "psst")),
        "typing to me" => Event::Session(Reply::TypingTo { from: user("bob") }),
        "system to me" => Event::Session(Reply::System { text: "x".into() }),
        "gap" => Event::Session(Reply::Gap {
            conversation: Conversation::Room(RoomName::lobby()),
            epoch: 7,
            from: 1,
            to: 2,
            lost: false,
        }),
        "error" => Event::Session(refusal()),
        "goodbye" => Event::Session(Reply::Goodbye {
            code: crate::chat::GoodbyeCode::ShuttingDown,
            text: "x".into(),
            retry_after: None,
        }),
        "greeting" => Event::Session(Reply::Greeting {
            peer: silent().peer,
            users: all(&["ann"]),
        }),
        other => panic!("docs/events.md has a row that this test does not know: {other}"),
    }
}

/// Whether members with this encoding see the event.
fn shows(dialect: DialectId, encoding: usize, event: &Event) -> bool {
    let (dialect, mut out) = (dialect.reference(), Frames::default());
    match event {
        Event::Room(happening) => dialect.encode_at(1, encoding, &RoomName::lobby(), happening, &mut out),
        Event::Session(reply) => {
            let mut codec = dialect.open(&silent());
            codec.encode_at(0, None, &welcome("ann"), &mut Frames::default());
            codec.encode_at(1, None, reply, &mut out);
        }
    }
    !out.buffer.is_empty()
}

/// A codec that sees events in this encoding, for a client called `ann`.
fn speaking(dialect: DialectId, encoding: usize) -> Box<dyn Codec> {
    let page = Handshake {
        client: Client::Page,
        ..silent()
    };
    let protobuf = Handshake {
        subprotocol: Some(native::PROTOBUF),
        ..silent()
    };
    let mut codecs: Vec<_> = [silent(), page, protobuf]
        .iter()
        .map(|handshake| dialect.reference().open(handshake))
        .collect();
    // A client of document 004 that sends `rename` understands more than the document's own page.
    let mut extended = dialect.reference().open(&silent());
    for message in [&br#"{"type":"login","content":"ann"}"#[..], br#"{"type":"list"}"#] {
        let _ = extended.decode(Message::Text(message), &mut Vec::new());
    }
    codecs.push(extended);
    let mut codec = codecs
        .into_iter()
        .find(|codec| codec.encoding() == encoding)
        .unwrap_or_else(|| panic!("no client of {} has encoding {encoding}", dialect.name()));
    codec.encode_at(0, None, &welcome("ann"), &mut Frames::default());
    codec
}

/// The frames that `write` writes, completed for `ann`.
fn written(write: impl FnOnce(&mut Frames)) -> Vec<(u8, Vec<u8>)> {
    let mut out = Frames::default();
    write(&mut out);
    frames(&out)
}

/// The cells of the first table, and its head.
fn table() -> (Vec<&'static str>, Vec<Vec<&'static str>>) {
    let mut rows = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("| event |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<&'static str>>()
        });
    let head = rows.next().unwrap();
    (head, rows.skip(1).collect())
}

#[test]
fn every_cell_of_the_document_is_what_the_dialect_does() {
    let (head, rows) = table();
    assert_eq!(rows.len(), 17, "rows of the table");
    for dialect in DIALECTS {
        let column = head.iter().position(|name| *name == dialect.name());
        let column = column.unwrap_or_else(|| panic!("docs/events.md has no column for {}", dialect.name()));
        for row in &rows {
            let shown: Vec<bool> = (0..dialect.encodings())
                .map(|encoding| shows(dialect, encoding, &event(row[0])))
                .collect();
            let seen = match (shown.contains(&true), shown.contains(&false)) {
                (true, true) => "some",
                (true, false) => "yes",
                (false, _) => "no",
            };
            assert_eq!(seen, row[column], "{} × {}", row[0], dialect.name());
        }
    }
}

/// Therefore a replay may reuse the frames that were encoded for a room, and all sessions the encoding of a direct message.
#[test]
fn a_message_is_the_same_bytes_whether_encoded_for_all_or_for_one() {
    let Reply::Direct(to_ann) = direct("bob", "ann", "\"你好\"→\n") else {
        panic!("no direct message")
    };
    let mut echoed = message("系统", "a:b,c");
    echoed.echo = Some(Arc::new(Echo {
        request: "seq-1".into(),
        kind: Some("file".into()),
    }));
    let messages = [
        echoed,
        message("bob→", "\"你好\"\n"),
        message("ann", &"x".repeat(limits::TEXT_BYTES)),
    ];
    let room = RoomName::lobby();
    for dialect in DIALECTS {
        for encoding in 0..dialect.encodings() {
            let (wire, mut codec) = (dialect.reference(), speaking(dialect, encoding));
            for message in &messages {
                let happening = Happening::Message(message.clone());
                let replayed = Reply::Replayed {
                    room: room.clone(),
                    message: Arc::new(message.clone()),
                };
                let for_all = written(|out| wire.encode_at(1, encoding, &room, &happening, out));
                assert_eq!(for_all.len(), 1);
                assert_eq!(
                    written(|out| codec.encode_at(2, None, &replayed, out)),
                    for_all,
                    "{} {encoding}",
                    dialect.name()
                );
            }
            assert_eq!(
                written(|out| codec.encode_at(2, None, &Reply::Direct(to_ann.clone()), out)),
                written(|out| wire.encode_direct(encoding, &to_ann, out)),
                "{} {encoding}",
                dialect.name()
            );
        }
    }
}

proptest! {
    #![proptest_config(fixed_cases(512))]

    #[test]
    fn no_bytes_make_a_dialect_panic_or_give_a_close_reason_that_does_not_fit(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..4),
        text in any::<bool>(),
    ) {
        for dialect in DIALECTS {
            let mut codec = dialect.reference().open(&silent());
            let _ = codec.opening();
            for bytes in &messages {
                let message = if text { Message::Text(bytes) } else { Message::Binary(bytes) };
                let mut requests = Vec::new();
                match codec.decode(message, &mut requests) {
                    Ok(()) | Err(Fault::Refused(..)) => {}
                    Err(Fault::Close(code, reason)) => {
                        prop_assert!((1000..5000).contains(&code));
                        prop_assert!(reason.len() <= 123, "{reason}");
                    }
                }
                prop_assert!(requests.len() <= 3);
            }
        }
    }

    #[test]
    fn texts_and_names_come_through_every_dialect_unharmed(text in "\\PC{1,80}", name in "[\\p{L}:,\"<>&]{1,20}") {
        prop_assume!(crate::chat::UserName::parse(&name).is_ok());
        let happening = Happening::Message(message(&name, &text));
        let shown = serde_json::to_string(&text).unwrap();
        for dialect in DIALECTS.into_iter().filter(|dialect| *dialect != DialectId::Native) {
            let mut out = Frames::default();
            dialect.reference().encode_at(0, 0, &RoomName::lobby(), &happening, &mut out);
            let frames = frames(&out);
            prop_assert_eq!(frames.len(), 1);
            let (first, payload) = &frames[0];
            let wanted = if *first == 0x81 { shown.trim_matches('"').as_bytes() } else { text.as_bytes() };
            prop_assert!(payload.windows(wanted.len()).any(|window| window == wanted), "{}", dialect.name());
        }
    }
}
