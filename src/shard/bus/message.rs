//! What shards say to each other.

use std::sync::Arc;

use crate::chat::{
    Arrival, Departure, Lists, Page, RequestId, Retry, RoomEntry, RoomName, SessionId, ShardId, Since, ToSession,
    UserName, Utterance,
};
use crate::shard::{direct::event::DirectEvent, room::event::RoomEvent};

/// A message in a shard's inbox. Messages of one sender arrive in the order they were sent.
#[derive(Debug)]
pub(crate) enum ToShard {
    /// To the home of a room, or of a pair of users.
    Home(ToHome),
    /// Something happened in a room that has members here.
    Room(Arc<RoomEvent>),
    /// Something for one session here.
    Session {
        /// Which one.
        session: SessionId,
        /// What.
        what: ToSession,
    },
    /// All sessions of a user here, but one, are told this.
    Direct {
        /// Which user.
        user: UserName,
        /// The session that said it.
        except: SessionId,
        /// What.
        direct: Arc<DirectEvent>,
        /// What it counts in [`crate::shard::bus::directory::Directory::directs`] until it has been handed out.
        bytes: usize,
    },
    /// Somebody is typing to this user.
    TypingTo {
        /// Which user.
        user: UserName,
        /// Who is typing.
        from: UserName,
    },
    /// The operator says something to all sessions of a user here.
    SystemTo {
        /// Which user.
        user: UserName,
        /// What.
        text: Arc<str>,
    },
    /// Somebody has claimed this name.
    Claimed {
        /// Which.
        name: UserName,
    },
    /// A part of the list of rooms.
    RoomsPart {
        /// Which gathering it belongs to.
        gathering: u32,
        /// The rooms of one shard.
        rooms: Vec<RoomEntry>,
    },
    /// The operator, or a page that tells of rooms, asks something.
    Admin(Box<crate::shard::engine::orders::Order>),
    /// A readiness probe: answered by dropping the sender's other half after a word.
    Probe(tokio::sync::oneshot::Sender<ShardId>),
    /// Say goodbye to everybody.
    Drain,
    /// The server is about to end: read no more, and say whether nothing is underway from there any more.
    Quiesce(std::sync::mpsc::Sender<bool>),
}

/// A message to the home of a room.
#[derive(Debug)]
pub(crate) enum ToHome {
    /// A session wants to be a member.
    Join {
        /// Which room.
        room: RoomName,
        /// Who.
        arrival: Box<Arrival>,
        /// Its request.
        id: RequestId,
        /// Where it goes on from.
        since: Since,
    },
    /// A session stops being a member.
    Leave {
        /// Which room.
        room: RoomName,
        /// Which session.
        session: SessionId,
        /// On purpose or not.
        how: Departure,
        /// Its request.
        id: RequestId,
    },
    /// A member says something.
    Talk {
        /// Which room.
        room: RoomName,
        /// What.
        said: Box<Utterance>,
        /// Whether this is the first of the talks that the session held back because the home was busy.
        retry: Retry,
    },
    /// A member takes another name.
    Rename {
        /// Which room.
        room: RoomName,
        /// Which session.
        session: SessionId,
        /// The new name.
        name: UserName,
    },
    /// The dialect of a member has shown: what the room has to know of it.
    Describe {
        /// Which room.
        room: RoomName,
        /// Which session.
        session: SessionId,
        /// See [`Arrival`].
        sees_own_going: bool,
        /// See [`Arrival`].
        lists: Lists,
    },
    /// A member sets the topic.
    SetTopic {
        /// Which room.
        room: RoomName,
        /// Which session.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// The topic.
        topic: Arc<str>,
    },
    /// A member is typing.
    Typing {
        /// Which room.
        room: RoomName,
        /// Which session.
        session: SessionId,
    },
    /// The operator says something to a room.
    System {
        /// Which room.
        room: RoomName,
        /// What.
        text: Arc<str>,
    },
    /// Who is in a room.
    Users {
        /// Which room.
        room: RoomName,
        /// Which session asks.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// Which part.
        page: Page,
    },
    /// A connection is to be greeted with the list of the lobby.
    Greet {
        /// Which one.
        session: SessionId,
        /// Where it comes from.
        peer: std::net::SocketAddr,
    },
    /// Which rooms live here.
    Rooms {
        /// Who gathers them.
        shard: ShardId,
        /// For which gathering.
        gathering: u32,
        /// After this name.
        after: Option<String>,
        /// At most this many.
        limit: usize,
    },
    /// A user says something to one other.
    Direct {
        /// To whom.
        to: UserName,
        /// What.
        said: Box<Utterance>,
    },
}

impl ToHome {
    /// The room it is about.
    pub(crate) fn room(&self) -> Option<&RoomName> {
        match self {
            Self::Join { room, .. }
            | Self::Leave { room, .. }
            | Self::Talk { room, .. }
            | Self::Rename { room, .. }
            | Self::Describe { room, .. }
            | Self::SetTopic { room, .. }
            | Self::Typing { room, .. }
            | Self::System { room, .. }
            | Self::Users { room, .. } => Some(room),
            Self::Greet { .. } | Self::Rooms { .. } | Self::Direct { .. } => None,
        }
    }
}
