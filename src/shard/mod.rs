//! One core: its inbox, its connections, its copies of the rooms' logs, flush and pacing, and its timer wheel.
//!
//! Reading order: `message` (what shards say to each other), `inbox` (how), `engine` and its parts `reading` (bytes to
//! messages), `uncertain` (members whose dialect is not known yet), `session` (messages to
//! commands), `deferring` (commands that wait), `homing` (commands to events) and `directs`, `rooms` (events to members), `flush` (events
//! to sockets), `replies`, `ending`, `draining` and `timers`; `stored`, `opening`, `names`, `replay`, `mail` and `questions` stand
//! between the engine and the store; `run` puts it on a thread, with `poller` for its sockets.

mod admin;
mod arriving;
#[doc(hidden)]
pub mod bench;
mod connection;
mod deferring;
mod device;
mod directory;
mod directs;
mod draining;
mod ending;
mod engine;
mod event;
mod flush;
mod homing;
mod inbox;
mod log;
mod mail;
mod message;
mod names;
mod opening;
mod pace;
mod pairs;
mod poller;
mod questions;
mod reading;
mod receipts;
mod replay;
mod replies;
mod report;
mod rooms;
mod run;
mod session;
mod settings;
mod shards;
mod stats;
mod stored;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timers;
mod transport;
mod uncertain;
mod wheel;

pub use settings::{MessageRate, Settings, SharedRate};

pub(crate) use admin::{Order, SessionEntry, Unanswered};
pub(crate) use arriving::{Arrived, Arriving};
pub(crate) use engine::Observer;
pub(crate) use message::ToShard;
pub(crate) use report::Reporter;
pub(crate) use run::{Local, Newcomers, run};
pub(crate) use shards::Shards;
pub(crate) use stored::{Store, Ticket};

/// Why a connection ended; the name is the label in metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The peer sent a close frame.
    Peer,
    /// The user said exit.
    Exit,
    /// The peer broke RFC 6455 (1002).
    Violation,
    /// A text was not UTF-8 (1007).
    NotUtf8,
    /// A message was beyond the bounds of its dialect (1009).
    TooLarge,
    /// A message was begun and not finished.
    Unfinished,
    /// The dialect had no other answer to a message than a close.
    Refused,
    /// Nothing came for too long.
    Timeout,
    /// The user said nothing for too long.
    Idle,
    /// The socket took nothing for too long.
    WriteTimeout,
    /// The member was too far behind, and its dialect has no words for a gap.
    Slow,
    /// The server was busy for longer than the sender could be made to wait.
    Busy,
    /// More replies waited than a connection may hold.
    Overrun,
    /// The server went down.
    Draining,
    /// The operator ended it.
    Disconnected,
    /// The socket failed, or was closed without a close frame.
    Reset,
    /// The peer did not close after it was told goodbye.
    Lingered,
}

impl End {
    /// The label in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Exit => "exit",
            Self::Violation => "violation",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
            Self::Unfinished => "unfinished",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Idle => "idle",
            Self::WriteTimeout => "write_timeout",
            Self::Slow => "slow",
            Self::Busy => "busy",
            Self::Overrun => "overrun",
            Self::Draining => "draining",
            Self::Disconnected => "disconnected",
            Self::Reset => "reset",
            Self::Lingered => "lingered",
        }
    }

    /// Whether what was not sent is thrown away: no close frame passes a full socket.
    const fn resets(self) -> bool {
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
