//! One file per dialect: bytes in, [`Command`](crate::chat::Command) out; event in, bytes out. No I/O, no clock.
//!
//! A new dialect is one new file and one line in `TABLE`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use fastwebsockets::OpCode;

use self::asked::Asked;
use crate::{
    chat::{Echo, Happening, Lists, Refusal, Reply, Request, RequestId, RoomName},
    limits,
    wire::writer::{self, FRAME_HEAD_BYTES},
};

pub mod action;
mod addresses;
mod asked;
pub mod chat_request;
pub mod chatroom;
pub mod communication;
pub mod detect;
mod encoding;
#[cfg(test)]
mod events;
mod handshake;
pub mod json;
pub mod native;
mod protobuf;
#[cfg(test)]
mod testing;
pub mod tutorial;

pub use self::encoding::{ENCODINGS, Encoding, encodings_of};
pub use self::handshake::query_value;
pub use crate::wire::Message;

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
    /// What made the handshake.
    pub client: Client,
    /// The number of the listener that it came through.
    pub listener: usize,
    /// The subprotocol agreed on, if any.
    pub subprotocol: Option<&'static str>,
}

/// What kind of program made a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// A page: browsers send the header `Origin`.
    Page,
    /// Anything else.
    Program,
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
    /// Whether a user reads stored direct messages without asking for them, as in Plaza's own protocol (`action`, as its original):
    /// by the name, for nobody can show a key there.
    pub mail_by_name: bool,
    /// What becomes of a client that says a name which somebody has claimed, without its key.
    pub reserved_name: ReservedName,
    /// How long a client may say nothing at all before it has a name; one that says something has
    /// [`limits::NAMING_TIME`].
    pub first_word: Duration,
    /// Whose names its clients may say.
    pub reach: Reach,
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
        mail_by_name: false,
        reserved_name: ReservedName::Suffix,
        first_word: limits::NAMING_TIME,
        reach: Reach::Common,
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

/// Whose names the clients of a dialect may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the common world.
    Common,
    /// Its codec gives each client the names of that client's own world.
    Worlds,
}

/// What becomes of a client that says a name which somebody has claimed, without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservedName {
    /// It is refused, and may say another.
    Refuse,
    /// It comes as `name~2`, or the next number that is free, and is told why.
    Suffix,
}

/// What becomes of a sender while the server is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyPolicy {
    /// It is told `busy`.
    Tell,
    /// It is not read for up to 10 s, then closed with 1013.
    Pause,
}

/// A wire format, and how its clients are treated. One value per dialect, listed in `TABLE`.
pub trait Dialect: Sync {
    /// As in `/ws/<dialect>`, in settings and in metrics.
    fn name(&self) -> &'static str;

    /// How its members are treated.
    fn profile(&self) -> Profile;

    /// The same dialect with an operator's settings, which live as long as the program; `None`: it has none.
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        let _ = settings;
        None
    }

    /// A codec for one connection.
    fn open(&self, handshake: &Handshake) -> Box<dyn Codec>;

    /// Appends what a member with this encoding, by its number within the dialect, sees of an event: complete frames, or
    /// nothing.
    fn encode(&self, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames);

    /// [`Dialect::encode`] at a time, in Unix milliseconds, for dialects that stamp what has no time of its own. What sends
    /// events calls this one.
    fn encode_at(&self, at: u64, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        let _ = at;
        self.encode(encoding, room, happening, out);
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

    /// What clients of this dialect are given back of the request with this id, which says something.
    fn echo(&self, id: RequestId) -> Option<Arc<Echo>> {
        let _ = id;
        None
    }

    /// When this member is sent its room's list of users without asking.
    fn lists(&self) -> Lists {
        Lists::OnRequest
    }

    /// Which of the dialect's encodings this member has now.
    fn encoding(&self) -> usize {
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

/// A buffer of complete server frames (unmasked, unfragmented), or one that is completed for each receiver.
#[derive(Debug, Default)]
pub struct Frames {
    /// The frames, one after the other.
    pub buffer: BytesMut,
    /// Where the name of each receiver goes. Then `buffer` holds the payload of one text frame, without its head, and without
    /// the name.
    pub addressed: Option<usize>,
}

/// Every dialect and in how many encodings its members see events, one line each.
const TABLE: &[(&dyn Dialect, usize)] = &[
    (&native::Native, native::ENCODINGS),
    (&communication::Communication::DEFAULT, communication::ENCODINGS),
    (&chat_request::ChatRequest, 1),
    (&chatroom::Chatroom, 1),
    (&tutorial::Tutorial::DEFAULT, tutorial::ENCODINGS),
    (&action::Action::DEFAULT, 1),
];

/// Every dialect, by its number.
pub static DIALECTS: &[&dyn Dialect; TABLE.len()] = &{
    let mut dialects = [TABLE[0].0; TABLE.len()];
    let mut number = 0;
    while number < dialects.len() {
        dialects[number] = TABLE[number].0;
        number += 1;
    }
    dialects
};

/// The dialects of one server, in the order of [`DIALECTS`]; made once at its start.
#[derive(Clone, Copy)]
pub struct Dialects(&'static [&'static dyn Dialect]);

/// What an operator may set of dialects.
#[derive(Debug, Clone, Default)]
pub struct DialectSettings {
    /// Of `action`.
    pub action: action::Settings,
    /// Whether `communication` shows who writes from which address.
    pub communication_show_ip: bool,
    /// The same for `tutorial`.
    pub tutorial_show_ip: bool,
}

impl Dialects {
    /// Every dialect with these settings. What they need is kept until the program ends: once per server, not per client.
    pub fn configured(settings: &DialectSettings) -> Self {
        let dialects: Vec<_> = DIALECTS
            .iter()
            .map(|dialect| dialect.configured(settings).unwrap_or(*dialect))
            .collect();
        Self(dialects.leak())
    }
}

impl std::ops::Deref for Dialects {
    type Target = [&'static dyn Dialect];

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self(DIALECTS)
    }
}

impl std::fmt::Debug for Dialects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|dialect| dialect.name()))
            .finish()
    }
}

/// The name of Plaza's own protocol among the dialects.
pub const NATIVE: &str = "plaza";

/// The number of the dialect with this name.
pub fn number_of(name: &str) -> Option<usize> {
    DIALECTS.iter().position(|dialect| dialect.name() == name)
}

impl Frames {
    /// Takes the payload of one text frame that is to hold the receiver's name, as a part of a JSON string, at this place. The
    /// buffer holds nothing else.
    pub fn addressed_text(&mut self, payload: &str, at: usize) {
        debug_assert!(
            self.buffer.is_empty() && self.addressed.is_none(),
            "one frame for an event"
        );
        self.buffer.extend_from_slice(payload.as_bytes());
        self.addressed = Some(at);
    }

    /// Appends one text frame.
    pub fn text(&mut self, payload: &str) {
        self.frame(OpCode::Text, payload.as_bytes());
    }

    /// Appends one binary frame.
    pub fn binary(&mut self, payload: &[u8]) {
        self.frame(OpCode::Binary, payload);
    }

    /// Appends one binary frame that holds a protobuf message, written where it stays.
    pub fn protobuf(&mut self, message: &impl prost::Message) {
        let length = message.encoded_len();
        self.buffer.reserve(length + FRAME_HEAD_BYTES);
        self.buffer
            .extend_from_slice(writer::head(OpCode::Binary, length).as_bytes());
        // A `BytesMut` grows, so there is always room.
        message.encode_raw(&mut self.buffer);
    }

    /// Appends one text frame that holds a value as JSON, written where it stays.
    ///
    /// Its length is known only when it is there: the commonest head is left free before it, and the few frames with
    /// another one are moved by the difference.
    pub fn json(&mut self, value: &impl serde::Serialize) {
        let begin = self.buffer.len();
        self.buffer.put_bytes(0, USUAL_HEAD);
        if serde_json::to_writer(Pieces(&mut self.buffer), value).is_err() {
            // Only a map with keys that are no text, or a `Serialize` that refuses, gets here: nothing is sent.
            debug_assert!(false, "a message that cannot be JSON");
            self.buffer.truncate(begin);
            return;
        }
        let written = begin + USUAL_HEAD..self.buffer.len();
        let payload_bytes = written.len();
        let head = writer::head(OpCode::Text, payload_bytes);
        let head_bytes = head.as_bytes().len();
        if head_bytes != USUAL_HEAD {
            self.buffer.put_bytes(0, head_bytes.saturating_sub(USUAL_HEAD));
            self.buffer.copy_within(written, begin + head_bytes);
            self.buffer.truncate(begin + head_bytes + payload_bytes);
        }
        self.buffer[begin..begin + head_bytes].copy_from_slice(head.as_bytes());
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8]) {
        self.buffer.reserve(payload.len() + FRAME_HEAD_BYTES);
        self.buffer
            .extend_from_slice(writer::head(opcode, payload.len()).as_bytes());
        self.buffer.extend_from_slice(payload);
    }
}

/// Takes the many small pieces that JSON is written in: `bytes::buf::Writer` asks for each whether all of it was taken.
struct Pieces<'b>(&'b mut BytesMut);

impl io::Write for Pieces<'_> {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(piece);
        Ok(piece.len())
    }

    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(piece);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the head of a frame with 126 to 65,535 bytes of payload.
const USUAL_HEAD: usize = 4;
