//! Access for tests to the parts of an engine.

use crate::shard::{
    bus::Bus,
    connection::{connections::Connections, write::Socket},
    direct::inboxes::DirectInboxes,
    engine::{Clock, Engine},
    owner::Owner,
    room::rooms::Rooms,
    store::port::StorePort,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn connections(&self) -> &Connections<S> {
        &self.connections
    }

    /// Pretends that this many bytes wait for full sockets.
    pub(crate) fn press(&mut self, bytes: usize) {
        self.connections.press(bytes);
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn owner_mut(&mut self) -> &mut Owner {
        &mut self.owner
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(crate) fn inboxes(&self) -> &DirectInboxes {
        &self.inboxes
    }

    pub(crate) fn store(&mut self) -> &mut StorePort {
        &mut self.store
    }

    /// Whether no work is left in this turn.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.bus.is_quiet() && self.connections.is_at_rest() && self.inboxes.is_delivered()
    }
}
