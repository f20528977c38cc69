//! The senders whose messages an overloaded owner returned, and whose shards will send them again.
//!
//! Invariants:
//! - Once the owner has returned a message, it returns all later ones of the sender until the sender's shard sends the first one
//!   again ([`Retry::First`]). Otherwise a later message would overtake the returned one.
//! - A sender is in the table only while it is a member of a room for which the owner returned one of its messages.

use smallvec::SmallVec;

use crate::chat::{Retry, RoomName, SessionId};

#[derive(Debug, Default)]
pub(super) struct PostponedSenders {
    /// By sender: the rooms for which the owner returned its messages.
    rooms: foldhash::HashMap<SessionId, SmallVec<[RoomName; 1]>>,
}

impl PostponedSenders {
    /// Whether a message of this sender may pass.
    pub(super) fn passes(&mut self, sender: SessionId, retry: Retry) -> bool {
        match retry {
            Retry::Never => true,
            Retry::InOrder => !self.rooms.contains_key(&sender),
            Retry::First => {
                self.rooms.remove(&sender);
                true
            }
        }
    }

    /// Records that the owner returns a message of this member, unless its shard will not send the message again.
    pub(super) fn note(&mut self, sender: SessionId, room: &RoomName, retry: Retry) {
        if retry == Retry::Never {
            return;
        }
        let rooms = self.rooms.entry(sender).or_default();
        if !rooms.contains(room) {
            rooms.push(room.clone());
        }
    }

    /// Records that a sender leaves a room.
    pub(super) fn leave(&mut self, sender: SessionId, room: &RoomName) {
        if let Some(rooms) = self.rooms.get_mut(&sender) {
            rooms.retain(|other| other != room);
            if rooms.is_empty() {
                self.rooms.remove(&sender);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.rooms.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::values::session;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn after_a_returned_message_later_ones_wait_for_it() {
        let mut postponed = PostponedSenders::default();
        assert!(postponed.passes(session(3), Retry::InOrder));
        postponed.note(session(3), &room("tea"), Retry::InOrder);
        assert!(
            !postponed.passes(session(3), Retry::InOrder),
            "it would overtake the first"
        );
        assert!(postponed.passes(session(3), Retry::First));
        assert!(postponed.passes(session(3), Retry::InOrder));
    }

    #[test]
    fn leaving_one_room_does_not_let_messages_of_another_overtake() {
        let mut postponed = PostponedSenders::default();
        postponed.note(session(3), &room("tea"), Retry::InOrder);
        postponed.note(session(3), &room("chess"), Retry::InOrder);
        postponed.leave(session(3), &room("tea"));
        assert!(
            !postponed.passes(session(3), Retry::InOrder),
            "the owner returned one for chess"
        );
        postponed.leave(session(3), &room("chess"));
        assert!(postponed.passes(session(3), Retry::InOrder));
        assert_eq!(postponed.sessions().count(), 0);
    }

    #[test]
    fn a_sender_whose_shard_does_not_retry_is_not_in_the_table() {
        let mut postponed = PostponedSenders::default();
        postponed.note(session(3), &room("tea"), Retry::Never);
        assert_eq!(postponed.sessions().count(), 0);
    }
}
