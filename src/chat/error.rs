//! The one table of errors: what a client may be told, and whose turn it is.

use std::{borrow::Cow, fmt, time::Duration};

/// Why something was refused. The name on the wire is [`ErrorCode::name`]; `docs/errors.md` lists them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The message could not be read at all.
    Malformed,
    /// The request kind is not known to this server.
    UnknownRequest,
    /// A field is missing, too long or out of its range.
    Invalid,
    /// The name breaks the rules for names.
    BadName,
    /// The name has stored mail and the key given is not its key.
    NameReserved,
    /// The session has not said who it is yet.
    NoHello,
    /// The session has said who it is already.
    HelloAgain,
    /// The session is not in that room.
    NotMember,
    /// The session is in that room already.
    AlreadyMember,
    /// There is no such room.
    NoSuchRoom,
    /// There is no such user online, and the message cannot wait for one.
    NoSuchUser,
    /// The session is in as many rooms as it may be.
    TooManyRooms,
    /// The idempotency key was used for another text.
    KeyConflict,
    /// The server has more on its hands than it may hold; try again.
    Busy,
    /// The conversation is not stored.
    NoHistory,
    /// The store could not take the message; it was not sent.
    StoreFailed,
    /// Authentication is missing or wrong.
    Unauthorized,
    /// The session may not do this.
    Forbidden,
    /// The server is going down.
    Draining,
}

/// A request that was not carried out: the code for programs, the text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// From the table.
    pub code: ErrorCode,
    /// What was seen, what the bound is, what to do.
    pub text: Cow<'static, str>,
    /// When trying again helps.
    pub retry_after: Option<Duration>,
}

impl ErrorCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::UnknownRequest,
        Self::Invalid,
        Self::BadName,
        Self::NameReserved,
        Self::NoHello,
        Self::HelloAgain,
        Self::NotMember,
        Self::AlreadyMember,
        Self::NoSuchRoom,
        Self::NoSuchUser,
        Self::TooManyRooms,
        Self::KeyConflict,
        Self::Busy,
        Self::NoHistory,
        Self::StoreFailed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Draining,
    ];

    /// The code as it stands on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownRequest => "unknown_request",
            Self::Invalid => "invalid",
            Self::BadName => "bad_name",
            Self::NameReserved => "name_reserved",
            Self::NoHello => "no_hello",
            Self::HelloAgain => "hello_again",
            Self::NotMember => "not_member",
            Self::AlreadyMember => "already_member",
            Self::NoSuchRoom => "no_such_room",
            Self::NoSuchUser => "no_such_user",
            Self::TooManyRooms => "too_many_rooms",
            Self::KeyConflict => "key_conflict",
            Self::Busy => "busy",
            Self::NoHistory => "no_history",
            Self::StoreFailed => "store_failed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Draining => "draining",
        }
    }

    /// A refusal with this code.
    pub fn because(self, text: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code: self,
            text: text.into(),
            retry_after: None,
        }
    }
}

impl Refusal {
    /// The same refusal, with the advice to try again after `wait`.
    pub fn retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.text)
    }
}

impl From<super::NameFault> for Refusal {
    fn from(fault: super::NameFault) -> Self {
        ErrorCode::BadName.because(fault.to_string())
    }
}
