//! The bytes of the commit marker: a header of 512 bytes, the note, and entries of 32 bytes. `docs/history-format.md` describes them.

use crate::history::{files::Identity, settings::Durability};

/// What the file says of the store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) boot: [u8; 16],
    pub(crate) durability: Durability,
    pub(crate) state: State,
    /// Commits up to this one are in the database itself.
    pub(crate) base: u64,
    /// Which files these were. `CommitMarker::begin` fills it in.
    pub(crate) place: Place,
}

/// How the store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not stopped in order, or running still.
    Running,
    /// Stopped, and nothing came after.
    Stopped,
    /// Made by a backup: the store it was copied from goes on, so this one must not use the same epochs.
    Copy,
}

/// Which files belong together. A rename keeps an identity, and a copy gets another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Of the head file itself.
    pub(crate) head: Option<Identity>,
    pub(crate) database: Option<Identity>,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut text = Vec::with_capacity(HEADER_BYTES);
        text.extend_from_slice(MAGIC);
        text.extend_from_slice(&self.store.to_le_bytes());
        text.extend_from_slice(&self.base.to_le_bytes());
        text.extend_from_slice(&self.boot);
        text.push(match self.durability {
            Durability::Fsync => 0,
            Durability::Os => 1,
            Durability::None => 2,
        });
        text.push(match self.state {
            State::Running => 0,
            State::Stopped => 1,
            State::Copy => 2,
        });
        text.resize(PLACE_AT, 0);
        for identity in [self.place.head, self.place.database] {
            text.extend_from_slice(&identity.map_or([0; 16], Identity::encode));
        }
        text.resize(HEADER_BYTES - 4, 0);
        let sum = crc32fast::hash(&text);
        text.extend_from_slice(&sum.to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&text);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (text, sum) = bytes.split_at_checked(HEADER_BYTES - 4)?;
        if crc32fast::hash(text).to_le_bytes() != *sum || !text.starts_with(MAGIC) {
            return None;
        }
        Some(Self {
            store: u64::from_le_bytes(text.get(8..16)?.try_into().ok()?),
            base: u64::from_le_bytes(text.get(16..24)?.try_into().ok()?),
            boot: text.get(24..40)?.try_into().ok()?,
            durability: match text.get(40)? {
                0 => Durability::Fsync,
                1 => Durability::Os,
                2 => Durability::None,
                _ => return None,
            },
            state: match text.get(41)? {
                0 => State::Running,
                1 => State::Stopped,
                2 => State::Copy,
                _ => return None,
            },
            place: Place {
                head: Identity::decode(text.get(PLACE_AT..PLACE_AT + 16)?.try_into().ok()?),
                database: Identity::decode(text.get(PLACE_AT + 16..PLACE_AT + 32)?.try_into().ok()?),
            },
        })
    }
}

/// One log of one commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) commit: u64,
    pub(super) head: u64,
    pub(super) log: u32,
    /// How many entries the commit has.
    pub(super) of: u32,
}

impl Entry {
    pub(super) fn encode(self, store: u64) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (text, rest) = bytes.split_at_mut(ENTRY_TEXT);
        text[..8].copy_from_slice(&self.commit.to_le_bytes());
        text[8..16].copy_from_slice(&self.head.to_le_bytes());
        text[16..20].copy_from_slice(&self.log.to_le_bytes());
        text[20..].copy_from_slice(&self.of.to_le_bytes());
        rest[..4].copy_from_slice(&entry_sum(store, text).to_le_bytes());
        bytes
    }

    pub(super) fn decode(store: u64, bytes: &[u8]) -> Option<Self> {
        let (text, rest) = bytes.split_at_checked(ENTRY_TEXT)?;
        if entry_sum(store, text).to_le_bytes() != *rest.get(..4)? {
            return None;
        }
        Some(Self {
            commit: u64::from_le_bytes(text.get(..8)?.try_into().ok()?),
            head: u64::from_le_bytes(text.get(8..16)?.try_into().ok()?),
            log: u32::from_le_bytes(text.get(16..20)?.try_into().ok()?),
            of: u32::from_le_bytes(text.get(20..24)?.try_into().ok()?),
        })
    }
}

/// Names the store, so that an entry of another one never counts.
fn entry_sum(store: u64, text: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&store.to_le_bytes());
    sum.update(text);
    sum.finalize()
}

/// What the file begins with; the last character is the version of its format.
pub(super) const MAGIC: &[u8; 8] = b"PLZHEAD3";
/// The same of the format before.
pub(super) const MAGIC_BEFORE: &[u8; 8] = b"PLZHEAD2";
pub(super) const HEADER_BYTES: usize = 512;
/// Where the identities of the files stand in the header.
pub(super) const PLACE_AT: usize = 48;
pub(super) const ENTRY_BYTES: usize = 32;
/// Of them all but the checksum and what is reserved.
pub(super) const ENTRY_TEXT: usize = 24;
/// In the place of the log of an entry: it is the note. Logs are numbered from 1 and far below.
pub(super) const NOTE: u32 = u32::MAX;
pub(super) const FIRST_ENTRY: u64 = (HEADER_BYTES + ENTRY_BYTES) as u64;
/// A new file: room for 4,079 entries. It grows when a checkpoint is late.
pub(super) const BEGIN_BYTES: usize = 128 * 1024;
