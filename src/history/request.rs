//! Requests to the store: messages to append, and queries.
//!
//! A request carries everything that its answer depends on. Submitting one never blocks: a full queue returns it to the caller.

use std::{fmt, sync::Arc};

use super::log::LogId;
use crate::chat::{NewMessage, Seq, Since, UserId, UserName};

/// A message to number and store. `T` is the caller's ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Append<T> {
    pub log: LogId,
    /// The text has at most [`crate::limits::TEXT_BYTES`]. A second message with the same idempotency key is not stored. The key
    /// belongs to the sender's client, or to the user if the client has no id.
    pub message: Box<NewMessage>,
    /// Unix milliseconds. If the clock goes back, the times of a log stay constant.
    pub at: u64,
    pub ticket: T,
}

/// A query, or a change that is not a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// The head of a log. Answered by `Answer::Head`.
    Head(LogId),
    /// Stored messages. Answered by `Answer::Page`.
    Page {
        log: LogId,
        window: Window,
        /// Most messages in the page, at most [`crate::limits::HISTORY_PAGE_MESSAGES`].
        limit: usize,
    },
    /// Messages that contain a text, newest first. Answered by `Answer::Found`.
    Search {
        log: LogId,
        /// The query as the user typed it.
        text: Arc<str>,
        /// Only messages below this number.
        before: Option<Seq>,
        limit: usize,
    },
    /// Moves the user's read marker forward to `seq`. Answered by `Answer::ReadMarker` once committed.
    AdvanceMarker {
        log: LogId,
        user: UserId,
        /// The last message read.
        seq: Seq,
        /// If it is insufficient, the marker does not move.
        credential: Credential,
    },
    /// The user's read marker, unchanged. Answered by `Answer::ReadMarker`.
    ReadMarker {
        log: LogId,
        /// The owner of the marker.
        user: UserId,
    },
    /// What a user needs to resume a log, in one snapshot: its head, the read marker, and the first missed messages. Answered by
    /// `Answer::Resumed`.
    Resume {
        log: LogId,
        user: UserId,
        since: Since,
        /// [`Since::Last`] counts back from this message.
        upto: Seq,
        /// Most messages in the answer; it has none if one of them is damaged.
        limit: usize,
    },
    /// The conversations of a user that pass a filter. Answered by `Answer::Conversations`.
    Conversations { user: UserId, filter: ConversationFilter },
    /// A page of offline messages for a device of a user. Answered by `Answer::Direct`.
    Direct {
        /// The owner of the inbox.
        user: UserId,
        credential: Credential,
        peer: UserId,
        /// The device has every message up to here.
        after: Seq,
    },
    /// Direct conversations with a message at or after a time, whether read or not; the one whose newest message is oldest comes first.
    /// Answered by `Answer::Changed`.
    Changed {
        /// The owner of the inbox.
        user: UserId,
        credential: Credential,
        /// Stored time of a message, Unix milliseconds.
        since: u64,
        /// The end of the previous page; `None` for the first page.
        after: Option<ChangedUpTo>,
    },
    /// Shows the key of a name, or claims a free name. Answered by `Answer::Name` once committed.
    Claim {
        name: UserName,
        /// Its key; at least [`crate::limits::NAME_KEY_LEAST`] bytes to claim with.
        key: NameKey,
    },
}

/// An interval of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Newest,
    /// The newest below this number.
    Before(Seq),
    /// The oldest above this number.
    After(Seq),
    /// From the first to the last number, both included. The page has the oldest of them if they do not all fit.
    Range(Seq, Seq),
}

/// Selects conversations of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationFilter {
    /// Direct conversations with unread messages, and rooms with unread messages in which the user has a read marker.
    Unread,
    /// The inbox, with direct conversations only. First those with `known` peers, even if nothing is unread or stored. Then those with
    /// unread messages. Then those in which only the user's own messages are above the read marker.
    Inbox {
        /// If it is insufficient, the inbox is empty.
        credential: Credential,
        /// Peers of which a device knows a position.
        known: Vec<UserId>,
    },
}

/// What a session has shown to act for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The key of the user's name.
    Key,
    /// Only the name, which suffices until somebody claims it.
    Name,
}

/// The end of a page of [`Query::Changed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedUpTo {
    pub(crate) at: u64,
    pub(crate) log: u32,
}

/// The key of a name. It opens the name's inbox, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey(pub String);

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(…)")
    }
}
