//! Outcomes: what became of a request.
//!
//! Every request has exactly one outcome. An outcome that says "stored" is as durable as the settings ask for; a message that failed
//! never had a number. An answer comes from one snapshot of the store, and never contains a row whose checksum is wrong.

use super::{
    fault::StoreFault,
    log::LogId,
    request::{Append, Ask, ChangedUpTo},
};
use crate::chat::{ChatMessage, LogHead, LostInterval, Position, Seq, UserId, UserName};

/// The result of a request to the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    Committed {
        append: Append<T>,
        position: Position,
        /// The number of the message before it.
        prev: Seq,
        /// The time stored, Unix milliseconds.
        at: u64,
    },
    /// The key was used before for the same text: nothing was stored.
    Duplicate {
        append: Append<T>,
        /// Of the first copy.
        position: Position,
        /// Of the first copy.
        at: u64,
    },
    /// The key was used before for another text: nothing was stored.
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
    /// A question could not be answered.
    Unanswered {
        ticket: T,
        ask: Ask,
        why: StoreFault,
    },
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Head {
        log: LogId,
        head: LogHead,
    },
    Page {
        log: LogId,
        /// Where it stood when the page was read.
        head: LogHead,
        /// Ascending, each with the number of the one before it.
        messages: Vec<ChatMessage>,
        /// Whether there is more in the direction that was asked.
        more: bool,
    },
    /// Messages that a search found.
    Found {
        log: LogId,
        head: LogHead,
        /// Descending.
        messages: Vec<ChatMessage>,
        /// Go on below this number: there is more, or the time for one search was up.
        next: Option<Seq>,
    },
    Marked {
        log: LogId,
        /// Whose marker.
        user: UserId,
        /// The last message read.
        seq: Seq,
        /// Messages of others above it; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
        unread: u64,
    },
    /// What a user needs to resume a log.
    Resumed {
        log: LogId,
        head: LogHead,
        /// The user's read marker.
        read: ReadUpTo,
        /// What was missed begins after this number.
        after: Seq,
        /// The first missed messages, ascending.
        messages: Vec<ChatMessage>,
    },
    Conversations {
        user: UserId,
        /// At most [`crate::limits::HISTORY_CONVERSATIONS`], direct ones first, the one with the newest message first.
        conversations: Vec<ConversationHead>,
        /// Whether there are more. They are listed once these have been read.
        more: bool,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    /// Offline messages. `None`: the name is claimed, and the asker has not shown its key.
    Direct(Option<DirectPage>),
    /// Direct conversations in which somebody wrote.
    Changed {
        /// The owner of the inbox.
        user: UserId,
        /// At most [`crate::limits::CHANGED_CONVERSATIONS`].
        conversations: Vec<ChangedConversation>,
        /// Ask for the next page with this; `None` after the last.
        next: Option<ChangedUpTo>,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    /// What became of a key that was shown.
    Name {
        name: UserName,
        claim: Claim,
    },
}

/// A user's read marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadUpTo {
    pub user: UserId,
    /// The last message read, 0: none; `None`: the store could not say.
    pub seq: Option<Seq>,
}

/// Where one conversation of a user stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationHead {
    pub log: LogId,
    pub head: LogHead,
    /// The user's read marker.
    pub read: Seq,
    /// Messages of others above it; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
    pub unread: u64,
}

/// What became of a key that was shown for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The name was free, and is claimed with this key from now on. Only the key's hash is stored.
    First,
    /// It is the key of the name.
    Held,
    /// The name has another key.
    Other,
}

/// A page of offline messages. `messages` and `lost` together are everything above the number asked for, up to `upto`.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectPage {
    pub peer: UserId,
    pub head: LogHead,
    /// Ascending.
    pub messages: Vec<ChatMessage>,
    /// What retention deleted or damage made unreadable, ascending.
    pub lost: Vec<LostInterval>,
    /// The page ends here; the conversation is finished when this is `head.seq`.
    pub upto: Seq,
}

/// A direct conversation in which somebody wrote since a time.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangedConversation {
    pub peer: UserId,
    pub head: LogHead,
    /// Every stored message since that time is above this.
    pub before: Seq,
}
