//! Writing to connections, and ending them: [`Connections`] closes with a close frame, or cuts at once.
//!
//! Invariants:
//! - A connection ends once: its session, if it has one, leaves in exactly one [`Notification::Ended`], and its end is counted once.
//! - A close frame is the last frame of a connection, after the replies that waited. Nothing is read after it.
//! - The server shuts its side of the socket once, when the close frame is written.

use crate::{
    chat::{GoodbyeCode, Reply, RequestId, SessionId},
    codec::Fault,
    limits,
    shard::{
        End,
        connection::{
            connections::Connections,
            notification::{IoRequest, Notification},
            state::Phase,
            write::{Socket, Written},
        },
        time::Moment,
    },
    wire,
};

impl<S: Socket> Connections<S> {
    /// Sends a goodbye and closes.
    pub(crate) fn goodbye(&mut self, id: SessionId, request: RequestId, code: GoodbyeCode, now: Moment) {
        let spread = self.settings().retry_spread.as_millis() as u64;
        let retry_after = code.may_reconnect().then(|| {
            std::time::Duration::from_millis(self.random().u64(0..=spread) + limits::RETRY_LEAST.as_millis() as u64)
        });
        let native = self.is_native(id);
        let (text, end) = farewell(code);
        let goodbye = Reply::Goodbye {
            code,
            text: text.into(),
            retry_after,
        };
        self.reply(id, request, &goodbye, now);
        let close = if native {
            code.close_code()
        } else {
            code.legacy_close_code()
        };
        self.close(id, close, text, end, now);
    }

    /// Ends the session, queues a close frame after the replies that wait, and gives the peer [`limits::LINGER`] to close.
    pub(crate) fn close(&mut self, id: SessionId, code: u16, reason: &str, end: End, now: Moment) {
        self.close_with(id, wire::close(code, reason).as_bytes(), end, now);
    }

    pub(crate) fn close_with(&mut self, id: SessionId, frame: &[u8], end: End, now: Moment) {
        let mut wait = limits::LINGER;
        if end == End::Slow {
            // Its socket is full, and the close frame may take as long as any write.
            wait += self.settings().write_timeout;
        }
        let until_ms = now.ms + wait.as_millis() as u64;
        let dialect = self.dialect(id);
        let Some(connection) = self.get_mut(id) else { return };
        if connection.is_closing() {
            return;
        }
        connection.outgoing.private().extend_from_slice(frame);
        *connection.phase_mut() = Phase::Closing { until_ms, shut: false };
        connection.reader.end();
        self.counts().ends.push((dialect, end));
        self.end_session(id);
        self.mark_dirty(id);
        self.request_io(IoRequest::Read(id));
        self.watch(id, until_ms);
    }

    /// Answers a fault that a codec found.
    pub(crate) fn fault(&mut self, id: SessionId, fault: Fault, now: Moment) {
        match fault {
            Fault::Refused(request, refusal) => self.reply(id, request, &Reply::Error(refusal), now),
            Fault::Close(code, reason) => self.close(id, code, reason, End::Refused, now),
        }
    }

    /// Ends a connection at once, without a close frame.
    pub(crate) fn cut(&mut self, id: SessionId, end: End) {
        let dialect = self.dialect(id);
        let Some(connection) = self.get(id) else { return };
        if !connection.is_closing() {
            self.counts().ends.push((dialect, end));
        }
        self.end_session(id);
        if let Some(connection) = self.remove(id)
            && end.resets()
        {
            connection.socket.reset();
        }
    }

    /// Ends the session of a connection, if it has one.
    pub(super) fn end_session(&mut self, id: SessionId) {
        let Some(connection) = self.get_mut(id) else { return };
        let Some(session) = connection.naming.end() else {
            return;
        };
        let waiting = session.deferred().map_or(0, |deferred| deferred.len());
        // Deferred requests are dropped and get no answer.
        connection.in_flight = connection.in_flight.saturating_sub(waiting as u32);
        self.notify(Notification::Ended(id, session));
    }

    /// Writes the queues of one connection, unless its socket is known to be full.
    pub(crate) fn write(&mut self, id: SessionId, now: Moment) {
        if self.get(id).is_none_or(|connection| connection.blocked()) {
            return;
        }
        match self.drain(id, now) {
            Written::All => self.written(id, now),
            Written::Full => self.wait_writable(id, now),
            Written::Dead => {}
        }
    }

    /// Writes the queues of one connection until its socket is full; cuts it if the write fails.
    pub(crate) fn drain(&mut self, id: SessionId, now: Moment) -> Written {
        let Some((connection, counts)) = self.with_counts(id) else {
            return Written::Dead;
        };
        let written = connection.drain(now.ms, &mut counts.bytes_out);
        if written == Written::Dead {
            self.cut(id, End::Reset);
        }
        written
    }

    /// Call it when the queues of a connection have been written. Shuts a closing connection, and reports
    /// [`Notification::Written`] for any other.
    pub(crate) fn written(&mut self, id: SessionId, now: Moment) {
        let Some(connection) = self.get_mut(id) else { return };
        // More may be queued by now; this runs again when that is written.
        if !connection.outgoing.is_empty() {
            return;
        }
        if let Phase::Closing { shut, .. } = connection.phase_mut()
            && !*shut
        {
            *shut = true;
            self.request_io(IoRequest::Shut(id));
        } else {
            self.encode_pending(id, now);
            self.notify(Notification::Written(id));
        }
    }

    /// Restores the beginning of the write timeout, after another write wrote nothing.
    pub(crate) fn stays_blocked(&mut self, id: SessionId, since_ms: u64) {
        if let Some(connection) = self.get_mut(id) {
            connection.outgoing.stays_blocked(since_ms);
        }
    }

    /// Records that the socket is full, and schedules its write timeout. The poller reports when it has room.
    pub(crate) fn wait_writable(&mut self, id: SessionId, now: Moment) {
        self.note_full(id);
        self.schedule(id, now);
    }
}

/// The text of a goodbye, and the end that the metrics count.
fn farewell(code: GoodbyeCode) -> (&'static str, End) {
    match code {
        GoodbyeCode::Exit => ("goodbye", End::Exit),
        GoodbyeCode::ShuttingDown => ("the server is going down; come back in a moment", End::Draining),
        GoodbyeCode::Timeout => ("nothing was heard of you for too long", End::Timeout),
        GoodbyeCode::TooSlowHandshake => ("you did not say who you are in time", End::Timeout),
        GoodbyeCode::Slow => ("you did not read fast enough", End::Slow),
        GoodbyeCode::Busy => ("the server was too busy to take your messages for too long", End::Busy),
        GoodbyeCode::Idle => ("you said nothing for too long", End::Idle),
        GoodbyeCode::Disconnected => ("the operator ended this session", End::Disconnected),
        GoodbyeCode::Protocol => ("you broke the rules of the protocol", End::Violation),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::testing::{FakeSocket, OPEN, TestClock};

    fn connection() -> (Connections<Rc<FakeSocket>>, SessionId, Rc<FakeSocket>) {
        let mut connections = Connections::for_test();
        let socket = Rc::new(FakeSocket::new(TestClock::default()));
        let id = connections.open_for_test(socket.clone());
        connections.enter_for_test(id, "ada");
        (connections, id, socket)
    }

    #[test]
    fn a_session_ends_once_though_its_connection_is_closed_and_cut() {
        let (mut connections, id, _) = connection();
        let now = Moment::default();
        connections.goodbye(id, None, GoodbyeCode::Idle, now);
        connections.goodbye(id, None, GoodbyeCode::Busy, now);
        connections.cut(id, End::Reset);
        assert!(matches!(connections.poll(), Some(Notification::Ended(ended, _)) if ended == id));
        assert!(connections.poll().is_none());
        assert_eq!(connections.counts().ends.len(), 1);
        assert!(connections.get(id).is_none());
    }

    #[test]
    fn nothing_is_sent_after_a_close_frame_and_the_socket_is_shut_once() {
        let (mut connections, id, socket) = connection();
        let now = Moment::default();
        connections.close(id, 1000, "bye", End::Exit, now);
        connections.reply(id, None, &Reply::Pong { at: 0 }, now);
        connections.write(id, now);
        connections.write(id, now);
        assert_eq!(*socket.taken.borrow(), wire::close(1000, "bye").as_bytes());
        assert_eq!(*connections.io_requests(), [IoRequest::Read(id), IoRequest::Shut(id)]);
    }

    #[test]
    fn bytes_count_while_their_socket_is_full() {
        let (mut connections, id, socket) = connection();
        let pong = Reply::Pong { at: 0 };
        socket.room.set(0);
        let now = Moment::default();
        for _ in 0..2 {
            connections.reply(id, None, &pong, now);
            connections.write(id, now);
            connections.wait_writable(id, now);
        }
        assert_eq!((connections.full(), connections.waiting_bytes()), (1, 0));
        connections.expire(now);
        let waiting = connections.private_bytes(id);
        assert!(waiting > 0);
        assert_eq!((connections.full(), connections.waiting_bytes()), (1, waiting));
        socket.room.set(OPEN);
        connections.drain(id, now);
        connections.expire(now);
        assert_eq!((connections.full(), connections.waiting_bytes()), (0, 0));
        socket.room.set(0);
        connections.reply(id, None, &pong, now);
        connections.write(id, now);
        assert_eq!(connections.full(), 1, "it is full again");
    }

    #[test]
    fn a_connection_whose_full_socket_takes_no_close_frame_is_reset() {
        let (mut connections, id, socket) = connection();
        socket.room.set(0);
        connections.reply(id, None, &Reply::Pong { at: 0 }, Moment::default());
        connections.write(id, Moment::default());
        assert_eq!(connections.full(), 1);
        connections.cut(id, End::WriteTimeout);
        assert!(socket.was_reset());
    }
}
