//! The directories that tools read and write.
//!
//! A tool that writes leaves a complete store in the directory, or leaves it empty.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use crate::{
    history::{
        commit_marker::LastRun,
        fault::{StartFault, StoreFault, fault, io_fault},
        files::{self, Files},
        recovery, schema,
    },
    lock::FileLock,
};

pub(super) fn open(files: &Files) -> Result<Connection, StartFault> {
    match fs::metadata(&files.database) {
        Err(_) => Err(no_store(files)),
        Ok(data) if data.len() == 0 => {
            let seen = "it is empty (0 bytes): whatever put it there was not finished".to_owned();
            Err(refused(&files.database, seen))
        }
        Ok(_) => schema::open_reader(&files.database),
    }
}

pub(super) fn no_store(files: &Files) -> StartFault {
    let seen = "there is no such file: give the data directory of a server".to_owned();
    refused(&files.database, seen)
}

/// Locks a directory that has no store yet.
pub(super) fn lock_fresh(files: &Files) -> Result<FileLock, StartFault> {
    let lock = files.claim()?;
    if fs::metadata(&files.database).is_ok_and(|data| data.len() > 0) {
        let seen = "there is a store already: give a fresh directory".to_owned();
        return Err(refused(&files.database, seen));
    }
    let last_run = LastRun::read(&files.head).map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    recovery::guard_presence(files, &last_run)?;
    Ok(lock)
}

/// Fills a directory that [`lock_fresh`] has locked. The files are written into a subdirectory and moved out when all of them are
/// complete and synced. After an error nothing remains. The next run removes the remains of a killed run, and a server does not start
/// beside them. The database is moved first, because without a commit marker its conversations begin new epochs.
pub(super) fn whole_or_nothing<T>(
    files: &Files,
    lock: FileLock,
    fill: impl FnOnce(&Files, FileLock) -> Result<T, StartFault>,
) -> Result<T, StartFault> {
    let io = |file: &Path, why: io::Error| StartFault::Store(io_fault(file, &why));
    let unfinished = &files.unfinished;
    let discard = || match fs::remove_dir_all(unfinished) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(io(unfinished, why)),
        Ok(()) | Err(_) => Ok(()),
    };
    discard()?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(unfinished)
        .map_err(|why| io(unfinished, why))?;
    let held = lock.clone();
    let filled = fill(&Files::new(unfinished), lock).and_then(|filled| {
        let made = Files::new(unfinished);
        for (from, to) in [(&made.database, &files.database), (&made.head, &files.head)] {
            fs::rename(from, to).map_err(|why| io(to, why))?;
            files::sync_dir(&files.dir).map_err(|why| io(&files.dir, why))?;
        }
        Ok(filled)
    });
    let discarded = discard();
    drop(held);
    let filled = filled?;
    discarded?;
    Ok(filled)
}

pub(super) fn failed(files: &Files) -> impl Fn(rusqlite::Error) -> StartFault + use<> {
    let file = files.database.clone();
    move |why| StartFault::Store(fault(&file, &why))
}

pub(super) fn refused(file: &Path, seen: String) -> StartFault {
    let file = PathBuf::from(file);
    StartFault::Store(StoreFault::Broken { file, seen })
}
