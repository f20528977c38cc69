//! One shard's port to the store: submits messages and questions, and matches each outcome to its request.
//!
//! Every request carries a [`Ticket`]. Its outcome comes back through one of the shard's queues of outcomes.
//!
//! Invariants:
//! - Each accepted request comes back exactly once, as one [`Returned`].
//! - At most `most` messages and [`limits::STORE_IN_FLIGHT`] questions of this shard are in flight. Beyond that, or if the queue
//!   of the store is full, the port refuses at once.
//! - A refusal has `retry_after` wherever a retry can help.
//!
//! The port never waits for the disk, and knows neither rooms nor connections.

use std::sync::Arc;

use super::{returned::Returned, ticket::Ticket};
use crate::{
    chat::{NewMessage, Receiver, RoomName, Seq, ShardId, Since, UserId, UserName},
    history::{Append, History, LogId, Outcome, Query, UserPair},
    limits,
};

/// The store as one shard sees it. Without a store it accepts nothing.
pub(crate) struct StorePort {
    shard: ShardId,
    history: Option<History<Ticket>>,
    durable: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
    messages: InFlight,
    questions: InFlight,
}

/// A count of requests in flight, with its bound.
#[derive(Debug)]
struct InFlight {
    count: usize,
    most: usize,
}

impl InFlight {
    fn at_most(most: usize) -> Self {
        Self { count: 0, most }
    }

    fn is_full(&self) -> bool {
        self.count >= self.most
    }
}

impl StorePort {
    /// A port for at most `most` messages in flight.
    pub(crate) fn new(
        shard: ShardId,
        history: History<Ticket>,
        durable: Arc<dyn Fn(&RoomName) -> bool + Send + Sync>,
        most: usize,
    ) -> Self {
        Self {
            shard,
            history: Some(history),
            durable,
            messages: InFlight::at_most(most),
            questions: InFlight::at_most(limits::STORE_IN_FLIGHT),
        }
    }

    /// The port of a server without a store.
    pub(crate) fn without_store(shard: ShardId) -> Self {
        Self {
            shard,
            history: None,
            durable: Arc::new(|_| false),
            messages: InFlight::at_most(0),
            questions: InFlight::at_most(0),
        }
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// Whether there is a store.
    pub(crate) fn is_there(&self) -> bool {
        self.history.is_some()
    }

    /// Whether the messages of a room are stored.
    pub(crate) fn is_durable(&self, room: &RoomName) -> bool {
        (self.durable)(room)
    }

    /// Whether somebody has claimed a name, even if the claim is not committed yet.
    pub(crate) fn is_claimed(&self, name: &UserName) -> bool {
        self.history.as_ref().is_some_and(|history| history.claims().has(name))
    }

    /// Submits a message of a room, sent at `at` (Unix milliseconds). Returns the message if the store has no room for it.
    pub(crate) fn append(&mut self, room: RoomName, message: Box<NewMessage>, at: u64) -> Result<(), Box<NewMessage>> {
        self.submit(LogId::Room(room), message, Ticket::Message(self.shard), at)
    }

    /// Submits a direct message that counts `bytes` as in flight. Returns the message if the store has no room for it.
    pub(crate) fn append_direct(
        &mut self,
        to: Receiver,
        message: Box<NewMessage>,
        bytes: usize,
        at: u64,
    ) -> Result<(), Box<NewMessage>> {
        let log = LogId::Pair(UserPair::of(message.user.clone(), to.user.clone()));
        let owner = self.shard;
        self.submit(log, message, Ticket::Direct { owner, to, bytes }, at)
    }

    fn submit(&mut self, log: LogId, message: Box<NewMessage>, ticket: Ticket, at: u64) -> Result<(), Box<NewMessage>> {
        let Some(history) = self.history.as_ref().filter(|_| !self.messages.is_full()) else {
            return Err(message);
        };
        let append = Append {
            log,
            message,
            at,
            ticket,
        };
        history.submit(append).map_err(|append| append.message)?;
        self.messages.count += 1;
        Ok(())
    }

    /// Asks the store. Returns whether it accepted the question.
    #[must_use]
    pub(crate) fn ask(&mut self, ask: Query, ticket: Ticket) -> bool {
        let accepted = !self.questions.is_full()
            && self
                .history
                .as_ref()
                .is_some_and(|history| history.ask(ask, ticket).is_ok());
        self.questions.count += usize::from(accepted);
        accepted
    }

    /// Asks for the head of a room's log and, for a resume, for what the user missed. Returns whether the store accepted the
    /// question.
    #[must_use]
    pub(crate) fn open(&mut self, room: &RoomName, resume: Option<(UserId, Since)>) -> bool {
        let log = LogId::Room(room.clone());
        let ask = match resume {
            None => Query::Head(log),
            Some((user, since)) => Query::Resume {
                log,
                user,
                since,
                upto: Seq::MAX,
                limit: limits::RESUME_MESSAGES,
            },
        };
        let (owner, room) = (self.shard, room.clone());
        self.ask(ask, Ticket::Open { owner, room })
    }

    /// Takes an outcome of the store.
    pub(crate) fn take(&mut self, outcome: Outcome<Ticket>) -> Returned {
        let in_flight = match &outcome {
            Outcome::Committed { .. }
            | Outcome::Duplicate { .. }
            | Outcome::KeyConflict { .. }
            | Outcome::Failed { .. } => &mut self.messages,
            Outcome::Answered { .. } | Outcome::Unanswered { .. } => &mut self.questions,
        };
        in_flight.count = in_flight.count.saturating_sub(1);
        Returned::from(outcome)
    }
}

#[cfg(test)]
impl StorePort {
    /// Number of requests that have not come back.
    pub(crate) fn in_flight(&self) -> usize {
        self.messages.count + self.questions.count
    }

    /// Makes the port refuse all questions from now on, or accept them again.
    pub(crate) fn set_full(&mut self, is_full: bool) {
        self.questions.most = if is_full { 0 } else { limits::STORE_IN_FLIGHT };
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::{
        chat::{ConnectionSlot, Generation, Reply, SessionId, SessionTag},
        history::StoreFault,
        shard::{
            store::returned::AppendResult,
            testing::{
                start_store,
                values::{name, user},
            },
        },
    };

    const SHARD: ShardId = ShardId(3);

    struct Store {
        port: StorePort,
        outcomes: mpsc::Receiver<Vec<Outcome<Ticket>>>,
        _dir: tempfile::TempDir,
    }

    fn store(most: usize) -> Store {
        let (history, outcomes, dir) = start_store(|head| head + 1);
        Store {
            port: StorePort::new(SHARD, history, Arc::new(|_| true), most),
            outcomes,
            _dir: dir,
        }
    }

    fn session() -> SessionId {
        SessionId::new(SHARD, ConnectionSlot::FIRST, Generation::FIRST)
    }

    fn message(text: &str) -> Box<NewMessage> {
        Box::new(NewMessage::new(session(), name("ada"), SessionTag(1), text.into()))
    }

    fn head() -> Query {
        Query::Head(LogId::Room(RoomName::lobby()))
    }

    fn open() -> Ticket {
        Ticket::Open {
            owner: SHARD,
            room: RoomName::lobby(),
        }
    }

    #[test]
    fn each_accepted_request_comes_back_once_with_its_own_outcome() {
        let Store {
            mut port,
            outcomes,
            _dir,
        } = store(8);
        let bob = user("bob").receiver().unwrap();
        let number = 7;
        port.append(RoomName::lobby(), message("one"), 1).unwrap();
        port.append_direct(bob.clone(), message("two"), 99, 1).unwrap();
        assert!(port.ask(head(), open()));
        assert!(
            port.ask(
                head(),
                Ticket::Replay {
                    session: session(),
                    number
                }
            ),
            "of another type"
        );
        assert_eq!(port.in_flight(), 4);
        let mut returned = Vec::new();
        while port.in_flight() > 0 {
            let batch = outcomes.recv_timeout(Duration::from_secs(30)).unwrap();
            for outcome in batch {
                assert_eq!(Ticket::of(&outcome).shard(), SHARD);
                returned.push(port.take(outcome));
            }
        }
        assert_eq!(returned.len(), 4);
        let mut count = |is_it: &dyn Fn(&Returned) -> bool| {
            let before = returned.len();
            returned.retain(|one| !is_it(one));
            before - returned.len()
        };
        let room = RoomName::lobby();
        assert_eq!(
            count(
                &|one| matches!(one, Returned::Message { room: of, message: text, result: AppendResult::Stored { .. } } if *of == room && *text == message("one"))
            ),
            1
        );
        assert_eq!(
            count(&|one| matches!(one, Returned::Direct { answer: Ok(direct), bytes: 99, .. } if direct.to == bob)),
            1
        );
        assert_eq!(
            count(&|one| matches!(
                one,
                Returned::Opened {
                    answer: Ok((_, None)),
                    ..
                }
            )),
            1
        );
        assert_eq!(
            count(&|one| matches!(
                one,
                Returned::Replay {
                    number: 7,
                    messages: None,
                    ..
                }
            )),
            1
        );
    }

    #[test]
    fn beyond_its_bounds_the_port_refuses_at_once() {
        let Store {
            mut port,
            outcomes,
            _dir,
        } = store(1);
        port.append(RoomName::lobby(), message("one"), 1).unwrap();
        assert_eq!(port.append(RoomName::lobby(), message("two"), 1), Err(message("two")));
        port.set_full(true);
        assert!(!port.ask(head(), open()));
        assert_eq!(port.in_flight(), 1);
        let outcome = outcomes.recv_timeout(Duration::from_secs(30)).unwrap().pop().unwrap();
        port.take(outcome);
        port.append(RoomName::lobby(), message("two"), 1).unwrap();
        port.set_full(false);
        assert!(port.ask(head(), open()));
    }

    #[test]
    fn without_a_store_the_port_accepts_nothing() {
        let mut port = StorePort::without_store(SHARD);
        assert!(!port.is_there() && !port.is_durable(&RoomName::lobby()));
        assert!(port.append(RoomName::lobby(), message("one"), 1).is_err());
        assert!(!port.ask(head(), open()));
    }

    #[test]
    fn refusals_of_a_failing_store_have_retry_after_wherever_a_retry_can_help() {
        let mut port = StorePort::without_store(SHARD);
        let (file, seen) = (|| "/data/history.db".into(), || "seen".to_owned());
        for (why, helps) in [
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
            let failed = Outcome::Unanswered {
                ticket: open(),
                query: head(),
                why: why.clone(),
            };
            let Returned::Opened {
                answer: Err(refusal), ..
            } = port.take(failed)
            else {
                panic!("a room cannot be opened");
            };
            assert_eq!(refusal.retry_after.is_some(), helps, "{why:?}");
            let append = Append {
                log: LogId::Room(RoomName::lobby()),
                message: message("one"),
                at: 1,
                ticket: Ticket::Message(SHARD),
            };
            let Returned::Message {
                result: AppendResult::NotStored(Reply::Error(refusal)),
                ..
            } = port.take(Outcome::Failed { append, why })
            else {
                panic!("the sender gets a refusal");
            };
            assert_eq!(refusal.retry_after.is_some(), helps);
        }
    }
}
