//! The output of encoders: complete server frames, unmasked and unfragmented, in one buffer.
//!
//! The exception is a frame that contains its receiver's name. It is stored without its head and this name, and completed per receiver.

use std::io;

use bytes::{BufMut, BytesMut};
use fastwebsockets::OpCode;

use crate::wire::writer::{self, FRAME_HEAD_BYTES};

/// Complete server frames, or one frame that is completed for each receiver.
#[derive(Debug, Default)]
pub struct Frames {
    pub buffer: BytesMut,
    /// The place of the receiver's name, if `buffer` has the payload of one text frame without head and name.
    pub addressed: Option<usize>,
}

impl Frames {
    /// Sets the payload of one text frame. The receiver's name is inserted at the byte `at`, inside a JSON string. The buffer must
    /// be empty.
    pub fn addressed_text(&mut self, payload: &str, at: usize) {
        debug_assert!(
            self.buffer.is_empty() && self.addressed.is_none(),
            "one frame for an event"
        );
        self.buffer.extend_from_slice(payload.as_bytes());
        self.addressed = Some(at);
    }

    pub fn text(&mut self, payload: &str) {
        self.frame(OpCode::Text, payload.as_bytes());
    }

    pub fn binary(&mut self, payload: &[u8]) {
        self.frame(OpCode::Binary, payload);
    }

    /// Appends one binary frame that holds a protobuf message, encoded in place.
    pub fn protobuf(&mut self, message: &impl prost::Message) {
        let length = message.encoded_len();
        self.buffer.reserve(length + FRAME_HEAD_BYTES);
        self.buffer
            .extend_from_slice(writer::head(OpCode::Binary, length).as_bytes());
        // A `BytesMut` grows, so there is always room.
        message.encode_raw(&mut self.buffer);
    }

    /// Appends one text frame that holds a value as JSON, encoded in place.
    ///
    /// The length is known only afterwards. So this reserves space for the most frequent size of head, and moves the payload if it
    /// guessed wrong.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        let begin = self.buffer.len();
        self.buffer.put_bytes(0, USUAL_HEAD);
        if serde_json::to_writer(Pieces(&mut self.buffer), value).is_err() {
            // Only a map with non-string keys, or a failing `Serialize`, gets here. Send nothing.
            debug_assert!(false, "a message that is not serializable as JSON");
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

/// A writer for the many small pieces of JSON; `bytes::buf::Writer` would check each for a partial write.
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
