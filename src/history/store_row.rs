//! The row of table `store`: the store's number and its count of commits.
//!
//! Each transaction updates the count with its last statement, so the count says which commits the database has.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    checksum::Checksum,
    fault::{StartFault, StoreFault, fault},
    files,
    rows::int,
};

pub(crate) fn count_commit(db: &Connection, store: u64, commits: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE store SET commits = ?1, crc = ?2 WHERE id = 1")?
        .execute(params![int(commits), store_crc(store, commits)])
        .map(drop)
}

/// The store's number and its count of commits.
pub(crate) fn store_row(db: &Connection, file: &Path) -> Result<(u64, u64), StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    let row = db
        .query_row("SELECT store, commits, crc FROM store WHERE id = 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()
        .map_err(failed)?;
    let Some((store, commits, crc)) = row else {
        if db
            .query_row("SELECT count(*) FROM log", [], |row| row.get::<_, i64>(0))
            .map_err(failed)?
            > 0
        {
            return Err(StartFault::Store(StoreFault::damaged(file, "table store has no row")));
        }
        let number = files::new_epoch().map_err(StartFault::no_random)?;
        db.execute(
            "INSERT INTO store (id, store, commits, crc) VALUES (1, ?1, 0, ?2)",
            params![int(number), store_crc(number, 0)],
        )
        .map_err(failed)?;
        return Ok((number, 0));
    };
    let (store, commits) = (store.cast_unsigned(), commits.cast_unsigned());
    if i64::from(store_crc(store, commits)) != crc {
        let seen = "the row of table store does not match its checksum";
        return Err(StartFault::Store(StoreFault::damaged(file, seen)));
    }
    Ok((store, commits))
}

fn store_crc(store: u64, commits: u64) -> u32 {
    Checksum::default().number(int(store)).number(int(commits)).finish()
}
