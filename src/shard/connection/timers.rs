//! The deadlines of all connections: [`Connections`] schedules them in its timer wheel, and does what is due.
//!
//! This file reads no clock, and [`Connection::check`] decides what is due.

use std::time::Duration;

use crate::{
    chat::SessionId,
    codec::{DIALECTS, detect::Why},
    shard::{
        End,
        connection::{
            connections::Connections,
            deadlines::{Due, TimeLimits},
            notification::Notification,
            state::Connection,
            write::Socket,
        },
        time::Moment,
    },
};

impl<S: Socket> Connections<S> {
    /// Puts a connection into the wheel at its earliest deadline.
    pub(crate) fn schedule(&mut self, id: SessionId, now: Moment) {
        let Some(connection) = self.get(id) else { return };
        let next = connection.next_deadline(&self.time_limits(connection), now.ms);
        let decided = connection.dialect_guessed_at().unwrap_or(u64::MAX);
        self.watch(id, next.min(decided));
    }

    fn time_limits(&self, connection: &Connection<S>) -> TimeLimits {
        let settings = self.settings();
        let dialect = connection.speaking().map_or(DIALECTS[0], |speaking| speaking.dialect);
        let profile = self.profile_of(dialect);
        let ms = |time: Duration| time.as_millis() as u64;
        TimeLimits {
            dead_after_ms: ms(settings.dead_after),
            write_timeout_ms: ms(settings.write_timeout),
            ping_every_ms: ms(profile.ping_every),
            first_message_ms: ms(profile.first_message),
            silence_ms: profile.silent_after.or(settings.idle_kick).map(ms),
            drain_until_ms: self.service().drains_until(),
            message_rate: settings.message_rate.get(),
        }
    }

    /// Does what is due for a connection.
    pub(crate) fn check(&mut self, id: SessionId, now: Moment) {
        let guessed_at = self.get(id).and_then(Connection::dialect_guessed_at);
        if guessed_at.is_some_and(|until| now.ms >= until) {
            self.guess_dialect(id, now);
        }
        let Some(connection) = self.get(id) else { return };
        let limits = self.time_limits(connection);
        let Some(connection) = self.get_mut(id) else { return };
        match connection.check(&limits, now.ms) {
            Due::Nothing => {}
            Due::Write => self.mark_dirty(id),
            Due::Greeting => return self.greet_unknown(id, Why::Silence, now),
            Due::Stuck => return self.notify(Notification::Stuck(id)),
            Due::Cut(end) => return self.cut(id, end),
            Due::Goodbye(code) => return self.goodbye(id, None, code, now),
            Due::Unfinished => {
                return self.close(id, 1008, "a message was begun and not finished", End::Unfinished, now);
            }
        }
        self.notify(Notification::Due(id));
    }

    /// Ends a connection whose socket is still stuck after one more attempt to write.
    pub(crate) fn cut_stuck(&mut self, id: SessionId, now: Moment) {
        let stuck = |connection: &Connection<S>| connection.is_stuck(&self.time_limits(connection), now.ms);
        if self.get(id).is_some_and(stuck) {
            self.cut(id, End::WriteTimeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::{
        limits,
        shard::testing::{FakeSocket, TestClock},
    };

    fn at(ms: u64) -> Moment {
        Moment {
            us: ms * 1_000,
            ms,
            unix_ms: ms,
        }
    }

    fn connection() -> (Connections<Rc<FakeSocket>>, SessionId) {
        let mut connections = Connections::for_test();
        let id = connections.open_for_test(Rc::new(FakeSocket::new(TestClock::default())));
        connections.enter_for_test(id, "ada");
        (connections, id)
    }

    #[test]
    fn a_connection_is_due_once_at_its_earliest_deadline() {
        let (mut connections, id) = connection();
        for ms in [300, 200, 900] {
            connections.watch(id, ms);
        }
        assert_eq!(connections.expire(at(200)), [id]);
        assert_eq!(connections.expire(at(1_000)), []);
        connections.watch(id, 1_200);
        assert_eq!(connections.expire(at(1_200)), [id]);
    }

    #[test]
    fn silence_counts_unless_the_shard_stalled() {
        let dead_ms = limits::STALLED_AFTER.as_millis() as u64 * 20;
        for (step, is_alive) in [(1_000, false), (dead_ms, true)] {
            let (mut connections, id) = connection();
            for ms in (step..=dead_ms).step_by(step as usize) {
                for id in connections.expire(at(ms)) {
                    connections.check(id, at(ms));
                    connections.schedule(id, at(ms));
                }
            }
            assert_eq!(connections.get(id).is_some(), is_alive, "{step}");
        }
    }
}
