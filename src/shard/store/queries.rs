//! Questions of sessions to the store: history, search, read markers, unread counts.
//!
//! Invariant: a session gets answers about the rooms that it is in, and about the direct messages of a name that it has by a
//! valid right. The right is checked before the question ([`Asker`]) and again at the answer ([`may_receive`]), because meanwhile
//! the session may have been renamed, or somebody else may have claimed its name.

use std::sync::Arc;

use super::{
    port::StorePort,
    refusals::{busy, no_answer, no_history, not_yours},
    ticket::Ticket,
};
use crate::{
    chat::{
        Conversation, ErrorCode, HistoryPage, LogHead, Refusal, Reply, RequestId, RoomName, Seq, SessionId,
        UnreadEntry, UnreadPage, UserId,
    },
    history::{Answer, ConversationFilter, ConversationHead, LogId, Query, UserPair, Window},
    shard::{
        bus::directory::Directory,
        connection::{connections::Connections, session::Session, write::Socket},
        time::Moment,
    },
};

/// A question of a session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    /// A page of stored messages, with numbers between `after` and `before`.
    History {
        conversation: Conversation,
        before: Option<Seq>,
        after: Option<Seq>,
        limit: usize,
    },
    /// Messages that contain a text, with numbers below `before`.
    Search {
        conversation: Conversation,
        text: Arc<str>,
        before: Option<Seq>,
        limit: usize,
    },
    /// Sets the user's read marker.
    Read { conversation: Conversation, seq: Seq },
    /// The conversations with unread messages.
    Unread,
}

/// The session that asks, with the facts that decide what it may ask.
struct Asker<'a> {
    session: &'a Session,
    is_native: bool,
    directory: &'a Directory,
    is_member: &'a dyn Fn(&RoomName) -> bool,
}

impl Question {
    fn conversation(&self) -> Option<&Conversation> {
        match self {
            Self::History { conversation, .. }
            | Self::Search { conversation, .. }
            | Self::Read { conversation, .. } => Some(conversation),
            Self::Unread => None,
        }
    }

    /// The question in the store's terms, if this session may ask it.
    fn ask(self, asker: &Asker<'_>, store: &StorePort) -> Result<Query, Refusal> {
        if !store.is_there() {
            return Err(no_history());
        }
        let user = || asker.session.user().clone();
        Ok(match self {
            Self::History {
                conversation,
                before,
                after,
                limit,
            } => Query::Page {
                log: asker.log(&conversation, store)?,
                window: match (before, after) {
                    (Some(before), _) => Window::Before(before),
                    (None, Some(after)) => Window::After(after),
                    (None, None) => Window::Newest,
                },
                limit,
            },
            Self::Search {
                conversation,
                text,
                before,
                limit,
            } => Query::Search {
                log: asker.log(&conversation, store)?,
                text,
                before,
                limit,
            },
            Self::Read { conversation, seq } => Query::AdvanceMarker {
                log: asker.log(&conversation, store)?,
                user: user(),
                seq,
                credential: asker.session.credential(),
            },
            Self::Unread => {
                asker.owns_inbox(store)?;
                Query::Conversations {
                    user: user(),
                    filter: ConversationFilter::Unread,
                }
            }
        })
    }
}

impl Asker<'_> {
    fn log(&self, conversation: &Conversation, store: &StorePort) -> Result<LogId, Refusal> {
        match conversation {
            Conversation::Room(room) if !store.is_durable(room) => {
                Err(ErrorCode::NoHistory.because(format!("the messages of the room {room} are not stored")))
            }
            Conversation::Room(room) if !(self.is_member)(room) => {
                let text = format!("this session is not in the room {room}; join it first");
                Err(ErrorCode::NotMember.because(text))
            }
            Conversation::Room(room) => Ok(LogId::Room(room.clone())),
            Conversation::Peer(peer) => {
                self.owns_inbox(store)?;
                let (own, peer) = (self.session.user().clone(), self.directory.user_named(peer));
                Ok(LogId::Pair(UserPair::of(own, peer)))
            }
        }
    }

    fn owns_inbox(&self, store: &StorePort) -> Result<(), Refusal> {
        let owns = self.session.owns_inbox(self.is_native, store);
        if owns {
            Ok(())
        } else {
            Err(not_yours(self.session.name()))
        }
    }
}

/// Passes a session's question on to the store, or refuses it.
pub(crate) fn ask<S: Socket>(
    connections: &mut Connections<S>,
    store: &mut StorePort,
    directory: &Directory,
    is_member: &dyn Fn(&RoomName) -> bool,
    (id, request): (SessionId, RequestId),
    question: Question,
    now: Moment,
) {
    let Some(session) = connections.session(id) else { return };
    let is_native = connections.is_native(id);
    let asker = Asker {
        session,
        is_native,
        directory,
        is_member,
    };
    let ticket = Ticket::Question {
        session: id,
        id: request,
        conversation: question.conversation().cloned(),
    };
    let asked = question.ask(&asker, store);
    match asked.and_then(|ask| if store.ask(ask, ticket) { Ok(()) } else { Err(busy()) }) {
        Ok(()) => connections.question_asked(id),
        Err(refusal) => connections.reply(id, request, &Reply::Error(refusal), now),
    }
}

/// Sends the store's answer to the session that asked.
pub(crate) fn answer<S: Socket>(
    connections: &mut Connections<S>,
    store: &StorePort,
    (id, request): (SessionId, RequestId),
    conversation: Option<Conversation>,
    answer: Result<Answer, Refusal>,
    now: Moment,
) {
    if let Some(session) = connections.session(id) {
        let reply = reply(session, conversation, answer, store);
        connections.reply(id, request, &reply, now);
    }
    connections.question_answered(id);
}

/// The reply for a session, if it may still get this answer.
fn reply(
    session: &Session,
    conversation: Option<Conversation>,
    answer: Result<Answer, Refusal>,
    store: &StorePort,
) -> Reply {
    let answer = match answer {
        Ok(answer) if may_receive(session, &answer, store) => answer,
        Ok(_) => return Reply::Error(not_yours(session.name())),
        Err(refusal) => return Reply::Error(refusal),
    };
    let page = |conversation, head: LogHead, messages, more| {
        Box::new(HistoryPage {
            conversation,
            epoch: head.epoch,
            messages,
            more,
            first: head.first,
        })
    };
    match (answer, conversation) {
        (
            Answer::Page {
                head, messages, more, ..
            },
            Some(conversation),
        ) => Reply::History(page(conversation, head, messages, more)),
        (
            Answer::Found {
                head, messages, next, ..
            },
            Some(conversation),
        ) => Reply::Search {
            page: page(conversation, head, messages, next.is_some()),
            next,
        },
        (Answer::ReadMarker { seq, unread, .. }, Some(conversation)) => Reply::ReadMark {
            conversation,
            seq,
            unread,
        },
        (
            Answer::Conversations {
                user,
                conversations,
                more,
                ..
            },
            _,
        ) => {
            let entries = conversations.into_iter();
            let entries = entries.filter_map(|conversation| unread_entry(&user, conversation));
            Reply::UnreadList(UnreadPage {
                entries: entries.collect(),
                more,
            })
        }
        // The log gets no content of the answer, which may be somebody's messages.
        _ => {
            tracing::error!("the store answered another question than a session asked");
            Reply::Error(no_answer())
        }
    }
}

/// Whether a session may still get this answer.
fn may_receive(session: &Session, answer: &Answer, store: &StorePort) -> bool {
    match answer {
        Answer::Page { log, .. } | Answer::Found { log, .. } => match log {
            LogId::Room(_) => true,
            LogId::Pair(pair) => pair.ids().into_iter().any(|user| session.holds(user, store)),
        },
        Answer::ReadMarker { user, .. } | Answer::Conversations { user, .. } | Answer::Changed { user, .. } => {
            session.holds(user, store)
        }
        Answer::Direct(_) => session.holds_its_name(store),
        Answer::Head { .. } | Answer::Resumed { .. } | Answer::Name { .. } => true,
    }
}

fn unread_entry(user: &UserId, conversation: ConversationHead) -> Option<UnreadEntry> {
    let ConversationHead {
        log,
        head,
        read,
        unread,
    } = conversation;
    let conversation = match log {
        LogId::Room(room) => Conversation::Room(room),
        LogId::Pair(pair) => Conversation::Peer(pair.peer_of(user)?.name()?.clone()),
    };
    Some(UnreadEntry {
        conversation,
        epoch: head.epoch,
        read,
        head: head.seq,
        unread,
    })
}
