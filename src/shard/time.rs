//! Time, as a shard sees it: a clock that tests can own, and the moment of one turn.

/// Where time comes from.
pub(crate) trait Clock {
    /// Microseconds since some moment before the start; never goes back.
    fn micros(&self) -> u64;
    /// Unix milliseconds; may jump.
    fn unix_ms(&self) -> u64;
}

/// The time of one turn: everything in it happens at the same moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moment {
    /// The shard's clock.
    pub(crate) us: u64,
    /// The same in milliseconds.
    pub(crate) ms: u64,
    /// Unix milliseconds.
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
