//! The words between the chat and its store: what is asked, and what comes back.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{ChangedConversation, ChangedUpTo, DirectPage};
use crate::chat::{ClientId, Key, LogHead, Position, RoomName, Seq, SessionTag, Since, Talk, TalkKind, UserName};

/// What is numbered on its own: a room, or the direct conversation of two users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogId {
    /// A room.
    Room(RoomName),
    /// Two users.
    Pair(UserPair),
}

/// Two users, whichever of them speaks; both may be the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserPair {
    low: UserName,
    high: UserName,
}

/// A talk to be numbered and stored. `T` is whatever the caller wants back with the outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Append<T> {
    /// Where.
    pub log: LogId,
    /// Who says it.
    pub from: UserName,
    /// In which session.
    pub session: SessionTag,
    /// By which client, where it said so: the key is the client's then, else the user's.
    pub client: Option<ClientId>,
    /// What is said.
    pub text: Arc<str>,
    /// What kind of thing the text is.
    pub kind: TalkKind,
    /// Makes a repeated talk the same message.
    pub key: Option<Key>,
    /// Unix milliseconds. The store never lets the times of a log run backwards.
    pub at: u64,
    /// Comes back with the outcome.
    pub ticket: T,
}

/// What may be asked of the store besides appending.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Where a log stands. Answered by [`Answer::Head`].
    Head(LogId),
    /// Stored talks. Answered by [`Answer::Page`].
    Page {
        /// Of what.
        log: LogId,
        /// Which of them.
        window: Window,
        /// At most this many; [`crate::limits::HISTORY_PAGE_TALKS`] bounds it.
        limit: usize,
    },
    /// Talks that hold a text, newest first. Answered by [`Answer::Found`].
    Search {
        /// In what.
        log: LogId,
        /// What to look for.
        text: Arc<str>,
        /// Below this seq.
        before: Option<Seq>,
        /// At most this many.
        limit: usize,
    },
    /// The user has read everything up to `seq`. Positions only grow. Answered by [`Answer::Marked`] once committed.
    Mark {
        /// What was read.
        log: LogId,
        /// Who read it.
        user: UserName,
        /// The last talk read.
        seq: Seq,
        /// By what right. For who has none the position stays where it is.
        bearer: Bearer,
    },
    /// Where a user stands in one log, without changing it. Answered by [`Answer::Marked`].
    MarkOf {
        /// Which log.
        log: LogId,
        /// Which user.
        user: UserName,
    },
    /// All that is needed to let a user go on in a log: where the log stands, how far the user has read, and the first of the
    /// talks that were missed. Answered by [`Answer::Resumed`].
    Resume {
        /// Which log.
        log: LogId,
        /// Which user.
        user: UserName,
        /// From where.
        since: Since,
        /// At most this many talks; they are left out where they cannot be read.
        limit: usize,
    },
    /// The conversations of a user in which something waits. Answered by [`Answer::Conversations`].
    Conversations {
        /// Whose.
        user: UserName,
        /// Which of them.
        which: Which,
    },
    /// Direct messages of one conversation for a device of `user`. Answered by [`Answer::Direct`].
    Direct {
        /// Whose device.
        user: UserName,
        /// By what right it reads.
        bearer: Bearer,
        /// The other user.
        peer: UserName,
        /// The device has everything up to here.
        after: Seq,
    },
    /// Direct conversations of a user in which somebody wrote at or after a time, whatever the user has read, the one with the
    /// oldest newest message first. Answered by [`Answer::Changed`].
    Changed {
        /// Whose.
        user: UserName,
        /// By what right they are read.
        bearer: Bearer,
        /// Stored time of a message, Unix milliseconds.
        since: u64,
        /// Where the previous page ended; `None` for the first page.
        after: Option<ChangedUpTo>,
    },
    /// A user shows the key of a name, or claims a name that has none. Answered by [`Answer::Name`] once committed.
    Claim {
        /// The name.
        user: UserName,
        /// Its key; at least [`crate::limits::NAME_KEY_LEAST`] bytes to claim with.
        key: NameKey,
    },
}

/// Which talks of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The newest.
    Newest,
    /// The newest below this seq.
    Before(Seq),
    /// The oldest above this seq.
    After(Seq),
    /// From the first to the last of these, both included, oldest first to be kept.
    Range(Seq, Seq),
}

/// Which conversations of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those with something unread: direct ones, and the rooms in which the user has a read position.
    Unread,
    /// Direct ones alone: those with these others, whatever the user has read there and also where nothing is stored, then
    /// those with something unread, then those in which only talks of the user's own lie above what was read.
    Mail {
        /// By what right. Who has none has no mail.
        bearer: Bearer,
        /// Others up to whom a device knows where it stands.
        known: Vec<UserName>,
    },
}

/// By what right a user has the mail of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer {
    /// The name's key has been shown.
    Key,
    /// The name was said, and no more: the mail is this user's as long as nobody has claimed the name.
    Name,
}

/// What became of something submitted. Every append and every question has exactly one outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T> {
    /// Numbered and as durable as the store was told to make it.
    Committed {
        /// What was asked.
        append: Append<T>,
        /// Its epoch and number.
        position: Position,
        /// The number of the talk before it.
        prev: Seq,
        /// The time stored, Unix milliseconds.
        at: u64,
    },
    /// The key was known and the text is the same: nothing was stored. `position` and `at` are the first copy's.
    Duplicate {
        /// What was asked.
        append: Append<T>,
        /// Of the first copy.
        position: Position,
        /// Of the first copy.
        at: u64,
    },
    /// The key was known with another text: nothing was stored.
    KeyConflict {
        /// What was asked.
        append: Append<T>,
    },
    /// Nothing was stored, and no number was used.
    Failed {
        /// What was asked.
        append: Append<T>,
        /// Why.
        why: StoreFault,
    },
    /// A question was answered.
    Answered {
        /// The asker's.
        ticket: T,
        /// The answer.
        answer: Answer,
    },
    /// A question could not be answered.
    Unanswered {
        /// The asker's.
        ticket: T,
        /// The question.
        ask: Ask,
        /// Why.
        why: StoreFault,
    },
}

/// What the store says to an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Where a log stands.
    Head {
        /// Which log.
        log: LogId,
        /// Where it stands.
        head: LogHead,
    },
    /// Stored talks.
    Page {
        /// Of which log.
        log: LogId,
        /// Where it stood when the page was read.
        head: LogHead,
        /// Ascending by seq, without holes.
        talks: Vec<Talk>,
        /// Whether there is more in the direction that was asked.
        more: bool,
    },
    /// Talks found.
    Found {
        /// In which log.
        log: LogId,
        /// Where it stood.
        head: LogHead,
        /// Descending by seq.
        talks: Vec<Talk>,
        /// Go on below this seq: there is more, or the time for one search was up.
        next: Option<Seq>,
    },
    /// A read position.
    Marked {
        /// Where.
        log: LogId,
        /// Whose.
        user: UserName,
        /// The position now.
        seq: Seq,
        /// Talks of others above it; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
        unread: u64,
    },
    /// Where a user goes on.
    Resumed {
        /// In which log.
        log: LogId,
        /// Where it stands.
        head: LogHead,
        /// How far this user has read.
        read: ReadUpTo,
        /// The first that were missed, ascending by seq, without holes.
        talks: Vec<Talk>,
    },
    /// Conversations of a user.
    Conversations {
        /// Whose.
        user: UserName,
        /// At most [`crate::limits::HISTORY_CONVERSATIONS`] of them, direct ones first, the one with the newest talk first.
        conversations: Vec<ConversationHead>,
        /// Whether there are more of them. Those come once these have been read.
        more: bool,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    /// Direct messages for a device. `None`: somebody was given a key for the name, and the asker has not shown it.
    Direct(Option<DirectPage>),
    /// Direct conversations in which somebody wrote.
    Changed {
        /// Whose.
        user: UserName,
        /// At most [`crate::limits::CHANGED_CONVERSATIONS`] of them.
        conversations: Vec<ChangedConversation>,
        /// Ask for the next page with this; `None` after the last.
        next: Option<ChangedUpTo>,
        /// Conversations left out because their rows are damaged.
        unreadable: usize,
    },
    /// What became of a key that was shown.
    Name {
        /// The name.
        user: UserName,
        /// The answer.
        claim: Claim,
    },
}

/// How far a user has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadUpTo {
    /// Who.
    pub user: UserName,
    /// The last talk read, 0: none; `None`: the store could not say.
    pub seq: Option<Seq>,
}

/// Where one conversation of a user stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationHead {
    /// Which.
    pub log: LogId,
    /// Where it stands.
    pub head: LogHead,
    /// The user's read position.
    pub read: Seq,
    /// Talks of others above it; exact up to [`crate::limits::HISTORY_UNREAD_EXACT`].
    pub unread: u64,
}

/// The key of a name. Whoever has it has the name's mail, so nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey(pub String);

impl std::fmt::Debug for NameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameKey(…)")
    }
}

/// What became of a key that was shown for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody had claimed the name: this key is its key from now on. Only its hash is stored.
    First,
    /// It is the key of the name.
    Held,
    /// The name has another key.
    Other,
}

/// Why the store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFault {
    /// No space left.
    Full {
        /// What was written.
        file: PathBuf,
    },
    /// The file or its file system cannot be written.
    ReadOnly {
        /// What was written.
        file: PathBuf,
    },
    /// What is stored is not what was written.
    Damaged {
        /// Where.
        file: PathBuf,
        /// In which log, where that is known.
        log: Option<LogId>,
        /// At which talk, where that is known.
        seq: Option<Seq>,
        /// What was seen.
        seen: String,
    },
    /// Anything else that the system or SQLite says.
    Broken {
        /// Where.
        file: PathBuf,
        /// What was said.
        seen: String,
    },
    /// The question itself is beyond a bound.
    Refused {
        /// What was seen and what the bound is.
        seen: String,
    },
    /// The store is stopping.
    Stopping,
}

impl UserPair {
    /// The pair of these two, in either order.
    pub fn of(one: &UserName, other: &UserName) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self {
            low: low.clone(),
            high: high.clone(),
        }
    }

    /// The two names, in their order.
    pub fn names(&self) -> [&UserName; 2] {
        [&self.low, &self.high]
    }

    /// Who talks with `user`: the other one, or `user` itself where both are the same; `None` for a stranger.
    pub fn peer_of(&self, user: &UserName) -> Option<&UserName> {
        if *user == self.low {
            Some(&self.high)
        } else if *user == self.high {
            Some(&self.low)
        } else {
            None
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room {room:?}"),
            Self::Pair(pair) => write!(f, "direct {:?} and {:?}", pair.low, pair.high),
        }
    }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { file } => write!(
                f,
                "no space left to write {}: free some or shorten the retention; the store goes on by itself",
                file.display()
            ),
            Self::ReadOnly { file } => write!(
                f,
                "{} cannot be written: make it and its file system writable; the store goes on by itself",
                file.display()
            ),
            Self::Damaged { file, log, seq, seen } => {
                write!(f, "{} is damaged", file.display())?;
                if let Some(log) = log {
                    write!(f, " in {log}")?;
                }
                if let Some(seq) = seq {
                    write!(f, " at seq {seq}")?;
                }
                write!(
                    f,
                    ": {seen}. `plaza history check` lists all damage, `plaza history export` saves what can be read, \
                     `plaza history import` puts an export or a backup into a fresh directory"
                )
            }
            Self::Broken { file, seen } => write!(f, "{}: {seen}", file.display()),
            Self::Refused { seen } => f.write_str(seen),
            Self::Stopping => f.write_str("the store is stopping"),
        }
    }
}

impl std::error::Error for StoreFault {}
