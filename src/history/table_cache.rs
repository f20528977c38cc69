//! The writer's cache of tables, so that it does not read them for every message.
//!
//! It decides nothing: a cleared cache is filled from the database again. The writer clears it after a failed transaction, because it may
//! contain rows of that transaction.

use super::{idempotency::KeyCache, rows::Heads};
use crate::limits;

#[derive(Default)]
pub(crate) struct TableCache {
    pub(crate) heads: Heads,
    pub(crate) keys: KeyCache,
}

impl TableCache {
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
        self.keys.forget();
    }

    /// Evicts what exceeds the bounds. Call it only between transactions.
    pub(crate) fn evict(&mut self) {
        if self.heads.len() > limits::HISTORY_HEADS {
            self.heads.clear();
        }
        self.keys.evict();
    }
}
