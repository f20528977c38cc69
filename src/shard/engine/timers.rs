//! What time does to the parts of a shard.

use crate::shard::{
    connection::write::Socket,
    direct::inboxes::DirectInboxes,
    engine::{Clock, Engine},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Time has passed. Called once per tick.
    pub(crate) fn tick(&mut self) {
        for id in self.connections.expire(self.now) {
            self.connections.check(id, self.now);
            self.process_notifications();
            self.connections.schedule(id, self.now);
        }
        self.with_inboxes(DirectInboxes::retry);
        self.displace_more();
        self.rooms.tick(self.now);
        self.own(|owner, conditions| owner.tick(conditions.now_ms));
    }
}
