//! The reasons for which connections end.

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The peer sent a close frame.
    Peer,
    /// The user sent `exit`.
    Exit,
    /// The peer broke RFC 6455 (1002).
    Violation,
    /// A text was not UTF-8 (1007).
    NotUtf8,
    /// A message was longer than its dialect allows (1009).
    TooLarge,
    /// The peer began a message and did not finish it in time.
    Unfinished,
    /// The client sent a message that its dialect answers with nothing but a close.
    Refused,
    /// No bytes arrived for too long.
    Timeout,
    /// The user sent no message for too long.
    Idle,
    /// The full socket accepted no bytes for too long.
    WriteTimeout,
    /// A slow consumer, whose dialect has no message for a gap.
    Slow,
    /// The owner of a room stayed busy for longer than the server may pause a sender.
    Busy,
    /// Its unsent replies exceeded the limit of a connection.
    Overrun,
    /// The server shut down.
    Draining,
    /// The operator ended it.
    Disconnected,
    /// The socket failed, or was closed without a close frame.
    Reset,
    /// The peer did not close the connection after the server's close frame.
    Lingered,
}

impl End {
    /// Whether the server resets the socket, which drops unsent bytes: the peer takes no bytes or is dead, so a close frame would
    /// not reach it.
    pub(super) const fn resets(self) -> bool {
        match self {
            Self::WriteTimeout | Self::Overrun | Self::Timeout => true,
            Self::Peer
            | Self::Exit
            | Self::Violation
            | Self::NotUtf8
            | Self::TooLarge
            | Self::Unfinished
            | Self::Refused
            | Self::Idle
            | Self::Slow
            | Self::Busy
            | Self::Draining
            | Self::Disconnected
            | Self::Reset
            | Self::Lingered => false,
        }
    }
}
