//! An event and its frames: encoded once per encoding, whatever the number of members.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{
    chat::{Happening, Origin, RoomName},
    codec::{Dialects, ENCODINGS, Encoding, Frames},
};

/// Something that happened in a room, shared by all shards and members.
#[derive(Debug)]
pub(crate) struct RoomEvent {
    /// Where.
    pub(crate) room: RoomName,
    /// What.
    pub(crate) happening: Happening,
    /// Whose talk it is.
    pub(crate) origin: Option<Origin>,
    /// When, Unix milliseconds.
    at: u64,
    /// What it is encoded with.
    dialects: Dialects,
    frames: [OnceLock<Bytes>; ENCODINGS],
}

impl RoomEvent {
    /// An event that no member has seen yet.
    pub(crate) fn new(room: RoomName, happening: Happening, origin: Option<Origin>, at: u64) -> Self {
        Self {
            room,
            happening,
            origin,
            at,
            dialects: Dialects::default(),
            frames: [const { OnceLock::new() }; ENCODINGS],
        }
    }

    /// The same event, seen by members of these dialects.
    pub(crate) fn in_dialects(self, dialects: Dialects) -> Self {
        Self { dialects, ..self }
    }

    /// The frames a member with this encoding sees: complete ones, or nothing.
    pub(crate) fn frames(&self, encoding: Encoding) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        let (Some(cell), Some(dialect)) = (self.frames.get(encoding.place()), self.dialects.get(encoding.dialect()))
        else {
            return &NOTHING;
        };
        cell.get_or_init(|| {
            let mut frames = Frames::default();
            dialect.encode_at(self.at, encoding.within(), &self.room, &self.happening, &mut frames);
            frames.buffer.freeze()
        })
    }

    /// Roughly what it costs to keep: itself, its text, and the frames of the two encodings that are usual.
    pub(crate) fn weight(&self) -> usize {
        let text = match &self.happening {
            Happening::Talk(talk) => talk.text.len(),
            Happening::Came { users, .. }
            | Happening::Went { users, .. }
            | Happening::Renamed { users, .. }
            | Happening::Digest { users, .. } => users.as_ref().map_or(0, |users| users.names.len() * 24),
            Happening::Topic { topic: text, .. } | Happening::System { text } => text.len(),
            Happening::Typing { .. } => 0,
        };
        size_of::<Self>() + 3 * text + 256
    }
}
