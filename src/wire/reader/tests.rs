use proptest::{prelude::*, test_runner::RngSeed};

use super::*;
use crate::wire::{
    masked::masked_frame,
    properties::{check, read_in_pieces},
};

const LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: 70_000,
    fragments: 4,
    text_is_utf8: true,
};
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
/// The same without FIN.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
const ENDS: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A valid frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked_frame(first, MASK, payload)
}

/// Reads a stream at once, after checking that it reads the same however it is split.
fn read_under(limits: ReaderLimits, stream: &[u8]) -> (String, Result<Progress, u16>) {
    check(stream, limits, 7);
    let outcome = read_in_pieces(stream, limits, |left| left, || Flow::Go);
    (
        outcome.events.iter().map(|event| format!("{event:?} ")).collect(),
        outcome.end,
    )
}

fn read(frames: &[Vec<u8>]) -> (String, Result<Progress, u16>) {
    read_under(LIMITS, &frames.concat())
}

fn more(events: &str) -> (String, Result<Progress, u16>) {
    (events.to_owned(), Ok(Progress::NeedMore))
}

#[test]
fn the_masked_hello_of_the_rfc_is_read() {
    // RFC 6455 section 5.7.
    let hello = vec![0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(read(&[hello]), more("Text(Hello) "));
}

#[test]
fn payloads_are_read_at_every_border_of_the_length_forms() {
    for length in [0, 1, 125, 126, 127, 0xFFFF, 0x10000] {
        let payload = vec![b'x'; length];
        let mut seen = None;
        let outcome = FrameReader::new(LIMITS).read(&mut frame(BINARY, &payload), |incoming| {
            seen = Some(incoming == Incoming::Message(Message::Binary(&payload)));
            Flow::Go
        });
        assert_eq!((outcome, seen), (Ok(Progress::NeedMore), Some(true)), "{length}");
        check(&frame(TEXT, &payload), LIMITS, length as u64);
    }
}

#[test]
fn whole_frames_are_slices_of_the_input_and_nothing_is_kept() {
    let mut reader = FrameReader::new(LIMITS);
    let mut input = [
        frame(TEXT, b"one"),
        frame(PING, b"two"),
        frame(BINARY, b"three"),
        frame(PONG, b"four"),
    ]
    .concat();
    let range = input.as_ptr_range();
    let mut taken = 0;
    let progress = reader.read(&mut input, |incoming| {
        let bytes = match incoming {
            Incoming::Message(Message::Text(bytes) | Message::Binary(bytes)) => bytes,
            Incoming::Ping(bytes) | Incoming::Pong(bytes) => bytes,
            Incoming::Close { reason, .. } => reason.as_bytes(),
        };
        assert!(range.contains(&bytes.as_ptr()));
        taken += 1;
        Flow::Go
    });
    assert_eq!((progress, taken), (Ok(Progress::NeedMore), 4));
    assert_eq!((reader.buffered_bytes(), reader.is_unfinished()), (0, false));
}

#[test]
fn an_idle_reader_is_small() {
    assert!(size_of::<FrameReader>() <= 64, "{}", size_of::<FrameReader>());
}

#[test]
fn memory_follows_what_came_and_not_what_was_promised() {
    let huge = ReaderLimits {
        message_bytes: usize::MAX,
        ..LIMITS
    };
    let mut reader = FrameReader::new(huge);
    let mut promise = [
        0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5,
    ];
    assert_eq!(reader.read(&mut promise, |_| Flow::Go), Ok(Progress::NeedMore));
    assert!(reader.is_unfinished());
    assert!(
        (1..1024).contains(&reader.buffered_bytes()),
        "{}",
        reader.buffered_bytes()
    );
}

#[test]
fn what_was_kept_is_freed_when_it_is_finished() {
    let mut reader = FrameReader::new(LIMITS);
    let mut ends = frame(TEXT, &[b'x'; 5000]);
    let mut begins: Vec<u8> = ends.drain(..4000).collect();
    assert_eq!(reader.read(&mut begins, |_| unreachable!()), Ok(Progress::NeedMore));
    assert!(reader.is_unfinished() && reader.buffered_bytes() >= 3900);
    let mut seen = 0;
    let progress = reader.read(&mut ends, |incoming| {
        seen += usize::from(incoming == Incoming::Message(Message::Text(&[b'x'; 5000])));
        Flow::Go
    });
    assert_eq!((progress, seen), (Ok(Progress::NeedMore), 1));
    assert_eq!((reader.buffered_bytes(), reader.is_unfinished()), (0, false));
}

#[test]
fn fragments_become_one_message_and_control_frames_between_them_come_first() {
    let frames = [
        frame(TEXT_BEGINS, "a张".as_bytes()),
        frame(PING, b"p"),
        frame(GOES_ON, b""),
        frame(PONG, b"q"),
        frame(ENDS, "三".as_bytes()),
        frame(BINARY, b"next"),
    ];
    let text: String = "a张三"
        .bytes()
        .flat_map(std::ascii::escape_default)
        .map(char::from)
        .collect();
    assert_eq!(
        read(&frames),
        more(&format!("Ping(p) Pong(q) Text({text}) Binary(next) "))
    );
    assert_eq!(read(&[frame(BINARY_BEGINS, b""), frame(ENDS, b"")]), more("Binary() "));
}

#[test]
fn a_character_may_be_cut_between_fragments_but_not_at_the_end() {
    let (front, back) = "三".as_bytes().split_at(2);
    let joined: String = "三"
        .bytes()
        .flat_map(std::ascii::escape_default)
        .map(char::from)
        .collect();
    assert_eq!(
        read(&[frame(TEXT_BEGINS, front), frame(ENDS, back)]),
        more(&format!("Text({joined}) "))
    );
    assert_eq!(
        read(&[frame(TEXT_BEGINS, b"x"), frame(ENDS, front)]),
        (String::new(), Err(1007))
    );
    assert_eq!(read(&[frame(TEXT, front)]), (String::new(), Err(1007)));
    assert_eq!(
        read(&[frame(TEXT_BEGINS, front), frame(ENDS, b"x")]),
        (String::new(), Err(1007))
    );
}

#[test]
fn bad_utf8_is_refused_before_the_rest_of_its_frame_comes() {
    let mut reader = FrameReader::new(LIMITS);
    let mut text = frame(TEXT, b"ok \xFF and much more that never comes");
    let violation = reader.read(&mut text[..10], |_| unreachable!()).unwrap_err();
    assert_eq!((violation.code, &*violation.reason), (1007, "text is not UTF-8"));
    // U+110000 is refused at its second byte, a surrogate too.
    for early in [b"\xF4\x90", b"\xED\xA0"] {
        assert_eq!(read(&[frame(TEXT_BEGINS, early)]), (String::new(), Err(1007)));
    }
}

#[test]
fn text_that_need_not_be_utf8_is_handed_out_as_it_came() {
    let lax = ReaderLimits {
        text_is_utf8: false,
        ..LIMITS
    };
    let frames = [frame(TEXT, b"\xFF"), frame(TEXT_BEGINS, b"\xE4"), frame(ENDS, b"\xFE")].concat();
    assert_eq!(read_under(lax, &frames), more(r"Text(\xff) Text(\xe4\xfe) "));
    // A close reason is no text message.
    assert_eq!(
        read_under(lax, &frame(CLOSE, b"\x03\xE8\xFF")),
        (String::new(), Err(1007))
    );
}

#[test]
fn every_break_of_the_protocol_is_refused_at_its_first_wrong_byte() {
    let broken: [(&str, &[u8]); 22] = [
        ("reserved bit 1", &[0xC1]),
        ("reserved bit 2", &[0xA1]),
        ("reserved bit 3", &[0x91]),
        ("reserved bit of a control frame", &[0xC9]),
        ("opcode 3", &[0x83]),
        ("opcode 7", &[0x87]),
        ("opcode 11", &[0x8B]),
        ("opcode 15", &[0x8F]),
        ("fragmented ping", &[0x09]),
        ("fragmented pong", &[0x0A]),
        ("fragmented close", &[0x08]),
        ("continuation of nothing", &[GOES_ON]),
        ("last continuation of nothing", &[ENDS]),
        ("unmasked text", &[TEXT, 5]),
        ("unmasked empty ping", &[PING, 0]),
        ("unmasked with a long length", &[BINARY, 127]),
        ("ping of 126 bytes", &[PING, 0x80 | 126]),
        ("close with a 64-bit length", &[CLOSE, 0x80 | 127]),
        ("16-bit length of 125", &[BINARY, 0xFE, 0, 125]),
        ("64-bit length of 65535", &[BINARY, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
        (
            "64-bit length with its top bit",
            &[BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            "64-bit length of all ones",
            &[BINARY, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
    ];
    for (name, bytes) in broken {
        let stream = [&frame(TEXT, b"before")[..], bytes].concat();
        assert_eq!(
            read_under(LIMITS, &stream),
            ("Text(before) ".to_owned(), Err(1002)),
            "{name}"
        );
        let one_byte_less = &stream[..stream.len() - 1];
        assert_eq!(read_under(LIMITS, one_byte_less).1, Ok(Progress::NeedMore), "{name}");
    }
}

#[test]
fn a_new_message_inside_an_unfinished_one_is_refused() {
    for first in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
        let stream = [frame(TEXT_BEGINS, b"one"), frame(PING, b"p"), vec![first]];
        assert_eq!(read(&stream), ("Ping(p) ".to_owned(), Err(1002)), "{first:#x}");
    }
}

#[test]
fn a_message_that_is_too_big_is_refused_by_its_heads() {
    let limits = ReaderLimits {
        message_bytes: 200,
        ..LIMITS
    };
    assert_eq!(read_under(limits, &frame(BINARY, &[0; 200])).1, Ok(Progress::NeedMore));
    // No mask, no payload: the length alone is enough.
    assert_eq!(read_under(limits, &[BINARY, 0xFE, 0, 201]).1, Err(1009));
    let fragments = [
        frame(BINARY_BEGINS, &[0; 150]),
        frame(PING, &[0; 125]),
        vec![GOES_ON, 0x80 | 51],
    ]
    .concat();
    let mut reader = FrameReader::new(limits);
    let violation = reader.read(&mut fragments.clone(), |_| Flow::Go).unwrap_err();
    assert_eq!(&*violation.reason, "message of 201 bytes; at most 200 are allowed");
    assert_eq!(read_under(limits, &fragments).1, Err(1009));
}

#[test]
fn a_message_of_too_many_fragments_is_refused_and_the_count_begins_anew() {
    let four = [
        frame(TEXT_BEGINS, b""),
        frame(GOES_ON, b""),
        frame(GOES_ON, b""),
        frame(ENDS, b"x"),
    ]
    .concat();
    assert_eq!(read_under(LIMITS, &four.repeat(2)), more("Text(x) Text(x) "));
    let five = [frame(TEXT_BEGINS, b""), frame(GOES_ON, b"").repeat(3), vec![ENDS]];
    assert_eq!(read(&five), (String::new(), Err(1009)));
}

#[test]
fn a_close_frame_ends_the_stream_and_the_rest_is_discarded() {
    let closed = |events: &str| (events.to_owned(), Ok(Progress::Closed));
    let after = || frame(TEXT, b"after");
    assert_eq!(read(&[frame(CLOSE, b""), after()]), closed("Close() "));
    assert_eq!(
        read(&[frame(CLOSE, b"\x03\xE8bye"), after()]),
        closed(r"Close(\x03\xe8bye) ")
    );
    assert_eq!(
        read(&[frame(TEXT_BEGINS, b"half"), frame(CLOSE, b"\x03\xE9")]),
        closed(r"Close(\x03\xe9) ")
    );

    let mut reader = FrameReader::new(LIMITS);
    reader.read(&mut frame(CLOSE, b""), |_| Flow::Pause).unwrap();
    assert_eq!(reader.read(&mut after(), |_| unreachable!()), Ok(Progress::Closed));
    assert_eq!(reader.resume(|_| unreachable!()), Ok(Progress::Closed));
}

#[test]
fn nothing_is_read_after_a_violation() {
    let mut reader = FrameReader::new(LIMITS);
    let mut stream = [frame(TEXT_BEGINS, b"half"), vec![0xFF], frame(TEXT, b"after")].concat();
    assert_eq!(reader.read(&mut stream, |_| unreachable!()).unwrap_err().code, 1002);
    assert_eq!((reader.is_unfinished(), reader.buffered_bytes()), (false, 0));
    assert_eq!(
        reader.read(&mut frame(TEXT, b"after"), |_| unreachable!()),
        Ok(Progress::Closed)
    );
}

#[test]
fn only_close_codes_that_may_be_sent_are_taken() {
    let close = |code: u16| read(&[frame(CLOSE, &code.to_be_bytes())]).1;
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        assert_eq!(close(code), Ok(Progress::Closed), "{code}");
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        assert_eq!(close(code), Err(1002), "{code}");
    }
    assert_eq!(read(&[frame(CLOSE, b"\x03")]).1, Err(1002));
    assert_eq!(read(&[frame(CLOSE, b"\x03\xE8\xE4\xBD")]).1, Err(1007));
    assert_eq!(
        read(&[frame(CLOSE, &[b"\x03\xE8".as_slice(), &[b'x'; 123]].concat())]).1,
        Ok(Progress::Closed)
    );
}

#[test]
fn a_paused_reader_keeps_what_is_left_and_goes_on_in_order() {
    let mut reader = FrameReader::new(LIMITS);
    let mut seen = String::new();
    let mut pause = |incoming: Incoming<'_>| {
        seen.extend(match incoming {
            Incoming::Message(Message::Text(text)) => str::from_utf8(text).ok(),
            Incoming::Message(Message::Binary(_)) | Incoming::Close { .. } => None,
            Incoming::Ping(_) | Incoming::Pong(_) => Some("ping"),
        });
        Flow::Pause
    };
    let mut input = [frame(TEXT, b"a"), frame(PING, b""), frame(TEXT, b"b")].concat();
    input.extend(&frame(TEXT, b"c")[..3]);
    assert_eq!(reader.read(&mut input, &mut pause), Ok(Progress::Paused));
    assert!(reader.buffered_bytes() > 0);
    assert!(
        !reader.is_unfinished(),
        "bytes that wait for the sink are not the client's fault"
    );
    assert_eq!(reader.resume(&mut pause), Ok(Progress::Paused));
    // Input that arrives meanwhile follows the buffered bytes.
    assert_eq!(
        reader.read(&mut frame(TEXT, b"c")[3..], &mut pause),
        Ok(Progress::Paused)
    );
    assert_eq!(reader.resume(&mut pause), Ok(Progress::Paused));
    assert_eq!(reader.resume(&mut pause), Ok(Progress::NeedMore));
    assert_eq!(reader.buffered_bytes(), 0);
    assert_eq!(seen, "apingbc");
}

/// What a valid client sends: messages in fragments with control frames between them.
fn right_stream() -> impl Strategy<Value = Vec<u8>> {
    let control = (
        prop_oneof![Just(PING), Just(PONG)],
        any::<[u8; 4]>(),
        prop::collection::vec(any::<u8>(), 0..=125),
    )
        .prop_map(|(first, mask, payload)| masked_frame(first, mask, &payload));
    let payload = prop_oneof![
        ".{0,40}".prop_map(|text| (TEXT, text.into_bytes())),
        "[a张é]{100,300}".prop_map(|text| (TEXT, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| (BINARY, bytes)),
    ];
    let cuts = prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            any::<[u8; 4]>(),
            prop::option::of(control),
        ),
        0..4,
    );
    let message = (payload, any::<[u8; 4]>(), cuts).prop_map(|((first, payload), mask, cuts)| {
        let mut places: Vec<usize> = cuts.iter().map(|(place, ..)| place.index(payload.len() + 1)).collect();
        places.sort_unstable();
        let (mut stream, mut from, mut opcode) = (Vec::new(), 0, first & 0x0F);
        for (place, (_, mask, control)) in places.into_iter().zip(cuts) {
            stream.extend(masked_frame(opcode, mask, &payload[from..place]));
            stream.extend(control.unwrap_or_default());
            (from, opcode) = (place, GOES_ON);
        }
        stream.extend(masked_frame(ENDS | opcode, mask, &payload[from..]));
        stream
    });
    let close = prop_oneof![
        Just(Vec::new()),
        (prop_oneof![Just(1000_u16), Just(1014), 3000..5000_u16], "[a-z张]{0,30}")
            .prop_map(|(code, reason)| frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())),
    ];
    (prop::collection::vec(message, 0..6), close).prop_map(|(messages, close)| [messages.concat(), close].concat())
}

/// The same cases in every run; the fuzz target looks for new ones, and PROPTEST_CASES makes more.
fn same_cases() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(6455),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(same_cases())]

    #[test]
    fn a_right_stream_reads_the_same_however_it_is_split_and_as_fastwebsockets_reads_it(
        stream in right_stream(),
        seed in any::<u64>(),
    ) {
        check(&stream, LIMITS, seed);
        let outcome = read_in_pieces(&stream, LIMITS, |left| left, || Flow::Go);
        prop_assert!(outcome.end.is_ok() && !outcome.is_unfinished, "{:?}", outcome);
    }

    #[test]
    fn a_damaged_stream_reads_the_same_however_it_is_split(
        stream in right_stream(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        message_bytes in 0..600_usize,
        text_is_utf8 in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut stream = stream;
        for (place, byte) in damage {
            if !stream.is_empty() {
                let place = place.index(stream.len());
                stream[place] = byte;
            }
        }
        stream.truncate(cut.index(stream.len() + 1));
        check(&stream, ReaderLimits { message_bytes, fragments: 3, text_is_utf8 }, seed);
    }

    #[test]
    fn any_bytes_read_the_same_however_they_are_split(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        seed in any::<u64>(),
    ) {
        check(&stream, LIMITS, seed);
    }
}
