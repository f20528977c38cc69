//! The head witness: a small file beside the database that remembers the last commits.
//!
//! SQLite drops a damaged tail of its write-ahead log without a word. The witness is written after each commit, and under
//! `fsync` reaches the disk before anything of that commit is acknowledged. At the next start a database that is behind
//! its witness has lost commits, and the entries say which logs and which talks. A database that is ahead has lost nothing: the
//! program ended between the commit and the entry, and nothing of that commit was acknowledged.
//!
//! The file begins with a header of 512 bytes; entries of 32 bytes follow, one per log of each commit. Every entry has a
//! checksum of its own, so that one that is torn or damaged hides no other. When a checkpoint has brought every commit
//! into the database the file begins anew.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{Durability, files};

/// The open file.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    file: File,
    header: Header,
    end: u64,
}

/// What the file says of the store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) boot: [u8; 16],
    pub(crate) durability: Durability,
    /// The store was stopped, and nothing came after.
    pub(crate) clean: bool,
    /// Commits up to this one are in the database itself.
    pub(crate) base: u64,
}

/// What an earlier run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Testimony {
    /// There is no such file.
    Missing,
    /// Its header cannot be read.
    Damaged,
    /// Read.
    Read {
        header: Header,
        /// The last commit.
        commit: u64,
        /// Per log: the last commit that touched it and its head after that.
        heads: BTreeMap<u32, (u64, u64)>,
        /// Entries that could not be read.
        unreadable: u64,
    },
}

impl Witness {
    /// Begins a new file, in the place of the one before.
    pub(crate) fn begin(path: &Path, header: Header) -> io::Result<Self> {
        let fresh = path.with_extension("head.new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        // Blocks that are there already make the sync of an entry a write of one block, without the file's metadata.
        let mut bytes = vec![0; BEGIN_BYTES];
        if let Some(head) = bytes.get_mut(..HEADER_BYTES) {
            head.copy_from_slice(&header.encode());
        }
        file.write_all_at(&bytes, 0)?;
        if header.durability != Durability::None {
            file.sync_all()?;
        }
        fs::rename(&fresh, path)?;
        if header.durability != Durability::None
            && let Some(dir) = path.parent()
        {
            files::sync_dir(dir)?;
        }
        let end = HEADER_BYTES as u64;
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            header,
            end,
        })
    }

    /// Remembers a commit and the heads of the logs it touched.
    pub(crate) fn remember(&mut self, commit: u64, heads: &[(u32, u64)]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(heads.len().max(1) * ENTRY_BYTES);
        for (log, head) in heads {
            bytes.extend_from_slice(&entry(self.header.store, commit, *log, *head));
        }
        if heads.is_empty() {
            bytes.extend_from_slice(&entry(self.header.store, commit, 0, 0));
        }
        self.file.write_all_at(&bytes, self.end)?;
        if self.header.durability == Durability::Fsync {
            self.file.sync_data()?;
        }
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Every commit up to this one is in the database itself: begins anew where that saves something.
    pub(crate) fn checkpointed(&mut self, commit: u64) -> io::Result<()> {
        if self.end >= BEGIN_BYTES as u64 / 2 {
            *self = Self::begin(
                &self.path.clone(),
                Header {
                    base: commit,
                    ..self.header
                },
            )?;
        }
        Ok(())
    }

    /// The store stops, all of it in the database.
    pub(crate) fn stop(self, commit: u64) -> io::Result<()> {
        let header = Header {
            base: commit,
            clean: true,
            ..self.header
        };
        Self::begin(&self.path, header).map(drop)
    }

    /// Reads what an earlier run left.
    pub(crate) fn read(path: &Path) -> io::Result<Testimony> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Testimony::Missing),
            Err(why) => return Err(why),
        };
        let Some((head, entries)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Ok(Testimony::Damaged);
        };
        let Some(header) = Header::decode(head) else {
            return Ok(Testimony::Damaged);
        };
        let mut heads = BTreeMap::new();
        let (mut commit, mut unreadable) = (header.base, 0);
        for bytes in entries.chunks(ENTRY_BYTES) {
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let Some((at, log, head)) = read_entry(header.store, bytes) else {
                unreadable += 1;
                continue;
            };
            commit = commit.max(at);
            if log != 0 {
                let known = heads.entry(log).or_insert((at, head));
                *known = (*known).max((at, head));
            }
        }
        Ok(Testimony::Read {
            header,
            commit,
            heads,
            unreadable,
        })
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
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
        text.push(u8::from(self.clean));
        text.resize(HEADER_BYTES - 4, 0);
        let sum = crc32fast::hash(&text);
        text.extend_from_slice(&sum.to_le_bytes());
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&text);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
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
            clean: *text.get(41)? == 1,
        })
    }
}

fn entry(store: u64, commit: u64, log: u32, head: u64) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    let (text, rest) = bytes.split_at_mut(20);
    text[..8].copy_from_slice(&commit.to_le_bytes());
    text[8..16].copy_from_slice(&head.to_le_bytes());
    text[16..].copy_from_slice(&log.to_le_bytes());
    rest[..4].copy_from_slice(&entry_sum(store, text).to_le_bytes());
    bytes
}

/// Commit, log and head.
fn read_entry(store: u64, bytes: &[u8]) -> Option<(u64, u32, u64)> {
    let (text, rest) = bytes.split_at_checked(20)?;
    if entry_sum(store, text).to_le_bytes() != *rest.get(..4)? {
        return None;
    }
    Some((
        u64::from_le_bytes(text.get(..8)?.try_into().ok()?),
        u32::from_le_bytes(text.get(16..)?.try_into().ok()?),
        u64::from_le_bytes(text.get(8..16)?.try_into().ok()?),
    ))
}

/// Names the store, so that an entry of another one never counts.
fn entry_sum(store: u64, text: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&store.to_le_bytes());
    sum.update(text);
    sum.finalize()
}

/// What the file begins with; the last character is the version of its format.
const MAGIC: &[u8; 8] = b"PLZHEAD1";
const HEADER_BYTES: usize = 512;
const ENTRY_BYTES: usize = 32;
/// A new file: room for 4,080 entries. It grows when a checkpoint is late.
const BEGIN_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn header() -> Header {
        Header {
            store: 7,
            boot: [3; 16],
            durability: Durability::Fsync,
            clean: false,
            base: 40,
        }
    }

    #[test]
    fn one_damaged_entry_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        assert_eq!(Witness::read(&path).unwrap(), Testimony::Missing);
        let mut witness = Witness::begin(&path, header()).unwrap();
        witness.remember(41, &[(1, 10), (2, 5)]).unwrap();
        witness.remember(42, &[]).unwrap();
        witness.remember(43, &[(1, 12)]).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER_BYTES + ENTRY_BYTES + 9] ^= 4;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            Witness::read(&path).unwrap(),
            Testimony::Read {
                header: header(),
                commit: 43,
                heads: BTreeMap::from([(1, (43, 12))]),
                unreadable: 1
            }
        );
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Witness::read(&path).unwrap(), Testimony::Damaged);
    }

    #[test]
    fn a_full_file_grows_and_a_checkpoint_begins_it_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let mut witness = Witness::begin(
            &path,
            Header {
                durability: Durability::None,
                ..header()
            },
        )
        .unwrap();
        for commit in 41..=6_000 {
            witness.remember(commit, &[(9, commit * 2)]).unwrap();
        }
        let Testimony::Read { commit, heads, .. } = Witness::read(&path).unwrap() else {
            panic!()
        };
        assert_eq!((commit, heads[&9]), (6_000, (6_000, 12_000)));
        witness.checkpointed(6_000).unwrap();
        let Testimony::Read { commit, heads, .. } = Witness::read(&path).unwrap() else {
            panic!()
        };
        assert_eq!((commit, heads.len()), (6_000, 0));
    }
}
