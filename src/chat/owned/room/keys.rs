//! The recent idempotency keys of an ephemeral room. (The store has those of a durable one.)
//!
//! At most [`limits::KEYS_PER_ROOM`] keys are remembered, none for longer than the key window.

use std::{collections::VecDeque, hash::BuildHasher};

use crate::{
    chat::{ErrorCode, Key, KeyOwner, Refusal, Seq, Utterance},
    limits,
};

#[derive(Debug, Default)]
pub(super) struct Keys {
    known: foldhash::HashMap<(KeyOwner, Key), Remembered>,
    /// The keys of `known`, oldest first.
    order: VecDeque<(KeyOwner, Key)>,
}

#[derive(Debug, Clone)]
struct Remembered {
    seq: Seq,
    at: u64,
    /// A hash of the text: thousands of texts of up to 63 KiB would take too much memory.
    text: u64,
}

impl Keys {
    /// If the key of this message was used before: the position of that message, or the refusal of this one.
    pub(super) fn known(&self, said: &Utterance, now_ms: u64, window_ms: u64) -> Option<Result<(Seq, u64), Refusal>> {
        let key = said.key.clone()?;
        let known = self.known.get(&(said.key_owner(), key))?;
        if now_ms.abs_diff(known.at) > window_ms {
            return None;
        }
        Some(if known.text == self.known.hasher().hash_one(&said.text) {
            Ok((known.seq, known.at))
        } else {
            Err(key_conflict())
        })
    }

    pub(super) fn remember(&mut self, said: &Utterance, seq: Seq, now_ms: u64, window_ms: u64) {
        let Some(key) = said.key.clone() else { return };
        let entry = (said.key_owner(), key);
        let text = self.known.hasher().hash_one(&said.text);
        self.known.insert(entry.clone(), Remembered { seq, at: now_ms, text });
        self.order.push_back(entry);
        while let Some(oldest) = self.order.front() {
            let expired = self
                .known
                .get(oldest)
                .is_none_or(|known| now_ms.abs_diff(known.at) > window_ms);
            if self.order.len() <= limits::KEYS_PER_ROOM && !expired {
                break;
            }
            self.known.remove(oldest);
            self.order.pop_front();
        }
    }
}

/// The refusal of a message whose key was used for another text.
pub(crate) fn key_conflict() -> Refusal {
    ErrorCode::KeyConflict.because("this key was used for another text; use a new key for a new message")
}
