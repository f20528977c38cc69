//! Between the shards and the store: talks that are numbered and kept before anybody is told, and where the outcome of each
//! question goes.
//!
//! A shard never waits for the disk. What it submits or asks carries a [`Ticket`]; the outcome comes back through the
//! shard's own lane, and every ticket comes back once.

use std::sync::Arc;

use crate::shard::{
    connection::write::Socket,
    engine::{Clock, Engine},
};
use crate::{
    chat::{
        Backlog, Conversation, ErrorCode, Position, Refusal, Reply, RequestId, Retry, RoomName, Seq, SessionId,
        ShardId, Talk, UserName, Utterance,
    },
    history::{Answer, Append, Ask, History, LogId, NameKey, Outcome, ReadUpTo, StoreFault, UserPair},
    limits,
};

/// The store, as one shard sees it.
pub(crate) struct Store {
    pub(crate) history: History<Ticket>,
    /// Whether the talks of a room are kept.
    pub(crate) keeps: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
    /// Talks of this shard that have not come back.
    pub(crate) talks: usize,
    /// With more of them, new ones get `busy`.
    pub(crate) talks_most: usize,
    /// Questions of this shard that have not come back.
    pub(crate) questions: usize,
}

impl Store {
    /// A shard's view of this store, which takes at most `talks_most` talks of this shard at a time.
    pub(crate) fn new(
        history: History<Ticket>,
        keeps: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
        talks_most: usize,
    ) -> Self {
        Self {
            history,
            keeps,
            talks: 0,
            talks_most,
            questions: 0,
        }
    }

    /// Whether the messages of a room are stored.
    pub(crate) fn is_durable(&self, room: &RoomName) -> bool {
        (self.keeps)(room)
    }
}

/// What a shard wants to know again when the store answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ticket {
    /// A talk in a room.
    Talk {
        /// The shard of the room's owner.
        owner: ShardId,
    },
    /// A talk between two users.
    Direct {
        /// The owner of the pair.
        owner: ShardId,
        /// To whom.
        to: UserName,
        /// What it counts in [`crate::shard::bus::directory::Directory::directs`] meanwhile.
        bytes: usize,
    },
    /// A room is to be opened.
    Open {
        /// Its owner.
        owner: ShardId,
        /// Which.
        room: RoomName,
    },
    /// A session comes under a name.
    Hello(SessionId),
    /// A session wants another name.
    Rename {
        /// Which session.
        session: SessionId,
        /// In which request.
        id: RequestId,
        /// The key that it showed.
        key: NameKey,
    },
    /// A session asked something.
    Question {
        /// Which session.
        session: SessionId,
        /// In which request.
        id: RequestId,
        /// About what.
        conversation: Option<Conversation>,
    },
    /// The read position for the answer to a join, and the first of what was missed.
    Resume {
        /// Which session.
        session: SessionId,
        /// For which of its joins.
        number: u32,
    },
    /// A member is given what it missed.
    Replay {
        /// Which session.
        session: SessionId,
        /// In which of its replays.
        number: u32,
    },
    /// The inbox of a session.
    Inbox {
        /// Which session.
        session: SessionId,
        /// In which of its readings.
        number: u32,
    },
    /// A read position that a session acknowledged without asking.
    Silent(ShardId),
}

impl Ticket {
    /// The shard that it comes back to.
    pub(crate) fn shard(&self) -> ShardId {
        match self {
            Self::Talk { owner } | Self::Direct { owner, .. } | Self::Open { owner, .. } => *owner,
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

/// What it costs to pass an outcome on, in talks.
pub(crate) fn weight(outcome: &Outcome<Ticket>) -> usize {
    match outcome {
        Outcome::Answered {
            answer: Answer::Page { talks, .. } | Answer::Found { talks, .. } | Answer::Resumed { talks, .. },
            ..
        } => 1 + talks.len(),
        Outcome::Answered {
            answer: Answer::Direct(Some(page)),
            ..
        } => 1 + page.talks.len(),
        Outcome::Answered { .. }
        | Outcome::Unanswered { .. }
        | Outcome::Committed { .. }
        | Outcome::Duplicate { .. }
        | Outcome::KeyConflict { .. }
        | Outcome::Failed { .. } => 1,
    }
}

/// The ticket of an outcome.
pub(crate) fn ticket(outcome: &Outcome<Ticket>) -> &Ticket {
    match outcome {
        Outcome::Committed { append, .. }
        | Outcome::Duplicate { append, .. }
        | Outcome::KeyConflict { append }
        | Outcome::Failed { append, .. } => &append.ticket,
        Outcome::Answered { ticket, .. } | Outcome::Unanswered { ticket, .. } => ticket,
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Whether the messages of this room are stored.
    pub(crate) fn keeps(&self, room: &RoomName) -> bool {
        self.store.as_ref().is_some_and(|store| store.is_durable(room))
    }

    /// Asks the store; whether it took the question.
    pub(crate) fn ask_store(&mut self, ask: Ask, ticket: Ticket) -> bool {
        let Some(store) = self.store.as_mut() else { return false };
        if store.questions >= limits::STORE_UNDERWAY || store.history.ask(ask, ticket).is_err() {
            return false;
        }
        store.questions += 1;
        true
    }

    /// Gives a talk of a room to the store.
    pub(crate) fn store_talk(&mut self, room: RoomName, said: Box<Utterance>, retry: Retry) {
        let ticket = Ticket::Talk { owner: self.me };
        if let Err(said) = self.submit(LogId::Room(room.clone()), said, ticket) {
            let back = self.owner.given_back(&room, said, retry);
            self.carry_out([back]);
        }
    }

    /// Gives a direct message to the store.
    pub(crate) fn store_direct(&mut self, to: UserName, said: Box<Utterance>) {
        let log = LogId::Pair(UserPair::of(&said.from, &to));
        let bytes = self.direct_bytes(&said, &to);
        let ticket = Ticket::Direct {
            owner: self.me,
            to,
            bytes,
        };
        match self.submit(log, said, ticket) {
            Ok(()) => self.directory.directs.add(self.me, bytes),
            Err(said) => self.answer(said.session, said.id, Reply::Error(busy_store())),
        }
    }

    fn submit(&mut self, log: LogId, said: Box<Utterance>, ticket: Ticket) -> Result<(), Box<Utterance>> {
        let Some(store) = self.store.as_mut().filter(|store| store.talks < store.talks_most) else {
            return Err(said);
        };
        let at = self.now.unix_ms;
        let append = Append { log, said, at, ticket };
        store.history.submit(append).map_err(|append| append.said)?;
        store.talks += 1;
        Ok(())
    }

    /// The store says what became of something.
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        if let Some(store) = &mut self.store {
            let underway = match &outcome {
                Outcome::Committed { .. }
                | Outcome::Duplicate { .. }
                | Outcome::KeyConflict { .. }
                | Outcome::Failed { .. } => &mut store.talks,
                Outcome::Answered { .. } | Outcome::Unanswered { .. } => &mut store.questions,
            };
            *underway = underway.saturating_sub(1);
        }
        match outcome {
            Outcome::Committed {
                append,
                position,
                prev,
                at,
            } => self.committed(append, position, prev, at),
            Outcome::Duplicate { append, position, at } => {
                self.not_committed(
                    append,
                    Reply::Ack {
                        position,
                        at,
                        duplicate: true,
                    },
                );
            }
            Outcome::KeyConflict { append } => self.not_committed(append, Reply::Error(crate::chat::key_conflict())),
            Outcome::Failed { append, why } => self.not_committed(append, Reply::Error(store_failed(&why))),
            Outcome::Answered { ticket, answer } => self.store_answered(ticket, answer),
            Outcome::Unanswered { ticket, ask, why } => self.store_unanswered(ticket, &ask, &why),
        }
        while let Some(message) = self.bus.next_local() {
            self.take(message);
        }
    }

    fn committed(&mut self, append: Append<Ticket>, position: Position, prev: Seq, at: u64) {
        let Append { log, said, ticket, .. } = append;
        match (ticket, log) {
            (Ticket::Talk { .. }, LogId::Room(room)) => {
                let effects = self.owner.committed(&room, *said, position, prev, at);
                self.carry_out(effects);
            }
            (Ticket::Direct { to, bytes, .. }, _) => {
                self.directory.directs.take(self.me, bytes);
                self.tell_direct(to, *said, position, prev, at);
            }
            _ => {}
        }
    }

    fn not_committed(&mut self, append: Append<Ticket>, reply: Reply) {
        let (session, id) = (append.said.session, append.said.id);
        match (append.ticket, append.log) {
            (Ticket::Talk { .. }, LogId::Room(room)) => {
                let effects = self.owner.rejected(&room, session, id, reply);
                self.carry_out(effects);
            }
            (Ticket::Direct { bytes, .. }, _) => {
                self.directory.directs.take(self.me, bytes);
                self.answer(session, id, reply);
            }
            _ => {}
        }
    }

    pub(crate) fn store_answered(&mut self, ticket: Ticket, answer: Answer) {
        match (ticket, answer) {
            (Ticket::Open { room, .. }, Answer::Head { head, .. }) => self.opened(&room, head, None),
            (Ticket::Open { room, .. }, Answer::Resumed { head, read, talks, .. }) => {
                self.opened(&room, head, Some(backlog(read, talks)));
            }
            (Ticket::Hello(session), Answer::Name { user, claim }) => self.claimed(session, user, claim),
            (Ticket::Rename { session, id, key }, Answer::Name { user, claim }) => {
                self.rename_claimed(session, id, user, key, claim);
            }
            (
                Ticket::Question {
                    session,
                    id,
                    conversation,
                },
                answer,
            ) => self.answer_question(session, id, conversation, answer),
            (Ticket::Resume { session, number }, Answer::Resumed { read, talks, .. }) => {
                self.resume_known(session, number, Some(backlog(read, talks)));
            }
            (Ticket::Replay { session, number }, Answer::Page { talks, .. }) => {
                self.replay_page(session, number, talks);
            }
            // Somebody else has claimed its name. It is about to be renamed, which ends the reading.
            (Ticket::Inbox { session, .. }, _) if !self.holds_own_name(session) => {}
            (
                Ticket::Inbox { session, number },
                Answer::Conversations {
                    user,
                    conversations,
                    more,
                    unreadable,
                },
            ) => self.inbox_found(session, number, &user, (conversations, more), unreadable),
            (
                Ticket::Inbox { session, number },
                Answer::Changed {
                    conversations,
                    next,
                    unreadable,
                    ..
                },
            ) => self.inbox_changed(session, number, conversations, next, unreadable),
            (Ticket::Inbox { session, number }, Answer::Direct(page)) => self.inbox_page(session, number, page),
            // A read position that nobody waits for.
            (Ticket::Silent(_), _) => {}
            (ticket, answer) => tracing::error!(?ticket, ?answer, "the store answered another question than was asked"),
        }
    }

    pub(crate) fn store_unanswered(&mut self, ticket: Ticket, ask: &Ask, why: &StoreFault) {
        tracing::warn!(?ask, %why, "the store could not answer");
        let refusal = store_failed(why);
        match ticket {
            Ticket::Open { room, .. } => self.not_opened(&room, &refusal),
            Ticket::Hello(session) => self.hello_failed(session, refusal),
            Ticket::Rename { session, id, .. } => {
                self.refuse(session, id, refusal);
                self.renaming_ended(session);
            }
            Ticket::Question { session, id, .. } => {
                self.refuse(session, id, refusal);
                self.question_answered(session);
            }
            Ticket::Resume { session, number } => self.resume_known(session, number, None),
            Ticket::Replay { session, number } => self.replay_failed(session, number),
            Ticket::Inbox { session, number } => self.inbox_failed(session, number, refusal),
            Ticket::Talk { .. } | Ticket::Direct { .. } | Ticket::Silent(_) => {}
        }
    }
}

pub(crate) fn busy_store() -> Refusal {
    ErrorCode::Busy
        .because("the store has as much to do as it may hold; try again in a moment")
        .retry_after(limits::BUSY_RETRY)
}

/// What the sender is told when the store failed. A failing store is tried again every [`limits::HISTORY_PROBE`], so asking
/// sooner gains nothing; a question beyond a bound stays beyond it.
pub(crate) fn store_failed(why: &StoreFault) -> Refusal {
    let (text, helps) = match why {
        StoreFault::Full { .. } => ("the disk is full; nothing was sent, try again later", true),
        StoreFault::ReadOnly { .. } => ("the store cannot be written; nothing was sent, try again later", true),
        StoreFault::Damaged { .. } | StoreFault::Broken { .. } => (
            "the store has a fault that its operator has to look at; nothing was sent",
            true,
        ),
        StoreFault::Refused { seen } => (seen.as_str(), false),
        StoreFault::Stopping => ("the server is going down; nothing was sent", true),
    };
    let refusal = ErrorCode::StoreFailed.because(text.to_owned());
    if helps {
        refusal.retry_after(limits::HISTORY_PROBE)
    } else {
        refusal
    }
}

fn backlog(ReadUpTo { user, seq: read }: ReadUpTo, talks: Vec<Talk>) -> Backlog {
    Backlog { user, read, talks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_by_a_failing_store_is_told_when_to_try_again() {
        let file = || "/data/history.db".into();
        let seen = || "seen".to_owned();
        for (fault, helps) in [
            (StoreFault::Full { file: file() }, true),
            (StoreFault::ReadOnly { file: file() }, true),
            (
                StoreFault::Broken {
                    file: file(),
                    seen: seen(),
                },
                true,
            ),
            (StoreFault::Stopping, true),
            (StoreFault::Refused { seen: seen() }, false),
        ] {
            let refusal = store_failed(&fault);
            assert_eq!(refusal.retry_after.is_some(), helps, "{fault:?}");
        }
    }
}
