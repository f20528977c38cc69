//! Wall-clock time that tests can inject, its text forms, and an age that survives jumps of the clock.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz::TimeZone};

/// The clocks of stores and log files; tests pass their own.
#[derive(Clone)]
pub struct Clocks {
    /// Unix milliseconds; may jump.
    pub wall: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Milliseconds since some moment before the start; monotonic.
    pub running: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Clocks {
    /// The clocks of the system.
    pub fn system() -> Self {
        let begun = Instant::now();
        Self {
            wall: Arc::new(|| millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())),
            running: Arc::new(move || millis(begun.elapsed())),
        }
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clocks").finish_non_exhaustive()
    }
}

/// The clock of retention: wall-clock time that advances at most twice as fast as monotonic time. So a wall clock that jumps forward
/// and back deletes nothing, and after a correction by some time this clock catches up within the same time.
#[derive(Debug)]
pub(crate) struct Ageing {
    at: u64,
    running: u64,
}

impl Ageing {
    /// Begins at the wall clock's time.
    pub(crate) fn begin(clocks: &Clocks) -> Self {
        Self {
            at: (clocks.wall)(),
            running: (clocks.running)(),
        }
    }

    /// Unix milliseconds. Call it often, because a jump can add as much as the time between two calls.
    pub(crate) fn now(&mut self, clocks: &Clocks) -> u64 {
        let running = (clocks.running)();
        let passed = running.saturating_sub(self.running);
        self.running = running;
        self.at = (clocks.wall)().min(self.at.saturating_add(passed.saturating_mul(2)));
        self.at
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Unix milliseconds as RFC 3339 in UTC, `2026-11-20T22:15:03.042Z`; at most the end of the year 9999.
pub fn rfc3339(at: u64) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The same for file names: `20261120T221503.042Z` has no colons, and names sort by time.
pub(super) fn stamp(at: u64) -> String {
    timestamp(at).strftime("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// The Unix milliseconds of a stamp.
pub(super) fn parse_stamp(text: &str) -> Option<u64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", text).ok()?;
    let at = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    let at = u64::try_from(at).ok()?;
    // Only the exact form that `stamp` writes is accepted.
    (stamp(at) == text).then_some(at)
}

fn timestamp(at: u64) -> Timestamp {
    i64::try_from(at)
        .ok()
        .and_then(|at| Timestamp::from_millisecond(at).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn times_are_written_with_three_digits_and_read_again() {
        assert_eq!(rfc3339(1_795_212_903_042), "2026-11-20T22:15:03.042Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(1_795_212_903_000), "20261120T221503.000Z");
        assert_eq!(parse_stamp("20261120T221503.042Z"), Some(1_795_212_903_042));
        for bad in [
            "20261120T221503Z",
            "20261320T221503.042Z",
            "x",
            "20261120T221503.042Z.1",
            "",
        ] {
            assert_eq!(parse_stamp(bad), None, "{bad}");
        }
        assert!(rfc3339(u64::MAX).starts_with("9999-12-"));
    }

    #[test]
    fn what_is_kept_ages_at_most_twice_as_fast_as_time_passes_whatever_the_wall_clock_does() {
        let cells = Arc::new((AtomicU64::new(1_000_000), AtomicU64::new(50)));
        let (wall, running) = (cells.clone(), cells.clone());
        let clocks = Clocks {
            wall: Arc::new(move || wall.0.load(Ordering::Relaxed)),
            running: Arc::new(move || running.1.load(Ordering::Relaxed)),
        };
        let mut ageing = Ageing::begin(&clocks);
        let mut at = |wall: u64, passed: u64| {
            cells.0.store(wall, Ordering::Relaxed);
            cells.1.fetch_add(passed, Ordering::Relaxed);
            ageing.now(&clocks)
        };
        assert_eq!(at(1_000_010, 10), 1_000_010);
        // An hour forward: followed at twice the pace.
        assert_eq!(at(4_600_010, 0), 1_000_010);
        assert_eq!(at(4_600_110, 100), 1_000_210);
        // Corrected: followed at once.
        assert_eq!(at(1_000_120, 10), 1_000_120);
        // An hour back: nothing ages.
        assert_eq!(at(0, 10), 0);
        assert_eq!(at(10, 10), 10);
        // Forward for good: followed after as much time as it jumped.
        assert_eq!(at(1_000, 0), 10);
        assert_eq!(at(1_990, 990), 1_990);
        assert_eq!(at(1_991, 1), 1_991);
    }
}
