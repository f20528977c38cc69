//! Read markers: how far each user has read each log.
//!
//! A marker only moves forward, and never past the newest message of its log.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    checksum::Checksum,
    fault::{StoreFault, fault},
    rows::{LogRow, int},
};
use crate::{
    chat::{Seq, UserId},
    limits,
};

/// Moves a read marker forward. Returns whether it changed.
pub(crate) fn advance(db: &Connection, row: &LogRow, user: &UserId, seq: Seq) -> rusqlite::Result<bool> {
    let seq = int(seq.min(row.last));
    let changed = db
        .prepare_cached(
            "INSERT INTO mark (user, log, seq, crc) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user, log) DO UPDATE SET seq = excluded.seq, crc = excluded.crc WHERE seq < excluded.seq",
        )?
        .execute(params![
            user.stored(),
            row.id,
            seq,
            mark_crc(user.stored(), row.id, seq)
        ])?;
    Ok(changed > 0)
}

/// A user's read marker in a log, and the number of messages from other users above it.
pub(crate) fn marker_and_unread(
    db: &Connection,
    file: &Path,
    row: &LogRow,
    user: &UserId,
) -> Result<(Seq, u64), StoreFault> {
    let read = read_upto(db, file, row, user)?;
    Ok((read, unread(db, file, row, user, read)?))
}

/// The number of messages from other users above a read marker.
pub(crate) fn unread(db: &Connection, file: &Path, row: &LogRow, user: &UserId, read: Seq) -> Result<u64, StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let low = read.saturating_add(1).max(row.first);
    // The number of messages before the oldest entry above the marker.
    let before: Option<i64> = db
        .prepare_cached(
            "SELECT coalesce(ordinal, seq) - (kind < 64) FROM message WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1",
        )
        .and_then(|mut select| select.query_row(params![row.id, int(low)], |row| row.get(0)).optional())
        .map_err(failed)?;
    let Some(before) = before else { return Ok(0) };
    let all = row.ordinal.saturating_sub(before.cast_unsigned());
    let own: i64 = db
        .prepare_cached(
            "SELECT count(*) FROM
                 (SELECT coalesce(sender, user) AS sender FROM message WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 AND kind < 64
                  ORDER BY seq DESC LIMIT ?4)
             WHERE sender = ?5",
        )
        .and_then(|mut select| {
            let newest = int(limits::HISTORY_UNREAD_EXACT);
            let range = params![row.id, int(low), int(row.head), newest, user.stored()];
            select.query_row(range, |row| row.get(0))
        })
        .map_err(failed)?;
    Ok(all.saturating_sub(own.cast_unsigned()))
}

/// A user's read marker in a log; 0 if there is none.
pub(crate) fn read_upto(db: &Connection, file: &Path, row: &LogRow, user: &UserId) -> Result<Seq, StoreFault> {
    let mark: Option<(i64, u32)> = db
        .prepare_cached("SELECT seq, crc FROM mark WHERE user = ?1 AND log = ?2")
        .and_then(|mut select| {
            select
                .query_row(params![user.stored(), row.id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(|why| fault(file, &why))?;
    match mark {
        None => Ok(0),
        Some((seq, crc)) if crc == mark_crc(user.stored(), row.id, seq) => Ok(seq.cast_unsigned().min(row.last)),
        Some(_) => {
            let seen = format!("the read marker of {:?} does not match its checksum", user.stored());
            Err(StoreFault::damaged(file, seen).in_log(&row.log))
        }
    }
}

pub(crate) fn mark_crc(user: &str, log: u32, seq: i64) -> u32 {
    Checksum::default()
        .text(user)
        .number(i64::from(log))
        .number(seq)
        .finish()
}
