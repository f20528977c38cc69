//! How a shard ends its service: it reads no more, what is underway arrives, and everybody is told goodbye.

use crate::shard::{
    connection::state::Socket,
    engine::{Clock, Engine},
};
use crate::{
    chat::{GoodbyeCode, SessionId},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Stops reading, once and for all. Whether nothing is underway from here any more: every request of this shard's
    /// connections has been answered, and every message to other shards is in their inboxes.
    ///
    /// When all shards have stopped and have said so twice in a row, all that was said is in the inboxes of those who are to
    /// hear it: an answer leaves its home in the same turn as the event, and the second time asks the home behind that turn.
    pub(crate) fn hush(&mut self) -> bool {
        if !std::mem::replace(&mut self.hushed, true) {
            for (_, connection) in &mut self.connections {
                connection.paused |= connection.reader.is_some();
            }
        }
        self.outbox.kept() == 0
            && self.local.is_empty()
            && self.directs.is_empty()
            && self.connections.iter().all(|(_, connection)| {
                let held = connection
                    .session
                    .as_ref()
                    .is_some_and(|session| session.held.is_some());
                connection.underway == 0 && !held
            })
    }

    /// Says goodbye to everybody; those who come later are turned away by the acceptor.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.hand_out_all();
        self.drain_until_ms = self.now.ms + limits::LINGER.as_millis() as u64;
        let ids: Vec<SessionId> = self
            .connections
            .iter()
            .map(|(slot, connection)| SessionId {
                shard: self.me,
                slot: slot as u32,
                generation: connection.generation,
            })
            .collect();
        for id in ids {
            self.guess_dialect(id);
            // What is in the rings goes out before the goodbye; who does not read it has a moment to begin.
            let blocked = self.connection(id).is_some_and(|connection| connection.blocked());
            if blocked {
                self.watch(id, self.drain_until_ms);
            } else if self.catch_up(id) {
                self.wait_writable(id);
            } else {
                self.goodbye(id, None, GoodbyeCode::ShuttingDown);
            }
        }
    }
}
