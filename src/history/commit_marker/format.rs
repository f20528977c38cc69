//! The bytes of the commit marker: a header of 512 bytes, the note, and entries of 32 bytes. `docs/history-format.md` describes them.

use crate::history::{files::FileIdentity, settings::Durability};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) boot: [u8; 16],
    pub(crate) durability: Durability,
    pub(crate) state: State,
    /// The database file itself has all commits up to this one.
    pub(crate) base: u64,
    /// The identities of the files. `CommitMarker::begin` sets it.
    pub(crate) files: FileIdentities,
}

/// How the last server left the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It did not stop in order, or still runs.
    Running,
    Stopped,
    /// It is a backup. The original may still run, so this store must not use the same epochs.
    Copy,
}

/// The identities of files that belong together. A rename keeps an identity; a copy has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileIdentities {
    /// The identity of the commit marker.
    pub(crate) head: Option<FileIdentity>,
    pub(crate) database: Option<FileIdentity>,
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
        text.resize(FILES_AT, 0);
        for identity in [self.files.head, self.files.database] {
            text.extend_from_slice(&identity.map_or([0; 16], FileIdentity::encode));
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
            files: FileIdentities {
                head: FileIdentity::decode(text.get(FILES_AT..FILES_AT + 16)?.try_into().ok()?),
                database: FileIdentity::decode(text.get(FILES_AT + 16..FILES_AT + 32)?.try_into().ok()?),
            },
        })
    }
}

/// The head of one log after one commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct MarkerEntry {
    pub(super) commit: u64,
    pub(super) head: u64,
    pub(super) log: u32,
    /// The number of entries of the commit.
    pub(super) of: u32,
}

impl MarkerEntry {
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

/// The checksum includes the number of the store, so that entries of another store are invalid.
fn entry_sum(store: u64, text: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&store.to_le_bytes());
    sum.update(text);
    sum.finalize()
}

/// The first bytes of the file. The last character is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"PLZHEAD3";
/// The first bytes of the previous format.
pub(super) const MAGIC_BEFORE: &[u8; 8] = b"PLZHEAD2";
pub(super) const HEADER_BYTES: usize = 512;
/// Offset of the identities in the header.
pub(super) const FILES_AT: usize = 48;
pub(super) const ENTRY_BYTES: usize = 32;
/// Length of an entry without its checksum and the reserved bytes.
pub(super) const ENTRY_TEXT: usize = 24;
/// Marks the note, in the place of an entry's log id. Log ids begin with 1 and are far below.
pub(super) const NOTE: u32 = u32::MAX;
pub(super) const FIRST_ENTRY: u64 = (HEADER_BYTES + ENTRY_BYTES) as u64;
/// Size of a new file, enough for 4,079 entries. The file grows if a checkpoint is late.
pub(super) const BEGIN_BYTES: usize = 128 * 1024;
