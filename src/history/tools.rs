//! What an operator does with a store beside serving it: look for damage, export it as text, copy it, import it into a fresh
//! directory.
//!
//! `check`, `export` and `backup` work while a server runs and write nothing to the store. A backup or an import is complete,
//! or a server refuses to start on it. Nothing that waits for an output holds a read transaction, because the server cannot
//! reuse its write-ahead log below the oldest one: messages are read in pages, up to where each log stood at the beginning.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, Write},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{
    Durability, Epochs, LogId, LostTail, StartFault, StoreFault,
    batch::{mark_crc, name_crc},
    files,
    files::Files,
    idempotency::idem_crc,
    messages::{self, MessageRow},
    rows::{self, LogRow, int},
    schema::{self, fault, io_fault},
    start,
    witness::{Header, Place, State, Testimony, Witness},
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
    /// A tail that was lost, or may have been, when an epoch ended.
    Lost {
        /// As in `Talk`.
        log: Vec<String>,
        /// The epoch that ended.
        epoch: u64,
        /// The first one gone.
        from: u64,
        /// The last one; absent where only a client that saw them can know.
        to: Option<u64>,
    },
    /// The last line: without it the export was not finished.
    End {
        /// Talks before it.
        talks: u64,
        /// Read positions and names before it.
        others: u64,
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
    let snapshot = db.unchecked_transaction().map_err(failed(&files))?;
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
    drop(structure);
    match start::store_row(&db, &files.database) {
        Ok((store, commits)) => report.compare(&files, &testimony.beside(commits), store, commits),
        Err(why) => report.damage(why.to_string()),
    }
    match start::verified_logs(&db, &files.database) {
        Ok(logs) => match start::without_pairs(&db, &files.database, &logs) {
            Ok(missing) => {
                for LogRow { log, .. } in missing {
                    let seen = "entries of table pair are missing; the next start makes them again";
                    report.damage(format!("{log}: {seen}"));
                }
            }
            Err(why) => report.damage(format!("table pair: {why}")),
        },
        Err(why) => report.damage(why.to_string()),
    }
    drop(snapshot);
    let mut seen = (0, 0);
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log(_) => seen.0 += 1,
        Visited::Record(Record::Talk { .. }) => seen.1 += 1,
        Visited::Record(Record::Read { .. } | Record::Name { .. } | Record::Lost { .. } | Record::End { .. }) => {}
        Visited::Damage(what) => report.damage(what),
    })
    .map_err(StartFault::Store)?;
    (report.logs, report.talks) = seen;
    check_keys(&db, &files, &mut report).map_err(failed(&files))?;
    Ok(report)
}

/// Writes every talk, read position, name and lost tail, one JSON object per line; damaged rows are left out and named.
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let db = open(&files)?;
    let (mut moved, mut broken) = (Moved::default(), None);
    let mut write = |record: &Record| {
        if broken.is_none() {
            let written = serde_json::to_writer(&mut *out, record).map_err(io::Error::from);
            broken = written.and_then(|()| out.write_all(b"\n")).err();
        }
    };
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log(_) => {}
        Visited::Damage(what) => moved.left_out.push(what),
        Visited::Record(record) => {
            moved.count(&record);
            write(&record);
        }
    })
    .map_err(StartFault::Store)?;
    write(&Record::End {
        talks: moved.talks,
        others: moved.others,
    });
    let flushed = broken.map_or_else(|| out.flush(), Err);
    flushed.map_err(|why| StartFault::Io {
        file: "the export".into(),
        why,
    })?;
    Ok(moved)
}

/// Copies the store into a new directory, from which a server can be started: that start begins new epochs, because the
/// original goes on in its own. Says how many bytes it takes.
pub fn backup(dir: &Path, to: &Path) -> Result<u64, StartFault> {
    let (files, copy) = (Files::new(dir), Files::new(to));
    let lock = fresh(&copy)?;
    whole_or_nothing(&copy, lock, |copy, _lock| copy_to(&files, copy))
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
        state: State::Copy,
        base: commits,
        place: Place::default(),
    };
    Witness::begin(&copy.head, &copy.database, header).map_err(|why| StartFault::Store(io_fault(&copy.head, &why)))?;
    Ok(copy.bytes())
}

/// Begins a new epoch in every conversation of a store whose server is stopped, and says in how many. For copies that no file
/// tells: a snapshot of a whole machine or file system that is put back.
pub fn new_epoch(dir: &Path) -> Result<usize, StartFault> {
    let files = Files::new(dir);
    if !files.database.exists() {
        return Err(no_store(&files));
    }
    let opened = start::open_claimed(&files, files.claim()?, Durability::Fsync, Epochs::Begin)?;
    let stopped = opened.witness.stop(opened.commits);
    stopped.map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(opened.recovered.len())
}

/// Imports an export, or the directory of another store, into a fresh directory: all of it, or nothing, and then the
/// directory is as fresh as before. Refuses while a server runs there.
///
/// Conversations begin a new epoch, because the store they come from may have gone on. [`Epochs::Keep`] is for a source that
/// never does, such as a snapshot of a log which numbers elsewhere.
pub fn import(dir: &Path, from: &Path, epochs: Epochs) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let lock = fresh(&files)?;
    whole_or_nothing(&files, lock, |files, lock| bring(files, lock, from, epochs))
}

fn bring(files: &Files, lock: FileLock, from: &Path, epochs: Epochs) -> Result<Moved, StartFault> {
    let mut opened = start::open_claimed(files, lock, Durability::Fsync, Epochs::Keep)?;
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
        arrival.read(from)?;
    }
    let moved = arrival.settle(epochs)?;
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

/// Walks through everything that is stored; goes on behind damage where it can. `take` may wait as long as it likes.
fn visit(db: &Connection, files: &Files, take: &mut dyn FnMut(Visited)) -> Result<(), StoreFault> {
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
        // What is said from here on is not of this walk.
        let row = LogRow {
            head: row.head.min(head.cast_unsigned()),
            ..row
        };
        names.insert(row.id, log_names(&row.log));
        take(Visited::Log(row.log.clone()));
        if let Err(why) = visit_log(db, file, &row, take) {
            take(Visited::Damage(rows::in_log(why, &row).to_string()));
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
    let missing = |from: u64, to: u64| Visited::Damage(format!("{}: talks {from} to {to} are missing", log.log));
    let mut due = log.first;
    loop {
        let page = LogPage::read(db, file, log, due)?;
        // Retention may have gone on meanwhile.
        due = due.max(page.first);
        for (seq, message) in page.rows {
            if seq > due {
                take(missing(due, seq - 1));
            }
            due = seq + 1;
            match message {
                Ok(message) => take(Visited::Record(Record::Talk {
                    log: log_names(&log.log),
                    epoch: log.epoch,
                    seq: message.seq,
                    at: message.at,
                    from: message.user,
                    session: message.session,
                    kind: message.kind,
                    text: message.text,
                })),
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

/// Some messages of a log, read in one short transaction.
struct LogPage {
    /// The oldest message that is stored now.
    first: u64,
    rows: Vec<(u64, Result<MessageRow, StoreFault>)>,
    more: bool,
}

impl LogPage {
    fn read(db: &Connection, file: &Path, log: &LogRow, from: u64) -> Result<Self, StoreFault> {
        let failed = |why: rusqlite::Error| fault(file, &why);
        // Dropped without a commit: nothing was written.
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
            .prepare_cached(
                "SELECT seq, at, user, session, kind, text, sum, crc FROM message
                 WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq LIMIT ?4",
            )
            .map_err(failed)?;
        let limit = limits::HISTORY_PAGE_TALKS as i64;
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
            page.rows.push((seq, message));
            if bytes > limits::HISTORY_PAGE_BYTES || page.rows.len() == limits::HISTORY_PAGE_TALKS {
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
            .query_map(params![after.0, after.1, limits::HISTORY_PAGE_TALKS as i64], |row| {
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
            .query_map(params![after, limits::HISTORY_PAGE_TALKS as i64], |row| {
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
    /// Takes the lines of an export, of which the last one must be there.
    fn read(&mut self, from: &Path) -> Result<(), StartFault> {
        let io = |why| StartFault::Io {
            file: from.to_owned(),
            why,
        };
        let (mut end, mut lines) = (None, 0);
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
            lines = number;
            match record {
                _ if end.is_some() => return Err(not_of_an_export("the line before it is the last one".to_owned())),
                Record::End { talks, others } => end = Some((talks, others)),
                record => self.take(record)?,
            }
        }
        let (talks, others) = (self.moved.talks, self.moved.others);
        let seen = match end {
            Some(end) if end == (talks, others) => return Ok(()),
            Some((all_talks, all_others)) => format!(
                "its last line says {all_talks} talks and {all_others} read positions and names, and {talks} and {others} are there: \
                 lines are missing"
            ),
            None => format!(
                "after line {lines} the last one is missing: the export was not finished. Export again; if there is nothing to export \
                 from any more, add the line {{\"end\":{{\"talks\":{talks},\"others\":{others}}}}}"
            ),
        };
        Err(refused(from, seen))
    }

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
            Record::Lost { log, epoch, from, to } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let Some(row) = self.logs.get(&log) else { return Ok(()) };
                if self.moved.renumbered.contains(&log) {
                    return Ok(());
                }
                let tail = LostTail { epoch, from, to };
                rows::insert_lost(self.db, row.id, &tail).map_err(failed(self.files))
            }
            // Whoever reads the lines looks at it.
            Record::End { .. } => Ok(()),
        }
    }

    fn settle(mut self, epochs: Epochs) -> Result<Moved, StartFault> {
        for row in self.logs.values_mut() {
            // One that was numbered anew has a new epoch already, and shares no number with an old one.
            if epochs == Epochs::Begin && !self.moved.renumbered.contains(&row.log) {
                row.begin_epoch(self.db, None)
                    .map_err(|why| start::epoch_fault(&self.files.database, why))?;
            }
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
            Testimony::Older => self.damage(format!("{head} is of an older version of the program")),
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
            Record::Lost { .. } | Record::End { .. } => {}
        }
    }
}

/// Opens for reading, if there is anything.
fn open(files: &Files) -> Result<Connection, StartFault> {
    match fs::metadata(&files.database) {
        Err(_) => Err(no_store(files)),
        Ok(data) if data.len() == 0 => {
            let seen = "it is empty (0 bytes): whatever put it there was not finished".to_owned();
            Err(refused(&files.database, seen))
        }
        Ok(_) => schema::open_reader(&files.database),
    }
}

fn no_store(files: &Files) -> StartFault {
    let seen = "there is no such file: give the data directory of a server".to_owned();
    refused(&files.database, seen)
}

/// Claims a directory in which there is no store yet.
fn fresh(files: &Files) -> Result<FileLock, StartFault> {
    let lock = files.claim()?;
    if fs::metadata(&files.database).is_ok_and(|data| data.len() > 0) {
        let seen = "there is a store already: give a fresh directory".to_owned();
        return Err(refused(&files.database, seen));
    }
    let testimony = Witness::read(&files.head).map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    start::guard_presence(files, &testimony)?;
    Ok(lock)
}

/// Fills a directory that [`fresh`] has claimed: in a directory within it, whose files are moved out when all of them are
/// complete and on the disk. If that fails nothing of it stays; what a kill leaves is removed by the next run, and a server
/// does not start beside it. The database is moved first: without a head file its conversations begin new epochs.
fn whole_or_nothing<T>(
    files: &Files,
    lock: FileLock,
    fill: impl FnOnce(&Files, FileLock) -> Result<T, StartFault>,
) -> Result<T, StartFault> {
    let io = |file: &Path, why: io::Error| StartFault::Store(io_fault(file, &why));
    let unfinished = &files.unfinished;
    let discard = || match fs::remove_dir_all(unfinished) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(io(unfinished, why)),
        Ok(()) | Err(_) => Ok(()),
    };
    discard()?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(unfinished)
        .map_err(|why| io(unfinished, why))?;
    let held = lock.clone();
    let filled = fill(&Files::new(unfinished), lock).and_then(|filled| {
        let made = Files::new(unfinished);
        for (from, to) in [(&made.database, &files.database), (&made.head, &files.head)] {
            fs::rename(from, to).map_err(|why| io(to, why))?;
            files::sync_dir(&files.dir).map_err(|why| io(&files.dir, why))?;
        }
        Ok(filled)
    });
    let discarded = discard();
    drop(held);
    let filled = filled?;
    discarded?;
    Ok(filled)
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
