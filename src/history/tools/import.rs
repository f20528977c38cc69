//! `plaza history import`: copies an export, or another store, into an empty directory.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead as _},
    path::Path,
};

use rusqlite::{Connection, params};

use super::{
    directory::{failed, lock_fresh, open, refused, whole_or_nothing},
    record::{Moved, Record, parse_names},
    walk::{Visited, visit},
};
use crate::{
    chat::{LostTail, Seq, UserId, UserName},
    history::{
        checkpoint::checkpoint_all,
        fault::{StartFault, io_fault},
        files::{self, Files},
        log::LogId,
        messages::{self, NewEntry},
        names::name_crc,
        read_markers::mark_crc,
        recovery::{self, Epochs},
        rows::{self, LogRow, int},
        settings::Durability,
        store_row::count_commit,
    },
    limits,
    lock::FileLock,
};

/// Imports an export, or the directory of another store. An error leaves the directory empty. Refuses while a server runs there.
///
/// Conversations begin a new epoch, because the original store may have accepted more messages. [`Epochs::Keep`] is for a source
/// that never accepts any again, such as a snapshot of a log that is numbered elsewhere.
pub fn import(dir: &Path, from: &Path, epochs: Epochs) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let lock = lock_fresh(&files)?;
    whole_or_nothing(&files, lock, |files, lock| bring(files, lock, from, epochs))
}

fn bring(files: &Files, lock: FileLock, from: &Path, epochs: Epochs) -> Result<Moved, StartFault> {
    let mut opened = recovery::open_claimed(files, lock, Durability::Fsync, Epochs::Keep)?;
    let store = opened.store;
    let transaction = opened.db.transaction().map_err(failed(files))?;
    let mut importer = Importer {
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
            Visited::Log => {}
            Visited::Damage(what) => left_out.push(what),
            Visited::Record(record) => {
                if broken.is_none() {
                    broken = importer.take(record).err();
                }
            }
        })
        .map_err(StartFault::Store)?;
        broken.map_or(Ok(()), Err)?;
        importer.moved.left_out = left_out;
    } else {
        importer.read(from)?;
    }
    let moved = importer.settle(epochs)?;
    count_commit(&transaction, store, opened.commits + 1).map_err(failed(files))?;
    transaction.commit().map_err(failed(files))?;
    checkpoint_all(&opened.db).map_err(failed(files))?;
    let stopped = opened.marker.stop(opened.commits + 1);
    stopped.map_err(|why| StartFault::Store(io_fault(&files.head, &why)))?;
    Ok(moved)
}

struct Importer<'a> {
    db: &'a Connection,
    files: &'a Files,
    logs: HashMap<LogId, LogRow>,
    moved: Moved,
}

impl Importer<'_> {
    /// Reads an export, and refuses one without its last line, which is incomplete.
    fn read(&mut self, from: &Path) -> Result<(), StartFault> {
        let io = |why| StartFault::Io {
            file: from.to_owned(),
            why,
        };
        let (mut end, mut lines) = (None, 0);
        // Splits bytes, not text, so that the error for a truncated character can name its line.
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
                Record::End { messages, others } => end = Some((messages, others)),
                record => self.take(record)?,
            }
        }
        let (messages, others) = (self.moved.messages, self.moved.others);
        let seen = match end {
            Some(end) if end == (messages, others) => return Ok(()),
            Some((all_messages, all_others)) => format!(
                "its last line says {all_messages} messages and {all_others} read markers and names, and {messages} and {others} are there: \
                 lines are missing"
            ),
            None => format!(
                "after line {lines} the last one is missing: the export was not finished. Export again; if there is nothing to export \
                 from any more, add the line {{\"end\":{{\"messages\":{messages},\"others\":{others}}}}}"
            ),
        };
        Err(refused(from, seen))
    }

    fn take(&mut self, record: Record) -> Result<(), StartFault> {
        self.moved.count(&record);
        let told = |seen: String| refused(&self.files.database, seen);
        match record {
            Record::Message {
                log,
                epoch,
                seq,
                prev,
                at,
                from,
                user,
                session,
                kind,
                text,
            } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let from = UserName::parse(&from).map_err(|why| told(why.to_string()))?;
                let user = match user {
                    Some(user) => {
                        UserId::from_stored(&user).ok_or_else(|| told(format!("{user:?} is the id of no user")))?
                    }
                    None => UserId::of_name(&from),
                };
                let is_sane = messages::parse_kind(kind).is_some();
                let entry = NewEntry {
                    user: from.as_str(),
                    sender: user.stored_beside(&from),
                    session,
                    kind,
                    text: &text,
                    key: None,
                };
                self.append(log, epoch, (seq, prev, at), entry, is_sane)
            }
            Record::Entry {
                log,
                epoch,
                seq,
                prev,
                at,
                kind,
                content,
            } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let entry = NewEntry {
                    user: "",
                    sender: None,
                    session: 0,
                    kind,
                    text: &content,
                    key: None,
                };
                self.append(log, epoch, (seq, prev, at), entry, !messages::is_message(kind))
            }
            Record::Read { log, user, seq } => {
                let log = parse_names(&log).ok_or_else(|| told(format!("{log:?} names no log")))?;
                let Some(row) = self.logs.get(&log) else { return Ok(()) };
                let seq = int(seq.min(row.last));
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
            // The caller checks this line.
            Record::End { .. } => Ok(()),
        }
    }

    fn append(
        &mut self,
        log: LogId,
        epoch: u64,
        (seq, prev, at): (Seq, Option<Seq>, u64),
        entry: NewEntry<&str>,
        is_sane: bool,
    ) -> Result<(), StartFault> {
        let prev = prev.unwrap_or(seq.saturating_sub(1));
        if !is_sane || entry.text.len() > limits::TEXT_BYTES || seq <= prev || seq >= limits::HISTORY_LOG_MESSAGES {
            let seen = format!("message {seq} of {log} has a kind, number or length that none can have");
            return Err(refused(&self.files.database, seen));
        }
        if !self.logs.contains_key(&log) {
            let mut row = LogRow {
                id: 0,
                log: log.clone(),
                epoch,
                head: prev,
                first: prev + 1,
                base: 0,
                sum: 0,
                at: 0,
                ordinal: 0,
                last: prev,
            };
            row.insert(self.db).map_err(failed(self.files))?;
            self.logs.insert(log.clone(), row);
        }
        let Some(row) = self.logs.get_mut(&log) else {
            return Ok(());
        };
        let mut renumber = self.moved.renumbered.contains(&log);
        if prev != row.head && !renumber {
            renumber = true;
            self.moved.renumbered.push(log);
            row.epoch = files::new_epoch().map_err(StartFault::no_random)?;
        }
        let seq = if renumber { row.head + 1 } else { seq };
        let entry = entry.append_to(row, seq, at);
        messages::write_messages(self.db, &[(row.id, entry)]).map_err(failed(self.files))
    }

    fn settle(mut self, epochs: Epochs) -> Result<Moved, StartFault> {
        for row in self.logs.values_mut() {
            // A renumbered log already has a new epoch, and shares no number with an old one.
            if epochs == Epochs::Begin && !self.moved.renumbered.contains(&row.log) {
                row.begin_epoch(self.db, &self.files.database, None)?;
            }
            row.update(self.db).map_err(failed(self.files))?;
        }
        Ok(self.moved)
    }
}
