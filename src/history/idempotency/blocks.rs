//! Table `key_block`: the keys of [`BLOCK`] messages of a log in one row.
//!
//! Block `n` has the keys of the messages with ordinals above `n * BLOCK`, up to `(n + 1) * BLOCK`; without keys there is no row. It is
//! written together with its last message, so its content does not depend on transactions. The newest block, which is still open, is
//! written early only if retention deletes messages of it; the rows of later messages have their keys.
//!
//! A damaged block is rebuilt from the stored messages.

use rusqlite::{OptionalExtension as _, params};

use super::{
    entry::{self, KeyEntry},
    known::{LiveKeys, Tables},
};
use crate::history::{
    chain::Chain,
    checksum::Checksum,
    fault::{StoreFault, fault},
    messages::{self, MessageRow, select_messages},
    rows::{LogRow, int},
};

/// Messages in a block. A hundred blocks have the keys of a day or of 100,000 messages, and are read in some 30 ms.
pub(crate) const BLOCK: u64 = 1_024;

/// The block of the message with this ordinal.
pub(super) fn block_of(ordinal: u64) -> u64 {
    ordinal.saturating_sub(1) / BLOCK
}

/// The numbers of the stored blocks of a log, from this one on.
pub(super) fn stored(tables: Tables<'_>, log: u32, from: u64) -> Result<Vec<u64>, StoreFault> {
    let read = || -> rusqlite::Result<Vec<u64>> {
        let sql = "SELECT block FROM key_block WHERE log = ?1 AND block >= ?2 ORDER BY block";
        let mut select = tables.db.prepare_cached(sql)?;
        let blocks = select.query_map(params![log, int(from)], |row| row.get::<_, i64>(0))?;
        blocks.map(|block| block.map(i64::cast_unsigned)).collect()
    };
    read().map_err(|why| fault(tables.file, &why))
}

/// The keys of a complete block.
pub(super) fn read(
    tables: Tables<'_>,
    row: &LogRow,
    block: u64,
    damage: &mut Vec<StoreFault>,
) -> Result<Vec<KeyEntry>, StoreFault> {
    match find(tables, row, block)? {
        Some(Ok(entries)) => Ok(entries),
        Some(Err(why)) => {
            damage.push(why);
            let entries = from_messages(tables, row, (block * BLOCK, (block + 1) * BLOCK), damage)?;
            write(tables, row.id, block, &entries)?;
            Ok(entries)
        }
        None => Ok(Vec::new()),
    }
}

/// The keys of the open block.
pub(super) fn read_open(
    tables: Tables<'_>,
    row: &LogRow,
    block: u64,
    damage: &mut Vec<StoreFault>,
) -> Result<Vec<KeyEntry>, StoreFault> {
    let mut entries = match find(tables, row, block)? {
        Some(Ok(entries)) => entries,
        Some(Err(why)) => {
            damage.push(why);
            Vec::new()
        }
        None => Vec::new(),
    };
    let after = entries.last().map_or(block * BLOCK, |last| last.ordinal);
    entries.extend(from_messages(tables, row, (after, (block + 1) * BLOCK), damage)?);
    Ok(entries)
}

/// Writes a block, and replaces its row if it was written while open.
pub(super) fn write(tables: Tables<'_>, log: u32, block: u64, entries: &[KeyEntry]) -> Result<(), StoreFault> {
    let Some(last) = entries.last() else { return Ok(()) };
    let mut bytes = Vec::with_capacity(entries.len() * KeyEntry::BYTES);
    for entry in entries {
        entry.encode(&mut bytes);
    }
    let (block, at) = (int(block), int(last.at));
    tables
        .db
        .prepare_cached("INSERT OR REPLACE INTO key_block (log, block, at, keys, crc) VALUES (?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut insert| insert.execute(params![log, block, at, bytes, block_crc(log, block, at, &bytes)]))
        .map(drop)
        .map_err(|why| fault(tables.file, &why))
}

/// Deletes the oldest blocks of a log in which all keys have expired, at most `limit` of them. Returns their numbers.
pub(super) fn forget(tables: Tables<'_>, row: &LogRow, live: LiveKeys, limit: usize) -> Result<Vec<u64>, StoreFault> {
    let change = || -> rusqlite::Result<Vec<u64>> {
        let mut deleted = Vec::new();
        let sql = "SELECT block, at FROM key_block WHERE log = ?1 ORDER BY block LIMIT ?2";
        let mut select = tables.db.prepare_cached(sql)?;
        let mut blocks = select.query(params![row.id, limit as i64])?;
        while let Some(cells) = blocks.next()? {
            let (block, at) = (cells.get::<_, i64>(0)?.cast_unsigned(), cells.get(1)?);
            if live.includes(row, (block + 1) * BLOCK, at) {
                break;
            }
            deleted.push(block);
        }
        drop(blocks);
        if let Some(last) = deleted.last() {
            let sql = "DELETE FROM key_block WHERE log = ?1 AND block <= ?2";
            tables.db.prepare_cached(sql)?.execute(params![row.id, int(*last)])?;
        }
        Ok(deleted)
    };
    change().map_err(|why| fault(tables.file, &why))
}

/// Reports every damaged block.
pub(crate) fn check_blocks(tables: Tables<'_>, damaged: &mut dyn FnMut(String)) -> rusqlite::Result<()> {
    let mut select = tables
        .db
        .prepare("SELECT log, block, at, crc, keys FROM key_block ORDER BY log, block")?;
    let mut rows = select.query([])?;
    while let Some(cells) = rows.next()? {
        let (log, block): (u32, i64) = (cells.get(0)?, cells.get(1)?);
        if parse(log, block, cells, 2)?.is_none() {
            damaged(format!("table key_block: block {block} of log {log} is damaged"));
        }
    }
    Ok(())
}

fn find(tables: Tables<'_>, row: &LogRow, block: u64) -> Result<Option<Result<Vec<KeyEntry>, StoreFault>>, StoreFault> {
    let found = tables
        .db
        .prepare_cached("SELECT at, crc, keys FROM key_block WHERE log = ?1 AND block = ?2")
        .and_then(|mut select| {
            select
                .query_row(params![row.id, int(block)], |cells| parse(row.id, int(block), cells, 0))
                .optional()
        })
        .map_err(|why| fault(tables.file, &why))?;
    Ok(found.map(|entries| {
        entries.ok_or_else(|| {
            let seen = format!("block {block} of its idempotency keys does not match its checksum");
            StoreFault::damaged(tables.file, seen).in_log(&row.log)
        })
    }))
}

/// The keys of a block, from its cells `at`, `crc` and `keys`; `None` if it is damaged.
fn parse(log: u32, block: i64, cells: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Option<Vec<KeyEntry>>> {
    let (at, crc): (i64, u32) = (cells.get(first)?, cells.get(first + 1)?);
    let Ok(bytes) = cells.get_ref(first + 2)?.as_blob() else {
        return Ok(None);
    };
    let (entries, rest) = bytes.as_chunks::<{ KeyEntry::BYTES }>();
    let whole = rest.is_empty() && crc == block_crc(log, block, at, bytes);
    Ok(whole.then(|| entries.iter().map(KeyEntry::decode).collect()))
}

/// Reads the keys of the messages with ordinals between two numbers from their rows.
fn from_messages(
    tables: Tables<'_>,
    row: &LogRow,
    (after, upto): (u64, u64),
    damage: &mut Vec<StoreFault>,
) -> Result<Vec<KeyEntry>, StoreFault> {
    let Tables { db, file } = tables;
    // The stored row, because the newer entries of `row` are not written yet and have no keys.
    let Some(log) = LogRow::by_id(db, file, row.id)? else {
        return Ok(Vec::new());
    };
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut entries = Vec::new();
    let chain = Chain { db, file, log: &log };
    let low = chain.first_where(|message| message.ordinal > after, |_| Ok(()))?;
    let mut select = db.prepare_cached(KEYED).map_err(failed)?;
    let mut rows = select.query(params![log.id, int(low)]).map_err(failed)?;
    while let Some(cells) = rows.next().map_err(failed)? {
        match MessageRow::read(cells, file, &log) {
            Ok(message) if message.ordinal > upto => break,
            Ok(message) => entries.extend(of_message(&message).filter(|entry| entry.ordinal > after)),
            Err(why) => damage.push(why),
        }
    }
    Ok(entries)
}

fn of_message(message: &MessageRow) -> Option<KeyEntry> {
    Some(KeyEntry {
        fingerprint: message.key?,
        digest: entry::digest(&message.text, messages::parse_kind(message.kind)?),
        seq: message.seq,
        at: message.at,
        ordinal: message.ordinal,
    })
}

fn block_crc(log: u32, block: i64, at: i64, keys: &[u8]) -> u32 {
    Checksum::default()
        .number(i64::from(log))
        .number(block)
        .number(at)
        .bytes(keys)
        .finish()
}

const KEYED: &str = select_messages!("WHERE log = ?1 AND seq >= ?2 AND key IS NOT NULL ORDER BY seq");
