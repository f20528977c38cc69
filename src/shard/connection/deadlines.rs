//! What time does to a connection: pings, deadlines, and silence that does not count.
//!
//! Invariants: a time at which a connection is not read counts nowhere as silence, and neither does one at which the whole shard
//! stood still; a peer that reads is not dead, but is closed as a slow consumer if nothing is heard of it for several times
//! as long.
//!
//! Nothing here looks at a clock or ends a connection: [`Connection::check`] says what is due.

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

/// What a connection has time for, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// A peer of which nothing is heard for so long is dead.
    pub(crate) dead_after_ms: u64,
    /// A socket that takes nothing for so long is reset.
    pub(crate) write_timeout_ms: u64,
    pub(crate) ping_every_ms: u64,
    /// For the first message of a client without a name.
    pub(crate) first_word_ms: u64,
    /// A user who says nothing for so long is sent away.
    pub(crate) silence_ms: Option<u64>,
    /// Until when connections that do not read may stay: the server is going down.
    pub(crate) drain_until_ms: Option<u64>,
    pub(crate) message_rate: Option<MessageRate>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Alive,
    /// It is alive, and a ping waits to be written.
    Pinged,
    /// It has not shown its dialect in time.
    Undecided,
    /// Its socket has taken nothing for as long as it may.
    Stuck,
    Cut(End),
    Goodbye(GoodbyeCode),
    /// A message was begun and not finished.
    Unfinished,
}

impl<S> Connection<S> {
    /// When it was taken up, milliseconds.
    pub(crate) fn opened_ms(&self) -> u64 {
        self.liveness.opened_ms()
    }

    /// When the user last said something; a connection without a name says something by coming.
    pub(crate) fn last_word_ms(&self) -> u64 {
        self.session()
            .map_or(self.liveness.opened_ms(), |session| session.said_ms)
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.liveness.heard(now_ms);
    }

    /// The first ping is due then.
    pub(crate) fn begin_pings(&mut self, at_ms: u64) {
        self.liveness.ping_at(at_ms);
    }

    /// A dialect that pings more often shows.
    pub(crate) fn ping_at_latest(&mut self, at_ms: u64) {
        self.liveness.ping_at(at_ms.min(self.liveness.ping_ms()));
    }

    /// After a read: whether a message is unfinished, and whether another one was finished. Whether one began to be unfinished.
    pub(crate) fn note_unfinished(&mut self, unfinished: bool, finished: bool, now_ms: u64) -> bool {
        self.liveness.note_unfinished(unfinished, finished, now_ms)
    }

    /// The whole shard stood still for so long: that time counts nowhere as silence.
    pub(crate) fn excuse_standstill(&mut self, stood_ms: u64, now_ms: u64) {
        let later = |at: &mut u64| *at = (*at + stood_ms).min(now_ms);
        self.outgoing.excuse(later);
        self.liveness.excuse_standstill(later, self.session().is_none());
        if let Some(session) = self.naming.session_mut() {
            later(&mut session.said_ms);
            if let Some(held) = session.held() {
                held.excuse(later);
            }
        }
    }

    /// It is not read, so nothing that its peer says can be heard: that time counts nowhere as silence.
    pub(crate) fn excuse_silence(&mut self, now_ms: u64) {
        self.liveness.excuse_silence(now_ms);
        // Who has said exit is not read any more, and waits for nothing but the end.
        if let Some(session) = self.naming.session_mut()
            && session.exiting().is_none()
        {
            session.said_ms = now_ms;
        }
    }

    /// The first time at which [`Self::check`] may find something due.
    pub(crate) fn next_deadline(&self, limits: &TimeLimits, now_ms: u64) -> u64 {
        match self.phase() {
            Phase::Detecting(undecided) => return undecided.until_ms,
            Phase::Closing { until_ms, .. } => return *until_ms,
            Phase::Open(_) => {}
        }
        let liveness = &self.liveness;
        let session = self.session();
        let conforms = session.zip(limits.message_rate);
        let conforms = conforms.map(|(session, rate)| session.conforms_at_us(rate).div_ceil(1_000));
        let exits = session.filter(|session| session.exiting().is_some());
        [
            Some(liveness.ping_ms()),
            Some(liveness.alive_ms() + limits.dead_after_ms),
            Some(liveness.heard_ms() + limits.slow_after_ms()),
            self.outgoing
                .blocked_ms()
                .map(|blocked| blocked + limits.write_timeout_ms),
            liveness.unfinished_since_ms().map(|since| since + MESSAGE_AGE_MS),
            limits.silence_ms.map(|silence| self.last_word_ms() + silence),
            limits.drain_until_ms,
            self.named_until(limits),
            conforms.filter(|at| *at > now_ms),
            session.and_then(Session::retry_ms),
            exits.map(|session| session.said_ms + LINGER_MS),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u64::MAX)
    }

    /// Finds what is due, and pings if a ping is. Ends nothing.
    pub(crate) fn check(&mut self, limits: &TimeLimits, now_ms: u64) -> Verdict {
        match self.phase() {
            Phase::Detecting(undecided) if now_ms >= undecided.until_ms => return Verdict::Undecided,
            Phase::Closing { until_ms, .. } if now_ms >= *until_ms => return Verdict::Cut(End::Lingered),
            Phase::Detecting(_) | Phase::Closing { .. } => return Verdict::Alive,
            Phase::Open(_) => {}
        }
        if self.is_stuck(limits, now_ms) {
            return Verdict::Stuck;
        }
        if self.is_paused() {
            self.excuse_silence(now_ms);
        }
        let since = |then: u64| now_ms.saturating_sub(then);
        let liveness = &self.liveness;
        let exiting = self.session().is_some_and(|session| session.exiting().is_some());
        if since(liveness.alive_ms()) >= limits.dead_after_ms {
            return Verdict::Cut(End::Timeout);
        }
        if since(liveness.heard_ms()) >= limits.slow_after_ms() {
            return Verdict::Goodbye(GoodbyeCode::Slow);
        }
        if liveness
            .unfinished_since_ms()
            .is_some_and(|began| since(began) >= MESSAGE_AGE_MS)
        {
            return Verdict::Unfinished;
        }
        if limits.drain_until_ms.is_some_and(|until| now_ms >= until) {
            return Verdict::Goodbye(GoodbyeCode::ShuttingDown);
        }
        if exiting && since(self.last_word_ms()) >= LINGER_MS {
            return Verdict::Goodbye(GoodbyeCode::Exit);
        }
        if limits
            .silence_ms
            .is_some_and(|silence| since(self.last_word_ms()) >= silence)
        {
            return Verdict::Goodbye(GoodbyeCode::Idle);
        }
        if self.named_until(limits).is_some_and(|until| now_ms >= until) {
            return Verdict::Goodbye(GoodbyeCode::TooSlowHandshake);
        }
        if self.liveness.ping_ms() > now_ms {
            return Verdict::Alive;
        }
        self.liveness.ping_at(now_ms + limits.ping_every_ms);
        self.outgoing.ping();
        Verdict::Pinged
    }

    /// Whether its socket has taken nothing for as long as it may.
    pub(crate) fn is_stuck(&self, limits: &TimeLimits, now_ms: u64) -> bool {
        let blocked = self.outgoing.blocked_ms();
        blocked.is_some_and(|blocked| now_ms.saturating_sub(blocked) >= limits.write_timeout_ms)
    }

    /// Until when a connection without a name may stay. A hello that waits for the store is not the client's delay.
    fn named_until(&self, limits: &TimeLimits) -> Option<u64> {
        if self.session().is_some() || self.naming.asks_store() {
            return None;
        }
        let time = if self.naming.is_silent() {
            limits.first_word_ms
        } else {
            limits::NAMING_TIME.as_millis() as u64
        };
        Some(self.liveness.opened_ms() + time)
    }
}

impl TimeLimits {
    /// A peer that reads, and of which nothing is heard for so long, is a slow consumer.
    fn slow_after_ms(&self) -> u64 {
        self.dead_after_ms * u64::from(limits::SLOW_READER_TIMES)
    }
}

const LINGER_MS: u64 = limits::LINGER.as_millis() as u64;
const MESSAGE_AGE_MS: u64 = limits::MESSAGE_AGE.as_millis() as u64;
