//! Decides when a room is flushed next: at once after a quiet period, then after a delay, for as long as the delay pays.
//!
//! Each write costs a system call, whatever its size, so under load it is cheaper to let events coalesce before a flush. The
//! delay is proportional to the cost of the last flush and to its number of events: single messages are hardly delayed, a flood
//! is. A delay never makes the time between the beginnings of two flushes longer than `flush_max`. After a flush that took longer
//! than that, the next one begins at once.
//!
//! Delays stop for two reasons. If a delay coalesced nothing, the next flushes have none, with exponential backoff. If delays
//! slow the senders down, the pacer gives them up and probes again after exponentially growing times. Senders that wait for their
//! own echo before the next message are slowed down; the pacer notices because their event rate is higher in short stretches
//! without delays.
//!
//! A shard sees only its own members of a room. Shards flush in parallel, so each delays its next flush as if it had written to
//! all members by itself; otherwise more cores would mean smaller writes.
//!
//! The pacer reads no clock, and knows neither rooms nor members.

use std::ops::Range;

use crate::limits::{PACE_LEAST_US, PACE_PROBES_MOST, PACE_SKIPS_MOST, PACE_STRETCH_US};

/// The pacing of one room. Times are microseconds of the shard's clock.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    /// From the beginning to the end of the last flush.
    last: Range<u64>,
    /// CPU time of the last flush.
    cost: u32,
    /// Events in the last flush.
    events: u32,
    /// How many of the next flushes are not delayed, and the number to use after the next delay that coalesces nothing.
    skip: u16,
    skip_next: u16,
    /// Whether the next flush is delayed.
    waiting: bool,
    stretch: Stretch,
}

/// Compares the event rate with and without delays, in stretches of [`PACE_STRETCH_US`].
#[derive(Debug, Clone)]
struct Stretch {
    began: u64,
    events: u32,
    /// Whether this stretch has no delays.
    free: bool,
    /// Whether the measurements say that delays slow the senders down.
    given_up: bool,
    /// Stretches until the next probe of the opposite choice, and the number to use after that probe.
    until_probe: u16,
    next_probe: u16,
    /// Moving averages of events per stretch, with and without delays.
    paced_rate: f32,
    free_rate: f32,
}

/// The operator's settings for pacing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PaceSettings {
    /// Longest delay as a multiple of the last flush's cost; 0: no delays.
    pub(crate) factor: f32,
    /// A delay never makes the time between the beginnings of two flushes longer than this, microseconds.
    pub(crate) apart_us: u64,
    /// Number of shards, which share a room's members.
    pub(crate) shards: usize,
}

impl Pacer {
    pub(crate) fn new() -> Self {
        Self {
            last: 0..0,
            cost: 0,
            events: 0,
            skip: 0,
            skip_next: 1,
            waiting: false,
            stretch: Stretch {
                began: 0,
                events: 0,
                free: false,
                given_up: false,
                // The first probe comes early: senders that wait for their echo are slowed down until then.
                until_probe: 2,
                next_probe: 8,
                paced_rate: 0.0,
                free_rate: 0.0,
            },
        }
    }

    /// When to flush an event that came at `now` and is the first since the last flush. A result up to `now` means at once.
    pub(crate) fn due(&mut self, settings: &PaceSettings, now: u64) -> u64 {
        self.stretch.turn(now);
        let longest = self.last.start + settings.apart_us;
        let due = (self.last.end + self.wait(settings)).min(longest);
        // The timer is not finer than this, and such a short delay coalesces nothing.
        if due < now + PACE_LEAST_US || self.stretch.is_free() {
            self.waiting = false;
            return now;
        }
        if self.skip > 0 {
            self.skip -= 1;
            self.waiting = false;
            return now;
        }
        self.waiting = true;
        due
    }

    fn wait(&self, settings: &PaceSettings) -> u64 {
        if settings.factor == 0.0 {
            return 0;
        }
        let here = u64::from(self.cost);
        let everywhere = here * settings.shards as u64;
        // Half the cost of the last flush for each of its events: a flush of two events delays the next one by its own cost.
        let times = (f64::from(self.events) / 2.0).min(f64::from(settings.factor));
        (everywhere as f64 * times) as u64 + (everywhere - here)
    }

    /// Records a flush of `events` events: its beginning and end, and its CPU time `cost_us`.
    pub(crate) fn flushed(&mut self, time: Range<u64>, cost_us: u64, events: usize) {
        self.last = time;
        self.cost = u32::try_from(cost_us).unwrap_or(u32::MAX);
        self.events = u32::try_from(events).unwrap_or(u32::MAX);
        self.stretch.events = self.stretch.events.saturating_add(events as u32);
        if !self.waiting {
            return;
        }
        self.waiting = false;
        if events <= 1 {
            self.skip = self.skip_next;
            self.skip_next = (self.skip_next * 2).min(PACE_SKIPS_MOST);
        } else {
            self.skip_next = 1;
        }
    }
}

impl Stretch {
    fn is_free(&self) -> bool {
        self.free
    }

    /// Ends a stretch that has lasted long enough, and decides whether the next one has delays.
    fn turn(&mut self, now: u64) {
        let lasted = now.saturating_sub(self.began);
        if lasted < PACE_STRETCH_US {
            return;
        }
        let quiet = lasted > 4 * PACE_STRETCH_US;
        if !quiet {
            let rate = self.events as f32 * (PACE_STRETCH_US as f32 / lasted as f32);
            let known = if self.free {
                &mut self.free_rate
            } else {
                &mut self.paced_rate
            };
            *known = if *known == 0.0 { rate } else { *known * 0.5 + rate * 0.5 };
        }
        let probing = self.free != self.given_up;
        self.events = 0;
        self.began = now;
        if quiet {
            // Rates before a pause say nothing about the time after it.
            self.free_rate = 0.0;
            self.paced_rate = 0.0;
            self.free = self.given_up;
            return;
        }
        if probing {
            // A difference of a tenth exceeds the noise of one stretch.
            let free_pays = self.free_rate > self.paced_rate * 1.1;
            if free_pays == self.given_up {
                self.next_probe = (self.next_probe * 2).min(PACE_PROBES_MOST);
            } else {
                self.given_up = free_pays;
                self.next_probe = 8;
            }
            self.until_probe = self.next_probe;
            self.free = self.given_up;
        } else if self.until_probe == 0 {
            self.free = !self.given_up;
            // A probe starts a new average, because the result of an earlier probe may be out of date.
            if self.free {
                self.free_rate = 0.0;
            } else {
                self.paced_rate = 0.0;
            }
        } else {
            self.until_probe -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: PaceSettings = PaceSettings {
        factor: 2.0,
        apart_us: 20_000,
        shards: 1,
    };

    /// Records an uninterrupted flush that ended at `now`.
    fn flushed(pacer: &mut Pacer, now: u64, cost: u64, events: usize) {
        pacer.flushed(now.saturating_sub(cost)..now, cost, events);
    }

    #[test]
    fn the_first_event_after_a_quiet_period_is_flushed_at_once() {
        let mut pacer = Pacer::new();
        flushed(&mut pacer, 1_000_000, 3_000, 1);
        assert_eq!(pacer.due(&SETTINGS, 2_000_000), 2_000_000);
    }

    #[test]
    fn the_next_flush_waits_in_proportion_to_the_cost_of_the_last_one() {
        let mut pacer = Pacer::new();
        flushed(&mut pacer, 10_000, 3_000, 5);
        assert_eq!(pacer.due(&SETTINGS, 10_100), 16_000);
    }

    #[test]
    fn a_delay_keeps_the_beginnings_of_two_flushes_within_flush_max() {
        // Each began at 10,000.
        let due_after = |cost| {
            let mut pacer = Pacer::new();
            flushed(&mut pacer, 10_000 + cost, cost, 5);
            pacer.due(&SETTINGS, 10_000 + cost)
        };
        assert_eq!(
            [6_000, 7_000, 15_000, 20_000, 90_000].map(due_after),
            [28_000, 30_000, 30_000, 30_000, 100_000]
        );
    }

    #[test]
    fn single_messages_wait_less_than_a_flood() {
        let due_after = |events| {
            let mut pacer = Pacer::new();
            flushed(&mut pacer, 10_000, 3_000, events);
            pacer.due(&SETTINGS, 10_100)
        };
        assert_eq!(
            [1, 2, 3, 4, 100].map(due_after),
            [11_500, 13_000, 14_500, 16_000, 16_000]
        );
    }

    #[test]
    fn shards_that_share_a_room_flush_as_often_as_a_single_shard() {
        // A flush of 4 ms that began at 6,000; two shards do 2 ms of it each.
        let due = |shards: usize| {
            let mut pacer = Pacer::new();
            let cost = 4_000 / shards as u64;
            flushed(&mut pacer, 6_000 + cost, cost, 5);
            pacer.due(&PaceSettings { shards, ..SETTINGS }, 9_000)
        };
        assert_eq!([1, 2, 4].map(due), [18_000; 3]);
    }

    #[test]
    fn flush_max_also_holds_with_many_shards() {
        let mut pacer = Pacer::new();
        flushed(&mut pacer, 13_000, 3_000, 5);
        assert_eq!(pacer.due(&PaceSettings { shards: 64, ..SETTINGS }, 13_100), 30_000);
        flushed(&mut pacer, 100_000, 50_000, 5);
        assert_eq!(pacer.due(&PaceSettings { shards: 64, ..SETTINGS }, 100_100), 100_100);
    }

    #[test]
    fn interruptions_of_a_flush_count_as_time_and_not_as_cost() {
        let mut pacer = Pacer::new();
        pacer.flushed(10_000..18_000, 3_000, 5);
        assert_eq!(pacer.due(&SETTINGS, 18_100), 24_000);
        pacer.flushed(10_000..28_000, 3_000, 5);
        assert_eq!(pacer.due(&SETTINGS, 28_100), 30_000);
    }

    #[test]
    fn a_delay_that_coalesces_nothing_backs_off_exponentially() {
        let mut pacer = Pacer::new();
        let mut now = 10_000;
        let mut waits = 0;
        flushed(&mut pacer, now, 3_000, 1);
        for _ in 0..300 {
            now += 50;
            let due = pacer.due(&SETTINGS, now);
            waits += u32::from(due > now);
            now = due.max(now) + 3_000;
            flushed(&mut pacer, now, 3_000, 1);
        }
        assert!(waits <= 12, "{waits} of 300 flushes waited for nothing");
    }

    /// A sender with 16 messages in flight sends the next one when it sees an echo, so delays only slow it down.
    #[test]
    fn a_delay_that_slows_the_senders_down_is_given_up() {
        let (with, without) = (
            closed_loop(&SETTINGS),
            closed_loop(&PaceSettings {
                factor: 0.0,
                ..SETTINGS
            }),
        );
        assert!(
            with as f64 > without as f64 * 0.85,
            "{with} flushed with the pacer, {without} without any wait"
        );
    }

    /// Messages at a fixed rate do not slow down, so most flushes are delayed.
    #[test]
    fn a_delay_that_coalesces_is_kept() {
        let mut pacer = Pacer::new();
        let (mut now, mut next, mut flushes, mut events) = (0_u64, 0_u64, 0, 0);
        while now < 5_000_000 {
            now = now.max(next);
            let due = pacer.due(&SETTINGS, now).max(now);
            let end = due + 3_400;
            let coalesced = ((due - next) / 1_000 + 1) as usize;
            next += coalesced as u64 * 1_000;
            events += coalesced;
            flushes += 1;
            now = end;
            flushed(&mut pacer, now, 3_400, coalesced);
        }
        assert!(
            events as f64 / flushes as f64 > 7.0,
            "{events} events in {flushes} flushes"
        );
    }

    fn closed_loop(settings: &PaceSettings) -> usize {
        let mut pacer = Pacer::new();
        let (mut now, mut served) = (0_u64, 0);
        flushed(&mut pacer, 0, 3_400, 16);
        while now < 5_000_000 {
            now += 100;
            let due = pacer.due(settings, now).max(now);
            now = due + 3_400;
            flushed(&mut pacer, now, 3_400, 16);
            served += 16;
        }
        served
    }
}
