//! A real store behind the shards, whose outcomes wait until the test hands them over.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::World;
use crate::{
    chat::{RoomName, Seq, ShardId},
    history::{Ask, Durability, History, LogId, Outcome, Retention, Settings, StoreFault},
    limits,
    shard::store::{port::StorePort, ticket::Ticket},
};

pub(crate) struct TestStore {
    outcomes: mpsc::Receiver<Vec<Outcome<Ticket>>>,
    /// Those that the test has not asked for yet, in order.
    waiting: VecDeque<Outcome<Ticket>>,
    /// How many the test has asked for and not handed over.
    held: usize,
    _dir: tempfile::TempDir,
}

impl World {
    /// The same shards, before a store that keeps every room.
    pub(crate) fn kept(self) -> Self {
        self.kept_in_steps(|head| head + 1)
    }

    /// Before a store whose logs have holes: the number of a message is made from that of the message before it.
    pub(crate) fn kept_in_steps(mut self, numbering: fn(Seq) -> Seq) -> Self {
        let (history, outcomes, dir) = start(numbering);
        for (shard, engine) in self.engines.iter_mut().enumerate() {
            let (shard, most) = (ShardId(shard as u16), limits::HISTORY_QUEUE);
            engine.use_store(StorePort::new(shard, history.clone(), Arc::new(|_| true), most));
        }
        self.store = Some(TestStore {
            outcomes,
            waiting: VecDeque::new(),
            held: 0,
            _dir: dir,
        });
        self
    }

    /// The first outcome whose ticket is such a one; waits for it.
    pub(crate) fn outcome(&mut self, is_it: impl Fn(&Ticket) -> bool) -> Outcome<Ticket> {
        let store = self.store.as_mut().unwrap();
        loop {
            let place = store.waiting.iter().position(|outcome| is_it(Ticket::of(outcome)));
            if let Some(outcome) = place.and_then(|place| store.waiting.remove(place)) {
                store.held += 1;
                return outcome;
            }
            store
                .waiting
                .extend(store.outcomes.recv_timeout(Duration::from_secs(30)).unwrap());
        }
    }

    /// A shard learns of an outcome, and everything happens that follows from it.
    pub(crate) fn hand(&mut self, outcome: Outcome<Ticket>) {
        self.store.as_mut().unwrap().held -= 1;
        let shard = usize::from(Ticket::of(&outcome).shard().0);
        self.turn(shard, |engine| engine.stored(outcome));
        self.calm();
    }

    /// The store answers all that it is asked, and everything happens that follows from it; but for the outcomes that the test
    /// holds back.
    pub(crate) fn store_answers(&mut self) {
        self.calm();
        while self.asked_of_store() > self.store.as_ref().map_or(0, |store| store.held) {
            let next = self.outcome(|_| true);
            self.hand(next);
        }
    }

    /// The store answers one thing that it is asked, if it is asked any.
    pub(crate) fn store_answers_once(&mut self) {
        if self.asked_of_store() > self.store.as_ref().map_or(0, |store| store.held) {
            let next = self.outcome(|_| true);
            self.store.as_mut().unwrap().held -= 1;
            let shard = usize::from(Ticket::of(&next).shard().0);
            self.turn(shard, |engine| engine.stored(next));
        }
    }

    /// Waits until the store has answered all that it was asked; the new outcomes, which wait to be handed over. Their order
    /// does not depend on the store's threads: writes as they were made, then the answers to questions.
    pub(crate) fn collect(&mut self) -> Vec<Outcome<Ticket>> {
        let asked = self.asked_of_store();
        let store = self.store.as_mut().unwrap();
        let mut new = Vec::new();
        while store.held + store.waiting.len() + new.len() < asked {
            new.extend(store.outcomes.recv_timeout(Duration::from_secs(30)).unwrap());
        }
        let (writes, mut answers): (Vec<_>, Vec<_>) = new
            .into_iter()
            .partition(|outcome| matches!(outcome, Outcome::Committed { .. }));
        answers.sort_by_key(|outcome| format!("{:?}", Ticket::of(outcome)));
        let new: Vec<_> = writes.into_iter().chain(answers).collect();
        store.waiting.extend(new.iter().cloned());
        new
    }

    /// The outcomes that wait to be handed over.
    pub(crate) fn waiting_outcomes(&self) -> Vec<Outcome<Ticket>> {
        self.store.as_ref().unwrap().waiting.iter().cloned().collect()
    }

    /// Hands over one of them.
    pub(crate) fn hand_waiting(&mut self, at: usize) {
        let store = self.store.as_mut().unwrap();
        let outcome = store.waiting.remove(at).unwrap();
        store.held += 1;
        self.hand(outcome);
    }

    fn asked_of_store(&mut self) -> usize {
        let engines = self.engines.iter_mut();
        engines.map(|engine| engine.store().in_flight()).sum()
    }

    /// From now on the store takes no more questions of any shard.
    pub(crate) fn fill_store(&mut self) {
        for engine in &mut self.engines {
            engine.store().set_full(true);
        }
    }

    /// It takes them again.
    pub(crate) fn drain_store(&mut self) {
        for engine in &mut self.engines {
            engine.store().set_full(false);
        }
    }

    /// Rooms that some shard has open, or for which something waits.
    pub(crate) fn rooms_in_store(&self) -> usize {
        let owners = self.engines.iter().map(|engine| engine.owner());
        owners
            .map(|owner| owner.open_rooms() + owner.rooms_being_opened())
            .sum()
    }
}

/// A store in a directory of its own, and its outcomes.
pub(crate) fn start(
    numbering: fn(Seq) -> Seq,
) -> (History<Ticket>, mpsc::Receiver<Vec<Outcome<Ticket>>>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (sender, outcomes) = mpsc::channel();
    let settings = Settings {
        durability: Durability::None,
        // The test clock's time is long ago.
        retention: Retention::FOREVER,
        directs: Retention::FOREVER,
        numbering,
        ..Settings::new(dir.path())
    };
    let deliver = move |batch| {
        // Fails when the test is over.
        let _ = sender.send(batch);
    };
    (History::start(settings, Arc::new(deliver)).unwrap(), outcomes, dir)
}

/// Instead of the answer: the store could not give one.
pub(crate) fn unanswered(outcome: &Outcome<Ticket>) -> Outcome<Ticket> {
    Outcome::Unanswered {
        ticket: Ticket::of(outcome).clone(),
        // Only for the log.
        ask: Ask::Head(LogId::Room(RoomName::lobby())),
        why: StoreFault::Broken {
            file: "history.db".into(),
            seen: "on purpose".to_owned(),
        },
    }
}
