//! Has rooms serve their members, with the parts below them, and passes on what follows.

use crate::shard::{
    connection::write::Socket,
    engine::{Clock, Engine},
    room::{rooms::Rooms, serving::Parts},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn serve<T>(&mut self, act: impl FnOnce(&mut Rooms, &mut Parts<'_, S>) -> T) -> T {
        let done = self.serve_only(act);
        self.follow();
        done
    }

    /// Passes nothing on: for [`Engine::follow`], which would otherwise call itself once per connection.
    pub(super) fn serve_only<T>(&mut self, act: impl FnOnce(&mut Rooms, &mut Parts<'_, S>) -> T) -> T {
        let mut parts = Parts {
            connections: &mut self.connections,
            store: &mut self.store,
            stats: &mut self.stats,
            clock: &self.clock,
            now: self.now,
        };
        act(&mut self.rooms, &mut parts)
    }

    /// When [`Engine::flush`] is to be called next, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        if !self.inboxes.is_delivered() || self.can_relieve() {
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
