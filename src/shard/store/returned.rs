//! What comes back from the store: each outcome in the type of its request, for whoever gave the request.
//!
//! Whoever takes a [`Returned`] need not know which question was asked: an answer of another type than its question has is a fault of
//! the store, and becomes a refusal here.

use super::{refusals, ticket::Ticket};
use crate::{
    chat::{
        Backlog, ChatMessage, Conversation, Direct, LogHead, NewMessage, Position, Refusal, Reply, RequestId, RoomName,
        Seq, SessionId, UserName, key_conflict,
    },
    history::{
        Answer, Append, ChangedConversation, ChangedUpTo, Claim, ConversationHead, DirectPage, LogId, NameKey, Outcome,
        ReadUpTo,
    },
};

/// A result from the store, typed by the request that it belongs to.
#[derive(Debug, PartialEq)]
pub(crate) enum Returned {
    /// A message of a room that this shard owns.
    Message {
        room: RoomName,
        message: Box<NewMessage>,
        became: Became,
    },
    /// A direct message of a pair that this shard owns.
    Direct {
        session: SessionId,
        id: RequestId,
        /// What it counted in [`crate::shard::bus::directory::Directory::directs`].
        bytes: usize,
        /// The message with its number, or what its sender is told instead.
        answer: Result<Direct, Reply>,
    },
    /// Where the log of a room stands, and what the user missed who asked for it.
    Opened {
        room: RoomName,
        answer: Result<(LogHead, Option<Backlog>), Refusal>,
    },
    /// The key of a hello was compared.
    Hello {
        session: SessionId,
        answer: Result<(UserName, Claim), Refusal>,
    },
    /// The key of a rename was compared.
    Rename {
        session: SessionId,
        id: RequestId,
        key: NameKey,
        answer: Result<(UserName, Claim), Refusal>,
    },
    /// The answer to a session's question.
    Question {
        session: SessionId,
        id: RequestId,
        conversation: Option<Conversation>,
        answer: Result<Answer, Refusal>,
    },
    /// How far the user of a join has read, and the first of what it missed; `None`: that could not be read.
    Resume {
        session: SessionId,
        number: u32,
        backlog: Option<Backlog>,
    },
    /// A page for a replay; `None`: it could not be read.
    Replay {
        session: SessionId,
        number: u32,
        messages: Option<Vec<ChatMessage>>,
    },
    /// The answer to a reading of an inbox.
    Inbox {
        session: SessionId,
        number: u32,
        answer: Result<InboxAnswer, Refusal>,
    },
    /// Nobody waits for it.
    Nothing,
}

/// Whether the store took a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Became {
    /// It is stored under this number.
    Stored { position: Position, prev: Seq, at: u64 },
    /// It is not, or was before: its sender is told this.
    Not(Reply),
}

/// What the store says about an inbox.
#[derive(Debug, PartialEq)]
pub(crate) enum InboxAnswer {
    /// The conversations in which something waits; with `more` there are others, for the next time.
    Waiting {
        user: UserName,
        conversations: Vec<ConversationHead>,
        more: bool,
        unreadable: usize,
    },
    /// The conversations in which somebody wrote since messages were left to the store.
    Changed {
        conversations: Vec<ChangedConversation>,
        next: Option<ChangedUpTo>,
        unreadable: usize,
    },
    /// A page of one conversation; `None`: the name has a key now, and the session has not shown it.
    Page(Option<DirectPage>),
}

impl From<Outcome<Ticket>> for Returned {
    fn from(outcome: Outcome<Ticket>) -> Self {
        match outcome {
            Outcome::Committed {
                append,
                position,
                prev,
                at,
            } => Self::message(append, Became::Stored { position, prev, at }),
            Outcome::Duplicate { append, position, at } => {
                let duplicate = true;
                Self::message(
                    append,
                    Became::Not(Reply::Ack {
                        position,
                        at,
                        duplicate,
                    }),
                )
            }
            Outcome::KeyConflict { append } => Self::message(append, Became::Not(Reply::Error(key_conflict()))),
            Outcome::Failed { append, why } => Self::message(append, Became::Not(Reply::Error(refusals::failed(&why)))),
            Outcome::Answered { ticket, answer } => Self::question(ticket, Ok(answer)),
            Outcome::Unanswered { ticket, ask, why } => {
                tracing::warn!(?ask, %why, "the store could not answer");
                Self::question(ticket, Err(refusals::failed(&why)))
            }
        }
    }
}

impl Returned {
    fn message(append: Append<Ticket>, became: Became) -> Self {
        let Append {
            log, message, ticket, ..
        } = append;
        match (ticket, log) {
            (Ticket::Message(_), LogId::Room(room)) => Self::Message { room, message, became },
            (Ticket::Direct { to, bytes, .. }, _) => Self::Direct {
                session: message.session,
                id: message.id,
                bytes,
                answer: match became {
                    Became::Not(reply) => Err(reply),
                    Became::Stored { position, prev, at } => {
                        let message = message.numbered(position, prev, at);
                        Ok(Direct { to, message })
                    }
                },
            },
            (ticket, log) => {
                tracing::error!(?ticket, %log, "a message came back that was never given");
                Self::Nothing
            }
        }
    }

    fn question(ticket: Ticket, answer: Result<Answer, Refusal>) -> Self {
        match ticket {
            Ticket::Open { room, .. } => Self::Opened {
                room,
                answer: typed(answer, |answer| match answer {
                    Answer::Head { head, .. } => Some((head, None)),
                    Answer::Resumed {
                        head,
                        read,
                        after,
                        messages,
                        ..
                    } => Some((head, Some(backlog(read, after, messages)))),
                    _ => None,
                }),
            },
            Ticket::Hello(session) => Self::Hello {
                session,
                answer: typed(answer, claim),
            },
            Ticket::Rename { session, id, key } => Self::Rename {
                session,
                id,
                key,
                answer: typed(answer, claim),
            },
            Ticket::Question {
                session,
                id,
                conversation,
            } => Self::Question {
                session,
                id,
                conversation,
                answer,
            },
            Ticket::Resume { session, number } => Self::Resume {
                session,
                number,
                backlog: typed(answer, |answer| match answer {
                    Answer::Resumed {
                        read, after, messages, ..
                    } => Some(backlog(read, after, messages)),
                    _ => None,
                })
                .ok(),
            },
            Ticket::Replay { session, number } => Self::Replay {
                session,
                number,
                messages: typed(answer, |answer| match answer {
                    Answer::Page { messages, .. } => Some(messages),
                    _ => None,
                })
                .ok(),
            },
            Ticket::Inbox { session, number } => Self::Inbox {
                session,
                number,
                answer: typed(answer, inbox_answer),
            },
            Ticket::Silent(_) | Ticket::Message(_) | Ticket::Direct { .. } => Self::Nothing,
        }
    }
}

/// The answer in the type that its question has. An answer of another type is a fault of the store, and counts as none; what
/// it says is not logged, since it may be somebody's messages.
fn typed<T>(answer: Result<Answer, Refusal>, read: impl FnOnce(Answer) -> Option<T>) -> Result<T, Refusal> {
    read(answer?).ok_or_else(|| {
        let expected = std::any::type_name::<T>();
        tracing::error!(expected, "the store answered another question than was asked");
        refusals::no_answer()
    })
}

fn claim(answer: Answer) -> Option<(UserName, Claim)> {
    match answer {
        Answer::Name { user, claim } => Some((user, claim)),
        _ => None,
    }
}

fn inbox_answer(answer: Answer) -> Option<InboxAnswer> {
    match answer {
        Answer::Conversations {
            user,
            conversations,
            more,
            unreadable,
        } => Some(InboxAnswer::Waiting {
            user,
            conversations,
            more,
            unreadable,
        }),
        Answer::Changed {
            conversations,
            next,
            unreadable,
            ..
        } => Some(InboxAnswer::Changed {
            conversations,
            next,
            unreadable,
        }),
        Answer::Direct(page) => Some(InboxAnswer::Page(page)),
        _ => None,
    }
}

fn backlog(ReadUpTo { user, seq: read }: ReadUpTo, after: Seq, messages: Vec<ChatMessage>) -> Backlog {
    Backlog {
        user,
        read,
        after,
        messages,
    }
}
