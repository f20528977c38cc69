//! Sections 1 to 5: payload lengths, pings and pongs, reserved bits, opcodes, fragments.

use crate::case::{
    BINARY, CLOSE, CONTINUATION, Case, Event, Frame, KINDS, PING, PONG, Pieces, Script, TEXT, close_payload, fin, more,
    reserved,
};

pub(crate) fn section_1() -> Vec<Case> {
    let together = [0, 125, 126, 127, 128, 65_535, 65_536].map(|size| (size, Pieces::Together));
    let mut cases = Vec::new();
    for (group, kind) in (1..).zip(KINDS) {
        for (place, (size, pieces)) in (1..).zip(together.into_iter().chain([(65_536, Pieces::OfBytes(997))])) {
            let script = move || {
                let payload = kind.payload(size);
                let script = Script::new().send(pieces, &[fin(kind.opcode, &payload)]);
                script.due((kind.event)(payload))
            };
            cases.push(case(&format!("1.{group}.{place}"), script));
        }
    }
    cases
}

pub(crate) fn section_2() -> Vec<Case> {
    let pong = |payload: &[u8]| Event::Pong(payload.to_vec());
    let answered = move |pieces, payload: &[u8]| Script::new().send(pieces, &[fin(PING, payload)]).due(pong(payload));
    let unasked = |payload: &[u8]| {
        let close = close_payload(1000, b"");
        Script::new()
            .send(Pieces::ByFrame, &[fin(PONG, payload), fin(CLOSE, &close)])
            .closed_with(1000)
    };
    let ten = move |pieces| {
        (0..10).fold(Script::new(), |script, number| {
            let payload = format!("ping {number} of ten").into_bytes();
            script.send(pieces, &[fin(PING, &payload)]).due(pong(&payload))
        })
    };
    vec![
        case("2.1", move || answered(Pieces::Together, b"")),
        case("2.2", move || answered(Pieces::Together, b"are you there?")),
        case("2.3", move || {
            answered(Pieces::Together, &[0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff])
        }),
        case("2.4", move || answered(Pieces::Together, &[0xfe; 125])),
        case("2.5", || {
            Script::new()
                .send(Pieces::Together, &[fin(PING, &[0xfe; 126])])
                .closed_with(1002)
        }),
        case("2.6", move || answered(Pieces::OfBytes(1), &[0xfe; 125])),
        case("2.7", move || unasked(b"")),
        case("2.8", move || unasked(b"nobody asked")),
        case("2.9", move || {
            Script::new()
                .send(Pieces::ByFrame, &[fin(PONG, b"nobody asked"), fin(PING, b"but now")])
                .due(pong(b"but now"))
        }),
        case("2.10", move || ten(Pieces::Together)),
        case("2.11", move || ten(Pieces::OfBytes(1))),
    ]
}

pub(crate) fn section_3() -> Vec<Case> {
    let refused = |frame: Frame<'_>| Script::new().send(Pieces::Together, &[frame]).closed_with(1002);
    let after_a_message = |bits, pieces| spoilt_after_a_message(pieces, reserved(bits, TEXT, b"again"));
    vec![
        case("3.1", move || refused(reserved(1, TEXT, b"one bit"))),
        case("3.2", move || after_a_message(2, Pieces::Together)),
        case("3.3", move || after_a_message(3, Pieces::ByFrame)),
        case("3.4", move || after_a_message(4, Pieces::OfBytes(1))),
        case("3.5", move || refused(reserved(5, BINARY, &[0x00, 0xff, 0xfe, 0xfd]))),
        // Autobahn calls this one a ping and sends a binary message; both are refused.
        case("3.6", move || refused(reserved(6, BINARY, b"six"))),
        case("3.7", move || refused(reserved(7, CLOSE, b""))),
    ]
}

pub(crate) fn section_4() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, first) in [(1, 3_u8), (2, 11)] {
        for place in 1..=5_u8 {
            let opcode = first + place - 1;
            let script = move || match place {
                1 => Script::new()
                    .send(Pieces::Together, &[fin(opcode, b"")])
                    .closed_with(1002),
                2 => Script::new()
                    .send(Pieces::Together, &[fin(opcode, b"no such opcode")])
                    .closed_with(1002),
                3 => spoilt_after_a_message(Pieces::Together, fin(opcode, b"")),
                4 => spoilt_after_a_message(Pieces::Together, fin(opcode, b"no such opcode")),
                _ => spoilt_after_a_message(Pieces::OfBytes(1), fin(opcode, b"no such opcode")),
            };
            cases.push(case(&format!("4.{kind}.{place}"), script));
        }
    }
    cases
}

/// The server answers a message, but nothing after a forbidden frame, such as the ping behind it.
fn spoilt_after_a_message(pieces: Pieces, frame: Frame<'_>) -> Script {
    Script::new()
        .send(pieces, &[fin(TEXT, b"before it"), frame, fin(PING, b"")])
        .due(Event::Text(b"before it".to_vec()))
        .closed_with(1002)
}

pub(crate) fn section_5() -> Vec<Case> {
    use Pieces::{ByFrame, OfBytes, Together};

    fn refused(pieces: Pieces, frames: &[Frame<'_>]) -> Script {
        Script::new().send(pieces, frames).closed_with(1002)
    }
    let in_two = |pieces| {
        let halves = [more(TEXT, b"first half, "), fin(CONTINUATION, b"second half")];
        let script = Script::new().send(pieces, &halves);
        script.due(Event::Text(b"first half, second half".to_vec()))
    };
    let with_a_ping = |pieces| {
        let frames = [
            more(TEXT, b"first half, "),
            fin(PING, b"between"),
            fin(CONTINUATION, b"second half"),
        ];
        Script::new()
            .send(pieces, &frames)
            .due(Event::Pong(b"between".to_vec()))
            .due(Event::Text(b"first half, second half".to_vec()))
    };
    let stray = |first: u8| Frame {
        first,
        payload: b"continues nothing",
    };
    let continues_nothing = move |pieces, first: u8| refused(pieces, &[stray(first), fin(TEXT, b"a message")]);
    let twice = move |first: u8| {
        let round = [stray(first), more(TEXT, b"one "), fin(CONTINUATION, b"two")];
        refused(Together, &[round.clone(), round].concat())
    };
    let two_pings = |pieces| {
        let first = [more(TEXT, b"1"), more(CONTINUATION, b"2"), fin(PING, b"after two")];
        let second = [
            more(CONTINUATION, b"3"),
            more(CONTINUATION, b"4"),
            fin(PING, b"after four"),
        ];
        Script::new()
            .send(pieces, &first)
            .due(Event::Pong(b"after two".to_vec()))
            // Answered before the message is complete.
            .wait()
            .send(pieces, &second)
            .due(Event::Pong(b"after four".to_vec()))
            .send(pieces, &[fin(CONTINUATION, b"5")])
            .due(Event::Text(b"12345".to_vec()))
    };
    let unfinished = CONTINUATION;
    let finished = 0x80 | CONTINUATION;
    vec![
        case("5.1", || {
            refused(Together, &[more(PING, b"one"), fin(CONTINUATION, b"two")])
        }),
        case("5.2", || {
            refused(Together, &[more(PONG, b"one"), fin(CONTINUATION, b"two")])
        }),
        case("5.3", move || in_two(Together)),
        case("5.4", move || in_two(ByFrame)),
        case("5.5", move || in_two(OfBytes(1))),
        case("5.6", move || with_a_ping(Together)),
        case("5.7", move || with_a_ping(ByFrame)),
        case("5.8", move || with_a_ping(OfBytes(1))),
        case("5.9", move || continues_nothing(Together, finished)),
        case("5.10", move || continues_nothing(ByFrame, finished)),
        case("5.11", move || continues_nothing(OfBytes(1), finished)),
        case("5.12", move || continues_nothing(Together, unfinished)),
        case("5.13", move || continues_nothing(ByFrame, unfinished)),
        case("5.14", move || continues_nothing(OfBytes(1), unfinished)),
        case("5.15", || {
            let frames = [
                more(TEXT, b"one "),
                fin(CONTINUATION, b"two"),
                more(CONTINUATION, b"continues nothing"),
                fin(TEXT, b"a message"),
            ];
            refused(Together, &frames).due(Event::Text(b"one two".to_vec()))
        }),
        case("5.16", move || twice(unfinished)),
        case("5.17", move || twice(finished)),
        case("5.18", || refused(Together, &[more(TEXT, b"one"), fin(TEXT, b"two")])),
        case("5.19", move || two_pings(Together)),
        case("5.20", move || two_pings(ByFrame)),
    ]
}

pub(crate) fn case(number: &str, script: impl Fn() -> Script + Send + Sync + 'static) -> Case {
    Case {
        number: number.to_owned(),
        script: Box::new(script),
    }
}
