//! What the threads of a store share: the queues between them, and what they tell of themselves.

use std::sync::Mutex;

use super::{
    claims::Claims,
    fault::StoreFault,
    health::Faults,
    outcome::Outcome,
    queue::Queue,
    request::{Append, Ask},
    search::fresh::Fresh,
    settings::Retention,
    stats::{HistoryStats, bump},
};

/// Where outcomes go. Called on the threads of the store, which wait for it: it hands over and returns.
pub trait Deliver<T>: Send + Sync + 'static {
    /// Takes the outcomes of one commit, or of one question.
    fn deliver(&self, outcomes: Vec<Outcome<T>>);
}

impl<T, F: Fn(Vec<Outcome<T>>) + Send + Sync + 'static> Deliver<T> for F {
    fn deliver(&self, outcomes: Vec<Outcome<T>>) {
        self(outcomes);
    }
}

/// What the writer is asked to do.
pub(crate) enum Write<T> {
    Append(Append<T>),
    Ask(Ask, T),
}

/// What the handles and the threads share.
pub(crate) struct Shared<T> {
    pub(crate) writes: Queue<Write<T>>,
    pub(crate) reads: Queue<(Ask, T)>,
    pub(crate) searches: Queue<(Ask, T)>,
    pub(crate) fresh: Fresh,
    pub(crate) stats: HistoryStats,
    pub(crate) faults: Faults,
    /// A change that the writer has not taken over yet.
    pub(crate) retention: Mutex<Option<Retention>>,
    pub(crate) claims: Claims,
}

impl<T> Shared<T> {
    /// Counts damage and writes it into the server's log, once until something else is found. Other faults are not damage.
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
