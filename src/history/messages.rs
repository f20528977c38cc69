//! Rows of table `message`: how they are written and read.
//!
//! A row is an entry of a log. Its kind says whether it is a message. `prev` is the number of the entry before it, `last` the number of
//! the message before it, and `ordinal` counts the messages up to it. Rows of schema 1 and 2 lack these columns, because their numbers
//! had no holes.
//!
//! A row with a wrong checksum is never returned. `chain` checks the links between rows.

use std::{path::Path, sync::LazyLock};

use rusqlite::{Connection, Row, Statement};

use super::{
    checksum::Checksum,
    fault::StoreFault,
    fingerprint::Fingerprint,
    rows::{Form, LogRow, int},
};
use crate::chat::{ChatMessage, MessageKind, Seq, SessionTag, UserId, UserName};

/// A stored entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRow<S = String> {
    pub(crate) seq: Seq,
    /// The number of the entry before it; 0 for the first.
    pub(crate) prev: Seq,
    /// The number of the message before it, if it differs from `prev`.
    pub(crate) last: Option<Seq>,
    /// How many messages the log has had up to this entry.
    pub(crate) ordinal: u64,
    pub(crate) at: u64,
    /// The sender's name, as it is displayed.
    pub(crate) user: S,
    /// The sender's id as the store writes it; `None` if it follows from the name.
    pub(crate) sender: Option<S>,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: S,
    /// Total bytes of all entries up to this one, deleted ones included.
    pub(crate) sum: u64,
    /// The fingerprint of its idempotency key.
    pub(crate) key: Option<Fingerprint>,
}

/// An entry before it has a place in a log.
pub(crate) struct NewEntry<S> {
    pub(crate) user: S,
    pub(crate) sender: Option<S>,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: S,
    pub(crate) key: Option<Fingerprint>,
}

impl<S: AsRef<str>> NewEntry<S> {
    /// Appends the entry to a log: advances the log's row and returns the entry's row, which the caller writes.
    pub(crate) fn append_to(self, log: &mut LogRow, seq: Seq, at: u64) -> MessageRow<S> {
        let sender = self.sender.as_ref().map_or(0, |sender| sender.as_ref().len());
        // The bytes that retention counts: the name, the id, the text, and 48 for the rest of the row.
        let cost = (self.user.as_ref().len() + sender + self.text.as_ref().len() + 48) as u64;
        let row = MessageRow {
            seq,
            prev: log.head,
            last: Some(log.last).filter(|last| *last != log.head),
            ordinal: log.ordinal + u64::from(is_message(self.kind)),
            at: at.max(log.at),
            user: self.user,
            sender: self.sender,
            session: self.session,
            kind: self.kind,
            text: self.text,
            sum: log.sum + cost,
            key: self.key,
        };
        (log.head, log.ordinal, log.at, log.sum) = (seq, row.ordinal, row.at, row.sum);
        if row.is_message() {
            log.last = seq;
        }
        row
    }
}

/// A query whose rows [`MessageRow::read`] reads.
macro_rules! select_messages {
    ($rest:literal) => {
        concat!(
            "SELECT seq, prev, ordinal, at, user, session, kind, text, sum, crc, key, last, sender FROM message ",
            $rest
        )
    };
}
pub(crate) use select_messages;

impl MessageRow {
    pub(crate) fn read(row: &Row<'_>, file: &Path, log: &LogRow) -> Result<Self, StoreFault> {
        let seq: Option<i64> = row.get(0).ok();
        let cells = || -> rusqlite::Result<_> {
            let seq = row.get::<_, i64>(0)?.cast_unsigned();
            let (prev, ordinal, form) = match (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?) {
                (Some(prev), Some(ordinal)) => (prev.cast_unsigned(), ordinal.cast_unsigned(), Form::Chained),
                (None, _) | (_, None) => (seq.saturating_sub(1), seq, Form::Dense),
            };
            let read = Self {
                seq,
                prev,
                last: row.get::<_, Option<i64>>(11)?.map(i64::cast_unsigned),
                ordinal,
                at: row.get::<_, i64>(3)?.cast_unsigned(),
                user: row.get(4)?,
                sender: row.get(12)?,
                session: row.get(5)?,
                kind: row.get(6)?,
                text: row.get(7)?,
                sum: row.get::<_, i64>(8)?.cast_unsigned(),
                key: row.get::<_, Option<[u8; 16]>>(10)?.map(Fingerprint),
            };
            Ok((read, form, row.get::<_, i64>(9)?))
        };
        let damaged = |seen: &str| {
            let fault = StoreFault::damaged(file, seen).in_log(&log.log);
            seq.map_or_else(|| fault.clone(), |seq| fault.clone().at(seq.cast_unsigned()))
        };
        let (read, form, crc) = cells().map_err(|why| damaged(&why.to_string()))?;
        if i64::from(read.crc(log.id, form)) != crc {
            return Err(damaged("the row does not match its checksum"));
        }
        Ok(read)
    }

    /// Converts the row to a message.
    pub(crate) fn message(self, file: &Path, log: &LogRow) -> Result<ChatMessage, StoreFault> {
        let damaged = |seen: &str| StoreFault::damaged(file, seen).in_log(&log.log).at(self.seq);
        let from = UserName::parse(&self.user).map_err(|why| damaged(&format!("the sender is no name: {why}")))?;
        let user = match &self.sender {
            Some(sender) => {
                UserId::from_stored(sender).ok_or_else(|| damaged("the sender has an id that none can have"))?
            }
            None => UserId::of_name(&from),
        };
        Ok(ChatMessage {
            epoch: log.epoch,
            seq: self.seq,
            prev: self.message_before(),
            at: self.at,
            from,
            user,
            session: SessionTag(self.session),
            kind: parse_kind(self.kind).ok_or_else(|| damaged("the kind of message is unknown to this program"))?,
            text: self.text.into(),
            echo: None,
        })
    }
}

impl<S> MessageRow<S> {
    pub(crate) fn is_message(&self) -> bool {
        is_message(self.kind)
    }

    /// The number of the message before it; 0 for the first.
    pub(crate) fn message_before(&self) -> Seq {
        self.last.unwrap_or(self.prev)
    }
}

impl<S: AsRef<str>> MessageRow<S> {
    /// Binds the columns of row `place` (from 0) of an [`insert_messages`] statement.
    fn bind(&self, log: u32, insert: &mut Statement<'_>, place: usize) -> rusqlite::Result<()> {
        let first = place * MESSAGE_COLUMNS + 1;
        insert.raw_bind_parameter(first, log)?;
        insert.raw_bind_parameter(first + 1, int(self.seq))?;
        insert.raw_bind_parameter(first + 2, int(self.prev))?;
        insert.raw_bind_parameter(first + 3, int(self.ordinal))?;
        insert.raw_bind_parameter(first + 4, int(self.at))?;
        insert.raw_bind_parameter(first + 5, self.user.as_ref())?;
        insert.raw_bind_parameter(first + 6, self.session)?;
        insert.raw_bind_parameter(first + 7, self.kind)?;
        insert.raw_bind_parameter(first + 8, self.text.as_ref())?;
        insert.raw_bind_parameter(first + 9, int(self.sum))?;
        insert.raw_bind_parameter(first + 10, self.crc(log, Form::Chained))?;
        insert.raw_bind_parameter(first + 11, self.key.as_ref().map(|key| &key.0[..]))?;
        insert.raw_bind_parameter(first + 12, self.last.map(int))?;
        insert.raw_bind_parameter(first + 13, self.sender.as_ref().map(AsRef::as_ref))
    }

    fn crc(&self, log: u32, form: Form) -> u32 {
        let sum = Checksum::default()
            .number(i64::from(log))
            .number(int(self.seq))
            .number(int(self.at))
            .text(self.user.as_ref())
            .number(i64::from(self.session))
            .number(self.kind)
            .text(self.text.as_ref())
            .number(int(self.sum));
        let sum = match form {
            Form::Chained => sum.number(int(self.prev)).number(int(self.ordinal)),
            Form::Dense => sum,
        };
        let sum = match self.key {
            Some(key) => sum.bytes(&key.0),
            None => sum,
        };
        let sum = match self.last {
            Some(last) => sum.number(int(last)),
            None => sum,
        };
        match &self.sender {
            Some(sender) => sum.text(sender.as_ref()),
            None => sum,
        }
        .finish()
    }
}

/// Writes messages, each with the id of its log. Statements of [`ROWS_PER_INSERT`] rows take two thirds of the time of single-row
/// statements. After an error the caller must roll back.
pub(crate) fn write_messages<S: AsRef<str>>(
    db: &Connection,
    messages: &[(u32, MessageRow<S>)],
) -> rusqlite::Result<()> {
    let (many, rest) = messages.as_chunks::<ROWS_PER_INSERT>();
    if !many.is_empty() {
        let mut insert = db.prepare_cached(insert_messages(InsertRows::Many))?;
        for rows in many {
            for (place, (log, row)) in rows.iter().enumerate() {
                row.bind(*log, &mut insert, place)?;
            }
            insert.raw_execute()?;
        }
    }
    if !rest.is_empty() {
        let mut insert = db.prepare_cached(insert_messages(InsertRows::One))?;
        for (log, row) in rest {
            row.bind(*log, &mut insert, 0)?;
            insert.raw_execute()?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InsertRows {
    One,
    Many,
}

/// `OR FAIL` saves SQLite from recording how to undo the statement. After an error the caller rolls back the whole transaction
/// anyway.
fn insert_messages(rows: InsertRows) -> &'static str {
    static MANY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{INSERT_MESSAGE}{}",
            ", (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)".repeat(ROWS_PER_INSERT - 1)
        )
    });
    match rows {
        InsertRows::One => INSERT_MESSAGE,
        InsertRows::Many => &MANY,
    }
}

pub(crate) fn kind_number(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Text => 0,
        MessageKind::Image => 1,
        MessageKind::Video => 2,
        MessageKind::Voice => 3,
    }
}

/// Whether an entry of this kind is a message. Other entries do not count in the ordinal, and readers of messages skip them.
pub(crate) fn is_message(kind: i64) -> bool {
    kind < OTHER_KINDS
}

pub(crate) fn parse_kind(number: i64) -> Option<MessageKind> {
    match number {
        0 => Some(MessageKind::Text),
        1 => Some(MessageKind::Image),
        2 => Some(MessageKind::Video),
        3 => Some(MessageKind::Voice),
        _ => None,
    }
}

/// Entries of this kind and above are not messages. SQL queries repeat the number.
pub(crate) const OTHER_KINDS: i64 = 64;
const INSERT_MESSAGE: &str = "INSERT OR FAIL INTO message (log, seq, prev, ordinal, at, user, session, kind, text, sum, crc, key, last, sender) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const MESSAGE_COLUMNS: usize = 14;
/// More gain nothing: 16 and 64 took the same time per row.
const ROWS_PER_INSERT: usize = 16;
