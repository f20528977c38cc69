//! Plaza: a chat server for very large rooms.
//!
//! The modules follow the path of one talk, from a socket to every member's socket. A module knows those above it in this
//! list and none below:
//!
//! - [`limits`]: every bound, with its reason
//! - `lock`: files that one process at a time holds
//! - [`output`]: what commands print
//! - [`config`]: settings and where they come from
//! - [`wire`]: RFC 6455 frames in and out; no I/O
//! - [`chat`]: the words of the chat (names, commands, events) and what each command does; no I/O, no clock
//! - [`codec`]: one file per dialect: bytes in, command out; event in, bytes out; no I/O
//! - [`observe`]: logs, metrics, health, the admin listener
//! - [`shard`]: one core: connections, room logs, flush and pacing
//! - [`history`]: numbers and keeps talks
//! - `ingress`: acceptor, HTTP routes, handshake, pages
//! - `admin`: the admin API
//! - [`server`]: the order in which everything starts and ends

#![deny(unsafe_code)]

mod admin;
pub mod chat;
pub mod codec;
pub mod config;
pub mod history;
mod ingress;
pub mod limits;
mod lock;
pub mod observe;
pub mod output;
pub mod proto;
mod readiness;
pub mod server;
pub mod shard;
pub mod wire;
