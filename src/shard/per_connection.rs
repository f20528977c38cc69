//! A table that has a value for some connections of a shard.
//!
//! Invariant: a look-up compares the generation, so a connection never finds the value that an earlier connection left in its
//! slot. The table has one entry for each slot up to the highest one in use.

use crate::chat::{ConnectionSlot, Generation, SessionId};

#[derive(Debug)]
pub(crate) struct PerConnection<T> {
    entries: Vec<Option<(Generation, T)>>,
}

impl<T> Default for PerConnection<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> PerConnection<T> {
    pub(crate) fn get(&self, id: SessionId) -> Option<&T> {
        let (generation, value) = self.entries.get(id.slot().index())?.as_ref()?;
        (*generation == id.generation()).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut T> {
        let (generation, value) = self.entries.get_mut(id.slot().index())?.as_mut()?;
        (*generation == id.generation()).then_some(value)
    }

    /// The value in this slot, without a check of the generation: only for a part that removes its value before the connection
    /// leaves the slot.
    pub(crate) fn at_mut(&mut self, slot: ConnectionSlot) -> Option<&mut T> {
        let entry = self.entries.get_mut(slot.index())?.as_mut()?;
        Some(&mut entry.1)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionSlot, &T)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(slot, entry)| {
            let (_, value) = entry.as_ref()?;
            Some((ConnectionSlot::new(slot as u32), value))
        })
    }

    /// The value of this connection; inserts a default if there is none.
    pub(crate) fn entry(&mut self, id: SessionId) -> &mut T
    where
        T: Default,
    {
        let slot = id.slot().index();
        if slot >= self.entries.len() {
            self.entries.resize_with(slot + 1, || None);
        }
        let entry = &mut self.entries[slot];
        if entry
            .as_ref()
            .is_none_or(|(generation, _)| *generation != id.generation())
        {
            *entry = None;
        }
        &mut entry.get_or_insert_with(|| (id.generation(), T::default())).1
    }

    pub(crate) fn take(&mut self, id: SessionId) -> Option<T> {
        self.get(id)?;
        let entry = self.entries.get_mut(id.slot().index())?.take();
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
        entry.map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ShardId;

    #[test]
    fn a_value_is_found_by_its_own_connection_only() {
        let slot = ConnectionSlot::new(3);
        let ada = SessionId::new(ShardId(0), slot, Generation::FIRST);
        let tom = SessionId::new(ShardId(0), slot, Generation::FIRST.next());
        let mut table = PerConnection::<u32>::default();
        assert_eq!(table.get(ada), None);
        *table.entry(ada) += 1;
        *table.entry(ada) += 1;
        assert_eq!((table.get(ada), table.get(tom)), (Some(&2), None));
        assert_eq!(table.take(tom), None);
        assert_eq!(*table.entry(tom), 0, "the value of the connection before is gone");
        assert_eq!(table.get(ada), None);
        assert_eq!(table.take(tom), Some(0));
        assert_eq!(table.entries.len(), 0, "no entries after the last one in use");
    }
}
