//! How the clients of each dialect are treated.

use std::time::Duration;

use super::table::DialectId;
use crate::limits;

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
    /// Whether the server speaks first ([`crate::chat::Reply::Greeting`]).
    pub greets: bool,
    /// A client that sends no message for this long is closed; pings and pongs of RFC 6455 do not count as messages.
    /// `None`: the server's own setting for idle users decides.
    pub silent_after: Option<Duration>,
}

impl Profile {
    /// How clients of a dialect are treated where no setting says otherwise.
    pub const fn of(dialect: DialectId) -> Self {
        match dialect {
            DialectId::Native => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                ping_every: limits::NATIVE_PING_EVERY,
                lag: LagPolicy::Gap,
                busy: BusyPolicy::Tell,
                reserved_name: ReservedName::Refuse,
                first_word: limits::FIRST_WORD_TIME,
                ..LEGACY
            },
            DialectId::Communication => Self {
                text_is_utf8: false,
                sees_own_going: true,
                ..LEGACY
            },
            DialectId::ChatRequest => Self {
                text_is_utf8: false,
                ping_every: limits::CHAT_REQUEST_PING,
                sees_own_going: true,
                ..LEGACY
            },
            DialectId::Chatroom => Self {
                text_is_utf8: false,
                ..LEGACY
            },
            DialectId::Tutorial => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                sees_own_coming: true,
                sees_own_going: true,
                greets: true,
                ..LEGACY
            },
            DialectId::Action => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                mail_by_name: true,
                reserved_name: ReservedName::Refuse,
                reach: Reach::Worlds,
                greets: true,
                ..LEGACY
            },
        }
    }
}

/// What the clients of the five old systems have in common.
const LEGACY: Profile = Profile {
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
