//! A coarse timer wheel: an entry costs a few bytes, where a timer of the runtime would cost a task.

use crate::limits::{WHEEL_SLOTS, WHEEL_TICK_MS};

/// Entries `T` in slots of [`WHEEL_TICK_MS`]. An entry beyond the horizon goes into the last slot. It comes out too early then,
/// so the caller compares the time and puts it in again.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Box<[Vec<T>]>,
    /// The next tick.
    tick: u64,
}

impl<T> Wheel<T> {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            slots: (0..WHEEL_SLOTS).map(|_| Vec::new()).collect(),
            tick: now_ms / WHEEL_TICK_MS + 1,
        }
    }

    /// Adds an entry that is due at the first tick at or after `at_ms`; returns that tick.
    pub(crate) fn put(&mut self, at_ms: u64, entry: T) -> u64 {
        let horizon = self.tick + WHEEL_SLOTS as u64 - 1;
        let tick = at_ms.div_ceil(WHEEL_TICK_MS).clamp(self.tick, horizon);
        self.slots[(tick % WHEEL_SLOTS as u64) as usize].push(entry);
        tick
    }

    /// Takes the entries that are due at `now_ms`, each with its tick. After a jump of the clock, each slot is emptied only once.
    pub(crate) fn expire(&mut self, now_ms: u64, mut each: impl FnMut(u64, T)) {
        let now = now_ms / WHEEL_TICK_MS;
        let mut left = WHEEL_SLOTS;
        while self.tick <= now && left > 0 {
            let tick = self.tick;
            self.tick += 1;
            left -= 1;
            for entry in std::mem::take(&mut self.slots[(tick % WHEEL_SLOTS as u64) as usize]) {
                each(tick, entry);
            }
        }
        self.tick = self.tick.max(now + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(wheel: &mut Wheel<u32>, now_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.expire(now_ms, |_, entry| due.push(entry));
        due
    }

    #[test]
    fn an_entry_is_due_at_the_first_tick_at_or_after_its_time() {
        let mut wheel = Wheel::new(0);
        wheel.put(5 * WHEEL_TICK_MS, 1);
        wheel.put(5 * WHEEL_TICK_MS + 1, 2);
        assert_eq!(due(&mut wheel, 5 * WHEEL_TICK_MS - 1), Vec::<u32>::new());
        assert_eq!(due(&mut wheel, 5 * WHEEL_TICK_MS), [1]);
        assert_eq!(due(&mut wheel, 6 * WHEEL_TICK_MS), [2]);
    }

    #[test]
    fn a_clock_that_jumps_loses_no_entry_and_does_not_spin() {
        let mut wheel = Wheel::new(0);
        wheel.put(1_000, 1);
        wheel.put(40_000, 2);
        assert_eq!(due(&mut wheel, 1 << 50), [1, 2]);
        wheel.put(0, 3);
        assert_eq!(due(&mut wheel, (1 << 50) + WHEEL_TICK_MS), [3]);
    }

    #[test]
    fn an_entry_beyond_the_horizon_is_due_early() {
        let mut wheel = Wheel::new(0);
        let tick = wheel.put(u64::MAX / 2, 1);
        assert!(tick <= WHEEL_SLOTS as u64);
        assert_eq!(due(&mut wheel, WHEEL_TICK_MS * WHEEL_SLOTS as u64), [1]);
    }
}
