//! An event of a room with its cached frames, shared by all shards and members.

use crate::{
    chat::{ChatMessage, Happening, Origin, RoomName, Seq},
    codec::{Dialects, Encoding},
    shard::event::frames::{Encoded, FrameCache},
};

/// An event of a room, such as a message or a join.
#[derive(Debug)]
pub(crate) struct RoomEvent {
    pub(crate) room: RoomName,
    pub(crate) happening: Happening,
    /// The request that sent the message, so that its shard can acknowledge it.
    pub(crate) origin: Option<Origin>,
    /// Unix milliseconds.
    at: u64,
    frames: FrameCache,
}

impl RoomEvent {
    /// An event for members of these dialects.
    pub(crate) fn new(
        room: RoomName,
        happening: Happening,
        origin: Option<Origin>,
        at: u64,
        dialects: Dialects,
    ) -> Self {
        Self {
            room,
            happening,
            origin,
            at,
            frames: FrameCache::new(dialects),
        }
    }

    /// The frames for members with this encoding.
    pub(crate) fn frames(&self, encoding: Encoding) -> &Encoded {
        self.frames.get(encoding, |dialect, within, out| {
            dialect.encode_at(self.at, within, &self.room, &self.happening, out);
        })
    }

    /// The number of the message; `None` if the event is no message.
    pub(crate) fn seq(&self) -> Option<Seq> {
        self.message().map(|message| message.seq)
    }

    /// The number of the message before this one; `None` if the event is no message.
    pub(crate) fn prev(&self) -> Option<Seq> {
        self.message().map(|message| message.prev)
    }

    fn message(&self) -> Option<&ChatMessage> {
        match &self.happening {
            Happening::Message(message) => Some(message),
            _ => None,
        }
    }

    /// An estimate of its memory, bytes: the event, its text, and the frames of the two most common encodings.
    pub(crate) fn weight(&self) -> usize {
        let text = match &self.happening {
            Happening::Message(message) => message.text.len(),
            Happening::UserJoined { users, .. }
            | Happening::UserLeft { users, .. }
            | Happening::Renamed { users, .. }
            | Happening::Digest { users, .. } => users.as_ref().map_or(0, |users| users.names.len() * 24),
            Happening::Roster { users } => users.names.len() * 24,
            Happening::Topic { topic: text, .. } | Happening::System { text } => text.len(),
            Happening::Typing { .. } => 0,
        };
        size_of::<Self>() + 3 * text + 256
    }
}
