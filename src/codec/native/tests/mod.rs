//! Both forms, decoded and encoded.

/// Calls this with each line of a table.
macro_rules! table {
    ($check:ident: $($left:expr => $right:expr;)*) => {
        $($check($left, $right);)*
    };
}

mod any;
mod client_requests;
mod events;
mod refused;

use std::num::NonZeroU64;

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    chat::{ClientId, Command, Conversation, Hello, MessageKind, Page, Position, ResumeFrom, Since, UserName},
    limits,
    proto::plaza::{self, client_message::Request as RequestBody},
};

fn codec(subprotocol: Option<&'static str>) -> Box<dyn Codec> {
    Native.open(&Handshake {
        subprotocol,
        ..Handshake::silent()
    })
}

fn decode_with(codec: &mut dyn Codec, message: Message<'_>) -> Result<Request, Fault> {
    let mut requests = Vec::new();
    codec.decode(message, &mut requests)?;
    assert_eq!(requests.len(), 1);
    Ok(requests.remove(0))
}

fn from_json(text: &str) -> Result<Request, Fault> {
    decode_with(codec(Some(JSON)).as_mut(), Message::Text(text.as_bytes()))
}

fn from_protobuf(bytes: &[u8]) -> Result<Request, Fault> {
    decode_with(codec(Some(PROTOBUF)).as_mut(), Message::Binary(bytes))
}

/// Decodes the message in both forms. They must agree, in refusals word by word.
fn from_both(message: &plaza::ClientMessage) -> Result<Request, Fault> {
    let protobuf = from_protobuf(&message.encode_to_vec());
    let json = serde_json::to_string(message).unwrap();
    assert_eq!(from_json(&json), protobuf, "{json}");
    protobuf
}

/// Converts a JSON request to protobuf.
pub(crate) fn in_protobuf(text: &str) -> Vec<u8> {
    let (id, request) = json::read(text.as_bytes()).unwrap();
    let (id, request) = (id.map_or(0, NonZeroU64::get), Some(request));
    plaza::ClientMessage { id, request }.encode_to_vec()
}

fn client_message(request: RequestBody) -> plaza::ClientMessage {
    plaza::ClientMessage {
        id: 7,
        request: Some(request),
    }
}

fn command(json: &str) -> Command {
    from_json(json).unwrap().command
}

fn refused(result: Result<Request, Fault>) -> (Option<u64>, ErrorCode, String) {
    match result {
        Err(Fault::Refused(id, refusal)) => (id.map(NonZeroU64::get), refusal.code, refusal.text.into_owned()),
        other => panic!("{other:?} is no refusal"),
    }
}

fn lobby() -> Conversation {
    Conversation::Room(room("lobby"))
}

fn ann() -> Conversation {
    Conversation::Peer(user("ann"))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}
