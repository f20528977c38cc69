//! Idempotency keys: for which message a key was first used.
//!
//! A key belongs to one owner, a client or a user, and to one destination, a room or the receiver of a direct message. The row of a
//! message contains the fingerprint of its key. After every [`BLOCK`] messages of a log, the writer also stores their keys as a block
//! (`blocks.rs`), which is quick to read and outlives the messages. It looks keys up in memory, in one map per log. It reads a map when a
//! message with a key needs it, and evicts maps beyond [`limits::HISTORY_KEYS`].
//!
//! After a client's user changes the name, the client writes to the same receiver in another log. Therefore the keys of clients' direct
//! messages are looked up across logs, in a separate table (`table.rs`).
//!
//! Invariants: whether a key still counts depends only on its log: on the number of later messages, and on log time. An expired key
//! counts as new even if it is still in memory. The maps decide nothing: they equal what a read would find.
//!
//! Never answers from a row or block with a wrong checksum. If a damaged message cannot be read, its key counts as new.

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
pub(crate) struct KeyCache {
    logs: foldhash::HashMap<u32, LogKeys>,
    /// The sum of [`LogKeys::weight`] over all logs.
    weight: usize,
    /// Damage that is not reported yet.
    damage: Vec<StoreFault>,
}

#[derive(Default)]
struct LogKeys {
    /// From half a fingerprint to the ordinal of the message. Collisions are so rare that the later key may replace the earlier one.
    ordinals: foldhash::HashMap<u64, u64>,
    /// The keys that are in no complete block yet, ascending.
    open: Vec<KeyEntry>,
    /// Whether table `idem` has keys of this log, from an older schema.
    in_table: bool,
    /// Whether the log was used since the last eviction.
    used: bool,
}

impl KeyCache {
    /// Looks up the key of a message that is about to be numbered, and remembers a new key.
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
        let known = known.and_then(|entry| entry.compare(row, digest, live));
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

    /// Writes the block whose last message has this ordinal.
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

    /// Writes the open block if it has keys of messages up to this ordinal, which are about to be deleted.
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

    /// Deletes at most `limit` blocks in which all keys have expired. Returns their number.
    pub(crate) fn forget_blocks(
        &mut self,
        tables: Tables<'_>,
        row: &LogRow,
        live: LiveKeys,
        limit: usize,
    ) -> Result<usize, StoreFault> {
        let deleted = blocks::forget(tables, row, live, limit)?;
        if let (Some(last), Some(log)) = (deleted.last(), self.logs.get_mut(&row.id)) {
            let before = log.ordinals.len();
            log.ordinals.retain(|_, ordinal| blocks::block_of(*ordinal) > *last);
            log.open.retain(|entry| blocks::block_of(entry.ordinal) > *last);
            self.weight -= before - log.ordinals.len();
        }
        Ok(deleted.len())
    }

    /// Evicts the logs that were not used lately, if the maps exceed their bound.
    pub(crate) fn evict(&mut self) {
        if self.weight > limits::HISTORY_KEYS {
            self.logs.retain(|_, log| std::mem::take(&mut log.used));
            self.weight = self.logs.values().map(LogKeys::weight).sum();
        }
        if self.weight > limits::HISTORY_KEYS {
            self.forget();
        }
    }

    /// Evicts everything, because it may contain keys of a failed transaction.
    pub(crate) fn forget(&mut self) {
        self.logs.clear();
        self.weight = 0;
    }

    /// Whether there is damage to report. Damaged blocks are rebuilt then, as far as possible.
    pub(crate) fn has_damage(&self) -> bool {
        !self.damage.is_empty()
    }

    pub(crate) fn take_damage(&mut self) -> Vec<StoreFault> {
        std::mem::take(&mut self.damage)
    }

    /// The keys of a log. `ordinal` is that of its next message, or of its newest one if that has no key.
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
    /// The number of its keys, and 16 for the memory of the log itself.
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
        let mut keys = KeyCache::default();
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
        keys.evict();
        assert_eq!(keys.logs.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(keys.weight, keys.logs[&1].weight());
        keys.weight = limits::HISTORY_KEYS + 1;
        keys.logs.get_mut(&1).unwrap().used = true;
        keys.evict();
        assert_eq!(keys.logs.len(), 1, "alone it has room");
    }
}
