//! The health of a store, for `/readyz`.
//!
//! The newest fault of each kind stays until the thread that reported it clears it; damage stays until the next start. A commit that
//! hangs counts as a failure, because a disk that hangs reports no error.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::fault::StoreFault;
use crate::limits;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// The store accepts no messages at the moment, and keeps trying.
    Failing(StoreFault),
    /// The store accepts messages, but its commit marker, its search index or a stored entry is damaged. A damaged entry stays reported
    /// until the next start.
    Degraded(StoreFault),
}

/// The faults that the threads of a store report.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    writer: Mutex<Option<StoreFault>>,
    degraded: Mutex<Option<StoreFault>>,
    /// The last damage found.
    damage: Mutex<Option<StoreFault>>,
    /// When the running commit began.
    committing: Mutex<Option<Instant>>,
}

impl Faults {
    pub(crate) fn writer(&self, fault: Option<StoreFault>) {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(crate) fn degraded(&self, fault: Option<StoreFault>) {
        *self.degraded.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Records damage. Returns whether it differs from the last damage recorded.
    pub(crate) fn damage(&self, fault: &StoreFault) -> bool {
        let mut last = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        let new = last.as_ref() != Some(fault);
        if new {
            *last = Some(fault.clone());
        }
        new
    }

    /// Records when a commit began; `None` when it ended.
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
        // Temporary faults come before damage, which stays until the next start.
        now(&self.degraded)
            .or_else(|| now(&self.damage))
            .map_or(Health::Healthy, Health::Degraded)
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
        assert_eq!(faults.health(file), Health::Healthy);
        faults.committing(long_ago);
        let health = faults.health(file);
        let stalled = matches!(&health, Health::Failing(fault) if fault.to_string().contains("has not ended for 6 s"));
        assert!(long_ago.is_none() || stalled, "{health:?}");
        faults.committing(None);
        assert_eq!(faults.health(file), Health::Healthy);
    }
}
