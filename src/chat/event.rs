//! Events for the members of a room ([`Happening`]) and for single sessions ([`Reply`]), for all dialects.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Conversation, GoodbyeCode, MessageKind, Position, Receiver, Refusal, RoomName, Seq, SessionTag, UserId, UserName,
};

/// Parts of the sender's request that clients of the same dialect see again. They are not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The client's id of the request: `seq` in document 003, and `msgId` of the push.
    pub request: Box<str>,
    /// The client's word for the kind, if it differs from the name of the [`MessageKind`].
    pub kind: Option<Box<str>>,
}

/// A numbered message.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    /// The epoch of `seq` and `prev`.
    pub epoch: u64,
    pub seq: Seq,
    /// The number of the message before it.
    pub prev: Seq,
    /// Unix milliseconds.
    pub at: u64,
    /// The sender's name, as it is displayed.
    pub from: UserName,
    pub user: UserId,
    pub session: SessionTag,
    pub text: Arc<str>,
    pub kind: MessageKind,
    /// `None` in a message that was read from the store.
    pub echo: Option<Arc<Echo>>,
}

/// A numbered message of a direct conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Direct {
    /// The receiver; the sender is in `message`.
    pub to: Receiver,
    /// The message, numbered in the log of the pair.
    pub message: ChatMessage,
}

/// Users of a room.
#[derive(Debug, Clone, PartialEq)]
pub struct UserList {
    /// The number of users in the room, exact.
    pub online: u32,
    /// Each user once; cut at the presence limit in large rooms.
    pub names: Arc<[UserName]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// On purpose: leave, exit, logout.
    Requested,
    /// The connection ended: closed, timed out, kicked, cut off.
    Disconnected,
    /// The session took the name of another user in the room.
    Merged,
}

/// An event in a room. Every member sees it; the server encodes it once per encoding.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    Message(ChatMessage),
    /// A user's first session joined.
    UserJoined {
        user: UserName,
        online: u32,
        /// Increases with every change of the roster.
        version: u64,
        /// In the order of arrival; present if a member's dialect shows lists with joins and leaves.
        users: Option<UserList>,
    },
    /// A user's last session left.
    UserLeft {
        user: UserName,
        how: Departure,
        online: u32,
        /// Increases with every change of the roster.
        version: u64,
        users: Option<UserList>,
    },
    Renamed {
        old: UserName,
        new: UserName,
        /// The renamed session.
        session: SessionTag,
        online: u32,
        users: Option<UserList>,
    },
    /// The users who joined and left a large room since the last digest.
    Digest {
        online: u32,
        /// Increases with every change of the roster.
        version: u64,
        /// The number of users who joined since the last digest.
        joined: u32,
        left: u32,
        /// For dialects whose notices need a name.
        last_joined: Option<UserName>,
        last_left: Option<UserName>,
        sample: Arc<[UserName]>,
        users: Option<UserList>,
    },
    /// The changed user list. Only for members whose dialect has no other way to learn it (`Lists::OnChange`).
    Roster {
        /// In the order of names; cut in large rooms.
        users: UserList,
    },
    Topic {
        topic: Arc<str>,
        from: UserName,
    },
    Typing {
        from: UserName,
    },
    /// A message from the operator.
    System {
        text: Arc<str>,
    },
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    pub session: SessionTag,
    pub name: UserName,
    /// The key with which this hello has just claimed the name.
    pub key: Option<String>,
    pub heartbeat: Duration,
    /// The server's clock, Unix milliseconds.
    pub at: u64,
    /// The client's address, which `tutorial` shows.
    pub peer: SocketAddr,
}

/// The answer to a join.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    pub room: RoomName,
    pub head: Position,
    /// A replay begins after this number. Equals `head.seq` if there is none.
    pub from: Seq,
    pub online: u32,
    pub topic: Arc<str>,
    pub history: bool,
    /// The user's read marker; `None` if the join did not need it or the store could not read it.
    pub read: Option<Seq>,
}

/// A page of stored messages.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPage {
    pub conversation: Conversation,
    pub epoch: u64,
    /// In the requested order.
    pub messages: Vec<ChatMessage>,
    /// Whether there are more messages in that direction.
    pub more: bool,
    /// The oldest stored number.
    pub first: Seq,
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomEntry {
    pub name: RoomName,
    pub topic: Arc<str>,
    pub online: u32,
}

/// A conversation with unread messages.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadEntry {
    pub conversation: Conversation,
    /// The epoch of `read` and `head`.
    pub epoch: u64,
    pub read: Seq,
    pub head: Seq,
    /// Messages from other users between `read` and `head`.
    pub unread: u64,
}

/// Conversations with unread messages.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadPage {
    /// Direct conversations first, then rooms; each kind with the newest message first.
    pub entries: Vec<UnreadEntry>,
    pub more: bool,
}

/// An event for one session.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Greets a connection before it has a name (`tutorial`, `action`).
    Greeting {
        peer: SocketAddr,
        /// The users in the lobby.
        users: UserList,
    },
    Welcome(Box<Welcome>),
    Joined(Box<Joined>),
    Left {
        room: RoomName,
    },
    /// A message of a room that this session missed, from the ring or the store.
    Replayed {
        room: RoomName,
        message: Arc<ChatMessage>,
    },
    /// A direct message, to or from this user.
    Direct(Arc<Direct>),
    /// The answer to a message.
    Ack {
        position: Position,
        /// Unix milliseconds.
        at: u64,
        /// The key was used before. The position is that of the first copy, and the server sent nothing again.
        duplicate: bool,
    },
    UserPage {
        room: RoomName,
        users: UserList,
        /// Where the next page begins, if there is one.
        next: Option<UserName>,
    },
    RoomPage {
        rooms: Vec<RoomEntry>,
        /// Where the next page begins, if there is one.
        next: Option<RoomName>,
    },
    /// The answer to a set-topic; the room's members see [`Happening::Topic`].
    TopicSet {
        room: RoomName,
        topic: Arc<str>,
    },
    /// The answer to a rename; the rooms' members see [`Happening::Renamed`].
    Renamed {
        old: UserName,
        new: UserName,
        session: SessionTag,
        /// The key with which this rename has claimed the new name.
        key: Option<String>,
    },
    History(Box<HistoryPage>),
    /// The answer to a search.
    Search {
        /// Newest first.
        page: Box<HistoryPage>,
        next: Option<Seq>,
    },
    ReadMark {
        conversation: Conversation,
        seq: Seq,
        /// Messages from other users above the marker.
        unread: u64,
    },
    UnreadList(UnreadPage),
    /// A user is typing to this user.
    TypingTo {
        from: UserName,
    },
    /// The user that this session watches ([`super::Command::Watch`]) has left.
    PeerLeft {
        user: UserName,
    },
    /// Messages that the server skips for this session, both ends included.
    Gap {
        conversation: Conversation,
        epoch: u64,
        from: Seq,
        to: Seq,
        /// Whether the server no longer has these messages.
        lost: bool,
    },
    /// A message from the server to this session.
    System {
        text: Arc<str>,
    },
    Pong {
        /// Unix milliseconds.
        at: u64,
    },
    Error(Refusal),
    /// The last message before the server closes the connection.
    Goodbye {
        /// From the table of goodbyes in `docs/errors.md`.
        code: GoodbyeCode,
        text: Arc<str>,
        /// When the client should reconnect, if at all.
        retry_after: Option<Duration>,
    },
}
