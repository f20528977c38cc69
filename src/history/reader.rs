//! The reader threads: they answer queries about heads, pages, read markers and inboxes.
//!
//! Each reader has its own connection to the database, answers a query from one snapshot, and never waits for the writer.

use std::{
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;

use super::{
    chain::{Chain, Direction},
    fault::{StoreFault, fault},
    log::LogId,
    offline::View,
    outcome::{Answer, Outcome, ReadMarker},
    read_markers::{marker_and_unread, read_upto},
    request::{Query, Window},
    rows::{LogRow, empty, head},
    shared::{Deliver, Shared},
    stats::bump,
};
use crate::{
    chat::{ChatMessage, Seq, Since, UserId},
    limits,
};

pub(crate) fn run<T: Send + 'static>(shared: &Shared<T>, deliver: &Arc<dyn Deliver<T>>, db: &Connection, file: &Path) {
    loop {
        let Some((query, ticket)) = shared.reads.wait(IDLE) else {
            if shared.reads.is_closed() {
                return;
            }
            continue;
        };
        let found = |fault: &StoreFault| shared.found(fault, "what a user missed could not be read");
        let outcome = match guarded(file, || answer(db, file, &query, &found)) {
            Ok(answer) => {
                if matches!(answer, Answer::Page { .. } | Answer::Direct(_))
                    || matches!(&answer, Answer::Resumed { messages, .. } if !messages.is_empty())
                {
                    bump(&shared.stats.pages, 1);
                }
                Outcome::Answered { ticket, answer }
            }
            Err(why) => {
                bump(&shared.stats.unanswered, 1);
                shared.found(&why, "a question could not be answered");
                Outcome::Unanswered { ticket, query, why }
            }
        };
        deliver.deliver(vec![outcome]);
    }
}

/// Runs a query and catches a panic: a bug in one query costs its answer, not the thread.
pub(crate) fn guarded<A>(file: &Path, answer: impl FnOnce() -> Result<A, StoreFault>) -> Result<A, StoreFault> {
    panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        Err(StoreFault::Broken {
            file: file.to_owned(),
            seen: "a query panicked; the lines before this one show where: report it".to_owned(),
        })
    })
}

/// Answers one query from one snapshot of the database. Damage that the answer leaves out goes to `found`.
fn answer(db: &Connection, file: &Path, query: &Query, found: &dyn Fn(&StoreFault)) -> Result<Answer, StoreFault> {
    // Rolled back on drop: the snapshot is read-only.
    let _snapshot = db.unchecked_transaction().map_err(|why| fault(file, &why))?;
    let view = View { db, file, found };
    match query {
        Query::Head(log) => Ok(Answer::Head {
            log: log.clone(),
            head: head(db, file, log)?.map_or_else(empty, |(_, head)| head),
        }),
        Query::Page { log, window, limit } => {
            let Some((row, head)) = head(db, file, log)? else {
                return Ok(Answer::Page {
                    log: log.clone(),
                    head: empty(),
                    messages: Vec::new(),
                    more: false,
                });
            };
            let (messages, more) = page(db, file, &row, *window, *limit)?;
            Ok(Answer::Page {
                log: log.clone(),
                head,
                messages,
                more,
            })
        }
        Query::ReadMarker { log, user } => {
            let (seq, unread) = match LogRow::find(db, file, log)? {
                Some(row) => marker_and_unread(db, file, &row, user)?,
                None => (0, 0),
            };
            Ok(Answer::ReadMarker {
                log: log.clone(),
                user: user.clone(),
                seq,
                unread,
            })
        }
        Query::Resume {
            log,
            user,
            since,
            upto,
            limit,
        } => resume(db, file, log, user, (*since, *upto), *limit, found),
        Query::Conversations { user, filter } => view.conversations(user, filter),
        Query::Direct {
            user,
            credential,
            peer,
            after,
        } => view.directs(user, *credential, peer, *after),
        Query::Changed {
            user,
            credential,
            since,
            after,
        } => view.changed(user, *credential, *since, *after),
        Query::Search { .. } | Query::AdvanceMarker { .. } | Query::Claim { .. } => Err(StoreFault::Refused {
            seen: "another thread answers this".to_owned(),
        }),
    }
}

/// Fails only if the log itself is unreadable. Otherwise the user joins without the messages or the read marker that are damaged.
fn resume(
    db: &Connection,
    file: &Path,
    log: &LogId,
    user: &UserId,
    (since, upto): (Since, Seq),
    limit: usize,
    found: &dyn Fn(&StoreFault),
) -> Result<Answer, StoreFault> {
    let answer = |head, seq, after, messages| Answer::Resumed {
        log: log.clone(),
        head,
        read: ReadMarker {
            user: user.clone(),
            seq,
        },
        after,
        messages,
    };
    let Some((row, head)) = head(db, file, log)? else {
        return Ok(answer(empty(), Some(0), 0, Vec::new()));
    };
    let unread = |fault: StoreFault| found(&fault);
    let read = read_upto(db, file, &row, user).map_err(unread).ok();
    let after = match since {
        Since::Last(count) => before_last(db, file, &row, count, upto)
            .map_err(unread)
            .unwrap_or(row.last),
        Since::Now => row.last,
        Since::Position(known) => head.go_on(known).after,
    };
    let messages = if limit == 0 || after >= row.last {
        Vec::new()
    } else {
        page(db, file, &row, Window::After(after), limit)
            .map_err(unread)
            .map_or_else(|()| Vec::new(), |(messages, _)| messages)
    };
    Ok(answer(head, read, after, messages))
}

/// The number before the newest `count` messages at or below `upto`, or before the oldest message if there are fewer.
fn before_last(db: &Connection, file: &Path, row: &LogRow, count: u32, upto: Seq) -> Result<Seq, StoreFault> {
    let chain = Chain { db, file, log: row };
    let newest = match upto < row.head {
        true => chain.at_or_below(upto)?.map_or(0, |message| message.ordinal),
        false => row.ordinal,
    };
    let before = newest.saturating_sub(u64::from(count));
    // The read of its page reports an unreadable message.
    let first = chain.first_where(|message| message.ordinal > before, |_| Ok(()))?;
    let before = match chain.at_or_above(first) {
        Ok(Some(message)) => message.message_before(),
        Ok(None) | Err(_) => first.saturating_sub(1),
    };
    Ok(before.min(row.last))
}

fn page(
    db: &Connection,
    file: &Path,
    row: &LogRow,
    window: Window,
    limit: usize,
) -> Result<(Vec<ChatMessage>, bool), StoreFault> {
    let limit = limit.clamp(1, limits::HISTORY_PAGE_MESSAGES);
    let (low, high, direction) = match window {
        Window::Newest => (0, row.head, Direction::Descending),
        Window::Before(seq) => (0, seq.saturating_sub(1), Direction::Descending),
        Window::After(seq) => (seq.saturating_add(1), row.head, Direction::Ascending),
        Window::Range(from, to) => (from, to, Direction::Ascending),
    };
    let chain = Chain { db, file, log: row };
    let (mut messages, mut bytes) = (Vec::new(), 0);
    chain.scan((low, high), direction, |message| {
        bytes += message.text.len();
        if bytes > limits::HISTORY_PAGE_BYTES && !messages.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        messages.push(message.message(file, row)?);
        Ok(if messages.len() < limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    // Decided without reading another message, which may be damaged.
    let more = match (direction, messages.last()) {
        (_, None) => false,
        (Direction::Descending, Some(oldest)) => oldest.prev >= row.first,
        (Direction::Ascending, Some(newest)) => {
            let last = chain.last_message(high)?;
            last.is_none_or(|last| last > newest.seq)
        }
    };
    if direction == Direction::Descending {
        messages.reverse();
    }
    Ok((messages, more))
}

/// How long a thread sleeps without work. New work wakes it.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
