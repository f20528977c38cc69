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
    let frames = [fin(TEXT, &sequence.bytes)];
    if sequence.is_valid {
        echoed(&frames)
    } else {
        refused(&frames)
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

/// A sequence and whether it is UTF-8: the expectation is written beside each sequence, not computed by a decoder.
struct Sequence {
    bytes: Vec<u8>,
    is_valid: bool,
}

fn valid(bytes: impl AsRef<[u8]>) -> Sequence {
    let bytes = bytes.as_ref().to_vec();
    Sequence { bytes, is_valid: true }
}

fn invalid(bytes: impl AsRef<[u8]>) -> Sequence {
    let bytes = bytes.as_ref().to_vec();
    Sequence { bytes, is_valid: false }
}

/// Sequences in hexadecimal, with spaces between them.
fn hex(sequences: &str, of: fn(Vec<u8>) -> Sequence) -> Vec<Sequence> {
    let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    let words = sequences.split_whitespace();
    words
        .map(|word| of(word.as_bytes().chunks(2).map(byte).collect()))
        .collect()
}

/// Characters without their last byte.
const CUT_SHORT: &str = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf";

/// The groups from 6.5 on.
fn sequences() -> Vec<Vec<Sequence>> {
    let mut boundaries = hex("ed9fbf ee8080 efbfbd f48fbfbf", valid);
    boundaries.push(invalid(BEYOND));
    vec![
        texts(),
        prefixes(),
        hex("00 c280 e0a080 f0908080", valid),
        hex("f888808080 fc8480808080", invalid),
        hex("7f dfbf efbfbf f48fbfbf", valid),
        hex("f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf", invalid),
        boundaries,
        stray_continuations(),
        lonely_starts(),
        hex(CUT_SHORT, invalid),
        hex(&CUT_SHORT.replace(' ', ""), invalid),
        hex("fe ff fefeffff", invalid),
        // The slash, the largest and NUL, each in more bytes than it needs.
        hex("c0af e080af f08080af f8808080af fc80808080af", invalid),
        hex("c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf", invalid),
        hex("c080 e08080 f0808080 f880808080 fc8080808080", invalid),
        // Surrogates, alone and in pairs.
        hex("eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf", invalid),
        hex(
            "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
            invalid,
        ),
        noncharacters(),
        ('\u{fff9}'..='\u{ffff}')
            .map(|point| valid(point.to_string()))
            .collect(),
    ]
}

/// Characters of one to four bytes between others, the word of the stress test, and below the prefixes of it.
fn texts() -> Vec<Sequence> {
    let texts = ["hello$world", "hello¢world", "hello€world", "hello\u{24b62}world"];
    texts.into_iter().map(valid).chain([valid(KOSME)]).collect()
}

fn prefixes() -> Vec<Sequence> {
    // The letters have 2, 3, 2, 2 and 2 bytes: a prefix is a text where one ends.
    let ends = [2, 5, 7, 9, 11];
    let prefix = |length: usize| {
        if ends.contains(&length) {
            valid(&KOSME[..length])
        } else {
            invalid(&KOSME[..length])
        }
    };
    (1..=KOSME.len()).map(prefix).collect()
}

fn stray_continuations() -> Vec<Sequence> {
    let alternating = [0x80, 0xbf, 0x80, 0xbf, 0x80, 0xbf];
    let each = [invalid([0x80]), invalid([0xbf])].into_iter();
    let runs = (2..=alternating.len()).map(|length| invalid(&alternating[..length]));
    let every: Vec<u8> = (0x80..0xbf).collect();
    each.chain(runs).chain([invalid(every)]).collect()
}

/// First bytes of characters of 2 to 6 bytes, each with a space after it.
fn lonely_starts() -> Vec<Sequence> {
    let starts = [0xc0..0xdf_u8, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd];
    let spaced = |starts: std::ops::Range<u8>| starts.flat_map(|start| [start, b' ']).collect::<Vec<_>>();
    starts.map(|starts| invalid(spaced(starts))).into()
}

/// The last two code points of each of the 17 planes, which have no characters and are valid nevertheless (RFC 3629).
fn noncharacters() -> Vec<Sequence> {
    let points = (0..17_u32).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    points
        .map(|point| valid(char::from_u32(point).unwrap().to_string()))
        .collect()
}
