//! What sessions ask of the store: history, search, read positions, what is unread.

use std::sync::Arc;

use crate::shard::{
    connection::write::Socket,
    engine::{Clock, Engine},
    store::names::not_yours,
    store::port::{Ticket, busy_store},
};
use crate::{
    chat::{
        Conversation, ErrorCode, HistoryPage, Refusal, Reply, RequestId, Seq, SessionId, UnreadEntry, UnreadPage,
        UserName,
    },
    history::{Answer, Ask, ConversationHead, LogId, UserPair, Which, Window},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// History, search, read and unread: asked of the store, if the session may know.
    pub(crate) fn question(&mut self, id: SessionId, request: RequestId, question: Question) {
        if self.store.is_none() {
            return self.refuse(
                id,
                request,
                ErrorCode::NoHistory.because("this server keeps no history"),
            );
        }
        let Some((user, bearer)) = self
            .connection(id)
            .and_then(|c| c.session())
            .map(|session| (session.name.clone(), session.bearer()))
        else {
            return;
        };
        let conversation = question.conversation().cloned();
        let log = match conversation
            .as_ref()
            .map(|conversation| self.log_for(id, &user, conversation))
        {
            None => None,
            Some(Ok(log)) => Some(log),
            Some(Err(refusal)) => return self.refuse(id, request, refusal),
        };
        let ask = match (question, log) {
            (
                Question::History {
                    before, after, limit, ..
                },
                Some(log),
            ) => {
                let window = match (before, after) {
                    (Some(before), _) => Window::Before(before),
                    (None, Some(after)) => Window::After(after),
                    (None, None) => Window::Newest,
                };
                Ask::Page { log, window, limit }
            }
            (
                Question::Search {
                    text, before, limit, ..
                },
                Some(log),
            ) => Ask::Search {
                log,
                text,
                before,
                limit,
            },
            (Question::Read { seq, .. }, Some(log)) => Ask::Mark { log, user, seq, bearer },
            (Question::Unread, _) => {
                if !self.owns_inbox(id) {
                    return self.refuse(id, request, not_yours(&user));
                }
                Ask::Conversations {
                    user,
                    which: Which::Unread,
                }
            }
            (Question::History { .. } | Question::Search { .. } | Question::Read { .. }, None) => return,
        };
        if self.ask_store(
            ask,
            Ticket::Question {
                session: id,
                id: request,
                conversation,
            },
        ) {
            self.connections.question_asked(id);
        } else {
            self.refuse(id, request, busy_store());
        }
    }

    pub(crate) fn question_answered(&mut self, id: SessionId) {
        self.connections.question_answered(id);
        self.follow();
    }

    pub(crate) fn log_for(
        &mut self,
        id: SessionId,
        user: &UserName,
        conversation: &Conversation,
    ) -> Result<LogId, Refusal> {
        match conversation {
            Conversation::Room(room) => {
                if !self.keeps(room) {
                    return Err(ErrorCode::NoHistory.because(format!("the talks of the room {room} are not kept")));
                }
                if !self.rooms.is_member(id, room) {
                    let text = format!("this session is not in the room {room}; join it first");
                    return Err(ErrorCode::NotMember.because(text));
                }
                Ok(LogId::Room(room.clone()))
            }
            Conversation::Peer(peer) => {
                if !self.owns_inbox(id) {
                    return Err(not_yours(user));
                }
                Ok(LogId::Pair(UserPair::of(user, peer)))
            }
        }
    }

    /// Whether an answer of the store is still for this session: its user may have taken another name since it asked, and
    /// somebody else may have claimed the old one.
    fn may_hear(&self, id: SessionId, answer: &Answer) -> bool {
        match answer {
            Answer::Page { log, .. } | Answer::Found { log, .. } => match log {
                LogId::Room(_) => true,
                LogId::Pair(pair) => self.holds_one_of(id, pair),
            },
            Answer::Marked { user, .. } | Answer::Conversations { user, .. } | Answer::Changed { user, .. } => {
                self.holds_name(id, user)
            }
            Answer::Direct(_) => self.holds_own_name(id),
            Answer::Head { .. } | Answer::Resumed { .. } | Answer::Name { .. } => true,
        }
    }

    /// Whether the session has the name of one of the two, by a right that still holds.
    pub(crate) fn holds_one_of(&self, id: SessionId, pair: &UserPair) -> bool {
        pair.names().into_iter().any(|name| self.holds_name(id, name))
    }

    pub(crate) fn answer_question(
        &mut self,
        id: SessionId,
        request: RequestId,
        conversation: Option<Conversation>,
        answer: Answer,
    ) {
        if !self.may_hear(id, &answer) {
            let name = self
                .connection(id)
                .and_then(|connection| connection.session())
                .map(|session| session.name.clone());
            if let Some(name) = name {
                self.refuse(id, request, not_yours(&name));
            }
            return self.question_answered(id);
        }
        let reply = match (answer, conversation) {
            (Answer::Page { head, talks, more, .. }, Some(conversation)) => {
                let (epoch, first) = (head.epoch, head.first);
                Reply::History(Box::new(HistoryPage {
                    conversation,
                    epoch,
                    talks,
                    more,
                    first,
                }))
            }
            (Answer::Found { head, talks, next, .. }, Some(conversation)) => {
                let (epoch, first) = (head.epoch, head.first);
                let page = Box::new(HistoryPage {
                    conversation,
                    epoch,
                    talks,
                    more: next.is_some(),
                    first,
                });
                Reply::Search { page, next }
            }
            (Answer::Marked { seq, unread, .. }, Some(conversation)) => Reply::ReadMark {
                conversation,
                seq,
                unread,
            },
            (
                Answer::Conversations {
                    user,
                    conversations,
                    more,
                    unreadable: _,
                },
                _,
            ) => Reply::UnreadList(UnreadPage {
                entries: conversations
                    .into_iter()
                    .filter_map(|conversation| unread_entry(&user, conversation))
                    .collect(),
                more,
            }),
            (answer, _) => {
                tracing::error!(?answer, "the store answered another question than was asked");
                Reply::Error(ErrorCode::StoreFailed.because("the store gave no answer"))
            }
        };
        self.reply(id, request, &reply);
        self.question_answered(id);
    }
}

/// What a session may ask of the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Question {
    /// Stored talks.
    History {
        conversation: Conversation,
        /// Below this.
        before: Option<Seq>,
        /// Above this.
        after: Option<Seq>,
        limit: usize,
    },
    /// Talks that hold a text.
    Search {
        conversation: Conversation,
        text: Arc<str>,
        /// Below this.
        before: Option<Seq>,
        limit: usize,
    },
    /// A read position moves.
    Read {
        conversation: Conversation,
        /// Up to here.
        seq: Seq,
    },
    /// Conversations with something unread.
    Unread,
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
}

fn unread_entry(user: &UserName, conversation: ConversationHead) -> Option<UnreadEntry> {
    let ConversationHead {
        log,
        head,
        read,
        unread,
    } = conversation;
    let conversation = match log {
        LogId::Room(room) => Conversation::Room(room),
        LogId::Pair(pair) => Conversation::Peer(pair.peer_of(user)?.clone()),
    };
    Some(UnreadEntry {
        conversation,
        epoch: head.epoch,
        read,
        head: head.seq,
        unread,
    })
}
