//! Messages between shards, the bounded lock-free inboxes that carry them, and the directory of online users.
//!
//! [`Bus`] is one shard's sending side. Invariants:
//! - Messages from one shard to another arrive in the order in which they were sent, and none is dropped.
//! - A message that does not fit the receiver's inbox waits here as overflow. While there is much overflow, the shard reads from
//!   no connection, so overflow stays bounded.
//! - A message of a shard to itself waits until the end of the turn, so the handler of a message is never re-entered.

pub(crate) mod directory;
pub(crate) mod inbox;
pub(crate) mod message;
pub(crate) mod operator;
pub(crate) mod sync;

use std::collections::VecDeque;

use crate::{
    chat::ShardId,
    limits,
    shard::bus::{inbox::Outbox, message::ToShard},
};

/// The sending side of one shard.
pub(crate) struct Bus {
    me: ShardId,
    outbox: Outbox<ToShard>,
    /// Messages of this shard to itself, oldest first.
    local: VecDeque<ToShard>,
}

impl Bus {
    pub(crate) fn new(me: ShardId, outbox: Outbox<ToShard>) -> Self {
        Self {
            me,
            outbox,
            local: VecDeque::new(),
        }
    }

    /// Sends in order; a message to this shard itself waits for [`Bus::next_local`].
    pub(crate) fn send(&mut self, to: ShardId, message: ToShard) {
        if to == self.me {
            self.local.push_back(message);
        } else {
            self.outbox.send(usize::from(to.0), message);
        }
    }

    /// The oldest message of this shard to itself.
    pub(crate) fn next_local(&mut self) -> Option<ToShard> {
        self.local.pop_front()
    }

    /// Sends as much of the overflow as fits now.
    pub(crate) fn retry(&mut self) {
        self.outbox.retry();
    }

    /// Whether there is so much overflow that this shard must not create more messages.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.overflow() > limits::OVERFLOW_MESSAGES
    }

    /// Whether this turn has created so many messages to its own shard that it must not create more.
    pub(crate) fn is_busy_with_itself(&self) -> bool {
        self.local.len() > limits::OVERFLOW_MESSAGES
    }

    /// Whether congestion is over. The low-water mark is half of the bound, so that a shard does not stop and start with every
    /// message.
    pub(crate) fn is_relieved(&self) -> bool {
        self.outbox.overflow() <= limits::OVERFLOW_MESSAGES / 2
    }

    /// Whether every sent message has reached an inbox.
    pub(crate) fn is_quiet(&self) -> bool {
        self.outbox.overflow() == 0 && self.local.is_empty()
    }
}

#[cfg(test)]
impl Bus {
    pub(crate) fn overflow(&self) -> usize {
        self.outbox.overflow()
    }

    pub(crate) fn local(&self) -> impl ExactSizeIterator<Item = &ToShard> {
        self.local.iter()
    }
}

#[cfg(all(test, not(plaza_loom)))]
mod tests {
    use std::sync::Arc;

    use super::{inbox::Inbox, *};
    use crate::chat::{ConnectionSlot, Generation, SessionId};

    fn probe(session: u32) -> ToShard {
        ToShard::Session {
            session: SessionId::new(ShardId(0), ConnectionSlot::new(session), Generation::FIRST),
            what: crate::chat::ToSession::Expel {
                room: crate::chat::RoomName::lobby(),
            },
        }
    }

    fn session_of(message: Option<ToShard>) -> Option<u32> {
        match message {
            Some(ToShard::Session { session, .. }) => Some(session.slot().index() as u32),
            _ => None,
        }
    }

    #[test]
    fn messages_to_itself_and_to_a_full_shard_keep_their_order() {
        let inboxes: Arc<[Inbox<ToShard>]> = (0..2).map(|_| Inbox::new(1, 2)).collect();
        let mut bus = Bus::new(ShardId(0), Outbox::new(0, inboxes.clone()));
        for n in 0..3 {
            bus.send(ShardId(0), probe(n));
            bus.send(ShardId(1), probe(n));
        }
        assert!(!bus.is_quiet() && bus.is_relieved() && !bus.is_congested());
        for n in 0..3 {
            assert_eq!(session_of(bus.next_local()), Some(n));
            assert_eq!(session_of(inboxes[1].pop()), Some(n));
            bus.retry();
        }
        assert!(bus.is_quiet());
    }
}
