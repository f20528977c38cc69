//! The connections of a shard, found by their ids.
//!
//! An id that is found is of the connection that stands in its slot now: a slot that was given to another connection is not
//! found by the id of the one before. There is no other way to a connection, except through all of them in turn and through
//! [`Connections::occupant`], for those who are told before a connection goes.

use slab::Slab;

use crate::chat::{ConnectionSlot, Generation, SessionId, ShardId};
use crate::shard::connection::state::{Connection, Phase};
use crate::wire::FrameReader;

/// All connections of one shard.
pub(crate) struct Connections<S> {
    shard: ShardId,
    slots: Slab<Connection<S>>,
    /// Of the newest connection.
    generation: Generation,
}

impl<S> Connections<S> {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            slots: Slab::new(),
            generation: Generation::FIRST,
        }
    }

    /// Takes up a connection that has just come.
    pub(crate) fn insert(&mut self, socket: S, phase: Phase, reader: FrameReader, now_ms: u64) -> SessionId {
        self.generation = self.generation.next();
        let connection = Connection::new(socket, self.generation, phase, reader, now_ms);
        let slot = self.slots.insert(connection);
        id(self.shard, slot, self.generation)
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Connection<S>> {
        self.slots
            .get(id.slot().index())
            .filter(|connection| connection.generation() == id.generation())
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Connection<S>> {
        self.slots
            .get_mut(id.slot().index())
            .filter(|connection| connection.generation() == id.generation())
    }

    /// Takes a connection out; its slot may be given to the next one at once.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Connection<S>> {
        self.get(id)?;
        self.slots.try_remove(id.slot().index())
    }

    /// The connection that stands in this slot now.
    pub(crate) fn id_at(&self, slot: ConnectionSlot) -> Option<SessionId> {
        let connection = self.slots.get(slot.index())?;
        Some(id(self.shard, slot.index(), connection.generation()))
    }

    /// The connection that stands in this slot now, for whoever forgets the slot before the connection leaves it.
    pub(crate) fn occupant(&mut self, slot: ConnectionSlot) -> Option<(SessionId, &mut Connection<S>)> {
        let connection = self.slots.get_mut(slot.index())?;
        Some((id(self.shard, slot.index(), connection.generation()), connection))
    }

    /// All of them, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Connection<S>)> {
        let all = self.slots.iter();
        all.map(|(slot, connection)| (id(self.shard, slot, connection.generation()), connection))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection<S>> {
        self.slots.iter_mut().map(|(_, connection)| connection)
    }
}

fn id(shard: ShardId, slot: usize, generation: Generation) -> SessionId {
    SessionId::new(shard, ConnectionSlot::new(slot as u32), generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::connection::{read::UNDECIDED_LIMITS, state::Phase};

    fn insert(connections: &mut Connections<&'static str>, socket: &'static str) -> SessionId {
        let phase = Phase::Closing {
            until_ms: 0,
            shut: false,
        };
        connections.insert(socket, phase, FrameReader::new(UNDECIDED_LIMITS), 0)
    }

    #[test]
    fn an_id_that_is_found_is_of_the_connection_in_its_slot() {
        let mut connections = Connections::new(ShardId(0));
        let ada = insert(&mut connections, "ada");
        let bob = insert(&mut connections, "bob");
        assert!(connections.remove(ada).is_some());
        let tom = insert(&mut connections, "tom");
        assert_eq!(tom.slot(), ada.slot(), "it has ada's slot");
        assert!(connections.get(ada).is_none() && connections.get_mut(ada).is_none());
        assert!(connections.remove(ada).is_none(), "a late end does not end tom");
        assert_eq!(connections.get(tom).map(|connection| connection.socket), Some("tom"));
        assert_eq!(connections.id_at(ada.slot()), Some(tom));
        let ids: Vec<_> = connections.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [tom, bob]);
    }
}
