//! Counters and gauges of a store, for `/metrics`.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counters and gauges; each is written by one thread of the store and read by anybody. All are `Relaxed`: none guards
/// anything else.
#[derive(Default)]
pub struct HistoryStats {
    /// Talks committed.
    pub messages: AtomicU64,
    /// Talks whose key was known.
    pub duplicates: AtomicU64,
    /// Talks that failed.
    pub failed: AtomicU64,
    /// Commits with at least one message, read position or name.
    pub commits: AtomicU64,
    /// Commits that failed.
    pub failed_commits: AtomicU64,
    /// Time in all commits, in nanoseconds, the head file's included.
    pub commit_nanos: AtomicU64,
    /// Told of every commit: messages in it, and how long it took.
    pub on_commit: OnceLock<Box<dyn Fn(u64, Duration) + Send + Sync>>,
    /// Pages read.
    pub pages: AtomicU64,
    /// Searches.
    pub searches: AtomicU64,
    /// Searches that ran out of time and said where to go on.
    pub searches_cut: AtomicU64,
    /// Questions that could not be answered.
    pub unanswered: AtomicU64,
    /// Times that something stored was found damaged, or could not be read.
    pub damage: AtomicU64,
    /// Talks deleted by retention.
    pub retired: AtomicU64,
    /// Talks indexed for search.
    pub indexed: AtomicU64,
    /// Times the write-ahead log was copied into the database.
    pub checkpoints: AtomicU64,
    /// Bytes of all files of the store, as last looked at.
    pub disk_bytes: AtomicU64,
    /// Bytes of the write-ahead log, as last looked at.
    pub wal_bytes: AtomicU64,
    /// How long a reader has kept the write-ahead log from being used again.
    pub wal_held_seconds: AtomicU64,
}

impl HistoryStats {
    pub(crate) fn committed(&self, messages: u64, took: Duration) {
        bump(&self.messages, messages);
        bump(&self.commits, 1);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        bump(&self.commit_nanos, nanos);
        if let Some(tell) = self.on_commit.get() {
            tell(messages, took);
        }
    }
}

/// Adds to a counter.
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
