//! How a shard reaches the others and itself: messages, the bounded lock-free inboxes that carry them, and the directory of
//! users.
//!
//! [`Bus`] is one shard's sending side. Invariants: messages from one shard to another arrive in the order in which they were
//! sent, and none is dropped. A message that does not fit the receiver's inbox waits here as overflow; the shard reads from no
//! connection while there is much of it, so overflow stays bounded. A message of a shard to itself waits until the end of the
//! turn, so that what handles one message is never entered twice.

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

/// One shard's way to all shards.
pub(crate) struct Bus {
    me: ShardId,
    outbox: Outbox<ToShard>,
    /// Messages of this shard to itself, oldest first.
    local: VecDeque<ToShard>,
}

impl Bus {
    /// The sending side of shard `me`.
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

    /// Sends what other shards had no room for, as far as they have room now.
    pub(crate) fn retry(&mut self) {
        self.outbox.retry();
    }

    /// Whether so much waits for other shards that this one should not make more.
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox.overflow() > limits::OVERFLOW_MESSAGES
    }

    /// Whether this turn has made so many messages for this shard itself that it should not make more.
    pub(crate) fn is_busy_with_itself(&self) -> bool {
        self.local.len() > limits::OVERFLOW_MESSAGES
    }

    /// Whether congestion is over. Half of the bound, so that a shard does not stop and start with every message.
    pub(crate) fn has_relief(&self) -> bool {
        self.outbox.overflow() <= limits::OVERFLOW_MESSAGES / 2
    }

    /// Whether every message that was sent has reached an inbox.
    pub(crate) fn is_quiet(&self) -> bool {
        self.outbox.overflow() == 0 && self.local.is_empty()
    }
}

#[cfg(test)]
impl Bus {
    /// How many messages wait because other shards have no room.
    pub(crate) fn overflow(&self) -> usize {
        self.outbox.overflow()
    }

    /// The messages of this shard to itself.
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
        assert!(!bus.is_quiet() && bus.has_relief() && !bus.is_congested());
        for n in 0..3 {
            assert_eq!(session_of(bus.next_local()), Some(n));
            assert_eq!(session_of(inboxes[1].pop()), Some(n));
            bus.retry();
        }
        assert!(bus.is_quiet());
    }
}
