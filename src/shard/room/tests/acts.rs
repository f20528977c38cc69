//! The steps of the property test, and the messages that it sends.

use proptest::prelude::*;

use crate::{
    chat::{ChatMessage, RoomName, Seq},
    shard::testing::{OPEN, values},
};

pub(super) const ROOMS: usize = 3;
pub(super) const CONNECTIONS: usize = 5;
/// Numbers have holes: every third one belongs to a message.
pub(super) const APART: Seq = 3;

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Client, room, and how many messages before the newest one it resumes.
    Join(usize, usize, Seq),
    /// Client, room, and how many of the newest messages it asks for.
    JoinLast(usize, usize, u32),
    Leave(usize, usize),
    Say(usize),
    /// The next message from the owners arrives.
    Deliver,
    Flush(usize),
    Room(usize, usize),
    /// The store answers its oldest question, or fails to answer it.
    Answer(bool),
    HangUp(usize),
    Tick,
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let (connection, room) = (0..CONNECTIONS, 0..ROOMS);
    prop_oneof![
        3 => (connection.clone(), room.clone(), 0..12_u64).prop_map(|(one, room, back)| Act::Join(one, room, back)),
        1 => (connection.clone(), room.clone(), 0..6_u32)
            .prop_map(|(one, room, count)| Act::JoinLast(one, room, count)),
        2 => (connection.clone(), room.clone()).prop_map(|(one, room)| Act::Leave(one, room)),
        6 => room.prop_map(Act::Say),
        8 => Just(Act::Deliver),
        3 => (1..6_usize).prop_map(Act::Flush),
        3 => (connection.clone(), prop_oneof![0..400_usize, Just(OPEN)]).prop_map(|(one, bytes)| Act::Room(one, bytes)),
        2 => any::<bool>().prop_map(Act::Answer),
        1 => connection.prop_map(Act::HangUp),
        1 => Just(Act::Tick),
    ]
}

pub(super) fn room_name(room: usize) -> RoomName {
    RoomName::parse(&format!("room {room}")).unwrap()
}

pub(super) fn room_number(name: &RoomName) -> usize {
    name.as_str()["room ".len()..].parse().unwrap()
}

/// The numbers of the messages after `after`, up to `upto`.
pub(super) fn numbers(after: Seq, upto: Seq) -> impl Iterator<Item = Seq> {
    (after / APART + 1..=upto / APART).map(|n| n * APART)
}

pub(super) fn message(room: usize, seq: Seq) -> ChatMessage {
    ChatMessage {
        text: format!("<{room}:{seq}>").into(),
        ..values::message("ada", seq - APART, seq)
    }
}
