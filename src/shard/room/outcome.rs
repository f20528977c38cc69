//! What rooms ask of the engine: they send nothing but events and close nothing, and say here what has to be done.

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
    /// It is in so many rooms.
    TooMany(usize),
}

/// Why a member was not sent everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Its socket is full.
    Full(SessionId),
    /// Its peer is gone.
    Dead(SessionId),
    /// It is a slow consumer: the ring has dropped events at its cursor.
    Lagged(SessionId, RoomSlot),
}

/// How far a connection has caught up with its rooms.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// It has been sent everything.
    Done,
    /// Its socket is full.
    Full,
    /// Its peer is gone.
    Dead,
    /// It has been sent all of a room that it left, and is in it no more. Others are to follow.
    Left { room: RoomName, request: RequestId },
    /// As [`Trouble::Lagged`]; others are to follow.
    Lagged(RoomSlot),
}

/// What becomes of a slow consumer.
#[derive(Debug, PartialEq)]
pub(crate) enum Lag {
    /// It has no messages to miss.
    Nothing,
    /// It is told what it missed, and goes on behind that.
    Gap(Reply),
    /// Its dialect has no words for a gap: it is to be closed.
    TooSlow,
}

/// Whether the server still has what a member is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// If the room is durable.
    Stored,
    Lost,
}

/// A join to be answered when the store has said how far the user has read.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) number: u32,
    /// Without the read marker.
    pub(crate) admission: Box<Admission>,
}

/// A page to ask the store for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageAsk {
    pub(crate) number: u32,
    pub(crate) room: RoomName,
    pub(crate) after: Seq,
    pub(crate) limit: usize,
}

/// What a replay needs next.
#[derive(Debug)]
pub(crate) enum ReplayStep {
    /// Nothing: there is none, or it waits for the store or the socket.
    Wait,
    /// These messages are to be sent, which is all up to `upto`.
    Send { events: Vec<Arc<RoomEvent>>, upto: Seq },
    /// [`Rooms::pass_over`].
    PassOver { upto: Seq, missed: Missed },
    /// The store is to be asked; then [`Rooms::page_asked`], or [`ReplayStep::PassOver`] up to `target` if it cannot be.
    Ask { ask: PageAsk, target: Seq },
    /// The replay has ended, and the member is live: it is to catch up at once, before the ring can move on.
    Live,
}

/// What becomes of a page of the store.
#[derive(Debug)]
pub(crate) enum PageTaken {
    /// The replay that asked for it has ended.
    Unknown,
    /// Nothing of it can be used: the next step shows how to go on.
    Again,
    Page(Page),
}

/// A page to be sent.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) room: RoomName,
    pub(crate) messages: Vec<ChatMessage>,
    /// The page after this one, to be read while this one is sent.
    pub(crate) next: Option<PageAsk>,
    /// The store has lost the messages up to this one.
    pub(crate) lost_upto: Option<Seq>,
    /// Before the first of its messages: what the member has if none of them is sent.
    pub(crate) before: Seq,
}

/// What a member that leaves is not sent any more.
#[derive(Debug)]
pub(crate) struct Abandoned {
    /// The join that is still to be answered.
    pub(crate) welcome: Option<Welcome>,
    /// The messages after the first, up to the second.
    pub(crate) missed: Option<(Seq, Seq)>,
    /// The next replay can begin.
    pub(crate) was_first: bool,
}
