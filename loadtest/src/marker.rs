//! The marker in the text of every generated message, in any dialect.
//!
//! `~P` sender (6 hex digits) seq (8) intended send time in ns since the start of the run (16), then `x` up to the requested size. It has a
//! fixed length, needs no escaping in JSON, and is unchanged in the bytes of every dialect, so the audit need not decode a member's stream.
//! The marker determines the whole text, so the audit checks every byte.

use memchr::memmem;

/// Bytes of a marker; no text is shorter.
pub const MARKER_BYTES: usize = 32;
pub const PREFIX: &[u8] = b"~P";
const PAD: u8 = b'x';

pub type MarkerBytes = [u8; MARKER_BYTES];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The connection that sent it, below 2^24.
    pub sender: u32,
    /// Number among the messages of this sender, from 0.
    pub seq: u32,
    /// The intended time of sending, in nanoseconds since the start of the run.
    pub at_ns: u64,
}

impl Marker {
    pub fn bytes(&self) -> MarkerBytes {
        let mut bytes = *b"~P000000000000000000000000000000";
        let (_, digits) = bytes.split_at_mut(PREFIX.len());
        let (sender, digits) = digits.split_at_mut(6);
        let (seq, at) = digits.split_at_mut(8);
        hex(sender, u64::from(self.sender));
        hex(seq, u64::from(self.seq));
        hex(at, self.at_ns);
        bytes
    }

    /// Reads a marker; `None` if these bytes are not a marker.
    pub fn parse(bytes: &MarkerBytes) -> Option<Self> {
        let digits = bytes.strip_prefix(PREFIX)?;
        let (sender, digits) = digits.split_at_checked(6)?;
        let (seq, at) = digits.split_at_checked(8)?;
        Some(Self {
            sender: u32::try_from(unhex(sender)?).ok()?,
            seq: u32::try_from(unhex(seq)?).ok()?,
            at_ns: unhex(at)?,
        })
    }

    /// The whole text of a message, `text_bytes` long (at least a marker).
    pub fn text(&self, text_bytes: usize) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes()).into_owned();
        let padding = text_bytes.saturating_sub(MARKER_BYTES);
        text.extend(std::iter::repeat_n(char::from(PAD), padding));
        text
    }
}

pub fn find(payload: &[u8]) -> Option<usize> {
    memmem::find(payload, PREFIX)
}

fn hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        let nibble = (value & 0xf) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        value >>= 4;
    }
}

fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, &digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MARKER: Marker = Marker {
        sender: 1,
        seq: 2,
        at_ns: 3,
    };

    #[test]
    fn a_marker_comes_back_from_the_middle_of_a_message() {
        let marker = Marker {
            sender: 0x00ab_cdef,
            seq: 4_000_000_000,
            at_ns: u64::MAX - 7,
        };
        let message = format!("{{\"text\":\"{}\"}}", marker.text(64));
        let start = find(message.as_bytes()).unwrap();
        let bytes = message.as_bytes()[start..].first_chunk().unwrap();
        assert_eq!(Marker::parse(bytes), Some(marker));
        assert_eq!(
            message.as_bytes()[start + MARKER_BYTES..start + 64],
            [PAD; 64 - MARKER_BYTES]
        );
    }

    #[test]
    fn a_damaged_marker_is_none() {
        let mut bytes = MARKER.bytes();
        bytes[9] = b'G';
        assert_eq!(Marker::parse(&bytes), None);
    }

    #[test]
    fn a_text_is_never_shorter_than_its_marker() {
        assert_eq!(MARKER.text(5).len(), MARKER_BYTES);
    }
}
