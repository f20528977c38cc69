//! Messages, topics, typing and system messages: all events of a room besides joins and leaves.
//!
//! A message gets its number before it is broadcast: from the room, or in a durable room from the store. Members see messages in the
//! order of their numbers.

use std::{rc::Rc, sync::Arc};

use smallvec::smallvec;

use super::{OwnedRooms, not_member};
use crate::chat::{
    Effect, Effects, ErrorCode, Happening, NewMessage, Origin, Position, Reply, RequestId, RoomName, SendOutcome, Seq,
    SessionId,
};

impl OwnedRooms {
    /// Sends a member's message. An ephemeral room numbers it at once; in a durable room it goes to the store first.
    pub(crate) fn talk(&mut self, name: &RoomName, message: Box<NewMessage>, now_ms: u64) -> SendOutcome {
        let key_window = self.settings.key_window_ms;
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.has(message.session)) else {
            return SendOutcome::Done(smallvec![not_member(message.session, message.id, name)]);
        };
        if room.is_leaving(message.session) {
            let text = format!("the room {name} is being closed, and this session leaves it");
            let reply = Reply::Error(ErrorCode::NotMember.because(text));
            return SendOutcome::Done(smallvec![Effect::answer(message.session, message.id, reply)]);
        }
        if room.is_durable() {
            room.store_one();
            return SendOutcome::ToStore(message);
        }
        SendOutcome::Done(match room.known_key(&message, now_ms, key_window) {
            None => {
                let head = room.head();
                let (prev, seq) = (head.seq, (self.settings.numbering)(head.seq));
                let position = Position { seq, ..head };
                room.remember_key(&message, position.seq, now_ms, key_window);
                self.numbered(name, *message, position, prev, now_ms)
            }
            Some(Ok((seq, at))) => {
                let position = Position { seq, ..room.head() };
                let reply = Reply::Ack {
                    position,
                    at,
                    duplicate: true,
                };
                smallvec![Effect::answer(message.session, message.id, reply)]
            }
            Some(Err(refusal)) => {
                smallvec![Effect::answer(message.session, message.id, Reply::Error(refusal))]
            }
        })
    }

    /// Broadcasts a message that the store has committed.
    pub(crate) fn committed(
        &mut self,
        name: &RoomName,
        message: NewMessage,
        position: Position,
        prev: Seq,
        at: u64,
    ) -> Effects {
        let mut effects = self.numbered(name, message, position, prev, at);
        effects.extend(self.settled(name));
        effects
    }

    /// Answers the sender of a message that the store refused or already had.
    pub(crate) fn rejected(&mut self, name: &RoomName, session: SessionId, id: RequestId, reply: Reply) -> Effects {
        let mut effects: Effects = smallvec![Effect::answer(session, id, reply)];
        effects.extend(self.settled(name));
        effects
    }

    /// Returns a message to its sender's shard, because the store's queue was full.
    pub(crate) fn store_was_full(&mut self, name: &RoomName, message: Box<NewMessage>) -> Effect {
        if let Some(room) = self.rooms.get_mut(name) {
            room.store_was_full();
        }
        self.close_if_empty(name);
        Effect::busy(name.clone(), message)
    }

    /// Counts one answer of the store. If the operator closed the room and this was its last message, its members leave.
    fn settled(&mut self, name: &RoomName) -> Effects {
        let leave = self.rooms.get_mut(name).map_or_else(Vec::new, |room| room.settled());
        self.close_if_empty(name);
        leave.into_iter().map(|session| Effect::expel(session, name)).collect()
    }

    fn numbered(&mut self, name: &RoomName, message: NewMessage, position: Position, prev: Seq, at: u64) -> Effects {
        let mut effects = Effects::new();
        let origin = Origin {
            session: message.session,
            id: message.id,
        };
        let shards = match self.rooms.get_mut(name) {
            Some(room) => {
                room.advance(position);
                room.shards()
            }
            None => Rc::from([]),
        };
        if !shards.contains(&origin.session.shard()) {
            // Even if the sender has left in the meantime.
            let reply = Reply::Ack {
                position,
                at,
                duplicate: false,
            };
            effects.push(Effect::answer(origin.session, origin.id, reply));
        }
        // Even without members, because the message log has every accepted message.
        effects.push(Effect::Broadcast {
            room: name.clone(),
            shards,
            happening: Happening::Message(message.numbered(position, prev, at)),
            origin: Some(origin),
        });
        effects
    }

    pub(crate) fn set_topic(&mut self, name: &RoomName, session: SessionId, id: RequestId, topic: Arc<str>) -> Effects {
        let Some((room, from)) = self.member(name, session) else {
            return smallvec![not_member(session, id, name)];
        };
        room.set_topic(topic.clone());
        let answer = Reply::TopicSet {
            room: name.clone(),
            topic: topic.clone(),
        };
        smallvec![
            Effect::answer(session, id, answer),
            Effect::broadcast(name, room.shards(), Happening::Topic { topic, from }),
        ]
    }

    /// Shows that a member is typing. Large rooms do not show it.
    pub(crate) fn typing(&mut self, name: &RoomName, session: SessionId) -> Option<Effect> {
        let settings = self.settings;
        let (room, from) = self.member(name, session)?;
        let small = !room.is_large(&settings);
        small.then(|| Effect::broadcast(name, room.shards(), Happening::Typing { from }))
    }

    /// Broadcasts a system message.
    pub(crate) fn system(&mut self, name: &RoomName, text: Arc<str>) -> Option<Effect> {
        let room = self.rooms.get(name)?;
        Some(Effect::broadcast(name, room.shards(), Happening::System { text }))
    }
}
