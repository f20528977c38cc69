//! The table event × dialect of `docs/events.md`, held against what the dialects really do. Tests only.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{
    DIALECTS, Dialect, Fault, Frames, Message, encodings_of,
    handshake::tests::silent,
    testing::{all, came, digest, direct, fixed_cases, refusal, renamed, talk, user, welcome, went},
};
use crate::chat::{Conversation, Departure, Happening, Reply, RoomName};

const DOCUMENT: &str = include_str!("../../docs/events.md");

/// What a row of the table is about.
enum Event {
    Room(Happening),
    Session(Reply),
}

fn event(row: &str) -> Event {
    match row {
        "talk" => Event::Room(Happening::Talk(talk("bob", "你好"))),
        "came" => Event::Room(came("bob", Some(all(&["ann", "bob"])))),
        "went, said" => Event::Room(went("bob", Departure::Said)),
        "went, lost" => Event::Room(went("bob", Departure::Lost)),
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

/// Whether members with this encoding see it.
fn shows(dialect: &dyn Dialect, encoding: usize, event: &Event) -> bool {
    let mut out = Frames::default();
    match event {
        Event::Room(happening) => dialect.encode_at(1, encoding, &RoomName::lobby(), happening, &mut out),
        Event::Session(reply) => {
            let mut codec = dialect.open(&silent());
            codec.encode(None, &welcome("ann"), &mut Frames::default());
            codec.encode_at(1, None, reply, &mut out);
        }
    }
    !out.buffer.is_empty()
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
    for (number, dialect) in DIALECTS.iter().enumerate() {
        let column = head.iter().position(|name| *name == dialect.name());
        let column = column.unwrap_or_else(|| panic!("docs/events.md has no column for {}", dialect.name()));
        for row in &rows {
            let shown: Vec<bool> = (0..encodings_of(number))
                .map(|encoding| shows(*dialect, encoding, &event(row[0])))
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

#[test]
fn dialects_have_distinct_names() {
    for (index, dialect) in DIALECTS.iter().enumerate() {
        assert!(
            DIALECTS[..index].iter().all(|other| other.name() != dialect.name()),
            "{} twice",
            dialect.name()
        );
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
            let mut codec = dialect.open(&silent());
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
        let happening = Happening::Talk(talk(&name, &text));
        let shown = serde_json::to_string(&text).unwrap();
        for dialect in DIALECTS.iter().filter(|dialect| dialect.name() != "plaza") {
            let mut out = Frames::default();
            dialect.encode(0, &RoomName::lobby(), &happening, &mut out);
            let frames = super::testing::frames(&out);
            prop_assert_eq!(frames.len(), 1);
            let (first, payload) = &frames[0];
            let wanted = if *first == 0x81 { shown.trim_matches('"').as_bytes() } else { text.as_bytes() };
            prop_assert!(payload.windows(wanted.len()).any(|window| window == wanted), "{}", dialect.name());
        }
    }
}
