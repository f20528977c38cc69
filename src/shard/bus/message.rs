//! The messages between shards.

use std::sync::Arc;

use crate::chat::{
    Arrival, Departure, Lists, NewMessage, Page, Receiver, RequestId, Retry, RoomEntry, RoomName, SessionId, ShardId,
    Since, ToSession, UserId, UserName,
};
use crate::shard::bus::operator::OperatorRequest;
use crate::shard::event::{direct::DirectEvent, room::RoomEvent};

/// A message in a shard's inbox. Messages from one sender arrive in the order in which they were sent.
#[derive(Debug)]
pub(crate) enum ToShard {
    Owner(ToOwner),
    /// An event of a room that has members on this shard.
    Room(Arc<RoomEvent>),
    Session {
        session: SessionId,
        what: ToSession,
    },
    /// A direct message for all sessions of a user on this shard, except the sender's.
    Direct {
        user: UserId,
        except: SessionId,
        direct: Arc<DirectEvent>,
        /// Its in-flight bytes, which count in [`Directory::directs`](super::directory::Directory::directs) until it is
        /// delivered.
        bytes: usize,
    },
    TypingTo {
        user: UserId,
        from: UserName,
    },
    /// A message of the operator for all sessions of a user on this shard.
    SystemTo {
        user: UserId,
        text: Arc<str>,
    },
    /// A session has claimed this name with a key.
    Claimed {
        name: UserName,
    },
    /// One shard's part of the list of rooms.
    RoomsPart {
        listing: u32,
        rooms: Vec<RoomEntry>,
    },
    Operator(Box<OperatorRequest>),
    /// A readiness probe: the shard answers with its number.
    Probe(tokio::sync::oneshot::Sender<ShardId>),
    /// Close every connection with a goodbye.
    Drain,
    /// Stop reading, and answer whether nothing from this shard is in flight any more.
    Quiesce(std::sync::mpsc::Sender<bool>),
}

impl ToShard {
    /// The extra cost of handling this message: the number of stored messages in it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Session {
                what: ToSession::Admit(admission),
                ..
            } => admission.backlog.as_ref().map_or(0, |backlog| backlog.messages.len()),
            _ => 0,
        }
    }
}

/// A message to the owner of a room or of a pair of users.
#[derive(Debug)]
pub(crate) enum ToOwner {
    Room {
        room: RoomName,
        command: RoomCommand,
    },
    /// A direct message.
    Pair {
        to: Receiver,
        message: Box<NewMessage>,
    },
    /// Greet a connection with the list of users in the lobby.
    Greet {
        session: SessionId,
        peer: std::net::SocketAddr,
    },
    /// Answer with this shard's part of the list of rooms: at most `limit` rooms after the name `after`.
    Rooms {
        /// The shard that assembles the list, under the number `listing`.
        shard: ShardId,
        listing: u32,
        after: Option<String>,
        limit: usize,
    },
}

/// A request to the owner of a room.
#[derive(Debug)]
pub(crate) enum RoomCommand {
    Join {
        arrival: Box<Arrival>,
        id: RequestId,
        since: Since,
    },
    Leave {
        session: SessionId,
        how: Departure,
        id: RequestId,
    },
    Talk {
        message: Box<NewMessage>,
        retry: Retry,
    },
    /// A member has another name.
    Rename {
        session: SessionId,
        name: UserName,
    },
    /// The dialect of a member was detected; the fields are those of [`Arrival`].
    Describe {
        session: SessionId,
        sees_own_leave: bool,
        lists: Lists,
    },
    SetTopic {
        session: SessionId,
        id: RequestId,
        topic: Arc<str>,
    },
    Typing {
        session: SessionId,
    },
    /// A message of the operator.
    System {
        text: Arc<str>,
    },
    /// Answer with a page of the room's users.
    Users {
        session: SessionId,
        id: RequestId,
        page: Page,
    },
}
