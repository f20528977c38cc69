//! The arguments of the rules for rooms, and their results: [`Effect`]s.
//!
//! Commands have no side effects. They return effects, in the order in which members see them, and the caller executes them. An effect
//! for one session is a [`ToSession`], which travels to the session's shard unchanged.

use std::{rc::Rc, sync::Arc};

use smallvec::SmallVec;

use super::{
    ChatMessage, ClientId, Direct, Echo, Happening, Joined, Key, KeyOwner, LostInterval, MessageKind, Position,
    Refusal, Reply, RequestId, RoomName, Seq, SessionId, SessionTag, ShardId, UserId, UserName,
};

/// A session that joins.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub session: SessionId,
    pub user: UserId,
    pub name: UserName,
    pub tag: SessionTag,
    pub sees_own_join: bool,
    pub sees_own_leave: bool,
    pub lists: Lists,
}

/// When a member gets the list of its room's users without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    #[default]
    OnRequest,
    /// With each notice of a join or leave.
    WithNotices,
    /// On every change, as a separate event, at most 1 KiB a second ([`Happening::Roster`]).
    OnChange,
}

/// A message without a number.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    pub session: SessionId,
    pub id: RequestId,
    /// The sender's name, as it is displayed.
    pub from: UserName,
    pub user: UserId,
    pub tag: SessionTag,
    /// The sender's client, if it has an id.
    pub client: Option<ClientId>,
    pub text: Arc<str>,
    pub kind: MessageKind,
    /// The idempotency key: a second message with the same key is not sent again.
    pub key: Option<Key>,
    /// For clients of the sender's own dialect.
    pub echo: Option<Arc<Echo>>,
}

impl NewMessage {
    /// A text message from a user in open mode, with neither a request id nor an idempotency key.
    pub fn new(session: SessionId, from: UserName, tag: SessionTag, text: Arc<str>) -> Self {
        Self {
            session,
            id: None,
            user: UserId::of_name(&from),
            from,
            tag,
            client: None,
            text,
            kind: MessageKind::Text,
            key: None,
            echo: None,
        }
    }

    pub(crate) fn numbered(self, position: Position, prev: Seq, at: u64) -> ChatMessage {
        ChatMessage {
            epoch: position.epoch,
            seq: position.seq,
            prev,
            at,
            from: self.from,
            user: self.user,
            session: self.tag,
            text: self.text,
            kind: self.kind,
            echo: self.echo,
        }
    }

    pub(crate) fn key_owner(&self) -> KeyOwner {
        KeyOwner::of(self.client, &self.user)
    }
}

/// The request that an event answers. The sender's shard acknowledges it when the event arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub session: SessionId,
    pub id: RequestId,
}

/// How the owner treats a message while too much is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The sender gets `busy`.
    Never,
    /// The sender's shard keeps this message and all later ones, and sends them again in order.
    InOrder,
    /// The first message that the shard kept, sent again.
    First,
}

/// The effects of one command, in order. Usually one or two.
pub(crate) type Effects = SmallVec<[Effect; 2]>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// An event for all members on these shards.
    Broadcast {
        room: RoomName,
        shards: Rc<[ShardId]>,
        happening: Happening,
        /// The request of the message's sender.
        origin: Option<Origin>,
    },
    /// What one session gets, on any shard.
    Session { session: SessionId, what: ToSession },
    /// A direct message for every session of both users, except the sender's session.
    Direct { except: SessionId, direct: Direct },
}

/// The result of sending a message to a room.
#[expect(
    clippy::large_enum_variant,
    reason = "lives for one call; a box would cost each message an allocation"
)]
#[derive(Debug)]
pub(crate) enum SendOutcome {
    /// The message has its number, or is refused.
    Done(Effects),
    /// The store has to number it. [`OwnedRooms::committed`](super::OwnedRooms::committed), [`rejected`](super::OwnedRooms::rejected) or
    /// [`store_was_full`](super::OwnedRooms::store_was_full) takes the result.
    ToStore(Box<NewMessage>),
}

/// What the owner of a room, or another shard, sends to one session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToSession {
    /// The session is a member from here on.
    Admit(Box<Admission>),
    /// The owner refused its join.
    RefuseJoin {
        room: RoomName,
        id: RequestId,
        refusal: Box<Refusal>,
    },
    /// The session is no longer a member.
    Dismiss { room: RoomName, id: RequestId },
    /// A room's event for this session alone.
    Show { room: RoomName, happening: Box<Happening> },
    /// The answer to a request.
    Reply { id: RequestId, reply: Box<Reply> },
    /// An event without a request.
    Event(Box<Reply>),
    /// The owner is too busy for this message.
    Busy { room: RoomName, message: Box<NewMessage> },
    /// The session has to leave a room, as if it had asked.
    Expel { room: RoomName },
}

/// The owner's answer to a join, for the shard of the new member.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Admission {
    pub request: RequestId,
    pub joined: Joined,
    /// How many of the newest messages the session asked for. Its shard computes `joined.from`, because only the holder of the
    /// messages knows their numbers.
    pub last: Option<u32>,
    /// Messages after its position that it will never get.
    pub lost: Vec<LostInterval>,
    /// The answer of the store, if the room was opened for this session.
    pub backlog: Option<Backlog>,
}

/// The stored state for a user who resumes in a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Backlog {
    pub user: UserId,
    /// The user's read marker; `None`: the store could not read it.
    pub read: Option<Seq>,
    /// The missed messages begin after this number.
    pub after: Seq,
    /// The first missed messages; may be empty.
    pub messages: Vec<ChatMessage>,
}

impl Effect {
    /// A numbered direct message, and the acknowledgement for its sender.
    pub(crate) fn direct(session: SessionId, id: RequestId, direct: Direct) -> [Self; 2] {
        let ChatMessage { epoch, seq, at, .. } = direct.message;
        let ack = Reply::Ack {
            position: Position { epoch, seq },
            at,
            duplicate: false,
        };
        let except = session;
        [Self::answer(session, id, ack), Self::Direct { except, direct }]
    }

    pub(super) fn broadcast(room: &RoomName, shards: Rc<[ShardId]>, happening: Happening) -> Self {
        Self::Broadcast {
            room: room.clone(),
            shards,
            happening,
            origin: None,
        }
    }

    pub(super) fn show(session: SessionId, room: &RoomName, happening: Happening) -> Self {
        let (room, happening) = (room.clone(), Box::new(happening));
        let what = ToSession::Show { room, happening };
        Self::Session { session, what }
    }

    pub(crate) fn answer(session: SessionId, id: RequestId, reply: Reply) -> Self {
        let reply = Box::new(reply);
        let what = ToSession::Reply { id, reply };
        Self::Session { session, what }
    }

    pub(crate) fn refuse_join(session: SessionId, id: RequestId, room: &RoomName, refusal: Refusal) -> Self {
        let (room, refusal) = (room.clone(), Box::new(refusal));
        let what = ToSession::RefuseJoin { room, id, refusal };
        Self::Session { session, what }
    }

    pub(crate) fn dismiss(session: SessionId, id: RequestId, room: &RoomName) -> Self {
        let room = room.clone();
        let what = ToSession::Dismiss { room, id };
        Self::Session { session, what }
    }

    pub(crate) fn busy(room: RoomName, message: Box<NewMessage>) -> Self {
        let session = message.session;
        let what = ToSession::Busy { room, message };
        Self::Session { session, what }
    }

    pub(super) fn expel(session: SessionId, room: &RoomName) -> Self {
        let room = room.clone();
        let what = ToSession::Expel { room };
        Self::Session { session, what }
    }
}
