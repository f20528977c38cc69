//! The connections of a shard, found by their ids.
//!
//! An id that is found is of the connection that stands in its slot now: a slot that was given to another connection is not
//! found by the id of the one before. There is no other way to a connection, except through all of them in turn and through
//! [`Connections::occupant`], for those who are told before a connection goes.

use std::collections::VecDeque;

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
    /// Those that have something to be written at the end of the turn; each at most once.
    dirty: Vec<SessionId>,
    /// Those that are not read until other shards have taken what waits for them; each at most once.
    congested: Vec<SessionId>,
    /// Those whose dialect has not been guessed, and some others, in the order in which they came: so their cursors in the
    /// lobby are in order, too.
    undecided: VecDeque<SessionId>,
}

impl<S> Connections<S> {
    pub(crate) fn new(shard: ShardId) -> Self {
        Self {
            shard,
            slots: Slab::new(),
            generation: Generation::FIRST,
            dirty: Vec::new(),
            congested: Vec::new(),
            undecided: VecDeque::new(),
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

    /// The connection has something to write at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Takes a connection that has something to write.
    pub(crate) fn next_dirty(&mut self) -> Option<SessionId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(connection) = self.get_mut(id) {
                connection.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The connection is not read until there is relief.
    pub(crate) fn wait_for_relief(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.congested, true)
        {
            self.congested.push(id);
        }
    }

    pub(crate) fn has_congested(&self) -> bool {
        !self.congested.is_empty()
    }

    /// Other shards have taken what waited for them: the connections that may be read again.
    pub(crate) fn take_relieved(&mut self) -> Vec<SessionId> {
        let mut relieved = std::mem::take(&mut self.congested);
        relieved.retain(|id| {
            self.get_mut(*id)
                .is_some_and(|connection| std::mem::take(&mut connection.congested))
        });
        relieved
    }

    /// A connection that has just come waits for its dialect.
    pub(crate) fn wait_for_dialect(&mut self, id: SessionId) {
        self.forget_decided();
        self.undecided.push_back(id);
    }

    /// Whether some connections may wait for their dialect.
    pub(crate) fn has_undecided(&mut self) -> bool {
        self.forget_decided();
        !self.undecided.is_empty()
    }

    /// Those that wait for their dialect, oldest first.
    pub(crate) fn waiting_for_dialect(&self) -> impl Iterator<Item = SessionId> {
        self.undecided.iter().copied().filter(|id| self.waits_for_dialect(*id))
    }

    /// Takes those that wait no more from the front of the queue. None waits longer than [`crate::limits::DETECT_NAMED`].
    fn forget_decided(&mut self) {
        while self
            .undecided
            .front()
            .is_some_and(|first| !self.waits_for_dialect(*first))
        {
            self.undecided.pop_front();
        }
    }

    fn waits_for_dialect(&self, id: SessionId) -> bool {
        self.get(id)
            .is_some_and(|connection| connection.dialect_guessed_at().is_some())
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.dirty.is_empty() && self.congested.is_empty()
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
    use crate::shard::connection::{reader::UNDECIDED_LIMITS, state::Phase};

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

    #[test]
    fn a_connection_is_written_and_relieved_once() {
        let mut connections = Connections::new(ShardId(0));
        let ada = insert(&mut connections, "ada");
        let bob = insert(&mut connections, "bob");
        for id in [ada, bob, ada] {
            connections.mark_dirty(id);
            connections.wait_for_relief(id);
        }
        assert!(connections.remove(bob).is_some());
        assert_eq!(connections.next_dirty(), Some(ada));
        assert_eq!(connections.next_dirty(), None);
        assert_eq!(connections.take_relieved(), [ada]);
        connections.mark_dirty(ada);
        connections.wait_for_relief(ada);
        assert_eq!(connections.next_dirty(), Some(ada), "it has something to write again");
        assert_eq!(connections.take_relieved(), [ada]);
    }
}
