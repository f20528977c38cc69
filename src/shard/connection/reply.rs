//! What a client is sent, how much of it may wait for the socket, and how many of its requests are unanswered.
//!
//! Invariants:
//! - At most [`limits::PRIVATE_BYTES_MOST`] bytes and one more reply wait for a socket. A connection for which more waits is
//!   written, and cut if its socket does not take it. Direct messages have less room while much waits for all sockets together.
//! - Nothing is encoded for a client whose dialect has not been guessed. What it is sent waits in order until then.
//! - A request is counted from when it is sent on until it is answered, refused or forgotten with its session.
//!
//! A reply never waits for its turn and is never dropped: it is queued, or its connection is over.

use std::sync::Arc;

use crate::{
    chat::{Reply, RequestId, SessionId},
    limits,
    shard::{
        End,
        connection::{
            connections::{Connections, find},
            dialect::Pending,
            happened::Happened,
            state::Connection,
            write::Socket,
        },
        direct::event::DirectEvent,
        room::event::RoomEvent,
        time::Moment,
    },
    wire,
};

impl<S: Socket> Connections<S> {
    /// Sends one session a reply.
    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply, now: Moment) {
        if let Reply::Error(refusal) = reply {
            self.counts.refusals.push(refusal.code);
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

    /// Sends one session a direct message, with the frames that all sessions of its encoding share.
    pub(crate) fn show_direct(&mut self, id: SessionId, event: &DirectEvent, now: Moment) {
        let pending = || Pending::Reply {
            at: now.unix_ms,
            id: None,
            reply: Reply::Direct(event.message().clone()),
        };
        self.append(id, true, now, pending, |connection| {
            if let (Some(encoding), Some(session)) = (connection.encoding(), connection.session())
                && let Some(frames) = event.frames(encoding, &session.name)
            {
                frames.append_for("", connection.outgoing.private());
            }
        });
    }

    /// Sends one session an event of a room that only it sees.
    pub(crate) fn show_event(&mut self, id: SessionId, event: &Arc<RoomEvent>, now: Moment) {
        let Some(connection) = self.get_mut(id) else { return };
        if let Some(guess) = connection.guess_mut() {
            guess.put(Pending::Event(event.clone()));
            return self.encode_pending(id, now);
        }
        connection.show(|encoding, receiver, out| event.frames(encoding).append_for(receiver, out));
        self.mark_dirty(id);
    }

    /// Sends a ping behind what was sent before, not ahead of it as other control frames.
    pub(crate) fn ping_behind(&mut self, id: SessionId, payload: [u8; 4]) {
        if let Some(connection) = self.get_mut(id) {
            let ping = wire::ping(&payload);
            connection.outgoing.private().extend_from_slice(ping.as_bytes());
            self.mark_dirty(id);
        }
    }

    /// Appends to what waits for a socket; keeps `pending` where the dialect is not certain.
    fn append(
        &mut self,
        id: SessionId,
        is_direct: bool,
        now: Moment,
        pending: impl FnOnce() -> Pending,
        encode: impl FnOnce(&mut Connection<S>),
    ) {
        let most = if is_direct && self.pressure.is_high() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            // What it asked for itself: a client with so much waiting is not read.
            limits::PRIVATE_BYTES_MOST
        };
        let Some(connection) = find(&mut self.slots, id) else {
            return;
        };
        if let Some(guess) = connection.guess_mut() {
            guess.put(pending());
            return self.encode_pending(id, now);
        }
        if connection.private_bytes() > most {
            // All of it may be of this turn, and the socket has not been asked yet.
            self.write(id, now);
        }
        let Some(connection) = find(&mut self.slots, id) else {
            return;
        };
        if connection.private_bytes() > most {
            return self.cut(id, End::Overrun);
        }
        encode(connection);
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Bytes that may wait for a socket before its connection is given more of what is stored: less when many sockets take
    /// nothing.
    pub(crate) fn private_most(&self) -> usize {
        if self.pressure.is_high() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            limits::PRIVATE_BYTES
        }
    }

    /// Whether as much waits for this socket as may before it is given more.
    pub(crate) fn is_full(&self, id: SessionId) -> bool {
        self.private_bytes(id) > self.private_most()
    }

    /// Bytes of replies that wait for a socket.
    pub(crate) fn private_bytes(&self, id: SessionId) -> usize {
        self.get(id).map_or(0, Connection::private_bytes)
    }

    /// A request is sent on to somebody who answers it.
    pub(crate) fn asked(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.asked(1);
        }
    }

    /// A request is answered.
    pub(crate) fn answered(&mut self, id: SessionId) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.answered();
        let waits = connection
            .session()
            .is_some_and(|session| session.deferred().is_some() || session.exiting().is_some());
        if waits || connection.is_paused() {
            self.happened.push_back(Happened::Answered(id));
        }
    }

    /// A question is sent to the store, which answers it.
    pub(crate) fn question_asked(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id) {
            connection.question_asked();
        }
    }

    /// The store has answered a question.
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
    fn replies_beyond_the_bound_are_written_and_then_end_a_connection_that_takes_nothing() {
        let (mut connections, id, socket) = connection();
        let reply = system(limits::PRIVATE_BYTES_MOST);
        connections.reply(id, None, &reply, NOW);
        connections.reply(id, None, &reply, NOW);
        assert!(
            connections.private_bytes(id) <= limits::PRIVATE_BYTES_MOST + 1_000,
            "the first was written"
        );
        assert!(matches!(connections.poll(), Some(Happened::Written(_))));
        socket.room.set(0);
        connections.reply(id, None, &reply, NOW);
        assert!(connections.get(id).is_none());
        assert!(matches!(connections.poll(), Some(Happened::Ended(..))));
        assert!(connections.poll().is_none());
        assert_eq!(
            connections.counts().ends,
            [(Some(crate::codec::DialectId::Native), End::Overrun)]
        );
    }

    #[test]
    fn an_answer_is_given_out_only_where_something_waits_for_it() {
        let (mut connections, id, _) = connection();
        for _ in 0..3 {
            connections.asked(id);
        }
        connections.answered(id);
        assert!(connections.poll().is_none());
        connections.get_mut(id).unwrap().pause_reading();
        connections.answered(id);
        assert!(matches!(connections.poll(), Some(Happened::Answered(_))));
        connections.get_mut(id).unwrap().resume_reading();
        connections.get_mut(id).unwrap().session_mut().unwrap().exit(None);
        connections.answered(id);
        assert!(matches!(connections.poll(), Some(Happened::Answered(_))));
        assert_eq!(connections.get(id).unwrap().in_flight, 0);
    }
}
