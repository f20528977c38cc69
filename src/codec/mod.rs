//! One file per dialect: bytes in, [`Command`](crate::chat::Command) out; event in, bytes out. No I/O, no clock.
//!
//! A new dialect is one new file and one line in [`DIALECTS`].

use std::{net::SocketAddr, time::Duration};

use bytes::{BufMut, BytesMut};

use self::asked::Asked;
use crate::{
    chat::{Happening, Refusal, Reply, Request, RequestId, RoomName},
    limits,
};

pub mod action;
mod asked;
pub mod chat_request;
pub mod chatroom;
pub mod communication;
pub mod detect;
#[cfg(test)]
mod events;
mod handshake;
pub mod json;
mod protobuf;
#[cfg(test)]
mod testing;
pub mod tutorial;

/// What a client said of itself before its first message.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Where it comes from (after `X-Forwarded-For` or the PROXY protocol, where those are believed).
    pub peer: SocketAddr,
    /// The raw query of the request, without `?`; percent-encoded or raw UTF-8.
    pub query: Vec<u8>,
    /// The raw bytes of the header `login-username`, if any.
    pub login_username: Option<Vec<u8>>,
    /// The raw bytes of the header `username`, if any.
    pub username: Option<Vec<u8>>,
    /// The subprotocol agreed on, if any.
    pub subprotocol: Option<&'static str>,
}

/// A complete message of a client, over all its fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message, already checked to be UTF-8 where the dialect asks for that ([`Profile::text_is_utf8`]).
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The bytes, whichever kind of frame they came in.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// How the members of a dialect are treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Longest message in bytes.
    pub message_bytes: usize,
    /// Whether text messages that are not UTF-8 close the connection with 1007 (RFC 6455); the protobuf dialects' clients
    /// put protobuf bytes into text frames, so there it must not.
    pub text_is_utf8: bool,
    /// Pace of the server's pings.
    pub ping_every: Duration,
    /// What becomes of a member that does not read.
    pub lag: LagPolicy,
    /// What becomes of a sender while the server is busy.
    pub busy: BusyPolicy,
    /// Whether a member sees the notice of its own coming (`tutorial`: its page learns the list from it).
    pub sees_own_coming: bool,
    /// Whether a member that exits is shown its own going before it is closed.
    pub sees_own_going: bool,
    /// Whether notices carry the list of users, so that the room must make one.
    pub notices_carry_list: bool,
    /// Whether the server speaks first ([`Reply::Greeting`]).
    pub greets: bool,
    /// A client that sends no message for this long is closed; pings and pongs of RFC 6455 do not count as messages.
    /// `None`: the server's own setting for idle users decides.
    pub silent_after: Option<Duration>,
}

impl Profile {
    /// What the clients of the five systems have in common; each names what it does differently.
    pub const LEGACY: Self = Self {
        message_bytes: limits::LEGACY_MESSAGE_BYTES,
        text_is_utf8: true,
        ping_every: limits::LEGACY_PING,
        lag: LagPolicy::Disconnect,
        busy: BusyPolicy::Pause,
        sees_own_coming: false,
        sees_own_going: false,
        notices_carry_list: false,
        greets: false,
        silent_after: None,
    };
}

/// What becomes of a member whose cursor fell off the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagPolicy {
    /// It is told the missing interval and jumps to the head.
    Gap,
    /// It is closed with 1013.
    Disconnect,
}

/// What becomes of a sender while the server is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyPolicy {
    /// It is told `busy`.
    Tell,
    /// It is not read for up to 10 s, then closed with 1013.
    Pause,
}

/// A wire format, and how its clients are treated. One value per dialect, listed in [`DIALECTS`].
pub trait Dialect: Sync {
    /// As in `/ws/<dialect>`, in settings and in metrics.
    fn name(&self) -> &'static str;

    /// How its members are treated.
    fn profile(&self) -> Profile;

    /// In how many ways the same event may look to its members: at least 1, at most [`VIEWS_PER_DIALECT`]. Which one a
    /// member has is its codec's [`Codec::view`].
    fn views(&self) -> usize {
        1
    }

    /// A codec for one connection.
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec>;

    /// Appends what a member with this view sees of an event: complete frames, or nothing.
    fn encode(&self, view: usize, room: &RoomName, happening: &Happening, out: &mut Frames);

    /// [`Dialect::encode`] at a time, in Unix milliseconds, for dialects that stamp what has no time of its own. What sends
    /// events calls this one.
    fn encode_at(&self, at: u64, view: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        let _ = at;
        self.encode(view, room, happening, out);
    }
}

/// The wire format of one connection, with the little it must remember.
pub trait Codec {
    /// What the handshake alone amounts to: for dialects that name the user there, a hello and a join of the lobby.
    fn opening(&mut self) -> Result<Vec<Request>, Fault>;

    /// Reads one message; pushes what it asks for, in order.
    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault>;

    /// Appends what the client is told, or nothing where its dialect has no words for it.
    fn encode(&mut self, id: RequestId, reply: &Reply, out: &mut Frames);

    /// [`Codec::encode`] at a time, in Unix milliseconds; see [`Dialect::encode_at`].
    fn encode_at(&mut self, at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        let _ = at;
        self.encode(id, reply, out);
    }

    /// Which of the dialect's views this member has now.
    fn view(&self) -> usize {
        0
    }
}

/// What is wrong with a message, and what its sender gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An error in the dialect's own words (the codec's `encode` is given `Reply::Error`); the connection goes on.
    Refused(RequestId, Refusal),
    /// The dialect has no words for it: the connection is closed with this code and reason.
    Close(u16, &'static str),
}

/// A buffer of complete server frames (unmasked, unfragmented).
#[derive(Debug, Default)]
pub struct Frames {
    /// The frames, one after the other.
    pub buffer: BytesMut,
}

/// Most views of one dialect.
pub const VIEWS_PER_DIALECT: usize = 2;

/// Every dialect, one line each.
pub static DIALECTS: &[&dyn Dialect] = &[
    &communication::Communication,
    &chat_request::ChatRequest,
    &chatroom::Chatroom,
    &tutorial::Tutorial,
    &action::Action::DEFAULT,
];

impl Frames {
    /// Appends one text frame.
    pub fn text(&mut self, payload: &str) {
        self.frame(0x81, payload.as_bytes());
    }

    /// Appends one binary frame.
    pub fn binary(&mut self, payload: &[u8]) {
        self.frame(0x82, payload);
    }

    /// Appends a frame; `first` is its first byte, FIN and opcode. RFC 6455 section 5.2.
    fn frame(&mut self, first: u8, payload: &[u8]) {
        self.buffer.reserve(payload.len() + 10);
        self.buffer.put_u8(first);
        match payload.len() {
            short @ 0..=125 => self.buffer.put_u8(short as u8),
            medium @ 126..=0xFFFF => {
                self.buffer.put_u8(126);
                self.buffer.put_u16(medium as u16);
            }
            long => {
                self.buffer.put_u8(127);
                self.buffer.put_u64(long as u64);
            }
        }
        self.buffer.extend_from_slice(payload);
    }
}
