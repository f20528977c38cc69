//! Fan-out: from a ring to the sockets of its members, with one write of everything that a member has not been sent.
//!
//! Members with the same cursor and encoding share one batch of bytes. A walk over the members allocates nothing for each of
//! them, and looks up one connection for each that is behind.
//!
//! Nothing here closes a connection or sends it anything but events: what a full, dead or slow socket leads to is said in
//! [`Trouble`] and [`CatchUp`].

use super::{
    delivery::{Delivered, Sent},
    members::Hold,
    outcome::{CatchUp, Lag, Missed, Trouble},
    rooms::Rooms,
    schedule::{FlushState, Walk},
    serving::Parts,
};
use crate::{
    chat::SessionId,
    codec::LagPolicy,
    shard::{
        connection::{
            state::Connection,
            write::{Socket, Written},
        },
        ids::RoomSlot,
        stats::Stats,
    },
};

impl Rooms {
    /// Something is new in this room at `now_us`: plans its flush.
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

    /// The next room to be walked at `now_us`.
    pub(super) fn next_ready(&mut self) -> Option<RoomSlot> {
        self.schedule.pop_ready()
    }

    /// Rooms that waited until now are ready.
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

    /// Whether more of a room waits than its ring can hold beside what is kept for those who come back. If so, it is ready to be
    /// walked at once: a member that reads must never find its events gone.
    pub(super) fn must_flush(&mut self, room: RoomSlot) -> bool {
        let waiting = self.rings.get(room).map_or(0, |ring| ring.events().waiting_bytes());
        if !self.rings.is_half(waiting) {
            return false;
        }
        let Some(ring) = self.rings.get_mut(room) else {
            return false;
        };
        if let FlushState::Idle | FlushState::Paced(_) = ring.flush {
            ring.flush = FlushState::Ready;
        }
        true
    }

    /// Serves members of one room with at most so many writes; how many it took. What went wrong is in
    /// [`Rooms::take_troubles`].
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
            if member.cursor == end || member.hold == Hold::Held {
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
                        self.troubles.push(Trouble::Full(id));
                        continue;
                    }
                    Written::Dead => {
                        self.troubles.push(Trouble::Dead(id));
                        continue;
                    }
                }
            }
            writes += 1;
            match self.batches.deliver(events, member, connection, end, now_ms, &mut sent) {
                Delivered::All => {}
                Delivered::Full => self.troubles.push(Trouble::Full(id)),
                Delivered::Dead => self.troubles.push(Trouble::Dead(id)),
                Delivered::Lagged => self.troubles.push(Trouble::Lagged(id, room)),
            }
        }
        parts.count(&sent);
        walk.largest = walk.largest.max(self.batches.largest());
        self.batches.clear();
        let ended = parts.clock.micros();
        walk.cost_us += ended.saturating_sub(began);
        if walk.next < members.len() {
            ring.flush = FlushState::Walking(walk);
            self.schedule.push_ready(room);
            return writes;
        }
        // A second walk for those who were passed over says nothing about the cost of a flush.
        if walk.events > 0 {
            ring.pacer.flushed(walk.began_us..ended, walk.cost_us, walk.events);
        }
        parts.stats.flushes.push((walk.cost_us, walk.largest));
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

    /// What went wrong in the walks since the last call.
    pub(super) fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    /// Sends a connection whose socket has room what its rooms have for it, beginning with its membership `from`, which is
    /// counted on. To be called again until it says [`CatchUp::Done`], [`CatchUp::Full`] or [`CatchUp::Dead`].
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
        parts.count(&sent);
        caught_up
    }

    fn catch_up_on<S: Socket>(
        &mut self,
        id: SessionId,
        connection: &mut Connection<S>,
        from: &mut usize,
        now_ms: u64,
        sent: &mut Sent,
    ) -> CatchUp {
        loop {
            let Some(attendance) = self.attendance.get_mut(id) else {
                return CatchUp::Done;
            };
            let Some(membership) = attendance.rooms.get(*from).copied() else {
                return CatchUp::Done;
            };
            let Some(ring) = self.rings.get_mut(membership.room) else {
                return CatchUp::Done;
            };
            let leaving = ring.members.leaving(id.slot());
            let (events, members) = ring.parts();
            let end = leaving.map_or(events.end(), |leaving| leaving.until);
            let Some(member) = members.get_mut(membership.member) else {
                return CatchUp::Done;
            };
            if member.cursor < end && (member.hold == Hold::Live || leaving.is_some()) {
                // Replies that were sent before stand before what the rooms have.
                match connection.drain(now_ms, &mut sent.bytes) {
                    Written::All => {}
                    Written::Full => return CatchUp::Full,
                    Written::Dead => return CatchUp::Dead,
                }
                self.batches.clear();
                match self.batches.deliver(events, member, connection, end, now_ms, sent) {
                    Delivered::All => {}
                    Delivered::Full => return CatchUp::Full,
                    Delivered::Dead => return CatchUp::Dead,
                    Delivered::Lagged => return CatchUp::Lagged(membership.room),
                }
            }
            if leaving.is_some() {
                let room = ring.name.clone();
                attendance.rooms.remove(*from);
                let request = self.remove_member(membership);
                return CatchUp::Left { room, request };
            }
            *from += 1;
        }
    }

    /// Counts how far behind a slow consumer is in its rooms, now that its socket has room again.
    pub(crate) fn count_lags(&self, id: SessionId, stats: &mut Stats) {
        for membership in self.memberships(id) {
            let Some(ring) = self.rings.get(membership.room) else {
                continue;
            };
            let live = ring
                .members
                .get(membership.member)
                .filter(|member| member.hold == Hold::Live);
            let behind = live.map_or(0, |member| ring.events().end().saturating_sub(member.cursor));
            if behind > 0 {
                stats.lags.push(behind);
            }
        }
    }

    /// The ring has dropped events at the cursor of this member: moves the cursor behind them.
    pub(super) fn pass_lag(&mut self, id: SessionId, room: RoomSlot, policy: LagPolicy) -> Lag {
        let Some(membership) = self.membership_at(id, room) else {
            return Lag::Nothing;
        };
        let Some(ring) = self.rings.get_mut(room) else {
            return Lag::Nothing;
        };
        let leaving = ring.members.leaving(id.slot());
        let (end, to) = match leaving {
            Some(leaving) => (leaving.until, leaving.seq),
            // A member without words for a gap that leaves anyway goes in its own way.
            None if policy == LagPolicy::Disconnect => return Lag::TooSlow,
            None => (ring.events().end(), ring.events().head_seq()),
        };
        let Some(member) = ring.members.get_mut(membership.member) else {
            return Lag::Nothing;
        };
        let after = member.seq;
        member.cursor = end;
        member.seq = to;
        if after < to {
            Lag::Gap(ring.gap(after, to, Missed::Stored))
        } else {
            Lag::Nothing
        }
    }
}
