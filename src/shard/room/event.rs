//! An event and its frames: encoded once per encoding, whatever the number of members.
//!
//! A frame that holds its receiver's name (document 003) is encoded once as well: it is kept as one payload with a place in it,
//! and completed for each member in a buffer that the whole shard uses again and again.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use fastwebsockets::OpCode;

use crate::{
    chat::{Happening, Origin, RoomName, Seq},
    codec::{Dialects, ENCODINGS, Encoding, Frames},
    wire::writer,
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
    frames: [OnceLock<Encoded>; ENCODINGS],
}

/// The frames of an event in one encoding.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// Complete frames, the same for every member; or nothing.
    Shared(Bytes),
    /// The payload of one text frame, and where the receiver's name goes.
    Addressed { payload: Bytes, at: usize },
}

impl Encoded {
    /// Its bytes, but for heads and names that differ from member to member.
    pub(crate) fn common_bytes(&self) -> usize {
        match self {
            Self::Shared(frames) => frames.len(),
            Self::Addressed { payload, .. } => payload.len(),
        }
    }

    /// Its bytes for this receiver.
    pub(crate) fn bytes_for(&self, receiver: &str) -> usize {
        match self {
            Self::Shared(frames) => frames.len(),
            Self::Addressed { payload, .. } => {
                let payload = payload.len() + escaped_bytes(receiver);
                writer::head(OpCode::Text, payload).as_bytes().len() + payload
            }
        }
    }

    /// Appends its frames for this receiver.
    pub(crate) fn append_for(&self, receiver: &str, out: &mut BytesMut) {
        match self {
            Self::Shared(frames) => out.extend_from_slice(frames),
            Self::Addressed { payload, at } => {
                let (before, after) = payload.split_at_checked(*at).unwrap_or((payload, &[]));
                out.extend_from_slice(writer::head(OpCode::Text, payload.len() + escaped_bytes(receiver)).as_bytes());
                out.extend_from_slice(before);
                let mut rest = receiver;
                while let Some(place) = rest.find(ESCAPED) {
                    out.extend_from_slice(&rest.as_bytes()[..place]);
                    out.extend_from_slice(&[b'\\', rest.as_bytes()[place]]);
                    rest = &rest[place + 1..];
                }
                out.extend_from_slice(rest.as_bytes());
                out.extend_from_slice(after);
            }
        }
    }
}

/// Bytes of a name inside a JSON string. Names hold no control characters, so these two are all that JSON escapes.
fn escaped_bytes(name: &str) -> usize {
    name.len() + name.matches(ESCAPED).count()
}

const ESCAPED: [char; 2] = ['"', '\\'];

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

    /// What a member with this encoding sees.
    pub(crate) fn frames(&self, encoding: Encoding) -> &Encoded {
        static NOTHING: Encoded = Encoded::Shared(Bytes::new());
        let (Some(cell), Some(dialect)) = (self.frames.get(encoding.place()), self.dialects.get(encoding.dialect()))
        else {
            return &NOTHING;
        };
        cell.get_or_init(|| {
            let mut frames = Frames::default();
            dialect.encode_at(self.at, encoding.within(), &self.room, &self.happening, &mut frames);
            match frames.addressed {
                None => Encoded::Shared(frames.buffer.freeze()),
                Some(at) => Encoded::Addressed {
                    payload: frames.buffer.freeze(),
                    at,
                },
            }
        })
    }

    /// The number of a message.
    pub(crate) fn seq(&self) -> Option<Seq> {
        match &self.happening {
            Happening::Talk(talk) => Some(talk.seq),
            Happening::Came { .. }
            | Happening::Went { .. }
            | Happening::Renamed { .. }
            | Happening::Digest { .. }
            | Happening::Roster { .. }
            | Happening::Topic { .. }
            | Happening::Typing { .. }
            | Happening::System { .. } => None,
        }
    }

    /// Roughly what it costs to keep: itself, its text, and the frames of the two encodings that are usual.
    pub(crate) fn weight(&self) -> usize {
        let text = match &self.happening {
            Happening::Talk(talk) => talk.text.len(),
            Happening::Came { users, .. }
            | Happening::Went { users, .. }
            | Happening::Renamed { users, .. }
            | Happening::Digest { users, .. } => users.as_ref().map_or(0, |users| users.names.len() * 24),
            Happening::Roster { users } => users.names.len() * 24,
            Happening::Topic { topic: text, .. } | Happening::System { text } => text.len(),
            Happening::Typing { .. } => 0,
        };
        size_of::<Self>() + 3 * text + 256
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_addressed_frame_holds_the_receivers_name_as_json_whatever_it_is() {
        let encoded = Encoded::Addressed {
            payload: Bytes::from_static(br#"{"to":"","at":1}"#),
            at: 7,
        };
        for receiver in ["1", "张三", r#"a"b\c"#, ""] {
            let mut out = BytesMut::new();
            encoded.append_for(receiver, &mut out);
            assert_eq!(out.len(), encoded.bytes_for(receiver), "{receiver}");
            assert_eq!(usize::from(out[1]), out.len() - 2);
            let json: serde_json::Value = serde_json::from_slice(&out[2..]).unwrap();
            assert_eq!(json["to"], receiver);
        }
        let mut out = BytesMut::new();
        let long = "x".repeat(120);
        encoded.append_for(&long, &mut out);
        assert_eq!((out[0], out[1], out.len()), (0x81, 126, encoded.bytes_for(&long)));
    }
}
