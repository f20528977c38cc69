//! The generator's idle time: turns in which nothing arrived and nothing was sent. A generator that never sleeps has thousands of them
//! before each due message.
//!
//! It is CPU time, not wall time, so it excludes what the kernel gave to other processes. The code reads the clock only where an idle
//! stretch begins and ends.

use rustix::time::{ClockId, clock_gettime};

/// The idle stretches of the loop of one thread.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Of the stretches that have ended.
    total_ns: u64,
    /// The thread's time when this one began.
    since_ns: Option<u64>,
    /// Whether bytes arrived or were sent since the last turn.
    worked: bool,
}

impl Idle {
    /// Marks the turn as busy.
    pub(super) fn works(&mut self) {
        self.worked = true;
        if let Some(since) = self.since_ns.take() {
            self.total_ns += thread_ns().saturating_sub(since);
        }
    }

    /// A turn has ended.
    pub(super) fn turned(&mut self) {
        // The turn that begins a stretch is not in it, and the poll that ends one is: they weigh the same.
        if !std::mem::take(&mut self.worked) && self.since_ns.is_none() {
            self.since_ns = Some(thread_ns());
        }
    }

    /// The idle time until now.
    pub(super) fn total_ns(&self) -> u64 {
        let open = self.since_ns.map_or(0, |since| thread_ns().saturating_sub(since));
        self.total_ns + open
    }
}

/// CPU time of this thread, in nanoseconds.
fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    /// Uses the core for this time.
    fn spin(millis: u64) {
        let end = thread_ns() + millis * 1_000_000;
        while thread_ns() < end {}
    }

    fn millis(idle: &Idle) -> u64 {
        idle.total_ns() / 1_000_000
    }

    #[test]
    fn turns_without_work_are_counted_and_others_are_not() {
        let mut idle = Idle::default();
        idle.works();
        idle.turned();
        spin(20);
        idle.works();
        idle.turned();
        assert_eq!(millis(&idle), 0);
        idle.turned();
        spin(20);
        assert!((20..30).contains(&millis(&idle)), "{idle:?}");
        idle.turned();
        spin(20);
        idle.works();
        spin(20);
        idle.turned();
        assert!((40..55).contains(&millis(&idle)), "{idle:?}");
    }

    #[test]
    fn time_that_was_not_spent_is_not_idle_time() {
        let mut idle = Idle::default();
        idle.turned();
        // Other threads use the core; for this thread that is the same as a sleep.
        thread::sleep(Duration::from_millis(60));
        assert!(millis(&idle) < 30, "{idle:?}");
    }
}
