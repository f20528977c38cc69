//! Rows of table `message`: what is written, and what is believed when it is read.
//!
//! A row is an entry of a log, and its kind says which: a message, or something else. It knows its place in the chain of its log: `prev` is
//! the number of the entry before it, `last` that of the message before it, `ordinal` counts the messages up to it. Rows of schema 1 and 2
//! have none of these columns, because their numbers had no holes.
//!
//! Never yields a row whose checksum is wrong. Whether the chain is whole is for `chain` to say.

use std::{path::Path, sync::LazyLock};

use rusqlite::{Connection, Row, Statement};

use super::{
    checksum::Checksum,
    fault::StoreFault,
    fingerprint::Fingerprint,
    rows::{Form, LogRow, int},
};
use crate::chat::{ChatMessage, MessageKind, Seq, SessionTag, UserId, UserName};

/// An entry as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageRow<S = String> {
    pub(crate) seq: Seq,
    /// The number of the entry before it; 0 for the first.
    pub(crate) prev: Seq,
    /// The number of the message before it, if that is another one.
    pub(crate) last: Option<Seq>,
    /// How many messages the log has had up to this entry.
    pub(crate) ordinal: u64,
    pub(crate) at: u64,
    /// The sender's name, as it is displayed.
    pub(crate) user: S,
    /// What is stored of the sender's id, unless it is that of the name.
    pub(crate) sender: Option<S>,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: S,
    /// Bytes of all entries up to this one, ever.
    pub(crate) sum: u64,
    /// Of its idempotency key.
    pub(crate) key: Option<Fingerprint>,
}

/// What an entry is, before it has its place in a log.
pub(crate) struct Entry<S> {
    pub(crate) user: S,
    pub(crate) sender: Option<S>,
    pub(crate) session: u32,
    pub(crate) kind: i64,
    pub(crate) text: S,
    pub(crate) key: Option<Fingerprint>,
}

impl<S: AsRef<str>> Entry<S> {
    /// Puts the entry at the end of a log: its row, which is to be written, and the log's row move on.
    pub(crate) fn append_to(self, log: &mut LogRow, seq: Seq, at: u64) -> MessageRow<S> {
        let sender = self.sender.as_ref().map_or(0, |sender| sender.as_ref().len());
        // What the entry counts for in retention: its text, its sender, and what the rest of a row takes.
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

/// A query for rows that [`MessageRow::read`] reads.
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
    /// Reads a row of [`select_messages`].
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

    /// The message, if its cells make one.
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
    /// Whether it is a message, and not another entry.
    pub(crate) fn is_message(&self) -> bool {
        is_message(self.kind)
    }

    /// The number of the message before it; 0 for the first.
    pub(crate) fn message_before(&self) -> Seq {
        self.last.unwrap_or(self.prev)
    }
}

impl<S: AsRef<str>> MessageRow<S> {
    /// Binds the columns as the `place`-th row, from 0, of a statement of [`insert_messages`].
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

/// Writes messages, each with the id of its log, [`ROWS_PER_INSERT`] with one statement where that many are left: it takes two thirds of the time of as
/// many statements. What was written when it fails stays to be rolled back.
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

/// How many messages one statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InsertRows {
    One,
    Many,
}

/// The statement. `OR FAIL`, because the default would have to remember what to undo if a later row fails, and whoever fails
/// here rolls back everything.
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

/// Whether an entry of this kind is a message. Others have no ordinal of their own, and no reader of messages sees them.
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

/// The kinds of entries from here on are no messages. Queries say this number, too.
pub(crate) const OTHER_KINDS: i64 = 64;
const INSERT_MESSAGE: &str = "INSERT OR FAIL INTO message (log, seq, prev, ordinal, at, user, session, kind, text, sum, crc, key, last, sender) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const MESSAGE_COLUMNS: usize = 14;
/// More gain nothing: 16 and 64 took the same time per row.
const ROWS_PER_INSERT: usize = 16;
