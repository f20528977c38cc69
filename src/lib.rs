//! Plaza: a chat server for very large rooms.
//!
//! A module may import only those above it in this list; `tests/architecture` checks that.
//!
//! - [`limits`]: every bound, with its reason
//! - [`output`]: output of commands
//! - `lock`: lock files
//! - `version`: the version of this build
//! - [`word_set`]: enums that are closed sets of words
//! - [`proto`]: messages generated from `proto/`
//! - `readiness`: descriptors on tokio's runtime
//! - [`wire`]: RFC 6455 frames in and out; no I/O
//! - [`chat`]: names, commands and events, and what each command does; no I/O, no clock
//! - [`codec`]: one file per dialect: bytes in, command out; event in, bytes out; no I/O
//! - [`observe`]: logs, metrics, health
//! - [`history`]: the store: numbers and stores messages
//! - [`config`]: settings and where they come from
//! - [`shard`]: one core: connections, rooms, fan-out and pacing
//! - `ingress`: from an accepted socket to a connection: acceptor, routes, handshake, pages
//! - `admin`: the operator's HTTP listener and API
//! - [`server`]: starts, watches and stops all parts
//! - [`cli`]: the command line

#![deny(unsafe_code)]

mod admin;
pub mod chat;
pub mod cli;
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
mod version;
pub mod wire;
pub mod word_set;
