//! The rows of talks: what is written, and what is believed when it is read.

use std::{ops::ControlFlow, path::Path, sync::LazyLock};

use rusqlite::{Connection, Row, Statement, params};

use super::{
    checksum::Checksum,
    fault::{StoreFault, fault},
    rows::{LogRow, int},
};
use crate::chat::{Seq, SessionTag, Talk, TalkKind, UserName};

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
        let damaged = |seen: String| {
            let fault = StoreFault::damaged(file, seen).in_log(&log.log);
            match seq {
                Some(seq) => fault.at(seq.cast_unsigned()),
                None => fault,
            }
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
        let damaged = |seen: &str| StoreFault::damaged(file, seen).in_log(&log.log).at(self.seq);
        Ok(Talk {
            epoch: log.epoch,
            seq: self.seq,
            prev: self.seq.saturating_sub(1),
            at: self.at,
            from: UserName::parse(&self.user).map_err(|why| damaged(&format!("the sender is no name: {why}")))?,
            session: SessionTag(self.session),
            kind: parse_kind(self.kind).ok_or_else(|| damaged("the kind of talk is unknown to this program"))?,
            text: self.text.into(),
            echo: None,
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
    mut take: impl FnMut(MessageRow) -> Result<ControlFlow<()>, StoreFault>,
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
    let failed = |why: rusqlite::Error| fault(file, &why).in_log(&log.log);
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
    scan(db, file, row, (seq, seq), Order::Up, |message| {
        found = Some(message);
        Ok(ControlFlow::Continue(()))
    })?;
    found.ok_or(StoreFault::Stopping) // scan has found it or failed
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

fn hole(file: &Path, log: &LogRow, seq: Seq) -> StoreFault {
    let seen = format!("the talk is missing, although {} to {} are stored", log.first, log.head);
    StoreFault::damaged(file, seen).in_log(&log.log).at(seq)
}

const INSERT_MESSAGE: &str = "INSERT OR FAIL INTO message (log, seq, at, user, session, kind, text, sum, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const MESSAGE_COLUMNS: usize = 9;
/// More gain nothing: 16 and 64 took the same time per row.
const ROWS_PER_INSERT: usize = 16;
