//! What shards say to each other.

use std::sync::Arc;

use crate::chat::{
    Arrival, Departure, Lists, NewMessage, Page, RequestId, Retry, RoomEntry, RoomName, SessionId, ShardId, Since,
    ToSession, UserName,
};
use crate::shard::bus::operator::OperatorRequest;
use crate::shard::{direct::event::DirectEvent, room::event::RoomEvent};

/// A message in a shard's inbox. Messages of one sender arrive in the order they were sent.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// To the owner of a room, or of a pair of users.
    Owner(ToOwner),
    /// Something happened in a room that has members here.
    Room(Arc<RoomEvent>),
    /// Something for one session here.
    Session { session: SessionId, what: ToSession },
    /// All sessions of a user here, but one, are told this.
    Direct {
        user: UserName,
        /// The session that said it.
        except: SessionId,
        direct: Arc<DirectEvent>,
        /// What it counts in [`crate::shard::bus::directory::Directory::directs`] until it has been handed out.
        bytes: usize,
    },
    /// Somebody is typing to this user.
    TypingTo { user: UserName, from: UserName },
    /// The operator says something to all sessions of a user here.
    SystemTo { user: UserName, text: Arc<str> },
    /// Somebody has claimed this name.
    Claimed { name: UserName },
    /// A part of the list of rooms.
    RoomsPart {
        /// Which list it belongs to.
        listing: u32,
        /// The rooms of one shard.
        rooms: Vec<RoomEntry>,
    },
    /// The operator, or a page that tells of rooms, asks something.
    Operator(Box<OperatorRequest>),
    /// A readiness probe: answered by dropping the sender's other half after a word.
    Probe(tokio::sync::oneshot::Sender<ShardId>),
    /// Say goodbye to everybody.
    Drain,
    /// The server is about to end: read no more, and say whether no answer from there is in flight.
    Quiesce(std::sync::mpsc::Sender<bool>),
}

/// A message to the owner of a room or of a pair of users.
#[derive(Debug)]
pub(crate) enum ToOwner {
    /// A command about a room.
    Room { room: RoomName, command: RoomCommand },
    /// A user says something to one other.
    Pair { to: UserName, message: Box<NewMessage> },
    /// A connection is to be greeted with the list of the lobby.
    Greet {
        session: SessionId,
        peer: std::net::SocketAddr,
    },
    /// A part of the list of all rooms: at most `limit` after this name.
    Rooms {
        /// The shard that puts the list together.
        shard: ShardId,
        /// Which of its lists.
        listing: u32,
        after: Option<String>,
        limit: usize,
    },
}

/// What is asked of the owner of a room.
#[derive(Debug)]
pub(crate) enum RoomCommand {
    /// A session wants to be a member.
    Join {
        arrival: Box<Arrival>,
        id: RequestId,
        since: Since,
    },
    /// A session stops being a member.
    Leave {
        session: SessionId,
        how: Departure,
        id: RequestId,
    },
    /// A member says something.
    Talk { message: Box<NewMessage>, retry: Retry },
    /// A member takes another name.
    Rename { session: SessionId, name: UserName },
    /// The dialect of a member was detected. See [`Arrival`] for what the room has to know of it.
    Describe {
        session: SessionId,
        sees_own_going: bool,
        lists: Lists,
    },
    /// A member sets the topic.
    SetTopic {
        session: SessionId,
        id: RequestId,
        topic: Arc<str>,
    },
    /// A member is typing.
    Typing { session: SessionId },
    /// The operator says something to the room.
    System { text: Arc<str> },
    /// Who is in the room.
    Users {
        session: SessionId,
        id: RequestId,
        page: Page,
    },
}
