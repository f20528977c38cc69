//! The one thread that writes: takes whatever is waiting, numbers and commits it, and then says so.

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    Answer, Append, Ask, Claim, Deliver, LogId, Outcome, Settings, Shared, StoreFault, Write,
    files::{self, Files},
    rows::{self, Checksum, LogRow, int},
    schema::{fault, io_fault},
    start::{self, Opened},
    stats::bump,
    upkeep::Upkeep,
    witness::Witness,
};
use crate::{
    chat::{Key, Position, Seq, UserName},
    limits,
};

/// The writer, between two batches.
pub(crate) struct Writer<T> {
    shared: Arc<Shared<T>>,
    deliver: Arc<dyn Deliver<T>>,
    files: Files,
    settings: Settings,
    db: Connection,
    witness: Option<Witness>,
    store: u64,
    commits: u64,
    /// Where logs stand. One that was touched by a failed commit is forgotten and read again.
    heads: HashMap<LogId, LogRow>,
    /// Logs that made a commit fail because the database is damaged there; only a restart looks again.
    quarantine: HashMap<LogId, StoreFault>,
    upkeep: Upkeep,
    witness_failed: bool,
    /// Held as long as the store is open.
    _lock: File,
}

/// What a batch will amount to once it is committed.
enum Plan {
    Commit {
        position: Position,
        at: u64,
    },
    Duplicate {
        position: Position,
        at: u64,
    },
    Conflict,
    Answer(Answer),
    /// Committed; a reader counts what is unread.
    Marked,
    Fault(StoreFault),
}

/// Why a batch was rolled back.
enum Failure {
    /// All of it failed.
    Whole(StoreFault),
    /// The database is damaged in this log; the rest may be tried again.
    In(LogId, StoreFault),
}

impl<T: Send + 'static> Writer<T> {
    pub(crate) fn new(
        shared: Arc<Shared<T>>,
        deliver: Arc<dyn Deliver<T>>,
        files: Files,
        settings: Settings,
        opened: Opened,
    ) -> Self {
        Self {
            shared,
            deliver,
            upkeep: Upkeep::new(&settings),
            files,
            settings,
            db: opened.db,
            witness: Some(opened.witness),
            store: opened.store,
            commits: opened.commits,
            heads: HashMap::new(),
            quarantine: HashMap::new(),
            witness_failed: false,
            _lock: opened.lock,
        }
    }

    /// Runs until the queue is closed and empty, and leaves a store that was stopped cleanly.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::with_capacity(limits::HISTORY_BATCH);
        let mut looked = Instant::now();
        let mut failing = false;
        loop {
            while batch.len() < limits::HISTORY_BATCH
                && let Some(write) = self.shared.writes.pop()
            {
                batch.push(write);
            }
            if batch.is_empty() && self.shared.writes.is_closed() {
                break;
            }
            // A failing store is tried with an empty commit, so that health tells the truth while nobody talks.
            let probe = failing && batch.is_empty();
            if !batch.is_empty() || probe || self.upkeep.is_due() {
                failing = !self.commit(std::mem::take(&mut batch), probe);
                self.checkpoint();
            }
            if looked.elapsed() >= DISK_LOOK {
                looked = Instant::now();
                self.shared
                    .stats
                    .disk_bytes
                    .store(self.files.bytes(), Ordering::Relaxed);
            }
            let rest = if failing {
                limits::HISTORY_PROBE
            } else {
                self.upkeep.rest().min(DISK_LOOK)
            };
            if self.shared.writes.len() == 0 && !rest.is_zero() {
                self.shared.writes.wait(0, rest);
            }
        }
        self.stop();
    }

    /// Commits a batch and delivers its outcomes. Says whether the store is well.
    fn commit(&mut self, batch: Vec<Write<T>>, probe: bool) -> bool {
        let begun = Instant::now();
        let tried = loop {
            match self.transact(&batch, probe) {
                Ok(done) => break Ok(done),
                Err(Failure::In(log, fault)) => {
                    tracing::error!(%log, %fault, "the log is out of service until the next start");
                    self.heads.clear();
                    self.quarantine.insert(log, fault);
                }
                Err(Failure::Whole(fault)) => break Err(fault),
            }
        };
        let shared = Arc::clone(&self.shared);
        let stats = &shared.stats;
        let (plans, well) = match tried {
            Ok((plans, touched)) => {
                if let Some(touched) = touched {
                    self.commits += 1;
                    self.bear_witness(&touched);
                    for (log, _) in &touched {
                        self.shared.fresh.note(*log);
                    }
                }
                self.shared.faults.writer(None);
                let talks = plans.iter().filter(|plan| matches!(plan, Plan::Commit { .. })).count() as u64;
                if !batch.is_empty() {
                    stats.committed(talks, begun.elapsed());
                }
                (plans, true)
            }
            Err(fault) => {
                stats.failed_commits.fetch_add(1, Ordering::Relaxed);
                self.heads.clear();
                self.upkeep.commit_failed();
                tracing::error!(%fault, "a commit failed");
                self.shared.faults.writer(Some(fault.clone()));
                (batch.iter().map(|_| Plan::Fault(fault.clone())).collect(), false)
            }
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        for (write, plan) in batch.into_iter().zip(plans) {
            outcomes.extend(self.outcome(write, plan));
        }
        if !outcomes.is_empty() {
            self.deliver.deliver(outcomes);
        }
        well
    }

    /// One transaction. `None` for the touched logs where nothing was written.
    #[allow(clippy::type_complexity)] // said here once
    fn transact(&mut self, batch: &[Write<T>], probe: bool) -> Result<(Vec<Plan>, Option<Vec<(u32, Seq)>>), Failure> {
        let db = &self.db;
        let file = self.files.database.as_path();
        let whole = |why: rusqlite::Error| Failure::Whole(fault(file, &why));
        if self.heads.len() > limits::HISTORY_HEADS {
            self.heads.clear();
        }
        let transaction = db.unchecked_transaction().map_err(whole)?;
        let mut work = Work {
            db,
            file,
            heads: &mut self.heads,
            quarantine: &self.quarantine,
            touched: HashMap::new(),
            wrote: probe,
        };
        let mut plans = Vec::with_capacity(batch.len());
        for write in batch {
            plans.push(work.plan(write)?);
        }
        work.settle().map_err(whole)?;
        let mut touched: Vec<(u32, Seq)> = work.touched.values().copied().collect();
        let mut wrote = work.wrote || !touched.is_empty();
        // Retention rides along: no sync of its own while there are talks to commit.
        match self.upkeep.step(db, file, &self.settings, now(), &mut self.heads) {
            Ok(slice) => {
                wrote |= slice.wrote;
                touched.extend(slice.touched);
                self.shared.stats.retired.fetch_add(slice.retired, Ordering::Relaxed);
            }
            Err(fault @ StoreFault::Damaged { .. }) => {
                tracing::error!(%fault, "retention leaves out a damaged log");
                self.shared.faults.beside(Some(fault));
            }
            Err(fault) => return Err(Failure::Whole(fault)),
        }
        if !wrote {
            return Ok((plans, None)); // nothing to keep: the transaction is rolled back when dropped
        }
        start::count_commit(db, self.store, self.commits + 1).map_err(whole)?;
        transaction.commit().map_err(whole)?;
        Ok((plans, Some(touched)))
    }

    /// The commit is durable; what is missing is the entry that notices if its tail is damaged later. If the entry cannot
    /// be written the talks are stored all the same, so they are acknowledged, and health says what is wrong.
    fn bear_witness(&mut self, touched: &[(u32, Seq)]) {
        let Some(witness) = &mut self.witness else { return };
        match witness.remember(self.commits, touched) {
            Ok(()) if self.witness_failed => {
                self.witness_failed = false;
                self.shared.faults.beside(None);
            }
            Ok(()) => {}
            Err(why) => {
                self.witness_failed = true;
                let fault = io_fault(&self.files.head, &why);
                tracing::error!(%fault, "the head file was not written");
                self.shared.faults.beside(Some(fault));
            }
        }
    }

    fn outcome(&self, write: Write<T>, plan: Plan) -> Option<Outcome<T>> {
        let stats = &self.shared.stats;
        match (write, plan) {
            (Write::Append(append), Plan::Commit { position, at }) => Some(Outcome::Committed {
                append,
                position,
                prev: position.seq - 1,
                at,
            }),
            (Write::Append(append), Plan::Duplicate { position, at }) => {
                bump(Some(&stats.duplicates), 1);
                Some(Outcome::Duplicate { append, position, at })
            }
            (Write::Append(append), Plan::Conflict) => Some(Outcome::KeyConflict { append }),
            (Write::Append(append), Plan::Fault(why)) => {
                bump(Some(&stats.failed), 1);
                Some(Outcome::Failed { append, why })
            }
            (Write::Ask(_, ticket), Plan::Answer(answer)) => Some(Outcome::Answered { ticket, answer }),
            (Write::Ask(ask, ticket), Plan::Fault(why)) => {
                bump(Some(&stats.unanswered), 1);
                Some(Outcome::Unanswered { ticket, ask, why })
            }
            (Write::Ask(ask, ticket), Plan::Marked) => {
                let count = match ask {
                    Ask::Mark { log, user, .. } => Ask::MarkOf { log, user },
                    other => other,
                };
                self.shared.reads.push((count, ticket)).err().map(|(ask, ticket)| {
                    bump(Some(&stats.unanswered), 1);
                    let seen = format!("the position is kept; {} questions wait already", limits::HISTORY_ASKS);
                    let why = StoreFault::Refused { seen };
                    Outcome::Unanswered { ticket, ask, why }
                })
            }
            // A plan is made from its write; these pairs are never made.
            (Write::Append(append), Plan::Answer(_) | Plan::Marked) => Some(Outcome::Failed {
                append,
                why: StoreFault::Stopping,
            }),
            (Write::Ask(ask, ticket), Plan::Commit { .. } | Plan::Duplicate { .. } | Plan::Conflict) => {
                let why = StoreFault::Stopping;
                Some(Outcome::Unanswered { ticket, ask, why })
            }
        }
    }

    /// Copies the write-ahead log into the database when it has grown.
    fn checkpoint(&mut self) {
        match self.upkeep.checkpoint(&self.db) {
            Ok(None) => {}
            Ok(Some(complete)) => {
                bump(Some(&self.shared.stats.checkpoints), 1);
                if complete
                    && let Some(witness) = &mut self.witness
                    && let Err(why) = witness.checkpointed(self.commits)
                {
                    self.shared.faults.beside(Some(io_fault(&self.files.head, &why)));
                }
            }
            Err(why) => self.shared.faults.beside(Some(fault(&self.files.database, &why))),
        }
    }

    fn stop(mut self) {
        let stopped = start::checkpoint_all(&self.db)
            .map_err(|why| fault(&self.files.database, &why))
            .and_then(|()| match self.witness.take() {
                Some(witness) => witness
                    .stop(self.commits)
                    .map_err(|why| io_fault(&self.files.head, &why)),
                None => Ok(()),
            });
        if let Err(fault) = stopped {
            tracing::error!(%fault, "the store was not closed cleanly; the next start looks closely");
        }
    }
}

/// A transaction being filled.
struct Work<'w> {
    db: &'w Connection,
    file: &'w Path,
    heads: &'w mut HashMap<LogId, LogRow>,
    quarantine: &'w HashMap<LogId, StoreFault>,
    /// Logs with new talks: id and head.
    touched: HashMap<LogId, (u32, Seq)>,
    /// Something else than talks was written.
    wrote: bool,
}

impl Work<'_> {
    fn plan<T>(&mut self, write: &Write<T>) -> Result<Plan, Failure> {
        match write {
            Write::Append(append) => self.append(append),
            Write::Ask(Ask::Mark { log, user, seq }, _) => self.mark(log, user, *seq),
            Write::Ask(Ask::Claim { user, key }, _) => self.claim(user, key.as_deref()),
            Write::Ask(
                Ask::Head(_) | Ask::Page { .. } | Ask::Search { .. } | Ask::MarkOf { .. } | Ask::Conversations { .. },
                _,
            ) => Ok(Plan::Fault(StoreFault::Refused {
                seen: "the writer does not read".to_owned(),
            })),
        }
    }

    fn append<T>(&mut self, append: &Append<T>) -> Result<Plan, Failure> {
        if let Some(why) = self.quarantine.get(&append.log) {
            return Ok(Plan::Fault(why.clone()));
        }
        if append.text.len() > limits::TEXT_BYTES {
            let seen = format!(
                "the text has {} bytes; {} are allowed",
                append.text.len(),
                limits::TEXT_BYTES
            );
            return Ok(Plan::Fault(StoreFault::Refused { seen }));
        }
        let found = match self.heads.remove(&append.log) {
            Some(row) => Some(row),
            None => match LogRow::find(self.db, self.file, &append.log) {
                Ok(row) => row,
                Err(why) => return Ok(Plan::Fault(why)),
            },
        };
        let failed = |why: rusqlite::Error| -> Failure {
            match fault(self.file, &why) {
                why @ StoreFault::Damaged { .. } => Failure::In(append.log.clone(), why),
                why => Failure::Whole(why),
            }
        };
        let mut row = match found {
            Some(row) => row,
            None => self.begin_log(&append.log).map_err(failed)?,
        };
        let seq = row.head + 1;
        let at = append.at.max(row.at);
        if seq >= limits::HISTORY_LOG_TALKS {
            let seen = format!("the log holds {seq} talks, which is all it can");
            self.heads.insert(append.log.clone(), row);
            return Ok(Plan::Fault(StoreFault::Refused { seen }));
        }
        if let Some(key) = &append.key {
            match self.first_copy(&row, append, key, seq, at) {
                Ok(None) => {}
                Ok(Some(plan)) => {
                    self.heads.insert(append.log.clone(), row);
                    return Ok(plan);
                }
                Err(why) => return Err(failed(why)),
            }
        }
        let user = append.from.as_str();
        let sum = row.sum + rows::cost(user, &append.text);
        let kind = rows::kind_number(append.kind);
        rows::insert_message(
            self.db,
            row.id,
            seq,
            at,
            user,
            append.session.0,
            kind,
            &append.text,
            sum,
        )
        .map_err(failed)?;
        row.head = seq;
        row.sum = sum;
        row.at = at;
        let position = Position { epoch: row.epoch, seq };
        self.touched.insert(append.log.clone(), (row.id, seq));
        self.heads.insert(append.log.clone(), row);
        Ok(Plan::Commit { position, at })
    }

    /// Remembers the key, or finds the copy that it was first used for: stored, or earlier in this very batch.
    fn first_copy<T>(
        &self,
        row: &LogRow,
        append: &Append<T>,
        key: &Key,
        seq: Seq,
        at: u64,
    ) -> rusqlite::Result<Option<Plan>> {
        let user = append.from.as_str();
        let digest = i64::from(
            Checksum::default()
                .text(&append.text)
                .number(rows::kind_number(append.kind))
                .finish(),
        );
        let crc = |seq, at, digest| idem_crc(row.id, user, key, seq, at, digest);
        let fresh = self
            .db
            .prepare_cached(
                "INSERT OR IGNORE INTO idem (log, user, key, seq, at, digest, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                row.id,
                user,
                &**key,
                int(seq),
                int(at),
                digest,
                crc(int(seq), int(at), digest)
            ])?;
        if fresh == 1 {
            return Ok(None);
        }
        let (first, first_at, known, sum): (i64, i64, i64, u32) = self
            .db
            .prepare_cached("SELECT seq, at, digest, crc FROM idem WHERE log = ?1 AND user = ?2 AND key = ?3")?
            .query_row(params![row.id, user, &**key], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        if sum != crc(first, first_at, known) {
            return Ok(Some(Plan::Fault(StoreFault::Damaged {
                file: self.file.to_owned(),
                log: Some(append.log.clone()),
                seq: None,
                seen: "a row of table idem does not match its checksum".to_owned(),
            })));
        }
        if known != digest {
            return Ok(Some(Plan::Conflict));
        }
        let position = Position {
            epoch: row.epoch,
            seq: first.cast_unsigned(),
        };
        let at = first_at.cast_unsigned();
        Ok(Some(Plan::Duplicate { position, at }))
    }

    fn begin_log(&mut self, log: &LogId) -> rusqlite::Result<LogRow> {
        let mut row = LogRow {
            id: 0,
            log: log.clone(),
            epoch: files::new_epoch().map_err(|why| rusqlite::Error::ToSqlConversionFailure(Box::new(why)))?,
            head: 0,
            first: 1,
            base: 0,
            sum: 0,
            at: 0,
        };
        row.insert(self.db)?;
        self.wrote = true;
        Ok(row)
    }

    fn mark(&mut self, log: &LogId, user: &UserName, seq: Seq) -> Result<Plan, Failure> {
        let whole = |why: rusqlite::Error| Failure::Whole(fault(self.file, &why));
        let found = match self.heads.get(log) {
            Some(row) => Some(row.clone()),
            None => match LogRow::find(self.db, self.file, log) {
                Ok(row) => row,
                Err(why) => return Ok(Plan::Fault(why)),
            },
        };
        let Some(row) = found else {
            return Ok(Plan::Marked); // nothing was ever said there: the position is 0 and stays it
        };
        let seq = int(seq.min(row.head));
        let crc = mark_crc(user.as_str(), row.id, seq);
        let changed = self
            .db
            .prepare_cached(
                "INSERT INTO mark (user, log, seq, crc) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (user, log) DO UPDATE SET seq = excluded.seq, crc = excluded.crc WHERE seq < excluded.seq",
            )
            .and_then(|mut upsert| upsert.execute(params![user.as_str(), row.id, seq, crc]))
            .map_err(whole)?;
        self.wrote |= changed > 0;
        Ok(Plan::Marked)
    }

    fn claim(&mut self, user: &UserName, key: Option<&str>) -> Result<Plan, Failure> {
        let whole = |why: rusqlite::Error| Failure::Whole(fault(self.file, &why));
        let name = user.as_str();
        let known = self
            .db
            .prepare_cached("SELECT hash, crc FROM name WHERE user = ?1")
            .and_then(|mut select| {
                select
                    .query_row([name], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, u32>(1)?)))
                    .optional()
            })
            .map_err(whole)?;
        let claim = match known {
            None => {
                let bytes: [u8; 16] = files::random().map_err(|why| {
                    Failure::Whole(StoreFault::Broken {
                        file: "/dev/urandom".into(),
                        seen: why.to_string(),
                    })
                })?;
                let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let hash = Sha256::digest(key.as_bytes());
                self.db
                    .prepare_cached("INSERT INTO name (user, hash, crc) VALUES (?1, ?2, ?3)")
                    .and_then(|mut insert| insert.execute(params![name, hash.as_slice(), name_crc(name, &hash)]))
                    .map_err(whole)?;
                self.wrote = true;
                Claim::First { key }
            }
            Some((hash, crc)) if crc != name_crc(name, &hash) => {
                return Ok(Plan::Fault(StoreFault::Damaged {
                    file: self.file.to_owned(),
                    log: None,
                    seq: None,
                    seen: format!("the row of {name:?} in table name does not match its checksum"),
                }));
            }
            // Hashes are compared, of keys with 128 random bits: how long it takes says nothing about the key.
            Some((hash, _)) if key.is_some_and(|key| Sha256::digest(key.as_bytes()).as_slice() == hash) => Claim::Held,
            Some(_) => {
                let mail = self
                    .db
                    .prepare_cached("SELECT 1 FROM pair WHERE user = ?1 LIMIT 1")
                    .and_then(|mut select| select.exists([name]))
                    .map_err(whole)?;
                Claim::Other { mail }
            }
        };
        let user = user.clone();
        Ok(Plan::Answer(Answer::Name { user, claim }))
    }

    /// Writes where the touched logs stand now.
    fn settle(&self) -> rusqlite::Result<()> {
        for log in self.touched.keys() {
            if let Some(row) = self.heads.get(log) {
                row.update(self.db)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn idem_crc(log: u32, user: &str, key: &str, seq: i64, at: i64, digest: i64) -> u32 {
    Checksum::default()
        .number(i64::from(log))
        .text(user)
        .text(key)
        .number(seq)
        .number(at)
        .number(digest)
        .finish()
}

pub(crate) fn mark_crc(user: &str, log: u32, seq: i64) -> u32 {
    Checksum::default()
        .text(user)
        .number(i64::from(log))
        .number(seq)
        .finish()
}

pub(crate) fn name_crc(user: &str, hash: &[u8]) -> u32 {
    Checksum::default().text(user).bytes(hash).finish()
}

/// Unix milliseconds.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How often the files' sizes are looked at.
const DISK_LOOK: Duration = Duration::from_secs(1);
