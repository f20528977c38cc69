//! Which rooms are flushed next: those that are ready in the order in which they became so, the others when their pacer says.
//!
//! The state of a flush is in its room ([`FlushState`]) and decides; the queues only remind. An entry whose room is gone, was
//! flushed meanwhile or whose slot has another room is passed over.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::shard::ids::RoomSlot;

/// Where the flush of a room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlushState {
    /// Nothing to do.
    Idle,
    /// Waits until this time, microseconds of the shard's clock.
    Paced(u64),
    /// In the queue.
    Ready,
    /// In the queue; some members have been served.
    Walking(Walk),
}

/// A flush that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// The next member.
    pub(super) next: usize,
    /// Where the ring ended when the walk began.
    pub(super) end: u64,
    /// How many events it is for.
    pub(super) events: usize,
    /// The largest batch so far, bytes.
    pub(super) largest: usize,
    /// When it began, microseconds of the shard's clock.
    pub(super) began_us: u64,
    /// What it cost so far, microseconds: less than the time since, if others had their turns meanwhile.
    pub(super) cost_us: u64,
    /// Members were removed meanwhile, so some may have been passed over.
    pub(super) disturbed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    ready: VecDeque<RoomSlot>,
    /// By time, microseconds.
    paced: BinaryHeap<Reverse<(u64, RoomSlot)>>,
}

impl Schedule {
    pub(super) fn push_ready(&mut self, room: RoomSlot) {
        self.ready.push_back(room);
    }

    pub(super) fn push_paced(&mut self, due_us: u64, room: RoomSlot) {
        self.paced.push(Reverse((due_us, room)));
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn pop_ready(&mut self) -> Option<RoomSlot> {
        self.ready.pop_front()
    }

    /// One of the rooms that waited until `now_us` or less, and until when.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<(u64, RoomSlot)> {
        let Reverse((due_us, _)) = self.paced.peek()?;
        if *due_us > now_us {
            return None;
        }
        self.paced.pop().map(|Reverse(due)| due)
    }

    /// When the next room is due, microseconds; 0: now.
    pub(super) fn next_due(&self) -> Option<u64> {
        if self.has_ready() {
            return Some(0);
        }
        self.paced.peek().map(|Reverse((due_us, _))| *due_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_rooms_come_in_order_and_paced_ones_by_time() {
        let [one, two, three] = [1, 2, 3].map(RoomSlot::new);
        let mut schedule = Schedule::default();
        schedule.push_paced(70, one);
        schedule.push_paced(50, two);
        assert_eq!(schedule.next_due(), Some(50));
        assert_eq!(schedule.pop_due(60), Some((50, two)));
        assert_eq!(schedule.pop_due(60), None);
        schedule.push_ready(three);
        schedule.push_ready(two);
        assert_eq!(schedule.next_due(), Some(0));
        assert_eq!((schedule.pop_ready(), schedule.pop_ready()), (Some(three), Some(two)));
        assert!(!schedule.has_ready());
    }
}
