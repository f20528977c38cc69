//! Senders whose messages were given back because the owner had too much to do.
//!
//! Once a message of a sender was given back, its later ones are given back too, until the sender's shard sends the first one again
//! ([`Retry::First`]): otherwise a later message would overtake it. A sender is in the table only while it is a member of a room
//! for which it had a message given back.

use smallvec::SmallVec;

use crate::chat::{Retry, RoomName, SessionId};

#[derive(Debug, Default)]
pub(super) struct HeldSenders {
    /// By sender: the rooms for which it had messages given back.
    rooms: foldhash::HashMap<SessionId, SmallVec<[RoomName; 1]>>,
}

impl HeldSenders {
    /// Whether a message of this sender may pass.
    pub(super) fn passes(&mut self, sender: SessionId, retry: Retry) -> bool {
        match retry {
            Retry::Never => true,
            Retry::Held => !self.rooms.contains_key(&sender),
            Retry::First => {
                self.rooms.remove(&sender);
                true
            }
        }
    }

    /// A message of this member was given back. Nothing is remembered of a sender that does not try again.
    pub(super) fn hold(&mut self, sender: SessionId, room: &RoomName, retry: Retry) {
        if retry == Retry::Never {
            return;
        }
        let rooms = self.rooms.entry(sender).or_default();
        if !rooms.contains(room) {
            rooms.push(room.clone());
        }
    }

    /// The sender has left a room.
    pub(super) fn left(&mut self, sender: SessionId, room: &RoomName) {
        if let Some(rooms) = self.rooms.get_mut(&sender) {
            rooms.retain(|held| held != room);
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
    fn after_a_message_was_given_back_later_ones_wait_for_it() {
        let mut held = HeldSenders::default();
        assert!(held.passes(sender(), Retry::Held));
        held.hold(sender(), &room("tea"), Retry::Held);
        assert!(!held.passes(sender(), Retry::Held), "it would overtake the first");
        assert!(held.passes(sender(), Retry::First));
        assert!(held.passes(sender(), Retry::Held));
    }

    #[test]
    fn leaving_one_room_does_not_let_messages_of_another_overtake() {
        let mut held = HeldSenders::default();
        held.hold(sender(), &room("tea"), Retry::Held);
        held.hold(sender(), &room("chess"), Retry::Held);
        held.left(sender(), &room("tea"));
        assert!(!held.passes(sender(), Retry::Held), "one for chess was given back");
        held.left(sender(), &room("chess"));
        assert!(held.passes(sender(), Retry::Held));
        assert_eq!(held.sessions().count(), 0);
    }

    #[test]
    fn a_sender_that_is_told_and_does_not_try_again_is_not_remembered() {
        let mut held = HeldSenders::default();
        held.hold(sender(), &room("tea"), Retry::Never);
        assert_eq!(held.sessions().count(), 0);
    }
}
