//! Outcomes: the results of requests.
//!
//! Every request has exactly one outcome. A stored message is as durable as the settings say; a message that failed never had a number.
//! An answer comes from one snapshot of the store, and never contains a row with a wrong checksum.

use super::{
    fault::StoreFault,
    log::LogId,
    request::{Append, ChangedUpTo, Query},
};
use crate::chat::{ChatMessage, LogHead, LostInterval, Position, Seq, UserId, UserName};

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    Committed {
        append: Append<T>,
        position: Position,
        /// The number of the message before it.
        prev: Seq,
        /// The stored time, Unix milliseconds.
        at: u64,
    },
    /// The key was used before for the same text. Nothing was stored.
    Duplicate {
        append: Append<T>,
        /// The position of the first copy.
        position: Position,
        /// The stored time of the first copy.
        at: u64,
    },
    /// The key was used before for another text. Nothing was stored.
    KeyConflict {
        append: Append<T>,
    },
    /// Nothing was stored, and no number was used.
    Failed {
        append: Append<T>,
        why: StoreFault,
    },
    Answered {
        ticket: T,
        answer: Answer,
    },
    Unanswered {
        ticket: T,
        query: Query,
        why: StoreFault,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Head {
        log: LogId,
        head: LogHead,
    },
    Page {
        log: LogId,
        /// The head when the page was read.
        head: LogHead,
        /// Ascending; each message names its predecessor.
        messages: Vec<ChatMessage>,
        /// Whether there are more messages in the requested direction.
        more: bool,
    },
    /// Messages that a search found.
    Found {
        log: LogId,
        head: LogHead,
        /// Descending.
        messages: Vec<ChatMessage>,
        /// The search continues below this number; `None`: it has reached the oldest message.
        next: Option<Seq>,
    },
    ReadMarker {
        log: LogId,
        user: UserId,
        /// The last message read.
        seq: Seq,
        /// Messages from other users above it; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
        unread: u64,
    },
    /// What a user needs to resume a log.
    Resumed {
        log: LogId,
        head: LogHead,
        read: ReadMarker,
        /// The missed messages begin after this number.
        after: Seq,
        /// The first missed messages, ascending.
        messages: Vec<ChatMessage>,
    },
    Conversations {
        user: UserId,
        /// At most [`crate::limits::HISTORY_CONVERSATIONS`], direct ones first, the one with the newest message first.
        conversations: Vec<ConversationHead>,
        /// Whether there are more. A later query lists them, once the user has read some of these.
        more: bool,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    /// Offline messages. `None`: the name is claimed, and the session has not shown its key.
    Direct(Option<DirectPage>),
    /// Direct conversations with a message since a time.
    Changed {
        /// The owner of the inbox.
        user: UserId,
        /// At most [`crate::limits::CHANGED_CONVERSATIONS`].
        conversations: Vec<ChangedConversation>,
        /// Continue after this; `None` on the last page.
        next: Option<ChangedUpTo>,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    Name {
        name: UserName,
        claim: Claim,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMarker {
    pub user: UserId,
    /// The last message read, 0: none; `None`: the store could not say.
    pub seq: Option<Seq>,
}

/// The head of one conversation of a user, and the user's read marker.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationHead {
    pub log: LogId,
    pub head: LogHead,
    pub read: Seq,
    /// Messages from other users above the marker; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
    pub unread: u64,
}

/// The result of showing a key for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The name was free and is now claimed with this key. Only the key's hash is stored.
    New,
    /// The key matches.
    Matches,
    /// The name has another key.
    Differs,
}

/// A page of offline messages. `messages` and `lost` together are everything above the requested number, up to `upto`.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectPage {
    pub peer: UserId,
    pub head: LogHead,
    /// Ascending.
    pub messages: Vec<ChatMessage>,
    /// Messages that retention deleted or that are damaged, ascending.
    pub lost: Vec<LostInterval>,
    /// The last number of the page. At `head.seq` the conversation is complete.
    pub upto: Seq,
}

/// A direct conversation with a message since a time.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedConversation {
    pub peer: UserId,
    pub head: LogHead,
    /// Every stored message since that time is above this number.
    pub before: Seq,
}
