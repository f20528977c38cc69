//! An event and its frames: encoded once per view, whatever the number of members.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::{
    chat::{Happening, Origin, RoomName},
    codec::{Dialects, Frames, VIEWS_PER_DIALECT},
    limits::VIEWS,
};

/// How a member sees events: the number of its dialect and of the dialect's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View(u8);

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
    frames: [OnceLock<Bytes>; VIEWS],
}

impl View {
    /// The `view` of the dialect with this number.
    pub(crate) fn new(dialect: usize, view: usize) -> Self {
        Self((dialect * VIEWS_PER_DIALECT + view) as u8)
    }
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
            frames: [const { OnceLock::new() }; VIEWS],
        }
    }

    /// The same event, seen by members of these dialects.
    pub(crate) fn in_dialects(self, dialects: Dialects) -> Self {
        Self { dialects, ..self }
    }

    /// The frames a member with this view sees: complete ones, or nothing.
    pub(crate) fn frames(&self, view: View) -> &Bytes {
        static NOTHING: Bytes = Bytes::new();
        let number = usize::from(view.0);
        let (Some(cell), Some(dialect)) = (self.frames.get(number), self.dialects.get(number / VIEWS_PER_DIALECT))
        else {
            return &NOTHING;
        };
        cell.get_or_init(|| {
            let mut frames = Frames::default();
            dialect.encode_at(
                self.at,
                number % VIEWS_PER_DIALECT,
                &self.room,
                &self.happening,
                &mut frames,
            );
            frames.buffer.freeze()
        })
    }

    /// Roughly what it costs to keep: itself, its text, and the frames of the two views that are usual.
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
