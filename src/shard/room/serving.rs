//! The entry points of [`Rooms`] for the engine: events, flushes, sockets that became writable, joins and leaves.
//!
//! Invariants:
//! - A sender gets its acknowledgement before its own message.
//! - A ring is flushed at once when events that were not offered to all members fill half of it. It can drop none of them, so it
//!   would outgrow its limit.
//! - A leaving member gets all events before its leave, and then the answer.
//!
//! A call may end the connection that it serves, so each step looks the connection up again; a closing connection gets no more events.

use std::sync::Arc;

use super::{counts::RoomCounts, delivery::DeliveryFailure, fanout::CatchUp, members::Feed, rings::Lag, rooms::Rooms};
use crate::{
    chat::{Admission, GoodbyeCode, Happening, Position, Refusal, Reply, RequestId, RoomName, SessionId},
    shard::{End, connection::write::Socket, event::room::RoomEvent, ids::RoomSlot, parts::Parts},
};

impl<S: Socket> Parts<'_, S> {
    /// Sends a gap, or closes the connection.
    pub(super) fn show_lag(&mut self, id: SessionId, lag: Option<Lag>) {
        match lag {
            None => {}
            Some(Lag::Gap(gap)) => self.reply(id, None, &gap),
            Some(Lag::TooSlow) => self.goodbye(id, GoodbyeCode::Slow),
        }
    }

    fn wait_writable(&mut self, id: SessionId) {
        self.connections.wait_writable(id, self.now);
    }

    /// Counts and acknowledges a message if its sender is on this shard.
    fn acknowledge(&mut self, event: &RoomEvent, counts: &mut RoomCounts) {
        let (Some(origin), Happening::Message(message)) = (event.origin, &event.happening) else {
            return;
        };
        let session = origin.session;
        if session.shard() != self.connections.shard() {
            return;
        }
        let dialect = self.connections.dialect(session);
        if let Some(count) = dialect.and_then(|dialect| counts.messages.get_mut(usize::from(dialect))) {
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
    /// Handles an event from the owner of a room.
    pub(crate) fn handle_event<S: Socket>(&mut self, event: Arc<RoomEvent>, parts: &mut Parts<'_, S>) {
        parts.acknowledge(&event, &mut self.counts);
        let Some(room) = self.find(&event.room) else {
            return;
        };
        self.guess_before_overflow(room, event.weight(), parts);
        self.append(room, event, parts.now);
        // One walk may not be enough. It may finish a walk that began earlier, which offers fewer events, or none if the removal
        // of a member disturbed it.
        for _ in 0..3 {
            if !self.must_flush(room) {
                return;
            }
            self.walk(room, usize::MAX, parts);
            self.handle_failures(parts);
        }
    }

    /// Guesses the dialect of members whose unsent events, with `coming` more bytes, fill half of an ephemeral room's ring,
    /// because the ring would soon drop these events. In a durable room the members get them from the store.
    fn guess_before_overflow<S: Socket>(&mut self, room: RoomSlot, coming: usize, parts: &mut Parts<'_, S>) {
        if !parts.connections.has_undecided() || !self.is_half_full(room, coming) {
            return;
        }
        let mut behind = Vec::new();
        for id in parts.connections.waiting_for_dialect() {
            match self.is_half_behind(id, room, coming) {
                Some(true) => behind.push(id),
                Some(false) => break,
                // Not admitted yet.
                None => {}
            }
        }
        for id in behind {
            self.guess_dialect(id, parts);
        }
    }

    /// Guesses the dialect of a client that has not shown it, and continues its replay.
    fn guess_dialect<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if parts.connections.waits_for_dialect(id) {
            parts.connections.guess_dialect(id, parts.now);
            self.replay_on(id, parts);
        }
    }

    /// Flushes rooms with at most `most` writes. Returns whether other rooms are ready.
    pub(crate) fn flush<S: Socket>(&mut self, most: usize, parts: &mut Parts<'_, S>) -> bool {
        self.end_waits(parts.now.us);
        let mut writes = 0;
        while writes < most {
            let Some(room) = self.next_ready() else {
                return false;
            };
            writes += self.walk(room, most - writes, parts).max(1);
            self.handle_failures(parts);
        }
        self.has_ready()
    }

    /// Handles the failed deliveries of a walk.
    fn handle_failures<S: Socket>(&mut self, parts: &mut Parts<'_, S>) {
        let mut failures = self.take_failures();
        for failure in failures.drain(..) {
            match failure {
                DeliveryFailure::Full(id) => parts.wait_writable(id),
                DeliveryFailure::Dead(id) => parts.connections.cut(id, End::Reset),
                DeliveryFailure::Lagged(id, room) => self.lagged(id, room, parts),
            }
        }
        self.failures = failures;
    }

    /// Handles a member that fell off its ring: sends it a gap, or closes its connection if its dialect has no gaps.
    fn lagged<S: Socket>(&mut self, id: SessionId, room: RoomSlot, parts: &mut Parts<'_, S>) {
        let Some(policy) = parts.lag_policy(id) else { return };
        let lag = self.skip_lag(id, room, policy);
        self.counts.gaps += u64::from(matches!(lag, Some(Lag::Gap(_))));
        parts.show_lag(id, lag);
    }

    /// Writes the events of all its rooms to a connection whose socket is writable. Returns whether the socket is full again.
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

    /// As [`Rooms::catch_up`], and registers the connection for writability if its socket is full.
    pub(super) fn catch_up_or_wait<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if self.catch_up(id, parts) {
            parts.wait_writable(id);
        }
    }

    /// Handles the owner's answer that admits a session.
    pub(crate) fn handle_admission<S: Socket>(
        &mut self,
        id: SessionId,
        admission: Admission,
        parts: &mut Parts<'_, S>,
    ) {
        let feed = match parts.connections.waits_for_dialect(id) {
            true => Feed::Pending,
            false => Feed::Live,
        };
        if !self.admit(id, feed, &admission.joined) {
            // The session has ended or left; the owner gets its leave.
            return parts.connections.answered(id);
        }
        self.start_member(id, admission, parts);
    }

    /// Handles the owner's answer that refuses a join.
    pub(crate) fn handle_refusal<S: Socket>(
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

    /// Handles the owner's answer that removes a member, which still gets the earlier events.
    pub(crate) fn handle_dismissal<S: Socket>(
        &mut self,
        id: SessionId,
        request: RequestId,
        room: &RoomName,
        parts: &mut Parts<'_, S>,
    ) {
        // The member still gets the live events since its join, which need a dialect; its replay ends here.
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
