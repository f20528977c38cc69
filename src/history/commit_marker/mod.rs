//! The commit marker, `history.head`: a small file beside the database that records which commits exist.
//!
//! SQLite silently drops a damaged tail of its write-ahead log. The marker records every commit and the heads of the logs it touches, so
//! the next start notices a lost commit and knows which messages it contained.
//!
//! Invariants: a commit is announced before it is made. Under `fsync` its entries are on the disk before any of its messages is
//! acknowledged. Every entry has its own checksum, so that one damaged entry hides no other. The file begins anew when a checkpoint has
//! copied every commit into the database.
//!
//! The marker never contains a message, and does not decide what is lost: `recovery` does.
//!
//! A separate thread syncs the marker while the commit runs, because two syncs in a row would double the wait for an acknowledgement.
//! When both have finished, the writer records that in a note, which is not synced. So a commit that was announced, is not in the note
//! and is not in the database was never acknowledged, except after a power cut, which may have destroyed the note.

mod format;
mod last_run;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use super::{
    files::{self, FileIdentity},
    settings::Durability,
};
use format::{BEGIN_BYTES, ENTRY_BYTES, FIRST_ENTRY, HEADER_BYTES, MarkerEntry, NOTE};
pub(crate) use format::{FileIdentities, Header, State};
pub(crate) use last_run::LastRun;

#[derive(Debug)]
pub(crate) struct CommitMarker {
    path: PathBuf,
    database: PathBuf,
    file: Arc<File>,
    header: Header,
    end: u64,
    /// Bytes of the announced entries, or why they were not written.
    announced: Option<io::Result<u64>>,
    /// `None` if commits are not synced.
    syncer: Option<Syncer>,
}

/// A thread that syncs files until this is dropped.
#[derive(Debug)]
struct Syncer {
    files: mpsc::Sender<Arc<File>>,
    synced: mpsc::Receiver<io::Result<()>>,
}

impl CommitMarker {
    /// Replaces the file with an empty one for this database.
    pub(crate) fn begin(path: &Path, database: &Path, mut header: Header) -> io::Result<Self> {
        let fresh = path.with_extension("head.new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        header.files = FileIdentities {
            head: FileIdentity::of(&file.metadata()?),
            database: fs::metadata(database).ok().and_then(|data| FileIdentity::of(&data)),
        };
        // With its blocks allocated, syncing an entry writes one block and no metadata.
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

    /// Writes the entries of the commit that is about to be made, and begins to sync them.
    pub(crate) fn announce(&mut self, commit: u64, heads: &[(u32, u64)]) {
        let without_messages = [(0, 0)];
        let heads = if heads.is_empty() { &without_messages } else { heads };
        let of = u32::try_from(heads.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(heads.len() * ENTRY_BYTES);
        for (log, head) in heads {
            let (log, head) = (*log, *head);
            bytes.extend_from_slice(&MarkerEntry { commit, head, log, of }.encode(self.header.store));
        }
        let written = self.file.write_all_at(&bytes, self.end);
        if let (Ok(()), Some(syncer)) = (&written, &self.syncer) {
            syncer.begin(&self.file);
        }
        self.announced = Some(written.map(|()| bytes.len() as u64));
    }

    /// Waits for the sync of the announced commit, which has finished in the database, and writes the note.
    pub(crate) fn confirm(&mut self, commit: u64) -> io::Result<()> {
        let Some(announced) = self.announced.take() else {
            return Ok(());
        };
        let bytes = announced?;
        if let Some(syncer) = &self.syncer {
            syncer.end()?;
        }
        self.end += bytes;
        let note = MarkerEntry {
            commit,
            head: 0,
            log: NOTE,
            of: 1,
        };
        self.file
            .write_all_at(&note.encode(self.header.store), HEADER_BYTES as u64)
    }

    /// Erases the announced commit, which failed. The next commit takes its number.
    pub(crate) fn withdraw(&mut self) {
        let Some(Ok(bytes)) = self.announced.take() else { return };
        // An error here occurs again with the next commit, and is reported then.
        if let Some(syncer) = &self.syncer {
            drop(syncer.end());
        }
        drop(self.file.write_all_at(&vec![0; bytes as usize], self.end));
    }

    /// Begins a new file if it has grown. The database itself must have every commit up to this one.
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

    /// Marks the store as stopped. The database itself must have every commit.
    pub(crate) fn stop(self, commit: u64) -> io::Result<()> {
        let header = Header {
            base: commit,
            state: State::Stopped,
            ..self.header
        };
        Self::begin(&self.path, &self.database, header).map(drop)
    }
}

impl Syncer {
    fn start() -> io::Result<Self> {
        let (files, asked) = mpsc::channel::<Arc<File>>();
        let (answer, synced) = mpsc::channel();
        thread::Builder::new().name("commit-marker".to_owned()).spawn(move || {
            for file in asked {
                if answer.send(file.sync_data()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { files, synced })
    }

    fn begin(&self, file: &Arc<File>) {
        // If the thread has ended, `end` reports it.
        drop(self.files.send(file.clone()));
    }

    fn end(&self) -> io::Result<()> {
        self.synced
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that syncs it has ended")))
    }
}
