//! The search index: a separate database, which a thread of its own fills after the writer's commits.
//!
//! The index can always be rebuilt from the store. Therefore it is not synced and takes no lock that the writer needs, and nothing waits
//! for it. The indexer discards an index that is damaged or belongs to another store. Search scans the messages that are not indexed yet.
//!
//! A row's number is `log << 36 | seq`, so the rows of a log are one range, with the newest last.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::terms;
use crate::{
    chat::Seq,
    history::{
        chain::{Chain, Direction},
        fault::{StartFault, StoreFault, fault, io_fault},
        files::{Files, with_companions},
        reader::IDLE,
        rows::{LogRow, int},
        schema,
        shared::Shared,
        stats::bump,
    },
    limits::{self, HISTORY_LOG_MESSAGES},
};

/// How much of a log is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) epoch: u64,
    /// Entries below this number have been deleted from the index.
    pub(crate) first: Seq,
    /// The last indexed entry.
    pub(crate) upto: Seq,
}

pub(crate) fn row_number(log: u32, seq: Seq) -> i64 {
    int(u64::from(log) * HISTORY_LOG_MESSAGES + seq.min(HISTORY_LOG_MESSAGES - 1))
}

pub(crate) fn seq_of(row: i64) -> Seq {
    row.cast_unsigned() % HISTORY_LOG_MESSAGES
}

/// Opens the index for the indexer, and rebuilds it if it does not belong to the store.
pub(crate) fn open(files: &Files, store: u64) -> Result<Connection, StoreFault> {
    match try_open(&files.search, store) {
        Ok(Some(db)) => Ok(db),
        Ok(None) | Err(_) => {
            for file in with_companions(&files.search) {
                if let Err(why) = fs::remove_file(&file)
                    && why.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(io_fault(&file, &why));
                }
            }
            try_open(&files.search, store)
                .map_err(|why| fault(&files.search, &why))?
                .ok_or_else(|| StoreFault::Broken {
                    file: files.search.clone(),
                    seen: "a new search index does not know its store".to_owned(),
                })
        }
    }
}

fn try_open(file: &Path, store: u64) -> rusqlite::Result<Option<Connection>> {
    let db = Connection::open(file)?;
    schema::tune(&db)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // Syncs of the index would delay the commits. After a power cut the next start discards the file.
    db.pragma_update(None, "synchronous", "OFF")?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        db.execute_batch(TABLES)?;
        db.execute("INSERT INTO meta (store) VALUES (?1)", [int(store)])?;
        db.pragma_update(None, "user_version", VERSION)?;
        return Ok(Some(db));
    }
    let known: i64 = db.query_row("SELECT store FROM meta", [], |row| row.get(0))?;
    Ok((version == VERSION && known == int(store)).then_some(db))
}

pub(crate) fn cursor(db: &Connection, log: u32) -> rusqlite::Result<Option<Cursor>> {
    db.prepare_cached("SELECT epoch, first, upto FROM cursor WHERE log = ?1")?
        .query_row([log], |row| {
            Ok(Cursor {
                epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                first: row.get::<_, i64>(1)?.cast_unsigned(),
                upto: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()
}

/// Indexes new messages until the store stops.
pub(crate) fn run<T: Send + 'static>(
    shared: &Arc<Shared<T>>,
    mut index: Connection,
    store: &Connection,
    files: &Files,
    number: u64,
) {
    let mut due = VecDeque::new();
    let mut known = HashSet::new();
    let mut seen = 0;
    let mut failing = false;
    while !shared.unindexed.logs.is_closed() {
        while let Some(log) = shared.unindexed.logs.pop() {
            if known.insert(log) {
                due.push_back(log);
            }
        }
        if shared.unindexed.all.swap(false, Ordering::AcqRel) {
            match every_log(store, &files.database) {
                Ok(logs) => due.extend(logs.into_iter().filter(|log| known.insert(*log))),
                Err(fault) => tracing::error!(%fault, "the logs to index cannot be listed"),
            }
        }
        let Some(log) = due.pop_front() else {
            let fresh = shared.unindexed.logs.wait(IDLE);
            due.extend(fresh.filter(|log| known.insert(*log)));
            continue;
        };
        let begun = Instant::now();
        let done = slice(&mut index, store, &files.database, &files.search, log);
        if failing && done.is_ok() {
            failing = false;
            shared.faults.degraded(None);
        }
        match done {
            Ok((indexed, true)) => {
                known.remove(&log);
                bump(&shared.stats.indexed, indexed);
            }
            Ok((indexed, false)) => {
                due.push_back(log);
                bump(&shared.stats.indexed, indexed);
            }
            Err(fault) => {
                tracing::error!(%fault, log, "a log cannot be indexed; search scans it");
                let own = matches!(&fault, StoreFault::Damaged { file, .. } if *file == files.search);
                match fault {
                    // Trying again would find the same damage.
                    StoreFault::Damaged { .. } => drop(known.remove(&log)),
                    // A full disk, for example, can recover: try again.
                    StoreFault::Full { .. }
                    | StoreFault::ReadOnly { .. }
                    | StoreFault::Broken { .. }
                    | StoreFault::Refused { .. }
                    | StoreFault::Stopping => {
                        failing = true;
                        due.push_back(log);
                    }
                }
                match fault {
                    // The damage is in the store, so it stays reported even if the index is rebuilt.
                    StoreFault::Damaged { .. } if !own => shared.found(&fault, "what is stored is damaged"),
                    fault => shared.faults.degraded(Some(fault)),
                }
                if own {
                    // The index itself is damaged, and cheap to rebuild.
                    drop(index);
                    match open(files, number) {
                        Ok(fresh) => index = fresh,
                        Err(fault) => return shared.faults.degraded(Some(fault)),
                    }
                    shared.faults.degraded(None);
                    shared.unindexed.generation.fetch_add(1, Ordering::AcqRel);
                    shared.unindexed.all.store(true, Ordering::Release);
                }
                pause(shared, limits::HISTORY_PROBE);
            }
        }
        // While the store commits messages, the index uses at most a third of a core. When it has caught up it waits for several
        // messages, because a transaction costs more than a message in it.
        let commits = shared.stats.commits.load(Ordering::Relaxed);
        if commits != seen {
            seen = commits;
            let pace = if due.is_empty() {
                limits::HISTORY_INDEX_PACE
            } else {
                Duration::ZERO
            };
            pause(shared, (begun.elapsed() * 2).max(pace));
        }
    }
}

/// Sleeps until the time is over or the store stops.
fn pause<T>(shared: &Shared<T>, time: Duration) {
    let until = Instant::now() + time;
    while !shared.unindexed.logs.is_closed() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// Indexes at most one slice of a log, or deletes one slice of old messages. Returns the number of indexed messages and whether the log
/// is up to date.
pub(crate) fn slice(
    index: &mut Connection,
    store: &Connection,
    store_file: &Path,
    file: &Path,
    log: u32,
) -> Result<(u64, bool), StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let snapshot = store.unchecked_transaction().map_err(|why| fault(store_file, &why))?;
    let Some(row) = LogRow::by_id(store, store_file, log)? else {
        return Ok((0, true));
    };
    let transaction = index.transaction().map_err(failed)?;
    let mut cursor = cursor(&transaction, log).map_err(failed)?.unwrap_or(Cursor {
        epoch: row.epoch,
        first: row.first,
        upto: row.first - 1,
    });
    if cursor.epoch != row.epoch || cursor.upto > row.head {
        return Err(StoreFault::damaged(file, "the index is of another life of the log").in_log(&row.log));
    }
    if cursor.first < row.first {
        let range = (row_number(log, cursor.first), row_number(log, row.first - 1));
        let last = delete_slice(&transaction, range)
            .map_err(failed)?
            .map_or(row.first - 1, seq_of);
        cursor.first = last + 1;
        cursor.upto = cursor.upto.max(last);
    }
    let mut count = 0;
    if cursor.first == row.first && cursor.upto < row.head {
        let mut insert = transaction
            .prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")
            .map_err(failed)?;
        let mut tokens = String::new();
        let chain = Chain {
            db: store,
            file: store_file,
            log: &row,
        };
        let low = cursor.upto + 1;
        cursor.upto = row.head;
        chain.scan((low, row.head), Direction::Ascending, |message| {
            terms::tokens(&message.text, &mut tokens);
            if !tokens.is_empty() {
                insert
                    .execute(params![row_number(log, message.seq), tokens])
                    .map_err(failed)?;
            }
            count += 1;
            if count < limits::HISTORY_INDEX_SLICE as u64 {
                return Ok(ControlFlow::Continue(()));
            }
            cursor.upto = message.seq;
            Ok(ControlFlow::Break(()))
        })?;
    }
    drop(snapshot);
    transaction
        .prepare_cached(
            "INSERT INTO cursor (log, epoch, first, upto) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (log) DO UPDATE SET epoch = excluded.epoch, first = excluded.first, upto = excluded.upto",
        )
        .and_then(|mut upsert| upsert.execute(params![log, int(cursor.epoch), int(cursor.first), int(cursor.upto)]))
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok((count, cursor.first == row.first && cursor.upto == row.head))
}

/// Deletes at most one slice of the oldest entries of a range of rows. Returns the last deleted row, or `None` if the range is empty now.
fn delete_slice(index: &Connection, (low, high): (i64, i64)) -> rusqlite::Result<Option<i64>> {
    let last: Option<i64> = index
        .prepare_cached("SELECT id FROM words_docsize WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1 OFFSET ?3")?
        .query_row(params![low, high, limits::HISTORY_INDEX_SLICE as i64 - 1], |row| {
            row.get(0)
        })
        .optional()?;
    index
        .prepare_cached("DELETE FROM words WHERE rowid BETWEEN ?1 AND ?2")?
        .execute([low, last.unwrap_or(high)])?;
    Ok(last)
}

fn every_log(store: &Connection, file: &Path) -> Result<Vec<u32>, StoreFault> {
    let read = || -> rusqlite::Result<Vec<u32>> {
        store
            .prepare_cached("SELECT id FROM log ORDER BY id")?
            .query_map([], |row| row.get(0))?
            .collect()
    };
    read().map_err(|why| fault(file, &why))
}

/// Opens the index for the searcher.
pub(crate) fn open_reader(files: &Files) -> Result<Connection, StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(&files.search, &why));
    let db = Connection::open(&files.search).map_err(failed)?;
    schema::tune(&db).map_err(failed)?;
    db.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(db)
}

/// The version of the tables and of the tokens. An index of another version is rebuilt.
const VERSION: i64 = 4;

const TABLES: &str = "
CREATE TABLE meta (store INTEGER NOT NULL) STRICT;
CREATE TABLE cursor (
    log INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    upto INTEGER NOT NULL
) STRICT;
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii', detail = none);
";
