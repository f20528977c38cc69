//! What time does to connections: heartbeats, deadlines, idle users, silent newcomers.

use crate::shard::{
    End,
    connection::state::{Connection, Phase, Socket},
    engine::{Clock, Engine},
};
use crate::{
    chat::{GoodbyeCode, SessionId},
    codec::detect::Why,
    limits, wire,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Runs the wheel up to now. Called once per tick.
    pub(crate) fn tick(&mut self) {
        let now = self.now.ms;
        self.forgive(now.saturating_sub(self.ticked_ms));
        self.ticked_ms = now;
        let mut due = Vec::new();
        self.wheel.expire(now, |tick, id| due.push((tick, id)));
        for (tick, id) in due {
            if self
                .connection(id)
                .is_some_and(|connection| u64::from(connection.tick) == tick)
            {
                if let Some(connection) = self.connection(id) {
                    connection.tick = 0;
                }
                self.check(id);
                self.schedule(id);
            }
        }
        self.retry_mail();
        self.displace_more();
        self.rooms.tick(self.now);
        let effects = self.home.tick(self.now.unix_ms);
        self.carry_out(effects);
    }

    /// A shard that stood still (a stopped process, a paused machine) heard nobody: that time counts against no one.
    fn forgive(&mut self, stood_ms: u64) {
        if stood_ms < limits::STOOD_STILL.as_millis() as u64 {
            return;
        }
        let now = self.now.ms;
        for connection in self.connections.iter_mut() {
            connection.excuse_standstill(stood_ms, now);
        }
    }

    /// Puts a connection into the wheel for the first of its deadlines.
    pub(crate) fn schedule(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let next = self.next_deadline(connection);
        let decided = self.dialect_guessed_at(id).unwrap_or(u64::MAX);
        self.watch(id, next.min(decided));
    }

    /// Puts a connection into the wheel, unless it comes up before that anyway.
    pub(crate) fn watch(&mut self, id: SessionId, at_ms: u64) {
        let tick = at_ms.div_ceil(limits::WHEEL_TICK_MS);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.tick == 0 || tick < u64::from(connection.tick) {
            connection.tick = u32::try_from(self.wheel.put(at_ms, id)).unwrap_or(u32::MAX);
        }
    }

    fn next_deadline(&self, connection: &Connection<S>) -> u64 {
        match &connection.phase {
            Phase::Detecting(undecided) => undecided.until_ms,
            Phase::Closing { until_ms, .. } => *until_ms,
            Phase::Open(speaking) => {
                let settings = &self.settings;
                let dead_after = settings.dead_after.as_millis() as u64;
                let mut next = connection
                    .ping_ms
                    .min(connection.alive_ms() + dead_after)
                    .min(connection.heard_ms + dead_after * u64::from(limits::SLOW_READER_TIMES));
                if let Some(blocked) = connection.outgoing.as_ref().and_then(|outgoing| outgoing.blocked_ms) {
                    next = next.min(blocked + settings.write_timeout.as_millis() as u64);
                }
                if connection.unfinished_ms > 0 {
                    next = next.min(connection.unfinished_ms + limits::MESSAGE_AGE.as_millis() as u64);
                }
                if let Some(silence) = self.silence(speaking.dialect) {
                    next = next.min(last_word(connection) + silence);
                }
                if let Some(until_ms) = self.service.drains_until() {
                    next = next.min(until_ms);
                }
                if let Some(until) = self.named_until(connection, speaking.dialect) {
                    next = next.min(until);
                }
                if let Some(session) = &connection.session {
                    if let Some(rate) = self.settings.message_rate.get() {
                        let at = rate.may_at(session.paid_us).div_ceil(1_000);
                        if at > self.now.ms {
                            next = next.min(at);
                        }
                    }
                    if let Some(held) = &session.held {
                        next = next.min(held.retry_ms);
                    }
                    if session.exiting.is_some() {
                        next = next.min(session.said_ms + limits::LINGER.as_millis() as u64);
                    }
                }
                next
            }
        }
    }

    /// Until when a connection without a name may stay. A hello that waits for the store is not the client's delay.
    fn named_until(&self, connection: &Connection<S>, dialect: u8) -> Option<u64> {
        if connection.session.is_some() || connection.claiming.is_some() {
            return None;
        }
        let time = if connection.spoken {
            limits::NAMING_TIME
        } else {
            self.profiles[usize::from(dialect)].first_word
        };
        Some(connection.opened_ms + time.as_millis() as u64)
    }

    /// How long a user of this dialect may be silent, milliseconds.
    fn silence(&self, dialect: u8) -> Option<u64> {
        self.profiles[usize::from(dialect)]
            .silent_after
            .or(self.settings.idle_kick)
            .map(|silence| silence.as_millis() as u64)
    }

    fn check(&mut self, id: SessionId) {
        let now = self.now.ms;
        if self.dialect_guessed_at(id).is_some_and(|until| now >= until) {
            self.guess_dialect(id);
        }
        let dead_after = self.settings.dead_after.as_millis() as u64;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let (dialect, exiting) = match &connection.phase {
            Phase::Detecting(undecided) => {
                if now >= undecided.until_ms {
                    self.greet_unknown(id, Why::Silence);
                }
                return;
            }
            Phase::Closing { until_ms, .. } => {
                if now >= *until_ms {
                    self.cut(id, End::Lingered);
                }
                return;
            }
            Phase::Open(speaking) => (
                speaking.dialect,
                connection
                    .session
                    .as_ref()
                    .is_some_and(|session| session.exiting.is_some()),
            ),
        };
        if self.takes_nothing(id) {
            // The system tells of room when a third of the buffer is free, which a slow reader needs longer for; it takes bytes
            // before that.
            self.writable(id);
            if self.takes_nothing(id) {
                self.cut(id, End::WriteTimeout);
            }
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.paused {
            connection.excuse_silence(now);
        }
        if now.saturating_sub(connection.alive_ms()) >= dead_after {
            return self.cut(id, End::Timeout);
        }
        if now.saturating_sub(connection.heard_ms) >= dead_after * u64::from(limits::SLOW_READER_TIMES) {
            return self.goodbye(id, None, GoodbyeCode::Slow);
        }
        let unfinished = connection.unfinished_ms;
        if unfinished > 0 && now.saturating_sub(unfinished) >= limits::MESSAGE_AGE.as_millis() as u64 {
            return self.close(id, 1008, "a message was begun and not finished", End::Unfinished);
        }
        if self.service.drains_until().is_some_and(|until_ms| now >= until_ms) {
            return self.goodbye(id, None, GoodbyeCode::ShuttingDown);
        }
        if exiting && now.saturating_sub(last_word(connection)) >= limits::LINGER.as_millis() as u64 {
            return self.goodbye(id, None, GoodbyeCode::Exit);
        }
        if connection.ping_ms <= now {
            connection.ping_ms = now + self.profiles[usize::from(dialect)].ping_every.as_millis() as u64;
            // Where the socket is full it goes behind the rest of a torn frame and before all else.
            connection.outgoing().ping(wire::ping(&[]).as_bytes());
            self.mark_dirty(id);
        }
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if let Some(silence) = self.silence(dialect)
            && now.saturating_sub(last_word(connection)) >= silence
        {
            return self.goodbye(id, None, GoodbyeCode::Idle);
        }
        if self.named_until(connection, dialect).is_some_and(|until| now >= until) {
            return self.goodbye(id, None, GoodbyeCode::TooSlowHandshake);
        }
        self.retry_held(id);
        self.read_on(id);
    }

    /// Whether a connection's socket has taken nothing for as long as it may.
    fn takes_nothing(&mut self, id: SessionId) -> bool {
        let (now, most) = (self.now.ms, self.settings.write_timeout.as_millis() as u64);
        let outgoing = self.connection(id).and_then(|connection| connection.outgoing.as_ref());
        outgoing
            .and_then(|outgoing| outgoing.blocked_ms)
            .is_some_and(|blocked| now.saturating_sub(blocked) >= most)
    }
}

/// When the user last said something; a connection without a name says something by coming.
fn last_word<S>(connection: &Connection<S>) -> u64 {
    connection
        .session
        .as_ref()
        .map_or(connection.opened_ms, |session| session.said_ms)
}
