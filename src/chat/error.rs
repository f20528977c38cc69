//! The table of errors and goodbyes: code, text, close code, and whether the client may try again.
//!
//! `docs/errors.md` has both tables; a test compares them with this file.

use std::{borrow::Cow, fmt, time::Duration};

use crate::word_set::word_sets;

word_sets! {
    /// Why a request was refused. The name on the wire is [`ErrorCode::name`]; `docs/errors.md` lists them all.
    ErrorCode {
        /// The message could not be parsed.
        Malformed = "malformed",
        UnknownRequest = "unknown_request",
        /// A field is missing, too long or out of its range.
        Invalid = "invalid",
        BadName = "bad_name",
        /// The name is claimed and its key is missing or wrong, or the session may not read the messages stored for its name.
        NameReserved = "name_reserved",
        NoHello = "no_hello",
        HelloAgain = "hello_again",
        NotMember = "not_member",
        AlreadyMember = "already_member",
        NoSuchRoom = "no_such_room",
        /// The user is offline, and the server keeps no offline messages.
        NoSuchUser = "no_such_user",
        /// The session is in as many rooms as it may be.
        TooManyRooms = "too_many_rooms",
        /// The idempotency key was used for another text.
        KeyConflict = "key_conflict",
        /// Too much is in flight; try again.
        Busy = "busy",
        /// The conversation is not stored.
        NoHistory = "no_history",
        /// The store could not take the message; it was not sent.
        StoreFailed = "store_failed",
        /// Authentication is missing or wrong.
        Unauthorized = "unauthorized",
        Forbidden = "forbidden",
        Draining = "draining",
    }
}

/// The answer to a refused request: a code for programs, a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    /// What was seen, the bound, and what to do.
    pub text: Cow<'static, str>,
    /// How long to wait before trying again, if that helps.
    pub retry_after: Option<Duration>,
}

word_sets! {
    /// Why the server ends a session. The name on the wire is [`GoodbyeCode::name`]; `docs/errors.md` lists them all.
    GoodbyeCode {
        /// The client asked for it.
        Exit = "exit",
        ShuttingDown = "shutting_down",
        /// The client sent nothing for too long.
        Timeout = "timeout",
        /// The client did not send its hello in time.
        TooSlowHandshake = "too_slow_handshake",
        /// The client is a slow consumer.
        Slow = "slow",
        /// Backpressure has held the client's messages for too long.
        Busy = "busy",
        /// The user was silent for longer than the operator allows.
        Idle = "idle",
        /// The operator ended the session.
        Disconnected = "disconnected",
        /// The client broke the rules of the protocol.
        Protocol = "protocol",
    }
}

impl GoodbyeCode {
    /// The close code for native clients. After 4000 to 4499 they reconnect by themselves, after 4500 to 4999 only when their user asks
    /// for it. 1000, 1002 and 1013 mean what the WebSocket registry says.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Exit => 1000,
            Self::ShuttingDown => 4000,
            Self::Timeout => 4001,
            Self::TooSlowHandshake => 4002,
            Self::Slow | Self::Busy => 1013,
            Self::Idle => 4500,
            Self::Disconnected => 4501,
            Self::Protocol => 1002,
        }
    }

    /// The close code for older dialects, whose clients know only those of RFC 6455 and its registry.
    pub const fn legacy_close_code(self) -> u16 {
        match self {
            Self::Exit | Self::Idle => 1000,
            Self::ShuttingDown | Self::Timeout => 1001,
            Self::TooSlowHandshake | Self::Disconnected => 1008,
            Self::Slow | Self::Busy => 1013,
            Self::Protocol => 1002,
        }
    }

    /// Whether the client may reconnect by itself.
    pub const fn may_reconnect(self) -> bool {
        match self {
            Self::ShuttingDown | Self::Timeout | Self::TooSlowHandshake | Self::Slow | Self::Busy => true,
            Self::Exit | Self::Idle | Self::Disconnected | Self::Protocol => false,
        }
    }
}

impl fmt::Display for GoodbyeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ErrorCode {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/errors.md");

    /// The cells of the rows below a heading, without the head of the table.
    fn rows(heading: &str) -> Vec<Vec<&'static str>> {
        let section = DOCUMENT.split("\n## ").find(|section| section.starts_with(heading));
        let rows = section
            .unwrap_or_default()
            .lines()
            .filter(|line| line.starts_with("| `"));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    #[test]
    fn the_document_lists_exactly_the_error_codes() {
        let listed: Vec<&str> = rows("Errors").iter().map(|row| row[0].trim_matches('`')).collect();
        assert_eq!(listed, ErrorCode::ALL.map(ErrorCode::name));
        assert!(rows("Errors").iter().all(|row| row.len() == 4 && !row.contains(&"")));
    }

    #[test]
    fn the_document_lists_exactly_the_goodbyes_with_their_close_codes() {
        let listed: Vec<Vec<String>> = rows("Goodbyes")
            .iter()
            .map(|row| [0, 1, 2, 4].map(|cell| row[cell].trim_matches('`').to_owned()).to_vec())
            .collect();
        let known = GoodbyeCode::ALL.map(|code| {
            vec![
                code.name().to_owned(),
                code.close_code().to_string(),
                if code.may_reconnect() { "yes" } else { "no" }.to_owned(),
                code.legacy_close_code().to_string(),
            ]
        });
        assert_eq!(listed, known);
    }

    #[test]
    fn close_codes_say_the_same_as_the_invitation() {
        for code in GoodbyeCode::ALL {
            let invites = matches!(code.close_code(), 4000..=4499 | 1013);
            assert_eq!(invites, code.may_reconnect(), "{code}");
        }
    }
}
