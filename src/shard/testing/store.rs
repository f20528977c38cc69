//! A real store behind the shards. Its outcomes wait until the test delivers them.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
    time::Duration,
};

use super::World;
use crate::{
    chat::{RoomName, Seq, ShardId},
    history::{Durability, History, HistorySettings, LogId, Outcome, Query, Retention, StoreFault},
    limits,
    shard::store::{port::StorePort, ticket::Ticket},
};

pub(crate) struct TestStore {
    outcomes: mpsc::Receiver<Vec<Outcome<Ticket>>>,
    /// Outcomes that the test has not taken, in order.
    waiting: VecDeque<Outcome<Ticket>>,
    /// How many outcomes the test has taken and not delivered.
    held: usize,
    _dir: tempfile::TempDir,
}

impl World {
    /// The same shards with a store, in which every room is durable.
    pub(crate) fn with_store(self) -> Self {
        self.with_store_numbering(|head| head + 1)
    }

    /// As [`World::with_store`]; `numbering` makes the number of a message from the one before it.
    pub(crate) fn with_store_numbering(mut self, numbering: fn(Seq) -> Seq) -> Self {
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

    /// Waits for the first outcome whose ticket matches, and takes it.
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

    /// Delivers the first outcome whose ticket matches, and runs until idle.
    pub(crate) fn deliver_first(&mut self, is_it: impl Fn(&Ticket) -> bool) {
        let outcome = self.outcome(is_it);
        self.deliver_outcome(outcome);
    }

    /// Delivers an outcome and runs until idle.
    pub(crate) fn deliver_outcome(&mut self, outcome: Outcome<Ticket>) {
        self.deliver_to_shard(outcome);
        self.run_until_idle();
    }

    /// Runs until the store has answered everything and all outcomes are delivered, except those that the test has taken.
    pub(crate) fn store_answers(&mut self) {
        self.run_until_idle();
        while self.store_answers_once() {
            self.run_until_idle();
        }
    }

    /// Waits for one outcome and delivers it, if a request is open. Returns whether one was.
    pub(crate) fn store_answers_once(&mut self) -> bool {
        let is_asked = self.asked_of_store() > self.store.as_ref().map_or(0, |store| store.held);
        if is_asked {
            let next = self.outcome(|_| true);
            self.deliver_to_shard(next);
        }
        is_asked
    }

    fn deliver_to_shard(&mut self, outcome: Outcome<Ticket>) {
        self.store.as_mut().unwrap().held -= 1;
        let shard = usize::from(Ticket::of(&outcome).shard().0);
        self.turn(shard, |engine| engine.stored(outcome));
    }

    /// Waits until the store has answered everything. Returns the new outcomes, which still wait for delivery, in an order that
    /// does not depend on the store's threads: writes in their order, then the answers to questions.
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

    /// The outcomes that wait for delivery.
    pub(crate) fn waiting_outcomes(&self) -> Vec<Outcome<Ticket>> {
        self.store.as_ref().unwrap().waiting.iter().cloned().collect()
    }

    /// Delivers the waiting outcome at this index.
    pub(crate) fn deliver_waiting_outcome(&mut self, at: usize) {
        let store = self.store.as_mut().unwrap();
        let outcome = store.waiting.remove(at).unwrap();
        store.held += 1;
        self.deliver_outcome(outcome);
    }

    fn asked_of_store(&mut self) -> usize {
        let engines = self.engines.iter_mut();
        engines.map(|engine| engine.store().in_flight()).sum()
    }

    /// Makes the store refuse the questions of all shards from now on, or accept them again.
    pub(crate) fn set_store_full(&mut self, is_full: bool) {
        for engine in &mut self.engines {
            engine.store().set_full(is_full);
        }
    }

    /// Number of rooms that are open or being opened.
    pub(crate) fn rooms_in_store(&self) -> usize {
        let owners = self.engines.iter().map(|engine| engine.owner());
        owners
            .map(|owner| owner.open_rooms() + owner.rooms_being_opened())
            .sum()
    }
}

/// A store in a temporary directory, and its outcomes.
pub(crate) fn start(
    numbering: fn(Seq) -> Seq,
) -> (History<Ticket>, mpsc::Receiver<Vec<Outcome<Ticket>>>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (sender, outcomes) = mpsc::channel();
    let settings = HistorySettings {
        durability: Durability::None,
        // The test clock is far in the past.
        retention: Retention::FOREVER,
        directs: Retention::FOREVER,
        numbering,
        ..HistorySettings::new(dir.path())
    };
    let deliver = move |batch| {
        // Sending fails when the test is over.
        let _ = sender.send(batch);
    };
    (History::start(settings, Arc::new(deliver)).unwrap(), outcomes, dir)
}

/// The outcome of the same question if the store could not answer it.
pub(crate) fn unanswered(outcome: &Outcome<Ticket>) -> Outcome<Ticket> {
    Outcome::Unanswered {
        ticket: Ticket::of(outcome).clone(),
        // Used only for the log.
        query: Query::Head(LogId::Room(RoomName::lobby())),
        why: StoreFault::Broken {
            file: "history.db".into(),
            seen: "on purpose".to_owned(),
        },
    }
}
