//! A buffer of complete server frames.

use std::io;

use bytes::{BufMut, BytesMut};
use fastwebsockets::OpCode;

use crate::wire::writer::{self, FRAME_HEAD_BYTES};

/// A buffer of complete server frames (unmasked, unfragmented), or one that is completed for each receiver.
#[derive(Debug, Default)]
pub struct Frames {
    /// The frames, one after the other.
    pub buffer: BytesMut,
    /// Where the name of each receiver goes. Then `buffer` holds the payload of one text frame, without its head, and without
    /// the name.
    pub addressed: Option<usize>,
}

impl Frames {
    /// Takes the payload of one text frame that is to hold the receiver's name, as a part of a JSON string, at this place. The
    /// buffer holds nothing else.
    pub fn addressed_text(&mut self, payload: &str, at: usize) {
        debug_assert!(
            self.buffer.is_empty() && self.addressed.is_none(),
            "one frame for an event"
        );
        self.buffer.extend_from_slice(payload.as_bytes());
        self.addressed = Some(at);
    }

    /// Appends one text frame.
    pub fn text(&mut self, payload: &str) {
        self.frame(OpCode::Text, payload.as_bytes());
    }

    /// Appends one binary frame.
    pub fn binary(&mut self, payload: &[u8]) {
        self.frame(OpCode::Binary, payload);
    }

    /// Appends one binary frame that holds a protobuf message, written where it stays.
    pub fn protobuf(&mut self, message: &impl prost::Message) {
        let length = message.encoded_len();
        self.buffer.reserve(length + FRAME_HEAD_BYTES);
        self.buffer
            .extend_from_slice(writer::head(OpCode::Binary, length).as_bytes());
        // A `BytesMut` grows, so there is always room.
        message.encode_raw(&mut self.buffer);
    }

    /// Appends one text frame that holds a value as JSON, written where it stays.
    ///
    /// Its length is known only when it is there: the commonest head is left free before it, and the few frames with
    /// another one are moved by the difference.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        let begin = self.buffer.len();
        self.buffer.put_bytes(0, USUAL_HEAD);
        if serde_json::to_writer(Pieces(&mut self.buffer), value).is_err() {
            // Only a map with keys that are no text, or a `Serialize` that refuses, gets here: nothing is sent.
            debug_assert!(false, "a message that cannot be JSON");
            self.buffer.truncate(begin);
            return;
        }
        let written = begin + USUAL_HEAD..self.buffer.len();
        let payload_bytes = written.len();
        let head = writer::head(OpCode::Text, payload_bytes);
        let head_bytes = head.as_bytes().len();
        if head_bytes != USUAL_HEAD {
            self.buffer.put_bytes(0, head_bytes.saturating_sub(USUAL_HEAD));
            self.buffer.copy_within(written, begin + head_bytes);
            self.buffer.truncate(begin + head_bytes + payload_bytes);
        }
        self.buffer[begin..begin + head_bytes].copy_from_slice(head.as_bytes());
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        self.buffer.reserve(payload.len() + FRAME_HEAD_BYTES);
        self.buffer
            .extend_from_slice(writer::head(opcode, payload.len()).as_bytes());
        self.buffer.extend_from_slice(payload);
    }
}

/// Takes the many small pieces that JSON is written in: `bytes::buf::Writer` asks for each whether all of it was taken.
struct Pieces<'b>(&'b mut BytesMut);

impl io::Write for Pieces<'_> {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(piece);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the head of a frame with 126 to 65,535 bytes of payload.
const USUAL_HEAD: usize = 4;
