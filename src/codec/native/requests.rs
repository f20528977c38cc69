//! The requests of the schema by name, and the refusals of messages that do not have exactly one of them.

use crate::{
    chat::{ErrorCode, Refusal},
    limits,
    proto::plaza::{self, client_message::Request as RequestBody},
};

/// The body of a request, in JSON or protobuf.
pub(super) trait Body: Sized {
    /// Parses it as the message of the schema with this name.
    fn read<M: prost::Message + Default + serde::de::DeserializeOwned>(self, request: &str) -> Result<M, Refusal>;

    /// Parses it as a hello. Its positions are counted before any of them takes memory.
    fn read_hello(self) -> Result<plaza::Hello, Refusal>;
}

/// Parses the request with this name.
pub(super) fn read(request: &str, body: impl Body) -> Result<RequestBody, Refusal> {
    Ok(match request {
        "hello" => RequestBody::Hello(body.read_hello()?),
        "join" => RequestBody::Join(body.read(request)?),
        "leave" => RequestBody::Leave(body.read(request)?),
        "talk" => RequestBody::Talk(body.read(request)?),
        "direct" => RequestBody::Direct(body.read(request)?),
        "users" => RequestBody::Users(body.read(request)?),
        "rooms" => RequestBody::Rooms(body.read(request)?),
        "topic" => RequestBody::Topic(body.read(request)?),
        "rename" => RequestBody::Rename(body.read(request)?),
        "history" => RequestBody::History(body.read(request)?),
        "search" => RequestBody::Search(body.read(request)?),
        "read" => RequestBody::Read(body.read(request)?),
        "unread" => RequestBody::Unread(body.read(request)?),
        "typing" => RequestBody::Typing(body.read(request)?),
        "ping" => RequestBody::Ping(body.read(request)?),
        "exit" => RequestBody::Exit(body.read(request)?),
        other => return Err(unknown_request(other)),
    })
}

/// The part of a client's input that an error repeats: its beginning, quoted, without control characters for terminals and logs.
pub(super) fn quoted(seen: &str) -> String {
    let mut shown: String = seen.chars().take(limits::ECHO_CHARS).collect();
    if shown.len() < seen.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The requests of the schema, in the order of their field numbers, which begin at [`FIRST_REQUEST`].
pub(super) const REQUESTS: [&str; 16] = [
    "hello", "join", "leave", "talk", "direct", "users", "rooms", "topic", "rename", "history", "search", "read",
    "unread", "typing", "ping", "exit",
];
/// The field number of the first request.
pub(super) const FIRST_REQUEST: u32 = 2;

/// The refusal of a message without a request.
pub(super) fn no_request() -> Refusal {
    ErrorCode::Malformed.because(format!(
        "the message has no request; it must have exactly one of {}",
        REQUESTS.join(", ")
    ))
}

/// The refusal of a message with two requests.
pub(super) fn two_requests(first: &str, second: &str) -> Refusal {
    ErrorCode::Malformed.because(format!(
        "the message has two requests, {first} and {second}; send one message for each"
    ))
}

/// The refusal of a message with an unknown request.
pub(super) fn unknown_request(seen: &str) -> Refusal {
    ErrorCode::UnknownRequest.because(format!(
        "this server does not know the request {seen}; it knows {}",
        REQUESTS.join(", ")
    ))
}
