//! Recovery: what happens between opening a store's files and its first request.
//!
//! Recovery locks the directory, verifies every log and compares the database with the commit marker. Logs that lost messages, or may
//! have, begin a new epoch, and clients learn which interval is lost.
//!
//! The store serves no request before that is done. It does not open with a loss that it cannot name to clients.

mod losses;
mod verify;

use std::{fs, io, path::Path};

use rusqlite::Connection;

use super::{
    checkpoint::checkpoint_all,
    commit_marker::{CommitMarker, FileIdentities, Header, LastRun, State},
    fault::{StartFault, fault, io_fault},
    files::{self, Files, with_companions},
    log::LogId,
    schema,
    settings::Durability,
    store_row::store_row,
};
use crate::{chat::LostTail, lock::FileLock};
use losses::Losses;
pub(crate) use verify::{verified_logs, without_pairs};

/// A lost tail that this start found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub log: LogId,
    pub tail: LostTail,
}

/// A store that is ready for the writer.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) db: Connection,
    pub(crate) marker: CommitMarker,
    pub(crate) store: u64,
    pub(crate) commits: u64,
    pub(crate) recovered: Vec<Recovered>,
    /// Why these files are, or may be, a copy of a store that still runs elsewhere.
    pub(crate) copied: Option<String>,
    /// Locked as long as the store is open.
    pub(crate) lock: FileLock,
}

/// Whether conversations keep their epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// They do, unless messages were lost or the files are a copy.
    Keep,
    /// All begin a new one.
    Begin,
}

pub(crate) fn open(files: &Files, durability: Durability) -> Result<Opened, StartFault> {
    open_claimed(files, files.claim()?, durability, Epochs::Keep)
}

/// Opens the store in a locked directory.
pub(crate) fn open_claimed(
    files: &Files,
    lock: FileLock,
    durability: Durability,
    epochs: Epochs,
) -> Result<Opened, StartFault> {
    let last_run = LastRun::read(&files.head).map_err(|why| StartFault::Io {
        file: files.head.clone(),
        why,
    })?;
    guard_presence(files, &last_run)?;
    guard_unfinished(files)?;
    let origin = losses::origin(files, &last_run)?;
    if !files.database.exists() {
        schema::create(&files.database)?;
    }
    let mut db = schema::open_writer(&files.database, durability)?;
    let store_fault = |why: rusqlite::Error| StartFault::Store(fault(&files.database, &why));
    let (store, commits) = store_row(&db, &files.database)?;
    let last_run = last_run.resolve_announced(commits);
    let logs = verified_logs(&db, &files.database).map_err(StartFault::Store)?;
    let (mut losses, copied) = losses::compare(files, &last_run, origin, (store, commits), &logs)?;
    verify::repair_pairs(&mut db, &files.database, &logs).map_err(StartFault::Store)?;
    if epochs == Epochs::Begin {
        losses = losses::all(&logs);
    }
    let mut recovered = Vec::new();
    if !losses.is_empty() {
        db.pragma_update(None, "synchronous", "FULL").map_err(store_fault)?;
        recovered = begin_epochs(&mut db, &files.database, &losses)?;
    }
    let power_cut = match &last_run {
        LastRun::Missing | LastRun::Damaged | LastRun::Older => true,
        LastRun::Read { header, .. } => header.state == State::Running && header.boot != files::boot_id(),
    };
    if power_cut || !losses.is_empty() {
        // The index may contain lost messages, and after a power cut it may be damaged, because it is not synced: it is rebuilt.
        for file in with_companions(&files.search) {
            remove(&file)?;
        }
    }
    // Now the database file itself has every commit, so the marker may begin anew.
    checkpoint_all(&db).map_err(store_fault)?;
    schema::set_synchronous(&db, durability).map_err(store_fault)?;
    let header = Header {
        store,
        boot: files::boot_id(),
        durability,
        state: State::Running,
        base: commits,
        files: FileIdentities::default(),
    };
    let marker = CommitMarker::begin(&files.head, &files.database, header)
        .map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(Opened {
        db,
        marker,
        store,
        commits,
        recovered,
        copied,
        lock,
    })
}

/// Refuses a commit marker without its database, and a write-ahead log without its database.
pub(crate) fn guard_presence(files: &Files, last_run: &LastRun) -> Result<(), StartFault> {
    let size = fs::metadata(&files.database).map_or(0, |data| data.len());
    if size > 0 {
        return Ok(());
    }
    let known = match last_run {
        LastRun::Missing => None,
        LastRun::Damaged => Some("a damaged commit marker is".to_owned()),
        LastRun::Older => Some("a commit marker of an older version is".to_owned()),
        LastRun::Read {
            commit: 0,
            announced: None,
            ..
        } => None,
        LastRun::Read { commit, .. } => Some(format!("a commit marker that knows {commit} commits is")),
    };
    let [_, wal, _] = with_companions(&files.database);
    let wal = fs::metadata(&wal).map_or(0, |data| data.len());
    // SQLite creates the database before its log, and would discard this log.
    let seen = known.or_else(|| (wal > 0).then(|| format!("a write-ahead log of {wal} bytes is")));
    let seen = match seen {
        Some(seen) => format!("the database is missing or empty, and {seen} there"),
        // A server never leaves an empty database: it creates the database under another name and renames it.
        None if files.database.exists() => {
            "the database is empty (0 bytes): whatever put it there was not finished".to_owned()
        }
        None => return Ok(()),
    };
    Err(StartFault::Torn {
        file: files.database.clone(),
        seen,
    })
}

/// Refuses a directory in which a backup or an import was killed, because an empty store would be taken for the result.
fn guard_unfinished(files: &Files) -> Result<(), StartFault> {
    if !files.unfinished.exists() {
        return Ok(());
    }
    if files.database.exists() {
        // The import was complete except for this cleanup.
        return fs::remove_dir_all(&files.unfinished).map_err(|why| StartFault::Io {
            file: files.unfinished.clone(),
            why,
        });
    }
    Err(StartFault::Torn {
        file: files.unfinished.clone(),
        seen: "a backup or an import into this directory was not finished, and can be run again".to_owned(),
    })
}

fn begin_epochs(db: &mut Connection, file: &Path, losses: &Losses<'_>) -> Result<Vec<Recovered>, StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    let transaction = db.transaction().map_err(failed)?;
    let mut recovered = Vec::new();
    for (row, to) in losses {
        let mut next = (*row).clone();
        let tail = next.begin_epoch(&transaction, file, *to)?;
        next.update(&transaction).map_err(failed)?;
        recovered.push(Recovered {
            log: row.log.clone(),
            tail,
        });
    }
    transaction.commit().map_err(failed)?;
    Ok(recovered)
}

fn remove(file: &Path) -> Result<(), StartFault> {
    match fs::remove_file(file) {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(StartFault::Io {
            file: file.to_owned(),
            why,
        }),
    }
}
