//! The rate limit of one session's messages, direct messages, topics and new names: the generic cell rate algorithm (GCRA).
//!
//! The state of a session is one number, the theoretical arrival time of its next message. The server refuses no message above
//! the rate; it stops reading the connection until the next message conforms. `session::rules` counts the messages, and
//! `connection::backpressure` asks whether the next one conforms.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::limits;

/// The rate limit of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageRate {
    /// The sustained rate, in messages.
    pub per_second: u32,
    /// The burst after a pause, in messages.
    pub at_once: u32,
}

/// The current rate limit of all shards, which a reload of the settings changes. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SharedRate(Arc<ArcSwapOption<MessageRate>>);

/// One session's state: the theoretical arrival time of its next message, microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gcra(u64);

impl SharedRate {
    /// Sets the limit; `None` switches it off.
    pub fn set(&self, rate: Option<MessageRate>) {
        self.0.store(rate.map(Arc::new));
    }

    pub(super) fn get(&self) -> Option<MessageRate> {
        self.0.load().as_deref().copied()
    }
}

impl Gcra {
    /// Counts one message.
    pub(super) fn count(&mut self, rate: MessageRate, now_us: u64) {
        self.0 = self.0.max(now_us) + rate.each_us();
    }

    /// When the next message conforms, microseconds.
    pub(super) fn conforms_at_us(self, rate: MessageRate) -> u64 {
        let burst = u64::from(rate.at_once.max(1) - 1) * rate.each_us();
        // Reading resumes only at a tick of the timer wheel. With a smaller tolerance than that, a session could not reach its
        // sustained rate.
        self.0.saturating_sub(burst.max(limits::RATE_GRAIN_US))
    }
}

impl MessageRate {
    fn each_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_conforms_and_then_one_message_for_each_interval() {
        let rate = MessageRate {
            per_second: 2,
            at_once: 3,
        };
        let mut session = Gcra::default();
        let now_us = 10_000_000;
        for _ in 0..3 {
            assert!(session.conforms_at_us(rate) <= now_us);
            session.count(rate, now_us);
        }
        assert_eq!(session.conforms_at_us(rate), now_us + 500_000);
        session.count(rate, now_us + 500_000);
        assert_eq!(session.conforms_at_us(rate), now_us + 1_000_000);
    }
}
