//! The positions of one device in its user's direct conversations.
//!
//! A device has every message of a conversation up to one number: the position that it brought, the read marker at its hello, or
//! the last message that it got since. The table is bounded. In a conversation without an entry, a session reads from the first
//! message that it skipped.

use std::collections::HashMap;

use crate::{
    chat::{Seq, UserId},
    limits,
};

type ByPeer<T> = HashMap<UserId, T, foldhash::fast::RandomState>;

/// The positions of one device.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// By the other user.
    has: ByPeer<Has>,
    /// Whether the device may lack stored messages of conversations that are not in `has`, because there were too many
    /// conversations at its hello or the store could not list them.
    incomplete: bool,
}

#[derive(Debug, Clone, Copy)]
struct Has {
    /// The device has every message up to this number.
    upto: Seq,
    start: Start,
}

/// Whether a device has the messages from before this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It has all that were unread.
    Whole,
    /// It may lack unread ones, which the next session reads.
    Torn,
}

impl Device {
    /// Whether the device has this message.
    pub(crate) fn has(&self, peer: &UserId, seq: Seq) -> bool {
        self.upto(peer).is_some_and(|upto| upto >= seq)
    }

    /// Whether a receipt for a message may mark all earlier ones as read.
    pub(crate) fn is_whole(&self, peer: &UserId) -> bool {
        self.has.get(peer).map_or_else(|| self.start(), |has| has.start) == Start::Whole
    }

    /// Records that the device got every message up to this number.
    pub(crate) fn record(&mut self, peer: &UserId, upto: Seq) {
        self.note(peer, upto, self.start());
    }

    pub(crate) fn upto(&self, peer: &UserId) -> Option<Seq> {
        self.has.get(peer).map(|has| has.upto)
    }

    fn start(&self) -> Start {
        if self.incomplete { Start::Torn } else { Start::Whole }
    }

    /// Records up to where the device has a conversation with stored messages.
    pub(crate) fn note_waiting(&mut self, peer: &UserId, upto: Seq) {
        self.note(peer, upto, Start::Whole);
    }

    /// Sets whether the device may lack stored messages of conversations without an entry.
    pub(crate) fn set_incomplete(&mut self, incomplete: bool) {
        self.incomplete = incomplete;
    }

    fn note(&mut self, peer: &UserId, upto: Seq, start: Start) {
        if let Some(has) = self.has.get_mut(peer) {
            has.upto = has.upto.max(upto);
            return;
        }
        if self.has.len() >= limits::CONVERSATIONS_NOTED {
            // No message is missed, because a session without an entry reads from the first message that it skipped.
            self.has.clear();
        }
        self.has.insert(peer.clone(), Has { upto, start });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::values::user;

    #[test]
    fn the_table_of_a_device_is_bounded() {
        let mut device = Device::default();
        for n in 0..=limits::CONVERSATIONS_NOTED {
            device.record(&user(&n.to_string()), 1);
        }
        assert_eq!(device.has.len(), 1);
    }
}
