//! The formats of five older chat systems, whose clients connect unchanged; the numbers are those of the documents that describe them.
//!
//! | format | document | messages |
//! |---|---|---|
//! | [`communication`] | 000 | protobuf |
//! | [`chat_request`] | 001 | protobuf |
//! | [`chatroom`] | 002 | protobuf |
//! | [`action`] | 003 | JSON |
//! | [`tutorial`] | 004 | JSON |
//!
//! What several of them need stands beside them once: requests for the lobby (`lobby`), how names and lines look (`names`), requests that
//! wait for a reply (`asked`), senders' addresses (`addresses`), and bounded decoding (`protobuf`). A format never repairs what its
//! original client does wrong at another client's cost, and never shows text that a user could mistake for the server's.

pub mod action;
mod addresses;
mod asked;
pub(super) mod chat_request;
pub(super) mod chatroom;
pub(super) mod communication;
mod lobby;
mod names;
pub(super) mod protobuf;
pub(super) mod tutorial;
