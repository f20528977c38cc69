//! The deadlines of one connection: pings, timeouts, and the silence that does not count. `timers` carries out what
//! [`Connection::check`] returns.
//!
//! Invariants:
//! - Time during which a connection is not read does not count as silence of its peer; nor does time during which the shard stalled.
//! - A peer whose full socket still accepts bytes is not dead. If no bytes arrive from it for several times `dead_after`, it is a slow
//!   consumer.
//!
//! This file reads no clock and ends no connection: [`Connection::check`] says what is due.

use crate::{
    chat::GoodbyeCode,
    limits,
    shard::{
        End,
        connection::{
            session::Session,
            state::{Connection, Phase},
        },
        rate_limit::MessageRate,
    },
};

/// The timeouts of a connection, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Without any sign of life.
    pub(crate) dead_after_ms: u64,
    /// For a full socket that accepts no bytes.
    pub(crate) write_timeout_ms: u64,
    pub(crate) ping_every_ms: u64,
    /// For the first message of a client without a name.
    pub(crate) first_message_ms: u64,
    /// Without a message of the user.
    pub(crate) silence_ms: Option<u64>,
    /// While the server drains: when it ends the connections whose peers do not read.
    pub(crate) drain_until_ms: Option<u64>,
    pub(crate) message_rate: Option<MessageRate>,
}

/// What is due for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// A ping has been queued and must be written.
    Write,
    /// The client has not shown its dialect in time.
    Greeting,
    /// The full socket has accepted no bytes for `write_timeout`.
    Stuck,
    Cut(End),
    Goodbye(GoodbyeCode),
    /// The peer has not finished a message in time.
    Unfinished,
}

impl<S> Connection<S> {
    pub(crate) fn opened_ms(&self) -> u64 {
        self.liveness.opened_ms()
    }

    /// When the user last sent a message; without a name, when the connection opened.
    pub(crate) fn last_active_ms(&self) -> u64 {
        self.session()
            .map_or(self.liveness.opened_ms(), Session::last_active_ms)
    }

    /// Moves the next ping to this time, if that is earlier.
    pub(crate) fn ping_at_latest(&mut self, at_ms: u64) {
        self.liveness.ping_at(at_ms.min(self.liveness.ping_ms()));
    }

    /// Moves all times forward after a stall of the shard, so that the stall does not count as silence.
    pub(crate) fn discount_stall(&mut self, stalled_ms: u64, now_ms: u64) {
        let later = |at: &mut u64| *at = (*at + stalled_ms).min(now_ms);
        self.outgoing.discount_stall(later);
        self.liveness.discount_stall(later, self.session().is_none());
        if let Some(session) = self.naming.session_mut() {
            session.discount_stall(later);
        }
    }

    /// Restarts the peer's silence, because time during which the connection was not read does not count.
    pub(crate) fn restart_silence(&mut self, now_ms: u64) {
        self.liveness.restart_silence(now_ms);
        // After an exit the connection is not read again, and the time limit of the exit must run out.
        if let Some(session) = self.naming.session_mut()
            && session.exiting().is_none()
        {
            session.note_activity(now_ms);
        }
    }

    /// The earliest time at which [`Self::check`] may find something due, or at which reading may resume.
    pub(crate) fn next_deadline(&self, limits: &TimeLimits, now_ms: u64) -> u64 {
        match self.phase() {
            Phase::Detecting(undecided) => return undecided.until_ms,
            Phase::Closing { until_ms, .. } => return *until_ms,
            Phase::Open(_) => {}
        }
        let session = self.session();
        let conforms = session.zip(limits.message_rate);
        let conforms = conforms.map(|(session, rate)| session.conforms_at_us(rate).div_ceil(1_000));
        let deadlines = self.deadlines(limits).map(|(at_ms, _)| at_ms).into_iter();
        deadlines
            .chain([
                self.stuck_at(limits),
                conforms.filter(|at| *at > now_ms),
                session.and_then(Session::retry_ms),
            ])
            .flatten()
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Finds what is due; queues a ping if one is. Ends nothing.
    pub(crate) fn check(&mut self, limits: &TimeLimits, now_ms: u64) -> Due {
        match self.phase() {
            Phase::Detecting(undecided) if now_ms >= undecided.until_ms => return Due::Greeting,
            Phase::Closing { until_ms, .. } if now_ms >= *until_ms => return Due::Cut(End::Lingered),
            Phase::Detecting(_) | Phase::Closing { .. } => return Due::Nothing,
            Phase::Open(_) => {}
        }
        if self.is_stuck(limits, now_ms) {
            return Due::Stuck;
        }
        if self.is_paused() {
            self.restart_silence(now_ms);
        }
        let mut deadlines = self.deadlines(limits).into_iter();
        let due = deadlines.find(|(at_ms, _)| at_ms.is_some_and(|at_ms| now_ms >= at_ms));
        let due = due.map_or(Due::Nothing, |(_, due)| due);
        if due == Due::Write {
            self.liveness.ping_at(now_ms + limits.ping_every_ms);
            self.outgoing.ping();
        }
        due
    }

    /// The deadlines of an open connection whose socket is not stuck. If several have passed, the first one counts.
    fn deadlines(&self, limits: &TimeLimits) -> [(Option<u64>, Due); 8] {
        let liveness = &self.liveness;
        let exiting = self.session().filter(|session| session.exiting().is_some());
        let after = |since: Option<u64>, ms: u64| since.map(|since| since + ms);
        [
            (
                after(Some(liveness.alive_ms()), limits.dead_after_ms),
                Due::Cut(End::Timeout),
            ),
            (
                after(Some(liveness.heard_ms()), limits.slow_after_ms()),
                Due::Goodbye(GoodbyeCode::Slow),
            ),
            (after(liveness.unfinished_since_ms(), MESSAGE_AGE_MS), Due::Unfinished),
            (limits.drain_until_ms, Due::Goodbye(GoodbyeCode::ShuttingDown)),
            (
                after(exiting.map(Session::last_active_ms), LINGER_MS),
                Due::Goodbye(GoodbyeCode::Exit),
            ),
            (
                after(limits.silence_ms, self.last_active_ms()),
                Due::Goodbye(GoodbyeCode::Idle),
            ),
            (self.named_until(limits), Due::Goodbye(GoodbyeCode::TooSlowHandshake)),
            (Some(liveness.ping_ms()), Due::Write),
        ]
    }

    /// Whether the full socket has accepted no bytes for `write_timeout`.
    pub(crate) fn is_stuck(&self, limits: &TimeLimits, now_ms: u64) -> bool {
        self.stuck_at(limits).is_some_and(|at_ms| now_ms >= at_ms)
    }

    fn stuck_at(&self, limits: &TimeLimits) -> Option<u64> {
        Some(self.outgoing.blocked_ms()? + limits.write_timeout_ms)
    }

    /// When a connection without a name ends. While its hello waits for the store, there is no limit.
    fn named_until(&self, limits: &TimeLimits) -> Option<u64> {
        if self.session().is_some() || self.naming.asks_store() {
            return None;
        }
        let time = if self.naming.is_silent() {
            limits.first_message_ms
        } else {
            limits::NAMING_TIME.as_millis() as u64
        };
        Some(self.liveness.opened_ms() + time)
    }
}

impl TimeLimits {
    /// A peer from which no bytes arrive for this time is a slow consumer, even if its socket accepts bytes.
    fn slow_after_ms(&self) -> u64 {
        self.dead_after_ms * u64::from(limits::SLOW_CONSUMER_FACTOR)
    }
}

const LINGER_MS: u64 = limits::LINGER.as_millis() as u64;
const MESSAGE_AGE_MS: u64 = limits::MESSAGE_AGE.as_millis() as u64;
