//! Verifies the logs of a store: their rows, both ends of their chains, and table `pair`.
//!
//! Takes a few microseconds per log, independent of its size. Repairs only table `pair`, whose rows follow from the logs.

use std::{collections::BTreeMap, path::Path};

use rusqlite::Connection;

use crate::history::{
    fault::{StoreFault, fault},
    rows::{LogRow, int},
};

/// Reads every log's row, and checks both ends of its chain and the index of names.
pub(crate) fn verified_logs(db: &Connection, file: &Path) -> Result<BTreeMap<u32, LogRow>, StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut ends = db
        .prepare(
            "SELECT (SELECT coalesce(prev, seq - 1) + 1 FROM message WHERE log = ?1 ORDER BY seq LIMIT 1),
                    (SELECT seq FROM message WHERE log = ?1 ORDER BY seq DESC LIMIT 1)",
        )
        .map_err(failed)?;
    let mut logs = BTreeMap::new();
    let mut last = 0;
    while let Some(row) = LogRow::after(db, file, last)? {
        last = i64::from(row.id);
        let (low, high) = ends
            .query_row([row.id], |ends| {
                Ok((ends.get::<_, Option<i64>>(0)?, ends.get::<_, Option<i64>>(1)?))
            })
            .map_err(failed)?;
        let due = (row.first <= row.head).then_some((int(row.first), int(row.head)));
        if low.zip(high) != due {
            let seen = format!(
                "messages {} to {} should be stored, and {} to {} are",
                row.first,
                row.head,
                low.unwrap_or(0),
                high.unwrap_or(0)
            );
            return Err(StoreFault::damaged(file, seen).in_log(&row.log));
        }
        if LogRow::find(db, file, &row.log)?.as_ref() != Some(&row) {
            let seen = format!("the index of names does not lead to row {} of table log", row.id);
            return Err(StoreFault::damaged(file, seen).in_log(&row.log));
        }
        logs.insert(row.id, row);
    }
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let entries = count("SELECT count(*) FROM log INDEXED BY log_by_name")?;
    if entries != i64::try_from(logs.len()).unwrap_or(i64::MAX) {
        let seen = format!(
            "table log has {} rows and its index of names {entries} entries",
            logs.len()
        );
        return Err(StoreFault::damaged(file, seen));
    }
    Ok(logs)
}

/// Direct conversations that one of their users would not find, because rows of table `pair` are missing.
pub(crate) fn without_pairs<'l>(
    db: &Connection,
    file: &Path,
    logs: &'l BTreeMap<u32, LogRow>,
) -> Result<Vec<&'l LogRow>, StoreFault> {
    let mut missing = Vec::new();
    for row in logs.values() {
        if !row.has_pairs(db).map_err(|why| fault(file, &why))? {
            missing.push(row);
        }
    }
    Ok(missing)
}

/// Inserts missing rows of table `pair`. Nothing was lost with them, because the rows of the logs name the users, and readers use those
/// if the table is damaged.
pub(super) fn repair_pairs(db: &mut Connection, file: &Path, logs: &BTreeMap<u32, LogRow>) -> Result<(), StoreFault> {
    let mended = without_pairs(db, file, logs).and_then(|missing| make_pairs(db, file, &missing));
    match mended {
        Err(why @ StoreFault::Damaged { .. }) => {
            tracing::error!(fault = %why, "table pair cannot be read; users' conversations are looked for in table log");
            Ok(())
        }
        mended => mended,
    }
}

fn make_pairs(db: &mut Connection, file: &Path, missing: &[&LogRow]) -> Result<(), StoreFault> {
    if missing.is_empty() {
        return Ok(());
    }
    let failed = |why: rusqlite::Error| fault(file, &why);
    let transaction = db.transaction().map_err(failed)?;
    for row in missing {
        tracing::error!(log = %row.log, "entries of table pair were missing, and are made again");
        row.make_pairs(&transaction).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}
