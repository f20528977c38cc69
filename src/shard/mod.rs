//! One core: its connections, its copies of rooms, the rooms and pairs that it owns, its inbox and its timers.
//!
//! - `bus`: what shards say to each other, and how
//! - `connection`: bytes to commands, replies to bytes
//! - `room`: members, ring, fan-out, pacing, replay
//! - `owner`: commands to events, for the rooms and pairs that this shard orders
//! - `direct`: direct messages to sessions, and offline messages
//! - `store`: between a shard and the store
//! - `session`: what requests lead to
//! - `engine`: connects the parts; turns, timers, drain
//! - `runtime`: the thread, its sockets, and the handle for other threads

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod bus;
mod connection;
mod direct;
mod engine;
mod frames;
mod ids;
mod owner;
mod parts;
mod per_connection;
mod rate_limit;
mod room;
mod runtime;
mod session;
mod settings;
mod stats;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;

pub use rate_limit::{MessageRate, SharedRate};
pub use settings::Settings;

pub(crate) use bus::{
    message::ToShard,
    operator::{OperatorRequest, OperatorRoomRequest, SessionEntry},
};
pub(crate) use owner::Observer;
pub(crate) use runtime::{
    handle::{Shards, Unanswered},
    newcomers::{Arrived, Arriving},
    report::Reporter,
    thread::{Local, Newcomers, run},
};
pub(crate) use store::{port::StorePort, ticket::Ticket};

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
