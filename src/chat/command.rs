//! The commands of a session, for all dialects.

use std::sync::Arc;

use super::{ClientId, Conversation, Key, MessageKind, Position, RequestId, RoomName, Since, UserName, is_marked};

/// A command, and the id of its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub id: RequestId,
    pub command: Command,
}

/// A conversation that a client resumes after it reconnects.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeFrom {
    pub conversation: Conversation,
    /// The client has everything up to this position.
    pub position: Position,
}

/// The introduction of a session.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hello {
    /// `None`: the server chooses `guest-<n>`.
    pub name: Option<UserName>,
    /// The token of a server with authentication.
    pub token: Option<String>,
    /// The name key.
    pub key: Option<String>,
    /// Without an id, idempotency keys belong to the user.
    pub client: Option<ClientId>,
    /// Rooms to join at once, and conversations to resume.
    pub resume: Vec<ResumeFrom>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Entries after this name, ordered by name.
    pub after: Option<String>,
    /// Most entries; the codec has checked the bound.
    pub limit: usize,
    /// The order of the first page. Later pages are ordered by name.
    pub order: ListOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    Name,
    /// By arrival: the user who has been in the room longest is first.
    Arrival,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Names the session. The first message of the native protocol; older dialects put it into their handshake.
    Hello(Hello),
    Join {
        room: RoomName,
        since: Since,
    },
    Leave {
        room: RoomName,
    },
    /// Sends a message to a room.
    Talk {
        room: RoomName,
        /// The server never modifies the text.
        text: Arc<str>,
        kind: MessageKind,
        /// The idempotency key: a second message with the same key is not sent again.
        key: Option<Key>,
    },
    /// Sends a message to one user.
    Direct {
        to: UserName,
        text: Arc<str>,
        kind: MessageKind,
        /// The idempotency key: a second message with the same key is not sent again.
        key: Option<Key>,
    },
    Users {
        room: RoomName,
        page: Page,
    },
    Rooms {
        page: Page,
    },
    SetTopic {
        room: RoomName,
        /// At most [`crate::limits::TOPIC_CHARS`] characters.
        topic: Arc<str>,
    },
    Rename {
        name: UserName,
        key: Option<String>,
    },
    History {
        conversation: Conversation,
        /// The newest messages below this number.
        before: Option<u64>,
        /// The oldest messages above this number.
        after: Option<u64>,
        limit: usize,
    },
    Search {
        conversation: Conversation,
        text: Arc<str>,
        before: Option<u64>,
        limit: usize,
    },
    /// Moves the read marker: the user has read everything up to `seq`.
    Read {
        conversation: Conversation,
        seq: u64,
    },
    Unread,
    Typing {
        conversation: Conversation,
    },
    /// Watches a user. When the user's last session ends, the watcher gets [`super::Reply::PeerLeft`]. Replaces the previous watch. Has
    /// no answer.
    Watch {
        user: UserName,
    },
    Ping,
    /// Ends the session.
    Exit,
}

impl Command {
    /// The name in the command that belongs to the world of an app, if any. Only clients of that app may use it.
    pub(crate) fn marked_name(&self) -> Option<&str> {
        let name = match self {
            Self::Hello(hello) => {
                let named = hello.name.as_ref().map(UserName::as_str);
                let resumed = hello.resume.iter().map(|resume| resume.conversation.name());
                return named.into_iter().chain(resumed).find(|name| is_marked(name));
            }
            Self::Join { room, .. }
            | Self::Leave { room }
            | Self::Talk { room, .. }
            | Self::Users { room, .. }
            | Self::SetTopic { room, .. } => room.as_str(),
            Self::Direct { to: user, .. } | Self::Rename { name: user, .. } | Self::Watch { user } => user.as_str(),
            Self::History { conversation, .. }
            | Self::Search { conversation, .. }
            | Self::Read { conversation, .. }
            | Self::Typing { conversation } => conversation.name(),
            Self::Rooms { .. } | Self::Unread | Self::Ping | Self::Exit => return None,
        };
        is_marked(name).then_some(name)
    }

    /// Whether the rate limit (`chat.messages_per_second`) counts it. Joins and leaves are free; otherwise a client that enters many
    /// rooms at once would have to wait.
    pub(crate) fn is_rate_limited(&self) -> bool {
        match self {
            Self::Talk { .. } | Self::Direct { .. } | Self::SetTopic { .. } | Self::Rename { .. } => true,
            Self::Hello(_)
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Users { .. }
            | Self::Rooms { .. }
            | Self::History { .. }
            | Self::Search { .. }
            | Self::Read { .. }
            | Self::Unread
            | Self::Typing { .. }
            | Self::Watch { .. }
            | Self::Ping
            | Self::Exit => false,
        }
    }
}
