//! Idempotency keys: which message a key was first used for.
//!
//! A key belongs to one owner, a client or a user, and to one destination: a room, or the user a direct message is for. The row of a
//! key lies in the log of its message and is deleted with the key window of that log. A client whose user has another name
//! writes to the same user in another log, so the keys of direct messages are looked up across logs. Which of the two users of a
//! log was written to does not show in the log, so the owner's text names the one.
//!
//! Whether a key still counts depends on the log alone: on how many messages came behind its own, and on log time. A key that has run out
//! counts as new, also while its row is still there to be deleted.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{
    checksum::Checksum,
    fault::StoreFault,
    log::LogId,
    messages,
    request::Append,
    rows::{LogRow, int},
    settings::KeyWindow,
};
use crate::chat::{Key, KeyOwner, Position, Seq, UserName};

/// Which keys still count, at a moment of log time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LiveKeys {
    oldest_at: i64,
    messages: u64,
}

impl LiveKeys {
    /// `now` is the time of the log, Unix milliseconds.
    pub(crate) fn at(now: u64, window: KeyWindow) -> Self {
        let age = u64::try_from(window.age.as_millis()).unwrap_or(u64::MAX);
        Self {
            oldest_at: int(now.saturating_sub(age)),
            messages: window.talks,
        }
    }

    /// Whether the key of a message still counts in its log.
    pub(crate) fn includes(&self, log: &LogRow, ordinal: i64, at: i64) -> bool {
        at >= self.oldest_at && log.ordinal.saturating_sub(ordinal.cast_unsigned()) < self.messages
    }
}

/// What is known of a key.
pub(crate) enum Known {
    /// It is new, and is remembered for this message from now on.
    New,
    /// It was used for the same message, which stands here.
    Same { position: Position, at: u64 },
    /// It was used for something else.
    Other,
    /// What is known cannot be read.
    Unreadable(StoreFault),
}

/// Looks a message's key up, in what is stored and in the transaction so far, and remembers it where it is new.
pub(crate) fn remember<T>(
    db: &Connection,
    file: &Path,
    row: &LogRow,
    append: &Append<T>,
    key: &Key,
    (seq, at): (Seq, u64),
    live: LiveKeys,
) -> rusqlite::Result<Known> {
    let owner = owner_text(append);
    let digest = digest(append);
    if let (Some(_), LogId::Pair(_)) = (append.said.client, &append.log)
        && let Some(known) = said_before(db, file, &owner, key, digest, live)?
    {
        return Ok(known);
    }
    let (seq, at, ordinal) = (int(seq), int(at), int(row.ordinal + 1));
    let crc = idem_crc(row.id, &owner, key, seq, at, digest, Some(ordinal));
    let cells = params![row.id, owner, &**key, seq, at, digest, crc, ordinal];
    if db.prepare_cached(REMEMBER)?.execute(cells)? == 1 {
        return Ok(Known::New);
    }
    let stored = db
        .prepare_cached("SELECT seq, at, digest, crc, ordinal FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?
        .query_row(params![row.id, owner, &**key], |cells| Stored::read(cells, 0))?;
    if let Some(known) = stored.judge(file, row, &owner, key, digest, live) {
        return Ok(known);
    }
    db.prepare_cached("DELETE FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?
        .execute(params![row.id, owner, &**key])?;
    db.prepare_cached(REMEMBER)?.execute(cells)?;
    Ok(Known::New)
}

/// What is known of a key with which a client wrote to the user that `owner` names, under whatever name of its own.
fn said_before(
    db: &Connection,
    file: &Path,
    owner: &str,
    key: &Key,
    digest: i64,
    live: LiveKeys,
) -> rusqlite::Result<Option<Known>> {
    let mut select = db.prepare_cached(SAID_BY_CLIENT)?;
    let mut rows = select.query(params![owner, &**key])?;
    while let Some(cells) = rows.next()? {
        let log: u32 = cells.get(0)?;
        let row = match LogRow::by_id(db, file, log) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(fault) => return Ok(Some(Known::Unreadable(fault))),
        };
        let known = Stored::read(cells, 1)?.judge(file, &row, owner, key, digest, live);
        if known.is_some() {
            return Ok(known);
        }
    }
    Ok(None)
}

/// The row of a key, without its name.
struct Stored {
    seq: i64,
    at: i64,
    digest: i64,
    crc: u32,
    /// How many messages the log had with that of the key; none in a row of schema 1 or 2.
    ordinal: Option<i64>,
}

impl Stored {
    fn read(cells: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: cells.get(first)?,
            at: cells.get(first + 1)?,
            digest: cells.get(first + 2)?,
            crc: cells.get(first + 3)?,
            ordinal: cells.get(first + 4)?,
        })
    }

    /// `None`: the key does not count any more.
    fn judge(&self, file: &Path, row: &LogRow, owner: &str, key: &str, digest: i64, live: LiveKeys) -> Option<Known> {
        if self.crc != idem_crc(row.id, owner, key, self.seq, self.at, self.digest, self.ordinal) {
            let seen = "a row of table idem does not match its checksum";
            return Some(Known::Unreadable(StoreFault::damaged(file, seen).in_log(&row.log)));
        }
        if !live.includes(row, self.ordinal.unwrap_or(self.seq), self.at) {
            return None;
        }
        if self.digest != digest {
            return Some(Known::Other);
        }
        let position = Position {
            epoch: row.epoch,
            seq: self.seq.cast_unsigned(),
        };
        Some(Known::Same {
            position,
            at: self.at.cast_unsigned(),
        })
    }
}

/// What tells two messages under one key apart: text and kind, not the name of the user.
fn digest<T>(append: &Append<T>) -> i64 {
    i64::from(
        Checksum::default()
            .text(&append.said.text)
            .number(messages::kind_number(append.said.kind))
            .finish(),
    )
}

/// The owner as the column `user` holds it, with the user a client wrote to. A name never begins with a blank, so a client cannot be
/// taken for a user.
fn owner_text<T>(append: &Append<T>) -> String {
    match (append.said.key_owner(), &append.log) {
        (KeyOwner::User(user), _) => user.as_str().to_owned(),
        (KeyOwner::Client(client), LogId::Room(_)) => format!(" room {}", client.digits()),
        (KeyOwner::Client(client), LogId::Pair(pair)) => {
            let to = pair.peer_of(&append.said.from).map_or("", UserName::as_str);
            format!(" direct {} {to}", client.digits())
        }
    }
}

pub(crate) fn idem_crc(log: u32, owner: &str, key: &str, seq: i64, at: i64, digest: i64, ordinal: Option<i64>) -> u32 {
    let sum = Checksum::default()
        .number(i64::from(log))
        .text(owner)
        .text(key)
        .number(seq)
        .number(at)
        .number(digest);
    match ordinal {
        Some(ordinal) => sum.number(ordinal),
        None => sum,
    }
    .finish()
}

const REMEMBER: &str = "INSERT OR IGNORE INTO idem (log, user, key, seq, at, digest, crc, ordinal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// The index holds direct messages of clients only, and its two conditions must stand here too.
const SAID_BY_CLIENT: &str = "SELECT log, seq, at, digest, crc, ordinal FROM idem INDEXED BY idem_of_clients
    WHERE user = ?1 AND key = ?2 AND user >= ' direct ' AND user < ' direct!'";
