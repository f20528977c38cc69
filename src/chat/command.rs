//! What a session asks for, whatever dialect it speaks.

use std::sync::Arc;

use super::{ClientId, Conversation, Key, Position, RequestId, RoomName, Since, TalkKind, UserName, is_marked};

/// A command and the id that its reply names.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Named by the reply.
    pub id: RequestId,
    /// What is asked.
    pub command: Command,
}

/// One position in a hello.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeFrom {
    /// Which conversation.
    pub conversation: Conversation,
    /// Everything up to here is known to the client.
    pub position: Position,
}

/// How a session introduces itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hello {
    /// `None`: the server chooses `guest-<n>`.
    pub name: Option<UserName>,
    /// For servers that ask for authentication.
    pub token: Option<String>,
    /// The key of the name.
    pub key: Option<String>,
    /// Which client this is; `None`: it does not say, and its idempotency keys belong to the user.
    pub client: Option<ClientId>,
    /// Rooms to join at once, conversations to go on with.
    pub resume: Vec<ResumeFrom>,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Entries after this name, in the order of names.
    pub after: Option<String>,
    /// At most this many, already within the bounds.
    pub limit: usize,
    /// In which order the users of one whole list stand; further pages are always in the order of names.
    pub order: ListOrder,
}

/// The order of the users in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// By name.
    Name,
    /// The user who has been in the room longest comes first.
    Arrival,
}

/// What a session asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Names the session: the native protocol's first message, and what the handshakes of the others amount to.
    Hello(Hello),
    /// Becomes a member.
    Join {
        /// Which room.
        room: RoomName,
        /// Where to go on from.
        since: Since,
    },
    /// Stops being a member.
    Leave {
        /// Which room.
        room: RoomName,
    },
    /// Says something in a room.
    Talk {
        /// Which room.
        room: RoomName,
        /// What is said, as it is: never rewritten.
        text: Arc<str>,
        /// What kind of thing the text is.
        kind: TalkKind,
        /// Makes a repeated talk the same message.
        key: Option<Key>,
    },
    /// Says something to one user.
    Direct {
        /// To whom.
        to: UserName,
        /// What is said.
        text: Arc<str>,
        /// What kind of thing the text is.
        kind: TalkKind,
        /// Makes a repeated talk the same message.
        key: Option<Key>,
    },
    /// Who is in a room.
    Users {
        /// Which room.
        room: RoomName,
        /// Which part of the list.
        page: Page,
    },
    /// Which rooms there are.
    Rooms {
        /// Which part of the list.
        page: Page,
    },
    /// Sets the topic.
    SetTopic {
        /// Of which room.
        room: RoomName,
        /// At most [`crate::limits::TOPIC_CHARS`] characters.
        topic: Arc<str>,
    },
    /// Takes another name.
    Rename {
        /// The new one.
        name: UserName,
        /// The key of the new one.
        key: Option<String>,
    },
    /// Stored messages.
    History {
        /// Of what.
        conversation: Conversation,
        /// Messages below this seq, newest first to be cut.
        before: Option<u64>,
        /// Messages above this seq, oldest first to be cut.
        after: Option<u64>,
        /// At most this many.
        limit: usize,
    },
    /// Stored messages that hold a text.
    Search {
        /// In what.
        conversation: Conversation,
        /// The text to find.
        text: Arc<str>,
        /// Below this seq.
        before: Option<u64>,
        /// At most this many.
        limit: usize,
    },
    /// Everything up to `seq` has been read.
    Read {
        /// In what.
        conversation: Conversation,
        /// The last message read.
        seq: u64,
    },
    /// The conversations with something unread.
    Unread,
    /// The user is typing.
    Typing {
        /// Where.
        conversation: Conversation,
    },
    /// Asks to be told when the last session of this user ends ([`super::Reply::PeerWent`]), each time; replaces the watch
    /// before. Not answered.
    Watch {
        /// Whom.
        user: UserName,
    },
    /// Answered by [`super::Reply::Pong`].
    Ping,
    /// Ends the session.
    Exit,
}

impl Command {
    /// A name in it that belongs to the world of an app, which only the clients of that app may say.
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

    /// Whether it counts for `chat.messages_per_second`. Comings and goings do not: who enters many rooms at once would wait.
    pub(crate) fn is_said(&self) -> bool {
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
