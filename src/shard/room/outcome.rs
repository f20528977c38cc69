//! The results of the methods of [`super::rooms::Rooms`] that decide something for their caller to carry out.

use std::sync::Arc;

use super::event::RoomEvent;
use crate::{
    chat::{Admission, ChatMessage, Reply, RequestId, RoomName, Seq, SessionId},
    shard::ids::RoomSlot,
};

/// Why a session may not ask to join a room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JoinRefusal {
    AlreadyMember,
    /// The session is in this many rooms, which is the most.
    TooMany(usize),
}

/// Why a walk could not deliver everything to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryFailure {
    /// Its socket is full.
    Full(SessionId),
    /// Its socket failed.
    Dead(SessionId),
    /// It is a slow consumer: the ring no longer has the event at its cursor.
    Lagged(SessionId, RoomSlot),
}

/// How far a connection has caught up with its rooms.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// It has all events.
    Done,
    /// Its socket is full.
    Full,
    /// Its socket failed.
    Dead,
    /// It has the last event of a room that it left, and is removed from it. Its other rooms come next.
    Left { room: RoomName, request: RequestId },
    /// As [`DeliveryFailure::Lagged`]. Its other rooms come next.
    Lagged(RoomSlot),
}

/// What a member gets for messages that it misses.
#[derive(Debug, PartialEq)]
pub(crate) enum Lag {
    /// Nothing: it misses no message.
    Nothing,
    /// A gap that names the missing messages.
    Gap(Reply),
    /// A close, because its dialect has no words for a gap.
    TooSlow,
}

/// Whether the server still has the messages that a member does not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Yes, if the room is durable.
    Stored,
    Lost,
}

/// A join whose answer waits until the store has read the user's read marker.
#[derive(Debug)]
pub(crate) struct PendingJoin {
    pub(crate) number: u32,
    /// Without the read marker.
    pub(crate) admission: Box<Admission>,
}

/// A page that the store should read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageAsk {
    pub(crate) number: u32,
    pub(crate) room: RoomName,
    pub(crate) after: Seq,
    pub(crate) limit: usize,
}

/// The next step of a replay.
#[derive(Debug)]
pub(crate) enum ReplayStep {
    /// Nothing to do: there is no replay, or it waits for the store or the socket.
    Wait,
    /// Send these messages, which are all up to `upto`.
    Send { events: Vec<Arc<RoomEvent>>, upto: Seq },
    /// Call [`super::rooms::Rooms::skip_to`].
    Skip { upto: Seq, missed: Missed },
    /// Ask the store, then call [`super::rooms::Rooms::page_asked`]. If the store is full, pass over the messages up to `target`.
    Ask { ask: PageAsk, target: Seq },
    /// The replay has ended and the member is live. It must catch up at once, before the ring drops its events.
    Live,
}

/// How a page of the store is used.
#[derive(Debug)]
pub(crate) enum PageTaken {
    /// The replay that asked for it has ended.
    Unknown,
    /// Not at all: [`super::rooms::Rooms::replay_step`] says how to go on.
    Again,
    Page(Page),
}

/// A page to send.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) room: RoomName,
    pub(crate) messages: Vec<ChatMessage>,
    /// The page after this one, which the store reads while this one is encoded.
    pub(crate) next: Option<PageAsk>,
    /// The store no longer has the messages up to this one.
    pub(crate) lost_upto: Option<Seq>,
    /// The number before its first message: up to where the member has everything if none of its messages is sent.
    pub(crate) before: Seq,
}

/// What a leaving member does not get any more.
#[derive(Debug)]
pub(crate) struct Abandoned {
    /// Its join, if that is not answered yet.
    pub(crate) pending_join: Option<PendingJoin>,
    /// The missed messages: after the first number, up to the second.
    pub(crate) missed: Option<(Seq, Seq)>,
    /// Whether its replay was the first in the queue, so that the next one can begin.
    pub(crate) was_first: bool,
}
