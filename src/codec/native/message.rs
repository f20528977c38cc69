//! Writes a room's message as JSON without copying its names and its text, because rooms and replays write thousands of them. The bytes
//! equal those of the schema's own type.

use std::{fmt::Display, num::NonZeroU64};

use serde::{Serialize, Serializer};

use crate::{
    chat::{ChatMessage, RequestId, RoomName, SessionTag, UserId},
    codec::Frames,
    proto,
};

pub(super) fn write(id: RequestId, room: &RoomName, message: &ChatMessage, out: &mut Frames) {
    out.json(&EventJson {
        id: id.map_or(0, NonZeroU64::get),
        message: MessageJson {
            room: room.as_str(),
            seq: message.seq,
            prev: message.prev,
            at: message.at,
            from: message.from.as_str(),
            session: Shown(message.session),
            text: &message.text,
            kind: super::encode::kind(message.kind),
            epoch: message.epoch,
            user: Shown(&message.user),
        },
    });
}

#[derive(Serialize)]
struct EventJson<'t> {
    #[serde(skip_serializing_if = "proto::is_default")]
    id: u64,
    message: MessageJson<'t>,
}

#[derive(Serialize)]
struct MessageJson<'t> {
    #[serde(skip_serializing_if = "proto::is_default")]
    room: &'t str,
    seq: u64,
    prev: u64,
    at: u64,
    from: &'t str,
    session: Shown<SessionTag>,
    text: &'t str,
    #[serde(serialize_with = "proto::kind")]
    kind: i32,
    epoch: u64,
    user: Shown<&'t UserId>,
}

/// Serializes a value as it is displayed.
struct Shown<D>(D);

impl<D: Display> Serialize for Shown<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
