//! The head witness: a small file beside the database that remembers the last commits.
//!
//! SQLite drops a damaged tail of its write-ahead log without a word. The witness names each commit, and under `fsync` is
//! on the disk before anything of that commit is acknowledged: it is announced before the commit and synced beside it, on a
//! thread of its own, since two syncs in a row would make a talk wait twice. Once both are done that is noted too, without a
//! sync. At the next start a database that is behind its witness has lost commits, and the entries say which logs and
//! which talks. A commit that was announced, not noted and is not there was acknowledged to nobody, unless the system has
//! been down since, which may have taken the note.
//!
//! The file begins with a header of 512 bytes and the note; entries of 32 bytes follow, one per log of each commit. Every entry
//! has a checksum of its own, so that one that is torn or damaged hides no other. When a checkpoint has brought every commit
//! into the database the file begins anew.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use super::{
    Durability,
    files::{self, Identity},
};

/// The open file.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
    database: PathBuf,
    file: Arc<File>,
    header: Header,
    end: u64,
    /// Bytes of the entries that are announced, or why they could not be.
    announced: Option<io::Result<u64>>,
    /// Syncs beside the commits; only where commits are synced.
    syncer: Option<Syncer>,
}

/// A thread that syncs what it is given. It ends with this.
#[derive(Debug)]
struct Syncer {
    files: mpsc::Sender<Arc<File>>,
    synced: mpsc::Receiver<io::Result<()>>,
}

/// What the file says of the store as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) boot: [u8; 16],
    pub(crate) durability: Durability,
    pub(crate) state: State,
    /// Commits up to this one are in the database itself.
    pub(crate) base: u64,
    /// Which files these were. [`Witness::begin`] fills it in.
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

/// What an earlier run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Testimony {
    /// There is no such file.
    Missing,
    /// Its header cannot be read.
    Damaged,
    /// It is of an older format, which does not tell a backup from a store that was stopped.
    Older,
    /// Read.
    Read {
        header: Header,
        /// The last commit that was done.
        commit: u64,
        /// Per log: the last commit that touched it and its head after that.
        heads: BTreeMap<u32, (u64, u64)>,
        /// A commit behind that one which was announced, with the heads it was to make.
        announced: Option<(u64, BTreeMap<u32, u64>)>,
        /// Entries that cannot be read, and those that are missing among the others.
        unreadable: u64,
        /// So many more commits than `commit` may have been done: entries behind the last readable one say nothing, and
        /// neither does the note.
        hidden: u64,
    },
}

impl Witness {
    /// Begins a new file for this database, in the place of the one before.
    pub(crate) fn begin(path: &Path, database: &Path, mut header: Header) -> io::Result<Self> {
        let fresh = path.with_extension("head.new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        header.place = Place {
            head: Identity::of(&file.metadata()?),
            database: fs::metadata(database).ok().and_then(|data| Identity::of(&data)),
        };
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
        let syncer = match header.durability {
            Durability::Fsync if header.state == State::Running => Some(Syncer::start()?),
            Durability::Fsync | Durability::Os | Durability::None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            database: database.to_owned(),
            file: Arc::new(file),
            header,
            end: FIRST_ENTRY,
            announced: None,
            syncer,
        })
    }

    /// Names the commit that is about to be made and the heads it makes, and begins to sync that.
    pub(crate) fn announce(&mut self, commit: u64, heads: &[(u32, u64)]) {
        let without_messages = [(0, 0)];
        let heads = if heads.is_empty() { &without_messages } else { heads };
        let of = u32::try_from(heads.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(heads.len() * ENTRY_BYTES);
        for (log, head) in heads {
            let (log, head) = (*log, *head);
            bytes.extend_from_slice(&Entry { commit, head, log, of }.encode(self.header.store));
        }
        let written = self.file.write_all_at(&bytes, self.end);
        if let (Ok(()), Some(syncer)) = (&written, &self.syncer) {
            syncer.begin(&self.file);
        }
        self.announced = Some(written.map(|()| bytes.len() as u64));
    }

    /// The commit that was announced is done; returns when it is witnessed.
    ///
    /// # Errors
    /// When it could not be written or synced.
    pub(crate) fn confirm(&mut self, commit: u64) -> io::Result<()> {
        let Some(announced) = self.announced.take() else {
            return Ok(());
        };
        let bytes = announced?;
        if let Some(syncer) = &self.syncer {
            syncer.end()?;
        }
        self.end += bytes;
        let note = Entry {
            commit,
            head: 0,
            log: NOTE,
            of: 1,
        };
        self.file
            .write_all_at(&note.encode(self.header.store), HEADER_BYTES as u64)
    }

    /// The commit that was announced has failed: its number will be another one's.
    pub(crate) fn withdraw(&mut self) {
        let Some(Ok(bytes)) = self.announced.take() else { return };
        // What fails here fails again with the next commit, and is told then.
        if let Some(syncer) = &self.syncer {
            drop(syncer.end());
        }
        drop(self.file.write_all_at(&vec![0; bytes as usize], self.end));
    }

    /// Every commit up to this one is in the database itself: begins anew where that saves something.
    pub(crate) fn checkpointed(&mut self, commit: u64) -> io::Result<()> {
        if self.end >= BEGIN_BYTES as u64 / 2 {
            *self = Self::begin(
                &self.path.clone(),
                &self.database.clone(),
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
            state: State::Stopped,
            ..self.header
        };
        Self::begin(&self.path, &self.database, header).map(drop)
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
            return Ok(if head.starts_with(MAGIC_BEFORE) {
                Testimony::Older
            } else {
                Testimony::Damaged
            });
        };
        let Entries {
            note,
            named,
            newest,
            unreadable,
            behind,
        } = Entries::read(&header, entries);
        // A commit is announced when the one before is done. Without a note that can be read the last one counts as done.
        let commit = match note {
            Note::At(noted) => noted.max(newest.saturating_sub(1)).max(header.base),
            Note::Unreadable => newest,
        };
        // After the system was down the note may be an older one: it is not synced.
        let hidden = if note == Note::Unreadable || header.boot != files::boot_id() {
            behind
        } else {
            0
        };
        let mut heads = BTreeMap::new();
        let mut announced = (newest > commit).then(|| (newest, BTreeMap::new()));
        for Entry {
            commit: at, log, head, ..
        } in named
        {
            match &mut announced {
                _ if log == 0 => {}
                Some((number, made)) if at == *number => {
                    made.insert(log, head);
                }
                _ => {
                    let known = heads.entry(log).or_insert((at, head));
                    *known = (*known).max((at, head));
                }
            }
        }
        Ok(Testimony::Read {
            header,
            commit,
            heads,
            announced,
            unreadable,
            hidden,
        })
    }
}

/// What stands behind the header.
struct Entries {
    note: Note,
    /// All but the note, in their order.
    named: Vec<Entry>,
    newest: u64,
    unreadable: u64,
    /// Unreadable ones behind the last one that can be read.
    behind: u64,
}

/// The last commit that was done, as the file says it in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    At(u64),
    Unreadable,
}

impl Entries {
    fn read(header: &Header, entries: &[u8]) -> Self {
        let mut read = Self {
            note: Note::At(header.base),
            named: Vec::new(),
            newest: header.base,
            unreadable: 0,
            behind: 0,
        };
        // Per commit: how many of its entries are missing.
        let mut missing: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut unwritten, mut note_is_there) = (0, false);
        for (place, bytes) in entries.chunks(ENTRY_BYTES).enumerate() {
            if bytes.iter().all(|byte| *byte == 0) {
                unwritten += u64::from(place > 0);
                continue;
            }
            match (place, Entry::decode(header.store, bytes)) {
                (0, Some(entry)) if entry.log == NOTE => {
                    read.note = Note::At(entry.commit.max(header.base));
                    note_is_there = true;
                }
                (0, _) => {
                    read.note = Note::Unreadable;
                    note_is_there = true;
                    read.unreadable += 1;
                }
                (_, Some(entry)) => {
                    // Nothing unwritten stands before what was written.
                    read.unreadable += std::mem::take(&mut unwritten);
                    read.behind = 0;
                    read.newest = read.newest.max(entry.commit);
                    let left = missing.entry(entry.commit).or_insert(u64::from(entry.of));
                    *left = left.saturating_sub(1);
                    read.named.push(entry);
                }
                (_, None) => {
                    read.unreadable += 1 + std::mem::take(&mut unwritten);
                    read.behind += 1;
                }
            }
        }
        // Every commit is announced, with all its logs.
        let last = match read.note {
            Note::At(noted) => noted.max(read.newest),
            Note::Unreadable => read.newest,
        };
        let absent = (last - header.base).saturating_sub(missing.len() as u64);
        read.unreadable += absent + missing.values().sum::<u64>();
        let cut = (BEGIN_BYTES - HEADER_BYTES)
            .saturating_sub(entries.len())
            .div_ceil(ENTRY_BYTES) as u64;
        read.unreadable += cut;
        read.behind += cut;
        // The first commit is announced before there is a note.
        if !note_is_there && (read.newest > header.base + 1 || read.behind > 0) {
            read.note = Note::Unreadable;
            read.unreadable += 1;
            // Where the note was made zeroes, so may others have been.
            read.behind += unwritten;
        }
        read
    }
}

impl Testimony {
    /// What to believe beside a database with so many commits. A commit that was announced counts if it is there. If it is not,
    /// nobody was told of it, and it never was; only after the system was down it may have been: then it counts as well.
    pub(crate) fn beside(self, commits: u64) -> Self {
        match self {
            Self::Read {
                header,
                commit: _,
                mut heads,
                announced: Some((number, made)),
                unreadable,
                hidden,
            } if number <= commits || (header.state == State::Running && header.boot != files::boot_id()) => {
                for (log, head) in made {
                    heads.insert(log, (number, head));
                }
                Self::Read {
                    header,
                    commit: number,
                    heads,
                    announced: None,
                    unreadable,
                    hidden,
                }
            }
            other => other,
        }
    }
}

impl Syncer {
    fn start() -> io::Result<Self> {
        let (files, asked) = mpsc::channel::<Arc<File>>();
        let (answer, synced) = mpsc::channel();
        thread::Builder::new().name("witness".to_owned()).spawn(move || {
            for file in asked {
                if answer.send(file.sync_data()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { files, synced })
    }

    fn begin(&self, file: &Arc<File>) {
        // If the thread is gone, `end` says so.
        drop(self.files.send(file.clone()));
    }

    fn end(&self) -> io::Result<()> {
        self.synced
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that syncs it has ended")))
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
struct Entry {
    commit: u64,
    head: u64,
    log: u32,
    /// How many entries the commit has.
    of: u32,
}

impl Entry {
    fn encode(self, store: u64) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let (text, rest) = bytes.split_at_mut(ENTRY_TEXT);
        text[..8].copy_from_slice(&self.commit.to_le_bytes());
        text[8..16].copy_from_slice(&self.head.to_le_bytes());
        text[16..20].copy_from_slice(&self.log.to_le_bytes());
        text[20..].copy_from_slice(&self.of.to_le_bytes());
        rest[..4].copy_from_slice(&entry_sum(store, text).to_le_bytes());
        bytes
    }

    fn decode(store: u64, bytes: &[u8]) -> Option<Self> {
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
const MAGIC: &[u8; 8] = b"PLZHEAD3";
/// The same of the format before.
const MAGIC_BEFORE: &[u8; 8] = b"PLZHEAD2";
const HEADER_BYTES: usize = 512;
/// Where the identities of the files stand in the header.
const PLACE_AT: usize = 48;
const ENTRY_BYTES: usize = 32;
/// Of them all but the checksum and what is reserved.
const ENTRY_TEXT: usize = 24;
/// In the place of the log of an entry: it is the note. Logs are numbered from 1 and far below.
const NOTE: u32 = u32::MAX;
const FIRST_ENTRY: u64 = (HEADER_BYTES + ENTRY_BYTES) as u64;
/// A new file: room for 4,079 entries. It grows when a checkpoint is late.
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
            state: State::Running,
            base: 40,
            place: Place::default(),
        }
    }

    fn begin(path: &Path, header: Header) -> io::Result<Witness> {
        Witness::begin(path, &path.with_extension("db"), header)
    }

    fn remember(witness: &mut Witness, commit: u64, heads: &[(u32, u64)]) {
        witness.announce(commit, heads);
        witness.confirm(commit).unwrap();
    }

    /// What counts beside so many commits: the last one, and the heads.
    fn believed(path: &Path, commits: u64) -> (u64, Vec<(u32, u64)>) {
        match Witness::read(path).unwrap().beside(commits) {
            Testimony::Read { commit, heads, .. } => {
                (commit, heads.iter().map(|(log, (_, head))| (*log, *head)).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_announced_and_not_confirmed_counts_only_if_it_is_there_or_the_system_was_down() {
        for (boot, absent) in [(files::boot_id(), (41, vec![(1, 10)])), ([3; 16], (42, vec![(1, 12)]))] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("history.head");
            let mut witness = begin(&path, Header { boot, ..header() }).unwrap();
            remember(&mut witness, 41, &[(1, 10)]);
            witness.announce(42, &[(1, 12)]);
            assert_eq!(believed(&path, 41), absent);
            assert_eq!(believed(&path, 42), (42, vec![(1, 12)]));
            witness.confirm(42).unwrap();
            assert_eq!(believed(&path, 41), (42, vec![(1, 12)]));
        }
    }

    #[test]
    fn announcement_that_is_withdrawn_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let mut witness = begin(&path, header()).unwrap();
        remember(&mut witness, 41, &[(1, 10)]);
        witness.announce(42, &[(1, 12), (2, 7)]);
        witness.withdraw();
        assert_eq!(believed(&path, 41), (41, vec![(1, 10)]));
        remember(&mut witness, 42, &[(1, 11)]);
        assert_eq!(believed(&path, 42), (42, vec![(1, 11)]));
    }

    #[test]
    fn without_a_note_that_can_be_read_the_last_announcement_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let mut witness = begin(
            &path,
            Header {
                boot: files::boot_id(),
                ..header()
            },
        )
        .unwrap();
        remember(&mut witness, 41, &[(1, 10)]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER_BYTES] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(believed(&path, 40), (41, vec![(1, 10)]));
    }

    #[test]
    fn one_damaged_entry_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        assert_eq!(Witness::read(&path).unwrap(), Testimony::Missing);
        let mut witness = begin(&path, header()).unwrap();
        remember(&mut witness, 41, &[(1, 10), (2, 5)]);
        remember(&mut witness, 42, &[]);
        remember(&mut witness, 43, &[(1, 12)]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEADER_BYTES + 2 * ENTRY_BYTES + 9] ^= 4;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(
            Witness::read(&path).unwrap(),
            Testimony::Read {
                header: Header {
                    place: witness.header.place,
                    ..header()
                },
                commit: 43,
                heads: BTreeMap::from([(1, (43, 12))]),
                announced: None,
                // The damaged one, which is missing in its commit as well.
                unreadable: 2,
                hidden: 0,
            }
        );
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Witness::read(&path).unwrap(), Testimony::Damaged);
    }

    #[test]
    fn entries_that_are_missing_or_unreadable_are_counted_wherever_they_stood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let running = Header {
            boot: files::boot_id(),
            ..header()
        };
        let mut witness = begin(&path, running).unwrap();
        remember(&mut witness, 41, &[(1, 10), (2, 5)]);
        remember(&mut witness, 42, &[(3, 1)]);
        remember(&mut witness, 43, &[(1, 11), (2, 6)]);
        let whole = fs::read(&path).unwrap();
        let seen = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = whole.clone();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
            match Witness::read(&path).unwrap() {
                Testimony::Read {
                    commit,
                    unreadable,
                    hidden,
                    ..
                } => (commit, unreadable > 0, hidden),
                other => panic!("{other:?}"),
            }
        };
        let at = |entry: usize| HEADER_BYTES + entry * ENTRY_BYTES;
        assert_eq!(seen(&|_| ()), (43, false, 0));
        // Zeroes in the middle and at the end of what was written, and a file that was cut.
        assert_eq!(seen(&|bytes| bytes[at(3)..at(4)].fill(0)), (43, true, 0));
        assert_eq!(seen(&|bytes| bytes[at(5)..].fill(0)), (43, true, 0));
        assert_eq!(seen(&|bytes| bytes.truncate(at(4))), (43, true, 0));
        // The note says how many commits there were; without it nothing does.
        assert_eq!(seen(&|bytes| bytes[at(4)..at(6)].fill(7)), (43, true, 0));
        assert_eq!(
            seen(&|bytes| {
                bytes[at(0)] ^= 1;
                bytes[at(4)..at(6)].fill(7);
            }),
            (42, true, 2)
        );
        let (commit, damaged, hidden) = seen(&|bytes| {
            bytes[at(0)..at(1)].fill(0);
            bytes[at(3)..].fill(0);
        });
        // Two entries of one commit are left: as if it were the first one, which is announced before there is a note.
        assert_eq!((commit, damaged, hidden), (40, false, 0));
        let (commit, damaged, hidden) = seen(&|bytes| {
            bytes[at(0)..at(1)].fill(0);
            bytes[at(4)..].fill(0);
        });
        assert!(commit == 42 && damaged && hidden > 1_000, "{commit} {hidden}");
    }

    #[test]
    fn a_full_file_grows_and_a_checkpoint_begins_it_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.head");
        let mut witness = begin(
            &path,
            Header {
                durability: Durability::None,
                ..header()
            },
        )
        .unwrap();
        for commit in 41..=6_000 {
            remember(&mut witness, commit, &[(9, commit * 2)]);
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
