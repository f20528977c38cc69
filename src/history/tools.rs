//! What an operator does with a store beside serving it: look for damage, take everything out as text, copy it, bring it
//! into a fresh directory. All but the last work while a server runs, from a snapshot, and write nothing to the store.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{
    Durability, LogId, StartFault, StoreFault,
    batch::{mark_crc, name_crc},
    files,
    files::Files,
    idempotency::idem_crc,
    messages::{self, MessageRow},
    rows::{self, LogRow, int},
    schema::{self, fault, io_fault},
    start,
    witness::{Header, Testimony, Witness},
};
use crate::{chat::UserName, limits, lock::FileLock};

/// What [`check`] found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Rooms and direct conversations.
    pub logs: u64,
    /// Talks that are as they were written.
    pub talks: u64,
    /// What is not, in words; at most [`limits::HISTORY_DAMAGES`] of it.
    pub damages: Vec<String>,
    /// How much is not.
    pub damaged: u64,
}

/// One line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A talk.
    Talk {
        /// One name for a room, two for a direct conversation.
        log: Vec<String>,
        /// Of `seq`.
        epoch: u64,
        /// Its number.
        seq: u64,
        /// Unix milliseconds.
        at: u64,
        /// Who said it.
        from: String,
        /// In which session.
        session: u32,
        /// 0 text, 1 image, 2 video, 3 voice.
        kind: i64,
        /// What was said.
        text: String,
    },
    /// A read position.
    Read {
        /// As in `Talk`.
        log: Vec<String>,
        /// Whose.
        user: String,
        /// The last talk read.
        seq: u64,
    },
    /// The hash of a name's key.
    Name {
        /// The name.
        user: String,
        /// SHA-256, in hexadecimal digits.
        hash: String,
    },
}

/// How much went out or came in.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Talks.
    pub talks: u64,
    /// Read positions and names.
    pub others: u64,
    /// Rows left out because they are damaged, in words.
    pub left_out: Vec<String>,
    /// Logs that had holes and were numbered anew, in a new epoch.
    pub renumbered: Vec<LogId>,
}

/// Looks at every row, at the tables' structure, and at the head file.
pub fn check(dir: &Path) -> Result<Report, StartFault> {
    let files = Files::new(dir);
    // Read first: a server that goes on meanwhile is ahead of it, never behind.
    let testimony = Witness::read(&files.head).map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    let (db, mut report) = (open(&files)?, Report::default());
    let _snapshot = db.unchecked_transaction().map_err(failed(&files))?;
    let mut structure = db.prepare("PRAGMA quick_check(100)").map_err(failed(&files))?;
    let lines = structure
        .query_map([], |row| row.get::<_, String>(0))
        .map_err(failed(&files))?;
    for line in lines {
        match line {
            Ok(line) if line == "ok" => {}
            Ok(line) => report.damage(format!("{}: {line}", files.database.display())),
            Err(why) => report.damage(fault(&files.database, &why).to_string()),
        }
    }
    match start::store_row(&db, &files.database) {
        Ok((store, commits)) => report.compare(&files, &testimony.beside(commits), store, commits),
        Err(why) => report.damage(why.to_string()),
    }
    if let Err(why) = start::verified_logs(&db, &files.database) {
        report.damage(why.to_string());
    }
    let mut seen = (0, 0);
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log(_) => seen.0 += 1,
        Visited::Record(Record::Talk { .. }) => seen.1 += 1,
        Visited::Record(Record::Read { .. } | Record::Name { .. }) => {}
        Visited::Damage(what) => report.damage(what),
    })
    .map_err(StartFault::Store)?;
    (report.logs, report.talks) = seen;
    check_keys(&db, &files, &mut report).map_err(failed(&files))?;
    Ok(report)
}

/// Writes every talk, read position and name, one JSON object per line; damaged rows are left out and named.
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let db = open(&files)?;
    let _snapshot = db.unchecked_transaction().map_err(failed(&files))?;
    let (mut moved, mut broken) = (Moved::default(), None);
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log(_) => {}
        Visited::Damage(what) => moved.left_out.push(what),
        Visited::Record(record) => {
            moved.count(&record);
            if broken.is_none() {
                let written = serde_json::to_writer(&mut *out, &record).map_err(io::Error::from);
                broken = written.and_then(|()| out.write_all(b"\n")).err();
            }
        }
    })
    .map_err(StartFault::Store)?;
    let flushed = broken.map_or_else(|| out.flush(), Err);
    flushed.map_err(|why| StartFault::Io {
        file: "the export".into(),
        why,
    })?;
    Ok(moved)
}

/// Copies the store into a new directory, from which a server can be started. Says how many bytes it takes.
pub fn backup(dir: &Path, to: &Path) -> Result<u64, StartFault> {
    let (files, copy) = (Files::new(dir), Files::new(to));
    let lock = fresh(&copy)?;
    whole_or_nothing(&copy, lock, |_| copy_to(&files, &copy))
}

fn copy_to(files: &Files, copy: &Files) -> Result<u64, StartFault> {
    let db = open(files)?;
    let target = copy.database.to_string_lossy().into_owned();
    db.execute("VACUUM INTO ?1", [target]).map_err(failed(files))?;
    let io = |why| StartFault::Io {
        file: copy.database.clone(),
        why,
    };
    fs::File::open(&copy.database)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    let made = open(copy)?;
    start::verified_logs(&made, &copy.database).map_err(StartFault::Store)?;
    let (store, commits) = start::store_row(&made, &copy.database)?;
    drop(made);
    let header = Header {
        store,
        boot: files::boot_id(),
        durability: Durability::Fsync,
        clean: true,
        base: commits,
    };
    Witness::begin(&copy.head, header).map_err(|why| StartFault::Store(io_fault(&copy.head, &why)))?;
    Ok(copy.bytes())
}

/// Brings an export, or the directory of another store, into a fresh directory: all of it, or nothing, and then the
/// directory is as fresh as before. Refuses while a server runs there.
pub fn import(dir: &Path, from: &Path) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let lock = fresh(&files)?;
    whole_or_nothing(&files, lock, |lock| bring(&files, lock, from))
}

fn bring(files: &Files, lock: FileLock, from: &Path) -> Result<Moved, StartFault> {
    let mut opened = start::open_claimed(files, lock, Durability::Fsync)?;
    let store = opened.store;
    let transaction = opened.db.transaction().map_err(failed(files))?;
    let mut arrival = Arrival {
        db: &transaction,
        files,
        logs: HashMap::new(),
        moved: Moved::default(),
    };
    if from.is_dir() {
        let source = Files::new(from);
        let db = open(&source)?;
        let _snapshot = db.unchecked_transaction().map_err(failed(&source))?;
        let mut broken = None;
        let mut left_out = Vec::new();
        visit(&db, &source, &mut |visited| match visited {
            Visited::Log(_) => {}
            Visited::Damage(what) => left_out.push(what),
            Visited::Record(record) => {
                if broken.is_none() {
                    broken = arrival.take(record).err();
                }
            }
        })
        .map_err(StartFault::Store)?;
        broken.map_or(Ok(()), Err)?;
        arrival.moved.left_out = left_out;
    } else {
        let io = |why| StartFault::Io {
            file: from.to_owned(),
            why,
        };
        // Lines of bytes: one that was cut inside a character is told with its number.
        for (line, number) in io::BufReader::new(fs::File::open(from).map_err(io)?)
            .split(b'\n')
            .zip(1_u64..)
        {
            let line = line.map_err(io)?;
            let not_of_an_export = |why: String| refused(from, format!("line {number} is not of an export: {why}"));
            let text = str::from_utf8(&line).map_err(|why| {
                let byte = why.valid_up_to() + 1;
                not_of_an_export(format!("from its byte {byte} on it is no UTF-8; it was cut or changed"))
            })?;
            let record = serde_json::from_str(text).map_err(|why| not_of_an_export(why.to_string()))?;
            arrival.take(record)?;
        }
    }
    let moved = arrival.settle()?;
    start::count_commit(&transaction, store, opened.commits + 1).map_err(failed(files))?;
    transaction.commit().map_err(failed(files))?;
    start::checkpoint_all(&opened.db).map_err(failed(files))?;
    let stopped = opened.witness.stop(opened.commits + 1);
    stopped.map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(moved)
}

/// What a walk through a store comes upon.
enum Visited {
    Log(#[allow(dead_code)] LogId),
    Record(Record),
    Damage(String),
}

/// Walks through everything that is stored; goes on behind damage where it can.
fn visit(db: &Connection, files: &Files, take: &mut dyn FnMut(Visited)) -> Result<(), StoreFault> {
    let file = files.database.as_path();
    let mut names: HashMap<u32, Vec<String>> = HashMap::new();
    let mut ids = db
        .prepare("SELECT id FROM log ORDER BY id")
        .map_err(|why| fault(file, &why))?;
    let ids: Vec<i64> = ids
        .query_map([], |row| row.get(0))
        .and_then(Iterator::collect)
        .map_err(|why| fault(file, &why))?;
    for id in ids {
        let row = match LogRow::after(db, file, id - 1) {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(why) => {
                take(Visited::Damage(why.to_string()));
                continue;
            }
        };
        names.insert(row.id, log_names(&row.log));
        take(Visited::Log(row.log.clone()));
        if let Err(why) = visit_log(db, file, &row, take) {
            take(Visited::Damage(rows::in_log(fault(file, &why), &row).to_string()));
        }
    }
    let mut rest = || -> rusqlite::Result<()> {
        let mut select = db.prepare("SELECT user, log, seq, crc FROM mark")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (user, log, seq): (String, u32, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            match names.get(&log) {
                Some(log_names) if i64::from(mark_crc(&user, log, seq)) == row.get::<_, i64>(3)? => {
                    let (log, seq) = (log_names.clone(), seq.cast_unsigned());
                    take(Visited::Record(Record::Read { log, user, seq }));
                }
                _ => take(Visited::Damage(format!(
                    "table mark: the row of {user:?} and log {log} is damaged"
                ))),
            }
        }
        let mut select = db.prepare("SELECT user, hash, crc FROM name")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (user, hash): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if i64::from(name_crc(&user, &hash)) == row.get::<_, i64>(2)? {
                let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                take(Visited::Record(Record::Name { user, hash }));
            } else {
                take(Visited::Damage(format!("table name: the row of {user:?} is damaged")));
            }
        }
        Ok(())
    };
    if let Err(why) = rest() {
        take(Visited::Damage(fault(file, &why).to_string()));
    }
    Ok(())
}

fn visit_log(db: &Connection, file: &Path, log: &LogRow, take: &mut dyn FnMut(Visited)) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(
        "SELECT seq, at, user, session, kind, text, sum, crc FROM message WHERE log = ?1 ORDER BY seq",
    )?;
    let mut rows = select.query([log.id])?;
    let mut due = log.first;
    while let Some(row) = rows.next()? {
        let message = match MessageRow::read(row, file, log) {
            Ok(message) => message,
            Err(why) => {
                due += 1;
                take(Visited::Damage(why.to_string()));
                continue;
            }
        };
        if message.seq != due {
            take(Visited::Damage(format!(
                "{}: talks {due} to {} are missing",
                log.log,
                message.seq.saturating_sub(1)
            )));
        }
        due = message.seq + 1;
        take(Visited::Record(Record::Talk {
            log: log_names(&log.log),
            epoch: log.epoch,
            seq: message.seq,
            at: message.at,
            from: message.user,
            session: message.session,
            kind: message.kind,
            text: message.text,
        }));
    }
    if due != log.head + 1 {
        take(Visited::Damage(format!(
            "{}: talks {due} to {} are missing",
            log.log, log.head
        )));
    }
    Ok(())
}

fn check_keys(db: &Connection, files: &Files, report: &mut Report) -> rusqlite::Result<()> {
    let mut select = db.prepare("SELECT log, user, key, seq, at, digest, crc FROM idem")?;
    let mut rows = select.query([])?;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            Err(why) => {
                report.damage(fault(&files.database, &why).to_string());
                return Ok(());
            }
        };
        let (user, key): (String, String) = (row.get(1)?, row.get(2)?);
        let own = idem_crc(row.get(0)?, &user, &key, row.get(3)?, row.get(4)?, row.get(5)?);
        if i64::from(own) != row.get::<_, i64>(6)? {
            report.damage(format!("table idem: the row of {user:?} and key {key:?} is damaged"));
        }
    }
}

/// An import under way.
struct Arrival<'a> {
    db: &'a Connection,
    files: &'a Files,
    logs: HashMap<LogId, LogRow>,
    moved: Moved,
}

impl Arrival<'_> {
    fn take(&mut self, record: Record) -> Result<(), StartFault> {
        self.moved.count(&record);
        let told = |seen: String| refused(&self.files.database, seen);
        match record {
            Record::Talk {
                log,
                epoch,
                seq,
                at,
                from,
                session,
                kind,
                text,
            } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let user = UserName::parse(&from).map_err(|why| told(why.to_string()))?;
                let sane = messages::parse_kind(kind).is_some() && text.len() <= limits::TEXT_BYTES;
                if !sane || seq == 0 || seq >= limits::HISTORY_LOG_TALKS {
                    return Err(told(format!(
                        "talk {seq} of {log} has a kind, number or length that none can have"
                    )));
                }
                if !self.logs.contains_key(&log) {
                    let mut row = LogRow {
                        id: 0,
                        log: log.clone(),
                        epoch,
                        head: seq - 1,
                        first: seq,
                        base: 0,
                        sum: 0,
                        at: 0,
                    };
                    row.insert(self.db).map_err(failed(self.files))?;
                    self.logs.insert(log.clone(), row);
                }
                let Some(row) = self.logs.get_mut(&log) else {
                    return Ok(());
                };
                if seq != row.head + 1 && !self.moved.renumbered.contains(&log) {
                    self.moved.renumbered.push(log);
                    row.epoch = files::new_epoch().map_err(|why| StartFault::Io {
                        file: "/dev/urandom".into(),
                        why,
                    })?;
                }
                row.head += 1;
                row.sum += messages::cost(user.as_str(), &text);
                row.at = row.at.max(at);
                let (seq, user) = (row.head, user.as_str().to_owned());
                let (at, sum) = (row.at, row.sum);
                let message = MessageRow {
                    seq,
                    at,
                    user,
                    session,
                    kind,
                    text,
                    sum,
                };
                message.insert(self.db, row.id).map_err(failed(self.files))
            }
            Record::Read { log, user, seq } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let Some(row) = self.logs.get(&log) else { return Ok(()) };
                let seq = int(seq.min(row.head));
                self.db
                    .prepare_cached("INSERT OR REPLACE INTO mark (user, log, seq, crc) VALUES (?1, ?2, ?3, ?4)")
                    .and_then(|mut insert| insert.execute(params![user, row.id, seq, mark_crc(&user, row.id, seq)]))
                    .map(drop)
                    .map_err(failed(self.files))
            }
            Record::Name { user, hash } => {
                let digits: Vec<&str> = (0..hash.len() / 2)
                    .filter_map(|at| hash.get(at * 2..at * 2 + 2))
                    .collect();
                let bytes: Option<Vec<u8>> = digits.iter().map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
                let bytes = bytes
                    .filter(|bytes| bytes.len() == 32)
                    .ok_or_else(|| told(format!("the hash of {user:?} is not 64 hexadecimal digits")))?;
                self.db
                    .prepare_cached("INSERT OR REPLACE INTO name (user, hash, crc) VALUES (?1, ?2, ?3)")
                    .and_then(|mut insert| insert.execute(params![user, bytes, name_crc(&user, &bytes)]))
                    .map(drop)
                    .map_err(failed(self.files))
            }
        }
    }

    fn settle(self) -> Result<Moved, StartFault> {
        for row in self.logs.values() {
            row.update(self.db).map_err(failed(self.files))?;
        }
        Ok(self.moved)
    }
}

impl Report {
    fn damage(&mut self, what: String) {
        self.damaged += 1;
        if self.damages.len() < limits::HISTORY_DAMAGES {
            self.damages.push(what);
        }
    }

    fn compare(&mut self, files: &Files, testimony: &Testimony, store: u64, commits: u64) {
        let head = files.head.display();
        match testimony {
            Testimony::Missing => self.damage(format!("{head} is missing")),
            Testimony::Damaged => self.damage(format!("{head} is damaged")),
            Testimony::Read { header, .. } if header.store != store => {
                self.damage(format!("{head} belongs to store {:x}, the database is {store:x}", header.store));
            }
            Testimony::Read { commit, .. } if *commit > commits => self.damage(format!(
                "{head} knows {commit} commits, the database has {commits}: its tail is lost; the next start says what is gone"
            )),
            Testimony::Read { .. } => {}
        }
    }
}

impl Moved {
    fn count(&mut self, record: &Record) {
        match record {
            Record::Talk { .. } => self.talks += 1,
            Record::Read { .. } | Record::Name { .. } => self.others += 1,
        }
    }
}

/// Opens for reading, if there is anything.
fn open(files: &Files) -> Result<Connection, StartFault> {
    if !files.database.exists() {
        return Err(refused(
            &files.database,
            "there is no such file: give the data directory of a server".to_owned(),
        ));
    }
    schema::open_reader(&files.database)
}

/// Claims a directory in which there is no store yet.
fn fresh(files: &Files) -> Result<FileLock, StartFault> {
    let lock = files.claim()?;
    if files.database.exists() {
        let seen = "there is a store already: give a fresh directory".to_owned();
        return Err(refused(&files.database, seen));
    }
    Ok(lock)
}

/// Fills a directory that [`fresh`] has claimed. If that fails, the store that was begun is removed, before anybody else can
/// claim it; what was there before stays, and so does the lock file, which others may have open.
fn whole_or_nothing<T>(
    files: &Files,
    lock: FileLock,
    fill: impl FnOnce(FileLock) -> Result<T, StartFault>,
) -> Result<T, StartFault> {
    let parts = || {
        [files.head.clone()].into_iter().chain(
            [&files.database, &files.search]
                .into_iter()
                .flat_map(|file| files::with_companions(file)),
        )
    };
    let absent: Vec<PathBuf> = parts().filter(|file| !file.exists()).collect();
    let held = lock.clone();
    let filled = fill(lock);
    if filled.is_err() {
        for file in absent {
            // Not all of them are made; one that stays is named by whoever tries again.
            let _ = fs::remove_file(file);
        }
    }
    drop(held);
    filled
}

fn log_names(log: &LogId) -> Vec<String> {
    match log {
        LogId::Room(room) => vec![room.as_str().to_owned()],
        LogId::Pair(pair) => pair.names().map(|name| name.as_str().to_owned()).to_vec(),
    }
}

fn parse_names(names: &[String]) -> Option<LogId> {
    match names {
        [room] => rows::parse_log(0, room, ""),
        [low, high] => rows::parse_log(1, low, high),
        _ => None,
    }
}

fn failed(files: &Files) -> impl Fn(rusqlite::Error) -> StartFault + use<> {
    let file = files.database.clone();
    move |why| StartFault::Store(fault(&file, &why))
}

fn refused(file: &Path, seen: String) -> StartFault {
    let file = PathBuf::from(file);
    StartFault::Store(StoreFault::Broken { file, seen })
}
