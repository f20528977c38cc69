//! Names, sessions and messages for unit tests.

use crate::chat::{
    Arrival, ChatMessage, ConnectionSlot, Generation, Lists, MessageKind, Seq, SessionId, SessionTag, ShardId, UserId,
    UserName,
};

pub(crate) fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

pub(crate) fn user(text: &str) -> UserId {
    UserId::of_name(&name(text))
}

/// The first session in this slot of shard 0.
pub(crate) fn session(slot: u32) -> SessionId {
    SessionId::new(ShardId(0), ConnectionSlot::new(slot), Generation::FIRST)
}

/// A join of ada's first session.
pub(crate) fn arrival() -> Box<Arrival> {
    Box::new(Arrival {
        session: session(0),
        user: user("ada"),
        name: name("ada"),
        tag: SessionTag(1),
        sees_own_join: false,
        sees_own_leave: false,
        lists: Lists::OnRequest,
    })
}

pub(crate) fn message(from: &str, prev: Seq, seq: Seq) -> ChatMessage {
    ChatMessage {
        epoch: 1,
        seq,
        prev,
        at: 0,
        from: name(from),
        user: user(from),
        session: SessionTag(1),
        text: "hello".into(),
        kind: MessageKind::Text,
        echo: None,
    }
}
