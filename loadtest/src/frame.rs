//! RFC 6455 frames for the generator: a scanner over received bytes, and a writer.
//!
//! The scanner is a pure function over the start of a buffer. Any split of the same bytes gives the same frames, and the scanner reports a
//! torn stream at the first impossible header. Never: reads a payload, copies.

use std::ops::Range;

use crate::limits::FRAME_BYTES;

/// The frame kinds of RFC 6455 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether this is a control frame: at most 125 bytes, never fragmented.
    pub fn is_control(self) -> bool {
        self.bits() >= 8
    }
}

/// One whole frame at the start of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: Opcode,
    pub fin: bool,
    pub mask: Option<[u8; 4]>,
    /// The range of the payload in the buffer; its end is the end of the frame.
    pub payload: Range<usize>,
}

/// The result of scanning the start of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    Frame(Frame),
    /// The start of a frame. At least this many bytes are needed to go on.
    Partial(usize),
    /// Not a frame: the stream is torn, and nothing after it can be read.
    Torn(&'static str),
}

/// The sender of the bytes: a client's frames must be masked, a server's must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Server,
    Client,
}

/// Bytes of the head of an unmasked frame with a payload of this length.
pub fn head_bytes(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Scans the start of `bytes`.
#[inline]
pub fn scan(bytes: &[u8], from: From) -> Scan {
    let &[first, second, ref rest @ ..] = bytes else {
        return Scan::Partial(2);
    };
    if first & 0x70 != 0 {
        return Scan::Torn("a reserved bit is set");
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
        return Scan::Torn("an unknown opcode");
    };
    let fin = first & 0x80 != 0;
    let masked = second & 0x80 != 0;
    match (from, masked) {
        (From::Server, true) => return Scan::Torn("a masked frame from a server"),
        (From::Client, false) => return Scan::Torn("an unmasked frame from a client"),
        (From::Server, false) | (From::Client, true) => {}
    }
    let short = usize::from(second & 0x7f);
    if opcode.is_control() && (short > 125 || !fin) {
        return Scan::Torn("a control frame that is fragmented or longer than 125 bytes");
    }
    let (length, mut head) = match short {
        126 => {
            let Some(&bytes) = rest.first_chunk::<2>() else {
                return Scan::Partial(4);
            };
            (usize::from(u16::from_be_bytes(bytes)), 4)
        }
        127 => {
            let Some(&bytes) = rest.first_chunk::<8>() else {
                return Scan::Partial(10);
            };
            let Ok(length) = usize::try_from(u64::from_be_bytes(bytes)) else {
                return Scan::Torn("a length beyond memory");
            };
            (length, 10)
        }
        short => (short, 2),
    };
    if (head == 4 && length < 126) || (head == 10 && length < 65_536) {
        return Scan::Torn("a length that is not written in its shortest form");
    }
    if length > FRAME_BYTES {
        return Scan::Torn("a frame longer than the generator's bound");
    }
    let mask = if masked {
        let Some(&key) = bytes.get(head..).and_then(|bytes| bytes.first_chunk::<4>()) else {
            return Scan::Partial(head + 4);
        };
        head += 4;
        Some(key)
    } else {
        None
    };
    if bytes.len() < head + length {
        return Scan::Partial(head + length);
    }
    Scan::Frame(Frame {
        opcode,
        fin,
        mask,
        payload: head..head + length,
    })
}

/// Appends one whole frame to `out`, masked when there is a key.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.push(0x80 | opcode.bits());
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => out.push(bit | short),
        (_, Ok(length)) => {
            out.push(bit | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(bit | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    match mask {
        Some(key) => {
            out.extend_from_slice(&key);
            let start = out.len();
            out.extend_from_slice(payload);
            unmask(out.get_mut(start..).unwrap_or_default(), key);
        }
        None => out.extend_from_slice(payload),
    }
}

pub fn unmask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The code in the payload of a close frame; 1005 when it holds none.
pub fn close_code(payload: &[u8]) -> u16 {
    payload
        .first_chunk::<2>()
        .map_or(1005, |&bytes| u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn frames(mut bytes: &[u8], from: From) -> Vec<(Opcode, Vec<u8>)> {
        let mut found = Vec::new();
        while let Scan::Frame(frame) = scan(bytes, from) {
            let mut payload = bytes[frame.payload.clone()].to_vec();
            if let Some(key) = frame.mask {
                unmask(&mut payload, key);
            }
            found.push((frame.opcode, payload));
            bytes = &bytes[frame.payload.end..];
        }
        assert!(bytes.is_empty(), "what is left is not a frame");
        found
    }

    proptest! {
        #[test]
        fn what_is_written_is_scanned_wherever_it_is_split(
            sizes in prop::collection::vec(prop_oneof![0..300usize, 65_500..65_600usize], 1..6),
            key in any::<Option<[u8; 4]>>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let from = if key.is_some() { From::Client } else { From::Server };
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            for (index, size) in sizes.into_iter().enumerate() {
                let payload = vec![b'a' + index as u8; size];
                write(&mut bytes, Opcode::Binary, &payload, key);
                wanted.push((Opcode::Binary, payload));
            }
            prop_assert_eq!(frames(&bytes, from), wanted);
            // Cut anywhere: the first frame is either there, or announced with a size beyond the cut; never torn.
            let cut = cut.index(bytes.len());
            match scan(&bytes[..cut], from) {
                Scan::Frame(frame) => prop_assert!(frame.payload.end <= cut),
                Scan::Partial(needed) => prop_assert!(needed > cut),
                Scan::Torn(why) => prop_assert!(false, "torn: {}", why),
            }
        }
    }

    #[test]
    fn headers_that_cannot_be_are_torn() {
        for bad in [
            &[0xc2, 0x00][..],
            &[0x83, 0x00],
            &[0x8b, 0x00],
            &[0x82, 0x80, 0, 0, 0, 0],
            &[0x09, 0x00],
            &[0x89, 0x7e, 0, 126],
            &[0x82, 126, 0, 125],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 127, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(matches!(scan(bad, From::Server), Scan::Torn(_)), "{bad:02x?}");
        }
        assert!(matches!(scan(&[0x82, 0x00], From::Client), Scan::Torn(_)));
    }

    #[test]
    fn a_close_frame_without_a_code_is_1005() {
        assert_eq!(close_code(&[]), 1005);
        assert_eq!(close_code(&[0x03, 0xf5, b'x']), 1013);
    }
}
