//! The senders whose messages an overloaded owner returned, and whose shards will send them again.
//!
//! Invariants:
//! - Once the owner has returned a message, it returns all later ones of the sender until the sender's shard sends the first one
//!   again ([`Retry::First`]). Otherwise a later message would overtake it.
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
    use crate::chat::{ConnectionSlot, Generation, ShardId};

    fn sender() -> SessionId {
        SessionId::new(ShardId(0), ConnectionSlot::new(3), Generation::FIRST)
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn after_a_returned_message_later_ones_wait_for_it() {
        let mut postponed = PostponedSenders::default();
        assert!(postponed.passes(sender(), Retry::InOrder));
        postponed.note(sender(), &room("tea"), Retry::InOrder);
        assert!(
            !postponed.passes(sender(), Retry::InOrder),
            "it would overtake the first"
        );
        assert!(postponed.passes(sender(), Retry::First));
        assert!(postponed.passes(sender(), Retry::InOrder));
    }

    #[test]
    fn leaving_one_room_does_not_let_messages_of_another_overtake() {
        let mut postponed = PostponedSenders::default();
        postponed.note(sender(), &room("tea"), Retry::InOrder);
        postponed.note(sender(), &room("chess"), Retry::InOrder);
        postponed.leave(sender(), &room("tea"));
        assert!(
            !postponed.passes(sender(), Retry::InOrder),
            "the owner returned one for chess"
        );
        postponed.leave(sender(), &room("chess"));
        assert!(postponed.passes(sender(), Retry::InOrder));
        assert_eq!(postponed.sessions().count(), 0);
    }

    #[test]
    fn a_sender_whose_shard_does_not_retry_is_not_in_the_table() {
        let mut postponed = PostponedSenders::default();
        postponed.note(sender(), &room("tea"), Retry::Never);
        assert_eq!(postponed.sessions().count(), 0);
    }
}
