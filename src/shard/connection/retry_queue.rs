//! The messages of one session that a busy owner refused.
//!
//! Invariant: the shard sends them again in the order in which the client sent them, and before any later message. The connection
//! is not read until the queue is empty.

use crate::{
    chat::{NewMessage, RoomName},
    limits,
};

#[derive(Debug)]
pub(crate) struct RetryQueue {
    since_ms: u64,
    retry_ms: u64,
    /// Refused messages, in order.
    refused: Messages,
    /// Messages that the client sent after the first refused one. They go out after all refused ones.
    later: Messages,
}

type Messages = Vec<(RoomName, Box<NewMessage>)>;

/// The next step of a retry queue.
#[derive(Debug)]
pub(crate) enum Retrying {
    NotYet,
    /// Send these again, in order.
    Again(Messages),
    /// The queue is empty, and all messages are answered.
    Done,
    /// The owners have been busy for [`limits::BUSY_PAUSE`].
    TooLong,
}

impl RetryQueue {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            since_ms: now_ms,
            retry_ms: 0,
            refused: Vec::new(),
            later: Vec::new(),
        }
    }

    /// Adds a message that an owner refused.
    pub(crate) fn push_refused(&mut self, room: RoomName, message: Box<NewMessage>, now_ms: u64) {
        self.wait(now_ms);
        self.refused.push((room, message));
    }

    /// Adds a message that the client sent while the queue was not empty.
    pub(crate) fn push(&mut self, room: RoomName, message: Box<NewMessage>) {
        self.later.push((room, message));
    }

    pub(crate) fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    /// The next step; `in_flight`: some messages that were sent again are not answered yet.
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
        let mut messages = std::mem::take(&mut self.refused);
        messages.append(&mut self.later);
        if messages.is_empty() {
            Retrying::Done
        } else {
            Retrying::Again(messages)
        }
    }

    /// Moves the beginning of the sender's wait forward, after a stall of the shard.
    pub(super) fn discount_stall(&mut self, later: impl FnOnce(&mut u64)) {
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
        let mut queue = RetryQueue::new(1_000);
        queue.push_refused(room(), message("one"), 1_000);
        queue.push(room(), message("three"));
        queue.push_refused(room(), message("two"), 1_001);
        assert!(matches!(queue.retry(1_001, false), Retrying::NotYet));
        let due = queue.retry_ms();
        assert!(
            matches!(queue.retry(due, true), Retrying::NotYet),
            "some are on their way"
        );
        assert_eq!(texts(queue.retry(queue.retry_ms(), false)), ["one", "two", "three"]);
        assert!(matches!(queue.retry(queue.retry_ms(), false), Retrying::Done));
        let long = 1_000 + limits::BUSY_PAUSE.as_millis() as u64;
        assert!(matches!(queue.retry(long, false), Retrying::TooLong));
    }
}
