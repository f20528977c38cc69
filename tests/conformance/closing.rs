//! Section 7: close frames.

use crate::{
    case::{CLOSE, CONTINUATION, Case, Event, Frame, PING, Pieces, Script, TEXT, close_payload, fin, more},
    framing::case,
};

pub(crate) fn section_7() -> Vec<Case> {
    let mut cases = order_of_frames();
    cases.extend(payloads());
    for (place, code) in (1..).zip([
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ]) {
        cases.push(case(&format!("7.7.{place}"), move || {
            answered(&close_payload(code, b""), code)
        }));
    }
    // Reserved, beyond what anybody may use, or only for APIs (RFC 6455 section 7.4).
    for (place, code) in (1..).zip([0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]) {
        cases.push(case(&format!("7.9.{place}"), move || {
            answered(&close_payload(code, b""), 1002)
        }));
    }
    // Autobahn judges nothing here; a code beyond 4999 is as wrong as the others.
    for (place, code) in [(1, 5000), (2, 65_535)] {
        cases.push(case(&format!("7.13.{place}"), move || {
            answered(&close_payload(code, b""), 1002)
        }));
    }
    cases
}

/// A close frame with this payload, and the code of the server's answer.
fn answered(payload: &[u8], code: u16) -> Script {
    Script::new()
        .send(Pieces::Together, &[fin(CLOSE, payload)])
        .closed_with(code)
}

/// The server reads nothing after a close frame.
fn order_of_frames() -> Vec<Case> {
    let close = || close_payload(1000, b"");
    let close_and = move |frame: Frame<'_>| {
        Script::new()
            .send(Pieces::ByFrame, &[fin(CLOSE, &close()), frame])
            .closed_with(1000)
    };
    vec![
        case("7.1.1", || {
            Script::new()
                .send(Pieces::Together, &[fin(TEXT, b"before the end")])
                .due(Event::Text(b"before the end".to_vec()))
        }),
        case("7.1.2", move || close_and(fin(CLOSE, b""))),
        case("7.1.3", move || close_and(fin(PING, b""))),
        case("7.1.4", move || close_and(fin(TEXT, b"too late"))),
        case("7.1.5", move || {
            let close = close();
            let frames = [
                more(TEXT, b"never "),
                fin(CLOSE, &close),
                fin(CONTINUATION, b"finished"),
            ];
            Script::new().send(Pieces::ByFrame, &frames).closed_with(1000)
        }),
        // Autobahn leaves open whether the messages are answered; here everything before the close frame is.
        case("7.1.6", move || {
            let large = b"0123456789".repeat(26_215);
            let close = close();
            let frames = [
                fin(TEXT, &large),
                fin(TEXT, b"and a small one"),
                fin(CLOSE, &close),
                fin(PING, b""),
            ];
            Script::new()
                .send(Pieces::ByFrame, &frames)
                .due(Event::Text(large.clone()))
                .due(Event::Text(b"and a small one".to_vec()))
                .closed_with(1000)
        }),
    ]
}

fn payloads() -> Vec<Case> {
    vec![
        case("7.3.1", || {
            Script::new()
                .send(Pieces::Together, &[fin(CLOSE, b"")])
                .closed_without_code()
        }),
        case("7.3.2", || answered(b"\x03", 1002)),
        case("7.3.3", || answered(&close_payload(1000, b""), 1000)),
        case("7.3.4", || answered(&close_payload(1000, b"until tomorrow"), 1000)),
        case("7.3.5", || answered(&close_payload(1000, &[b'*'; 123]), 1000)),
        case("7.3.6", || answered(&close_payload(1000, &[b'*'; 124]), 1002)),
        case("7.5.1", || {
            let reason = [b"reason ".as_slice(), &[0xed, 0xa0, 0x80], b"edited"].concat();
            answered(&close_payload(1000, &reason), 1007)
        }),
    ]
}
