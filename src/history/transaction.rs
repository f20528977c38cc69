//! One transaction of the writer: numbers messages, writes them, and plans the outcome of each request.
//!
//! A plan becomes an outcome when the transaction is committed, and never before. A request that fails on its own is a
//! [`Plan::Fault`] and leaves no trace; anything else that fails rolls back the whole transaction, and its numbers are given again.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
};

use rusqlite::Connection;

use super::{
    claims::Claims,
    fault::{StoreFault, fault},
    files,
    idempotency::{self, Known},
    log::LogId,
    messages::{self, FreshMessage},
    names,
    outcome::{Answer, Claim},
    read_markers,
    request::{Append, Ask, Bearer, NameKey},
    rows::{Heads, LogRow},
    shared::Write,
};
use crate::{
    chat::{Position, Seq, UserName},
    limits,
};

/// A transaction being filled.
pub(crate) struct Transaction<'w> {
    pub(crate) db: &'w Connection,
    pub(crate) file: &'w Path,
    pub(crate) heads: &'w mut Heads,
    pub(crate) quarantine: &'w HashMap<LogId, StoreFault>,
    /// Logs with new talks.
    touched: foldhash::HashMap<u32, LogId>,
    /// Something else than talks was written.
    pub(crate) wrote: bool,
    claims: &'w Claims,
    /// Names that this transaction claims.
    pub(crate) claimed: Vec<UserName>,
}

impl<'w> Transaction<'w> {
    pub(crate) fn new(
        db: &'w Connection,
        file: &'w Path,
        heads: &'w mut Heads,
        quarantine: &'w HashMap<LogId, StoreFault>,
        claims: &'w Claims,
    ) -> Self {
        Self {
            db,
            file,
            heads,
            quarantine,
            touched: Default::default(),
            wrote: false,
            claims,
            claimed: Vec::new(),
        }
    }

    /// Numbers these, writes them, and says what each amounts to.
    pub(crate) fn take<T>(&mut self, writes: &[Write<T>], plans: &mut Vec<Plan>) -> Result<(), Failure> {
        let mut fresh = Vec::with_capacity(writes.len());
        for write in writes {
            plans.push(self.plan(write, &mut fresh)?);
        }
        self.insert(&mut fresh)
    }

    fn plan<'b, T>(&mut self, write: &'b Write<T>, fresh: &mut Vec<FreshMessage<'b>>) -> Result<Plan, Failure> {
        match write {
            Write::Append(append) => self.append(append, fresh),
            Write::Ask(Ask::Mark { log, user, seq, bearer }, _) => self.mark(log, user, *seq, *bearer),
            Write::Ask(Ask::Claim { user, key }, _) => self.claim(user, key),
            Write::Ask(
                Ask::Head(_)
                | Ask::Page { .. }
                | Ask::Search { .. }
                | Ask::MarkOf { .. }
                | Ask::Resume { .. }
                | Ask::Conversations { .. }
                | Ask::Direct { .. }
                | Ask::Changed { .. },
                _,
            ) => Ok(Plan::Fault(StoreFault::Refused {
                seen: "the writer does not read".to_owned(),
            })),
        }
    }

    /// Numbers a talk; its message joins those that are to be written.
    fn append<'b, T>(&mut self, append: &'b Append<T>, fresh: &mut Vec<FreshMessage<'b>>) -> Result<Plan, Failure> {
        if !self.quarantine.is_empty()
            && let Some(why) = self.quarantine.get(&append.log)
        {
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
        let (db, file) = (self.db, self.file);
        let failed = |why: rusqlite::Error| in_log(file, &append.log, &why);
        let row = match self.heads.entry(append.log.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let row = match LogRow::find(db, file, &append.log) {
                    Ok(Some(row)) => row,
                    Ok(None) => {
                        let row = begin_log(db, &append.log).map_err(failed)?;
                        self.wrote = true;
                        row
                    }
                    Err(why) => return Ok(Plan::Fault(why)),
                };
                unknown.insert(row)
            }
        };
        let seq = row.head + 1;
        let at = append.at.max(row.at);
        if seq >= limits::HISTORY_LOG_TALKS {
            let seen = format!("the log holds {seq} talks, which is all it can");
            return Ok(Plan::Fault(StoreFault::Refused { seen }));
        }
        if let Some(key) = &append.key {
            match idempotency::remember(db, file, row, append, key, seq, at).map_err(failed)? {
                Known::New => {}
                Known::Same { position, at } => return Ok(Plan::Duplicate { position, at }),
                Known::Other => return Ok(Plan::Conflict),
                Known::Unreadable(fault) => return Ok(Plan::Fault(fault)),
            }
        }
        let user = append.from.as_str();
        let sum = row.sum + messages::cost(user, &append.text);
        let message = FreshMessage {
            log: row.id,
            seq,
            at,
            user,
            session: append.session.0,
            kind: messages::kind_number(append.kind),
            text: &append.text,
            sum,
        };
        fresh.push(message);
        row.head = seq;
        row.sum = sum;
        row.at = at;
        self.touched.entry(row.id).or_insert_with(|| append.log.clone());
        let position = Position { epoch: row.epoch, seq };
        Ok(Plan::Commit { position, at })
    }

    fn mark(&mut self, log: &LogId, user: &UserName, seq: Seq, bearer: Bearer) -> Result<Plan, Failure> {
        let whole = |why: rusqlite::Error| Failure::Whole(Box::new(fault(self.file, &why)));
        if bearer == Bearer::Name && names::has_key(self.db, user).map_err(whole)? {
            return Ok(Plan::Marked);
        }
        let found = match self.heads.get(log) {
            Some(row) => Some(row.clone()),
            None => match LogRow::find(self.db, self.file, log) {
                Ok(row) => row,
                Err(why) => return Ok(Plan::Fault(why)),
            },
        };
        // In a log without a message the marker is 0 and stays there.
        if let Some(row) = found {
            self.wrote |= read_markers::advance(self.db, &row, user, seq).map_err(whole)?;
        }
        Ok(Plan::Marked)
    }

    fn claim(&mut self, user: &UserName, key: &NameKey) -> Result<Plan, Failure> {
        let claimed = self.claims.count() + self.claimed.len();
        match names::claim(self.db, self.file, user, key, claimed) {
            Ok(claim) => {
                if claim == Claim::First {
                    self.wrote = true;
                    self.claimed.push(user.clone());
                }
                let user = user.clone();
                Ok(Plan::Answer(Answer::Name { user, claim }))
            }
            Err(why @ (StoreFault::Refused { .. } | StoreFault::Damaged { .. })) => Ok(Plan::Fault(why)),
            Err(why) => Err(Failure::Whole(Box::new(why))),
        }
    }

    /// Writes new talks, log by log, so that it is known in which one the database is damaged.
    fn insert(&self, fresh: &mut [FreshMessage<'_>]) -> Result<(), Failure> {
        fresh.sort_by_key(|message| message.log);
        for messages in fresh.chunk_by(|one, next| one.log == next.log) {
            if let Err(why) = messages::write_messages(self.db, messages) {
                let log = messages.first().and_then(|message| self.touched.get(&message.log));
                return Err(log.map_or_else(
                    || Failure::Whole(Box::new(fault(self.file, &why))),
                    |log| in_log(self.file, log, &why),
                ));
            }
        }
        Ok(())
    }

    /// Writes where the touched logs stand now: id and head of each.
    pub(crate) fn settle(&self) -> Result<Vec<(u32, Seq)>, Failure> {
        let mut touched = Vec::with_capacity(self.touched.len());
        for (id, log) in &self.touched {
            if let Some(row) = self.heads.get(log) {
                row.update(self.db)
                    .map_err(|why| Failure::Whole(Box::new(fault(self.file, &why))))?;
                touched.push((*id, row.head));
            }
        }
        Ok(touched)
    }
}

/// What a batch will amount to once it is committed.
pub(crate) enum Plan {
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
pub(crate) enum Failure {
    /// All of it failed.
    Whole(Box<StoreFault>),
    /// The database is damaged in this log; the rest may be tried again.
    In(LogId, Box<StoreFault>),
}

/// What SQLite said of a log.
fn in_log(file: &Path, log: &LogId, why: &rusqlite::Error) -> Failure {
    match fault(file, why) {
        why @ StoreFault::Damaged { .. } => Failure::In(log.clone(), Box::new(why)),
        why => Failure::Whole(Box::new(why)),
    }
}

fn begin_log(db: &Connection, log: &LogId) -> rusqlite::Result<LogRow> {
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
    row.insert(db)?;
    Ok(row)
}
