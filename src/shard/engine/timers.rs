//! What time does to connections: heartbeats, deadlines, idle users, silent newcomers.

use std::time::Duration;

use crate::shard::{
    End,
    connection::deadlines::{TimeLimits, Verdict},
    connection::state::Connection,
    connection::write::Socket,
    engine::{Clock, Engine},
};
use crate::{chat::SessionId, codec::detect::Why, limits};

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
        self.retry_inboxes();
        self.displace_more();
        self.rooms.tick(self.now);
        let effects = self.owner.tick(self.now.unix_ms);
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
        let next = connection.next_deadline(&self.time_limits(connection), self.now.ms);
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

    fn time_limits(&self, connection: &Connection<S>) -> TimeLimits {
        let settings = &self.settings;
        let dialect = connection
            .speaking()
            .map_or(0, |speaking| usize::from(speaking.dialect));
        let profile = &self.profiles[dialect];
        let ms = |time: Duration| time.as_millis() as u64;
        TimeLimits {
            dead_after_ms: ms(settings.dead_after),
            write_timeout_ms: ms(settings.write_timeout),
            ping_every_ms: ms(profile.ping_every),
            first_word_ms: ms(profile.first_word),
            silence_ms: profile.silent_after.or(settings.idle_kick).map(ms),
            drain_until_ms: self.service.drains_until(),
            message_rate: settings.message_rate.get(),
        }
    }

    fn check(&mut self, id: SessionId) {
        let now = self.now.ms;
        if self.dialect_guessed_at(id).is_some_and(|until| now >= until) {
            self.guess_dialect(id);
        }
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let limits = self.time_limits(connection);
        let Some(connection) = self.connection(id) else { return };
        match connection.check(&limits, now) {
            Verdict::Alive => {}
            Verdict::Pinged => self.mark_dirty(id),
            Verdict::Undecided => return self.greet_unknown(id, Why::Silence),
            Verdict::Stuck => {
                // The system tells of room when a third of the buffer is free, which a slow reader needs longer for; it takes
                // bytes before that.
                self.writable(id);
                let connection = self.connection(id);
                if connection.is_some_and(|connection| connection.is_stuck(&limits, now)) {
                    self.cut(id, End::WriteTimeout);
                }
                return;
            }
            Verdict::Cut(end) => return self.cut(id, end),
            Verdict::Goodbye(code) => return self.goodbye(id, None, code),
            Verdict::Unfinished => {
                return self.close(id, 1008, "a message was begun and not finished", End::Unfinished);
            }
        }
        self.act(id, None, |rules| rules.retry_held());
        self.read_on(id);
    }
}
