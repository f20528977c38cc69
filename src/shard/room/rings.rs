//! All rings of a shard, and their memory.
//!
//! Invariants:
//! - `bytes` is the sum over all rings. Only this file changes the events of a ring.
//! - One ring has at most `ring_bytes` and all together at most `ring_budget`. Exceptions: events that no flush has offered to
//!   all members yet, and the newest event of each ring.

use std::sync::Arc;

use slab::Slab;

use super::{members::Members, pacer::Pacer, ring::Ring, schedule::FlushState};
use crate::{
    chat::{Conversation, Happening, Joined, Reply, RoomName, Seq},
    limits,
    shard::{
        event::room::RoomEvent,
        ids::{MemberSlot, RoomSlot},
        settings::ShardSettings,
    },
};

/// The operator's settings for rings, in bytes and milliseconds.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Per ring.
    bytes: usize,
    /// For all rings together.
    budget: usize,
    /// Maximum age of an event.
    keep_ms: u64,
}

/// This shard's copy of a room.
#[derive(Debug)]
pub(crate) struct RoomRing {
    pub(super) name: RoomName,
    /// Epoch of the newest message; 0 before the first one.
    epoch: u64,
    pub(super) durability: Durability,
    ring: Ring,
    pub(super) members: Members,
    pub(super) pacer: Pacer,
    pub(super) flush: FlushState,
}

/// Whether the store has the room's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    Ephemeral,
    Durable,
}

impl Durability {
    pub(super) fn of(joined: &Joined) -> Self {
        if joined.history { Self::Durable } else { Self::Ephemeral }
    }
}

/// What a member gets for messages that it misses.
#[derive(Debug, PartialEq)]
pub(crate) enum Lag {
    /// A gap event, which names the missing messages.
    Gap(Reply),
    /// A close, because its dialect has no gap event.
    TooSlow,
}

/// Whether the server still has the messages that a member does not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// Yes, if the room is durable.
    Stored,
    Lost,
}

/// All rings of a shard.
#[derive(Debug)]
pub(super) struct Rings {
    slots: Slab<RoomRing>,
    /// Bytes of the events of all rings.
    bytes: usize,
    /// Slot of the ring that the last sweep looked at.
    sweep: usize,
    limits: Limits,
}

impl RoomRing {
    pub(super) fn new(joined: &Joined) -> Self {
        Self {
            name: joined.room.clone(),
            epoch: joined.head.epoch,
            durability: Durability::of(joined),
            ring: Ring::after(joined.head.seq),
            members: Members::default(),
            pacer: Pacer::new(),
            flush: FlushState::Idle,
        }
    }

    pub(super) fn events(&self) -> &Ring {
        &self.ring
    }

    /// The events and the members, as separate borrows.
    pub(super) fn parts(&mut self) -> (&Ring, &mut Members) {
        (&self.ring, &mut self.members)
    }

    /// Begins a flush: returns the number of events since the last one began.
    pub(super) fn take_fresh(&mut self) -> usize {
        std::mem::take(&mut self.ring.fresh)
    }

    /// The reply for a member that does not get the messages after `after`, up to `upto`.
    pub(super) fn gap(&self, after: Seq, upto: Seq, missed: Missed) -> Reply {
        Reply::Gap {
            conversation: Conversation::Room(self.name.clone()),
            epoch: self.epoch,
            from: after + 1,
            to: upto,
            lost: missed == Missed::Lost || self.durability == Durability::Ephemeral,
        }
    }

    /// Moves a member's cursor to the end of the ring, and returns the number of the newest message.
    pub(super) fn skip_to_end(&mut self, member: MemberSlot) -> Seq {
        let (end, seq) = (self.ring.end(), self.ring.head_seq());
        if let Some(member) = self.members.get_mut(member) {
            member.cursor = end;
            member.seq = seq;
        }
        seq
    }

    fn is_at_rest(&self) -> bool {
        self.flush == FlushState::Idle && self.members.are_at_rest(self.ring.end())
    }
}

impl Rings {
    pub(super) fn new(settings: &ShardSettings) -> Self {
        Self {
            slots: Slab::new(),
            bytes: 0,
            sweep: 0,
            limits: Limits {
                bytes: settings.ring_bytes,
                budget: settings.ring_budget,
                keep_ms: settings.ring_keep.as_millis() as u64,
            },
        }
    }

    /// Bytes of the events of all rings.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether this is more than half of what one ring may hold.
    pub(super) fn is_half(&self, bytes: usize) -> bool {
        bytes > self.limits.bytes / 2
    }

    pub(super) fn get(&self, room: RoomSlot) -> Option<&RoomRing> {
        self.slots.get(room.index())
    }

    pub(super) fn get_mut(&mut self, room: RoomSlot) -> Option<&mut RoomRing> {
        self.slots.get_mut(room.index())
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (RoomSlot, &RoomRing)> {
        self.slots.iter().map(|(slot, ring)| (RoomSlot::new(slot), ring))
    }

    pub(super) fn insert(&mut self, ring: RoomRing) -> RoomSlot {
        RoomSlot::new(self.slots.insert(ring))
    }

    pub(super) fn remove(&mut self, room: RoomSlot) {
        if let Some(ring) = self.slots.try_remove(room.index()) {
            self.bytes -= ring.ring.bytes();
        }
    }

    /// Appends an event to a ring.
    pub(super) fn append(&mut self, room: RoomSlot, event: Arc<RoomEvent>, now_ms: u64) {
        let Some(ring) = self.slots.get_mut(room.index()) else {
            return;
        };
        if let Happening::Message(message) = &event.happening {
            ring.epoch = message.epoch;
        }
        self.bytes += ring.ring.push(event, now_ms);
        self.bytes -= ring.ring.trim_to(self.limits.bytes);
        self.keep_budget();
    }

    /// Records that a flush has offered the events before `upto` to all members: the ring may drop them.
    pub(super) fn offered(&mut self, room: RoomSlot, upto: u64) {
        if let Some(ring) = self.slots.get_mut(room.index()) {
            ring.ring.offered(upto);
            self.bytes -= ring.ring.trim_to(self.limits.bytes);
        }
    }

    /// Drops expired events and keeps the budget. Each call visits at most [`limits::RINGS_SWEPT`] rings.
    pub(super) fn tick(&mut self, now_ms: u64) {
        let before = now_ms.saturating_sub(self.limits.keep_ms);
        for _ in 0..limits::RINGS_SWEPT.min(self.slots.capacity()) {
            if let Some(ring) = self.next_swept() {
                let mut freed = ring.ring.forget_before(before);
                if ring.members.len() <= limits::RING_REST_MEMBERS && ring.is_at_rest() {
                    freed += ring.ring.forget_notices();
                }
                self.bytes -= freed;
            }
        }
        self.keep_budget();
    }

    /// While the sum of all rings exceeds the budget, trims one ring after the other to an equal share of it.
    fn keep_budget(&mut self) {
        let mut looked_at = 0;
        while self.bytes > self.limits.budget && looked_at < limits::RINGS_SWEPT {
            let share = self.limits.budget / self.slots.len().max(1);
            if let Some(ring) = self.next_swept() {
                let freed = ring.ring.trim_to(share);
                self.bytes -= freed;
            }
            looked_at += 1;
        }
    }

    fn next_swept(&mut self) -> Option<&mut RoomRing> {
        self.sweep = if self.sweep + 1 >= self.slots.capacity() {
            0
        } else {
            self.sweep + 1
        };
        self.slots.get_mut(self.sweep)
    }
}
