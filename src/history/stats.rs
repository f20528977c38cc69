//! What the store says of itself: numbers for metrics and a word for readiness.

use std::{
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::StoreFault;

/// Counters and gauges; each is written by one thread of the store and read by anybody. All are `Relaxed`: none guards
/// anything else.
#[derive(Default)]
pub struct HistoryStats {
    /// Talks committed.
    pub talks: AtomicU64,
    /// Talks whose key was known.
    pub duplicates: AtomicU64,
    /// Talks that failed.
    pub failed: AtomicU64,
    /// Commits with at least one talk, read position or name.
    pub commits: AtomicU64,
    /// Commits that failed.
    pub failed_commits: AtomicU64,
    /// Time in all commits, in nanoseconds, the head file's included.
    pub commit_nanos: AtomicU64,
    /// Told of every commit: talks in it, and how long it took.
    pub on_commit: OnceLock<Box<dyn Fn(u64, Duration) + Send + Sync>>,
    /// Pages read.
    pub pages: AtomicU64,
    /// Searches.
    pub searches: AtomicU64,
    /// Searches that ran out of time and said where to go on.
    pub searches_cut: AtomicU64,
    /// Questions that could not be answered.
    pub unanswered: AtomicU64,
    /// Talks deleted by retention.
    pub retired: AtomicU64,
    /// Talks indexed for search.
    pub indexed: AtomicU64,
    /// Times the write-ahead log was copied into the database.
    pub checkpoints: AtomicU64,
    /// Bytes of all files of the store, as last looked at.
    pub disk_bytes: AtomicU64,
}

/// Whether the store does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Well,
    /// It does not take talks at the moment; it goes on trying.
    Failing(StoreFault),
    /// Talks are taken, but something beside them is not as it should be: the head file, retention, the search index.
    Hampered(StoreFault),
}

/// Where the threads of the store leave word of how they are.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    writer: Mutex<Option<StoreFault>>,
    beside: Mutex<Option<StoreFault>>,
}

impl HistoryStats {
    pub(crate) fn committed(&self, talks: u64, took: Duration) {
        self.talks.fetch_add(talks, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.commit_nanos.fetch_add(nanos, Ordering::Relaxed);
        if let Some(tell) = self.on_commit.get() {
            tell(talks, took);
        }
    }
}

/// Adds to a counter.
pub(crate) fn bump(counter: Option<&AtomicU64>, by: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Faults {
    pub(crate) fn writer(&self, fault: Option<StoreFault>) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn beside(&self, fault: Option<StoreFault>) {
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn health(&self) -> Health {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(fault) = writer {
            return Health::Failing(fault);
        }
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        beside.map_or(Health::Well, Health::Hampered)
    }
}
