//! What the operator, and the few pages that show rooms, ask of a shard: an [`OperatorRequest`] in its inbox, with the way back for the answer.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::chat::{
    ConnectionSlot, Page, RoomDetails, RoomEntry, RoomName, SessionId, SessionTag, TooManyRooms, UserList, UserName,
};

/// The way back for an answer.
pub(crate) type ReplySender<T> = oneshot::Sender<T>;

/// What a shard is asked.
#[derive(Debug)]
pub(crate) enum OperatorRequest {
    Rooms(OperatorRoomRequest),
    /// A message of the server to every session of the shard. How many there were.
    SayToAll {
        text: Arc<str>,
        answer: ReplySender<usize>,
    },
    /// Connections from this slot on.
    Sessions {
        slot: ConnectionSlot,
        user: Option<UserName>,
        limit: usize,
        answer: ReplySender<Vec<SessionEntry>>,
    },
    /// Ends one session. Whether it was there.
    Disconnect {
        session: SessionId,
        answer: ReplySender<bool>,
    },
    /// Ends all sessions of a user on this shard. How many there were.
    DisconnectUser {
        user: UserName,
        answer: ReplySender<usize>,
    },
}

/// What the owner of rooms is asked.
#[derive(Debug)]
pub(crate) enum OperatorRoomRequest {
    /// The first rooms after a name, one more than fit tells that there are more.
    Rooms {
        after: Option<String>,
        limit: usize,
        answer: ReplySender<Vec<RoomEntry>>,
    },
    /// The names of rooms that are groups: with this prefix, or one of these.
    Groups {
        prefix: String,
        limit: usize,
        answer: ReplySender<Vec<RoomName>>,
    },
    /// One room.
    Room {
        room: RoomName,
        page: Page,
        answer: ReplySender<Option<RoomDetails>>,
    },
    /// Who is in a room, cut as lists for older clients are.
    Roster {
        room: RoomName,
        answer: ReplySender<UserList>,
    },
    /// The room is to be there, with this topic and these members where they are given. Whether it is new.
    Keep {
        room: RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
        answer: ReplySender<Result<bool, TooManyRooms>>,
    },
    /// Everybody is to leave the room, and the room to go. How many sessions were in it.
    Close {
        room: RoomName,
        answer: ReplySender<Option<usize>>,
    },
    /// A message of the server to everybody in a room. How many users were in it.
    Say {
        room: RoomName,
        text: Arc<str>,
        answer: ReplySender<Option<u32>>,
    },
}

/// A connection as its operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    /// Absent until it has said who it is.
    pub(crate) user: Option<(UserName, SessionTag)>,
    pub(crate) dialect: &'static str,
    pub(crate) peer: SocketAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) connected: Duration,
    /// Since the user last said something.
    pub(crate) quiet: Duration,
}

impl From<OperatorRoomRequest> for OperatorRequest {
    fn from(request: OperatorRoomRequest) -> Self {
        Self::Rooms(request)
    }
}
