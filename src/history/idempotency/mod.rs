//! Idempotency keys: which message a key was first used for.
//!
//! A key belongs to one owner, a client or a user, and to one destination: a room, or the user a direct message is for. Of each key the row
//! of its message has a fingerprint. When a log has [`BLOCK`] more messages, the keys among them are written once more, as a block
//! (`blocks.rs`), which is quick to read and stays when the messages are deleted. The writer finds a key in memory, in the map of its log;
//! it reads the map when a log is first written to with a key, and forgets maps beyond [`limits::HISTORY_KEYS`].
//!
//! A client whose user has another name writes to the same user in another log, so the keys of clients' direct messages are looked up
//! across logs and have a table of their own (`table.rs`).
//!
//! Invariants: whether a key still counts depends on the log alone: on how many messages came behind its own, and on log time. A key that
//! has run out counts as new, also while it is still remembered. What is in memory decides nothing: it is always what a read would find.
//!
//! Never answers from a row or block whose checksum is wrong. Where a damaged message cannot be read, its key is free.

mod blocks;
mod entry;
mod known;
mod table;

use std::collections::hash_map::Entry;

use super::{
    fault::{StoreFault, fault},
    fingerprint::Fingerprint,
    log::LogId,
    request::Append,
    rows::{Heads, LogRow},
};
use crate::{
    chat::{Key, Seq},
    limits,
};
pub(crate) use blocks::{BLOCK, check_blocks};
use entry::KeyEntry;
pub(crate) use known::{Known, LiveKeys, Tables};
pub(crate) use table::{check_rows, forget_rows};

/// The keys that the writer has in memory.
#[derive(Default)]
pub(crate) struct Keys {
    logs: foldhash::HashMap<u32, LogKeys>,
    /// Of all logs together, see [`LogKeys::weight`].
    weight: usize,
    /// What was found damaged, to be reported.
    damage: Vec<StoreFault>,
}

/// The keys of one log.
#[derive(Default)]
struct LogKeys {
    /// The ordinals of their messages, by half a fingerprint. Two keys with the same half are so rare that the later one may take the place.
    ordinals: foldhash::HashMap<u64, u64>,
    /// Those of messages that no complete block has yet, ascending.
    open: Vec<KeyEntry>,
    /// Whether table `idem` has some, of an older schema.
    in_table: bool,
    /// Since room was last made.
    used: bool,
}

impl Keys {
    /// Looks up the key of a message that is about to get a number, and remembers it where it is new.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once; each is another part of the entry or of the transaction"
    )]
    pub(crate) fn remember<T>(
        &mut self,
        tables: Tables<'_>,
        heads: &Heads,
        row: &LogRow,
        append: &Append<T>,
        key: &Key,
        (seq, at): (Seq, u64),
        live: LiveKeys,
    ) -> Result<Known, StoreFault> {
        let digest = entry::digest(&append.message.text, append.message.kind);
        if let (Some(_), LogId::Pair(_)) = (append.message.client, &append.log) {
            let known = table::remember(tables, heads, row, append, key, digest, (seq, at), live);
            return known.map_err(|why| fault(tables.file, &why));
        }
        let ordinal = row.ordinal + 1;
        let mut damage = Vec::new();
        let log = self.load(tables, row, ordinal, live)?;
        log.used = true;
        if log.in_table
            && let Some(known) =
                table::find(tables, row, append, key, digest, live).map_err(|why| fault(tables.file, &why))?
        {
            return Ok(known);
        }
        let fingerprint = Fingerprint::of(append.message.client, &append.message.user, key);
        let known = log.find(tables, row, fingerprint, &mut damage)?;
        let known = known.and_then(|entry| entry.judge(row, digest, live));
        if known.is_none() {
            let entry = KeyEntry {
                fingerprint,
                digest,
                seq,
                at,
                ordinal,
            };
            let is_more = log.ordinals.insert(fingerprint.half(), ordinal).is_none();
            log.open.push(entry);
            self.weight += usize::from(is_more);
        }
        self.damage.extend(damage);
        Ok(known.unwrap_or(Known::New(Some(fingerprint))))
    }

    /// Writes the block that ends with the message of this ordinal.
    pub(crate) fn end_block(
        &mut self,
        tables: Tables<'_>,
        row: &LogRow,
        ordinal: u64,
        live: LiveKeys,
    ) -> Result<(), StoreFault> {
        let log = self.load(tables, row, ordinal, live)?;
        blocks::write(tables, row.id, blocks::block_of(ordinal), &log.open)?;
        log.open.clear();
        let before = log.ordinals.len();
        if before as u64 > live.messages.saturating_add(live.messages / 8) {
            log.ordinals.retain(|_, own| *own + live.messages > ordinal);
            self.weight -= before - log.ordinals.len();
        }
        Ok(())
    }

    /// Messages up to this ordinal are about to be deleted: writes what the open block has, if it has keys of them.
    pub(crate) fn before_deletion(
        &mut self,
        tables: Tables<'_>,
        row: &LogRow,
        ordinal: u64,
        live: LiveKeys,
    ) -> Result<(), StoreFault> {
        let next = row.ordinal + 1;
        if blocks::block_of(ordinal) < blocks::block_of(next) {
            return Ok(());
        }
        let log = self.load(tables, row, next, live)?;
        blocks::write(tables, row.id, blocks::block_of(next), &log.open)
    }

    /// Deletes blocks of a log in which no key counts any more, at most `limit`. Says how many there were.
    pub(crate) fn forget_blocks(
        &mut self,
        tables: Tables<'_>,
        row: &LogRow,
        live: LiveKeys,
        limit: usize,
    ) -> Result<usize, StoreFault> {
        let gone = blocks::forget(tables, row, live, limit)?;
        if let (Some(last), Some(log)) = (gone.last(), self.logs.get_mut(&row.id)) {
            let before = log.ordinals.len();
            log.ordinals.retain(|_, ordinal| blocks::block_of(*ordinal) > *last);
            log.open.retain(|entry| blocks::block_of(entry.ordinal) > *last);
            self.weight -= before - log.ordinals.len();
        }
        Ok(gone.len())
    }

    /// Forgets the logs that were not written to lately, where there is too much in memory.
    pub(crate) fn make_room(&mut self) {
        if self.weight > limits::HISTORY_KEYS {
            self.logs.retain(|_, log| std::mem::take(&mut log.used));
            self.weight = self.logs.values().map(LogKeys::weight).sum();
        }
        if self.weight > limits::HISTORY_KEYS {
            self.forget();
        }
    }

    /// Forgets everything: it may be of a transaction that has failed.
    pub(crate) fn forget(&mut self) {
        self.logs.clear();
        self.weight = 0;
    }

    /// Whether something was found damaged since. Blocks are made again then, as far as they can be.
    pub(crate) fn has_damage(&self) -> bool {
        !self.damage.is_empty()
    }

    /// The damage that was found since the last call.
    pub(crate) fn take_damage(&mut self) -> Vec<StoreFault> {
        std::mem::take(&mut self.damage)
    }

    /// The keys of a log, of which the message with this ordinal is the next, or the newest one and without a key.
    fn load(
        &mut self,
        tables: Tables<'_>,
        row: &LogRow,
        ordinal: u64,
        live: LiveKeys,
    ) -> Result<&mut LogKeys, StoreFault> {
        match self.logs.entry(row.id) {
            Entry::Occupied(log) => Ok(log.into_mut()),
            Entry::Vacant(place) => {
                let log = LogKeys::read(tables, row, ordinal, live, &mut self.damage)?;
                self.weight += log.weight();
                Ok(place.insert(log))
            }
        }
    }
}

impl LogKeys {
    /// A log counts for the memory that it takes beside its keys.
    fn weight(&self) -> usize {
        self.ordinals.len() + 16
    }

    fn read(
        tables: Tables<'_>,
        row: &LogRow,
        ordinal: u64,
        live: LiveKeys,
        damage: &mut Vec<StoreFault>,
    ) -> Result<Self, StoreFault> {
        let mut log = Self::default();
        if ordinal == 1 {
            return Ok(log);
        }
        let open = blocks::block_of(ordinal);
        let oldest = blocks::block_of(ordinal.saturating_sub(live.messages).max(1));
        let stored = blocks::stored(tables, row.id, oldest)?;
        log.ordinals.reserve(stored.len() * BLOCK as usize);
        for block in stored {
            if block < open {
                let entries = blocks::read(tables, row, block, damage)?;
                log.know(&entries);
            }
        }
        log.open = blocks::read_open(tables, row, open, damage)?;
        let entries = std::mem::take(&mut log.open);
        log.know(&entries);
        log.open = entries;
        log.in_table = table::has_rows(tables, row.id).map_err(|why| fault(tables.file, &why))?;
        Ok(log)
    }

    fn know(&mut self, entries: &[KeyEntry]) {
        let known = entries.iter().map(|entry| (entry.fingerprint.half(), entry.ordinal));
        self.ordinals.extend(known);
    }

    fn find(
        &self,
        tables: Tables<'_>,
        row: &LogRow,
        fingerprint: Fingerprint,
        damage: &mut Vec<StoreFault>,
    ) -> Result<Option<KeyEntry>, StoreFault> {
        let Some(ordinal) = self.ordinals.get(&fingerprint.half()) else {
            return Ok(None);
        };
        let by_ordinal = |entries: &[KeyEntry]| {
            let at = entries.binary_search_by_key(ordinal, |entry| entry.ordinal).ok()?;
            entries.get(at).copied()
        };
        let entry = match by_ordinal(&self.open) {
            Some(entry) => Some(entry),
            None => by_ordinal(&blocks::read(tables, row, blocks::block_of(*ordinal), damage)?),
        };
        Ok(entry.filter(|entry| entry.fingerprint == fingerprint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_that_were_not_written_to_are_forgotten_first() {
        let mut keys = Keys::default();
        for (log, used) in [(1, true), (2, false)] {
            let ordinals = (0..limits::HISTORY_KEYS as u64 / 2).map(|n| (n, n)).collect();
            let log_keys = LogKeys {
                ordinals,
                used,
                ..LogKeys::default()
            };
            keys.weight += log_keys.weight();
            keys.logs.insert(log, log_keys);
        }
        keys.make_room();
        assert_eq!(keys.logs.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(keys.weight, keys.logs[&1].weight());
        keys.weight = limits::HISTORY_KEYS + 1;
        keys.logs.get_mut(&1).unwrap().used = true;
        keys.make_room();
        assert_eq!(keys.logs.len(), 1, "alone it has room");
    }
}
