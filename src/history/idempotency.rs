//! Idempotency keys: which message a key was first used for.
//!
//! A key belongs to one owner, a client or a user, and to one destination: a room, or the user a direct message is for. The row of a
//! key lies in the log of its message and is deleted with the key window of that log. A client whose user has another name
//! writes to the same user in another log, so the keys of direct messages are looked up across logs. Which of the two users of a
//! log was written to does not show in the log, so the owner's text names the one.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{
    checksum::Checksum,
    fault::StoreFault,
    log::LogId,
    messages,
    request::Append,
    rows::{LogRow, int},
};
use crate::chat::{Key, KeyOwner, Position, Seq, UserName};

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
    seq: Seq,
    at: u64,
) -> rusqlite::Result<Known> {
    let owner = owner_text(append);
    let digest = digest(append);
    if let (Some(_), LogId::Pair(_)) = (append.client, &append.log)
        && let Some(known) = said_before(db, file, &owner, key, digest)?
    {
        return Ok(known);
    }
    let (seq, at) = (int(seq), int(at));
    let fresh = db
        .prepare_cached(
            "INSERT OR IGNORE INTO idem (log, user, key, seq, at, digest, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            row.id,
            owner,
            &**key,
            seq,
            at,
            digest,
            idem_crc(row.id, &owner, key, seq, at, digest)
        ])?;
    if fresh == 1 {
        return Ok(Known::New);
    }
    let stored = db
        .prepare_cached("SELECT seq, at, digest, crc FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?
        .query_row(params![row.id, owner, &**key], |cells| Stored::read(cells, 0))?;
    Ok(stored.judge(file, row, &owner, key, digest))
}

/// What is known of a key with which a client wrote to the user that `owner` names, under whatever name of its own.
fn said_before(db: &Connection, file: &Path, owner: &str, key: &Key, digest: i64) -> rusqlite::Result<Option<Known>> {
    let mut select = db.prepare_cached(SAID_BY_CLIENT)?;
    let mut rows = select.query(params![owner, &**key])?;
    while let Some(cells) = rows.next()? {
        let log: u32 = cells.get(0)?;
        let row = match LogRow::by_id(db, file, log) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(fault) => return Ok(Some(Known::Unreadable(fault))),
        };
        return Ok(Some(Stored::read(cells, 1)?.judge(file, &row, owner, key, digest)));
    }
    Ok(None)
}

/// The row of a key, without its name.
struct Stored {
    seq: i64,
    at: i64,
    digest: i64,
    crc: u32,
}

impl Stored {
    fn read(cells: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: cells.get(first)?,
            at: cells.get(first + 1)?,
            digest: cells.get(first + 2)?,
            crc: cells.get(first + 3)?,
        })
    }

    fn judge(&self, file: &Path, row: &LogRow, owner: &str, key: &str, digest: i64) -> Known {
        if self.crc != idem_crc(row.id, owner, key, self.seq, self.at, self.digest) {
            let seen = "a row of table idem does not match its checksum";
            return Known::Unreadable(StoreFault::damaged(file, seen).in_log(&row.log));
        }
        if self.digest != digest {
            return Known::Other;
        }
        let position = Position {
            epoch: row.epoch,
            seq: self.seq.cast_unsigned(),
        };
        Known::Same {
            position,
            at: self.at.cast_unsigned(),
        }
    }
}

/// What tells two messages under one key apart: text and kind, not the name of the user.
fn digest<T>(append: &Append<T>) -> i64 {
    i64::from(
        Checksum::default()
            .text(&append.text)
            .number(messages::kind_number(append.kind))
            .finish(),
    )
}

/// The owner as the column `user` holds it, with the user a client wrote to. A name never begins with a blank, so a client cannot be
/// taken for a user.
fn owner_text<T>(append: &Append<T>) -> String {
    match (KeyOwner::of(append.client, &append.from), &append.log) {
        (KeyOwner::User(user), _) => user.as_str().to_owned(),
        (KeyOwner::Client(client), LogId::Room(_)) => format!(" room {}", client.digits()),
        (KeyOwner::Client(client), LogId::Pair(pair)) => {
            let to = pair.peer_of(&append.from).map_or("", UserName::as_str);
            format!(" direct {} {to}", client.digits())
        }
    }
}

pub(crate) fn idem_crc(log: u32, owner: &str, key: &str, seq: i64, at: i64, digest: i64) -> u32 {
    Checksum::default()
        .number(i64::from(log))
        .text(owner)
        .text(key)
        .number(seq)
        .number(at)
        .number(digest)
        .finish()
}

/// The index holds direct messages of clients only, and its two conditions must stand here too.
const SAID_BY_CLIENT: &str = "SELECT log, seq, at, digest, crc FROM idem INDEXED BY idem_of_clients
    WHERE user = ?1 AND key = ?2 AND user >= ' direct ' AND user < ' direct!'";
