//! What waits for a socket is written, and connections end: politely, or at once.

use crate::shard::{
    End,
    bus::message::{RoomCommand, ToShard},
    connection::state::Phase,
    connection::write::{Socket, Written},
    engine::{Clock, Engine, Want},
};
use crate::{
    chat::{Departure, GoodbyeCode, Reply, RequestId, SessionId, ToSession, UserName},
    limits,
    wire::{self},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Says goodbye and closes.
    pub(crate) fn goodbye(&mut self, id: SessionId, request: RequestId, code: GoodbyeCode) {
        let spread = self.settings.retry_spread.as_millis() as u64;
        let retry_after = code.invites_back().then(|| {
            std::time::Duration::from_millis(self.random.u64(0..=spread) + limits::RETRY_LEAST.as_millis() as u64)
        });
        let native = self.is_native(id);
        let (text, end) = farewell(code);
        self.reply(
            id,
            request,
            &Reply::Goodbye {
                code,
                text: text.into(),
                retry_after,
            },
        );
        let close = if native {
            code.close_code()
        } else {
            code.legacy_close_code()
        };
        self.close(id, close, text, end);
    }

    /// Closes politely: leaves the rooms, writes what waits and a close frame, and gives the peer a moment.
    pub(crate) fn close(&mut self, id: SessionId, code: u16, reason: &str, end: End) {
        self.close_with(id, wire::close(code, reason).as_bytes(), end);
    }

    pub(crate) fn close_with(&mut self, id: SessionId, frame: &[u8], end: End) {
        let mut wait = limits::LINGER;
        if end == End::Slow {
            // Its socket is full: it is given the time that any write has.
            wait += self.settings.write_timeout;
        }
        let until_ms = self.now.ms + wait.as_millis() as u64;
        let dialect = self.dialect(id);
        let Some(connection) = self.connection(id) else { return };
        if connection.is_closing() {
            return;
        }
        // Behind the replies: a close frame is the last frame there is.
        connection.outgoing_mut().private().extend_from_slice(frame);
        *connection.phase_mut() = Phase::Closing { until_ms, shut: false };
        connection.end_reading();
        self.stats.ends.push((dialect, end));
        self.depart(id);
        self.mark_dirty(id);
        self.wants.push(Want::Wake(id));
        self.watch(id, until_ms);
    }

    /// Ends a connection at once: nothing more can be written to it.
    pub(crate) fn cut(&mut self, id: SessionId, end: End) {
        let dialect = self.dialect(id);
        let Some(connection) = self.connection(id) else { return };
        if !connection.is_closing() {
            self.stats.ends.push((dialect, end));
        }
        self.depart(id);
        if let Some(connection) = self.connections.remove(id)
            && end.resets()
        {
            connection.socket.reset();
        }
    }

    /// The peer closed its side, or the socket failed.
    pub(crate) fn hung_up(&mut self, id: SessionId) {
        self.cut(id, End::Reset);
    }

    /// The session is over: rooms and directory forget it, once.
    pub(crate) fn depart(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(session) = connection.end_session() else {
            return;
        };
        let waiting = session.deferred().map_or(0, |deferred| deferred.len());
        // Nobody carries them out any more.
        connection.underway = connection.underway.saturating_sub(waiting as u32);
        for room in self.rooms.remove(id) {
            let leave = RoomCommand::Leave {
                session: id,
                how: Departure::Lost,
                id: None,
            };
            self.command(room, leave);
        }
        if let Some(peer) = session.watched() {
            self.directory.unwatch(peer, id);
        }
        self.directory.exit(&session.name, id);
        self.tell_watchers(&session.name);
    }

    /// Whoever watches this user is told, if its last session has ended.
    pub(crate) fn tell_watchers(&mut self, user: &UserName) {
        for session in self.directory.clone().gone(user) {
            let what = ToSession::Tell(Box::new(Reply::PeerWent { user: user.clone() }));
            self.send(session.shard(), ToShard::Session { session, what });
        }
    }

    /// Writes what waits for one connection, then what its rooms have for it.
    pub(crate) fn write(&mut self, id: SessionId) {
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.blocked() {
            return;
        }
        match connection.drain(now, &mut self.stats.bytes_out) {
            Written::All => self.written(id),
            Written::Full => self.wait_writable(id),
            Written::Dead => self.cut(id, End::Reset),
        }
    }

    /// Everything that waited has been written.
    pub(crate) fn written(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        // More may have been said meanwhile; this is called again when it is out.
        if !connection.outgoing().is_empty() {
            return;
        }
        if let Phase::Closing { shut, .. } = connection.phase_mut()
            && !*shut
        {
            *shut = true;
            self.wants.push(Want::Shut(id));
        } else {
            self.encode_on(id);
            self.replay_after_write(id);
            self.inbox_after_write(id);
            self.read_on(id);
        }
    }

    /// A full socket has room again. Whether it is full once more.
    pub(crate) fn writable(&mut self, id: SessionId) -> bool {
        let before = self.stats.bytes_out;
        let since = self
            .connection(id)
            .and_then(|connection| connection.outgoing().blocked_ms());
        let full = self.write_on(id);
        // Room for nothing is no room: the time that the socket has been full goes on.
        if full
            && self.stats.bytes_out == before
            && let Some(since) = since
            && let Some(connection) = self.connection(id)
        {
            connection.outgoing_mut().stays_blocked(since);
        }
        full
    }

    pub(crate) fn write_on(&mut self, id: SessionId) -> bool {
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id) else {
            return false;
        };
        match connection.drain(now, &mut self.stats.bytes_out) {
            Written::All => {}
            Written::Full => return true,
            Written::Dead => {
                self.cut(id, End::Reset);
                return false;
            }
        }
        self.rooms.count_lags(id, &mut self.stats);
        if self.catch_up(id) {
            // The replies are out, whatever the rooms still have for it.
            self.inbox_after_write(id);
            self.read_on(id);
            return true;
        }
        if self.service.drains_until().is_some() {
            self.goodbye(id, None, GoodbyeCode::ShuttingDown);
        }
        self.written(id);
        false
    }
}

/// What a goodbye says to people, and how the end is counted.
fn farewell(code: GoodbyeCode) -> (&'static str, End) {
    match code {
        GoodbyeCode::Exit => ("goodbye", End::Exit),
        GoodbyeCode::ShuttingDown => ("the server is going down; come back in a moment", End::Draining),
        GoodbyeCode::Timeout => ("nothing was heard of you for too long", End::Timeout),
        GoodbyeCode::TooSlowHandshake => ("you did not say who you are in time", End::Timeout),
        GoodbyeCode::Slow => ("you did not read fast enough", End::Slow),
        GoodbyeCode::Busy => ("the server could not take what you said for too long", End::Busy),
        GoodbyeCode::Idle => ("you said nothing for too long", End::Idle),
        GoodbyeCode::Disconnected => ("the operator ended this session", End::Disconnected),
        GoodbyeCode::Protocol => ("you broke the rules of the protocol", End::Violation),
    }
}
