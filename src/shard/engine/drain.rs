//! How a shard ends its service: it stops reading, what is in flight arrives, and every connection gets its goodbye.

use crate::shard::{
    connection::write::Socket,
    direct::inboxes::DirectInboxes,
    engine::{Clock, Engine},
};
use crate::{
    chat::{GoodbyeCode, SessionId},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Stops reading, once and for all. Whether nothing is in flight from here: every request of this shard's connections has
    /// been answered, and every message to other shards is in their inboxes.
    ///
    /// When all shards have stopped and have said so twice in a row, every message is in the inboxes of all its receivers: an
    /// answer leaves its owner in the same turn as the event, and the second time asks the owner behind that turn.
    pub(crate) fn quiesce(&mut self) -> bool {
        self.connections.quiesce() && self.bus.is_quiet() && self.inboxes.is_delivered()
    }

    /// Says goodbye to everybody; the acceptor turns newcomers away.
    pub(crate) fn drain(&mut self) {
        let until_ms = self.now.ms + limits::LINGER.as_millis() as u64;
        self.connections.begin_drain(until_ms);
        self.with_inboxes(DirectInboxes::deliver_all);
        let ids: Vec<SessionId> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.guess_dialect(id);
            // What is in the rings goes out before the goodbye; a peer that does not read has a moment to begin.
            let blocked = self.connection(id).is_some_and(|connection| connection.blocked());
            if blocked {
                self.connections.watch(id, until_ms);
            } else if self.serve(|rooms, parts| rooms.catch_up(id, parts)) {
                self.connections.wait_writable(id, self.now);
            } else {
                self.goodbye(id, None, GoodbyeCode::ShuttingDown);
            }
        }
    }
}
