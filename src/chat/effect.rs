//! What goes into the home of a room besides plain names, and what comes out of it.

use std::{rc::Rc, sync::Arc};

use super::{
    ClientId, Echo, Happening, Joined, Key, KeyOwner, LostInterval, Position, Refusal, Reply, RequestId, RoomName, Seq,
    SessionId, SessionTag, ShardId, Talk, TalkKind, UserName,
};

/// A session that wants to be a member.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which session.
    pub session: SessionId,
    /// Its user.
    pub user: UserName,
    /// Its tag.
    pub tag: SessionTag,
    /// Whether it sees the notice of its own coming.
    pub sees_own_coming: bool,
    /// Whether it sees the notice of its own going.
    pub sees_own_going: bool,
    /// When it is sent the list of users without asking.
    pub lists: Lists,
}

/// When a member is sent the list of its room's users without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    /// Never.
    #[default]
    OnRequest,
    /// As a part of every notice of presence.
    WithNotices,
    /// By itself, whenever it has changed, at most 1 KiB a second ([`Happening::Roster`]).
    OnChange,
}

/// Something said in a room, not yet numbered.
#[derive(Debug, Clone, PartialEq)]
pub struct Utterance {
    /// The session that said it.
    pub session: SessionId,
    /// Its request.
    pub id: RequestId,
    /// Its user.
    pub from: UserName,
    /// Its tag.
    pub tag: SessionTag,
    /// Its client, where that said which one it is.
    pub client: Option<ClientId>,
    /// What was said.
    pub text: Arc<str>,
    /// What kind of thing the text is.
    pub kind: TalkKind,
    /// Makes a repeated talk the same message.
    pub key: Option<Key>,
    /// For clients of the sender's own dialect.
    pub echo: Option<Arc<Echo>>,
}

impl Utterance {
    /// The message with its number.
    pub(crate) fn numbered(self, position: Position, prev: Seq, at: u64) -> Talk {
        Talk {
            epoch: position.epoch,
            seq: position.seq,
            prev,
            at,
            from: self.from,
            session: self.tag,
            text: self.text,
            kind: self.kind,
            echo: self.echo,
        }
    }

    /// Whose its idempotency key is.
    pub(super) fn key_owner(&self) -> KeyOwner {
        KeyOwner::of(self.client, &self.from)
    }
}

/// Who asked for what an event tells, so that the asker's shard can acknowledge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Which session.
    pub session: SessionId,
    /// Its request.
    pub id: RequestId,
}

/// What follows from a command, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Every member on these shards is to see this.
    Tell {
        /// In which room.
        room: RoomName,
        /// The shards that have members.
        shards: Rc<[ShardId]>,
        /// What happened.
        happening: Happening,
        /// Whose talk it is.
        origin: Option<Origin>,
    },
    /// One member is to see this.
    TellOne {
        /// Which one.
        session: SessionId,
        /// In which room.
        room: RoomName,
        /// What happened.
        happening: Happening,
    },
    /// The session is a member from here on.
    Admit {
        /// Which session.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// What it is told.
        joined: Joined,
        /// What it asked to go on from and will never get.
        lost: Vec<LostInterval>,
    },
    /// The session does not become a member.
    Refuse {
        /// Which session.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// Which room.
        room: RoomName,
        /// Why.
        refusal: Refusal,
    },
    /// The session is no member from here on.
    Dismiss {
        /// Which session.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// Which room.
        room: RoomName,
    },
    /// One session is told this.
    Answer {
        /// Which session.
        session: SessionId,
        /// Its request.
        id: RequestId,
        /// What.
        reply: Reply,
    },
    /// The talk is to be numbered and stored; [`OwnedRooms::stored`](super::OwnedRooms::stored) goes on with it.
    Store {
        /// Which room.
        room: RoomName,
        /// What was said.
        utterance: Utterance,
    },
}

impl Effect {
    pub(super) fn tell(room: &RoomName, shards: Rc<[ShardId]>, happening: Happening) -> Self {
        Self::Tell {
            room: room.clone(),
            shards,
            happening,
            origin: None,
        }
    }

    pub(super) fn show(session: SessionId, room: &RoomName, happening: Happening) -> Self {
        let room = room.clone();
        Self::TellOne {
            session,
            room,
            happening,
        }
    }

    pub(super) fn answer(session: SessionId, id: RequestId, reply: Reply) -> Self {
        Self::Answer { session, id, reply }
    }
}
