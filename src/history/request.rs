//! Requests to the store: a message to append, or a question.
//!
//! Each request names its log or its user and carries everything that the answer depends on, so a thread of the store answers it
//! without asking back. A request never waits: where its queue is full, the caller gets it back.

use std::{fmt, sync::Arc};

use super::log::LogId;
use crate::chat::{NewMessage, Seq, Since, UserId, UserName};

/// A message to be numbered and stored. `T` is what the caller wants back with the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Append<T> {
    pub log: LogId,
    /// The message, which comes back with the outcome. Its text has at most [`crate::limits::TEXT_BYTES`]; what is said again under
    /// its idempotency key is the same message, and the key belongs to the sender's client, or to the user where no client is named.
    pub message: Box<NewMessage>,
    /// Unix milliseconds. The store never lets the times of a log run backwards.
    pub at: u64,
    /// Comes back with the outcome.
    pub ticket: T,
}

/// A question, or a request that changes something else than messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Where a log stands. Answered by `Answer::Head`.
    Head(LogId),
    /// Stored messages. Answered by `Answer::Page`.
    Page {
        log: LogId,
        window: Window,
        /// Most messages in the page; [`crate::limits::HISTORY_PAGE_MESSAGES`] bounds it too.
        limit: usize,
    },
    /// Messages that contain a text, newest first. Answered by `Answer::Found`.
    Search {
        log: LogId,
        /// Words, as the user typed them.
        text: Arc<str>,
        /// Only messages below this number.
        before: Option<Seq>,
        /// Most messages in the answer.
        limit: usize,
    },
    /// Moves the user's read marker forward to `seq`. Answered by `Answer::Marked` once committed.
    Mark {
        log: LogId,
        /// Whose marker.
        user: UserId,
        /// The last message read.
        seq: Seq,
        /// Without the right the marker stays where it is.
        bearer: Bearer,
    },
    /// The user's read marker, unchanged. Answered by `Answer::Marked`.
    MarkOf {
        log: LogId,
        /// Whose marker.
        user: UserId,
    },
    /// Everything that a user needs to resume a log, in one snapshot: its head, the read marker, and the first missed messages.
    /// Answered by `Answer::Resumed`.
    Resume {
        log: LogId,
        user: UserId,
        since: Since,
        /// [`Since::Last`] counts back from this message.
        upto: Seq,
        /// Most messages in the answer; there are none where they cannot be read.
        limit: usize,
    },
    /// The conversations in which something waits for a user. Answered by `Answer::Conversations`.
    Conversations { user: UserId, which: Which },
    /// A page of offline messages for a device of a user. Answered by `Answer::Direct`.
    Direct {
        /// The owner of the inbox.
        user: UserId,
        /// By what right the device reads.
        bearer: Bearer,
        peer: UserId,
        /// The device has every message up to here.
        after: Seq,
    },
    /// Direct conversations in which somebody wrote at or after a time, whatever the user has read; the one whose newest message is
    /// oldest comes first. Answered by `Answer::Changed`.
    Changed {
        /// The owner of the inbox.
        user: UserId,
        /// By what right the device reads.
        bearer: Bearer,
        /// Stored time of a message, Unix milliseconds.
        since: u64,
        /// Where the previous page ended; `None` for the first page.
        after: Option<ChangedUpTo>,
    },
    /// Shows the key of a name, or claims a name that has none. Answered by `Answer::Name` once committed.
    Claim {
        name: UserName,
        /// Its key; at least [`crate::limits::NAME_KEY_LEAST`] bytes to claim with.
        key: NameKey,
    },
}

/// Which messages of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Newest,
    /// The newest below this number.
    Before(Seq),
    /// The oldest above this number.
    After(Seq),
    /// Those from the first to the last of these numbers, both included; where they do not fit, the oldest.
    Range(Seq, Seq),
}

/// Which conversations of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those with something unread: direct ones, and the rooms in which the user has a read marker.
    Unread,
    /// The inbox: direct conversations alone. First those with `known` peers, also where nothing is unread or stored, then those
    /// with something unread, then those in which only the user's own messages lie above the read marker.
    Mail {
        /// Without the right the inbox is empty.
        bearer: Bearer,
        /// Peers of which a device knows a position.
        known: Vec<UserId>,
    },
}

/// By what right a session reads the inbox of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// It has shown the key of its name.
    Key,
    /// It only says its name, which counts until somebody claims it.
    Name,
}

/// Where a page of [`Ask::Changed`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedUpTo {
    pub(crate) at: u64,
    pub(crate) log: u32,
}

/// The key of a name. Whoever has it reads the name's inbox, so nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey(pub String);

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(…)")
    }
}
