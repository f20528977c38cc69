//! Where the messages of other shards arrive, and what the engine does for rooms: it appends events, flushes, answers joins and
//! leaves, and acts on what rooms ask for ([`crate::shard::room::outcome`]). Who is a member, and what each is sent, is decided
//! there and not here.

use std::sync::Arc;

use crate::shard::{
    End,
    connection::write::Socket,
    engine::{Clock, Engine},
    ids::RoomSlot,
    room::{
        event::RoomEvent,
        fanout::Delivery,
        members::Hold,
        outcome::{CatchUp, Lag, Trouble},
    },
};
use crate::{
    chat::{Admission, GoodbyeCode, Happening, Position, Refusal, Reply, RequestId, RoomName, SessionId, Utterance},
    codec::LagPolicy,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Appends an event to this shard's copy of its room's log.
    pub(super) fn append(&mut self, event: Arc<RoomEvent>) {
        if let Some(origin) = event.origin
            && origin.session.shard() == self.me
            && let Happening::Talk(talk) = &event.happening
        {
            let position = Position {
                epoch: talk.epoch,
                seq: talk.seq,
            };
            self.acknowledge(origin.session, origin.id, position, talk.at);
        }
        let Some(room) = self.rooms.find(&event.room) else {
            return;
        };
        self.guess_before_lapped(room, event.weight());
        self.rooms.append(room, event, self.now);
        self.flush_if_full(room);
    }

    fn acknowledge(&mut self, session: SessionId, id: RequestId, position: Position, at: u64) {
        let dialect = self.connections.dialect(session);
        if let Some(count) = dialect.and_then(|dialect| self.stats.talks.get_mut(usize::from(dialect))) {
            *count += 1;
        }
        if id.is_some() {
            self.reply(
                session,
                id,
                &Reply::Ack {
                    position,
                    at,
                    duplicate: false,
                },
            );
        }
        self.answered(session);
    }

    pub(super) fn show_one(&mut self, id: SessionId, event: &Arc<RoomEvent>) {
        self.connections.show_event(id, event, self.now);
        self.follow();
    }

    /// The session is a member: it sees what comes from here on.
    pub(super) fn admit(&mut self, id: SessionId, admission: Admission) {
        let hold = if self.connections.waits_for_dialect(id) {
            Hold::Held
        } else {
            Hold::Live
        };
        if !self.rooms.admit(id, hold, &admission.joined) {
            // The session that asked has departed, and its owner knows.
            return self.answered(id);
        }
        self.welcome_member(id, admission);
        self.go_on_with_deferred(id);
    }

    /// The owner could not take the session in.
    pub(super) fn join_refused(&mut self, id: SessionId, request: RequestId, room: &RoomName, refusal: Refusal) {
        self.rooms.refuse(id, room);
        self.refuse(id, request, refusal);
        self.answered(id);
    }

    /// The session is no member any more: it still gets what happened before.
    pub(super) fn dismiss(&mut self, id: SessionId, request: RequestId, name: &RoomName) {
        // Whoever goes is not given what it missed any more, but what happened meanwhile.
        self.guess_dialect(id);
        self.end_replay(id, name);
        if !self.rooms.dismiss(id, name, request) {
            return self.answered(id);
        }
        if !self.connection(id).is_some_and(|connection| connection.blocked()) && self.catch_up(id) {
            self.wait_writable(id);
        }
    }

    /// When [`Engine::flush`] is to be called next, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        if !self.directs.is_empty() || self.can_relieve() {
            return Some(0);
        }
        self.rooms.flush_due()
    }

    /// Flushes rooms for a bounded number of writes. Whether there is more to do at once.
    pub(crate) fn flush(&mut self) -> bool {
        self.rooms.end_waits(self.now.us);
        let most = self.settings.yield_writes;
        let mut writes = 0;
        while writes < most {
            let Some(room) = self.rooms.next_ready() else {
                return false;
            };
            writes += self.walk(room, most - writes).max(1);
        }
        self.rooms.has_ready()
    }

    /// Flushes a room before anything else happens in it if its ring is too full to wait.
    fn flush_if_full(&mut self, room: RoomSlot) {
        // A walk that had begun ends first and may leave some to the next; a third finds what the second disturbed.
        for _ in 0..3 {
            if !self.rooms.must_flush(room) {
                return;
            }
            self.walk(room, usize::MAX);
        }
    }

    fn walk(&mut self, room: RoomSlot, most: usize) -> usize {
        let mut delivery = Delivery {
            connections: &mut self.connections,
            stats: &mut self.stats,
            now_ms: self.now.ms,
        };
        let writes = self.rooms.walk(room, most, &self.clock, &mut delivery);
        for trouble in self.rooms.take_troubles() {
            match trouble {
                Trouble::Full(id) => self.wait_writable(id),
                Trouble::Dead(id) => self.cut(id, End::Reset),
                Trouble::Lagged(id, room) => self.lagged(id, room),
            }
        }
        writes
    }

    /// Sends a connection whose socket has room what its rooms have for it. Whether the socket is full again.
    pub(crate) fn catch_up(&mut self, id: SessionId) -> bool {
        let mut membership = 0;
        loop {
            let mut delivery = Delivery {
                connections: &mut self.connections,
                stats: &mut self.stats,
                now_ms: self.now.ms,
            };
            match self.rooms.catch_up(id, &mut membership, &mut delivery) {
                CatchUp::Done => return self.connections.get(id).is_some_and(|connection| connection.blocked()),
                CatchUp::Full => return true,
                CatchUp::Dead => {
                    self.cut(id, End::Reset);
                    return false;
                }
                CatchUp::Left { room, request } => {
                    self.reply(id, request, &Reply::Left { room });
                    self.answered(id);
                }
                CatchUp::Lagged(room) => self.lagged(id, room),
            }
        }
    }

    /// A slow consumer is told what it missed, or closed.
    fn lagged(&mut self, id: SessionId, room: RoomSlot) {
        let Some(policy) = self.lag_policy(id) else { return };
        match self.rooms.pass_lag(id, room, policy) {
            Lag::Nothing => {}
            Lag::Gap(gap) => {
                self.stats.gaps += 1;
                self.reply(id, None, &gap);
            }
            Lag::TooSlow => self.goodbye(id, None, GoodbyeCode::Slow),
        }
    }

    /// What becomes of a member of this connection's dialect that misses messages.
    pub(crate) fn lag_policy(&self, id: SessionId) -> Option<LagPolicy> {
        self.connections.profile(id).map(|profile| profile.lag)
    }

    /// Guesses the dialect of members for which half of this room's ring waits, with what is coming: the ring would drop what
    /// they have not had. Where the room is stored, they are given that from there.
    fn guess_before_lapped(&mut self, room: RoomSlot, coming: usize) {
        if !self.connections.has_undecided() || !self.rooms.is_half_full(room, coming) {
            return;
        }
        let mut behind = Vec::new();
        for id in self.connections.waiting_for_dialect() {
            match self.rooms.is_half_behind(id, room, coming) {
                Some(true) => behind.push(id),
                Some(false) => break,
                // It has not joined yet.
                None => {}
            }
        }
        for id in behind {
            self.guess_dialect(id);
        }
    }

    /// Asks to be called when this connection's socket has room.
    pub(crate) fn wait_writable(&mut self, id: SessionId) {
        self.connections.wait_writable(id, self.now);
    }

    /// The owner gave a talk back.
    pub(super) fn busy(&mut self, room: RoomName, said: Box<Utterance>) {
        let (id, request) = (said.session, said.id);
        self.act(id, request, |rules| rules.given_back(room, said));
        self.answered(id);
    }
}
