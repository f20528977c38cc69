//! Section 6: texts that are UTF-8 and texts that are not, whole and in pieces. From 6.5 on the byte sequences are those of Markus
//! Kuhn's UTF-8 decoder stress test, in its order, and the noncharacters of Unicode.

use crate::{
    case::{CONTINUATION, Case, Event, Frame, Pieces, Script, TEXT, fin, fragments, more},
    framing::case,
};

/// The Greek word of the stress test: eleven bytes, of which the second letter (omicron with oxia) has three.
const KOSME: &[u8] = "κ\u{1f79}σμε".as_bytes();
const MIXED: &str = "Größe: 5 µm, «déjà vu», 100 %";
/// Four bytes for U+110000, beyond the last code point; the second one is already wrong.
const BEYOND: &[u8] = &[0xf4, 0x90, 0x80, 0x80];

pub(crate) fn section_6() -> Vec<Case> {
    let mut cases = fragmented();
    for (group, sequences) in (5..).zip(sequences()) {
        for (place, sequence) in (1..).zip(sequences) {
            cases.push(case(&format!("6.{group}.{place}"), move || whole(&sequence)));
        }
    }
    cases
}

fn echoed(frames: &[Frame<'_>]) -> Script {
    let payload = frames.iter().flat_map(|frame| frame.payload).copied().collect();
    Script::new().send(Pieces::Together, frames).due(Event::Text(payload))
}

fn refused(frames: &[Frame<'_>]) -> Script {
    Script::new().send(Pieces::Together, frames).closed_with(1007)
}

/// A message of one frame: the server echoes it if it is UTF-8, and otherwise closes the connection.
fn whole(sequence: &Sequence) -> Script {
    let frame = fin(TEXT, &sequence.bytes);
    match sequence.verdict {
        Verdict::Valid => echoed(&[frame]),
        Verdict::Invalid => refused(&[frame]),
    }
}

fn fragmented() -> Vec<Case> {
    let surrogate = || [KOSME, &[0xed, 0xa0, 0x80], b"edited"].concat();
    let beyond = || [KOSME, BEYOND, b"edited"].concat();
    // The first part is right and waits for more; the second one is wrong and ends the connection before the third.
    let cut = KOSME.len() + 1;
    let in_frames = move |at: usize, to: usize| {
        let text = beyond();
        Script::new()
            .send(Pieces::Together, &[more(TEXT, &text[..at])])
            .quiet()
            .send(Pieces::Together, &[more(CONTINUATION, &text[at..to])])
            .closed_with(1007)
    };
    let in_one_frame = move |at: usize, to: usize| {
        let text = beyond();
        Script::new()
            .send_head(TEXT, text.len())
            .send_payload(0, &text[..at])
            .quiet()
            .send_payload(at, &text[at..to])
            .closed_with(1007)
    };
    let (at, to) = (KOSME.len(), KOSME.len() + BEYOND.len());
    vec![
        case("6.1.1", || echoed(&[fin(TEXT, b"")])),
        case("6.1.2", || {
            echoed(&[more(TEXT, b""), more(CONTINUATION, b""), fin(CONTINUATION, b"")])
        }),
        case("6.1.3", || {
            echoed(&[
                more(TEXT, b""),
                more(CONTINUATION, b"only here"),
                fin(CONTINUATION, b""),
            ])
        }),
        case("6.2.1", || echoed(&[fin(TEXT, MIXED.as_bytes())])),
        case("6.2.2", || {
            let (start, end) = MIXED.split_at("Größe".len());
            echoed(&[more(TEXT, start.as_bytes()), fin(CONTINUATION, end.as_bytes())])
        }),
        case("6.2.3", || echoed(&fragments(TEXT, MIXED.as_bytes(), 1))),
        case("6.2.4", || echoed(&fragments(TEXT, KOSME, 1))),
        case("6.3.1", move || refused(&[fin(TEXT, &surrogate())])),
        case("6.3.2", move || refused(&fragments(TEXT, &surrogate(), 1))),
        case("6.4.1", move || in_frames(at, to)),
        case("6.4.2", move || in_frames(cut, cut + 1)),
        case("6.4.3", move || in_one_frame(at, to)),
        case("6.4.4", move || in_one_frame(cut, cut + 1)),
    ]
}

struct Sequence {
    bytes: Vec<u8>,
    verdict: Verdict,
}

/// The expectation is written beside each sequence, not computed by a decoder.
#[derive(Clone, Copy)]
enum Verdict {
    Valid,
    Invalid,
}
use Verdict::{Invalid, Valid};

fn all(verdict: Verdict, sequences: &[&[u8]]) -> Vec<Sequence> {
    let with = |bytes: &&[u8]| Sequence {
        bytes: bytes.to_vec(),
        verdict,
    };
    sequences.iter().map(with).collect()
}

/// The groups from 6.5 on.
fn sequences() -> Vec<Vec<Sequence>> {
    vec![
        texts(),
        prefixes(),
        all(
            Valid,
            &[&[0x00], &[0xc2, 0x80], &[0xe0, 0xa0, 0x80], &[0xf0, 0x90, 0x80, 0x80]],
        ),
        all(
            Invalid,
            &[&[0xf8, 0x88, 0x80, 0x80, 0x80], &[0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]],
        ),
        all(
            Valid,
            &[&[0x7f], &[0xdf, 0xbf], &[0xef, 0xbf, 0xbf], &[0xf4, 0x8f, 0xbf, 0xbf]],
        ),
        all(
            Invalid,
            &[
                &[0xf7, 0xbf, 0xbf, 0xbf],
                &[0xfb, 0xbf, 0xbf, 0xbf, 0xbf],
                &[0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf],
            ],
        ),
        beside_the_boundaries(),
        stray_continuations(),
        lonely_starts(),
        cut_short(),
        vec![Sequence {
            bytes: CUT_SHORT.concat(),
            verdict: Invalid,
        }],
        all(Invalid, &[&[0xfe], &[0xff], &[0xfe, 0xfe, 0xff, 0xff]]),
        overlong(0xaf),
        all(
            Invalid,
            &[
                &[0xc1, 0xbf],
                &[0xe0, 0x9f, 0xbf],
                &[0xf0, 0x8f, 0xbf, 0xbf],
                &[0xf8, 0x87, 0xbf, 0xbf, 0xbf],
                &[0xfc, 0x83, 0xbf, 0xbf, 0xbf, 0xbf],
            ],
        ),
        overlong(0x80),
        surrogates(),
        pairs_of_surrogates(),
        noncharacters(),
        all(
            Valid,
            &[
                "\u{fff9}".as_bytes(),
                "\u{fffa}".as_bytes(),
                "\u{fffb}".as_bytes(),
                "\u{fffc}".as_bytes(),
                "\u{fffd}".as_bytes(),
                "\u{fffe}".as_bytes(),
                "\u{ffff}".as_bytes(),
            ],
        ),
    ]
}

/// Characters of one to four bytes between others, the word of the stress test, and below the prefixes of it.
fn texts() -> Vec<Sequence> {
    all(
        Valid,
        &[
            "hello$world".as_bytes(),
            "hello¢world".as_bytes(),
            "hello€world".as_bytes(),
            "hello\u{24b62}world".as_bytes(),
            KOSME,
        ],
    )
}

fn prefixes() -> Vec<Sequence> {
    // The letters have 2, 3, 2, 2 and 2 bytes: a prefix is a text where one ends.
    let ends = [2, 5, 7, 9, 11];
    (1..=KOSME.len())
        .map(|length| Sequence {
            bytes: KOSME[..length].to_vec(),
            verdict: if ends.contains(&length) { Valid } else { Invalid },
        })
        .collect()
}

fn beside_the_boundaries() -> Vec<Sequence> {
    let mut sequences = all(
        Valid,
        &[
            "\u{d7ff}".as_bytes(),
            "\u{e000}".as_bytes(),
            "\u{fffd}".as_bytes(),
            "\u{10ffff}".as_bytes(),
        ],
    );
    sequences.extend(all(Invalid, &[BEYOND]));
    sequences
}

fn stray_continuations() -> Vec<Sequence> {
    let mut sequences = all(Invalid, &[&[0x80], &[0xbf]]);
    let alternating = [0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf];
    for length in 2..=alternating.len() {
        sequences.extend(all(Invalid, &[&alternating[..length]]));
    }
    let every: Vec<u8> = (0x80..0xbf).collect();
    sequences.extend(all(Invalid, &[&every]));
    sequences
}

/// First bytes of characters of 2 to 6 bytes, each with a space after it.
fn lonely_starts() -> Vec<Sequence> {
    [0xc0..0xdf_u8, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd]
        .map(|starts| Sequence {
            bytes: starts.flat_map(|start| [start, b' ']).collect(),
            verdict: Invalid,
        })
        .into()
}

/// Characters without their last byte.
const CUT_SHORT: [&[u8]; 10] = [
    &[0xc0],
    &[0xe0, 0x80],
    &[0xf0, 0x80, 0x80],
    &[0xf8, 0x80, 0x80, 0x80],
    &[0xfc, 0x80, 0x80, 0x80, 0x80],
    &[0xdf],
    &[0xef, 0xbf],
    &[0xf7, 0xbf, 0xbf],
    &[0xfb, 0xbf, 0xbf, 0xbf],
    &[0xfd, 0xbf, 0xbf, 0xbf, 0xbf],
];

fn cut_short() -> Vec<Sequence> {
    all(Invalid, &CUT_SHORT)
}

/// An ASCII character in 2 to 6 bytes: NUL, or the slash.
fn overlong(last: u8) -> Vec<Sequence> {
    [0xc0_u8, 0xe0, 0xf0, 0xf8, 0xfc]
        .into_iter()
        .enumerate()
        .map(|(zeros, first)| Sequence {
            bytes: [&[first], vec![0x80; zeros].as_slice(), &[last]].concat(),
            verdict: Invalid,
        })
        .collect()
}

fn surrogates() -> Vec<Sequence> {
    let halves = [
        [0xa0, 0x80],
        [0xad, 0xbf],
        [0xae, 0x80],
        [0xaf, 0xbf],
        [0xb0, 0x80],
        [0xbe, 0x80],
        [0xbf, 0xbf],
    ];
    halves
        .map(|[second, third]| Sequence {
            bytes: vec![0xed, second, third],
            verdict: Invalid,
        })
        .into()
}

fn pairs_of_surrogates() -> Vec<Sequence> {
    let mut sequences = Vec::new();
    for high in [[0xa0, 0x80], [0xad, 0xbf], [0xae, 0x80], [0xaf, 0xbf]] {
        for low in [[0xb0, 0x80], [0xbf, 0xbf]] {
            sequences.push(Sequence {
                bytes: [&[0xed], high.as_slice(), &[0xed], &low].concat(),
                verdict: Invalid,
            });
        }
    }
    sequences
}

/// The last two code points of each of the 17 planes, which have no characters and are valid nevertheless (RFC 3629).
fn noncharacters() -> Vec<Sequence> {
    (0..17_u32)
        .flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff])
        .map(|point| Sequence {
            bytes: char::from_u32(point).unwrap().to_string().into_bytes(),
            verdict: Valid,
        })
        .collect()
}
