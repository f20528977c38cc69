//! Sending to connections: replies, direct messages and events for one session; and the number of unanswered requests.
//!
//! Invariants:
//! - At most [`limits::PRIVATE_BYTES_MOST`] bytes and one more reply wait for a socket. Beyond that the connection is written, and
//!   cut if its socket does not accept the bytes. Direct messages have a lower bound while much waits for all sockets together.
//! - Nothing is encoded for a client whose dialect has not been guessed; it waits in order.
//! - A request counts as unanswered from when it is sent to an owner or the store until it is answered or refused, or its session ends.
//!
//! A reply is never dropped: it is queued, or its connection has ended.

use std::sync::Arc;

use crate::{
    chat::{Reply, RequestId, SessionId},
    limits,
    shard::{
        End,
        connection::{
            connections::Connections, dialect::Pending, notification::Notification, state::Connection, write::Socket,
        },
        event::direct::DirectEvent,
        event::room::RoomEvent,
        time::Moment,
    },
    wire,
};

impl<S: Socket> Connections<S> {
    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply, now: Moment) {
        if let Reply::Error(refusal) = reply {
            self.counts().refusals.push(refusal.code);
        }
        let at = now.unix_ms;
        let pending = || Pending::Reply {
            at,
            id: request,
            reply: reply.clone(),
        };
        let is_direct = matches!(reply, Reply::Direct(_));
        self.append(id, is_direct, now, pending, |connection| {
            connection.encode(|codec, frames| codec.encode_at(at, request, reply, frames));
        });
    }

    /// Sends a direct message, with the frames that all sessions of an encoding share.
    pub(crate) fn show_direct(&mut self, id: SessionId, event: &DirectEvent, now: Moment) {
        let pending = || Pending::Reply {
            at: now.unix_ms,
            id: None,
            reply: Reply::Direct(event.message().clone()),
        };
        self.append(id, true, now, pending, |connection| {
            if let (Some(encoding), Some(session)) = (connection.encoding(), connection.session())
                && let Some(frames) = event.frames(encoding, session.name())
            {
                frames.append_for("", connection.outgoing.private());
            }
        });
    }

    /// Sends a room's event that only this session gets.
    pub(crate) fn show_event(&mut self, id: SessionId, event: &Arc<RoomEvent>, now: Moment) {
        let Some(connection) = self.get_mut(id) else { return };
        if let Some(guess) = connection.guess_mut() {
            guess.put(Pending::Event(event.clone()));
            return self.encode_pending(id, now);
        }
        connection.show(|encoding, receiver, out| event.frames(encoding).append_for(receiver, out));
        self.mark_dirty(id);
    }

    /// Queues a ping after all earlier replies; other control frames overtake them.
    pub(crate) fn ping_behind(&mut self, id: SessionId, payload: [u8; 4]) {
        if let Some(connection) = self.get_mut(id) {
            let ping = wire::ping(&payload);
            connection.outgoing.private().extend_from_slice(ping.as_bytes());
            self.mark_dirty(id);
        }
    }

    /// Appends to the queue of a socket; if the dialect is not certain, adds `pending` to the guess instead.
    fn append(
        &mut self,
        id: SessionId,
        is_direct: bool,
        now: Moment,
        pending: impl FnOnce() -> Pending,
        encode: impl FnOnce(&mut Connection<S>),
    ) {
        let most = if is_direct && self.is_under_pressure() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            // A client cannot cause more by its own requests, because the shard does not read a client for which this much waits.
            limits::PRIVATE_BYTES_MOST
        };
        let Some(connection) = self.get_mut(id) else { return };
        if let Some(guess) = connection.guess_mut() {
            guess.put(pending());
            return self.encode_pending(id, now);
        }
        if connection.private_bytes() > most {
            // All these bytes may be from this turn, in which nothing has been written yet.
            self.write(id, now);
        }
        let Some(connection) = self.get_mut(id) else { return };
        if connection.private_bytes() > most {
            return self.cut(id, End::Overrun);
        }
        encode(connection);
        self.mark_dirty(id);
    }

    /// Bytes that may wait for a socket before a replay pauses; fewer while much waits for all sockets together.
    pub(crate) fn private_most(&self) -> usize {
        if self.is_under_pressure() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            limits::PRIVATE_BYTES
        }
    }

    /// Whether more than [`Self::private_most`] bytes wait for this socket.
    pub(crate) fn is_full(&self, id: SessionId) -> bool {
        self.private_bytes(id) > self.private_most()
    }

    /// Bytes of replies and direct messages that wait for a socket.
    pub(crate) fn private_bytes(&self, id: SessionId) -> usize {
        self.get(id).map_or(0, Connection::private_bytes)
    }

    /// Counts a request that an owner or the store will answer.
    pub(crate) fn asked(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.asked(1);
        }
    }

    /// Counts the answer to a request.
    pub(crate) fn answered(&mut self, id: SessionId) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.answered();
        let waits = connection
            .session()
            .is_some_and(|session| session.deferred().is_some() || session.exiting().is_some());
        if waits || connection.is_paused() {
            self.notify(Notification::Answered(id));
        }
    }

    /// Counts a question to the store.
    pub(crate) fn question_asked(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.question_asked();
        }
    }

    /// Counts the store's answer to a question.
    pub(crate) fn question_answered(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.question_answered();
        }
        self.answered(id);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::testing::{FakeSocket, TestClock};

    const NOW: Moment = Moment {
        us: 1_000,
        ms: 1,
        unix_ms: 1,
    };

    fn connection() -> (Connections<Rc<FakeSocket>>, SessionId, Rc<FakeSocket>) {
        let mut connections = Connections::for_test();
        let socket = Rc::new(FakeSocket::new(TestClock::default()));
        let id = connections.open_for_test(socket.clone());
        connections.enter_for_test(id, "ada");
        (connections, id, socket)
    }

    fn system(bytes: usize) -> Reply {
        let text = "x".repeat(bytes).into();
        Reply::System { text }
    }

    #[test]
    fn replies_beyond_the_bound_are_written_and_end_a_connection_whose_socket_is_full() {
        let (mut connections, id, socket) = connection();
        let reply = system(limits::PRIVATE_BYTES_MOST);
        connections.reply(id, None, &reply, NOW);
        connections.reply(id, None, &reply, NOW);
        assert!(
            connections.private_bytes(id) <= limits::PRIVATE_BYTES_MOST + 1_000,
            "the first was written"
        );
        assert!(matches!(connections.poll(), Some(Notification::Written(_))));
        socket.room.set(0);
        connections.reply(id, None, &reply, NOW);
        assert!(connections.get(id).is_none());
        assert!(matches!(connections.poll(), Some(Notification::Ended(..))));
        assert!(connections.poll().is_none());
        assert_eq!(
            connections.counts().ends,
            [(Some(crate::codec::DialectId::Native), End::Overrun)]
        );
    }

    #[test]
    fn an_answer_is_notified_only_if_something_waits_for_it() {
        let (mut connections, id, _) = connection();
        for _ in 0..3 {
            connections.asked(id);
        }
        connections.answered(id);
        assert!(connections.poll().is_none());
        connections.get_mut(id).unwrap().reader.pause();
        connections.answered(id);
        assert!(matches!(connections.poll(), Some(Notification::Answered(_))));
        connections.get_mut(id).unwrap().reader.resume();
        connections.get_mut(id).unwrap().session_mut().unwrap().exit(None);
        connections.answered(id);
        assert!(matches!(connections.poll(), Some(Notification::Answered(_))));
        assert_eq!(connections.get(id).unwrap().in_flight, 0);
    }
}
