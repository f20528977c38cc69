//! The wire formats of five older chat systems, whose clients connect unchanged.

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
