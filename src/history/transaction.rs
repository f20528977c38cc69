//! One transaction of the writer: it numbers messages, writes them, and plans the outcome of each request.
//!
//! The writer turns the plans into outcomes after the commit, and never before. A request that fails on its own is a [`Plan::Fault`] and
//! leaves no trace. Any other failure rolls back the whole transaction, and the next transaction uses its numbers again.

use std::{collections::HashMap, path::Path};

use rusqlite::Connection;

use super::{
    claims::Claims,
    fault::{StoreFault, fault, io_fault},
    files,
    idempotency::{BLOCK, Known, LiveKeys, Tables},
    log::LogId,
    messages::{self, MessageRow, NewEntry},
    names,
    outcome::{Answer, Claim},
    read_markers,
    request::{Append, Credential, NameKey, Query},
    rows::LogRow,
    shared::Write,
    table_cache::TableCache,
};
use crate::{
    chat::{Position, Seq, UserId, UserName},
    limits,
};

/// A new row of table `message`, and the id of its log.
type NewRow<'m> = (u32, MessageRow<&'m str>);

/// What numbering adds to an entry. Numbering is separate from applying, so entries may also be numbered elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    pub(crate) seq: Seq,
    pub(crate) at: u64,
    /// The epoch of the log, if this entry is its first.
    pub(crate) epoch: u64,
}

pub(crate) struct Transaction<'w> {
    pub(crate) db: &'w Connection,
    pub(crate) file: &'w Path,
    pub(crate) cache: &'w mut TableCache,
    pub(crate) quarantine: &'w HashMap<LogId, StoreFault>,
    /// Logs with new messages.
    touched: foldhash::HashMap<u32, LogId>,
    /// Whether the transaction wrote anything besides messages.
    pub(crate) wrote: bool,
    claims: &'w Claims,
    numbering: fn(Seq) -> Seq,
    live: LiveKeys,
    /// Names that this transaction claims.
    pub(crate) claimed: Vec<UserName>,
}

impl<'w> Transaction<'w> {
    pub(crate) fn new(
        db: &'w Connection,
        file: &'w Path,
        cache: &'w mut TableCache,
        quarantine: &'w HashMap<LogId, StoreFault>,
        claims: &'w Claims,
        numbering: fn(Seq) -> Seq,
        live: LiveKeys,
    ) -> Self {
        Self {
            db,
            file,
            cache,
            quarantine,
            touched: Default::default(),
            wrote: false,
            claims,
            numbering,
            live,
            claimed: Vec::new(),
        }
    }

    /// Applies requests and adds the plan of each.
    pub(crate) fn take<T>(&mut self, writes: &[Write<T>], plans: &mut Vec<Plan>) -> Result<(), Failure> {
        let mut rows = Vec::with_capacity(writes.len());
        for write in writes {
            plans.push(self.plan(write, &mut rows)?);
        }
        self.insert(&mut rows)
    }

    fn plan<'b, T>(&mut self, write: &'b Write<T>, rows: &mut Vec<NewRow<'b>>) -> Result<Plan, Failure> {
        match write {
            Write::Append(append) => self.append(append, rows),
            Write::Query(
                Query::AdvanceMarker {
                    log,
                    user,
                    seq,
                    credential,
                },
                _,
            ) => self.mark(log, user, *seq, *credential),
            Write::Query(Query::Claim { name, key }, _) => self.claim(name, key),
            Write::Query(
                Query::Head(_)
                | Query::Page { .. }
                | Query::Search { .. }
                | Query::ReadMarker { .. }
                | Query::Resume { .. }
                | Query::Conversations { .. }
                | Query::Direct { .. }
                | Query::Changed { .. },
                _,
            ) => Ok(Plan::Fault(StoreFault::Refused {
                seen: "the writer does not read".to_owned(),
            })),
        }
    }

    fn append<'b, T>(&mut self, append: &'b Append<T>, rows: &mut Vec<NewRow<'b>>) -> Result<Plan, Failure> {
        if !self.quarantine.is_empty()
            && let Some(why) = self.quarantine.get(&append.log)
        {
            return Ok(Plan::Fault(why.clone()));
        }
        if append.message.text.len() > limits::TEXT_BYTES {
            let seen = format!(
                "the text has {} bytes; {} are allowed",
                append.message.text.len(),
                limits::TEXT_BYTES
            );
            return Ok(Plan::Fault(StoreFault::Refused { seen }));
        }
        let (head, epoch) = match self.row(&append.log) {
            Ok(Some(row)) => (row.head, row.epoch),
            Ok(None) => (0, new_epoch()?),
            Err(why) => return Ok(Plan::Fault(why)),
        };
        let seq = (self.numbering)(head);
        if seq >= limits::HISTORY_LOG_MESSAGES {
            let seen = format!(
                "the next number of the log would be {seq}, and {} is the largest",
                limits::HISTORY_LOG_MESSAGES - 1
            );
            return Ok(Plan::Fault(StoreFault::Refused { seen }));
        }
        let at = append.at;
        self.apply(append, Numbered { seq, at, epoch }, rows)
    }

    /// Appends a message to its log. The plan depends on the entries applied before it, on its number, and on the log time of the
    /// transaction, but not on a clock, on chance, or on which entries share a transaction.
    fn apply<'b, T>(
        &mut self,
        append: &'b Append<T>,
        numbered: Numbered,
        rows: &mut Vec<NewRow<'b>>,
    ) -> Result<Plan, Failure> {
        let (db, file, live) = (self.db, self.file, self.live);
        let tables = Tables { db, file };
        match self.row(&append.log) {
            Ok(Some(_)) => {}
            Ok(None) => self.begin_log(&append.log, numbered.epoch)?,
            Err(why) => return Ok(Plan::Fault(why)),
        }
        let TableCache { heads, keys } = &mut *self.cache;
        let Some(row) = heads.get(&append.log) else {
            return Ok(Plan::Fault(StoreFault::Stopping)); // unreachable: the row is in the cache
        };
        let (seq, at) = (numbered.seq, numbered.at.max(row.at));
        let mut fingerprint = None;
        if let Some(key) = &append.message.key {
            let known = keys.remember(tables, heads, row, append, key, (seq, at), live);
            match known.map_err(|why| of_log(&append.log, why))? {
                Known::New(own) => fingerprint = own,
                Known::Same { position, at } => return Ok(Plan::Duplicate { position, at }),
                Known::Other => return Ok(Plan::Conflict),
                Known::Unreadable(fault) => return Ok(Plan::Fault(fault)),
            }
        }
        let Some(row) = heads.get_mut(&append.log) else {
            return Ok(Plan::Fault(StoreFault::Stopping)); // unreachable, as above
        };
        let entry = NewEntry {
            user: append.message.from.as_str(),
            sender: append.message.user.stored_beside(&append.message.from),
            session: append.message.tag.0,
            kind: messages::kind_number(append.message.kind),
            text: &*append.message.text,
            key: fingerprint,
        };
        let message = entry.append_to(row, seq, at);
        let prev = message.message_before();
        if message.ordinal.is_multiple_of(BLOCK) {
            let ended = keys.end_block(tables, row, message.ordinal, live);
            ended.map_err(|why| of_log(&append.log, why))?;
        }
        let (id, epoch) = (row.id, row.epoch);
        rows.push((id, message));
        self.touched.entry(id).or_insert_with(|| append.log.clone());
        let position = Position { epoch, seq };
        Ok(Plan::Commit { position, prev, at })
    }

    /// The row of a log, if the log exists.
    fn row(&mut self, log: &LogId) -> Result<Option<&LogRow>, StoreFault> {
        if !self.cache.heads.contains_key(log)
            && let Some(row) = LogRow::find(self.db, self.file, log)?
        {
            self.cache.heads.insert(log.clone(), row);
        }
        Ok(self.cache.heads.get(log))
    }

    fn begin_log(&mut self, log: &LogId, epoch: u64) -> Result<(), Failure> {
        let mut row = LogRow {
            id: 0,
            log: log.clone(),
            epoch,
            head: 0,
            first: 1,
            base: 0,
            sum: 0,
            at: 0,
            ordinal: 0,
            last: 0,
        };
        row.insert(self.db).map_err(|why| in_log(self.file, log, &why))?;
        self.cache.heads.insert(log.clone(), row);
        self.wrote = true;
        Ok(())
    }

    fn mark(&mut self, log: &LogId, user: &UserId, seq: Seq, credential: Credential) -> Result<Plan, Failure> {
        let whole = |why: rusqlite::Error| Failure::Whole(Box::new(fault(self.file, &why)));
        if credential == Credential::Name && names::has_key(self.db, user).map_err(whole)? {
            return Ok(Plan::MarkerAdvanced);
        }
        let found = match self.row(log) {
            Ok(row) => row.cloned(),
            Err(why) => return Ok(Plan::Fault(why)),
        };
        // In a log without a message the marker stays at 0.
        if let Some(row) = found {
            self.wrote |= read_markers::advance(self.db, &row, user, seq).map_err(whole)?;
        }
        Ok(Plan::MarkerAdvanced)
    }

    fn claim(&mut self, name: &UserName, key: &NameKey) -> Result<Plan, Failure> {
        let claimed = self.claims.count() + self.claimed.len();
        match names::claim(self.db, self.file, name, key, claimed) {
            Ok(claim) => {
                if claim == Claim::New {
                    self.wrote = true;
                    self.claimed.push(name.clone());
                }
                let name = name.clone();
                Ok(Plan::Answer(Answer::Name { name, claim }))
            }
            Err(why @ (StoreFault::Refused { .. } | StoreFault::Damaged { .. })) => Ok(Plan::Fault(why)),
            Err(why) => Err(Failure::Whole(Box::new(why))),
        }
    }

    /// Writes new messages one log at a time, so that an error shows which log is damaged.
    fn insert(&self, rows: &mut [NewRow<'_>]) -> Result<(), Failure> {
        rows.sort_by_key(|(log, _)| *log);
        for messages in rows.chunk_by(|(one, _), (next, _)| one == next) {
            if let Err(why) = messages::write_messages(self.db, messages) {
                let log = messages.first().and_then(|(log, _)| self.touched.get(log));
                return Err(log.map_or_else(
                    || Failure::Whole(Box::new(fault(self.file, &why))),
                    |log| in_log(self.file, log, &why),
                ));
            }
        }
        Ok(())
    }

    /// Writes the rows of the touched logs. Returns the id and head of each.
    pub(crate) fn settle(&self) -> Result<Vec<(u32, Seq)>, Failure> {
        let mut touched = Vec::with_capacity(self.touched.len());
        for (id, log) in &self.touched {
            if let Some(row) = self.cache.heads.get(log) {
                row.update(self.db)
                    .map_err(|why| Failure::Whole(Box::new(fault(self.file, &why))))?;
                touched.push((*id, row.head));
            }
        }
        Ok(touched)
    }
}

/// The outcome of a request once the transaction is committed.
pub(crate) enum Plan {
    Commit {
        position: Position,
        prev: Seq,
        at: u64,
    },
    Duplicate {
        position: Position,
        at: u64,
    },
    Conflict,
    Answer(Answer),
    /// The marker has moved; a reader counts the unread messages.
    MarkerAdvanced,
    Fault(StoreFault),
}

/// Why a transaction was rolled back.
pub(crate) enum Failure {
    Whole(Box<StoreFault>),
    /// The database is damaged in this log. The requests for other logs may be tried again.
    In(LogId, Box<StoreFault>),
}

fn in_log(file: &Path, log: &LogId, why: &rusqlite::Error) -> Failure {
    of_log(log, fault(file, why))
}

fn of_log(log: &LogId, why: StoreFault) -> Failure {
    match why {
        why @ StoreFault::Damaged { .. } => Failure::In(log.clone(), Box::new(why)),
        why => Failure::Whole(Box::new(why)),
    }
}

fn new_epoch() -> Result<u64, Failure> {
    files::new_epoch().map_err(|why| Failure::Whole(Box::new(io_fault(Path::new("/dev/urandom"), &why))))
}

#[cfg(test)]
mod tests;
