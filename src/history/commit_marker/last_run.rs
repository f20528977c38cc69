//! Reads the commit marker that the last run left.
//!
//! Damage is counted and never hidden. Entries that are unreadable, or missing from their commit, are reported.

use std::{collections::BTreeMap, fs, io, path::Path};

use super::format::{BEGIN_BYTES, ENTRY_BYTES, HEADER_BYTES, Header, MAGIC_BEFORE, MarkerEntry, NOTE, State};
use crate::history::files;

/// The state of the commit marker at a start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastRun {
    /// There is no file.
    Missing,
    /// The header is unreadable.
    Damaged,
    /// The file has an older format, which does not distinguish a backup from a stopped store.
    Older,
    Read {
        header: Header,
        /// The last finished commit.
        commit: u64,
        /// By log: the last commit that touched it, and its head after that commit.
        heads: BTreeMap<u32, (u64, u64)>,
        /// The commit after that one, if it was announced, and the heads it would have made.
        announced: Option<(u64, BTreeMap<u32, u64>)>,
        /// The number of unreadable and missing entries.
        unreadable: u64,
        /// Up to this many commits after `commit` may have finished: the entries after the last readable one are damaged, and the
        /// note does not say how many finished.
        hidden: u64,
    },
}

impl LastRun {
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
        // A commit is announced after the one before has finished. Without a readable note the last one counts as finished.
        let commit = match note {
            Note::At(noted) => noted.max(newest.saturating_sub(1)).max(header.base),
            Note::Unreadable => newest,
        };
        // The note is not synced, so after a power cut an older one may be on the disk.
        let hidden = if note == Note::Unreadable || header.boot != files::boot_id() {
            behind
        } else {
            0
        };
        let mut heads = BTreeMap::new();
        let mut announced = (newest > commit).then(|| (newest, BTreeMap::new()));
        for MarkerEntry {
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

    /// Resolves the announced commit, by the number of commits in the database. It counts if the database has it. If not, no client got
    /// its acknowledgement, so it is ignored, except after a power cut: then the note may be lost, and the commit counts.
    pub(crate) fn resolve_announced(self, commits: u64) -> Self {
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

/// The content of the file after the header.
struct Entries {
    note: Note,
    /// All entries except the note, in file order.
    named: Vec<MarkerEntry>,
    newest: u64,
    unreadable: u64,
    /// Unreadable entries after the last readable one.
    behind: u64,
}

/// The record of the last finished commit.
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
        // By commit: the number of entries still missing.
        let mut missing: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut unwritten, mut note_is_there) = (0, false);
        for (place, bytes) in entries.chunks(ENTRY_BYTES).enumerate() {
            if bytes.iter().all(|byte| *byte == 0) {
                unwritten += u64::from(place > 0);
                continue;
            }
            match (place, MarkerEntry::decode(header.store, bytes)) {
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
                    // Entries are written in order, so the zeroes before this one are damage.
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
        // Every commit has entries for all of its logs.
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
        // The first commit is announced before the first note.
        if !note_is_there && (read.newest > header.base + 1 || read.behind > 0) {
            read.note = Note::Unreadable;
            read.unreadable += 1;
            // The damage that zeroed the note may have zeroed entries too.
            read.behind += unwritten;
        }
        read
    }
}
