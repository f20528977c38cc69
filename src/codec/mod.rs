//! Bytes in, [`Command`](crate::chat::Command) out; event in, bytes out: Plaza's own protocol and five old wire formats, the dialects.
//!
//! A dialect has a [`Dialect`], which encodes events once for all members, and makes a [`Codec`] for each connection, which
//! decodes its messages and encodes its replies. [`DIALECTS`] lists them all.
//!
//! No I/O, no clock. A new dialect is a new file and one line in `table.rs`.

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
mod testing;

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
