//! State that the threads of a store share: queues, counters and faults.

use std::sync::Mutex;

use super::{
    claims::Claims,
    fault::StoreFault,
    health::Faults,
    outcome::Outcome,
    queue::Queue,
    request::{Append, Query},
    search::index_queue::IndexQueue,
    settings::Retention,
    stats::{HistoryStats, bump},
};

/// Receives outcomes, on the threads of the store. It must not block, because these threads wait for it.
pub trait Deliver<T>: Send + Sync + 'static {
    /// Takes the outcomes of one commit or of one query.
    fn deliver(&self, outcomes: Vec<Outcome<T>>);
}

impl<T, F: Fn(Vec<Outcome<T>>) + Send + Sync + 'static> Deliver<T> for F {
    fn deliver(&self, outcomes: Vec<Outcome<T>>) {
        self(outcomes);
    }
}

pub(crate) enum Write<T> {
    Append(Append<T>),
    Query(Query, T),
}

pub(crate) struct Shared<T> {
    pub(crate) writes: Queue<Write<T>>,
    pub(crate) reads: Queue<(Query, T)>,
    pub(crate) searches: Queue<(Query, T)>,
    pub(crate) unindexed: IndexQueue,
    pub(crate) stats: HistoryStats,
    pub(crate) faults: Faults,
    /// A new retention that the writer has not applied yet.
    pub(crate) retention: Mutex<Option<Retention>>,
    pub(crate) claims: Claims,
}

impl<T> Shared<T> {
    /// Counts damage and writes it into the server's log, unless it repeats the last damage. Other faults are ignored.
    pub(crate) fn found(&self, fault: &StoreFault, what: &'static str) {
        match fault {
            StoreFault::Damaged { .. } | StoreFault::Broken { .. } => {}
            StoreFault::Full { .. }
            | StoreFault::ReadOnly { .. }
            | StoreFault::Refused { .. }
            | StoreFault::Stopping => return,
        }
        bump(&self.stats.damage, 1);
        if self.faults.damage(fault) {
            tracing::error!(%fault, "{what}");
        }
    }
}
