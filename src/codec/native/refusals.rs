//! The requests by name, and refusals of messages that do not hold exactly one of them.

use crate::{
    chat::{ErrorCode, Refusal},
    limits,
};

/// What an error repeats of something that a client sent: its beginning, quoted, with nothing in it that a terminal or a
/// log would act on.
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

/// A message that holds no request at all.
pub(super) fn no_request() -> Refusal {
    ErrorCode::Malformed.because(format!(
        "the message holds no request; it must hold exactly one of {}",
        REQUESTS.join(", ")
    ))
}

/// A message that holds two.
pub(super) fn two_requests(first: &str, second: &str) -> Refusal {
    ErrorCode::Malformed.because(format!(
        "the message holds two requests, {first} and {second}; send one message for each"
    ))
}

/// A message that holds one that this server does not know.
pub(super) fn unknown_request(seen: &str) -> Refusal {
    ErrorCode::UnknownRequest.because(format!(
        "the request {seen} is not known here; known are {}",
        REQUESTS.join(", ")
    ))
}
