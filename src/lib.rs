//! Plaza: a chat server for very large rooms.
//!
//! The modules follow the path of one talk, from a socket to every member's socket. A module knows the ones above it in
//! this list and none below, except that `shard` brings them all together:
//!
//! - [`limits`]: every bound, with its reason
//! - [`wire`]: RFC 6455 frames in and out; no I/O
//! - [`chat`]: the words of the chat (names, commands, events) and what each command does; no I/O, no clock
//! - [`codec`]: one file per dialect: bytes in, command out; event in, bytes out; no I/O
//! - [`history`]: numbers and keeps talks

pub mod chat;
pub mod codec;
pub mod history;
pub mod limits;
pub mod proto;
pub mod wire;
