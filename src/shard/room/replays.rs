//! What the members of one connection missed, and how far each has been sent it.

use std::collections::VecDeque;

use super::{
    outcome::{PageAsk, Welcome},
    rings::Durability,
};
use crate::chat::{RoomName, Seq};

/// What the members of one connection missed.
#[derive(Debug, Default)]
pub(super) struct Replays {
    pub(super) welcomes: Vec<Welcome>,
    /// One after the other.
    pub(super) queue: VecDeque<Replay>,
}

/// A member that is sent what it missed.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) number: u32,
    pub(super) room: RoomName,
    /// It has been sent nothing between this and `after`, and was told so.
    pub(super) from: Seq,
    /// Sent up to here.
    pub(super) after: Seq,
    /// To be sent up to here; what comes then is in the ring.
    pub(super) target: Seq,
    pub(super) durability: Durability,
    /// The page that the store has been asked for begins after this.
    pub(super) asked: Option<Seq>,
    /// Messages to ask for at a time: as many as may wait for the socket, going by the size of those of the last page.
    pub(super) page: usize,
}

impl Replays {
    pub(super) fn is_empty(&self) -> bool {
        self.welcomes.is_empty() && self.queue.is_empty()
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
