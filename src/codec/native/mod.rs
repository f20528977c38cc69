//! Plaza's own protocol, `proto/plaza/v1/chat.proto`, in two forms: protobuf (encoding 0) and JSON (encoding 1).
//!
//! Decoding has two steps. `protobuf` or `json` reads the bytes into a request of the schema; `decode` then checks that request, once for
//! both forms, and makes it a command. Encoding is one step: `encode` makes a message of the schema, which is written straight into the
//! buffer of frames.
//!
//! Invariants: a request has the same effect and the same refusals in both forms. The memory that a message takes is bounded by its bytes.
//! A client's mistake never closes the connection: it gets an error that names the field, what was seen, and what is expected.

mod decode;
mod encode;
mod json;
mod message;
mod protobuf;
mod requests;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::in_protobuf;

use std::num::NonZeroU64;

use crate::{
    chat::{Direct, ErrorCode, Happening, Reply, Request, RequestId, RoomName},
    codec::{Codec, Dialect, Fault, Frames, Handshake, Message},
    proto::plaza::{ServerMessage, server_message::Event},
};

pub struct Native;

pub const ENCODINGS: usize = 2;

/// The subprotocol of protobuf in binary messages.
pub const PROTOBUF: &str = "plaza.v1.proto";
/// The subprotocol of JSON in text messages.
pub const JSON: &str = "plaza.v1.json";
/// The subprotocols, the preferred one first: a client that offers both gets this one.
pub const SUBPROTOCOLS: [&str; 2] = [PROTOBUF, JSON];

/// The two forms of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

/// The state of one connection.
#[derive(Debug)]
struct NativeCodec {
    form: Form,
    /// No subprotocol was agreed, and the first message, which decides, has not arrived.
    undecided: bool,
}

impl Dialect for Native {
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        Box::new(NativeCodec {
            form: if handshake.subprotocol == Some(PROTOBUF) {
                Form::Protobuf
            } else {
                Form::Json
            },
            undecided: handshake.subprotocol.is_none(),
        })
    }

    fn encode_at(&self, _at: u64, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        match (Form::of(encoding), happening) {
            (Form::Json, Happening::Message(message)) => message::write(None, room, message, out),
            (form, happening) => {
                if let Some(event) = encode::happening(room, happening) {
                    form.write(None, event, out);
                }
            }
        }
    }

    fn encode_direct(&self, encoding: usize, direct: &Direct, out: &mut Frames) {
        Form::of(encoding).write(None, encode::direct(direct), out);
    }
}

impl Codec for NativeCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        Ok(Vec::new())
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        if std::mem::take(&mut self.undecided) && matches!(message, Message::Binary(_)) {
            self.form = Form::Protobuf;
        }
        let (id, body) = match (self.form, message) {
            (Form::Protobuf, Message::Binary(bytes)) => protobuf::read(bytes)?,
            (Form::Json, Message::Text(bytes)) => json::read(bytes)?,
            (Form::Protobuf, Message::Text(_)) => return Err(wrong_form("text", "protobuf in binary", JSON)),
            (Form::Json, Message::Binary(_)) => return Err(wrong_form("binary", "JSON in text", PROTOBUF)),
        };
        let command = decode::command(body).map_err(|refusal| Fault::Refused(id, refusal))?;
        requests.push(Request { id, command });
        Ok(())
    }

    fn encode_at(&mut self, _at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        if let (Form::Json, Reply::Replayed { room, message }) = (self.form, reply) {
            return message::write(id, room, message, out);
        }
        if let Some(event) = encode::reply(reply) {
            self.form.write(id, event, out);
        }
    }

    fn encoding(&self) -> usize {
        self.form.encoding()
    }
}

impl Form {
    const fn encoding(self) -> usize {
        match self {
            Self::Protobuf => 0,
            Self::Json => 1,
        }
    }

    fn of(encoding: usize) -> Self {
        if encoding == Self::Protobuf.encoding() {
            Self::Protobuf
        } else {
            Self::Json
        }
    }

    fn write(self, id: RequestId, event: Event, out: &mut Frames) {
        let message = ServerMessage {
            id: id.map_or(0, NonZeroU64::get),
            event: Some(event),
        };
        match self {
            Self::Protobuf => out.protobuf(&message),
            Self::Json => out.json(&message),
        }
    }
}

fn wrong_form(seen: &str, own: &str, other: &str) -> Fault {
    let text = format!(
        "a {seen} message was seen, but this connection speaks {own} messages; offer the subprotocol {other} when \
         connecting to speak the other form"
    );
    Fault::Refused(None, ErrorCode::Malformed.because(text))
}
