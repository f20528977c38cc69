//! How the server treats the clients of each dialect, in one table: limits, pings, slow consumers, backpressure, claimed names.
//!
//! Clients of an old system expect the behaviour of their original server, so each row differs from [`LEGACY`] only where that client
//! needs it. Settings may change the ping interval and the time for silent clients; everything else is fixed.

use std::time::Duration;

use super::table::DialectId;
use crate::limits;

/// How the server treats the clients of one dialect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// Whether text that is not UTF-8 closes the connection with 1007 (RFC 6455). Clients of the protobuf formats put protobuf bytes into
    /// text frames, so they are exempt.
    pub text_is_utf8: bool,
    pub ping_every: Duration,
    pub lag: LagPolicy,
    pub busy: BusyPolicy,
    /// Whether a member sees its own join. The page of `tutorial` reads the user list from it.
    pub sees_own_join: bool,
    /// Whether a member that exits sees its own leave before the server closes the connection.
    pub sees_own_leave: bool,
    /// Whether the server delivers offline messages without a request. Only the name identifies the user, because the format has no
    /// keys (`action`, as in the original).
    pub inbox_by_name: bool,
    pub reserved_name: ReservedName,
    /// How long a client without a name may send nothing. One that has sent something has [`limits::NAMING_TIME`].
    pub first_message: Duration,
    pub reach: Reach,
    /// Whether the server speaks first ([`crate::chat::Reply::Greeting`]).
    pub greets: bool,
    /// The server closes a client that sends no message for this long; WebSocket pings and pongs do not count. `None`: only the setting
    /// for idle users applies.
    pub silent_after: Option<Duration>,
}

impl Profile {
    pub const fn of(dialect: DialectId) -> Self {
        match dialect {
            DialectId::Native => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                ping_every: limits::NATIVE_PING_EVERY,
                lag: LagPolicy::Gap,
                busy: BusyPolicy::Tell,
                reserved_name: ReservedName::Refuse,
                first_message: limits::FIRST_MESSAGE_TIME,
                ..LEGACY
            },
            DialectId::Communication => Self {
                text_is_utf8: false,
                sees_own_leave: true,
                ..LEGACY
            },
            DialectId::ChatRequest => Self {
                text_is_utf8: false,
                ping_every: limits::CHAT_REQUEST_PING,
                sees_own_leave: true,
                ..LEGACY
            },
            DialectId::Chatroom => Self {
                text_is_utf8: false,
                ..LEGACY
            },
            DialectId::Tutorial => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                sees_own_join: true,
                sees_own_leave: true,
                greets: true,
                ..LEGACY
            },
            DialectId::Action => Self {
                message_bytes: limits::NATIVE_MESSAGE_BYTES,
                inbox_by_name: true,
                reserved_name: ReservedName::Refuse,
                reach: Reach::Worlds,
                greets: true,
                ..LEGACY
            },
        }
    }
}

/// The common values of the five old formats.
const LEGACY: Profile = Profile {
    message_bytes: limits::LEGACY_MESSAGE_BYTES,
    text_is_utf8: true,
    ping_every: limits::LEGACY_PING,
    lag: LagPolicy::Disconnect,
    busy: BusyPolicy::Pause,
    sees_own_join: false,
    sees_own_leave: false,
    inbox_by_name: false,
    reserved_name: ReservedName::Suffix,
    first_message: limits::NAMING_TIME,
    reach: Reach::Common,
    greets: false,
    silent_after: None,
};

/// How the server treats a member whose cursor fell off the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagPolicy {
    /// The server names the missing interval and moves the cursor to the head.
    Gap,
    /// The server closes the connection with 1013.
    Disconnect,
}

/// The names that clients of a dialect may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Names of the common world.
    Common,
    /// Names of the client's own world, which its codec adds.
    Worlds,
}

/// How the server treats a client that gives a claimed name without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservedName {
    /// The server refuses it; the client may give another.
    Refuse,
    /// The client joins as `name~2`, or with the next free number, and gets a line with the reason.
    Suffix,
}

/// How the server treats a sender while it is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyPolicy {
    /// Its request is refused with `busy`.
    Tell,
    /// The server stops reading from it for up to 10 s, then closes the connection with 1013.
    Pause,
}
