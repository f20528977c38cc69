//! One key, and the message for which it was used.

use super::known::{Known, LiveKeys};
use crate::{
    chat::{MessageKind, Position, Seq},
    history::{
        checksum::Checksum,
        fingerprint::Fingerprint,
        messages,
        rows::{LogRow, int},
    },
};

/// Distinguishes messages under one key by text and kind. The user's name does not matter.
pub(super) fn digest(text: &str, kind: MessageKind) -> u32 {
    Checksum::default()
        .text(text)
        .number(messages::kind_number(kind))
        .finish()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyEntry {
    pub(super) fingerprint: Fingerprint,
    pub(super) digest: u32,
    pub(super) seq: Seq,
    pub(super) at: u64,
    /// The ordinal of the message.
    pub(super) ordinal: u64,
}

impl KeyEntry {
    pub(super) const BYTES: usize = 44;

    /// `None`: the key has expired.
    pub(super) fn compare(&self, row: &LogRow, digest: u32, live: LiveKeys) -> Option<Known> {
        if !live.includes(row, self.ordinal, int(self.at)) {
            return None;
        }
        if self.digest != digest {
            return Some(Known::Other);
        }
        let (epoch, seq) = (row.epoch, self.seq);
        Some(Known::Same {
            position: Position { epoch, seq },
            at: self.at,
        })
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.fingerprint.0);
        bytes.extend_from_slice(&self.digest.to_le_bytes());
        for number in [self.seq, self.at, self.ordinal] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn decode(bytes: &[u8; Self::BYTES]) -> Self {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let (mut fingerprint, mut digest) = ([0; 16], [0; 4]);
        fingerprint.copy_from_slice(&bytes[..16]);
        digest.copy_from_slice(&bytes[16..20]);
        Self {
            fingerprint: Fingerprint(fingerprint),
            digest: u32::from_le_bytes(digest),
            seq: number(20),
            at: number(28),
            ordinal: number(36),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = KeyEntry {
            fingerprint: Fingerprint([7; 16]),
            digest: 1,
            seq: 2,
            at: 3,
            ordinal: u64::MAX,
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(KeyEntry::decode(bytes.as_slice().try_into().unwrap()), entry);
    }
}
