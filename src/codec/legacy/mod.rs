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
//! They share requests for the lobby (`lobby`), the form of names and lines (`names`), requests that wait for a reply
//! (`pending_requests`), senders' addresses (`addresses`), and bounded decoding (`protobuf`). A format never works around a bug of its
//! original client at the cost of another client, and never shows a user's text in a form that looks like the server's.

pub mod action;
mod addresses;
pub(super) mod chat_request;
pub(super) mod chatroom;
pub(super) mod communication;
mod lobby;
mod names;
mod pending_requests;
pub(super) mod protobuf;
pub(super) mod tutorial;
