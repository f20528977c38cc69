//! Retention: deleting old messages, and idempotency keys whose window has passed.
//!
//! The writer goes through all logs in rounds. Each step deletes at most one slice of one log. It joins a transaction of new messages if
//! there is one, so that it needs no sync of its own. Only the oldest messages of a log are deleted, so the rest has no hole. A damaged
//! row never causes a deletion.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    chain::Chain,
    fault::{StoreFault, fault},
    idempotency::{LiveKeys, Tables, forget_rows},
    log::LogId,
    rows::{LogRow, int},
    settings::{HistorySettings, Retention},
    table_cache::TableCache,
};
use crate::{chat::Seq, limits};

/// The progress of the rounds.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// The last log of this round that is finished; `None` between rounds.
    log: Option<i64>,
    /// `log` before the current transaction.
    before: Option<i64>,
    next_round: Instant,
    pause: Duration,
}

/// The result of one step.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) wrote: bool,
    pub(crate) retired: u64,
    /// The id and head of each log that lost messages.
    pub(crate) touched: Vec<(u32, Seq)>,
}

impl Rounds {
    pub(crate) fn new(settings: &HistorySettings) -> Self {
        Self {
            log: None,
            before: None,
            next_round: Instant::now(),
            pause: settings.retention_pause,
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.log.is_some() || Instant::now() >= self.next_round
    }

    /// Starts the next round at once, for a new retention.
    pub(crate) fn restart(&mut self) {
        self.next_round = Instant::now();
    }

    /// The time until the next step.
    pub(crate) fn rest(&self) -> Duration {
        match self.log {
            Some(_) => Duration::ZERO,
            None => self.next_round.saturating_duration_since(Instant::now()),
        }
    }

    /// Goes back to before the last step, whose transaction failed.
    pub(crate) fn commit_failed(&mut self) {
        self.log = self.before;
        self.next_round = Instant::now() + self.pause;
    }

    /// Deletes at most one slice, or checks a few logs that have nothing to delete.
    pub(crate) fn step(
        &mut self,
        db: &Connection,
        file: &Path,
        settings: &HistorySettings,
        now: u64,
        cache: &mut TableCache,
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
            // A log that fails is skipped, so that the round continues.
            self.log = Some(id);
            let (slice, finished) = delete_slice(db, file, settings, now, row, cache)?;
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
}

/// Deletes at most one slice of a log's messages or keys. Returns whether the log is finished.
fn delete_slice(
    db: &Connection,
    file: &Path,
    settings: &HistorySettings,
    now: u64,
    mut row: LogRow,
    cache: &mut TableCache,
) -> Result<(Slice, bool), StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut slice = Slice::default();
    let retention = match &row.log {
        LogId::Pair(_) => settings.directs,
        LogId::Room(room) => settings.rooms.get(room).copied().unwrap_or(settings.retention),
    };
    let chain = Chain { db, file, log: &row };
    let target = keep_from(chain, retention, now)?;
    let (tables, live) = (Tables { db, file }, LiveKeys::at(now, settings.keys));
    let mut finished = true;
    if target > row.first {
        let last = slice_end(db, &row).map_err(failed)?.min(target - 1);
        let (base, ordinal) = match chain.at_or_below(last)? {
            Some(message) => (message.sum, message.ordinal),
            None => (row.base, 0),
        };
        cache.keys.before_deletion(tables, &row, ordinal, live)?;
        let deleted = db
            .prepare_cached("DELETE FROM message WHERE log = ?1 AND seq BETWEEN ?2 AND ?3")
            .and_then(|mut delete| delete.execute(params![row.id, int(row.first), int(last)]))
            .map_err(failed)?;
        row.base = base;
        row.first = last + 1;
        row.update(db).map_err(failed)?;
        cache.heads.insert(row.log.clone(), row.clone());
        slice.retired = deleted as u64;
        slice.wrote = true;
        slice.touched.push((row.id, row.head));
        finished = row.first >= target;
    }
    let forgotten = forget_rows(tables, &row, live, limits::HISTORY_SLICE_ROWS)?;
    let blocks = cache
        .keys
        .forget_blocks(tables, &row, live, limits::HISTORY_SLICE_BLOCKS)?;
    slice.wrote |= forgotten + blocks > 0;
    finished &= forgotten < limits::HISTORY_SLICE_ROWS && blocks < limits::HISTORY_SLICE_BLOCKS;
    Ok((slice, finished))
}

/// The first number to keep. A damaged message never causes a deletion.
fn keep_from(chain: Chain<'_>, keep: Retention, now: u64) -> Result<Seq, StoreFault> {
    let row = chain.log;
    let mut first = row.first;
    if keep == Retention::FOREVER {
        return Ok(first);
    }
    let Some(oldest) = chain.at_or_above(first)? else {
        return Ok(first);
    };
    if let Some(messages) = keep.messages
        && (row.ordinal + 1).saturating_sub(oldest.ordinal) > messages
    {
        let last_to_go = row.ordinal - messages;
        first = first.max(chain.first_where(|message| message.ordinal > last_to_go, Err)?);
    }
    if let Some(bytes) = keep.bytes
        && row.sum - row.base > bytes
    {
        // The messages above s have `row.sum - sum(s)` bytes, so the messages to keep begin after the first s at the floor.
        let floor = row.sum - bytes;
        if row.base < floor {
            let at_floor = chain.first_where(|message| message.sum >= floor, Err)?;
            first = first.max(chain.at_or_above(at_floor)?.map_or(at_floor, |message| message.seq + 1));
        }
    }
    if let Some(age) = keep.age {
        let oldest_at = now.saturating_sub(millis(age));
        if oldest.at < oldest_at {
            first = first.max(chain.first_where(|message| message.at >= oldest_at, Err)?);
        }
    }
    Ok(first)
}

/// The last number of the oldest slice of messages.
fn slice_end(db: &Connection, row: &LogRow) -> rusqlite::Result<Seq> {
    let last: Option<i64> = db
        .prepare_cached("SELECT seq FROM message WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1 OFFSET ?3")?
        .query_row(
            params![row.id, int(row.first), limits::HISTORY_SLICE_ROWS as i64 - 1],
            |row| row.get(0),
        )
        .optional()?;
    Ok(last.map_or(row.head, i64::cast_unsigned))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Logs without anything to delete that one step checks.
const LOGS_PER_STEP: usize = 64;
