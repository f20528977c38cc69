//! From a room's log to its members' sockets: one write of everything a member has not had yet.

use std::cmp::Reverse;

use bytes::{Bytes, BytesMut};

use crate::shard::{
    End,
    connection::state::{Connection, Phase, Socket, Written},
    engine::{Clock, Engine, Want},
    ids::RoomSlot,
    room::ring::{Batch, Content, Flush, Member, Ring, Walk},
    stats::Stats,
};
use crate::{
    chat::{Conversation, GoodbyeCode, Reply, SessionId, local},
    codec::LagPolicy,
    limits,
};

/// What became of a member's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivered {
    /// It has everything.
    All,
    /// Its socket is full.
    Full,
    /// Its peer is gone.
    Dead,
    /// Its cursor fell off the ring.
    Lagged,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Something is new in this room at `now`: plans its flush.
    pub(crate) fn plan_flush(&mut self, place: RoomSlot, now: u64) {
        let pacing = self.settings.pacing(self.directory.shards());
        let Some(room) = self.rooms.get_mut(place.index()) else {
            return;
        };
        if room.flush != Flush::Idle {
            return;
        }
        let due = room.pacer.due(&pacing, now);
        if due <= now {
            room.flush = Flush::Ready;
            self.ready.push_back(place);
        } else {
            room.flush = Flush::Paced(due);
            self.paced.push(Reverse((due, place)));
        }
    }

    /// When [`Engine::flush`] is to be called next, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        if !self.ready.is_empty() || !self.directs.is_empty() || self.can_relieve() {
            return Some(0);
        }
        self.paced.peek().map(|Reverse((due, _))| *due)
    }

    /// Flushes for a bounded number of writes. Whether there is more to do at once.
    pub(crate) fn flush(&mut self) -> bool {
        let began = self.now.us;
        while let Some(Reverse((due, place))) = self.paced.peek().copied() {
            if due > began {
                break;
            }
            self.paced.pop();
            if let Some(room) = self.rooms.get_mut(place.index())
                && room.flush == Flush::Paced(due)
            {
                room.flush = Flush::Ready;
                self.ready.push_back(place);
            }
        }
        let mut writes = 0;
        while writes < self.settings.yield_writes {
            let Some(place) = self.ready.pop_front() else {
                return false;
            };
            writes += self.walk(place, self.settings.yield_writes - writes).max(1);
        }
        !self.ready.is_empty()
    }

    /// Serves members of one room; how many writes it took.
    fn walk(&mut self, place: RoomSlot, most: usize) -> usize {
        let began = self.clock.micros();
        let now_ms = self.now.ms;
        let Some(room) = self.rooms.get_mut(place.index()) else {
            return 0;
        };
        let mut walk = match room.flush {
            Flush::Walking(walk) => walk,
            Flush::Ready => Walk {
                next: 0,
                end: room.ring.end(),
                events: std::mem::take(&mut room.ring.fresh),
                began_us: began,
                cost_us: 0,
                disturbed: false,
                largest: 0,
            },
            Flush::Idle | Flush::Paced(_) => return 0,
        };
        let end = room.ring.end();
        let mut writes = 0;
        let mut trouble: Vec<(SessionId, Delivered)> = Vec::new();
        self.batches.clear();
        while let Some(member) = room.members.get_mut(walk.next) {
            if writes >= most {
                break;
            }
            walk.next += 1;
            if member.cursor == end || member.held {
                continue;
            }
            let Some((id, connection)) = self.connections.occupant(member.connection) else {
                continue;
            };
            if connection.outgoing.is_some() {
                if connection.blocked() {
                    continue;
                }
                writes += 1;
                match connection.drain(now_ms, &mut self.stats.bytes_out) {
                    Written::All => {}
                    Written::Full => {
                        trouble.push((id, Delivered::Full));
                        continue;
                    }
                    Written::Dead => {
                        trouble.push((id, Delivered::Dead));
                        continue;
                    }
                }
            }
            writes += 1;
            let delivered = deliver(
                &room.ring,
                member,
                connection,
                &mut self.batches,
                &mut self.scratch,
                end,
                now_ms,
                &mut self.stats,
            );
            if delivered != Delivered::All {
                trouble.push((id, delivered));
            }
        }
        walk.largest = self
            .batches
            .iter()
            .map(Batch::bytes)
            .max()
            .unwrap_or(0)
            .max(walk.largest);
        self.batches.clear();
        let finished = walk.next >= room.members.len();
        let ended = self.clock.micros();
        walk.cost_us += ended.saturating_sub(began);
        if finished {
            // A second walk for those who were passed over says nothing about the cost of a flush.
            if walk.events > 0 {
                let flushed = walk.began_us..ended;
                room.pacer.flushed(flushed, walk.cost_us, walk.events);
            }
            self.stats.flushes.push((walk.cost_us, walk.largest));
            room.flush = Flush::Idle;
            if !walk.disturbed {
                room.ring.offered(walk.end);
                self.ring_bytes -= room.ring.trim_to(self.settings.ring_bytes);
            }
            if walk.disturbed {
                room.flush = Flush::Ready;
                self.ready.push_back(place);
            } else if end > walk.end {
                self.plan_flush(place, ended);
            }
        } else {
            room.flush = Flush::Walking(walk);
            self.ready.push_back(place);
        }
        for (id, delivered) in trouble {
            self.after_trouble(id, place, delivered);
        }
        writes
    }

    /// Flushes a room before anything else happens in it if more waits than its ring can hold beside what is kept for those
    /// who come back: a member that reads must never find its events gone.
    pub(crate) fn flush_if_full(&mut self, place: RoomSlot) {
        let most = self.settings.ring_bytes / 2;
        // A walk that had begun ends first and may leave some to the next; a third finds what the second disturbed.
        for _ in 0..3 {
            let Some(room) = self.rooms.get_mut(place.index()) else {
                return;
            };
            if room.ring.waiting_bytes() <= most {
                return;
            }
            if let Flush::Idle | Flush::Paced(_) = room.flush {
                room.flush = Flush::Ready;
            }
            self.walk(place, usize::MAX);
        }
    }

    fn after_trouble(&mut self, id: SessionId, place: RoomSlot, delivered: Delivered) {
        match delivered {
            Delivered::All => {}
            Delivered::Full => self.wait_writable(id),
            Delivered::Dead => self.cut(id, End::Reset),
            Delivered::Lagged => self.lagged(id, place),
        }
    }

    /// Gives a connection whose socket has room what its rooms have for it. Whether the socket is full again.
    pub(crate) fn catch_up(&mut self, id: SessionId) -> bool {
        let now_ms = self.now.ms;
        let mut index = 0;
        loop {
            let Some(connection) = self.connections.get_mut(id) else {
                return false;
            };
            let Some(membership) = connection.memberships.get(index).copied() else {
                return connection.blocked();
            };
            let Some(room) = self.rooms.get_mut(membership.room.index()) else {
                return false;
            };
            let leaving = room
                .leaving
                .iter()
                .find(|leaving| leaving.connection == id.slot())
                .copied();
            let end = leaving.map_or(room.ring.end(), |leaving| leaving.until);
            let Some(member) = room.members.get_mut(membership.member.index()) else {
                return false;
            };
            let delivered = if member.held && leaving.is_none() || member.cursor >= end {
                Delivered::All
            } else {
                // What was said to this session before stands before what its rooms have for it.
                let waiting = match connection.drain(now_ms, &mut self.stats.bytes_out) {
                    Written::All => None,
                    Written::Full => Some(Delivered::Full),
                    Written::Dead => Some(Delivered::Dead),
                };
                waiting.unwrap_or_else(|| {
                    self.batches.clear();
                    deliver(
                        &room.ring,
                        member,
                        connection,
                        &mut self.batches,
                        &mut self.scratch,
                        end,
                        now_ms,
                        &mut self.stats,
                    )
                })
            };
            match delivered {
                Delivered::All if leaving.is_some() => self.let_go(id, membership),
                Delivered::All => index += 1,
                Delivered::Full => return true,
                Delivered::Dead => {
                    self.cut(id, End::Reset);
                    return false;
                }
                Delivered::Lagged => self.lagged(id, membership.room),
            }
        }
    }

    /// Counts how far behind a slow consumer is in its rooms, now that its socket has room again.
    pub(crate) fn count_lags(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        for membership in &connection.memberships {
            let Some(room) = self.rooms.get(membership.room.index()) else {
                continue;
            };
            let member = room.members.get(membership.member.index());
            let behind = member
                .filter(|member| !member.held)
                .map_or(0, |member| room.ring.end().saturating_sub(member.cursor));
            if behind > 0 {
                self.stats.lags.push(behind);
            }
        }
    }

    /// A member's cursor fell off the ring: it is told what it missed, or sent away.
    fn lagged(&mut self, id: SessionId, place: RoomSlot) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let Phase::Open(speaking) = &connection.phase else {
            return;
        };
        let policy = self.profiles[usize::from(speaking.dialect)].lag;
        let Some(membership) = connection
            .memberships
            .iter()
            .find(|membership| membership.room == place)
        else {
            return;
        };
        let Some(room) = self.rooms.get_mut(place.index()) else {
            return;
        };
        let Some(member) = room.members.get_mut(membership.member.index()) else {
            return;
        };
        let leaving = room.leaving.iter().find(|leaving| leaving.connection == id.slot());
        match policy {
            LagPolicy::Disconnect if leaving.is_none() => self.goodbye(id, None, GoodbyeCode::Slow),
            // A member without words for a gap that is on its way out anyway goes in its own way.
            LagPolicy::Gap | LagPolicy::Disconnect => {
                let (end, to) = leaving.map_or_else(
                    || (room.ring.end(), room.ring.head_seq()),
                    |leaving| (leaving.until, leaving.seq),
                );
                let from = member.seq + 1;
                member.cursor = end;
                member.seq = to;
                if from <= to {
                    let conversation = Conversation::Room(room.name.clone());
                    let gap = Reply::Gap {
                        conversation,
                        epoch: room.epoch,
                        from,
                        to,
                        lost: !room.history,
                    };
                    self.stats.gaps += 1;
                    self.reply(id, None, &gap);
                }
            }
        }
    }

    /// Asks to be called when this connection's socket has room. Kept beside the flush since it is the flush that asks.
    pub(crate) fn wait_writable(&mut self, id: SessionId) {
        self.wants.push(Want::WaitWritable(id));
        self.schedule(id);
    }
}

/// Writes to one member what it has not had yet, up to `end`. Frames that hold its name are made in `scratch`.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another part of the shard, borrowed beside the others"
)]
fn deliver<S: Socket>(
    ring: &Ring,
    member: &mut Member,
    connection: &mut Connection<S>,
    batches: &mut Vec<Batch>,
    scratch: &mut BytesMut,
    end: u64,
    now_ms: u64,
    stats: &mut Stats,
) -> Delivered {
    while member.cursor < end {
        if member.cursor < ring.base() {
            return Delivered::Lagged;
        }
        let batch = batch_for(batches, ring, member, end);
        let session = connection.session.as_ref();
        let receiver = session.map_or("", |session| local(session.name.as_str()));
        let bytes: &[u8] = match &batch.content {
            Content::Shared(bytes) => bytes,
            Content::Addressed { .. } => {
                ring.assemble(batch, receiver, scratch);
                scratch
            }
        };
        let written = if bytes.is_empty() {
            Ok(0)
        } else {
            connection.socket.try_write(bytes)
        };
        match written {
            Ok(written) if written == bytes.len() => {
                stats.bytes_out += written as u64;
                stats.deliveries += batch.upto - member.cursor;
                member.cursor = batch.upto;
                member.seq = batch.seq;
            }
            Ok(written) => {
                stats.bytes_out += written as u64;
                let (cursor, torn) = match &batch.content {
                    Content::Shared(_) => ring.tear(member.encoding, member.cursor, written),
                    Content::Addressed { .. } => {
                        let (cursor, left) = ring.tear_for(member.encoding, receiver, member.cursor, written);
                        let torn = bytes.get(written..written + left).unwrap_or_default();
                        (cursor, Bytes::copy_from_slice(torn))
                    }
                };
                stats.deliveries += cursor - member.cursor;
                member.cursor = cursor;
                member.seq = ring.seq_before(cursor);
                connection.outgoing().tear(torn, now_ms);
                return Delivered::Full;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                connection.outgoing().tear(Bytes::new(), now_ms);
                return Delivered::Full;
            }
            Err(_) => return Delivered::Dead,
        }
    }
    Delivered::All
}

/// The batch for a member: one that another member at the same cursor was given, or a new one.
fn batch_for<'a>(batches: &'a mut Vec<Batch>, ring: &Ring, member: &Member, end: u64) -> &'a Batch {
    let known = batches
        .iter()
        .position(|batch| batch.encoding == member.encoding && batch.from == member.cursor);
    let place = match known {
        Some(place) => place,
        None => {
            if batches.len() >= limits::BATCHES_PER_FLUSH {
                batches.pop();
            }
            batches.push(ring.batch(member.encoding, member.cursor, end));
            batches.len() - 1
        }
    };
    &batches[place]
}
