//! The replays of one connection, and how far each has come.

use std::collections::VecDeque;

use super::{
    outcome::{PageAsk, PendingJoin},
    rings::Durability,
};
use crate::chat::{RoomName, Seq};

/// The replays of one connection.
#[derive(Debug, Default)]
pub(super) struct Replays {
    pub(super) pending_joins: Vec<PendingJoin>,
    /// The first one is in progress.
    pub(super) queue: VecDeque<Replay>,
}

/// The replay of one member.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) number: u32,
    pub(super) room: RoomName,
    /// The replay has sent no message between this number and `after`: a gap covers them.
    pub(super) from: Seq,
    /// The member has everything up to this number.
    pub(super) after: Seq,
    /// The replay ends at this number; the ring has what follows.
    pub(super) target: Seq,
    pub(super) durability: Durability,
    /// The number before the page that the store was asked for.
    pub(super) asked: Option<Seq>,
    /// Messages per page: by the size of the last page's messages, so many that the page may wait for the socket.
    pub(super) page: usize,
}

impl Replays {
    pub(super) fn is_empty(&self) -> bool {
        self.pending_joins.is_empty() && self.queue.is_empty()
    }
}

impl Replay {
    pub(super) fn ask_after(&self, after: Seq) -> PageAsk {
        PageAsk {
            number: self.number,
            room: self.room.clone(),
            after,
            limit: self.page,
        }
    }
}
