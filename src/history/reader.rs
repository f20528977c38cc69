//! The threads that read: heads, pages, read positions, and what devices of a user are given (`devices`). Each has a
//! connection of its own and never waits for the writer.

use std::{
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Answer, Ask, Deliver, LogHead, LogId, Outcome, ReadUpTo, Shared, StoreFault, Window,
    batch::mark_crc,
    devices::View,
    messages::{self, Order},
    rows::{LogRow, int},
    schema::fault,
    stats::bump,
};
use crate::{
    chat::{Seq, Since, Talk, UserName},
    limits,
};

/// Answers questions until the queue is closed and empty.
pub(crate) fn run<T: Send + 'static>(
    shared: &Shared<T>,
    deliver: &Arc<dyn Deliver<T>>,
    db: &Connection,
    file: &Path,
    me: usize,
) {
    loop {
        let Some((ask, ticket)) = shared.reads.pop() else {
            if shared.reads.is_closed() {
                return;
            }
            shared.reads.wait(me, Duration::from_secs(60));
            continue;
        };
        let found = |fault: &StoreFault| shared.found(fault, "what a user missed could not be read");
        let outcome = match guarded(file, || answer(db, file, &ask, &found)) {
            Ok(answer) => {
                if matches!(answer, Answer::Page { .. } | Answer::Direct(_))
                    || matches!(&answer, Answer::Resumed { talks, .. } if !talks.is_empty())
                {
                    shared.stats.pages.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Answered { ticket, answer }
            }
            Err(why) => {
                bump(Some(&shared.stats.unanswered), 1);
                shared.found(&why, "a question could not be answered");
                Outcome::Unanswered { ticket, ask, why }
            }
        };
        deliver.deliver(vec![outcome]);
    }
}

/// Answers a question. A defect that one question meets costs its answer, not the thread and with it the server.
pub(crate) fn guarded<A>(file: &Path, answer: impl FnOnce() -> Result<A, StoreFault>) -> Result<A, StoreFault> {
    panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        Err(StoreFault::Broken {
            file: file.to_owned(),
            seen: "a question met a defect, which is told above; report it".to_owned(),
        })
    })
}

/// Answers one question, from one snapshot of the database. What it has to leave out it says to `found`.
fn answer(db: &Connection, file: &Path, ask: &Ask, found: &dyn Fn(&StoreFault)) -> Result<Answer, StoreFault> {
    // Dropped without a commit: nothing was written.
    let _snapshot = db.unchecked_transaction().map_err(|why| fault(file, &why))?;
    let view = View { db, file, found };
    match ask {
        Ask::Head(log) => Ok(Answer::Head {
            log: log.clone(),
            head: head(db, file, log)?.map_or_else(empty, |(_, head)| head),
        }),
        Ask::Page { log, window, limit } => {
            let Some((row, head)) = head(db, file, log)? else {
                return Ok(Answer::Page {
                    log: log.clone(),
                    head: empty(),
                    talks: Vec::new(),
                    more: false,
                });
            };
            let (talks, more) = page(db, file, &row, *window, *limit)?;
            Ok(Answer::Page {
                log: log.clone(),
                head,
                talks,
                more,
            })
        }
        Ask::MarkOf { log, user } => {
            let (seq, unread) = match LogRow::find(db, file, log)? {
                Some(row) => standing(db, file, &row, user)?,
                None => (0, 0),
            };
            Ok(Answer::Marked {
                log: log.clone(),
                user: user.clone(),
                seq,
                unread,
            })
        }
        Ask::Resume {
            log,
            user,
            since,
            limit,
        } => resume(db, file, log, user, *since, *limit, found),
        Ask::Conversations { user, which } => view.conversations(user, which),
        Ask::Direct {
            user,
            bearer,
            peer,
            after,
        } => view.directs(user, *bearer, peer, *after),
        Ask::Changed {
            user,
            bearer,
            since,
            after,
        } => view.changed(user, *bearer, *since, *after),
        Ask::Search { .. } | Ask::Mark { .. } | Ask::Claim { .. } => Err(StoreFault::Refused {
            seen: "another thread answers this".to_owned(),
        }),
    }
}

/// The row of a log and what is told of it.
pub(crate) fn head(db: &Connection, file: &Path, log: &LogId) -> Result<Option<(LogRow, LogHead)>, StoreFault> {
    let Some(row) = LogRow::find(db, file, log)? else {
        return Ok(None);
    };
    let head = row.head(db, file)?;
    Ok(Some((row, head)))
}

/// A log in which nothing was ever said.
pub(crate) fn empty() -> LogHead {
    LogHead {
        first: 1,
        ..LogHead::default()
    }
}

/// Only a log that cannot be found is an error: whoever comes is let in, and told later what cannot be read.
fn resume(
    db: &Connection,
    file: &Path,
    log: &LogId,
    user: &UserName,
    since: Since,
    limit: usize,
    found: &dyn Fn(&StoreFault),
) -> Result<Answer, StoreFault> {
    let answer = |head, seq, talks| Answer::Resumed {
        log: log.clone(),
        head,
        read: ReadUpTo {
            user: user.clone(),
            seq,
        },
        talks,
    };
    let Some((row, head)) = head(db, file, log)? else {
        return Ok(answer(empty(), Some(0), Vec::new()));
    };
    let unread = |fault: StoreFault| found(&fault);
    let read = read_upto(db, file, &row, user).map_err(unread).ok();
    let after = head.since(since).after;
    let talks = if limit == 0 || after >= row.head {
        Vec::new()
    } else {
        page(db, file, &row, Window::After(after), limit)
            .map_err(unread)
            .map_or_else(|()| Vec::new(), |(talks, _)| talks)
    };
    Ok(answer(head, read, talks))
}

fn page(
    db: &Connection,
    file: &Path,
    row: &LogRow,
    window: Window,
    limit: usize,
) -> Result<(Vec<Talk>, bool), StoreFault> {
    let limit = limit.clamp(1, limits::HISTORY_PAGE_TALKS);
    let span = limit as u64 - 1;
    let (low, high, order) = match window {
        Window::Newest => (row.head.saturating_sub(span), row.head, Order::Down),
        Window::Before(seq) => {
            let high = seq.saturating_sub(1).min(row.head);
            (high.saturating_sub(span), high, Order::Down)
        }
        Window::After(seq) => {
            let low = seq.saturating_add(1).max(row.first);
            (low, low.saturating_add(span).min(row.head), Order::Up)
        }
        Window::Range(from, to) => {
            let low = from.max(row.first);
            (low, to.min(low.saturating_add(span)).min(row.head), Order::Up)
        }
    };
    let low = low.max(row.first);
    let mut talks = Vec::with_capacity(
        usize::try_from((high + 1).saturating_sub(low))
            .unwrap_or(limit)
            .min(limit),
    );
    let mut bytes = 0;
    messages::scan(db, file, row, (low, high), order, |message| {
        bytes += message.text.len();
        if bytes > limits::HISTORY_PAGE_BYTES && !talks.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        talks.push(message.talk(file, row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    let more = match (order, window) {
        (Order::Down, _) => {
            talks.reverse();
            talks.first().is_some_and(|talk| talk.seq > row.first)
        }
        (Order::Up, Window::Range(_, to)) => talks.last().is_some_and(|talk| talk.seq < to.min(row.head)),
        (Order::Up, Window::Newest | Window::Before(_) | Window::After(_)) => {
            talks.last().is_some_and(|talk| talk.seq < row.head)
        }
    };
    Ok((talks, more))
}

/// A user's read position in a log, and how many talks of others lie above it.
fn standing(db: &Connection, file: &Path, row: &LogRow, user: &UserName) -> Result<(Seq, u64), StoreFault> {
    let read = read_upto(db, file, row, user)?;
    Ok((read, unread(db, file, row, user, read)?))
}

/// How many messages of others lie above a read position of this user.
pub(crate) fn unread(
    db: &Connection,
    file: &Path,
    row: &LogRow,
    user: &UserName,
    read: Seq,
) -> Result<u64, StoreFault> {
    let low = (read + 1).max(row.first);
    let all = (row.head + 1).saturating_sub(low);
    let counted = low.max((row.head + 1).saturating_sub(limits::HISTORY_UNREAD_EXACT));
    let own: i64 = db
        .prepare_cached("SELECT count(*) FROM message WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 AND user = ?4")
        .and_then(|mut select| {
            select.query_row(params![row.id, int(counted), int(row.head), user.as_str()], |row| {
                row.get(0)
            })
        })
        .map_err(|why| fault(file, &why))?;
    Ok(all.saturating_sub(own.cast_unsigned()))
}

/// A user's read position in a log.
pub(crate) fn read_upto(db: &Connection, file: &Path, row: &LogRow, user: &UserName) -> Result<Seq, StoreFault> {
    let mark: Option<(i64, u32)> = db
        .prepare_cached("SELECT seq, crc FROM mark WHERE user = ?1 AND log = ?2")
        .and_then(|mut select| {
            select
                .query_row(params![user.as_str(), row.id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(|why| fault(file, &why))?;
    match mark {
        None => Ok(0),
        Some((seq, crc)) if crc == mark_crc(user.as_str(), row.id, seq) => Ok(seq.cast_unsigned().min(row.head)),
        Some(_) => Err(StoreFault::Damaged {
            file: file.to_owned(),
            log: Some(row.log.clone()),
            seq: None,
            seen: format!("the read position of {user:?} does not match its checksum"),
        }),
    }
}
