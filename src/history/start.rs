//! The start of a store: nothing is served before it is known what is there, and what is not any more.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Durability, LogId, LostTail, StoreFault,
    checksum::Checksum,
    files::{self, Files, with_companions},
    rows::{self, EpochFault, LogRow, int},
    schema::{self, fault, io_fault},
    witness::{Header, Place, State, Testimony, Witness},
};
use crate::{limits, lock::FileLock};

/// Why a store was not opened.
#[derive(Debug)]
pub enum StartFault {
    /// Another process has it.
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The other process, if it says.
        holder: Option<u32>,
    },
    /// There is no such directory, and it could not be made.
    NoDirectory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// It belongs to another user, so it cannot be closed to others or not be written.
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// Everybody may write there and it holds what is not a store's, so it is not closed to them.
    Shared {
        /// The directory.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It was written by a newer program.
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema version.
        seen: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// Files that belong together are not there together.
    Torn {
        /// The file that is missing or foreign.
        file: PathBuf,
        /// What was seen.
        seen: String,
    },
    /// The system refused.
    Io {
        /// Where.
        file: PathBuf,
        /// What it said.
        why: io::Error,
    },
    /// The database cannot be used.
    Store(StoreFault),
}

/// A tail that was found to be lost at this start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Which log.
    pub log: LogId,
    /// What is gone.
    pub tail: LostTail,
}

/// A store that is ready to be written.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) db: Connection,
    pub(crate) witness: Witness,
    pub(crate) store: u64,
    pub(crate) commits: u64,
    pub(crate) recovered: Vec<Recovered>,
    /// Why these files are, or may be, a copy of a store that goes on elsewhere, if they are taken for one.
    pub(crate) copied: Option<String>,
    /// Held as long as the store is open.
    pub(crate) lock: FileLock,
}

/// Whether the conversations go on in their epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// Unless something was lost, or the files are a copy.
    Keep,
    /// All begin a new one.
    Begin,
}

/// Opens the store in this directory, or says why not.
pub(crate) fn open(files: &Files, durability: Durability) -> Result<Opened, StartFault> {
    open_claimed(files, files.claim()?, durability, Epochs::Keep)
}

/// Opens the store in a directory whose lock is held.
pub(crate) fn open_claimed(
    files: &Files,
    lock: FileLock,
    durability: Durability,
    epochs: Epochs,
) -> Result<Opened, StartFault> {
    let testimony = Witness::read(&files.head).map_err(|why| StartFault::Io {
        file: files.head.clone(),
        why,
    })?;
    guard_presence(files, &testimony)?;
    guard_unfinished(files)?;
    let origin = origin(files, &testimony)?;
    if !files.database.exists() {
        schema::create(&files.database)?;
    }
    let mut db = schema::open_writer(&files.database, durability)?;
    let store_fault = |why: rusqlite::Error| StartFault::Store(fault(&files.database, &why));
    let (store, commits) = store_row(&db, &files.database)?;
    let testimony = testimony.beside(commits);
    let logs = verified_logs(&db, &files.database).map_err(StartFault::Store)?;
    let (mut verdict, copied) = judge(files, &testimony, origin, (store, commits), &logs)?;
    mend_pairs(&mut db, &files.database, &logs).map_err(StartFault::Store)?;
    if epochs == Epochs::Begin {
        verdict = every(&logs);
    }
    let mut recovered = Vec::new();
    if !verdict.is_empty() {
        db.pragma_update(None, "synchronous", "FULL").map_err(store_fault)?;
        recovered = begin_epochs(&mut db, &files.database, &verdict)?;
    }
    let power_cut = match &testimony {
        Testimony::Missing | Testimony::Damaged | Testimony::Older => true,
        Testimony::Read { header, .. } => header.state == State::Running && header.boot != files::boot_id(),
    };
    if power_cut || !verdict.is_empty() {
        // What is gone from the database may still stand in the index, whose own writes are not synced: it is made again.
        for file in with_companions(&files.search) {
            remove(&file)?;
        }
    }
    // From here on the database itself holds every commit, and the witness may begin anew.
    checkpoint_all(&db).map_err(store_fault)?;
    schema::set_synchronous(&db, durability).map_err(store_fault)?;
    let header = Header {
        store,
        boot: files::boot_id(),
        durability,
        state: State::Running,
        base: commits,
        place: Place::default(),
    };
    let witness = Witness::begin(&files.head, &files.database, header)
        .map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(Opened {
        db,
        witness,
        store,
        commits,
        recovered,
        copied,
        lock,
    })
}

/// Writes the count of commits, as the last statement of each.
pub(crate) fn count_commit(db: &Connection, store: u64, commits: u64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE store SET commits = ?1, crc = ?2 WHERE id = 1")?
        .execute(params![int(commits), store_crc(store, commits)])
        .map(drop)
}

/// Copies the whole write-ahead log into the database.
pub(crate) fn checkpoint_all(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// The store's number and how many commits it has seen.
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
            return Err(StartFault::Store(damaged(file, "table store has no row".to_owned())));
        }
        let number = files::new_epoch().map_err(|why| StartFault::Io {
            file: "/dev/urandom".into(),
            why,
        })?;
        db.execute(
            "INSERT INTO store (id, store, commits, crc) VALUES (1, ?1, 0, ?2)",
            params![int(number), store_crc(number, 0)],
        )
        .map_err(failed)?;
        return Ok((number, 0));
    };
    let (store, commits) = (store.cast_unsigned(), commits.cast_unsigned());
    if i64::from(store_crc(store, commits)) != crc {
        let seen = "the row of table store does not match its checksum".to_owned();
        return Err(StartFault::Store(damaged(file, seen)));
    }
    Ok((store, commits))
}

/// Reads every log's row and looks at both ends of its talks and at its entry in the index of names: a few microseconds
/// per log, whatever it holds.
pub(crate) fn verified_logs(db: &Connection, file: &Path) -> Result<BTreeMap<u32, LogRow>, StoreFault> {
    let failed = |why: rusqlite::Error| fault(file, &why);
    let mut ends = db
        .prepare(
            "SELECT (SELECT seq FROM message WHERE log = ?1 ORDER BY seq LIMIT 1),
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
                "talks {} to {} should be stored, and {} to {} are",
                row.first,
                row.head,
                low.unwrap_or(0),
                high.unwrap_or(0)
            );
            return Err(rows::in_log(damaged(file, seen), &row));
        }
        if LogRow::find(db, file, &row.log)?.as_ref() != Some(&row) {
            let seen = format!("the index of names does not lead to row {} of table log", row.id);
            return Err(rows::in_log(damaged(file, seen), &row));
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
        return Err(damaged(file, seen));
    }
    Ok(logs)
}

/// Direct conversations that one of their users would not find, because entries of table `pair` are missing.
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

/// Makes entries of table `pair` that are missing. Nothing is lost with them: the rows of the logs say what they were, and readers go
/// by these where the table cannot be read at all.
fn mend_pairs(db: &mut Connection, file: &Path, logs: &BTreeMap<u32, LogRow>) -> Result<(), StoreFault> {
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

/// A head file without its database, or a database's companions without it, are no fresh directory.
pub(crate) fn guard_presence(files: &Files, testimony: &Testimony) -> Result<(), StartFault> {
    let size = fs::metadata(&files.database).map_or(0, |data| data.len());
    if size > 0 {
        return Ok(());
    }
    let known = match testimony {
        Testimony::Missing => None,
        Testimony::Damaged => Some("a damaged head file is".to_owned()),
        Testimony::Older => Some("a head file of an older version is".to_owned()),
        Testimony::Read {
            commit: 0,
            announced: None,
            ..
        } => None,
        Testimony::Read { commit, .. } => Some(format!("a head file that knows {commit} commits is")),
    };
    let [_, wal, _] = with_companions(&files.database);
    let wal = fs::metadata(&wal).map_or(0, |data| data.len());
    // SQLite makes the database before it begins a log, and would throw this one away.
    let seen = known.or_else(|| (wal > 0).then(|| format!("a write-ahead log of {wal} bytes is")));
    let seen = match seen {
        Some(seen) => format!("the database is missing or empty, and {seen} there"),
        // A server never leaves it so: it makes its database under another name.
        None if files.database.exists() => {
            "the database is empty (0 bytes): whatever put it there was not finished".to_owned()
        }
        None => return Ok(()),
    };
    Err(StartFault::Torn {
        file: files.database.clone(),
        seen,
    })
}

/// Where a backup or an import was killed, an empty store would be taken for the one that was to be there.
fn guard_unfinished(files: &Files) -> Result<(), StartFault> {
    if !files.unfinished.exists() {
        return Ok(());
    }
    if files.database.exists() {
        // It was finished, but for this.
        return fs::remove_dir_all(&files.unfinished).map_err(|why| StartFault::Io {
            file: files.unfinished.clone(),
            why,
        });
    }
    Err(StartFault::Torn {
        file: files.unfinished.clone(),
        seen: "a backup or an import into this directory was not finished, and can be run again".to_owned(),
    })
}

/// Whether these files are the ones that the store itself wrote.
#[derive(Debug)]
enum Origin {
    /// As far as anything says.
    InPlace,
    /// All of them were copied, which this says in words.
    Copied(String),
    /// The database was put beside a head file that is not of this copy: what the entries say of it is of no account.
    Replaced(String),
}

/// Looks at which files these are, before SQLite applies a write-ahead log to the database.
fn origin(files: &Files, testimony: &Testimony) -> Result<Origin, StartFault> {
    let Testimony::Read { header, .. } = testimony else {
        return Ok(Origin::InPlace);
    };
    let seen = |file: &Path| fs::metadata(file).ok().and_then(|data| files::Identity::of(&data));
    let differs = |known: Option<files::Identity>, file: &Path| known.is_some() && known != seen(file);
    if header.state == State::Copy {
        return Ok(Origin::Copied("it was made by `plaza history backup`".to_owned()));
    }
    if differs(header.place.head, &files.head) {
        return Ok(Origin::Copied(format!("{} is a copy", files.head.display())));
    }
    if !differs(header.place.database, &files.database) {
        return Ok(Origin::InPlace);
    }
    let [_, wal, _] = with_companions(&files.database);
    match fs::metadata(&wal).map_or(0, |data| data.len()) {
        0 => Ok(Origin::Replaced(format!("{} is a copy", files.database.display()))),
        bytes => Err(schema::foreign_log(wal, bytes, &files.database)),
    }
}

/// All logs, with nothing known of what was lost.
fn every(logs: &BTreeMap<u32, LogRow>) -> Verdict<'_> {
    logs.values()
        .filter(|row| row.head > 0)
        .map(|row| (row, None))
        .collect()
}

/// Logs that begin a new epoch, each with the last message it lost, where that is known.
type Verdict<'l> = Vec<(&'l LogRow, Option<u64>)>;

/// Which logs lost which messages; and why the store is taken for a copy, if it is.
fn judge<'l>(
    files: &Files,
    testimony: &Testimony,
    origin: Origin,
    (store, commits): (u64, u64),
    logs: &'l BTreeMap<u32, LogRow>,
) -> Result<(Verdict<'l>, Option<String>), StartFault> {
    let (header, commit, heads, unreadable, hidden) = match testimony {
        // Before the first commit there is nothing to witness.
        Testimony::Missing | Testimony::Damaged | Testimony::Older if commits == 0 => return Ok((Vec::new(), None)),
        Testimony::Missing | Testimony::Damaged => return Ok((every(logs), None)),
        Testimony::Older => {
            let why =
                "an older version wrote its head file, which does not tell a backup from a store that was stopped";
            return Ok((every(logs), Some(why.to_owned())));
        }
        Testimony::Read {
            header,
            commit,
            heads,
            unreadable,
            hidden,
            // Of no account: nobody was told of it.
            announced: _,
        } => (header, *commit, heads, *unreadable, *hidden),
    };
    if header.store != store {
        return Err(StartFault::Torn {
            file: files.head.clone(),
            seen: format!(
                "it belongs to store {:x}, and {} is store {store:x}",
                header.store,
                files.database.display()
            ),
        });
    }
    let copied = match origin {
        Origin::Replaced(why) => return Ok((every(logs), Some(why))),
        Origin::Copied(why) => Some(why),
        Origin::InPlace if header.state == State::Stopped && commits > header.base => Some(format!(
            "it was stopped after {} commits and has {commits}",
            header.base
        )),
        Origin::InPlace => None,
    };
    // Commits are gone and not every entry of them can be read: any log may have lost something.
    let unnamed = commit > commits && (unreadable > 0 || header.base > commits);
    // Commits may be gone of which no entry can be read. One is announced beside each commit, so the file is at most one behind.
    let unknown =
        (hidden > 0 && commit + hidden > commits) || (header.state == State::Running && commits > commit + hidden + 1);
    let unsynced =
        header.durability != Durability::Fsync && header.state == State::Running && header.boot != files::boot_id();
    let any = unsynced || unnamed || unknown || copied.is_some();
    let mut verdict = Vec::new();
    for row in logs.values() {
        let witnessed = heads.get(&row.id).copied();
        match witnessed {
            Some((at, head)) if head > row.head && at <= commits => {
                let seen = format!("it ends at talk {}, and commit {at} brought it to {head}", row.head);
                return Err(StartFault::Store(rows::in_log(damaged(&files.database, seen), row)));
            }
            Some((_, head)) if head > row.head => verdict.push((row, Some(head))),
            Some(_) | None if any && row.head > 0 => verdict.push((row, None)),
            Some(_) | None => {}
        }
    }
    Ok((verdict, copied))
}

/// Begins a new epoch in these logs.
fn begin_epochs(
    db: &mut Connection,
    file: &Path,
    verdict: &[(&LogRow, Option<u64>)],
) -> Result<Vec<Recovered>, StartFault> {
    let failed = |why: rusqlite::Error| StartFault::Store(fault(file, &why));
    let transaction = db.transaction().map_err(failed)?;
    let mut recovered = Vec::new();
    for (row, to) in verdict {
        let mut next = (*row).clone();
        let tail = next
            .begin_epoch(&transaction, *to)
            .map_err(|why| epoch_fault(file, why))?;
        next.update(&transaction).map_err(failed)?;
        recovered.push(Recovered {
            log: row.log.clone(),
            tail,
        });
    }
    transaction.commit().map_err(failed)?;
    Ok(recovered)
}

pub(crate) fn epoch_fault(file: &Path, why: EpochFault) -> StartFault {
    match why {
        EpochFault::Database(why) => StartFault::Store(fault(file, &why)),
        EpochFault::Random(why) => StartFault::Io {
            file: "/dev/urandom".into(),
            why,
        },
    }
}

fn remove(file: &Path) -> Result<(), StartFault> {
    match fs::remove_file(file) {
        Ok(()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(StartFault::Io {
            file: file.to_owned(),
            why,
        }),
    }
}

fn store_crc(store: u64, commits: u64) -> u32 {
    Checksum::default().number(int(store)).number(int(commits)).finish()
}

fn damaged(file: &Path, seen: String) -> StoreFault {
    StoreFault::Damaged {
        file: file.to_owned(),
        log: None,
        seq: None,
        seen,
    }
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir, holder } => {
                write!(f, "{} is in use by another plaza", dir.display())?;
                if let Some(holder) = holder {
                    write!(f, " (process {holder})")?;
                }
                write!(
                    f,
                    " and was not released within {} s: stop it, or give this one another directory with --data",
                    limits::LOCK_WAIT.as_secs()
                )
            }
            Self::NoDirectory { dir, why } => {
                write!(f, "{}: choose another with --data", files::no_directory(dir, why))
            }
            Self::NotOurs { dir, owner, mode } => write!(
                f,
                "the directory {} belongs to another user (number {owner}, mode {mode:04o}), and what is stored must be this \
                 server's own: run it as that user, give it the directory with `chown`, or choose another with --data",
                dir.display()
            ),
            Self::Shared { dir, mode } => write!(
                f,
                "the directory {} has mode {mode:04o} and holds other things, and what is stored must be closed to others: choose an \
                 empty directory with --data, or close this one with `chmod 700`",
                dir.display()
            ),
            Self::Newer { file, seen, known } => write!(
                f,
                "{} has schema version {seen}, and this program knows versions up to {known}: use the newer program",
                file.display()
            ),
            Self::Torn { file, seen } => write!(
                f,
                "{}: {seen}. Put the files of one store back together, bring a backup or an export into a fresh directory \
                 with `plaza history import`, or move the directory away to begin anew",
                file.display()
            ),
            Self::Io { file, why } => write!(f, "{}: {why}", file.display()),
            // Who runs the store tries again by itself; who starts it does not.
            Self::Store(StoreFault::Full { file }) => {
                write!(
                    f,
                    "no space left to write {}: free some, then start again",
                    file.display()
                )
            }
            Self::Store(StoreFault::ReadOnly { file }) => write!(
                f,
                "{} cannot be written: make it and its file system writable, then start again",
                file.display()
            ),
            Self::Store(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StartFault {}
