//! The cache of an event's frames: each encoding is made once, when its first receiver needs it, and all receivers share it.
//! `room::ring` fills it for events of rooms, and [`DirectEvent`](super::direct::DirectEvent) for direct messages.
//!
//! A frame of document 003 contains its receiver's name. It is encoded once as well, as a payload without the name, and the name is
//! inserted for each receiver when the frame is copied into the output buffer.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use fastwebsockets::OpCode;

use crate::{
    codec::{Dialect, Dialects, ENCODINGS, Encoding, Frames},
    wire::writer,
};

/// The frames of one event, by encoding.
#[derive(Debug)]
pub(crate) struct FrameCache {
    dialects: Dialects,
    frames: [OnceLock<Encoded>; ENCODINGS],
}

impl FrameCache {
    pub(crate) fn new(dialects: Dialects) -> Self {
        Self {
            dialects,
            frames: [const { OnceLock::new() }; ENCODINGS],
        }
    }

    pub(crate) fn dialect(&self, encoding: Encoding) -> &dyn Dialect {
        &self.dialects[encoding.dialect()]
    }

    /// The frames in this encoding. The first call makes them with `encode`, which gets the number of the encoding within its
    /// dialect.
    pub(crate) fn get(&self, encoding: Encoding, encode: impl FnOnce(&dyn Dialect, usize, &mut Frames)) -> &Encoded {
        self.frames[encoding.place()].get_or_init(|| {
            let mut frames = Frames::default();
            encode(self.dialect(encoding), encoding.within(), &mut frames);
            match frames.addressed {
                None => Encoded::Shared(frames.buffer.freeze()),
                Some(at) => Encoded::Addressed {
                    payload: frames.buffer.freeze(),
                    at,
                },
            }
        })
    }
}

/// The frames of one encoding.
#[derive(Debug)]
pub(crate) enum Encoded {
    /// Complete frames, the same for every receiver; empty if the dialect shows nothing.
    Shared(Bytes),
    /// The payload of one text frame without the receiver's name, and the offset of the name.
    Addressed { payload: Bytes, at: usize },
}

impl Encoded {
    /// The number of bytes that all receivers share: without frame heads and names.
    pub(crate) fn common_bytes(&self) -> usize {
        match self {
            Self::Shared(frames) => frames.len(),
            Self::Addressed { payload, .. } => payload.len(),
        }
    }

    /// The number of bytes for this receiver.
    pub(crate) fn bytes_for(&self, receiver: &str) -> usize {
        match self {
            Self::Shared(frames) => frames.len(),
            Self::Addressed { payload, .. } => {
                let payload = payload.len() + escaped_bytes(receiver);
                writer::head(OpCode::Text, payload).as_bytes().len() + payload
            }
        }
    }

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

/// Bytes of a name inside a JSON string. Names have no control characters, so JSON escapes only the two of `ESCAPED`.
fn escaped_bytes(name: &str) -> usize {
    name.len() + name.matches(ESCAPED).count()
}

const ESCAPED: [char; 2] = ['"', '\\'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_addressed_frame_contains_any_receivers_name_as_json() {
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
