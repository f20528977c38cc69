//! Counters and gauges of a store, for `/metrics`.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Each counter is written by one thread of the store and read by any thread. All accesses are `Relaxed`, because no other data depends
/// on them.
#[derive(Default)]
pub struct HistoryStats {
    pub messages: AtomicU64,
    /// Messages that repeated an idempotency key.
    pub duplicates: AtomicU64,
    /// Messages that the store could not take.
    pub failed: AtomicU64,
    /// Commits with at least one message, read marker or name.
    pub commits: AtomicU64,
    pub failed_commits: AtomicU64,
    /// Time spent in commits, including the commit marker, in nanoseconds.
    pub commit_nanos: AtomicU64,
    /// Called after every commit with its number of messages and its duration.
    pub on_commit: OnceLock<Box<dyn Fn(u64, Duration) + Send + Sync>>,
    /// Pages of messages that readers returned.
    pub pages: AtomicU64,
    pub searches: AtomicU64,
    /// Searches that ran out of time.
    pub searches_cut: AtomicU64,
    /// Queries that failed.
    pub unanswered: AtomicU64,
    /// Damaged or unreadable rows found.
    pub damage: AtomicU64,
    /// Messages deleted by retention.
    pub retired: AtomicU64,
    /// Messages added to the search index.
    pub indexed: AtomicU64,
    /// Checkpoints of the write-ahead log.
    pub checkpoints: AtomicU64,
    /// Bytes of all files of the store, measured once a second.
    pub disk_bytes: AtomicU64,
    /// Bytes of the write-ahead log, measured once a second.
    pub wal_bytes: AtomicU64,
    /// How long a reader has blocked the reuse of the write-ahead log.
    pub wal_held_seconds: AtomicU64,
}

impl HistoryStats {
    pub(crate) fn committed(&self, messages: u64, took: Duration) {
        bump(&self.messages, messages);
        bump(&self.commits, 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        bump(&self.commit_nanos, nanos);
        if let Some(on_commit) = self.on_commit.get() {
            on_commit(messages, took);
        }
    }
}

pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
