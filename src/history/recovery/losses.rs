//! Finds out which messages a store has lost, from its database and its commit marker.
//!
//! A loss that cannot be excluded counts as one: the affected logs begin a new epoch. A commit marker that is unreadable, missing, or
//! belongs to other files never proves that nothing is lost. `docs/history-format.md` has the table of cases.

use std::{collections::BTreeMap, fs, path::Path};

use crate::history::{
    commit_marker::{LastRun, State},
    fault::{StartFault, StoreFault},
    files::{self, Files, with_companions},
    rows::LogRow,
    schema,
    settings::Durability,
};

/// Whether these are the files that the store itself wrote.
#[derive(Debug)]
pub(super) enum StoreOrigin {
    /// As far as the commit marker knows.
    InPlace,
    /// All of them are copies, for this reason.
    Copied(String),
    /// The database was replaced by a copy, so the entries of the commit marker say nothing about it.
    Replaced(String),
}

/// Compares the files' identities, before SQLite applies a write-ahead log to the database.
pub(super) fn origin(files: &Files, last_run: &LastRun) -> Result<StoreOrigin, StartFault> {
    let LastRun::Read { header, .. } = last_run else {
        return Ok(StoreOrigin::InPlace);
    };
    let seen = |file: &Path| fs::metadata(file).ok().and_then(|data| files::FileIdentity::of(&data));
    let differs = |known: Option<files::FileIdentity>, file: &Path| known.is_some() && known != seen(file);
    if header.state == State::Copy {
        return Ok(StoreOrigin::Copied("it was made by `plaza history backup`".to_owned()));
    }
    if differs(header.files.head, &files.head) {
        return Ok(StoreOrigin::Copied(format!("{} is a copy", files.head.display())));
    }
    if !differs(header.files.database, &files.database) {
        return Ok(StoreOrigin::InPlace);
    }
    let [_, wal, _] = with_companions(&files.database);
    match fs::metadata(&wal).map_or(0, |data| data.len()) {
        0 => Ok(StoreOrigin::Replaced(format!("{} is a copy", files.database.display()))),
        bytes => Err(schema::foreign_log(wal, bytes, &files.database)),
    }
}

/// All logs, each with an unknown loss.
pub(super) fn all(logs: &BTreeMap<u32, LogRow>) -> Losses<'_> {
    logs.values()
        .filter(|row| row.head > 0)
        .map(|row| (row, None))
        .collect()
}

/// The logs that begin a new epoch, each with its last lost message if that is known.
pub(super) type Losses<'l> = Vec<(&'l LogRow, Option<u64>)>;

/// Finds the logs with losses, and why the store counts as a copy if it does.
pub(super) fn compare<'l>(
    files: &Files,
    last_run: &LastRun,
    origin: StoreOrigin,
    (store, commits): (u64, u64),
    logs: &'l BTreeMap<u32, LogRow>,
) -> Result<(Losses<'l>, Option<String>), StartFault> {
    let (header, commit, heads, unreadable, hidden) = match last_run {
        // Without a commit there is nothing to lose.
        LastRun::Missing | LastRun::Damaged | LastRun::Older if commits == 0 => return Ok((Vec::new(), None)),
        LastRun::Missing | LastRun::Damaged => return Ok((all(logs), None)),
        LastRun::Older => {
            let why =
                "an older version wrote its commit marker, which does not tell a backup from a store that was stopped";
            return Ok((all(logs), Some(why.to_owned())));
        }
        LastRun::Read {
            header,
            commit,
            heads,
            unreadable,
            hidden,
            // It was never acknowledged.
            announced: _,
        } => (header, *commit, heads, *unreadable, *hidden),
    };
    if header.store != store {
        return Err(StartFault::Torn {
            file: files.head.clone(),
            seen: format!(
                "it belongs to store {:x}, and {} is store {store:x}",
                header.store,
                files.database.display()
            ),
        });
    }
    let copied = match origin {
        StoreOrigin::Replaced(why) => return Ok((all(logs), Some(why))),
        StoreOrigin::Copied(why) => Some(why),
        StoreOrigin::InPlace if header.state == State::Stopped && commits > header.base => Some(format!(
            "it was stopped after {} commits and has {commits}",
            header.base
        )),
        StoreOrigin::InPlace => None,
    };
    // Commits are missing and so are some of their entries: any log may have lost messages.
    let unnamed = commit > commits && (unreadable > 0 || header.base > commits);
    // Commits without a readable entry may be missing. One entry is announced per commit, so the marker is at most one behind.
    let unknown =
        (hidden > 0 && commit + hidden > commits) || (header.state == State::Running && commits > commit + hidden + 1);
    let unsynced =
        header.durability != Durability::Fsync && header.state == State::Running && header.boot != files::boot_id();
    let any = unsynced || unnamed || unknown || copied.is_some();
    let mut losses = Vec::new();
    for row in logs.values() {
        let marked = heads.get(&row.id).copied();
        match marked {
            Some((at, head)) if head > row.head && at <= commits => {
                let seen = format!("it ends at message {}, and commit {at} brought it to {head}", row.head);
                return Err(StartFault::Store(
                    StoreFault::damaged(&files.database, seen).in_log(&row.log),
                ));
            }
            Some((_, head)) if head > row.head => losses.push((row, Some(head))),
            Some(_) | None if any && row.head > 0 => losses.push((row, None)),
            Some(_) | None => {}
        }
    }
    Ok((losses, copied))
}
