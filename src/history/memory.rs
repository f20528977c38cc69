//! The writer's cache of tables, so that it does not read them for every message.
//!
//! It decides nothing: a cleared cache is filled from the database again. The writer clears it after a failed transaction, because it may
//! contain rows of that transaction.

use super::{idempotency::Keys, rows::Heads};
use crate::limits;

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) heads: Heads,
    pub(crate) keys: Keys,
}

impl Memory {
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
        self.keys.forget();
    }

    /// Evicts what exceeds the bounds. Call it only between transactions.
    pub(crate) fn make_room(&mut self) {
        if self.heads.len() > limits::HISTORY_HEADS {
            self.heads.clear();
        }
        self.keys.make_room();
    }
}
