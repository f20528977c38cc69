//! Messages that a busy owner gave back.
//!
//! Invariant: they are sent again in the order in which they came, and before any that came later. The connection is not read
//! meanwhile.

use crate::{
    chat::{NewMessage, RoomName},
    limits,
};

/// Messages to be sent to their owner again.
#[derive(Debug)]
pub(crate) struct HeldBack {
    since_ms: u64,
    retry_ms: u64,
    /// Those that came back, in order.
    returned: Messages,
    /// Those sent since the first came back: they stand behind all that come back.
    later: Messages,
}

type Messages = Vec<(RoomName, Box<NewMessage>)>;

/// What is to be done with messages that were given back.
#[derive(Debug)]
pub(crate) enum Retrying {
    NotYet,
    /// They are to be sent again, in this order.
    Again(Messages),
    /// The owners have taken all of them.
    Done,
    /// The owners have been busy for as long as a sender can be made to wait.
    TooLong,
}

impl HeldBack {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            since_ms: now_ms,
            retry_ms: 0,
            returned: Vec::new(),
            later: Vec::new(),
        }
    }

    /// A message came back.
    pub(crate) fn give_back(&mut self, room: RoomName, message: Box<NewMessage>, now_ms: u64) {
        self.wait(now_ms);
        self.returned.push((room, message));
    }

    /// A message is sent while others wait: it goes behind them.
    pub(crate) fn push(&mut self, room: RoomName, message: Box<NewMessage>) {
        self.later.push((room, message));
    }

    pub(crate) fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    /// What is to be done now; `in_flight`: some of those sent again have not been answered.
    pub(crate) fn retry(&mut self, now_ms: u64, in_flight: bool) -> Retrying {
        if now_ms < self.retry_ms {
            return Retrying::NotYet;
        }
        if now_ms.saturating_sub(self.since_ms) >= limits::BUSY_PAUSE.as_millis() as u64 {
            return Retrying::TooLong;
        }
        self.wait(now_ms);
        if in_flight {
            return Retrying::NotYet;
        }
        let mut messages = std::mem::take(&mut self.returned);
        messages.append(&mut self.later);
        if messages.is_empty() {
            Retrying::Done
        } else {
            Retrying::Again(messages)
        }
    }

    /// Moves the time since which the sender waits.
    pub(super) fn excuse(&mut self, later: impl FnOnce(&mut u64)) {
        later(&mut self.since_ms);
    }

    fn wait(&mut self, now_ms: u64) {
        self.retry_ms = now_ms + limits::BUSY_RETRY.as_millis() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{ConnectionSlot, Generation, SessionId, SessionTag, ShardId, UserName};

    fn message(text: &str) -> Box<NewMessage> {
        let session = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);
        Box::new(NewMessage::new(session, UserName::guest(1), SessionTag(1), text.into()))
    }

    fn texts(retrying: Retrying) -> Vec<String> {
        match retrying {
            Retrying::Again(messages) => messages.iter().map(|(_, message)| message.text.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_sent_again_in_the_order_in_which_they_came() {
        let room = RoomName::lobby;
        let mut held = HeldBack::new(1_000);
        held.give_back(room(), message("one"), 1_000);
        held.push(room(), message("three"));
        held.give_back(room(), message("two"), 1_001);
        assert!(matches!(held.retry(1_001, false), Retrying::NotYet));
        let due = held.retry_ms();
        assert!(
            matches!(held.retry(due, true), Retrying::NotYet),
            "some are on their way"
        );
        assert_eq!(texts(held.retry(held.retry_ms(), false)), ["one", "two", "three"]);
        assert!(matches!(held.retry(held.retry_ms(), false), Retrying::Done));
        let long = 1_000 + limits::BUSY_PAUSE.as_millis() as u64;
        assert!(matches!(held.retry(long, false), Retrying::TooLong));
    }
}
