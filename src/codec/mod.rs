//! Wire formats: they turn a client's messages into [`Command`](crate::chat::Command)s, and events and replies into frames.
//!
//! Plaza speaks six dialects: its own protocol ([`native`]) and the formats of five older chat systems (`legacy`), whose clients
//! connect unchanged. A [`Dialect`] encodes an event once for all members of a room that share an [`Encoding`]. It opens a [`Codec`]
//! for each connection, which decodes that client's messages, encodes its replies, and holds the little state that its format needs.
//!
//! - `dialect`: the traits [`Dialect`] and [`Codec`]
//! - `table`: every dialect, its name and its number of encodings
//! - `profile`: how the server treats clients of each dialect: limits, pings, slow consumers, backpressure
//! - [`detect`]: which dialect a client on plain `/ws` speaks
//! - `handshake`, `frames`, `fault`: inputs and outputs of dialects
//! - `json`, `protobuf`: bounds that hold before a message is parsed
//!
//! Invariants: the memory that a message takes is bounded by a small multiple of its bytes, and no bytes make a codec panic. A codec
//! never does I/O, reads a clock (times are arguments) or applies a rule of the chat: it checks form, and `chat` and the shard decide.
//!
//! To add a dialect, write its file, a row in `table` and in `profile`, a column in `docs/events.md`, and a page in `docs/wire/`.

pub mod detect;
mod dialect;
mod encoding;
#[cfg(test)]
mod events;
mod fault;
mod frames;
mod handshake;
mod json;
mod legacy;
pub mod native;
mod profile;
mod protobuf;
mod table;
#[cfg(test)]
pub(crate) mod testing;

pub use self::{
    dialect::{Codec, Dialect, DialectSettings},
    encoding::{ENCODINGS, Encoding},
    fault::Fault,
    frames::Frames,
    handshake::{Client, Handshake, query_value},
    legacy::action,
    profile::{BusyPolicy, LagPolicy, Profile, Reach, ReservedName},
    table::{DIALECTS, DialectId, Dialects},
};
pub use crate::wire::Message;
