//! Tickets: what a shard gives to the store with a request, and gets back with the outcome.
//!
//! A ticket holds only what the outcome does not say by itself, and names the shard that waits for it.

use crate::{
    chat::{Conversation, RequestId, RoomName, SessionId, ShardId, UserName},
    history::{Answer, NameKey, Outcome},
};

/// For whom an outcome of the store is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ticket {
    /// The owner of a room, for a message of the room.
    Message(ShardId),
    /// The owner of a pair of users, for a direct message.
    Direct {
        owner: ShardId,
        to: UserName,
        /// What it counts in [`crate::shard::bus::directory::Directory::directs`] meanwhile.
        bytes: usize,
    },
    /// The owner of a room that is to be opened.
    Open { owner: ShardId, room: RoomName },
    /// A session that says hello.
    Hello(SessionId),
    /// A session that takes another name.
    Rename {
        session: SessionId,
        id: RequestId,
        /// The key that it showed.
        key: NameKey,
    },
    /// A session that asks for stored messages, read markers, or what is unread.
    Question {
        session: SessionId,
        id: RequestId,
        conversation: Option<Conversation>,
    },
    /// A session that resumes a room, for one of its joins.
    Resume { session: SessionId, number: u32 },
    /// A member that is sent what it missed, for one of its replays.
    Replay { session: SessionId, number: u32 },
    /// A session that reads its inbox, for one of its readings.
    Inbox { session: SessionId, number: u32 },
    /// Nobody: a read marker that a session moved without asking.
    Silent(ShardId),
}

impl Ticket {
    /// The ticket of an outcome.
    pub(crate) fn of(outcome: &Outcome<Self>) -> &Self {
        match outcome {
            Outcome::Committed { append, .. }
            | Outcome::Duplicate { append, .. }
            | Outcome::KeyConflict { append }
            | Outcome::Failed { append, .. } => &append.ticket,
            Outcome::Answered { ticket, .. } | Outcome::Unanswered { ticket, .. } => ticket,
        }
    }

    /// The shard that waits for the outcome.
    pub(crate) fn shard(&self) -> ShardId {
        match self {
            Self::Message(owner) | Self::Direct { owner, .. } | Self::Open { owner, .. } => *owner,
            Self::Hello(session)
            | Self::Rename { session, .. }
            | Self::Question { session, .. }
            | Self::Resume { session, .. }
            | Self::Replay { session, .. }
            | Self::Inbox { session, .. } => session.shard(),
            Self::Silent(shard) => *shard,
        }
    }
}

/// What it costs to pass an outcome on, in messages.
pub(crate) fn weight(outcome: &Outcome<Ticket>) -> usize {
    let Outcome::Answered { answer, .. } = outcome else {
        return 1;
    };
    match answer {
        Answer::Page { messages, .. } | Answer::Found { messages, .. } | Answer::Resumed { messages, .. } => {
            1 + messages.len()
        }
        Answer::Direct(Some(page)) => 1 + page.messages.len(),
        Answer::Direct(None)
        | Answer::Head { .. }
        | Answer::Marked { .. }
        | Answer::Conversations { .. }
        | Answer::Changed { .. }
        | Answer::Name { .. } => 1,
    }
}
