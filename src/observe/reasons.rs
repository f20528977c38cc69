//! The words for why things ended or were decided, the same in metrics, logs and documents.

use crate::{chat::ErrorCode, codec::detect::Why};

macro_rules! reasons {
    ($(
        $(#[doc = $doc:literal])*
        $Reason:ident {$(
            $(#[doc = $variant_doc:literal])*
            $variant:ident = $name:literal,
        )*}
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Reason {$(
            $(#[doc = $variant_doc])*
            $variant,
        )*}

        impl $Reason {
            /// Every one, in the order of declaration, which is also the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As in metrics and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl Reason for $Reason {
            const ALL: &'static [Self] = Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

/// A closed set of words with a counter each.
pub trait Reason: Copy + 'static {
    /// Every one, in the order of `index`.
    const ALL: &'static [Self];

    /// As in metrics and logs.
    fn name(self) -> &'static str;

    /// Its place in `ALL`.
    fn index(self) -> usize;
}

reasons! {
    /// Why a connection ended.
    CloseReason {
        /// The client sent a close frame.
        ClosedByClient = "closed_by_client",
        /// The client's end of the socket closed or was reset without a close frame.
        Vanished = "vanished",
        /// The user said so: exit, logout.
        Exit = "exit",
        /// For `chat.dead_after` nothing came, nor did a full socket take anything.
        Dead = "dead",
        /// The user said nothing for as long as the idle settings allow.
        Idle = "idle",
        /// The socket took nothing for `flush.write_timeout`.
        WriteTimeout = "write_timeout",
        /// The client read too slowly: its cursor fell off the ring and its dialect has no words for a gap, or it took what it was sent
        /// and answered nothing for five times `chat.dead_after`, or more waited for its socket than may.
        SlowConsumer = "slow_consumer",
        /// The server stayed busy for longer than a paused sender waits.
        BusyTooLong = "busy_too_long",
        /// A frame broke RFC 6455 (1002).
        ProtocolError = "protocol_error",
        /// Text that is not UTF-8 (1007).
        NotUtf8 = "not_utf8",
        /// A message beyond the bounds of its dialect (1009).
        TooLarge = "too_large",
        /// A message was left unfinished for too long.
        Unfinished = "unfinished",
        /// A message that its dialect could not read and has no error for.
        Malformed = "malformed",
        /// The session may not be, or be any longer.
        Unauthorized = "unauthorized",
        /// An administrator ended it.
        Kicked = "kicked",
        /// The server is stopping.
        Drain = "drain",
        /// The server could not keep it, by its own fault.
        Internal = "internal",
    }

    /// Why a connection never became one.
    RejectReason {
        /// The request was not complete in time.
        Timeout = "timeout",
        /// The request was cut off or is not HTTP.
        BadRequest = "bad_request",
        /// The head is beyond the bounds (431).
        HeadTooLarge = "head_too_large",
        /// Not a GET (405).
        Method = "method",
        /// Not version 13 (426).
        Version = "version",
        /// The upgrade's headers are missing or wrong (400).
        Upgrade = "upgrade",
        /// A page of an origin that is not allowed (403).
        Origin = "origin",
        /// No such path, or an unknown dialect (404).
        NotFound = "not_found",
        /// The PROXY protocol's line is missing, wrong, or from an address that is not trusted.
        Proxy = "proxy",
        /// The dialect refused what the handshake says.
        Handshake = "handshake",
        /// Authentication is missing or wrong (401).
        Unauthorized = "unauthorized",
        /// As many connections as the server may hold (503).
        Full = "full",
        /// The server is stopping (503).
        Draining = "draining",
    }
}

impl Reason for Why {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Reason for ErrorCode {
    const ALL: &'static [Self] = &Self::ALL;

    fn name(self) -> &'static str {
        self.name()
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order_and_distinct<R: Reason>() {
        let mut names: Vec<_> = R::ALL.iter().map(|reason| reason.name()).collect();
        assert!(R::ALL.iter().enumerate().all(|(index, reason)| reason.index() == index));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), R::ALL.len());
    }

    #[test]
    fn every_reason_has_its_own_name_and_its_place() {
        in_order_and_distinct::<CloseReason>();
        in_order_and_distinct::<RejectReason>();
        in_order_and_distinct::<Why>();
        in_order_and_distinct::<ErrorCode>();
    }
}
