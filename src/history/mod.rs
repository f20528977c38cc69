//! Numbers talks and keeps them: what was acknowledged is never lost.
//!
//! A [`History`] is a handle on a few threads and a directory. One thread writes: it takes whatever is waiting, numbers and
//! commits it in one transaction, and only then says so. Others read pages, search, and index for search. Nobody who
//! submits or asks ever waits: a full queue gives the request back at once. Outcomes come through [`Deliver`], in batches,
//! on the store's threads.
//!
//! Promises: every request that was taken has exactly one outcome. Numbers of a log have no holes, also after failed commits;
//! `prev` is `seq - 1` in this store. A talk that failed never had a number. The epoch of a log changes only when its tail
//! was lost or may have been, and [`LogHead::go_on`] says which interval is gone. The outcomes of one log's appends come in
//! the order of their numbers.
//!
//! Never: an answer made of rows whose checksum or numbering is wrong; a start with a loss that nobody is told of.
//!
//! The bytes are described in `docs/history-format.md`.

mod queue;
mod settings;
mod stats;
mod types;

pub use settings::{Durability, KeyWindow, Retention, Settings};
pub use stats::{BATCH_TALKS, COMMIT_SECONDS, Health, HistoryStats};
pub use types::{
    Answer, Append, Ask, Claim, ConversationHead, GoOn, LogHead, LogId, LostInterval, LostTail, Outcome, StoreFault,
    UserPair, Which, Window,
};

use std::sync::Arc;

use queue::Inbox;

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

/// A store that is running. Clones are handles on the same store.
pub struct History<T> {
    shared: Arc<Shared<T>>,
}

/// What the handles and the threads share.
pub(crate) struct Shared<T> {
    pub(crate) writes: Inbox<Write<T>>,
    pub(crate) reads: Inbox<(Ask, T)>,
    pub(crate) searches: Inbox<(Ask, T)>,
    pub(crate) stats: HistoryStats,
    pub(crate) faults: stats::Faults,
}

/// What the writer is given.
pub(crate) enum Write<T> {
    Append(Append<T>),
    Ask(Ask, T),
}

impl<T: Send + 'static> History<T> {
    /// Submits a talk. Gives it back when the writer has all it can hold: the sender is told `busy`. Never blocks.
    pub fn submit(&self, append: Append<T>) -> Result<(), Append<T>> {
        self.shared
            .writes
            .push(Write::Append(append))
            .map_err(|write| match write {
                Write::Append(append) => append,
                Write::Ask(..) => unreachable!("the queue gives back what it was given"),
            })
    }

    /// Asks something. Gives it back when too many questions wait already. Never blocks.
    pub fn ask(&self, ask: Ask, ticket: T) -> Result<(), (Ask, T)> {
        let shared = &self.shared;
        match ask {
            Ask::Mark { .. } | Ask::Claim { .. } => {
                shared
                    .writes
                    .push(Write::Ask(ask, ticket))
                    .map_err(|write| match write {
                        Write::Ask(ask, ticket) => (ask, ticket),
                        Write::Append(_) => unreachable!("the queue gives back what it was given"),
                    })
            }
            Ask::Search { .. } => shared.searches.push((ask, ticket)),
            Ask::Head(_) | Ask::Page { .. } | Ask::MarkOf { .. } | Ask::Conversations { .. } => {
                shared.reads.push((ask, ticket))
            }
        }
    }

    /// Whether talks are being stored.
    pub fn health(&self) -> Health {
        self.shared.faults.health()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> &HistoryStats {
        &self.shared.stats
    }

    /// Talks and read positions that wait for the writer at this moment.
    pub fn queue_depth(&self) -> usize {
        self.shared.writes.len()
    }
}

impl<T> Clone for History<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}
