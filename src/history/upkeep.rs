//! What the writer does beside the talks: retention, keys that run out, checkpoints. All in slices, and where there are talks to
//! commit, inside their transactions.

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use super::{
    LogId, Retention, Settings, StoreFault,
    batch::Heads,
    messages::{self, MessageRow, Order},
    rows::{LogRow, int},
    schema::fault,
};
use crate::{chat::Seq, limits};

/// Where the rounds stand.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// The log the round has come to; `None` between two rounds.
    log: Option<i64>,
    /// Where it was before the transaction that is being filled.
    before: Option<i64>,
    next_round: Instant,
    pause: Duration,
    commits_since_look: u32,
    held: Held,
}

/// Whether somebody reads below the end of the write-ahead log, which keeps it from being used again: it grows meanwhile.
#[derive(Debug, Default)]
struct Held {
    since: Option<Instant>,
    /// How large the log was when that was last said.
    warned_bytes: u64,
}

/// What one step did.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) wrote: bool,
    pub(crate) retired: u64,
    /// Logs that lost talks: id and head.
    pub(crate) touched: Vec<(u32, Seq)>,
}

impl Upkeep {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            log: None,
            before: None,
            next_round: Instant::now(),
            pause: settings.retention_pause,
            commits_since_look: 0,
            held: Held::default(),
        }
    }

    /// Whether there may be something to do.
    pub(crate) fn is_due(&self) -> bool {
        self.log.is_some() || Instant::now() >= self.next_round
    }

    /// The next round begins at once: another retention is in force.
    pub(crate) fn look_again(&mut self) {
        self.next_round = Instant::now();
    }

    /// How long there is nothing to do.
    pub(crate) fn rest(&self) -> Duration {
        match self.log {
            Some(_) => Duration::ZERO,
            None => self.next_round.saturating_duration_since(Instant::now()),
        }
    }

    /// The transaction of the last step is gone.
    pub(crate) fn commit_failed(&mut self) {
        self.log = self.before;
        self.next_round = Instant::now() + self.pause;
    }

    /// Goes on with the round: deletes at most one slice, or looks at a few logs that have nothing to delete.
    pub(crate) fn step(
        &mut self,
        db: &Connection,
        file: &Path,
        settings: &Settings,
        now: u64,
        heads: &mut Heads,
    ) -> Result<Slice, StoreFault> {
        self.before = self.log;
        if !self.is_due() {
            return Ok(Slice::default());
        }
        let mut at = self.log.unwrap_or(0);
        for _ in 0..LOGS_PER_STEP {
            let next = LogRow::after(db, file, at);
            let row = match next {
                Ok(Some(row)) => row,
                Ok(None) => {
                    self.log = None;
                    self.next_round = Instant::now() + self.pause;
                    return Ok(Slice::default());
                }
                Err(why) => {
                    self.log = Some(at + 1);
                    return Err(why);
                }
            };
            let id = i64::from(row.id);
            // A log that cannot be tended is passed over, so that the others are.
            self.log = Some(id);
            let (slice, finished) = tend(db, file, settings, now, row, heads)?;
            if !finished {
                self.log = Some(id - 1);
            }
            if slice.wrote {
                return Ok(slice);
            }
            at = id;
        }
        Ok(Slice::default())
    }

    /// Copies the write-ahead log into the database when it has grown. `Some(true)`: all of it was copied.
    pub(crate) fn checkpoint(&mut self, db: &Connection) -> rusqlite::Result<Option<bool>> {
        self.commits_since_look += 1;
        if self.commits_since_look < COMMITS_PER_LOOK {
            return Ok(None);
        }
        self.commits_since_look = 0;
        let (pages, copied) = checkpoint_state(db, "PRAGMA wal_checkpoint(NOOP)")?;
        if (pages - copied).cast_unsigned() < limits::HISTORY_WAL_PAGES || pages < copied {
            return Ok(None);
        }
        self.copy_log(db).map(Some)
    }

    /// Tries again where a reader held the last checkpoint back, so that its age is right while nobody talks. `Some(true)`: all
    /// of it was copied.
    pub(crate) fn look_at_log(&mut self, db: &Connection, wal_bytes: u64) -> rusqlite::Result<Option<bool>> {
        let Some(since) = self.held.since else { return Ok(None) };
        let complete = self.copy_log(db)?;
        if complete {
            if self.held.warned_bytes > 0 {
                tracing::info!("the write-ahead log of the store can be used again");
            }
            self.held.warned_bytes = 0;
        } else if wal_bytes >= limits::HISTORY_WAL_WARN.max(self.held.warned_bytes.saturating_mul(2)) {
            self.held.warned_bytes = wal_bytes;
            tracing::warn!(
                wal_bytes,
                held_seconds = since.elapsed().as_secs(),
                "the write-ahead log of the store grows because another process reads below its end: a `plaza history` command, \
                 or another SQLite program, that runs or stands still; it shrinks when that has ended"
            );
        }
        Ok(Some(complete))
    }

    /// How long a reader has held the write-ahead log.
    pub(crate) fn log_held(&self) -> Duration {
        self.held.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn copy_log(&mut self, db: &Connection) -> rusqlite::Result<bool> {
        let (pages, copied) = checkpoint_state(db, "PRAGMA wal_checkpoint(PASSIVE)")?;
        let complete = pages == copied;
        self.held.since = match self.held.since {
            _ if complete => None,
            Some(since) => Some(since),
            None => Some(Instant::now()),
        };
        Ok(complete)
    }
}

/// Pages in the write-ahead log, and how many of them have been copied.
fn checkpoint_state(db: &Connection, sql: &str) -> rusqlite::Result<(i64, i64)> {
    db.prepare_cached(sql)?
        .query_row([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
}

/// Deletes at most one slice of a log's talks or keys. Says whether nothing is left to delete.
fn tend(
    db: &Connection,
    file: &Path,
    settings: &Settings,
    now: u64,
    mut row: LogRow,
    heads: &mut Heads,
) -> Result<(Slice, bool), StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut slice = Slice::default();
    let retention = match &row.log {
        LogId::Pair(_) => settings.directs,
        LogId::Room(room) => settings.rooms.get(room).copied().unwrap_or(settings.retention),
    };
    let target = keep_from(db, file, &row, retention, now)?;
    let rows = limits::HISTORY_SLICE_ROWS as u64;
    let mut finished = true;
    if target > row.first {
        let last = (target - 1).min(row.first + rows - 1);
        let base = talk_at(db, file, &row, last)?.sum;
        let gone = db
            .prepare_cached("DELETE FROM message WHERE log = ?1 AND seq BETWEEN ?2 AND ?3")
            .and_then(|mut delete| delete.execute(params![row.id, int(row.first), int(last)]))
            .map_err(failed)?;
        row.base = base;
        row.first = last + 1;
        row.update(db).map_err(failed)?;
        heads.insert(row.log.clone(), row.clone());
        slice.retired = gone as u64;
        slice.wrote = true;
        slice.touched.push((row.id, row.head));
        finished = row.first >= target;
    }
    let forgotten = forget_keys(db, &row, settings, now).map_err(failed)?;
    slice.wrote |= forgotten > 0;
    Ok((slice, finished && (forgotten as u64) < rows))
}

/// Forgets the keys of a log that ran out, at most one slice of them.
fn forget_keys(db: &Connection, row: &LogRow, settings: &Settings, now: u64) -> rusqlite::Result<usize> {
    let oldest_at = now.saturating_sub(millis(settings.keys.age));
    let oldest_seq = (row.head + 1).saturating_sub(settings.keys.talks);
    let mut expired = Vec::new();
    let mut select = db.prepare_cached(
        "SELECT user, key, seq, at FROM idem INDEXED BY idem_by_seq WHERE log = ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query(params![row.id, limits::HISTORY_SLICE_ROWS as i64])?;
    while let Some(key) = rows.next()? {
        if key.get::<_, i64>(2)? >= int(oldest_seq) && key.get::<_, i64>(3)? >= int(oldest_at) {
            break;
        }
        expired.push((key.get::<_, String>(0)?, key.get::<_, String>(1)?));
    }
    drop(rows);
    let mut delete = db.prepare_cached("DELETE FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?;
    for (user, key) in &expired {
        delete.execute(params![row.id, user, key])?;
    }
    Ok(expired.len())
}

/// The first talk that stays.
fn keep_from(db: &Connection, file: &Path, row: &LogRow, keep: Retention, now: u64) -> Result<Seq, StoreFault> {
    let mut first = row.first;
    if let Some(talks) = keep.talks {
        first = first.max((row.head + 1).saturating_sub(talks));
    }
    if let Some(bytes) = keep.bytes
        && row.sum - row.base > bytes
    {
        // The talks above s take `row.sum - sum(s)` bytes: all those fit that stand above the first s at the floor.
        let floor = row.sum - bytes;
        if row.base < floor {
            first = first.max(first_where(row, |seq| Ok(talk_at(db, file, row, seq)?.sum >= floor))? + 1);
        }
    }
    if let Some(age) = keep.age {
        let oldest = now.saturating_sub(millis(age));
        if row.first <= row.head && talk_at(db, file, row, row.first)?.at < oldest {
            first = first.max(first_where(row, |seq| Ok(talk_at(db, file, row, seq)?.at >= oldest))?);
        }
    }
    Ok(first)
}

/// The first stored talk for which `holds` is true, which it then is for all above; `head + 1` if for none.
pub(crate) fn first_where(row: &LogRow, holds: impl Fn(Seq) -> Result<bool, StoreFault>) -> Result<Seq, StoreFault> {
    let (mut low, mut high) = (row.first, row.head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// A talk that must be there: nothing is deleted on the word of a damaged row.
pub(crate) fn talk_at(db: &Connection, file: &Path, row: &LogRow, seq: Seq) -> Result<MessageRow, StoreFault> {
    let mut found = None;
    messages::scan(db, file, row, (seq, seq), Order::Up, |message| {
        found = Some(message);
        Ok(ControlFlow::Continue(()))
    })?;
    found.ok_or(StoreFault::Stopping) // scan has found it or failed
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Logs without anything to delete that one step passes.
const LOGS_PER_STEP: usize = 64;
/// The write-ahead log is looked at once in so many commits.
const COMMITS_PER_LOOK: u32 = 8;
