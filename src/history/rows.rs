//! Rows of tables `log` and `lost`: how they are written and read.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    checksum::Checksum,
    fault::{StartFault, StoreFault, fault},
    files,
    log::{LogId, UserPair},
};
use crate::{
    chat::{LogHead, LostTail, RoomName, Seq, UserId},
    limits,
};

/// The writer's cache of log rows.
pub(crate) type Heads = foldhash::HashMap<LogId, LogRow>;

/// Whether a row has the columns that schema 3 added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// With its place in the chain.
    Chained,
    /// Without it: its log had no holes.
    Dense,
}

/// The row of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) id: u32,
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    /// The newest entry.
    pub(crate) head: Seq,
    /// Retention deleted everything below it. `head + 1` if nothing is stored.
    pub(crate) first: Seq,
    /// Total bytes of all entries below `first`.
    pub(crate) base: u64,
    /// Total bytes of all entries up to `head`, deleted ones included.
    pub(crate) sum: u64,
    /// The time of the newest entry.
    pub(crate) at: u64,
    /// The number of messages up to `head`, deleted ones included.
    pub(crate) ordinal: u64,
    /// The newest message: `head`, unless the newest entries are not messages.
    pub(crate) last: Seq,
}

impl LogRow {
    pub(crate) fn find(db: &Connection, file: &Path, log: &LogId) -> Result<Option<Self>, StoreFault> {
        let (kind, name, peer) = log_columns(log);
        db.prepare_cached(
            "SELECT id, kind, name, peer, epoch, head, first, base, sum, at, crc, ordinal, last FROM log
             WHERE kind = ?1 AND name = ?2 AND peer = ?3",
        )
        .and_then(|mut select| {
            select
                .query_row(params![kind, name, peer], |row| {
                    Self::read(row, file).map_or_else(defer, Ok)
                })
                .optional()
        })
        .map_err(|why| undefer(file, why))
    }

    pub(crate) fn by_id(db: &Connection, file: &Path, id: u32) -> Result<Option<Self>, StoreFault> {
        Self::after(db, file, i64::from(id) - 1).map(|row| row.filter(|row| row.id == id))
    }

    pub(crate) fn after(db: &Connection, file: &Path, id: i64) -> Result<Option<Self>, StoreFault> {
        db.prepare_cached(
            "SELECT id, kind, name, peer, epoch, head, first, base, sum, at, crc, ordinal, last FROM log
             WHERE id > ?1 ORDER BY id LIMIT 1",
        )
        .and_then(|mut select| {
            select
                .query_row([id], |row| Self::read(row, file).map_or_else(defer, Ok))
                .optional()
        })
        .map_err(|why| undefer(file, why))
    }

    /// Inserts the row of a new log under a new id, and the rows of table `pair` by which its users find it.
    pub(crate) fn insert(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let id: i64 = db
            .prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM log")?
            .query_row([], |row| row.get(0))?;
        self.id = u32::try_from(id)
            .ok()
            .filter(|id| u64::from(*id) < limits::HISTORY_LOGS)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))?;
        let (kind, name, peer) = log_columns(&self.log);
        db.prepare_cached(
            "INSERT INTO log (id, kind, name, peer, epoch, head, first, base, sum, at, crc, ordinal, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            self.id,
            kind,
            name,
            peer,
            int(self.epoch),
            int(self.head),
            int(self.first),
            int(self.base),
            int(self.sum),
            int(self.at),
            self.crc(Form::Chained),
            int(self.ordinal),
            self.last_cell()
        ])?;
        self.make_pairs(db)
    }

    /// Inserts missing rows of table `pair`, by which the users find the log.
    pub(crate) fn make_pairs(&self, db: &Connection) -> rusqlite::Result<()> {
        if let LogId::Pair(pair) = &self.log {
            let mut insert = db.prepare_cached("INSERT OR IGNORE INTO pair (user, log) VALUES (?1, ?2)")?;
            for user in pair.ids() {
                insert.execute(params![user.stored(), self.id])?;
            }
        }
        Ok(())
    }

    pub(crate) fn has_pairs(&self, db: &Connection) -> rusqlite::Result<bool> {
        let LogId::Pair(pair) = &self.log else { return Ok(true) };
        let mut select = db.prepare_cached("SELECT 1 FROM pair WHERE user = ?1 AND log = ?2")?;
        for user in pair.ids() {
            if !select.exists(params![user.stored(), self.id])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn update(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE log SET epoch = ?2, head = ?3, first = ?4, base = ?5, sum = ?6, at = ?7, crc = ?8, ordinal = ?9, last = ?10
             WHERE id = ?1",
        )?
        .execute(params![
            self.id,
            int(self.epoch),
            int(self.head),
            int(self.first),
            int(self.base),
            int(self.sum),
            int(self.at),
            self.crc(Form::Chained),
            int(self.ordinal),
            self.last_cell()
        ])
        .map(drop)
    }

    /// Begins a new epoch. Everything after the head is lost, up to `to` if that is known. The caller still has to update the row.
    pub(crate) fn begin_epoch(
        &mut self,
        db: &Connection,
        file: &Path,
        to: Option<Seq>,
    ) -> Result<LostTail, StartFault> {
        let tail = LostTail {
            epoch: self.epoch,
            from: self.head + 1,
            to,
        };
        insert_lost(db, self.id, &tail).map_err(|why| StartFault::Store(fault(file, &why)))?;
        self.epoch = files::new_epoch().map_err(StartFault::no_random)?;
        Ok(tail)
    }

    /// The head as clients see it.
    pub(crate) fn head(&self, db: &Connection, file: &Path) -> Result<LogHead, StoreFault> {
        Ok(LogHead {
            epoch: self.epoch,
            seq: self.last,
            first: self.first,
            lost: lost_tails(db, file, self.id)?,
        })
    }

    fn crc(&self, form: Form) -> u32 {
        let (kind, name, peer) = log_columns(&self.log);
        let sum = Checksum::default()
            .number(i64::from(self.id))
            .number(kind)
            .text(name)
            .text(peer)
            .number(int(self.epoch))
            .number(int(self.head))
            .number(int(self.first))
            .number(int(self.base))
            .number(int(self.sum))
            .number(int(self.at));
        let sum = match form {
            Form::Chained => sum.number(int(self.ordinal)),
            Form::Dense => sum,
        };
        match self.last_cell() {
            Some(last) => sum.number(last),
            None => sum,
        }
        .finish()
    }

    /// The stored value of `last`.
    fn last_cell(&self) -> Option<i64> {
        (self.last != self.head).then_some(int(self.last))
    }

    fn read(row: &Row<'_>, file: &Path) -> Result<Self, StoreFault> {
        let cells = || -> rusqlite::Result<_> {
            let name: String = row.get(2)?;
            let peer: String = row.get(3)?;
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                name,
                peer,
                row.get::<_, i64>(10)?,
            ))
        };
        let (id, kind, name, peer, crc) = cells().map_err(|why| fault(file, &why))?;
        let damaged = |seen: String| StoreFault::damaged(file, seen);
        let log = parse_log(kind, &name, &peer).ok_or_else(|| {
            damaged(format!(
                "row {id} of table log names no log: {kind}, {name:?}, {peer:?}"
            ))
        })?;
        let number = |column: usize| -> Result<u64, StoreFault> {
            let value: i64 = row.get(column).map_err(|why| fault(file, &why))?;
            Ok(value.cast_unsigned())
        };
        let ordinal: Option<i64> = row.get(11).map_err(|why| fault(file, &why))?;
        let head = number(5)?;
        let (ordinal, form) = match ordinal {
            Some(ordinal) => (ordinal.cast_unsigned(), Form::Chained),
            None => (head, Form::Dense),
        };
        let last: Option<i64> = row.get(12).map_err(|why| fault(file, &why))?;
        let read = Self {
            id: u32::try_from(id).map_err(|_| damaged(format!("table log has a row with the id {id}")))?,
            log,
            epoch: number(4)?,
            head,
            first: number(6)?,
            base: number(7)?,
            sum: number(8)?,
            at: number(9)?,
            ordinal,
            last: last.map_or(head, i64::cast_unsigned),
        };
        if i64::from(read.crc(form)) != crc || read.first == 0 || read.first > read.head.saturating_add(1) {
            let seen = format!("row {id} of table log does not match its checksum");
            return Err(damaged(seen).in_log(&read.log));
        }
        Ok(read)
    }
}

/// The row of a log, and its head as clients see it.
pub(crate) fn head(db: &Connection, file: &Path, log: &LogId) -> Result<Option<(LogRow, LogHead)>, StoreFault> {
    let Some(row) = LogRow::find(db, file, log)? else {
        return Ok(None);
    };
    let head = row.head(db, file)?;
    Ok(Some((row, head)))
}

/// The head of a log without messages.
pub(crate) fn empty() -> LogHead {
    LogHead {
        first: 1,
        ..LogHead::default()
    }
}

pub(crate) fn lost_tails(db: &Connection, file: &Path, log: u32) -> Result<Arc<[LostTail]>, StoreFault> {
    let read = || -> rusqlite::Result<Result<Vec<LostTail>, StoreFault>> {
        let mut select = db.prepare_cached("SELECT epoch, low, high, crc FROM lost WHERE log = ?1 ORDER BY id")?;
        let mut rows = select.query([log])?;
        let mut tails = Vec::new();
        while let Some(row) = rows.next()? {
            let tail = LostTail {
                epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                from: row.get::<_, i64>(1)?.cast_unsigned(),
                to: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            };
            if i64::from(lost_crc(log, &tail)) != row.get::<_, i64>(3)? {
                let seen = format!("a row of table lost, for log {log}, does not match its checksum");
                return Ok(Err(StoreFault::damaged(file, seen)));
            }
            tails.push(tail);
        }
        Ok(Ok(tails))
    };
    read().map_err(|why| fault(file, &why))?.map(Arc::from)
}

/// Stores a lost tail, and deletes the oldest beyond [`limits::HISTORY_LOST_TAILS`].
pub(crate) fn insert_lost(db: &Connection, log: u32, tail: &LostTail) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO lost (log, epoch, low, high, crc) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            log,
            int(tail.epoch),
            int(tail.from),
            tail.to.map(int),
            lost_crc(log, tail)
        ])?;
    db.prepare_cached(
        "DELETE FROM lost WHERE log = ?1 AND id NOT IN
             (SELECT id FROM lost WHERE log = ?1 ORDER BY id DESC LIMIT ?2)",
    )?
    .execute(params![log, limits::HISTORY_LOST_TAILS as i64])
    .map(drop)
}

fn lost_crc(log: u32, tail: &LostTail) -> u32 {
    Checksum::default()
        .number(i64::from(log))
        .number(int(tail.epoch))
        .number(int(tail.from))
        .number(tail.to.map_or(-1, int))
        .finish()
}

/// Kind, name and peer.
pub(crate) fn log_columns(log: &LogId) -> (i64, &str, &str) {
    match log {
        LogId::Room(room) => (0, room.as_str(), ""),
        LogId::Pair(pair) => {
            let [low, high] = pair.ids();
            (1, low.stored(), high.stored())
        }
    }
}

pub(crate) fn parse_log(kind: i64, name: &str, peer: &str) -> Option<LogId> {
    match (kind, peer) {
        (0, "") => RoomName::parse(name).ok().map(LogId::Room),
        (1, peer) => {
            let pair = UserPair::of(UserId::from_stored(name)?, UserId::from_stored(peer)?);
            Some(LogId::Pair(pair))
        }
        _ => None,
    }
}

/// SQLite stores signed numbers. Those of the store are far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    number.cast_signed()
}

/// Carries a [`StoreFault`] through a closure that can only return SQLite's errors.
fn defer<R>(fault: StoreFault) -> rusqlite::Result<R> {
    Err(rusqlite::Error::FromSqlConversionFailure(
        0,
        rusqlite::types::Type::Null,
        Box::new(fault),
    ))
}

fn undefer(file: &Path, why: rusqlite::Error) -> StoreFault {
    match why {
        rusqlite::Error::FromSqlConversionFailure(_, _, inner) => match inner.downcast::<StoreFault>() {
            Ok(own) => *own,
            Err(other) => StoreFault::damaged(file, other.to_string()),
        },
        other => fault(file, &other),
    }
}
