//! A shard: one core's connections, members of rooms, owned rooms and pairs, inbox and timers.
//!
//! From the bottom up; each folder may use those before it (`tests/architecture` enforces this):
//! - `event`: events of rooms and direct messages, with their encoded frames
//! - `bus`: messages between shards, inboxes, and the directory of online users
//! - `connection`: bytes to commands, replies to bytes
//! - `store`: the shard's side of the store, and the rules of names
//! - `room`: members, ring, fan-out, pacing, replay
//! - `owner`: commands to events, for the rooms and pairs that this shard owns
//! - `direct`: live direct messages and offline messages
//! - `session`: the rules that turn a request into an action
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
    /// The dialect answers such a message only with a close.
    Refused,
    /// No bytes arrived for too long.
    Timeout,
    /// The user sent no message for too long.
    Idle,
    /// The full socket accepted no bytes for too long.
    WriteTimeout,
    /// A slow consumer, whose dialect has no message for a gap.
    Slow,
    /// The owner of a room was busy for longer than a sender may be paused.
    Busy,
    /// More bytes of replies waited than a connection may hold.
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
    /// Whether the socket is reset and unsent bytes are dropped: no close frame passes a full socket.
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
