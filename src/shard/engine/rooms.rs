//! Calls rooms, direct messages and the rules of names with the parts of the shard, then passes on what happened to connections.

use crate::shard::{
    connection::write::Socket,
    direct::inboxes::DirectInboxes,
    engine::{Clock, Engine},
    parts::Parts,
    room::rooms::Rooms,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(super) fn split(&mut self) -> (&mut Rooms, &mut DirectInboxes, Parts<'_, S>) {
        let parts = Parts {
            connections: &mut self.connections,
            store: &mut self.store,
            directory: &self.directory,
            random: &mut self.random,
            clock: &self.clock,
            now: self.now,
        };
        (&mut self.rooms, &mut self.inboxes, parts)
    }

    pub(crate) fn serve<R>(&mut self, act: impl FnOnce(&mut Rooms, &mut Parts<'_, S>) -> R) -> R {
        let (rooms, _, mut parts) = self.split();
        let result = act(rooms, &mut parts);
        self.process_notifications();
        result
    }

    pub(crate) fn with_inboxes<R>(&mut self, act: impl FnOnce(&mut DirectInboxes, &mut Parts<'_, S>) -> R) -> R {
        let (_, inboxes, mut parts) = self.split();
        let result = act(inboxes, &mut parts);
        self.process_notifications();
        result
    }

    pub(super) fn with_parts<R>(&mut self, act: impl FnOnce(&mut Parts<'_, S>) -> R) -> R {
        let (.., mut parts) = self.split();
        let result = act(&mut parts);
        self.process_notifications();
        result
    }

    /// When [`Engine::flush`] is to be called next, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        if !self.inboxes.is_delivered() || self.can_resume_congested() {
            return Some(0);
        }
        self.rooms.flush_due()
    }

    /// Flushes rooms for a bounded number of writes. Whether there is more to do at once.
    pub(crate) fn flush(&mut self) -> bool {
        let most = self.settings.yield_writes;
        self.serve(|rooms, parts| rooms.flush(most, parts))
    }
}
