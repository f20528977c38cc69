//! Tickets: the context that a shard sends to the store with a request, and gets back with the outcome.
//!
//! A ticket names the shard that waits for the outcome, and contains only what the outcome itself does not.

use crate::{
    chat::{Conversation, Receiver, RequestId, RoomName, SessionId, ShardId},
    history::{Answer, NameKey, Outcome},
};

/// The purpose of a request to the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ticket {
    /// To the owner of a room: a message of the room.
    Message(ShardId),
    /// To the owner of a pair of users: a direct message.
    Direct {
        owner: ShardId,
        to: Receiver,
        /// Its share of [`crate::shard::bus::directory::Directory::directs`] until the outcome comes.
        bytes: usize,
    },
    /// To the owner of a room: opens the room.
    Open { owner: ShardId, room: RoomName },
    /// Compares the key of a session's hello.
    Hello(SessionId),
    /// Compares the key of a session's rename.
    Rename {
        session: SessionId,
        id: RequestId,
        key: NameKey,
    },
    /// Answers a question of a session.
    Question {
        session: SessionId,
        id: RequestId,
        conversation: Option<Conversation>,
    },
    /// Reads what one join of a session needs.
    Resume { session: SessionId, number: u32 },
    /// Reads a page for one replay of a session.
    Replay { session: SessionId, number: u32 },
    /// Reads offline messages for one backfill of a session.
    Inbox { session: SessionId, number: u32 },
    /// Sets a read marker; nothing waits for the outcome.
    Silent(ShardId),
}

impl Ticket {
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

/// The cost of handling an outcome, in messages.
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
        | Answer::ReadMarker { .. }
        | Answer::Conversations { .. }
        | Answer::Changed { .. }
        | Answer::Name { .. } => 1,
    }
}
