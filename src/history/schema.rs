//! The schema of the database, its migrations, and how the database is opened.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    fault::{StartFault, StoreFault, fault, io_fault},
    files,
    settings::Durability,
};

/// The version this program writes; it reads all older ones, after migrating them.
pub(crate) const VERSION: i64 = 6;

/// Step `n` brings version `n` to `n + 1`. Steps are never changed once they were released.
const MIGRATIONS: [&str; VERSION as usize] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6];

/// The `application_id` of SQLite's file header, which identifies Plaza's databases.
const APPLICATION: i64 = 0x506C_7A61;

const VERSION_1: &str = "
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    store INTEGER NOT NULL,
    commits INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    peer TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    head INTEGER NOT NULL,
    first INTEGER NOT NULL,
    base INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    at INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX log_by_name ON log (kind, name, peer);
CREATE TABLE message (
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    user TEXT NOT NULL,
    session INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    text TEXT NOT NULL,
    sum INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE idem (
    log INTEGER NOT NULL,
    user TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (log, user, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idem_by_seq ON idem (log, seq);
CREATE TABLE pair (
    user TEXT NOT NULL,
    log INTEGER NOT NULL,
    PRIMARY KEY (user, log)
) STRICT, WITHOUT ROWID;
CREATE TABLE mark (
    user TEXT NOT NULL,
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (user, log)
) STRICT, WITHOUT ROWID;
CREATE TABLE name (
    user TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE lost (
    id INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX lost_by_log ON lost (log);
";

/// This index finds the direct messages of a client under every name of its user. It has only the keys of clients, so other
/// messages cost nothing.
const VERSION_2: &str = "
CREATE INDEX idem_of_clients ON idem (user, key) WHERE user >= ' direct ' AND user < ' direct!';
";

/// Entries name the entry before them, so numbers may have holes. Rows of earlier versions stay as they are, without these cells.
const VERSION_3: &str = "
ALTER TABLE log ADD COLUMN ordinal INTEGER;
ALTER TABLE message ADD COLUMN prev INTEGER;
ALTER TABLE message ADD COLUMN ordinal INTEGER;
ALTER TABLE idem ADD COLUMN ordinal INTEGER;
";

/// Messages contain the fingerprints of their idempotency keys. Table `idem`, with one row per key, is left for the direct messages of
/// clients and for rows of earlier versions.
const VERSION_4: &str = "
ALTER TABLE message ADD COLUMN key BLOB;
CREATE TABLE key_block (
    log INTEGER NOT NULL,
    block INTEGER NOT NULL,
    at INTEGER NOT NULL,
    keys BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (log, block)
) STRICT, WITHOUT ROWID;
";

/// A log may contain entries that are not messages, so the newest message is not always the newest entry.
const VERSION_5: &str = "
ALTER TABLE log ADD COLUMN last INTEGER;
ALTER TABLE message ADD COLUMN last INTEGER;
";

/// A message has its sender's id, unless the id follows from the name.
const VERSION_6: &str = "ALTER TABLE message ADD COLUMN sender TEXT;";

/// Creates a database without rows atomically: a crash leaves either the whole file or none.
pub(crate) fn create(file: &Path) -> Result<(), StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    let io = |why: std::io::Error| StartFault::Store(io_fault(file, &why));
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    for left in files::with_companions(&fresh) {
        // Left by a start that was killed.
        match std::fs::remove_file(&left) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(io(why)),
            Ok(()) | Err(_) => {}
        }
    }
    let mut db = Connection::open(&fresh).map_err(failed)?;
    // No journal file: an unfinished database is deleted.
    db.pragma_update(None, "journal_mode", "MEMORY").map_err(failed)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    migrate(&mut db, 0).map_err(failed)?;
    db.close().map_err(|(_, why)| failed(why))?;
    std::fs::rename(&fresh, file).map_err(io)?;
    file.parent().map_or(Ok(()), files::sync_dir).map_err(io)
}

/// Opens the database for the writer, and migrates its tables.
pub(crate) fn open_writer(file: &Path, durability: Durability) -> Result<Connection, StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    guard_log(file)?;
    let mut db = Connection::open(file).map_err(failed)?;
    let version = guard_version(&db, file)?;
    tune(&db).map_err(failed)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // Migrations are synced, regardless of the setting.
    db.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    if version < VERSION {
        migrate(&mut db, version).map_err(failed)?;
    }
    set_synchronous(&db, durability).map_err(failed)?;
    // The writer decides when to checkpoint, because the commit marker must know.
    db.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    db.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)
        .map_err(failed)?;
    Ok(db)
}

/// Sets how far a commit is synced.
pub(crate) fn set_synchronous(db: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Fsync => "FULL",
        Durability::Os => "NORMAL",
        Durability::None => "OFF",
    };
    db.pragma_update(None, "synchronous", synchronous)
}

/// Opens the database read-only. There may be a writer.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, StartFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    guard_log(file)?;
    let db = Connection::open_with_flags(file, flags).map_err(|why| StartFault::Store(fault(file, &why)))?;
    let version = guard_version(&db, file)?;
    if version != VERSION {
        return Err(StartFault::Store(StoreFault::Broken {
            file: file.to_owned(),
            seen: format!("schema version {version}, this program reads {VERSION}: start the server once, it migrates"),
        }));
    }
    tune(&db).map_err(|why| StartFault::Store(fault(file, &why)))?;
    Ok(db)
}

/// The settings of every connection.
pub(crate) fn tune(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(64);
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -16 * 1024)
}

/// Refuses a write-ahead log beside a database that never had one. A backup is such a database until its first start; if it is copied
/// over the files of a killed server, SQLite would apply that server's log to it.
fn guard_log(file: &Path) -> Result<(), StartFault> {
    let [_, wal, _] = files::with_companions(file);
    let bytes = fs::metadata(&wal).map_or(0, |data| data.len());
    let mut versions = [0; 2];
    let is_read = File::open(file).is_ok_and(|database| database.read_exact_at(&mut versions, FORMAT_VERSIONS).is_ok());
    if bytes == 0 || !is_read || versions == WITH_LOG {
        return Ok(());
    }
    Err(foreign_log(wal, bytes, file))
}

/// The fault of a write-ahead log that belongs to another database.
pub(crate) fn foreign_log(wal: PathBuf, bytes: u64, database: &Path) -> StartFault {
    StartFault::Torn {
        seen: format!(
            "its {bytes} bytes are the write-ahead log of another database than {}, which was put here after it",
            database.display()
        ),
        file: wal,
    }
}

/// Offset of the two format versions in SQLite's file header.
const FORMAT_VERSIONS: u64 = 18;
/// Both versions once the database uses a write-ahead log.
const WITH_LOG: [u8; 2] = [2, 2];

/// Refuses a file that is not Plaza's or is too new. Returns its version.
fn guard_version(db: &Connection, file: &Path) -> Result<i64, StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    let number = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let version = number("user_version").map_err(failed)?;
    let application = number("application_id").map_err(failed)?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    if (application, version, tables) == (0, 0, 0) {
        return Err(StartFault::Torn {
            file: file.to_owned(),
            seen: "the database has no tables: whatever put it there was not finished".to_owned(),
        });
    }
    if application != APPLICATION {
        return Err(StartFault::Store(StoreFault::Broken {
            file: file.to_owned(),
            seen: format!("application id {application:#x} is not Plaza's {APPLICATION:#x}; give another directory"),
        }));
    }
    if version > VERSION {
        return Err(StartFault::Newer {
            file: file.to_owned(),
            seen: version,
            known: VERSION,
        });
    }
    Ok(version)
}

fn migrate(db: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    for step in MIGRATIONS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
