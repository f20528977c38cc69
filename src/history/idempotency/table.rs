//! Table `idem`: the keys of clients' direct messages, and all keys that a store of schema 1 to 3 wrote.
//!
//! After a client's user changes the name, the client writes to the same receiver in another log. Therefore its keys are looked up across
//! logs, and the owner's text names the receiver. A key's row belongs to the log of its message, and expires with the key window of that
//! log.

use rusqlite::{OptionalExtension as _, params};

use super::known::{Known, LiveKeys, Tables};
use crate::{
    chat::{Key, KeyOwner, Position, Seq},
    history::{
        checksum::Checksum,
        fault::{StoreFault, fault},
        log::LogId,
        request::Append,
        rows::{Heads, LogRow, int},
    },
};

/// Looks up the key of a client's direct message in the database and in the current transaction, and remembers a new key.
#[expect(
    clippy::too_many_arguments,
    reason = "called once; each is another part of the entry or of the transaction"
)]
pub(super) fn remember<T>(
    tables: Tables<'_>,
    heads: &Heads,
    row: &LogRow,
    append: &Append<T>,
    key: &Key,
    digest: u32,
    (seq, at): (Seq, u64),
    live: LiveKeys,
) -> rusqlite::Result<Known> {
    let owner = owner_text(append);
    let Tables { db, .. } = tables;
    let mut select = db.prepare_cached(CLIENT_KEYS)?;
    let mut rows = select.query(params![owner, &**key])?;
    while let Some(cells) = rows.next()? {
        let log: u32 = cells.get(0)?;
        let row = match LogRow::by_id(db, tables.file, log) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(fault) => return Ok(Known::Unreadable(fault)),
        };
        // The database does not have the current transaction's changes to the log yet.
        let row = heads.get(&row.log).unwrap_or(&row);
        if let Some(known) = Stored::read(cells, 1)?.compare(tables, row, &owner, key, digest, live) {
            return Ok(known);
        }
    }
    drop(rows);
    let (seq, at, ordinal, digest) = (int(seq), int(at), int(row.ordinal + 1), i64::from(digest));
    let crc = idem_crc(row.id, &owner, key, seq, at, digest, Some(ordinal));
    // The new row replaces an expired one.
    db.prepare_cached(
        "INSERT OR REPLACE INTO idem (log, user, key, seq, at, digest, crc, ordinal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![row.id, owner, &**key, seq, at, digest, crc, ordinal])?;
    Ok(Known::New(None))
}

/// Looks up a key of another message in the rows of an older schema.
pub(super) fn find<T>(
    tables: Tables<'_>,
    row: &LogRow,
    append: &Append<T>,
    key: &Key,
    digest: u32,
    live: LiveKeys,
) -> rusqlite::Result<Option<Known>> {
    let owner = owner_text(append);
    let stored = tables
        .db
        .prepare_cached("SELECT seq, at, digest, crc, ordinal FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?
        .query_row(params![row.id, owner, &**key], |cells| Stored::read(cells, 0))
        .optional()?;
    Ok(stored.and_then(|stored| stored.compare(tables, row, &owner, key, digest, live)))
}

/// Whether a log has keys of an older schema.
pub(super) fn has_rows(tables: Tables<'_>, log: u32) -> rusqlite::Result<bool> {
    let mut select = tables.db.prepare_cached(
        "SELECT 1 FROM idem WHERE log = ?1 AND NOT (user >= ' direct ' AND user < ' direct!') LIMIT 1",
    )?;
    select.exists([log])
}

/// Deletes the expired rows of a log, at most `limit` of them. Returns their number.
pub(crate) fn forget_rows(tables: Tables<'_>, log: &LogRow, live: LiveKeys, limit: usize) -> Result<usize, StoreFault> {
    let change = || -> rusqlite::Result<usize> {
        let mut expired = Vec::new();
        let mut select = tables.db.prepare_cached(
            "SELECT user, key, coalesce(ordinal, seq), at FROM idem INDEXED BY idem_by_seq WHERE log = ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut rows = select.query(params![log.id, limit as i64])?;
        while let Some(key) = rows.next()? {
            if live.includes(log, key.get::<_, i64>(2)?.cast_unsigned(), key.get(3)?) {
                break;
            }
            expired.push((key.get::<_, String>(0)?, key.get::<_, String>(1)?));
        }
        drop(rows);
        let mut delete = tables
            .db
            .prepare_cached("DELETE FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?;
        for (user, key) in &expired {
            delete.execute(params![log.id, user, key])?;
        }
        Ok(expired.len())
    };
    change().map_err(|why| fault(tables.file, &why))
}

/// Reports every damaged row.
pub(crate) fn check_rows(tables: Tables<'_>, damaged: &mut dyn FnMut(String)) -> rusqlite::Result<()> {
    let mut select = tables
        .db
        .prepare("SELECT log, user, key, seq, at, digest, crc, ordinal FROM idem")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (user, key): (String, String) = (row.get(1)?, row.get(2)?);
        let own = idem_crc(
            row.get(0)?,
            &user,
            &key,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(7)?,
        );
        if i64::from(own) != row.get::<_, i64>(6)? {
            damaged(format!("table idem: the row of {user:?} and key {key:?} is damaged"));
        }
    }
    Ok(())
}

/// A row without its key.
struct Stored {
    seq: i64,
    at: i64,
    digest: i64,
    crc: u32,
    /// The ordinal of the message; `None` in a row of schema 1 or 2.
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

    /// `None`: the key has expired.
    fn compare(
        &self,
        tables: Tables<'_>,
        row: &LogRow,
        owner: &str,
        key: &str,
        digest: u32,
        live: LiveKeys,
    ) -> Option<Known> {
        if self.crc != idem_crc(row.id, owner, key, self.seq, self.at, self.digest, self.ordinal) {
            let seen = "a row of table idem does not match its checksum";
            return Some(Known::Unreadable(
                StoreFault::damaged(tables.file, seen).in_log(&row.log),
            ));
        }
        let ordinal = self.ordinal.unwrap_or(self.seq).cast_unsigned();
        if !live.includes(row, ordinal, self.at) {
            return None;
        }
        if self.digest != i64::from(digest) {
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

/// The content of column `user`: the owner, and the receiver if the owner is a client. No name begins with a blank, so clients and users
/// never collide.
fn owner_text<T>(append: &Append<T>) -> String {
    match (append.message.key_owner(), &append.log) {
        (KeyOwner::User(user), _) => user.stored().to_owned(),
        (KeyOwner::Client(client), LogId::Room(_)) => format!(" room {}", client.digits()),
        (KeyOwner::Client(client), LogId::Pair(pair)) => {
            let to = pair.peer_of(&append.message.user);
            let to = to.map_or("", |to| to.stored());
            format!(" direct {} {to}", client.digits())
        }
    }
}

fn idem_crc(log: u32, owner: &str, key: &str, seq: i64, at: i64, digest: i64, ordinal: Option<i64>) -> u32 {
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

/// The index only has direct messages of clients. SQLite uses it only if the query repeats its two conditions.
const CLIENT_KEYS: &str = "SELECT log, seq, at, digest, crc, ordinal FROM idem INDEXED BY idem_of_clients
    WHERE user = ?1 AND key = ?2 AND user >= ' direct ' AND user < ' direct!'";
