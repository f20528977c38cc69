//! Requests to a shard from the operator's HTTP API and from the few pages that show rooms. Each carries the sender for its
//! answer.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::chat::{
    ConnectionSlot, Page, RoomDetails, RoomEntry, RoomName, SessionId, SessionTag, TooManyRooms, UserList, UserName,
};

pub(crate) type ReplySender<T> = oneshot::Sender<T>;

#[derive(Debug)]
pub(crate) enum OperatorRequest {
    Rooms(OperatorRoomRequest),
    /// Send a message of the server to every session of the shard; the answer is their number.
    SayToAll {
        text: Arc<str>,
        answer: ReplySender<usize>,
    },
    /// List connections from this slot on.
    Sessions {
        slot: ConnectionSlot,
        user: Option<UserName>,
        limit: usize,
        answer: ReplySender<Vec<SessionEntry>>,
    },
    /// End one session; the answer says whether it existed.
    Disconnect {
        session: SessionId,
        answer: ReplySender<bool>,
    },
    /// End all sessions of a user on this shard; the answer is their number.
    DisconnectUser {
        user: UserName,
        answer: ReplySender<usize>,
    },
}

/// A request to the owner of rooms.
#[derive(Debug)]
pub(crate) enum OperatorRoomRequest {
    /// List the first rooms after a name. The answer has one entry more than `limit` if there are more.
    Rooms {
        after: Option<String>,
        limit: usize,
        answer: ReplySender<Vec<RoomEntry>>,
    },
    /// List the rooms whose names have this prefix.
    Groups {
        prefix: String,
        limit: usize,
        answer: ReplySender<Vec<RoomName>>,
    },
    Room {
        room: RoomName,
        page: Page,
        answer: ReplySender<Option<RoomDetails>>,
    },
    /// List the users of a room, truncated like the lists that older clients get.
    Roster {
        room: RoomName,
        answer: ReplySender<UserList>,
    },
    /// Keep the room open without members, and set its topic and its access list if they are present. The answer says whether
    /// the room is new.
    Keep {
        room: RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
        answer: ReplySender<Result<bool, TooManyRooms>>,
    },
    /// Remove all members and the room; the answer is the number of sessions that were in it.
    Close {
        room: RoomName,
        answer: ReplySender<Option<usize>>,
    },
    /// Send a message of the server to the room; the answer is the number of its users.
    Say {
        room: RoomName,
        text: Arc<str>,
        answer: ReplySender<Option<u32>>,
    },
}

/// A connection as the operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    /// `None` while the connection has no name.
    pub(crate) user: Option<(UserName, SessionTag)>,
    pub(crate) dialect: &'static str,
    pub(crate) peer: SocketAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) connected: Duration,
    /// Time since the user's last message.
    pub(crate) quiet: Duration,
}

impl From<OperatorRoomRequest> for OperatorRequest {
    fn from(request: OperatorRoomRequest) -> Self {
        Self::Rooms(request)
    }
}
