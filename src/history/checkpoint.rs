//! Checkpoints: copies of the write-ahead log into the database, so that SQLite can reuse the log.
//!
//! The writer decides when to checkpoint, because the commit marker must know which commits the database file contains. While a
//! reader holds an old snapshot, SQLite cannot reuse the log. The log then grows, and the operator gets a warning.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::limits;

#[derive(Debug, Default)]
pub(crate) struct Checkpointer {
    commits_since_look: u32,
    /// Since when a reader has prevented the reuse of the log.
    held_since: Option<Instant>,
    /// The size of the log at the last warning.
    warned_bytes: u64,
}

impl Checkpointer {
    /// Checkpoints if the log has grown. `Some(true)`: the whole log was copied.
    pub(crate) fn after_commit(&mut self, db: &Connection) -> rusqlite::Result<Option<bool>> {
        self.commits_since_look += 1;
        if self.commits_since_look < COMMITS_PER_CHECK {
            return Ok(None);
        }
        self.commits_since_look = 0;
        let (pages, copied) = checkpoint_state(db, "PRAGMA wal_checkpoint(NOOP)")?;
        if (pages - copied).cast_unsigned() < limits::HISTORY_WAL_PAGES || pages < copied {
            return Ok(None);
        }
        self.copy_log(db).map(Some)
    }

    /// Repeats a checkpoint that a reader prevented, so that `log_held` is right while there are no commits. `Some(true)`: the whole log
    /// was copied.
    pub(crate) fn retry(&mut self, db: &Connection, wal_bytes: u64) -> rusqlite::Result<Option<bool>> {
        let Some(since) = self.held_since else { return Ok(None) };
        let complete = self.copy_log(db)?;
        if complete {
            if self.warned_bytes > 0 {
                tracing::info!("the write-ahead log of the store can be used again");
            }
            self.warned_bytes = 0;
        } else if wal_bytes >= limits::HISTORY_WAL_WARN.max(self.warned_bytes.saturating_mul(2)) {
            self.warned_bytes = wal_bytes;
            tracing::warn!(
                wal_bytes,
                held_seconds = since.elapsed().as_secs(),
                "the write-ahead log of the store grows because another process reads below its end: a `plaza history` command, \
                 or another SQLite program, that runs or stands still; it shrinks when that has ended"
            );
        }
        Ok(Some(complete))
    }

    /// How long a reader has prevented the reuse of the log.
    pub(crate) fn log_held(&self) -> Duration {
        self.held_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn copy_log(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let (pages, copied) = checkpoint_state(db, "PRAGMA wal_checkpoint(PASSIVE)")?;
        let complete = pages == copied;
        self.held_since = match self.held_since {
            _ if complete => None,
            Some(since) => Some(since),
            None => Some(Instant::now()),
        };
        Ok(complete)
    }
}

/// The number of pages in the write-ahead log, and how many of them are copied.
fn checkpoint_state(db: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    db.prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
}

/// Copies the whole write-ahead log into the database.
pub(crate) fn checkpoint_all(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The size of the log is checked once per this many commits.
const COMMITS_PER_CHECK: u32 = 8;
