//! A walk over everything in a store, for checks, exports and imports.
//!
//! The walk continues after damage if it can, and reports it.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, params};

use super::record::{Record, log_names};
use crate::{
    chat::LostTail,
    history::{
        fault::{StoreFault, fault},
        files::Files,
        messages::{MessageRow, select_messages},
        names::name_crc,
        read_markers::mark_crc,
        rows::{self, LogRow, int},
    },
    limits,
};

/// One finding of the walk.
pub(super) enum Visited {
    Log,
    Record(Record),
    Damage(String),
}

/// Passes everything in a store to `take`, which may block.
pub(super) fn visit(db: &Connection, files: &Files, take: &mut dyn FnMut(Visited)) -> Result<(), StoreFault> {
    let file = files.database.as_path();
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut names: HashMap<u32, Vec<String>> = HashMap::new();
    let mut heads = db.prepare("SELECT id, head FROM log ORDER BY id").map_err(failed)?;
    let heads: Vec<(i64, i64)> = heads
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    for (id, head) in heads {
        let row = match LogRow::after(db, file, id - 1) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(why) => {
                take(Visited::Damage(why.to_string()));
                continue;
            }
        };
        // The walk ends at the head that the log had at the beginning.
        let row = LogRow {
            head: row.head.min(head.cast_unsigned()),
            ..row
        };
        names.insert(row.id, log_names(&row.log));
        take(Visited::Log);
        if let Err(why) = visit_log(db, file, &row, take) {
            take(Visited::Damage(why.in_log(&row.log).to_string()));
        }
    }
    if let Err(why) = visit_marks(db, &names, take) {
        take(Visited::Damage(fault(file, &why).to_string()));
    }
    if let Err(why) = visit_names(db, take) {
        take(Visited::Damage(fault(file, &why).to_string()));
    }
    Ok(())
}

fn visit_log(db: &Connection, file: &Path, log: &LogRow, take: &mut dyn FnMut(Visited)) -> Result<(), StoreFault> {
    let missing = |from: u64, to: u64| Visited::Damage(format!("{}: messages {from} to {to} are missing", log.log));
    let mut due = log.first;
    loop {
        let page = LogPage::read(db, file, log, due)?;
        // Retention may have deleted messages since.
        due = due.max(page.first);
        for PageRow { prev, seq, message } in page.rows {
            if prev >= due {
                take(missing(due, prev));
            }
            due = seq + 1;
            match message {
                Ok(message) => take(Visited::Record(record(log, message))),
                Err(why) => take(Visited::Damage(why.to_string())),
            }
        }
        if !page.more {
            break;
        }
    }
    if due <= log.head {
        take(missing(due, log.head));
    }
    for LostTail { epoch, from, to } in rows::lost_tails(db, file, log.id)?.iter().copied() {
        let log = log_names(&log.log);
        take(Visited::Record(Record::Lost { log, epoch, from, to }));
    }
    Ok(())
}

fn record(log: &LogRow, entry: MessageRow) -> Record {
    let (epoch, seq, at, kind) = (log.epoch, entry.seq, entry.at, entry.kind);
    let prev = (entry.prev + 1 != seq).then_some(entry.prev);
    if entry.is_message() {
        Record::Message {
            log: log_names(&log.log),
            epoch,
            seq,
            prev,
            at,
            from: entry.user,
            user: entry.sender,
            session: entry.session,
            kind,
            text: entry.text,
        }
    } else {
        Record::Entry {
            log: log_names(&log.log),
            epoch,
            seq,
            prev,
            at,
            kind,
            content: entry.text,
        }
    }
}

/// Some messages of a log, read in one short transaction.
struct LogPage {
    /// The oldest stored message at the moment.
    first: u64,
    rows: Vec<PageRow>,
    more: bool,
}

/// A row and its place in the chain, which is known even if the row is damaged.
struct PageRow {
    prev: u64,
    seq: u64,
    message: Result<MessageRow, StoreFault>,
}

impl LogPage {
    fn read(db: &Connection, file: &Path, log: &LogRow, from: u64) -> Result<Self, StoreFault> {
        let failed = |why: rusqlite::Error| fault(file, &why);
        // Rolled back on drop: the snapshot is read-only.
        let _snapshot = db.unchecked_transaction().map_err(failed)?;
        let first = match LogRow::by_id(db, file, log.id)? {
            Some(now) if now.epoch == log.epoch => now.first,
            Some(_) | None => {
                let seen = "the server was restarted meanwhile and the log goes on in another epoch: begin again";
                let seen = format!("{}: {seen}", log.log);
                return Err(StoreFault::Refused { seen });
            }
        };
        let mut select = db
            .prepare_cached(select_messages!(
                "WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4"
            ))
            .map_err(failed)?;
        let limit = limits::HISTORY_PAGE_MESSAGES as i64;
        let mut rows = select
            .query(params![log.id, int(from.max(first)), int(log.head), limit])
            .map_err(failed)?;
        let mut page = Self {
            first,
            rows: Vec::new(),
            more: false,
        };
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let seq = row.get::<_, i64>(0).map_err(failed)?.cast_unsigned();
            let message = MessageRow::read(row, file, log);
            bytes += message.as_ref().map_or(0, |message| message.text.len());
            let prev: Option<i64> = row.get(1).ok().flatten();
            let prev = prev.map_or(seq.saturating_sub(1), i64::cast_unsigned);
            page.rows.push(PageRow { prev, seq, message });
            if bytes > limits::HISTORY_PAGE_BYTES || page.rows.len() == limits::HISTORY_PAGE_MESSAGES {
                page.more = true;
                break;
            }
        }
        Ok(page)
    }
}

fn visit_marks(
    db: &Connection,
    names: &HashMap<u32, Vec<String>>,
    take: &mut dyn FnMut(Visited),
) -> rusqlite::Result<()> {
    let mut after = (String::new(), 0_u32);
    loop {
        let page: Vec<(String, u32, i64, i64)> = db
            .prepare_cached(
                "SELECT user, log, seq, crc FROM mark WHERE (user, log) > (?1, ?2) ORDER BY user, log LIMIT ?3",
            )?
            .query_map(params![after.0, after.1, limits::HISTORY_PAGE_MESSAGES as i64], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let Some((user, log, ..)) = page.last() else {
            return Ok(());
        };
        after = (user.clone(), *log);
        for (user, log, seq, crc) in page {
            match names.get(&log) {
                Some(log_names) if i64::from(mark_crc(&user, log, seq)) == crc => {
                    let (log, seq) = (log_names.clone(), seq.cast_unsigned());
                    take(Visited::Record(Record::Read { log, user, seq }));
                }
                _ => take(Visited::Damage(format!(
                    "table mark: the row of {user:?} and log {log} is damaged"
                ))),
            }
        }
    }
}

fn visit_names(db: &Connection, take: &mut dyn FnMut(Visited)) -> rusqlite::Result<()> {
    let mut after = String::new();
    loop {
        let page: Vec<(String, Vec<u8>, i64)> = db
            .prepare_cached("SELECT user, hash, crc FROM name WHERE user > ?1 ORDER BY user LIMIT ?2")?
            .query_map(params![after, limits::HISTORY_PAGE_MESSAGES as i64], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let Some((user, ..)) = page.last() else { return Ok(()) };
        after.clone_from(user);
        for (user, hash, crc) in page {
            if i64::from(name_crc(&user, &hash)) == crc {
                let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                take(Visited::Record(Record::Name { user, hash }));
            } else {
                take(Visited::Damage(format!("table name: the row of {user:?} is damaged")));
            }
        }
    }
}
