//! Messages, topics, typing and the operator's lines: everything that a room shows its members besides who comes and goes.
//!
//! A message is numbered before it is broadcast: by the room itself, or by the store where the room is durable. Members
//! see messages in the order of their numbers.

use std::{rc::Rc, sync::Arc};

use super::{OwnedRooms, not_member};
use crate::chat::{
    Effect, ErrorCode, Happening, Origin, Position, Reply, RequestId, RoomName, Seq, SessionId, Utterance,
};

impl OwnedRooms {
    /// Somebody says something. An ephemeral room numbers it at once; in a durable one it is stored first.
    pub fn talk(&mut self, name: &RoomName, said: Utterance, now_ms: u64, out: &mut Vec<Effect>) {
        let key_window = self.settings.key_window_ms;
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.has(said.session)) else {
            out.push(not_member(said.session, said.id, name));
            return;
        };
        if room.is_leaving(said.session) {
            let text = format!("the room {name} is being closed, and this session leaves it");
            let reply = Reply::Error(ErrorCode::NotMember.because(text));
            out.push(Effect::answer(said.session, said.id, reply));
            return;
        }
        if room.is_durable() {
            room.store_one();
            out.push(Effect::Store {
                room: name.clone(),
                utterance: said,
            });
            return;
        }
        match room.known_key(&said, now_ms, key_window) {
            None => {
                let head = room.head();
                let (prev, seq) = (head.seq, head.seq + 1);
                let position = Position { seq, ..head };
                room.remember_key(&said, position.seq, now_ms, key_window);
                self.tell_talk(name, said, position, prev, now_ms, out);
            }
            Some(Ok((seq, at))) => {
                let position = Position { seq, ..room.head() };
                let reply = Reply::Ack {
                    position,
                    at,
                    duplicate: true,
                };
                out.push(Effect::answer(said.session, said.id, reply));
            }
            Some(Err(refusal)) => {
                out.push(Effect::answer(said.session, said.id, Reply::Error(refusal)));
            }
        }
    }

    /// A talk has its number and is stored: every member is told.
    pub fn stored(
        &mut self,
        name: &RoomName,
        said: Utterance,
        position: Position,
        prev: Seq,
        at: u64,
        out: &mut Vec<Effect>,
    ) {
        self.tell_talk(name, said, position, prev, at, out);
    }

    /// The store has answered for one message of this room, whatever it answered. The sessions that leave now, because the
    /// room was closed and waited for this.
    pub fn settled(&mut self, name: &RoomName) -> Vec<SessionId> {
        let Some(room) = self.rooms.get_mut(name) else {
            return Vec::new();
        };
        let leave = room.settled();
        self.close_if_empty(name);
        leave
    }

    /// The store did not take the newest message of this room.
    pub fn given_back(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.given_back();
        self.close_if_empty(name);
    }

    fn tell_talk(
        &mut self,
        name: &RoomName,
        said: Utterance,
        position: Position,
        prev: Seq,
        at: u64,
        out: &mut Vec<Effect>,
    ) {
        let origin = Origin {
            session: said.session,
            id: said.id,
        };
        let shards = match self.rooms.get_mut(name) {
            Some(room) => {
                room.advance(position);
                room.shards()
            }
            None => Rc::from([]),
        };
        if !shards.contains(&origin.session.shard()) {
            // The sender left while the store was writing: it is owed its answer all the same.
            let reply = Reply::Ack {
                position,
                at,
                duplicate: false,
            };
            out.push(Effect::answer(origin.session, origin.id, reply));
        }
        // Also where everybody has left meanwhile: the talk log has every message that was accepted.
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening: Happening::Talk(said.numbered(position, prev, at)),
            origin: Some(origin),
        });
    }

    /// A member sets the topic.
    pub fn set_topic(
        &mut self,
        name: &RoomName,
        session: SessionId,
        id: RequestId,
        topic: Arc<str>,
        out: &mut Vec<Effect>,
    ) {
        let Some((room, from)) = self.member(name, session) else {
            out.push(not_member(session, id, name));
            return;
        };
        room.set_topic(topic.clone());
        let shards = room.shards();
        let (room_name, new) = (name.clone(), topic.clone());
        out.push(Effect::answer(
            session,
            id,
            Reply::TopicSet {
                room: room_name,
                topic: new,
            },
        ));
        out.push(Effect::tell(name, shards, Happening::Topic { topic, from }));
    }

    /// A member is typing. Large rooms are spared.
    pub fn typing(&mut self, name: &RoomName, session: SessionId, out: &mut Vec<Effect>) {
        let settings = self.settings;
        let Some((room, from)) = self.member(name, session) else {
            return;
        };
        if room.is_large(&settings) {
            return;
        }
        let shards = room.shards();
        out.push(Effect::tell(name, shards, Happening::Typing { from }));
    }

    /// The operator says something to a room.
    pub fn system(&mut self, name: &RoomName, text: Arc<str>, out: &mut Vec<Effect>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let shards = room.shards();
        out.push(Effect::tell(name, shards, Happening::System { text }));
    }
}
