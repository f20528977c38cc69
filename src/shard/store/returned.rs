//! The outcomes of the store, each in the type that its request expects.
//!
//! An answer of another type is a fault of the store and becomes a refusal here, so code that handles a [`Returned`] need not
//! check the type.

use super::{refusals, ticket::Ticket};
use crate::{
    chat::{
        Backlog, ChatMessage, Conversation, Direct, LogHead, NewMessage, Position, Refusal, Reply, RequestId, RoomName,
        Seq, SessionId, UserId, UserName, key_conflict,
    },
    history::{
        Answer, Append, ChangedConversation, ChangedUpTo, Claim, ConversationHead, DirectPage, LogId, NameKey, Outcome,
        ReadMarker,
    },
};

/// An outcome of the store in the type of its request.
#[derive(Debug, PartialEq)]
pub(crate) enum Returned {
    /// A message of a room that this shard owns was stored, or not.
    Message {
        room: RoomName,
        message: Box<NewMessage>,
        result: AppendResult,
    },
    /// A direct message of a pair that this shard owns was stored, or not.
    Direct {
        session: SessionId,
        id: RequestId,
        /// Its share of [`crate::shard::bus::directory::Directory::directs`], which ends now.
        bytes: usize,
        /// The message with its number, or the reply for its sender.
        answer: Result<Direct, Reply>,
    },
    /// The head of a room's log, and what the first user to join missed.
    Opened {
        room: RoomName,
        answer: Result<(LogHead, Option<Backlog>), Refusal>,
    },
    /// The store compared the key of a hello.
    Hello {
        session: SessionId,
        answer: Result<(UserName, Claim), Refusal>,
    },
    /// The store compared the key of a rename.
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
    /// The read marker and the first missed messages for a join; `None` if the store could not read them.
    Resume {
        session: SessionId,
        number: u32,
        backlog: Option<Backlog>,
    },
    /// A page for a replay; `None` if the store could not read it.
    Replay {
        session: SessionId,
        number: u32,
        messages: Option<Vec<ChatMessage>>,
    },
    /// The answer to a question about offline messages.
    Inbox {
        session: SessionId,
        number: u32,
        answer: Result<InboxAnswer, Refusal>,
    },
    /// Nothing waits for this outcome.
    Nothing,
}

/// Whether the store has a message.
#[derive(Debug, PartialEq)]
pub(crate) enum AppendResult {
    /// The store has it at this position.
    Stored { position: Position, prev: Seq, at: u64 },
    /// The store did not take it, or had it before. The reply for its sender.
    NotStored(Reply),
}

/// An answer of the store about offline messages.
#[derive(Debug, PartialEq)]
pub(crate) enum InboxAnswer {
    /// The conversations with unread messages. With `more` there are others, which a later session reads.
    Waiting {
        user: UserId,
        conversations: Vec<ConversationHead>,
        more: bool,
        unreadable: usize,
    },
    /// The conversations with new messages since the session skipped some.
    Changed {
        conversations: Vec<ChangedConversation>,
        next: Option<ChangedUpTo>,
        unreadable: usize,
    },
    /// A page of one conversation; `None` if the name has been claimed and the session has not shown its key.
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
            } => Self::message(append, AppendResult::Stored { position, prev, at }),
            Outcome::Duplicate { append, position, at } => {
                let duplicate = true;
                Self::message(
                    append,
                    AppendResult::NotStored(Reply::Ack {
                        position,
                        at,
                        duplicate,
                    }),
                )
            }
            Outcome::KeyConflict { append } => {
                Self::message(append, AppendResult::NotStored(Reply::Error(key_conflict())))
            }
            Outcome::Failed { append, why } => {
                Self::message(append, AppendResult::NotStored(Reply::Error(refusals::failed(&why))))
            }
            Outcome::Answered { ticket, answer } => Self::question(ticket, Ok(answer)),
            Outcome::Unanswered { ticket, query, why } => {
                tracing::warn!(?query, %why, "the store could not answer");
                Self::question(ticket, Err(refusals::failed(&why)))
            }
        }
    }
}

impl Returned {
    fn message(append: Append<Ticket>, result: AppendResult) -> Self {
        let Append {
            log, message, ticket, ..
        } = append;
        match (ticket, log) {
            (Ticket::Message(_), LogId::Room(room)) => Self::Message { room, message, result },
            (Ticket::Direct { to, bytes, .. }, _) => Self::Direct {
                session: message.session,
                id: message.id,
                bytes,
                answer: match result {
                    AppendResult::NotStored(reply) => Err(reply),
                    AppendResult::Stored { position, prev, at } => {
                        let message = message.numbered(position, prev, at);
                        Ok(Direct { to, message })
                    }
                },
            },
            (ticket, log) => {
                tracing::error!(?ticket, %log, "an outcome belongs to no message of this shard");
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

/// The answer in the type of its question, or a refusal if the store answered in another type. The log gets no content of the
/// answer, which may be somebody's messages.
fn typed<T>(answer: Result<Answer, Refusal>, read: impl FnOnce(Answer) -> Option<T>) -> Result<T, Refusal> {
    read(answer?).ok_or_else(|| {
        let expected = std::any::type_name::<T>();
        tracing::error!(expected, "the store answered another question than was asked");
        refusals::no_answer()
    })
}

fn claim(answer: Answer) -> Option<(UserName, Claim)> {
    match answer {
        Answer::Name { name, claim } => Some((name, claim)),
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

fn backlog(ReadMarker { user, seq: read }: ReadMarker, after: Seq, messages: Vec<ChatMessage>) -> Backlog {
    Backlog {
        user,
        read,
        after,
        messages,
    }
}
