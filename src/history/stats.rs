//! What the store says of itself: numbers for metrics and a word for readiness.

use std::{
    path::Path,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Shared, StoreFault};
use crate::limits;

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

/// Whether the store does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Well,
    /// It does not take talks at the moment; it goes on trying.
    Failing(StoreFault),
    /// Talks are taken, but something beside them is not as it should be: the head file, the search index, or something that
    /// is stored, which stays so until the next start.
    Hampered(StoreFault),
}

/// Where the threads of the store leave word of how they are.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    writer: Mutex<Option<StoreFault>>,
    beside: Mutex<Option<StoreFault>>,
    /// The last of what was found in the store.
    damage: Mutex<Option<StoreFault>>,
    /// Since when the writer has been at a commit, while it is.
    committing: Mutex<Option<Instant>>,
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

impl<T> Shared<T> {
    /// Something could not be done. If that is because what is stored is damaged or cannot be read, it is counted and told to
    /// the operator: in the log once, until something else is found.
    pub(crate) fn found(&self, fault: &StoreFault, what: &'static str) {
        match fault {
            StoreFault::Damaged { .. } | StoreFault::Broken { .. } => {}
            StoreFault::Full { .. }
            | StoreFault::ReadOnly { .. }
            | StoreFault::Refused { .. }
            | StoreFault::Stopping => return,
        }
        bump(Some(&self.stats.damage), 1);
        if self.faults.damage(fault) {
            tracing::error!(%fault, "{what}");
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

    /// Something stored was found damaged; whether it is another thing than the last time.
    fn damage(&self, fault: &StoreFault) -> bool {
        let mut last = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        let new = last.as_ref() != Some(fault);
        if new {
            *last = Some(fault.clone());
        }
        new
    }

    /// A commit begins, or has ended.
    pub(crate) fn committing(&self, since: Option<Instant>) {
        *self.committing.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    pub(crate) fn health(&self, file: &Path) -> Health {
        let since = *self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let took = since.map_or(Duration::ZERO, |since| since.elapsed());
        if took >= limits::HISTORY_STALL {
            return Health::Failing(StoreFault::Broken {
                file: file.to_owned(),
                seen: format!(
                    "a commit has not ended for {} s: the disk, or another process that has the file locked, does not answer",
                    took.as_secs()
                ),
            });
        }
        let now = |fault: &Mutex<Option<StoreFault>>| fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(fault) = now(&self.writer) {
            return Health::Failing(fault);
        }
        // What may pass comes before what stays.
        now(&self.beside)
            .or_else(|| now(&self.damage))
            .map_or(Health::Well, Health::Hampered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_does_not_end_makes_the_store_not_ready_until_it_does() {
        let faults = Faults::default();
        let file = Path::new("history.db");
        let long_ago = Instant::now().checked_sub(limits::HISTORY_STALL + Duration::from_secs(1));
        faults.committing(Some(Instant::now()));
        assert_eq!(faults.health(file), Health::Well);
        faults.committing(long_ago);
        let health = faults.health(file);
        let said = matches!(&health, Health::Failing(fault) if fault.to_string().contains("has not ended for 6 s"));
        assert!(long_ago.is_none() || said, "{health:?}");
        faults.committing(None);
        assert_eq!(faults.health(file), Health::Well);
    }
}
