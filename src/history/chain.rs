//! The chain of a log: its entries in the order of their numbers, each with the number of the one before it.
//!
//! Numbers may have holes, so an unused number is not damage. Damage is a broken chain: an entry whose `prev` is not the entry before it,
//! or a newest entry that is not the head of the log. Retention deleted everything below `first`, so the oldest entry has `prev` =
//! `first - 1`.
//!
//! A scan never continues past a missing message.

use std::{ops::ControlFlow, path::Path};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    fault::{StoreFault, fault},
    messages::{MessageRow, select_messages},
    rows::{LogRow, int},
};
use crate::chat::Seq;

/// The direction of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// One log in one view of the database.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'c> {
    pub(crate) db: &'c Connection,
    pub(crate) file: &'c Path,
    pub(crate) log: &'c LogRow,
}

impl Chain<'_> {
    /// Calls `take` with every message from `low` to `high`, in order, until it breaks. The scan follows the chain through entries
    /// that are not messages, and fails where the chain is broken.
    pub(crate) fn scan(
        &self,
        (low, high): (Seq, Seq),
        direction: Direction,
        mut take: impl FnMut(MessageRow) -> Result<ControlFlow<()>, StoreFault>,
    ) -> Result<(), StoreFault> {
        let (low, high) = (low.max(self.log.first), high.min(self.log.head));
        if low > high {
            return Ok(());
        }
        let failed = |why: rusqlite::Error| self.failed(&why);
        let mut select = self
            .db
            .prepare_cached(match direction {
                Direction::Ascending => UP,
                Direction::Descending => DOWN,
            })
            .map_err(failed)?;
        let range = params![self.log.id, int(low), int(high)];
        let mut rows = select.query(range).map_err(failed)?;
        // The link that the next message must match. Up: the number before it. Down: its own number. `None`: unknown.
        let mut link = match direction {
            Direction::Ascending => None,
            Direction::Descending => self.link_above(high)?,
        };
        while let Some(row) = rows.next().map_err(failed)? {
            let message = MessageRow::read(row, self.file, self.log)?;
            match (direction, link) {
                (Direction::Ascending, None) if message.prev >= low => return Err(self.broken(low)),
                (Direction::Ascending, Some(last)) if message.prev != last => return Err(self.broken(last + 1)),
                (Direction::Descending, Some(due)) if message.seq != due => {
                    return Err(self.broken(due.max(message.seq)));
                }
                (Direction::Ascending | Direction::Descending, _) => {}
            }
            link = Some(match direction {
                Direction::Ascending => message.seq,
                Direction::Descending => message.prev,
            });
            if message.is_message() && take(message)?.is_break() {
                return Ok(());
            }
        }
        match (direction, link) {
            (Direction::Descending, Some(due)) if due >= low => Err(self.broken(due)),
            (Direction::Descending, _) => Ok(()),
            (Direction::Ascending, link) => match (self.link_above(high)?, link) {
                (Some(due), None) if due >= low => Err(self.broken(low)),
                (Some(due), Some(last)) if due != last => Err(self.broken(last + 1)),
                (Some(_) | None, _) => Ok(()),
            },
        }
    }

    /// The newest entry at or below `high`, read from the `prev` of the entry above it; `None` if that entry is unreadable.
    pub(crate) fn link_above(&self, high: Seq) -> Result<Option<Seq>, StoreFault> {
        self.before(high, self.log.head, |above| above.prev)
    }

    /// The newest message at or below `high`, found in the same way.
    pub(crate) fn last_message(&self, high: Seq) -> Result<Option<Seq>, StoreFault> {
        self.before(high, self.log.last, MessageRow::message_before)
    }

    fn before(&self, high: Seq, newest: Seq, of: impl Fn(&MessageRow) -> Seq) -> Result<Option<Seq>, StoreFault> {
        if high >= self.log.head {
            return Ok(Some(newest));
        }
        match self.at_or_above(high + 1) {
            Ok(above) => Ok(above.as_ref().map(of)),
            Err(StoreFault::Damaged { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// The oldest entry at or above this number.
    pub(crate) fn at_or_above(&self, seq: Seq) -> Result<Option<MessageRow>, StoreFault> {
        self.one(AT_OR_ABOVE, seq)
    }

    /// The newest entry at or below this number.
    pub(crate) fn at_or_below(&self, seq: Seq) -> Result<Option<MessageRow>, StoreFault> {
        self.one(AT_OR_BELOW, seq)
    }

    /// An entry that is known to exist.
    pub(crate) fn exactly(&self, seq: Seq) -> Result<MessageRow, StoreFault> {
        let found = self.at_or_above(seq)?.filter(|message| message.seq == seq);
        found.ok_or_else(|| self.broken(seq))
    }

    fn one(&self, sql: &str, seq: Seq) -> Result<Option<MessageRow>, StoreFault> {
        let failed = |why: rusqlite::Error| self.failed(&why);
        let mut select = self.db.prepare_cached(sql).map_err(failed)?;
        let mut rows = select.query(params![self.log.id, int(seq)]).map_err(failed)?;
        let row = rows.next().map_err(failed)?;
        row.map(|row| MessageRow::read(row, self.file, self.log)).transpose()
    }

    /// Binary search for the first entry for which `holds` is true; it must never become false again. `damaged` decides about an
    /// unreadable entry: `Ok` treats it as one for which `holds` is true.
    pub(crate) fn first_where(
        &self,
        holds: impl Fn(&MessageRow) -> bool,
        damaged: impl Fn(StoreFault) -> Result<(), StoreFault>,
    ) -> Result<Seq, StoreFault> {
        let (mut low, mut high) = (self.log.first, self.log.head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = match self.at_or_above(middle) {
                Ok(Some(message)) => Some(message),
                Ok(None) => {
                    damaged(self.broken(middle))?;
                    None
                }
                Err(why) => {
                    damaged(why)?;
                    None
                }
            };
            match found.filter(|message| !holds(message)) {
                Some(message) => low = message.seq + 1,
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// The last unreadable number after `after`.
    pub(crate) fn unreadable_up_to(&self, after: Seq) -> Result<Seq, StoreFault> {
        let next = self
            .db
            .prepare_cached("SELECT seq FROM message WHERE log = ?1 AND seq > ?2 ORDER BY seq LIMIT 1")
            .and_then(|mut select| {
                select
                    .query_row(params![self.log.id, int(after)], |row| row.get::<_, i64>(0))
                    .optional()
            })
            .map_err(|why| self.failed(&why))?;
        Ok(match (next.map(i64::cast_unsigned), self.at_or_above(after + 1)) {
            (None, _) => self.log.head,
            // The message after a gap in the chain is readable.
            (Some(_), Ok(Some(message))) if message.prev > after => message.prev,
            (Some(next), _) => next,
        })
    }

    fn broken(&self, seq: Seq) -> StoreFault {
        let LogRow { first, head, log, .. } = self.log;
        let seen = format!("a message is missing here, although {first} to {head} are stored");
        StoreFault::damaged(self.file, seen).in_log(log).at(seq)
    }

    fn failed(&self, why: &rusqlite::Error) -> StoreFault {
        fault(self.file, why).in_log(&self.log.log)
    }
}

const UP: &str = select_messages!("WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq");
const DOWN: &str = select_messages!("WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq DESC");
const AT_OR_ABOVE: &str = select_messages!("WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1");
const AT_OR_BELOW: &str = select_messages!("WHERE log = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1");
