//! How certain the dialect of a connection is, and the replies that wait until it is.
//!
//! Clients of three dialects name their user in the same header, and some send nothing until their user presses a button. Such a
//! client becomes a member at once. The events of its rooms stay in the rings, because the member's feed is pending; everything
//! else waits unencoded in its [`Guess`]. The first message shows the dialect. For a silent client, Plaza guesses the dialect of
//! recent clients with the same kind of handshake. A first message that comes later may still correct the guess for everything
//! that has not been encoded by then.
//!
//! Invariants: pending replies and events are encoded once, in order; only a bounded number of messages and bytes is pending
//! before Plaza guesses.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    chat::{Reply, RequestId},
    codec::Handshake,
    limits,
    shard::event::room::RoomEvent,
};

/// How certain the dialect of a connection is.
pub(crate) enum Certainty {
    Certain,
    /// The handshake names no user, and no message showed the dialect in time. The client got the greeting of a dialect in which the
    /// server speaks first.
    Greeted(Box<Handshake>),
    /// The handshake names a user in the header that several dialects share.
    Guessing(Box<Guess>),
}

/// What waits for a dialect that is not certain.
pub(crate) struct Guess {
    pub(crate) handshake: Handshake,
    stage: Stage,
    /// Oldest first.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
}

/// What may be encoded while the dialect is not certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing. At `until_ms` Plaza guesses.
    Waiting { until_ms: u64 },
    /// As much as the socket accepts at once, in the guessed dialect.
    Guessed,
}

/// A reply or an event that is not encoded yet.
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

    pub(crate) fn guessed(&mut self) {
        self.stage = Stage::Guessed;
    }

    /// When Plaza guesses, milliseconds; `None` if it has.
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

    /// Takes the oldest entry if it may be encoded now: the dialect is guessed, and the socket takes more or the bound is exceeded.
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

    fn guess() -> Guess {
        Guess::new(Handshake::silent(), 500)
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
            "the guess may still be corrected while the socket takes nothing"
        );
        assert_eq!(at(guess.take(true)), Some(1));
        assert_eq!(at(guess.take(true)), Some(2));
        assert!(guess.take(true).is_none());
    }

    #[test]
    fn entries_beyond_the_bound_are_encoded_although_the_socket_is_full() {
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
