//! The end of a shard's service: it stops reading, in-flight messages arrive, and every connection gets its goodbye.

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
    /// Stops reading for good. Returns whether nothing of this shard is in flight: every request of its connections is answered, and
    /// every message to other shards is in their inboxes.
    ///
    /// If all shards have returned true twice in a row, every message is in the inboxes of all its receivers: an owner sends an
    /// answer in the same turn as the event, and the second call comes after that turn.
    pub(crate) fn quiesce(&mut self) -> bool {
        self.connections.quiesce() && self.bus.is_quiet() && self.inboxes.is_delivered()
    }

    /// Closes every connection with a goodbye; the acceptor refuses new ones.
    pub(crate) fn drain(&mut self) {
        let until_ms = self.now.ms + limits::LINGER.as_millis() as u64;
        self.connections.begin_drain(until_ms);
        self.with_inboxes(DirectInboxes::deliver_all);
        let ids: Vec<SessionId> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.connections.guess_dialect(id, self.now);
            self.process_notifications();
            // The events in the rings go before the goodbye. A peer that does not read gets until `until_ms` to begin reading.
            let blocked = self.connections.get(id).is_some_and(|connection| connection.blocked());
            if blocked {
                self.connections.watch(id, until_ms);
            } else if self.with_rooms(|rooms, parts| rooms.catch_up(id, parts)) {
                self.connections.wait_writable(id, self.now);
            } else {
                self.goodbye(id, None, GoodbyeCode::ShuttingDown);
            }
        }
    }
}
