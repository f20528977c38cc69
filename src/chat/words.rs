//! The types that commands and events share.

use std::{fmt, sync::Arc};

use super::{RoomName, UserName};

/// The `id` of a client's request, which the reply repeats. `None`: the client wants no acknowledgement.
pub type RequestId = Option<std::num::NonZeroU64>;

/// An idempotency key: at most [`crate::limits::KEY_BYTES`] bytes, never empty.
pub type Key = Arc<str>;

/// A place in which messages are numbered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Conversation {
    Room(RoomName),
    /// The direct conversation of the asking user with this one.
    Peer(UserName),
}

impl Conversation {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Room(room) => room.as_str(),
            Self::Peer(user) => user.as_str(),
        }
    }
}

/// The short tag of a session, shown beside equal names: eight hexadecimal digits, unique until the server restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionTag(pub u32);

/// How a client shows the text of a message. The server never interprets the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MessageKind {
    #[default]
    Text,
    /// The address of an image, or an image encoded as text.
    Image,
    /// As [`MessageKind::Image`], for a video.
    Video,
    /// As [`MessageKind::Image`], for a voice message.
    Voice,
}

impl fmt::Display for SessionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
