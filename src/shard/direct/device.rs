//! What one device has of its user's direct conversations.
//!
//! A device has everything of a conversation up to one number: the position it brought, what was read before it came, or what it
//! was given since. The table is bounded; a device that is not behind has everything, noted or not.

use std::collections::HashMap;

use crate::{
    chat::{Seq, UserName},
    limits,
};

type ByPeer<T> = HashMap<UserName, T, foldhash::fast::RandomState>;

/// What a device has.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Everything up to here, by the other user. Only live messages put a conversation here in which nothing waited when the
    /// device came.
    has: ByPeer<Has>,
    /// Stored messages of conversations that are not in `has` may be missing: there were too many when the device came, or they
    /// could not be read.
    incomplete: bool,
}

#[derive(Debug, Clone, Copy)]
struct Has {
    upto: Seq,
    start: Start,
}

/// What a device has of a conversation before the messages it was given in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Everything, as far as it has not been read elsewhere.
    Whole,
    /// Stored unread messages may be missing: they come the next time.
    Torn,
}

impl Device {
    /// Whether the device has this message.
    pub(crate) fn has(&self, peer: &UserName, seq: Seq) -> bool {
        self.upto(peer).is_some_and(|upto| upto >= seq)
    }

    /// Whether everything before a message that the device was given may count as read.
    pub(crate) fn is_whole(&self, peer: &UserName) -> bool {
        self.has.get(peer).map_or_else(|| self.start(), |has| has.start) == Start::Whole
    }

    /// The device was given everything up to here.
    pub(crate) fn given(&mut self, peer: &UserName, upto: Seq) {
        self.note(peer, upto, self.start());
    }

    pub(crate) fn upto(&self, peer: &UserName) -> Option<Seq> {
        self.has.get(peer).map(|has| has.upto)
    }

    fn start(&self) -> Start {
        if self.incomplete { Start::Torn } else { Start::Whole }
    }

    /// Notes up to where the device has a conversation.
    pub(crate) fn note_waiting(&mut self, peer: &UserName, upto: Seq) {
        self.note(peer, upto, Start::Whole);
    }

    /// Whether stored messages of conversations that are not noted may be missing.
    pub(crate) fn set_incomplete(&mut self, incomplete: bool) {
        self.incomplete = incomplete;
    }

    fn note(&mut self, peer: &UserName, upto: Seq, start: Start) {
        if let Some(has) = self.has.get_mut(peer) {
            has.upto = has.upto.max(upto);
            return;
        }
        if self.has.len() >= limits::CONVERSATIONS_NOTED {
            // A device that is not behind has everything, noted or not.
            self.has.clear();
        }
        self.has.insert(peer.clone(), Has { upto, start });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_a_device_is_bounded() {
        let mut device = Device::default();
        for n in 0..=limits::CONVERSATIONS_NOTED {
            device.given(&UserName::parse(&n.to_string()).unwrap(), 1);
        }
        assert_eq!(device.has.len(), 1);
    }
}
