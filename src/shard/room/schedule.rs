//! The order in which rooms are flushed: ready rooms first come, first served; others when their pacer's delay is over.
//!
//! The [`FlushState`] of a room is authoritative; the queues are only hints. The caller ignores an entry if its room has been
//! flushed or removed meanwhile, or if its slot has another room.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::shard::ids::RoomSlot;

/// The state of a room's flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlushState {
    /// Nothing to do.
    Idle,
    /// Delayed until this time, microseconds of the shard's clock.
    Paced(u64),
    /// In the queue.
    Ready,
    /// In the queue; a walk has begun and not reached all members.
    Walking(Walk),
}

/// A flush that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Index of the next member.
    pub(super) next: usize,
    /// End of the ring when the walk began.
    pub(super) end: u64,
    /// Number of events since the walk before.
    pub(super) events: usize,
    /// Largest batch so far, bytes.
    pub(super) largest: usize,
    /// Beginning, microseconds of the shard's clock.
    pub(super) began_us: u64,
    /// CPU time so far, microseconds: less than the time since its beginning if the walk was interrupted.
    pub(super) cost_us: u64,
    /// Whether a member was removed since it began: the walk may have skipped another member.
    pub(super) disturbed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    ready: VecDeque<RoomSlot>,
    /// By due time, microseconds.
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

    /// A room whose delay ended by `now_us`, and when it ended.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<(u64, RoomSlot)> {
        let Reverse((due_us, _)) = self.paced.peek()?;
        if *due_us > now_us {
            return None;
        }
        self.paced.pop().map(|Reverse(due)| due)
    }

    /// When the next room is due, microseconds; 0 means now.
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
