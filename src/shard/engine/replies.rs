//! What one session is told, and the count of what it still waits for.

use crate::shard::{
    End,
    connection::state::Phase,
    connection::write::Socket,
    direct::event::DirectEvent,
    engine::{Clock, Engine},
};
use crate::{
    chat::{Refusal, Reply, RequestId, SessionId},
    codec::DialectId,
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A request has been answered.
    pub(crate) fn answered(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        connection.underway = connection.underway.saturating_sub(1);
        self.go_on_with_deferred(id);
        if self
            .connection(id)
            .is_some_and(|connection| connection.underway <= limits::REQUESTS_UNDERWAY / 2)
        {
            self.read_on(id);
        }
        self.exit_if_done(id);
    }

    /// Tells one session something.
    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        let at = self.now.unix_ms;
        if let Reply::Error(refusal) = reply {
            self.stats.refusals.push(refusal.code);
        }
        if self.await_dialect(id, at, request, reply) {
            return;
        }
        if !self.has_room_for_one_more(id, matches!(reply, Reply::Direct(_))) {
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        connection.encode(|codec, frames| codec.encode_at(at, request, reply, frames));
        self.follow_encoding(id);
        self.mark_dirty(id);
    }

    /// Sends one session a direct message, with the frames that all sessions of its encoding share.
    pub(crate) fn show_direct(&mut self, id: SessionId, event: &DirectEvent) {
        let reply = Reply::Direct(event.message().clone());
        if self.await_dialect(id, self.now.unix_ms, None, &reply) || !self.has_room_for_one_more(id, true) {
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        let (Some(encoding), Some(session)) = (connection.encoding(), connection.session()) else {
            return;
        };
        if let Some(frames) = event.frames(encoding, &session.name) {
            frames.append_for("", connection.outgoing_mut().private());
            self.mark_dirty(id);
        }
    }

    /// Bytes that may wait for a socket before its connection is given no more: less when many sockets take nothing.
    pub(crate) fn private_most(&self) -> usize {
        if self.is_pressed() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            limits::PRIVATE_BYTES
        }
    }

    /// Whether more waits for this shard's sockets than should.
    fn is_pressed(&self) -> bool {
        self.waiting_bytes > limits::WAITING_BYTES
    }

    /// Whether a connection may be given one more reply. One for which too much waits is written first, since all of it may be
    /// of this turn, and closed if that does not help.
    fn has_room_for_one_more(&mut self, id: SessionId, is_direct: bool) -> bool {
        let most = if is_direct && self.is_pressed() {
            limits::PRIVATE_BYTES_PRESSED
        } else {
            // What it asked for itself: a client with so much waiting is not read.
            limits::PRIVATE_BYTES_MOST
        };
        if self.private_bytes(id) > most {
            self.write(id);
            if self.private_bytes(id) > most {
                self.cut(id, End::Overrun);
                return false;
            }
        }
        true
    }

    /// A codec may change how its member sees events.
    pub(crate) fn follow_encoding(&mut self, id: SessionId) {
        let encoding = self.connections.get(id).and_then(|connection| connection.encoding());
        if let Some(encoding) = encoding {
            self.rooms.follow_encoding(id, encoding);
        }
    }

    pub(crate) fn refuse(&mut self, id: SessionId, request: RequestId, refusal: Refusal) {
        self.reply(id, request, &Reply::Error(refusal));
    }

    /// Whether a connection speaks Plaza's own protocol.
    pub(crate) fn is_native(&self, id: SessionId) -> bool {
        self.dialect(id) == Some(DialectId::Native)
    }

    /// A connection's dialect, once it is known.
    pub(crate) fn dialect(&self, id: SessionId) -> Option<DialectId> {
        match self.connections.get(id).map(|connection| connection.phase()) {
            Some(Phase::Open(_)) if self.waits_for_dialect(id) => None,
            Some(Phase::Open(speaking)) => Some(speaking.dialect),
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => None,
        }
    }
}
