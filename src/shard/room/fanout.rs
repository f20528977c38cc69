//! Fan-out: walks over the members of a ring and writes to each socket, in one call, all events from the member's cursor on.
//!
//! Members with the same cursor and encoding share one batch of bytes. A walk allocates nothing per member, and looks up a
//! connection only for members that are behind.
//!
//! Nothing here closes a connection or sends anything but events. The results [`DeliveryFailure`] and [`CatchUp`] say what a
//! full, failed or slow socket needs.

use super::{
    delivery::{Delivered, DeliveryFailure, Sent},
    members::Feed,
    rings::{Lag, Missed},
    rooms::Rooms,
    schedule::{FlushState, Walk},
};
use crate::{
    chat::{RequestId, RoomName, SessionId},
    codec::LagPolicy,
    shard::{
        connection::{
            state::Connection,
            write::{Socket, Written},
        },
        ids::RoomSlot,
        parts::Parts,
    },
};

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

impl Rooms {
    /// Plans a flush for an event that came at `now_us`.
    pub(super) fn plan_flush(&mut self, room: RoomSlot, now_us: u64) {
        let Some(ring) = self.rings.get_mut(room) else {
            return;
        };
        if ring.flush != FlushState::Idle {
            return;
        }
        let due_us = ring.pacer.due(&self.pacing, now_us);
        if due_us <= now_us {
            ring.flush = FlushState::Ready;
            self.schedule.push_ready(room);
        } else {
            ring.flush = FlushState::Paced(due_us);
            self.schedule.push_paced(due_us, room);
        }
    }

    /// When the next flush is due, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        self.schedule.next_due()
    }

    pub(super) fn has_ready(&self) -> bool {
        self.schedule.has_ready()
    }

    /// The next room to walk.
    pub(super) fn next_ready(&mut self) -> Option<RoomSlot> {
        self.schedule.pop_ready()
    }

    /// Moves the rooms whose delay is over to the ready queue.
    pub(super) fn end_waits(&mut self, now_us: u64) {
        while let Some((due_us, room)) = self.schedule.pop_due(now_us) {
            if let Some(ring) = self.rings.get_mut(room)
                && ring.flush == FlushState::Paced(due_us)
            {
                ring.flush = FlushState::Ready;
                self.schedule.push_ready(room);
            }
        }
    }

    /// Whether the room must be flushed now, because events that were not offered to all members fill more than half of its ring.
    /// The ring can drop none of them, and the other half is for returning users. Makes the room ready for the walk.
    pub(super) fn must_flush(&mut self, room: RoomSlot) -> bool {
        let waiting = self.rings.get(room).map_or(0, |ring| ring.events().waiting_bytes());
        if !self.rings.is_half(waiting) {
            return false;
        }
        if let Some(ring) = self.rings.get_mut(room)
            && matches!(ring.flush, FlushState::Idle | FlushState::Paced(_))
        {
            ring.flush = FlushState::Ready;
        }
        true
    }

    /// Writes to the members of one room with at most `most` writes, and returns the number of writes. [`Rooms::take_failures`]
    /// returns the failures.
    pub(super) fn walk<S: Socket>(&mut self, room: RoomSlot, most: usize, parts: &mut Parts<'_, S>) -> usize {
        let began = parts.clock.micros();
        let Some(ring) = self.rings.get_mut(room) else {
            return 0;
        };
        let mut walk = match ring.flush {
            FlushState::Walking(walk) => walk,
            FlushState::Ready => Walk {
                next: 0,
                end: ring.events().end(),
                events: ring.take_fresh(),
                began_us: began,
                cost_us: 0,
                disturbed: false,
                largest: 0,
            },
            FlushState::Idle | FlushState::Paced(_) => return 0,
        };
        let (events, members) = ring.parts();
        let end = events.end();
        let mut writes = 0;
        let (now_ms, mut sent) = (parts.now.ms, Sent::default());
        self.batches.clear();
        while writes < most
            && let Some(member) = members.at_mut(walk.next)
        {
            walk.next += 1;
            if member.cursor == end || member.feed == Feed::Pending {
                continue;
            }
            let Some((id, connection)) = parts.connections.occupant(member.connection) else {
                continue;
            };
            if !connection.outgoing().is_empty() {
                if connection.blocked() {
                    continue;
                }
                writes += 1;
                match connection.drain(now_ms, &mut sent.bytes) {
                    Written::All => {}
                    Written::Full => {
                        self.failures.push(DeliveryFailure::Full(id));
                        continue;
                    }
                    Written::Dead => {
                        self.failures.push(DeliveryFailure::Dead(id));
                        continue;
                    }
                }
            }
            writes += 1;
            match self.batches.deliver(events, member, connection, end, now_ms, &mut sent) {
                Delivered::All => {}
                Delivered::Full => self.failures.push(DeliveryFailure::Full(id)),
                Delivered::Dead => self.failures.push(DeliveryFailure::Dead(id)),
                Delivered::Lagged => self.failures.push(DeliveryFailure::Lagged(id, room)),
            }
        }
        self.counts.add(&sent, parts.connections.counts());
        walk.largest = walk.largest.max(self.batches.largest());
        self.batches.clear();
        let ended = parts.clock.micros();
        walk.cost_us += ended.saturating_sub(began);
        if walk.next < members.len() {
            ring.flush = FlushState::Walking(walk);
            self.schedule.push_ready(room);
            return writes;
        }
        // A second walk, for members that a disturbed one skipped, says nothing about the cost of a flush.
        if walk.events > 0 {
            ring.pacer.flushed(walk.began_us..ended, walk.cost_us, walk.events);
        }
        self.counts.flushes.push((walk.cost_us, walk.largest));
        if walk.disturbed {
            ring.flush = FlushState::Ready;
            self.schedule.push_ready(room);
            return writes;
        }
        ring.flush = FlushState::Idle;
        self.rings.offered(room, walk.end);
        if end > walk.end {
            self.plan_flush(room, ended);
        }
        writes
    }

    /// The failed deliveries of all walks since the last call.
    pub(super) fn take_failures(&mut self) -> Vec<DeliveryFailure> {
        std::mem::take(&mut self.failures)
    }

    /// Writes the events of its rooms to a connection, beginning with its membership number `from`, which advances. The caller
    /// repeats the call until the result is [`CatchUp::Done`], [`CatchUp::Full`] or [`CatchUp::Dead`].
    pub(super) fn catch_up_from<S: Socket>(
        &mut self,
        id: SessionId,
        from: &mut usize,
        parts: &mut Parts<'_, S>,
    ) -> CatchUp {
        let Some(connection) = parts.connections.get_mut(id) else {
            return CatchUp::Done;
        };
        let mut sent = Sent::default();
        let caught_up = self.catch_up_on(id, connection, from, parts.now.ms, &mut sent);
        self.counts.add(&sent, parts.connections.counts());
        caught_up.unwrap_or(CatchUp::Done)
    }

    fn catch_up_on<S: Socket>(
        &mut self,
        id: SessionId,
        connection: &mut Connection<S>,
        from: &mut usize,
        now_ms: u64,
        sent: &mut Sent,
    ) -> Option<CatchUp> {
        loop {
            let attendance = self.attendance.get_mut(id)?;
            let membership = attendance.rooms.get(*from).copied()?;
            let ring = self.rings.get_mut(membership.room)?;
            let leaving = ring.members.leaving(id.slot());
            let (events, members) = ring.parts();
            let end = leaving.map_or(events.end(), |leaving| leaving.until);
            let member = members.get_mut(membership.member)?;
            if member.cursor < end && (member.feed == Feed::Live || leaving.is_some()) {
                // Earlier replies go out before the events.
                match connection.drain(now_ms, &mut sent.bytes) {
                    Written::All => {}
                    Written::Full => return Some(CatchUp::Full),
                    Written::Dead => return Some(CatchUp::Dead),
                }
                self.batches.clear();
                match self.batches.deliver(events, member, connection, end, now_ms, sent) {
                    Delivered::All => {}
                    Delivered::Full => return Some(CatchUp::Full),
                    Delivered::Dead => return Some(CatchUp::Dead),
                    Delivered::Lagged => return Some(CatchUp::Lagged(membership.room)),
                }
            }
            if leaving.is_some() {
                let room = ring.name.clone();
                attendance.rooms.remove(*from);
                let request = self.remove_member(membership);
                return Some(CatchUp::Left { room, request });
            }
            *from += 1;
        }
    }

    /// Records how many events a slow consumer is behind in each of its rooms when its socket becomes writable.
    pub(crate) fn count_lags(&mut self, id: SessionId) {
        let memberships = self.attendance.get(id).map_or(&[][..], |attendance| &attendance.rooms);
        for membership in memberships {
            let Some(ring) = self.rings.get(membership.room) else {
                continue;
            };
            let live = ring
                .members
                .get(membership.member)
                .filter(|member| member.feed == Feed::Live);
            let behind = live.map_or(0, |member| ring.events().end().saturating_sub(member.cursor));
            if behind > 0 {
                self.counts.lags.push(behind);
            }
        }
    }

    /// Moves the cursor of a member that fell off its ring to the end of the ring. Returns `None` if it misses no message.
    pub(super) fn skip_lag(&mut self, id: SessionId, room: RoomSlot, policy: LagPolicy) -> Option<Lag> {
        let membership = self.membership_at(id, room)?;
        let ring = self.rings.get_mut(room)?;
        let leaving = ring.members.leaving(id.slot());
        let (end, to) = match leaving {
            Some(leaving) => (leaving.until, leaving.seq),
            // A leaving member is not closed: it is about to get its answer.
            None if policy == LagPolicy::Disconnect => return Some(Lag::TooSlow),
            None => (ring.events().end(), ring.events().head_seq()),
        };
        let member = ring.members.get_mut(membership.member)?;
        let after = member.seq;
        member.cursor = end;
        member.seq = to;
        (after < to).then(|| Lag::Gap(ring.gap(after, to, Missed::Stored)))
    }
}
