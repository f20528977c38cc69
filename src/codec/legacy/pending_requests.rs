//! Requests of one connection that wait for their reply, for formats whose replies echo part of the request.
//!
//! Bounded: a client with too many unanswered requests is refused, then closed. Holds no heap while nothing waits.

use std::{collections::VecDeque, num::NonZeroU64};

use crate::{
    chat::{ErrorCode, RequestId},
    codec::Fault,
    limits,
};

#[derive(Debug)]
pub(super) struct PendingRequests<T> {
    last: u64,
    waiting: VecDeque<(NonZeroU64, T)>,
}

impl<T> PendingRequests<T> {
    pub(super) fn new() -> Self {
        Self {
            last: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Returns an id whose answer needs no data.
    pub(super) fn next_id(&mut self) -> NonZeroU64 {
        self.last = self.last.wrapping_add(1);
        NonZeroU64::new(self.last).unwrap_or(NonZeroU64::MIN)
    }

    /// Whether the connection must not send further requests.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= limits::LEGACY_UNANSWERED
    }

    /// Returns an id for a request whose answer needs `echo`. The bound is twice that of [`PendingRequests::is_full`], so that refusals
    /// of excess requests fit until they are encoded.
    pub(super) fn ask(&mut self, echo: T) -> Result<NonZeroU64, Fault> {
        if self.waiting.len() >= 2 * limits::LEGACY_UNANSWERED {
            return Err(Fault::Close(1008, "too many requests wait for their answer"));
        }
        let id = self.next_id();
        self.waiting.push_back((id, echo));
        Ok(id)
    }

    /// Returns an id for a request for the list of users.
    pub(super) fn ask_for_list(&mut self, echo: T) -> Result<RequestId, Fault> {
        const { assert!(limits::LEGACY_UNANSWERED == 1024, "the text below says 1,024") };
        const TOO_MANY: &str = "more than 1,024 requests for lists are unanswered; wait for the answers";
        if self.is_full() {
            return Err(Fault::Refused(None, ErrorCode::Busy.because(TOO_MANY)));
        }
        self.ask(echo).map(Some)
    }

    /// The data of an unanswered request. Most look-ups concern the newest, so the search begins there.
    pub(super) fn get(&self, id: RequestId) -> Option<&T> {
        let id = id?;
        let mut waiting = self.waiting.iter().rev();
        waiting.find(|(id_of, _)| *id_of == id).map(|(_, echo)| echo)
    }

    /// Takes the data of the answered request. Answers come in order, so the search usually ends at once.
    pub(super) fn take(&mut self, id: RequestId) -> Option<T> {
        let id = id?;
        let place = self.waiting.iter().position(|(id_of, _)| *id_of == id)?;
        let (_, echo) = self.waiting.remove(place)?;
        if self.waiting.is_empty() {
            // An idle client must not hold a buffer: the one for four requests of `action` has 384 bytes.
            self.waiting = VecDeque::new();
        }
        Some(echo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_question_in_any_order_and_only_once() {
        let mut pending = PendingRequests::new();
        let first = pending.ask("a").unwrap();
        let second = pending.ask("b").unwrap();
        assert_eq!((first.get(), second.get()), (1, 2));
        assert_eq!(pending.take(Some(second)), Some("b"));
        assert_eq!(pending.take(Some(first)), Some("a"));
        assert_eq!(pending.take(Some(first)), None);
        assert_eq!(pending.take(None), None);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pending = PendingRequests::new();
        let mut taken = 0;
        while pending.ask(()).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 2 * limits::LEGACY_UNANSWERED);
        assert!(pending.is_full());
    }
}
