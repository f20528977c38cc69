//! What a batch amounts to: each write in turn, inside one transaction.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{
    Answer, Append, Ask, Claim, LogId, StoreFault, Write, files,
    rows::{self, Checksum, LogRow, int},
    schema::fault,
};
use crate::{
    chat::{Key, Position, Seq, UserName},
    limits,
};

/// A transaction being filled.
pub(crate) struct Work<'w> {
    pub(crate) db: &'w Connection,
    pub(crate) file: &'w Path,
    pub(crate) heads: &'w mut HashMap<LogId, LogRow>,
    pub(crate) quarantine: &'w HashMap<LogId, StoreFault>,
    /// Logs with new talks: id and head.
    pub(crate) touched: HashMap<LogId, (u32, Seq)>,
    /// Something else than talks was written.
    pub(crate) wrote: bool,
}

impl Work<'_> {
    pub(crate) fn plan<T>(&mut self, write: &Write<T>) -> Result<Plan, Failure> {
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
                why @ StoreFault::Damaged { .. } => Failure::In(append.log.clone(), Box::new(why)),
                why => Failure::Whole(Box::new(why)),
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
        let whole = |why: rusqlite::Error| Failure::Whole(Box::new(fault(self.file, &why)));
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
        let whole = |why: rusqlite::Error| Failure::Whole(Box::new(fault(self.file, &why)));
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
                    Failure::Whole(Box::new(StoreFault::Broken {
                        file: "/dev/urandom".into(),
                        seen: why.to_string(),
                    }))
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
    pub(crate) fn settle(&self) -> rusqlite::Result<()> {
        for log in self.touched.keys() {
            if let Some(row) = self.heads.get(log) {
                row.update(self.db)?;
            }
        }
        Ok(())
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
