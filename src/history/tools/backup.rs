//! `plaza history backup` and `plaza history new-epoch`: copies of a store, and the new epochs that a copy needs.

use std::{fs, path::Path};

use super::directory::{failed, lock_fresh, no_store, open, whole_or_nothing};
use crate::history::{
    commit_marker::{CommitMarker, FileIdentities, Header, State},
    fault::{StartFault, io_fault},
    files::{self, Files},
    recovery::{self, Epochs},
    settings::Durability,
    store_row::store_row,
};

/// Copies the store into a new directory and returns its size in bytes. A server that starts on the copy begins new epochs, because the
/// original continues in its own.
pub fn backup(dir: &Path, to: &Path) -> Result<u64, StartFault> {
    let (files, copy) = (Files::new(dir), Files::new(to));
    let lock = lock_fresh(&copy)?;
    whole_or_nothing(&copy, lock, |copy, _lock| copy_to(&files, copy))
}

fn copy_to(files: &Files, copy: &Files) -> Result<u64, StartFault> {
    let db = open(files)?;
    let target = copy.database.to_string_lossy().into_owned();
    db.execute("VACUUM INTO ?1", [target]).map_err(failed(files))?;
    let io = |why| StartFault::Io {
        file: copy.database.clone(),
        why,
    };
    fs::File::open(&copy.database)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    let made = open(copy)?;
    recovery::verified_logs(&made, &copy.database).map_err(StartFault::Store)?;
    let (store, commits) = store_row(&made, &copy.database)?;
    drop(made);
    let header = Header {
        store,
        boot: files::boot_id(),
        durability: Durability::Fsync,
        state: State::Copy,
        base: commits,
        files: FileIdentities::default(),
    };
    CommitMarker::begin(&copy.head, &copy.database, header)
        .map_err(|why| StartFault::Store(io_fault(&copy.head, &why)))?;
    Ok(copy.bytes())
}

/// Begins a new epoch in every conversation of a stopped store, and returns their number. Needed after restoring a snapshot of a whole
/// machine or file system, which Plaza cannot recognise as a copy.
pub fn new_epoch(dir: &Path) -> Result<usize, StartFault> {
    let files = Files::new(dir);
    if !files.database.exists() {
        return Err(no_store(&files));
    }
    let opened = recovery::open_claimed(&files, files.claim()?, Durability::Fsync, Epochs::Begin)?;
    let stopped = opened.marker.stop(opened.commits);
    stopped.map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(opened.recovered.len())
}
