//! Members are served: events come in, rooms are flushed, sockets that were full catch up, sessions join and leave.
//!
//! Invariants:
//! - An event is appended before anything that follows from it is written, and a sender's acknowledgement stands before its own
//!   message.
//! - A ring that is half full is flushed before the next event comes, so a member that reads never finds its events gone.
//! - Who leaves is sent everything that happened before, and told so behind it.
//!
//! Nothing here sends to other shards. What follows from an answer, a goodbye or a write is given out by
//! [`Connections::poll`]; a connection that is over meanwhile is not found, or is being closed and sent nothing more.

use std::sync::Arc;

use super::{
    delivery::Sent,
    event::RoomEvent,
    members::Hold,
    outcome::{CatchUp, Lag, Trouble},
    rooms::Rooms,
};
use crate::{
    chat::{Admission, GoodbyeCode, Happening, Position, Refusal, Reply, RequestId, RoomName, SessionId},
    codec::LagPolicy,
    shard::{
        End,
        connection::{connections::Connections, write::Socket},
        ids::RoomSlot,
        stats::Stats,
        store::port::StorePort,
        time::{Clock, Moment},
    },
};

/// The parts of a shard below its rooms.
pub(crate) struct Parts<'a, S> {
    pub(crate) connections: &'a mut Connections<S>,
    pub(crate) store: &'a mut StorePort,
    pub(crate) stats: &'a mut Stats,
    /// What a flush costs is measured with it.
    pub(crate) clock: &'a dyn Clock,
    pub(crate) now: Moment,
}

impl<S: Socket> Parts<'_, S> {
    pub(super) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        self.connections.reply(id, request, reply, self.now);
    }

    pub(super) fn goodbye(&mut self, id: SessionId, code: GoodbyeCode) {
        self.connections.goodbye(id, None, code, self.now);
    }

    pub(super) fn count(&mut self, sent: &Sent) {
        self.connections.counts().bytes_out += sent.bytes;
        self.stats.deliveries += sent.events;
    }

    fn wait_writable(&mut self, id: SessionId) {
        self.connections.wait_writable(id, self.now);
    }

    /// What becomes of a member of this connection's dialect that misses messages; `None`: it is over.
    pub(super) fn lag_policy(&self, id: SessionId) -> Option<LagPolicy> {
        self.connections.profile(id).map(|profile| profile.lag)
    }

    /// Answers the request of a session of this shard that sent a message.
    fn acknowledge(&mut self, event: &RoomEvent) {
        let (Some(origin), Happening::Message(message)) = (event.origin, &event.happening) else {
            return;
        };
        let session = origin.session;
        if session.shard() != self.connections.shard() {
            return;
        }
        let dialect = self.connections.dialect(session);
        if let Some(count) = dialect.and_then(|dialect| self.stats.messages.get_mut(usize::from(dialect))) {
            *count += 1;
        }
        if origin.id.is_some() {
            let position = Position {
                epoch: message.epoch,
                seq: message.seq,
            };
            let ack = Reply::Ack {
                position,
                at: message.at,
                duplicate: false,
            };
            self.reply(session, origin.id, &ack);
        }
        self.connections.answered(session);
    }
}

impl Rooms {
    /// The owner of a room has sent an event.
    pub(crate) fn take_event<S: Socket>(&mut self, event: Arc<RoomEvent>, parts: &mut Parts<'_, S>) {
        parts.acknowledge(&event);
        let Some(room) = self.find(&event.room) else {
            return;
        };
        self.guess_before_lapped(room, event.weight(), parts);
        self.append(room, event, parts.now);
        // A walk that had begun ends first and may leave some to the next; a third finds what the second disturbed.
        for _ in 0..3 {
            if !self.must_flush(room) {
                return;
            }
            self.walk(room, usize::MAX, parts);
            self.see_to_troubles(parts);
        }
    }

    /// Guesses the dialect of members for which half of this room's ring waits, with what is coming: the ring would drop what
    /// they have not had. Where the room is stored, they are given that from there.
    fn guess_before_lapped<S: Socket>(&mut self, room: RoomSlot, coming: usize, parts: &mut Parts<'_, S>) {
        if !parts.connections.has_undecided() || !self.is_half_full(room, coming) {
            return;
        }
        let mut behind = Vec::new();
        for id in parts.connections.waiting_for_dialect() {
            match self.is_half_behind(id, room, coming) {
                Some(true) => behind.push(id),
                Some(false) => break,
                // It has not joined yet.
                None => {}
            }
        }
        for id in behind {
            self.guess_dialect(id, parts);
        }
    }

    /// Takes a client that has not shown its dialect for what recent clients were: its rooms may go on.
    fn guess_dialect<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if parts.connections.waits_for_dialect(id) {
            parts.connections.guess_dialect(id, parts.now);
            self.replay_on(id, parts);
        }
    }

    /// Flushes rooms for at most so many writes. Whether there is more to do at once.
    pub(crate) fn flush<S: Socket>(&mut self, most: usize, parts: &mut Parts<'_, S>) -> bool {
        self.end_waits(parts.now.us);
        let mut writes = 0;
        while writes < most {
            let Some(room) = self.next_ready() else {
                return false;
            };
            writes += self.walk(room, most - writes, parts).max(1);
            self.see_to_troubles(parts);
        }
        self.has_ready()
    }

    /// Members that a walk could not send everything wait for their sockets, or are over.
    fn see_to_troubles<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        let mut troubles = self.take_troubles();
        for trouble in troubles.drain(..) {
            match trouble {
                Trouble::Full(id) => parts.wait_writable(id),
                Trouble::Dead(id) => parts.connections.cut(id, End::Reset),
                Trouble::Lagged(id, room) => self.lagged(id, room, parts),
            }
        }
        self.troubles = troubles;
    }

    /// Handles a member that fell off its ring: sends it a gap, or closes its connection if its dialect has no gaps.
    fn lagged<S: Socket>(&mut self, id: SessionId, room: RoomSlot, parts: &mut Parts<'_, S>) {
        let Some(policy) = parts.lag_policy(id) else { return };
        match self.pass_lag(id, room, policy) {
            Lag::Nothing => {}
            Lag::Gap(gap) => {
                parts.stats.gaps += 1;
                parts.reply(id, None, &gap);
            }
            Lag::TooSlow => parts.goodbye(id, GoodbyeCode::Slow),
        }
    }

    /// Sends a connection whose socket has room what its rooms have for it. Whether the socket is full again.
    pub(crate) fn catch_up<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) -> bool {
        let mut membership = 0;
        loop {
            let Some(connection) = parts.connections.get(id) else {
                return false;
            };
            if connection.is_closing() {
                return connection.blocked();
            }
            match self.catch_up_from(id, &mut membership, parts) {
                CatchUp::Done => return parts.connections.get(id).is_some_and(|connection| connection.blocked()),
                CatchUp::Full => return true,
                CatchUp::Dead => {
                    parts.connections.cut(id, End::Reset);
                    return false;
                }
                CatchUp::Left { room, request } => {
                    parts.reply(id, request, &Reply::Left { room });
                    parts.connections.answered(id);
                }
                CatchUp::Lagged(room) => self.lagged(id, room, parts),
            }
        }
    }

    /// As [`Rooms::catch_up`]; asks to be called when there is room again.
    pub(super) fn catch_up_or_wait<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if self.catch_up(id, parts) {
            parts.wait_writable(id);
        }
    }

    /// The session is a member: it sees what comes from here on.
    pub(crate) fn take_in<S: Socket>(&mut self, id: SessionId, admission: Admission, parts: &mut Parts<'_, S>) {
        let hold = match parts.connections.waits_for_dialect(id) {
            true => Hold::Held,
            false => Hold::Live,
        };
        if !self.admit(id, hold, &admission.joined) {
            // The session that asked has departed, and its owner knows.
            return parts.connections.answered(id);
        }
        self.welcome(id, admission, parts);
    }

    /// The owner could not take the session in.
    pub(crate) fn turn_away<S: Socket>(
        &mut self,
        id: SessionId,
        request: RequestId,
        room: &RoomName,
        refusal: Refusal,
        parts: &mut Parts<'_, S>,
    ) {
        self.refuse(id, room);
        parts.reply(id, request, &Reply::Error(refusal));
        parts.connections.answered(id);
    }

    /// The session is no member any more: it still gets what happened before.
    pub(crate) fn let_go<S: Socket>(
        &mut self,
        id: SessionId,
        request: RequestId,
        room: &RoomName,
        parts: &mut Parts<'_, S>,
    ) {
        // Whoever goes is not given what it missed any more, but what happened meanwhile.
        self.guess_dialect(id, parts);
        self.end_replay(id, room, parts);
        if !self.dismiss(id, room, request) {
            return parts.connections.answered(id);
        }
        if !parts.connections.get(id).is_some_and(|connection| connection.blocked()) {
            self.catch_up_or_wait(id, parts);
        }
    }
}
