//! Errors, sorted by who must act.

use std::{fmt, io, time::Duration};

use crate::proto;

/// Why a call failed.
#[derive(Debug)]
pub enum Error {
    /// The address, a header or another setting is invalid; the text says which and why.
    Config(String),
    /// The server is unreachable, or the connection broke during the handshake.
    Io(io::Error),
    /// The server did not answer the handshake with a WebSocket.
    Handshake {
        /// The HTTP status, or 0 if the answer was unreadable.
        status: u16,
        /// The server's text, or what is wrong with its answer.
        text: String,
    },
    /// The server refused the request.
    Refused(Refused),
    /// No reply came in time. The server may have carried out the request; a message with an idempotency key can safely be sent again.
    Timeout {
        /// What did not come in time, such as a reply.
        waited_for: &'static str,
        /// The timeout.
        waited: Duration,
    },
    /// The connection has ended.
    Closed(Closing),
    /// The reply does not fit the request.
    Unexpected {
        /// The reply that fits.
        expected: &'static str,
        /// The reply that came.
        seen: Box<proto::ServerMessage>,
    },
}

/// An error of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// From the table in `docs/errors.md`.
    pub code: String,
    /// For people.
    pub text: String,
    /// After this time, the same request may succeed.
    pub retry_after: Option<Duration>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// The server closed it with a close frame.
    Server {
        /// The close code; 1005 when the frame had none.
        code: u16,
        /// The reason, or nothing.
        reason: String,
    },
    /// The client closed or aborted it.
    Here,
    /// It broke, or its data was unreadable; the text says what was seen.
    Broken(String),
}

impl Error {
    /// The server's code, if it is a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => Some(&refused.code),
            Self::Config(_)
            | Self::Io(_)
            | Self::Handshake { .. }
            | Self::Timeout { .. }
            | Self::Closed(_)
            | Self::Unexpected { .. } => None,
        }
    }
}

impl From<proto::Error> for Refused {
    fn from(error: proto::Error) -> Self {
        Self {
            code: error.code,
            text: error.text,
            retry_after: (error.retry_after > 0).then(|| Duration::from_millis(error.retry_after)),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(text) => f.write_str(text),
            Self::Io(error) => write!(f, "the server cannot be reached: {error}"),
            Self::Handshake { status: 0, text } => write!(f, "the handshake failed: {text}"),
            Self::Handshake { status, text } => write!(f, "the handshake was answered with {status}: {text}"),
            Self::Refused(refused) => fmt::Display::fmt(refused, f),
            Self::Timeout { waited_for, waited } => write!(
                f,
                "{waited_for} did not come within {waited:?}; see whether pushes are taken with next_event"
            ),
            Self::Closed(closing) => write!(f, "the connection has ended: {closing}"),
            Self::Unexpected { expected, seen } => write!(f, "{expected} was expected, but {seen:?} came"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { code, reason } if reason.is_empty() => write!(f, "closed by the server with {code}"),
            Self::Server { code, reason } => write!(f, "closed by the server with {code}: {reason}"),
            Self::Here => f.write_str("closed on this side"),
            Self::Broken(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Refused(refused) => Some(refused),
            Self::Config(_)
            | Self::Handshake { .. }
            | Self::Timeout { .. }
            | Self::Closed(_)
            | Self::Unexpected { .. } => None,
        }
    }
}

impl std::error::Error for Refused {}
