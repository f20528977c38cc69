//! What the commit marker says of the last run.
//!
//! Damage is counted and never hidden: an entry that cannot be read, or is missing among its commit's, is reported with the others.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::format::{BEGIN_BYTES, ENTRY_BYTES, Entry, HEADER_BYTES, Header, MAGIC_BEFORE, NOTE, State};
use crate::history::files;

/// What the last run left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastRun {
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

impl LastRun {
    /// Reads the file of the last run.
    pub(crate) fn read(path: &Path) -> io::Result<LastRun> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(LastRun::Missing),
            Err(why) => return Err(why),
        };
        let Some((head, entries)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Ok(LastRun::Damaged);
        };
        let Some(header) = Header::decode(head) else {
            return Ok(if head.starts_with(MAGIC_BEFORE) {
                LastRun::Older
            } else {
                LastRun::Damaged
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
        Ok(LastRun::Read {
            header,
            commit,
            heads,
            announced,
            unreadable,
            hidden,
        })
    }

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
