//! The words for why things ended or were decided, the same in metrics, logs and documents.

use crate::word_set::word_sets;

word_sets! {
    /// Why a connection ended.
    CloseReason {
        /// The client sent a close frame.
        ClosedByClient = "closed_by_client",
        /// The client's end of the socket closed or was reset without a close frame.
        Vanished = "vanished",
        /// The user left: exit, logout.
        Exit = "exit",
        /// The client sent nothing for `chat.dead_after`, and its socket was not full or accepted no bytes.
        Dead = "dead",
        /// The user was silent for longer than the idle settings allow.
        Idle = "idle",
        /// The socket accepted no bytes for `flush.write_timeout`.
        WriteTimeout = "write_timeout",
        /// A slow consumer: its cursor fell off the ring and its dialect cannot express a gap; or it kept reading and sent nothing for
        /// five times `chat.dead_after`; or too many bytes waited for its socket.
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
        /// The session is not, or is no longer, authorized.
        Unauthorized = "unauthorized",
        /// An administrator ended it.
        Kicked = "kicked",
        /// The server is stopping.
        Drain = "drain",
        /// An internal error of the server.
        Internal = "internal",
    }

    /// Why a request did not become a connection.
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
        /// The server has as many connections as allowed (503).
        Full = "full",
        /// The server is stopping (503).
        Draining = "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chat::ErrorCode, codec::detect::Why, word_set::Word};

    fn in_order_and_distinct<W: Word>() {
        let mut names: Vec<_> = W::WORDS.iter().map(|word| word.name()).collect();
        assert!(W::WORDS.iter().enumerate().all(|(index, word)| word.index() == index));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), W::WORDS.len());
    }

    #[test]
    fn every_reason_has_its_own_name_and_its_place() {
        in_order_and_distinct::<CloseReason>();
        in_order_and_distinct::<RejectReason>();
        in_order_and_distinct::<Why>();
        in_order_and_distinct::<ErrorCode>();
    }
}
