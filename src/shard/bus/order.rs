//! What the operator, and the few pages that show rooms, ask of a shard: an [`Order`] in its inbox, with the way back for the answer.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::chat::{
    ConnectionSlot, Page, RoomDetails, RoomEntry, RoomName, SessionId, SessionTag, TooManyRooms, UserList, UserName,
};

/// The way back for an answer.
pub(crate) type OrderReply<T> = oneshot::Sender<T>;

/// What a shard is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Rooms(RoomOrder),
    /// A message of the server to every session of the shard. How many there were.
    SayToAll {
        text: Arc<str>,
        answer: OrderReply<usize>,
    },
    /// Connections from this slot on.
    Sessions {
        slot: ConnectionSlot,
        user: Option<UserName>,
        limit: usize,
        answer: OrderReply<Vec<SessionEntry>>,
    },
    /// Ends one session. Whether it was there.
    Disconnect {
        session: SessionId,
        answer: OrderReply<bool>,
    },
    /// Ends all sessions of a user on this shard. How many there were.
    DisconnectUser {
        user: UserName,
        answer: OrderReply<usize>,
    },
}

/// What the owner of rooms is asked.
#[derive(Debug)]
pub(crate) enum RoomOrder {
    /// The first rooms after a name, one more than fit tells that there are more.
    Rooms {
        after: Option<String>,
        limit: usize,
        answer: OrderReply<Vec<RoomEntry>>,
    },
    /// The names of rooms that are groups: with this prefix, or one of these.
    Groups {
        prefix: String,
        limit: usize,
        answer: OrderReply<Vec<RoomName>>,
    },
    /// One room.
    Room {
        room: RoomName,
        page: Page,
        answer: OrderReply<Option<RoomDetails>>,
    },
    /// Who is in a room, cut as lists for older clients are.
    Roster {
        room: RoomName,
        answer: OrderReply<UserList>,
    },
    /// The room is to be there, with this topic and these members where they are given. Whether it is new.
    Keep {
        room: RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
        answer: OrderReply<Result<bool, TooManyRooms>>,
    },
    /// Everybody is to leave the room, and the room to go. How many sessions were in it.
    Close {
        room: RoomName,
        answer: OrderReply<Option<usize>>,
    },
    /// A message of the server to everybody in a room. How many users were in it.
    Say {
        room: RoomName,
        text: Arc<str>,
        answer: OrderReply<Option<u32>>,
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

impl From<RoomOrder> for Order {
    fn from(order: RoomOrder) -> Self {
        Self::Rooms(order)
    }
}
