//! What the writer keeps of the tables in memory, so that it does not read them for every message.
//!
//! It decides nothing: whatever is forgotten is read again. After a transaction that failed all of it is forgotten, because it may be of
//! that transaction.

use super::{idempotency::Keys, rows::Heads};
use crate::limits;

/// Rows of logs, and idempotency keys.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) heads: Heads,
    pub(crate) keys: Keys,
}

impl Memory {
    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.heads.clear();
        self.keys.forget();
    }

    /// Forgets what is beyond its bounds. Between two transactions only.
    pub(crate) fn make_room(&mut self) {
        if self.heads.len() > limits::HISTORY_HEADS {
            self.heads.clear();
        }
        self.keys.make_room();
    }
}
