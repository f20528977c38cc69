//! Rows and their checksums: what is written, and what is believed when it is read.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::{LogHead, LogId, LostTail, StoreFault, UserPair, schema::fault};
use crate::{
    chat::{RoomName, Seq, SessionTag, Talk, TalkKind, UserName},
    limits,
};

/// Where a log stands, as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    pub(crate) id: u32,
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    /// The newest talk.
    pub(crate) head: Seq,
    /// The oldest one still stored; `head + 1` when none is.
    pub(crate) first: Seq,
    /// Bytes of all talks below `first`, ever.
    pub(crate) base: u64,
    /// Bytes of all talks up to `head`, ever.
    pub(crate) sum: u64,
    /// The time of the newest talk.
    pub(crate) at: u64,
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRow {
    pub(crate) seq: Seq,
    pub(crate) at: u64,
    pub(crate) user: String,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: String,
    /// Bytes of all talks up to this one, ever.
    pub(crate) sum: u64,
}

/// In which order rows are read, and so which end is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Up,
    Down,
}

impl LogRow {
    pub(crate) fn find(db: &Connection, file: &Path, log: &LogId) -> Result<Option<Self>, StoreFault> {
        let (kind, name, peer) = log_columns(log);
        db.prepare_cached(
            "SELECT id, kind, name, peer, epoch, head, first, base, sum, at, crc FROM log
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

    /// The log with the lowest id above this one.
    pub(crate) fn after(db: &Connection, file: &Path, id: i64) -> Result<Option<Self>, StoreFault> {
        db.prepare_cached(
            "SELECT id, kind, name, peer, epoch, head, first, base, sum, at, crc FROM log
             WHERE id > ?1 ORDER BY id LIMIT 1",
        )
        .and_then(|mut select| {
            select
                .query_row([id], |row| Self::read(row, file).map_or_else(defer, Ok))
                .optional()
        })
        .map_err(|why| undefer(file, why))
    }

    /// Makes the row of a new log, and the entries by which its users find it. The id in `self` is not looked at.
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
            "INSERT INTO log (id, kind, name, peer, epoch, head, first, base, sum, at, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
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
            self.crc()
        ])?;
        if let LogId::Pair(pair) = &self.log {
            let mut insert = db.prepare_cached("INSERT OR IGNORE INTO pair (user, log) VALUES (?1, ?2)")?;
            for name in pair.names() {
                insert.execute(params![name.as_str(), self.id])?;
            }
        }
        Ok(())
    }

    pub(crate) fn update(&self, db: &Connection) -> rusqlite::Result<()> {
        db.prepare_cached(
            "UPDATE log SET epoch = ?2, head = ?3, first = ?4, base = ?5, sum = ?6, at = ?7, crc = ?8 WHERE id = ?1",
        )?
        .execute(params![
            self.id,
            int(self.epoch),
            int(self.head),
            int(self.first),
            int(self.base),
            int(self.sum),
            int(self.at),
            self.crc()
        ])
        .map(drop)
    }

    /// What is told of it.
    pub(crate) fn head(&self, db: &Connection, file: &Path) -> Result<LogHead, StoreFault> {
        Ok(LogHead {
            epoch: self.epoch,
            seq: self.head,
            first: self.first,
            lost: lost_tails(db, file, self.id)?,
        })
    }

    fn crc(&self) -> u32 {
        let (kind, name, peer) = log_columns(&self.log);
        Checksum::default()
            .number(i64::from(self.id))
            .number(kind)
            .text(name)
            .text(peer)
            .number(int(self.epoch))
            .number(int(self.head))
            .number(int(self.first))
            .number(int(self.base))
            .number(int(self.sum))
            .number(int(self.at))
            .finish()
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
        let damaged = |seen: String| StoreFault::Damaged {
            file: file.to_owned(),
            log: None,
            seq: None,
            seen,
        };
        let log = parse_log(kind, &name, &peer).ok_or_else(|| {
            damaged(format!(
                "row {id} of table log names no log: {kind}, {name:?}, {peer:?}"
            ))
        })?;
        let number = |column: usize| -> Result<u64, StoreFault> {
            let value: i64 = row.get(column).map_err(|why| fault(file, &why))?;
            Ok(value.cast_unsigned())
        };
        let read = Self {
            id: u32::try_from(id).map_err(|_| damaged(format!("table log has a row with the id {id}")))?,
            log,
            epoch: number(4)?,
            head: number(5)?,
            first: number(6)?,
            base: number(7)?,
            sum: number(8)?,
            at: number(9)?,
        };
        if i64::from(read.crc()) != crc || read.first == 0 || read.first > read.head.saturating_add(1) {
            return Err(StoreFault::Damaged {
                file: file.to_owned(),
                log: Some(read.log),
                seq: None,
                seen: format!("row {id} of table log does not match its checksum"),
            });
        }
        Ok(read)
    }
}

impl MessageRow {
    pub(crate) fn insert(&self, db: &Connection, log: u32) -> rusqlite::Result<()> {
        let fresh = FreshMessage {
            log,
            seq: self.seq,
            at: self.at,
            user: &self.user,
            session: self.session,
            kind: self.kind,
            text: &self.text,
            sum: self.sum,
        };
        let mut insert = db.prepare_cached(insert_messages(InsertRows::One))?;
        fresh.bind(&mut insert, 0)?;
        insert.raw_execute().map(drop)
    }

    /// Reads a row of `SELECT seq, at, user, session, kind, text, sum, crc`.
    pub(crate) fn read(row: &Row<'_>, file: &Path, log: &LogRow) -> Result<Self, StoreFault> {
        let seq: Option<i64> = row.get(0).ok();
        let cells = || -> rusqlite::Result<_> {
            let read = Self {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                at: row.get::<_, i64>(1)?.cast_unsigned(),
                user: row.get(2)?,
                session: row.get(3)?,
                kind: row.get(4)?,
                text: row.get(5)?,
                sum: row.get::<_, i64>(6)?.cast_unsigned(),
            };
            let crc: i64 = row.get(7)?;
            Ok((read, crc))
        };
        let damaged = |seen: String| StoreFault::Damaged {
            file: file.to_owned(),
            log: Some(log.log.clone()),
            seq: seq.map(i64::cast_unsigned),
            seen,
        };
        let (read, crc) = cells().map_err(|why| damaged(why.to_string()))?;
        let own = message_crc(
            log.id,
            read.seq,
            read.at,
            &read.user,
            read.session,
            read.kind,
            &read.text,
            read.sum,
        );
        if i64::from(own) != crc {
            return Err(damaged("the row does not match its checksum".to_owned()));
        }
        Ok(read)
    }

    /// The talk, if its cells make one.
    pub(crate) fn talk(self, file: &Path, log: &LogRow) -> Result<Talk, StoreFault> {
        let damaged = |seen: &str| StoreFault::Damaged {
            file: file.to_owned(),
            log: Some(log.log.clone()),
            seq: Some(self.seq),
            seen: seen.to_owned(),
        };
        Ok(Talk {
            epoch: log.epoch,
            seq: self.seq,
            prev: self.seq.saturating_sub(1),
            at: self.at,
            from: UserName::parse(&self.user).map_err(|why| damaged(&format!("the sender is no name: {why}")))?,
            session: SessionTag(self.session),
            kind: parse_kind(self.kind).ok_or_else(|| damaged("the kind of talk is unknown to this program"))?,
            text: self.text.into(),
        })
    }
}

/// A message that is about to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshMessage<'m> {
    pub(crate) log: u32,
    pub(crate) seq: Seq,
    pub(crate) at: u64,
    pub(crate) user: &'m str,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: &'m str,
    pub(crate) sum: u64,
}

/// How many messages one statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InsertRows {
    One,
    Many,
}

impl FreshMessage<'_> {
    /// Binds the columns as the `place`-th row, from 0, of a statement of [`insert_messages`].
    fn bind(&self, insert: &mut Statement<'_>, place: usize) -> rusqlite::Result<()> {
        let Self {
            log,
            seq,
            at,
            user,
            session,
            kind,
            text,
            sum,
        } = *self;
        let crc = message_crc(log, seq, at, user, session, kind, text, sum);
        let first = place * MESSAGE_COLUMNS + 1;
        insert.raw_bind_parameter(first, log)?;
        insert.raw_bind_parameter(first + 1, int(seq))?;
        insert.raw_bind_parameter(first + 2, int(at))?;
        insert.raw_bind_parameter(first + 3, user)?;
        insert.raw_bind_parameter(first + 4, session)?;
        insert.raw_bind_parameter(first + 5, kind)?;
        insert.raw_bind_parameter(first + 6, text)?;
        insert.raw_bind_parameter(first + 7, int(sum))?;
        insert.raw_bind_parameter(first + 8, crc)
    }
}

/// Writes messages, [`ROWS_PER_INSERT`] with one statement where that many are left: it takes two thirds of the time of as
/// many statements. What was written when it fails stays to be rolled back.
pub(crate) fn write_messages(db: &Connection, messages: &[FreshMessage<'_>]) -> rusqlite::Result<()> {
    let (many, rest) = messages.as_chunks::<ROWS_PER_INSERT>();
    if !many.is_empty() {
        let mut insert = db.prepare_cached(insert_messages(InsertRows::Many))?;
        for rows in many {
            for (place, row) in rows.iter().enumerate() {
                row.bind(&mut insert, place)?;
            }
            insert.raw_execute()?;
        }
    }
    if !rest.is_empty() {
        let mut insert = db.prepare_cached(insert_messages(InsertRows::One))?;
        for row in rest {
            row.bind(&mut insert, 0)?;
            insert.raw_execute()?;
        }
    }
    Ok(())
}

/// The statement. `OR FAIL`, because the default would have to remember what to undo if a later row fails, and whoever fails
/// here rolls back everything.
fn insert_messages(rows: InsertRows) -> &'static str {
    static MANY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{INSERT_MESSAGE}{}",
            ", (?, ?, ?, ?, ?, ?, ?, ?, ?)".repeat(ROWS_PER_INSERT - 1)
        )
    });
    match rows {
        InsertRows::One => INSERT_MESSAGE,
        InsertRows::Many => &MANY,
    }
}

/// Hands every message from `low` to `high` to `take`, in order, until it says stop; a missing one is an error.
pub(crate) fn scan(
    db: &Connection,
    file: &Path,
    log: &LogRow,
    (low, high): (Seq, Seq),
    order: Order,
    mut take: impl FnMut(MessageRow) -> Result<std::ops::ControlFlow<()>, StoreFault>,
) -> Result<(), StoreFault> {
    if low > high {
        return Ok(());
    }
    let sql = match order {
        Order::Up => {
            "SELECT seq, at, user, session, kind, text, sum, crc FROM message
             WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq"
        }
        Order::Down => {
            "SELECT seq, at, user, session, kind, text, sum, crc FROM message
             WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC"
        }
    };
    let failed = |why: rusqlite::Error| in_log(fault(file, &why), log);
    let mut select = db.prepare_cached(sql).map_err(failed)?;
    let mut rows = select.query(params![log.id, int(low), int(high)]).map_err(failed)?;
    let mut left = high - low + 1;
    while let Some(row) = rows.next().map_err(failed)? {
        let message = MessageRow::read(row, file, log)?;
        let due = match order {
            Order::Up => high + 1 - left,
            Order::Down => low + left - 1,
        };
        if message.seq != due {
            return Err(hole(file, log, due));
        }
        left -= 1;
        if take(message)?.is_break() {
            return Ok(());
        }
    }
    if left > 0 {
        let due = match order {
            Order::Up => high + 1 - left,
            Order::Down => low + left - 1,
        };
        return Err(hole(file, log, due));
    }
    Ok(())
}

/// The tails lost in earlier epochs.
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
                return Ok(Err(StoreFault::Damaged {
                    file: file.to_owned(),
                    log: None,
                    seq: None,
                    seen: format!("a row of table lost, for log {log}, does not match its checksum"),
                }));
            }
            tails.push(tail);
        }
        Ok(Ok(tails))
    };
    read().map_err(|why| fault(file, &why))?.map(Arc::from)
}

/// Remembers a lost tail, and forgets the oldest where there are too many.
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

/// The bytes that a talk counts for in retention: its text, its sender, and what the rest of a row takes.
pub(crate) fn cost(user: &str, text: &str) -> u64 {
    (user.len() + text.len() + 48) as u64
}

pub(crate) fn kind_number(kind: TalkKind) -> i64 {
    match kind {
        TalkKind::Text => 0,
        TalkKind::Image => 1,
        TalkKind::Video => 2,
        TalkKind::Voice => 3,
    }
}

pub(crate) fn parse_kind(number: i64) -> Option<TalkKind> {
    match number {
        0 => Some(TalkKind::Text),
        1 => Some(TalkKind::Image),
        2 => Some(TalkKind::Video),
        3 => Some(TalkKind::Voice),
        _ => None,
    }
}

/// Kind, name and peer.
pub(crate) fn log_columns(log: &LogId) -> (i64, &str, &str) {
    match log {
        LogId::Room(room) => (0, room.as_str(), ""),
        LogId::Pair(pair) => {
            let [low, high] = pair.names();
            (1, low.as_str(), high.as_str())
        }
    }
}

pub(crate) fn parse_log(kind: i64, name: &str, peer: &str) -> Option<LogId> {
    match (kind, peer) {
        (0, "") => RoomName::parse(name).ok().map(LogId::Room),
        (1, peer) => {
            let pair = UserPair::of(&UserName::parse(name).ok()?, &UserName::parse(peer).ok()?);
            Some(LogId::Pair(pair))
        }
        _ => None,
    }
}

/// Numbers of the store are far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    number.cast_signed()
}

/// A checksum over cells, each with its length, so that no two rows look alike. Short cells are gathered first: a row is
/// then one run of the sum, which is several times faster than one per cell.
pub(crate) struct Checksum {
    sum: crc32fast::Hasher,
    gathered: [u8; GATHERED_BYTES],
    len: usize,
}

impl Default for Checksum {
    fn default() -> Self {
        Self {
            sum: crc32fast::Hasher::default(),
            gathered: [0; GATHERED_BYTES],
            len: 0,
        }
    }
}

impl Checksum {
    pub(crate) fn number(mut self, number: i64) -> Self {
        self.take(&number.to_le_bytes());
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.number(bytes.len() as i64);
        sum.take(bytes);
        sum
    }

    pub(crate) fn finish(mut self) -> u32 {
        self.flush();
        self.sum.finalize()
    }

    fn take(&mut self, bytes: &[u8]) {
        if let Some(free) = self.gathered.get_mut(self.len..self.len + bytes.len()) {
            free.copy_from_slice(bytes);
            self.len += bytes.len();
            return;
        }
        self.flush();
        self.sum.update(bytes);
    }

    fn flush(&mut self) {
        if let Some(gathered) = self.gathered.get(..self.len) {
            self.sum.update(gathered);
        }
        self.len = 0;
    }
}

#[allow(clippy::too_many_arguments)] // the columns of a row
fn message_crc(log: u32, seq: Seq, at: u64, user: &str, session: u32, kind: i64, text: &str, sum: u64) -> u32 {
    Checksum::default()
        .number(i64::from(log))
        .number(int(seq))
        .number(int(at))
        .text(user)
        .number(i64::from(session))
        .number(kind)
        .text(text)
        .number(int(sum))
        .finish()
}

/// Says in which log it was.
pub(crate) fn in_log(fault: StoreFault, row: &LogRow) -> StoreFault {
    match fault {
        StoreFault::Damaged {
            file,
            log: None,
            seq,
            seen,
        } => StoreFault::Damaged {
            file,
            log: Some(row.log.clone()),
            seq,
            seen,
        },
        other => other,
    }
}

fn hole(file: &Path, log: &LogRow, seq: Seq) -> StoreFault {
    StoreFault::Damaged {
        file: file.to_owned(),
        log: Some(log.log.clone()),
        seq: Some(seq),
        seen: format!("the talk is missing, although {} to {} are stored", log.first, log.head),
    }
}

/// Carries a fault of ours through a closure that may only fail with SQLite's errors.
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
            Err(other) => StoreFault::Damaged {
                file: file.to_owned(),
                log: None,
                seq: None,
                seen: other.to_string(),
            },
        },
        other => fault(file, &other),
    }
}

const INSERT_MESSAGE: &str = "INSERT OR FAIL INTO message (log, seq, at, user, session, kind, text, sum, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const MESSAGE_COLUMNS: usize = 9;
/// More gain nothing: 16 and 64 took the same time per row.
const ROWS_PER_INSERT: usize = 16;
/// A row with a text of usual length.
const GATHERED_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_same_however_its_cells_were_gathered() {
        let long = "长".repeat(1_000);
        for text in ["", "short", &long[..GATHERED_BYTES / 3 * 3], &long] {
            let gathered = Checksum::default().number(7).text(text).number(-1).text("end").finish();
            let mut plain = Vec::new();
            plain.extend_from_slice(&7_i64.to_le_bytes());
            plain.extend_from_slice(&(text.len() as i64).to_le_bytes());
            plain.extend_from_slice(text.as_bytes());
            plain.extend_from_slice(&(-1_i64).to_le_bytes());
            plain.extend_from_slice(&3_i64.to_le_bytes());
            plain.extend_from_slice(b"end");
            assert_eq!(gathered, crc32fast::hash(&plain), "{} bytes", text.len());
        }
    }
}
