//! Whether a connection has shown its dialect, and what waits until it has.
//!
//! Clients of three dialects name their user in the same header, and some say nothing until their user presses a button. Such
//! a client is a member at once. Events of its rooms wait in their rings behind its cursor, which is held; everything else
//! waits unencoded in its [`Guess`]. Its first message shows the dialect. A silent client is taken for what recent clients with
//! the same kind of handshake were; its first message may still correct that for what has not been encoded by then.
//!
//! Invariants: what waits is encoded in the order in which it came, each once; and at most a bounded number of messages and
//! bytes wait before the dialect is guessed.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    chat::{Reply, RequestId},
    codec::Handshake,
    limits,
    shard::room::event::RoomEvent,
};

/// Whether a client has shown that it speaks the dialect it is taken to speak.
pub(crate) enum Certainty {
    Certain,
    /// Nothing named its user, and it has shown nothing in time: it has been greeted, as only some dialects are.
    Greeted(Box<Handshake>),
    /// It has named its user in its handshake, as clients of several dialects do.
    Guessing(Box<Guess>),
}

/// A connection whose dialect is not certain.
pub(crate) struct Guess {
    pub(crate) handshake: Handshake,
    stage: Stage,
    /// What it is to be sent, oldest first.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
}

/// What is encoded meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing, until this time in milliseconds.
    Waiting { until_ms: u64 },
    /// Whatever its socket takes at once, in the dialect that was guessed.
    Guessed,
}

/// Something that waits to be encoded.
pub(crate) enum Pending {
    Reply { at: u64, id: RequestId, reply: Reply },
    Event(Arc<RoomEvent>),
}

impl Guess {
    pub(crate) fn new(handshake: Handshake, until_ms: u64) -> Self {
        Self {
            handshake,
            stage: Stage::Waiting { until_ms },
            pending: VecDeque::new(),
            pending_bytes: 0,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Its dialect has been guessed.
    pub(crate) fn guessed(&mut self) {
        self.stage = Stage::Guessed;
    }

    /// Until when nothing is encoded, milliseconds.
    pub(crate) fn waits_until(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { until_ms } => Some(until_ms),
            Stage::Guessed => None,
        }
    }

    pub(crate) fn put(&mut self, pending: Pending) {
        self.pending_bytes += pending.bytes();
        self.pending.push_back(pending);
    }

    /// Takes the oldest of what waits, if it is to be encoded now: the dialect was guessed, and the socket takes more or so
    /// much waits that it is encoded all the same.
    pub(crate) fn take(&mut self, socket_takes: bool) -> Option<Pending> {
        if self.stage != Stage::Guessed || !(socket_takes || self.is_full()) {
            return None;
        }
        let pending = self.pending.pop_front()?;
        self.pending_bytes -= pending.bytes();
        Some(pending)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pending.len() > limits::UNCERTAIN_MESSAGES || self.pending_bytes > limits::UNCERTAIN_BYTES
    }

    /// All that waits.
    pub(crate) fn into_pending(self) -> VecDeque<Pending> {
        self.pending
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        match self {
            Self::Reply {
                reply: Reply::Direct(direct),
                ..
            } => direct.message.text.len(),
            Self::Reply { .. } | Self::Event(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::connection::connections::test::handshake;

    fn guess() -> Guess {
        Guess::new(handshake(), 500)
    }

    fn pong(at: u64) -> Pending {
        let reply = Reply::Pong { at };
        Pending::Reply { at, id: None, reply }
    }

    fn at(pending: Option<Pending>) -> Option<u64> {
        match pending? {
            Pending::Reply { at, .. } => Some(at),
            Pending::Event(_) => None,
        }
    }

    #[test]
    fn nothing_is_encoded_before_the_dialect_is_guessed_and_then_in_order() {
        let mut guess = guess();
        guess.put(pong(1));
        guess.put(pong(2));
        assert_eq!(guess.waits_until(), Some(500));
        assert!(guess.take(true).is_none());
        guess.guessed();
        assert_eq!(guess.waits_until(), None);
        assert!(
            guess.take(false).is_none(),
            "what the socket does not take may still be corrected"
        );
        assert_eq!(at(guess.take(true)), Some(1));
        assert_eq!(at(guess.take(true)), Some(2));
        assert!(guess.take(true).is_none());
    }

    #[test]
    fn what_is_beyond_the_bound_is_encoded_all_the_same() {
        let mut guess = guess();
        for number in 0..=limits::UNCERTAIN_MESSAGES as u64 {
            assert!(!guess.is_full());
            guess.put(pong(number));
        }
        assert!(guess.is_full());
        guess.guessed();
        assert_eq!(at(guess.take(false)), Some(0));
        assert!(guess.take(false).is_none());
        assert_eq!(guess.into_pending().len(), limits::UNCERTAIN_MESSAGES);
    }
}
