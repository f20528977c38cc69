//! Frames of the server: unmasked, unfragmented, with the shortest head (RFC 6455 section 5.2).
//!
//! A control frame lives on the stack. A data frame is a [`head`] followed by the caller's payload. This module never allocates, does
//! I/O, or builds a control frame that a client would have to refuse.

use std::fmt;

use fastwebsockets::OpCode;

use super::rules::Violation;
use crate::limits::CONTROL_PAYLOAD_BYTES;

/// A complete close, ping or pong frame, at most 127 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ControlFrame {
    bytes: [u8; 2 + CONTROL_PAYLOAD_BYTES],
    payload_bytes: u8,
}

/// The head of a frame, at most 10 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    bytes: [u8; 10],
    used: u8,
}

/// The head of an unfragmented message.
#[inline]
pub fn head(opcode: OpCode, payload_bytes: usize) -> FrameHead {
    let first = FIN | opcode as u8;
    let mut bytes = [0; 10];
    let [b0, b1, length @ ..] = &mut bytes;
    *b0 = first;
    let used = match payload_bytes {
        short @ 0..=125 => {
            *b1 = short as u8;
            2
        }
        medium @ 126..=0xFFFF => {
            *b1 = 126;
            if let Some(length) = length.first_chunk_mut() {
                *length = (medium as u16).to_be_bytes();
            }
            4
        }
        long => {
            *b1 = 127;
            *length = (long as u64).to_be_bytes();
            10
        }
    };
    FrameHead { bytes, used }
}

/// A close frame. A reason that is too long is cut at a character boundary.
pub fn close(code: u16, reason: &str) -> ControlFrame {
    let reason = (0..=REASON_BYTES)
        .rev()
        .find_map(|end| reason.get(..end))
        .unwrap_or_default();
    let [high, low] = code.to_be_bytes();
    ControlFrame::new(OpCode::Close, [high, low].iter().chain(reason.as_bytes()))
}

/// The answer to a client's close frame: its own code, or an empty frame if it gave none.
pub fn close_answer(code: Option<u16>) -> ControlFrame {
    match code {
        Some(code) => close(code, ""),
        None => ControlFrame::new(OpCode::Close, [].iter()),
    }
}

/// A ping. A payload over 125 bytes is cut.
pub fn ping(payload: &[u8]) -> ControlFrame {
    ControlFrame::new(OpCode::Ping, payload.iter())
}

/// A pong, with the payload of the ping that it answers. A payload over 125 bytes is cut; no client's ping has one.
pub fn pong(payload: &[u8]) -> ControlFrame {
    ControlFrame::new(OpCode::Pong, payload.iter())
}

impl ControlFrame {
    fn new<'a>(opcode: OpCode, payload: impl Iterator<Item = &'a u8>) -> ControlFrame {
        let mut bytes = [0; 2 + CONTROL_PAYLOAD_BYTES];
        let [first, second, room @ ..] = &mut bytes;
        let payload_bytes = room.iter_mut().zip(payload).map(|(to, from)| *to = *from).count() as u8;
        (*first, *second) = (FIN | opcode as u8, payload_bytes);
        ControlFrame { bytes, payload_bytes }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..2 + usize::from(self.payload_bytes))
            .unwrap_or(&self.bytes)
    }
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlFrame({})", self.as_bytes().escape_ascii())
    }
}

impl FrameHead {
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.used)).unwrap_or(&self.bytes)
    }
}

impl AsRef<[u8]> for FrameHead {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Violation {
    /// The close frame for this violation.
    pub fn close_frame(&self) -> ControlFrame {
        close(self.code, &self.reason)
    }
}

/// The FIN bit of the first byte.
const FIN: u8 = 0x80;
/// Longest head of a server's frame.
pub const FRAME_HEAD_BYTES: usize = 10;
/// Longest reason of a close frame: a control payload without the code.
const REASON_BYTES: usize = CONTROL_PAYLOAD_BYTES - 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_take_the_shortest_form_at_every_border() {
        let heads: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (0xFFFF, &[0x81, 126, 0xFF, 0xFF]),
            (0x10000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (0x1_0000_0000, &[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (payload_bytes, bytes) in heads {
            assert_eq!(head(OpCode::Text, payload_bytes).as_bytes(), bytes, "{payload_bytes}");
        }
        assert_eq!(head(OpCode::Binary, 0).as_bytes(), [0x82, 0]);
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        assert_eq!(close(1002, "no").as_bytes(), b"\x88\x04\x03\xEAno");
        assert_eq!(close_answer(Some(1000)).as_bytes(), b"\x88\x02\x03\xE8");
        assert_eq!(close_answer(None).as_bytes(), b"\x88\x00");
        assert_eq!(Violation::protocol("no").close_frame(), close(1002, "no"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        // 123 bytes are 41 characters of 3; one byte in front leaves room for 40.
        assert_eq!(close(1000, &"页".repeat(60)).as_bytes().len(), 2 + 2 + 123);
        let cut = close(1000, &format!("x{}", "页".repeat(60)));
        assert_eq!(
            std::str::from_utf8(&cut.as_bytes()[4..]),
            Ok(&*format!("x{}", "页".repeat(40)))
        );
        assert_eq!(usize::from(cut.as_bytes()[1]), cut.as_bytes().len() - 2);
    }

    #[test]
    fn pings_and_pongs_carry_at_most_125_bytes() {
        assert_eq!(ping(b"").as_bytes(), [0x89, 0]);
        assert_eq!(pong(b"abc").as_bytes(), b"\x8A\x03abc");
        let longest = pong(&[7; 125]);
        assert_eq!(longest.as_bytes()[..2], [0x8A, 125]);
        assert_eq!(longest.as_bytes()[2..], [7; 125]);
        assert_eq!(pong(&[7; 126]), longest);
    }
}
