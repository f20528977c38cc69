//! The clock of a shard, which tests can replace, and the time of one turn.

pub(crate) trait Clock {
    /// Monotonic microseconds since a moment before the start.
    fn micros(&self) -> u64;
    /// Wall clock, Unix milliseconds; may jump.
    fn unix_ms(&self) -> u64;
}

/// The time of one turn. Everything in a turn happens at the same moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moment {
    /// Monotonic.
    pub(crate) us: u64,
    /// `us` in milliseconds.
    pub(crate) ms: u64,
    /// Wall clock.
    pub(crate) unix_ms: u64,
}

impl Moment {
    pub(crate) fn of(clock: &impl Clock) -> Self {
        let us = clock.micros();
        Self {
            us,
            ms: us / 1_000,
            unix_ms: clock.unix_ms(),
        }
    }
}
