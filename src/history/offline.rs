//! Queries of a user's devices: the conversations of the inbox, and their messages.
//!
//! Damage is reported and hides nothing else. A damaged message becomes a lost interval of its page; a damaged conversation is counted
//! and left out. Every answer checks again whether the name is claimed, so a session without the key reads nothing after the claim.

use std::{ops::ControlFlow, path::Path};

use rusqlite::{Connection, params};

use super::{
    chain::{Chain, Direction},
    fault::{StoreFault, fault},
    log::{LogId, UserPair},
    names::has_key,
    outcome::{Answer, ChangedConversation, ConversationHead, DirectPage},
    read_markers::{mark_crc, read_upto, unread},
    request::{ChangedUpTo, ConversationFilter, Credential},
    rows::{self, LogRow, int},
};
use crate::{
    chat::{LogHead, LostInterval, Seq, UserId},
    limits,
};

#[derive(Clone, Copy)]
pub(crate) struct View<'r> {
    pub(crate) db: &'r Connection,
    pub(crate) file: &'r Path,
    /// Receives damage that an answer leaves out.
    pub(crate) found: &'r dyn Fn(&StoreFault),
}

impl View<'_> {
    fn failed(&self, why: &rusqlite::Error) -> StoreFault {
        fault(self.file, why)
    }

    fn may_read(&self, user: &UserId, credential: Credential) -> Result<bool, StoreFault> {
        match credential {
            Credential::Key => Ok(true),
            Credential::Name => Ok(!has_key(self.db, user).map_err(|why| self.failed(&why))?),
        }
    }

    /// Conversations of a user, the newest first; `more`: there are more than may be listed. Those with unread messages from other
    /// users come first, because those with only the user's own messages above the read marker must not displace them.
    pub(crate) fn conversations(&self, user: &UserId, filter: &ConversationFilter) -> Result<Answer, StoreFault> {
        let mut list = List::default();
        let sources: &[&str] = match filter {
            ConversationFilter::Unread => &[DIRECTS, MARKED],
            ConversationFilter::Inbox { credential, known } => {
                if !self.may_read(user, *credential)? {
                    return Ok(list.answer(user));
                }
                for peer in known.iter().take(limits::HISTORY_CONVERSATIONS) {
                    self.known(user, peer, &mut list)?;
                }
                &[DIRECTS]
            }
        };
        for sql in sources {
            let listed = match self.list(sql, user, &mut list) {
                Err(why @ StoreFault::Damaged { .. }) if *sql == DIRECTS => {
                    (self.found)(&why);
                    self.list(DIRECTS_BY_LOG, user, &mut list)?
                }
                listed => listed?,
            };
            if listed.is_break() {
                list.own.clear();
                list.more = true;
                return Ok(list.answer(user));
            }
        }
        if *filter == ConversationFilter::Unread {
            list.own.clear();
        }
        Ok(list.answer(user))
    }

    /// Adds the conversations of a query to a list, up to its bound.
    fn list(&self, sql: &str, user: &UserId, list: &mut List) -> Result<ControlFlow<()>, StoreFault> {
        let failed = |why: rusqlite::Error| self.failed(&why);
        let mut select = self.db.prepare_cached(sql).map_err(failed)?;
        let mut rows = select.query([user.stored()]).map_err(failed)?;
        while let Some(cells) = rows.next().map_err(failed)? {
            let id: u32 = cells.get(0).map_err(failed)?;
            if is_read(cells, user).map_err(failed)? || !list.seen.insert(id) {
                continue;
            }
            let Some(row) = self.readable(self.row_of(user, id), &mut list.unreadable)?.flatten() else {
                continue;
            };
            if row.first > row.last {
                continue; // nothing of it is stored any more
            }
            let one = self.conversation_head(row, user)?;
            if one.unread == 0 {
                if list.own.len() <= limits::HISTORY_CONVERSATIONS {
                    list.own.push(one);
                }
            } else if list.found.len() < limits::HISTORY_CONVERSATIONS {
                list.found.push(one);
            } else {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A conversation of which a device knows a position. If it has no row, it is empty: it was lost entirely, or never existed.
    fn known(&self, user: &UserId, peer: &UserId, list: &mut List) -> Result<(), StoreFault> {
        let log = LogId::Pair(UserPair::of(user.clone(), peer.clone()));
        match self.readable(LogRow::find(self.db, self.file, &log), &mut list.unreadable)? {
            Some(Some(row)) if list.seen.insert(row.id) => list.found.push(self.conversation_head(row, user)?),
            Some(None) => list.found.push(ConversationHead {
                log,
                head: rows::empty(),
                read: 0,
                unread: 0,
            }),
            Some(Some(_)) | None => {}
        }
        Ok(())
    }

    /// Direct conversations of a user with a message at or after `since`.
    pub(crate) fn changed(
        &self,
        user: &UserId,
        credential: Credential,
        since: u64,
        after: Option<ChangedUpTo>,
    ) -> Result<Answer, StoreFault> {
        let answer = |conversations, next, unreadable| Answer::Changed {
            user: user.clone(),
            conversations,
            next,
            unreadable,
        };
        if !self.may_read(user, credential)? {
            return Ok(answer(Vec::new(), None, 0));
        }
        let failed = |why: rusqlite::Error| self.failed(&why);
        let (at, after_log) = after.map_or((since, -1), |after| (after.at, i64::from(after.log)));
        let mut select = self.db.prepare_cached(CHANGED).map_err(failed)?;
        let limit = limits::CHANGED_CONVERSATIONS as i64;
        let mut rows = select
            .query(params![user.stored(), int(at), after_log, limit])
            .map_err(failed)?;
        let (mut conversations, mut unreadable) = (Vec::new(), 0);
        let (mut count, mut last) = (0, None);
        while let Some(cells) = rows.next().map_err(failed)? {
            let log: u32 = cells.get(0).map_err(failed)?;
            let at: i64 = cells.get(1).map_err(failed)?;
            count += 1;
            last = Some(ChangedUpTo {
                at: at.cast_unsigned(),
                log,
            });
            let Some(row) = self.readable(self.row_of(user, log), &mut unreadable)?.flatten() else {
                continue;
            };
            let LogId::Pair(pair) = &row.log else { continue };
            let Some(peer) = pair.peer_of(user).cloned() else {
                continue;
            };
            let before = self.last_before(&row, since)?;
            if before >= row.last {
                continue; // what came since is no message
            }
            conversations.push(ChangedConversation {
                peer,
                before,
                head: self.head(&row)?,
            });
        }
        Ok(answer(
            conversations,
            last.filter(|_| count == limits::CHANGED_CONVERSATIONS),
            unreadable,
        ))
    }

    /// A page of the direct messages of `user` and `peer` above `after`.
    pub(crate) fn directs(
        &self,
        user: &UserId,
        credential: Credential,
        peer: &UserId,
        after: Seq,
    ) -> Result<Answer, StoreFault> {
        if !self.may_read(user, credential)? {
            return Ok(Answer::Direct(None));
        }
        let log = LogId::Pair(UserPair::of(user.clone(), peer.clone()));
        let Some(row) = LogRow::find(self.db, self.file, &log)? else {
            return Ok(Answer::Direct(Some(DirectPage {
                peer: peer.clone(),
                head: rows::empty(),
                messages: Vec::new(),
                lost: Vec::new(),
                upto: 0,
            })));
        };
        let mut page = DirectPage {
            peer: peer.clone(),
            head: self.head(&row)?,
            messages: Vec::new(),
            lost: Vec::new(),
            upto: after,
        };
        if row.first > after + 1 {
            page.lose(row.first - 1);
        }
        let chain = self.chain(&row);
        let (mut bytes, mut damages, mut is_full) = (0, 0, false);
        while page.upto < row.last && !is_full {
            let read = chain.scan((page.upto + 1, row.head), Direction::Ascending, |message| {
                bytes += message.text.len();
                is_full = page.messages.len() == limits::HISTORY_PAGE_MESSAGES
                    || bytes > limits::HISTORY_PAGE_BYTES && !page.messages.is_empty();
                if is_full {
                    return Ok(ControlFlow::Break(()));
                }
                let message = message.message(self.file, &row)?;
                page.upto = message.seq;
                page.messages.push(message);
                Ok(ControlFlow::Continue(()))
            });
            match read {
                Ok(()) => break,
                // The scan stopped at the first damaged entry. Continue after it.
                Err(why @ StoreFault::Damaged { .. }) => {
                    if page.lose(chain.unreadable_up_to(page.upto)?.min(row.last)) == Interval::New {
                        (self.found)(&why);
                    }
                    damages += 1;
                    is_full |= damages == limits::HISTORY_PAGE_MESSAGES;
                }
                Err(why) => return Err(why),
            }
        }
        Ok(Answer::Direct(Some(page)))
    }

    fn chain<'c>(&'c self, log: &'c LogRow) -> Chain<'c> {
        let (db, file) = (self.db, self.file);
        Chain { db, file, log }
    }

    /// The row of one of the user's logs.
    fn row_of(&self, user: &UserId, id: u32) -> Result<Option<LogRow>, StoreFault> {
        let row = LogRow::by_id(self.db, self.file, id)?;
        match row.as_ref().map(|row| &row.log) {
            Some(log @ LogId::Pair(pair)) if pair.peer_of(user).is_none() => {
                let seen = format!("table pair says it is one of {:?}", user.stored());
                Err(StoreFault::damaged(self.file, seen).in_log(log))
            }
            Some(LogId::Pair(_) | LogId::Room(_)) | None => Ok(row),
        }
    }

    /// The head of a log. If its lost tails are damaged, earlier epochs count as unknown.
    fn head(&self, row: &LogRow) -> Result<LogHead, StoreFault> {
        let head = self.undamaged(row.head(self.db, self.file))?;
        Ok(head.unwrap_or_else(|| LogHead {
            epoch: row.epoch,
            seq: row.last,
            first: row.first,
            ..LogHead::default()
        }))
    }

    /// The head and the read marker of a conversation. A damaged marker counts as 0, so the user reads messages again.
    fn conversation_head(&self, row: LogRow, user: &UserId) -> Result<ConversationHead, StoreFault> {
        let read = self.undamaged(read_upto(self.db, self.file, &row, user))?.unwrap_or(0);
        let unread = self.undamaged(unread(self.db, self.file, &row, user, read))?;
        Ok(ConversationHead {
            head: self.head(&row)?,
            read,
            // If counting fails, everything above the marker counts as unread.
            unread: unread.unwrap_or_else(|| (row.last + 1).saturating_sub(row.first.max(read + 1)).min(row.ordinal)),
            log: row.log,
        })
    }

    /// A number below every stored message at or after `since`. A damaged message counts as one of them.
    fn last_before(&self, row: &LogRow, since: u64) -> Result<Seq, StoreFault> {
        let damaged = |why| self.undamaged::<()>(Err(why)).map(drop);
        let first = self.chain(row).first_where(|message| message.at >= since, damaged)?;
        Ok(first - 1)
    }

    /// Reports damage and returns `None`.
    fn undamaged<R>(&self, read: Result<R, StoreFault>) -> Result<Option<R>, StoreFault> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(why @ StoreFault::Damaged { .. }) => {
                (self.found)(&why);
                Ok(None)
            }
            Err(why) => Err(why),
        }
    }

    fn readable<R>(&self, read: Result<R, StoreFault>, unreadable: &mut usize) -> Result<Option<R>, StoreFault> {
        let read = self.undamaged(read)?;
        *unreadable += usize::from(read.is_none());
        Ok(read)
    }
}

#[derive(Default)]
struct List {
    seen: std::collections::HashSet<u32>,
    found: Vec<ConversationHead>,
    /// Conversations in which only the user's own messages are above the read marker.
    own: Vec<ConversationHead>,
    more: bool,
    unreadable: usize,
}

impl List {
    fn answer(mut self, user: &UserId) -> Answer {
        let left = limits::HISTORY_CONVERSATIONS.saturating_sub(self.found.len());
        self.more |= self.own.len() > left;
        self.found.extend(self.own.into_iter().take(left));
        Answer::Conversations {
            user: user.clone(),
            conversations: self.found,
            more: self.more,
            unreadable: self.unreadable,
        }
    }
}

/// Whether a lost interval is new or extends the last one.
#[derive(PartialEq, Eq)]
enum Interval {
    New,
    Longer,
}

impl DirectPage {
    /// Records that everything up to `to` is unreadable.
    fn lose(&mut self, to: Seq) -> Interval {
        let from = self.upto + 1;
        self.upto = to;
        if let Some(last) = self.lost.last_mut()
            && last.to + 1 == from
        {
            last.to = to;
            return Interval::Longer;
        }
        let epoch = self.head.epoch;
        self.lost.push(LostInterval { epoch, from, to });
        Interval::New
    }
}

/// Whether a row of [`DIRECTS`] or [`MARKED`] says that nothing is above the user's read marker. A row with a wrong checksum does not
/// count.
fn is_read(cells: &rusqlite::Row<'_>, user: &UserId) -> rusqlite::Result<bool> {
    let (id, head): (u32, i64) = (cells.get(0)?, cells.get(1)?);
    let (Some(read), Some(crc)) = (cells.get::<_, Option<i64>>(2)?, cells.get::<_, Option<u32>>(3)?) else {
        return Ok(head == 0);
    };
    Ok(read >= head && crc == mark_crc(user.stored(), id, read))
}

/// Log, newest message and read marker of a user's direct conversations, newest first.
const DIRECTS: &str =
    "SELECT pair.log, coalesce(log.last, log.head), mark.seq, mark.crc FROM pair JOIN log ON log.id = pair.log
    LEFT JOIN mark ON mark.user = pair.user AND mark.log = pair.log
    WHERE pair.user = ?1 ORDER BY log.at DESC, pair.log DESC";

/// Replaces [`DIRECTS`] if table `pair` or `mark` is damaged: searches all logs, without read markers.
const DIRECTS_BY_LOG: &str = "SELECT id, coalesce(last, head), NULL, NULL FROM log
    WHERE kind = 1 AND (name = ?1 OR peer = ?1) ORDER BY at DESC, id DESC";

/// As [`DIRECTS`], for the logs in which a user has a read marker.
const MARKED: &str =
    "SELECT mark.log, coalesce(log.last, log.head), mark.seq, mark.crc FROM mark JOIN log ON log.id = mark.log
    WHERE mark.user = ?1 ORDER BY log.at DESC, mark.log DESC";

/// Direct conversations of a user after a time and a log, the one whose newest message is oldest first. Times never go back within a log,
/// so a conversation that changes between two pages only moves towards the end.
const CHANGED: &str = "SELECT pair.log, log.at FROM pair JOIN log ON log.id = pair.log
    WHERE pair.user = ?1 AND (log.at > ?2 OR (log.at = ?2 AND pair.log > ?3)) ORDER BY log.at, pair.log LIMIT ?4";
