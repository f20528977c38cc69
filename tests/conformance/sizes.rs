//! Sections 9 and 10: large messages, whole, in fragments and in small pieces, and a thousand round trips.

use crate::{
    case::{Case, Event, KINDS, Pieces, Script, TEXT, fin, fragments},
    framing::case,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

pub(crate) fn section_9() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |section: usize, place: usize, script: Box<dyn Fn() -> Script + Send + Sync>| {
        let number = format!("9.{section}.{place}");
        cases.push(Case { number, script });
    };
    for (place_of_kind, kind) in KINDS.into_iter().enumerate() {
        let sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
        for (place, size) in (1..).zip(sizes) {
            let script = move || {
                let payload = kind.payload(size);
                Script::new()
                    .send(Pieces::Together, &[fin(kind.opcode, &payload)])
                    .due((kind.event)(payload))
            };
            add(1 + place_of_kind, place, Box::new(script));
        }
        let sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (place, size) in (1..).zip(sizes) {
            let script = move || {
                let payload = kind.payload(4 * MIB);
                Script::new()
                    .send(Pieces::Together, &fragments(kind.opcode, &payload, size))
                    .due((kind.event)(payload))
            };
            add(3 + place_of_kind, place, Box::new(script));
        }
        for (place, size) in (1..).zip([64, 128, 256, 512, KIB, 2 * KIB]) {
            let script = move || {
                let payload = kind.payload(MIB);
                Script::new()
                    .send(Pieces::OfBytes(size), &[fin(kind.opcode, &payload)])
                    .due((kind.event)(payload))
            };
            add(5 + place_of_kind, place, Box::new(script));
        }
        for (place, size) in (1..).zip([0, 16, 64, 256, KIB, 4 * KIB]) {
            let script = move || {
                let payload = kind.payload(size);
                (0..1_000).fold(Script::new(), |script, _| {
                    script
                        .send(Pieces::Together, &[fin(kind.opcode, &payload)])
                        .due((kind.event)(payload.clone()))
                        .wait()
                })
            };
            add(7 + place_of_kind, place, Box::new(script));
        }
    }
    cases
}

/// A message in fragments whose size is not a power of two.
pub(crate) fn section_10() -> Vec<Case> {
    vec![case("10.1.1", || {
        let payload = vec![b'*'; 64 * KIB];
        Script::new()
            .send(Pieces::ByFrame, &fragments(TEXT, &payload, 1300))
            .due(Event::Text(payload))
    })]
}
