//! The recent idempotency keys of an ephemeral room. The store has those of a durable one.
//!
//! A room remembers at most [`limits::KEYS_PER_ROOM`] keys, and none for longer than the key window.

use std::{collections::VecDeque, hash::BuildHasher};

use crate::{
    chat::{ErrorCode, Key, KeyOwner, NewMessage, Refusal, Seq},
    limits,
};

#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    known: foldhash::HashMap<(KeyOwner, Key), Remembered>,
    /// Every use of a key, oldest first, with the number of its message. A repeated key is in here twice; `known` has only its newest
    /// use.
    order: VecDeque<(Seq, (KeyOwner, Key))>,
}

#[derive(Debug, Clone)]
struct Remembered {
    seq: Seq,
    at: u64,
    /// A hash of the text, because thousands of texts of up to 63 KiB would take too much memory.
    text: u64,
}

impl RecentKeys {
    /// If the key of this message was used before, returns the position of that message, or a refusal.
    pub(super) fn known(
        &self,
        message: &NewMessage,
        now_ms: u64,
        window_ms: u64,
    ) -> Option<Result<(Seq, u64), Refusal>> {
        let key = message.key.clone()?;
        let known = self.known.get(&(message.key_owner(), key))?;
        if now_ms.abs_diff(known.at) > window_ms {
            return None;
        }
        Some(if known.text == self.known.hasher().hash_one(&message.text) {
            Ok((known.seq, known.at))
        } else {
            Err(key_conflict())
        })
    }

    pub(super) fn remember(&mut self, message: &NewMessage, seq: Seq, now_ms: u64, window_ms: u64) {
        let Some(key) = message.key.clone() else { return };
        let entry = (message.key_owner(), key);
        let text = self.known.hasher().hash_one(&message.text);
        self.known.insert(entry.clone(), Remembered { seq, at: now_ms, text });
        self.order.push_back((seq, entry));
        while let Some((seq, oldest)) = self.order.front() {
            let newest_use = self.known.get(oldest).filter(|known| known.seq == *seq);
            let counts = newest_use.is_some_and(|known| now_ms.abs_diff(known.at) <= window_ms);
            if self.order.len() <= limits::KEYS_PER_ROOM && counts {
                break;
            }
            if newest_use.is_some() {
                self.known.remove(oldest);
            }
            self.order.pop_front();
        }
    }
}

/// The refusal of a message whose key belongs to another text.
pub(crate) fn key_conflict() -> Refusal {
    ErrorCode::KeyConflict.because("this key was used for another text; use a new key for a new message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ConnectionSlot, Generation, SessionId, SessionTag, ShardId, UserName};

    const WINDOW_MS: u64 = 60_000;

    fn message(key: &str) -> NewMessage {
        let session = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);
        NewMessage {
            key: Some(key.into()),
            ..NewMessage::new(session, UserName::guest(1), SessionTag(1), "hello".into())
        }
    }

    /// Whether a message with this key would be a duplicate.
    fn is_known(keys: &RecentKeys, key: &str, now_ms: u64) -> bool {
        keys.known(&message(key), now_ms, WINDOW_MS).is_some()
    }

    #[test]
    fn a_key_that_is_used_again_after_its_window_counts_from_its_second_use() {
        let mut keys = RecentKeys::default();
        keys.remember(&message("again"), 1, 0, WINDOW_MS);
        let second = WINDOW_MS + 1;
        keys.remember(&message("again"), 2, second, WINDOW_MS);
        for n in 1..limits::KEYS_PER_ROOM as u64 {
            keys.remember(&message(&n.to_string()), 2 + n, second, WINDOW_MS);
        }
        assert!(
            is_known(&keys, "again", second),
            "its first use is over, not its second"
        );
        keys.remember(&message("one more"), 20_000, second, WINDOW_MS);
        assert!(!is_known(&keys, "again", second), "it is the oldest of too many");
        assert!(is_known(&keys, "1", second));
    }

    #[test]
    fn keys_behind_one_that_was_used_again_expire() {
        let mut keys = RecentKeys::default();
        keys.remember(&message("again"), 1, 0, WINDOW_MS);
        keys.remember(&message("other"), 2, 0, WINDOW_MS);
        keys.remember(&message("again"), 3, WINDOW_MS + 1, WINDOW_MS);
        assert_eq!((keys.known.len(), keys.order.len()), (1, 1));
    }
}
