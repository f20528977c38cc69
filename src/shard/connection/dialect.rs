//! Members of plain `/ws` whose dialect is not certain: clients of three dialects name their user in the same header, and some
//! say nothing until their user presses a button.
//!
//! Such a client is a member at once. What it is told waits unencoded: events of its rooms behind its cursor, which is held,
//! and everything else in [`Uncertain`]. Its first message shows the dialect, and what waits is encoded. A silent client is
//! taken for what recent clients with the same kind of handshake were; its first message may still correct that, for what
//! has not been encoded by then. Nothing is sent twice.

use std::{collections::VecDeque, sync::Arc};

use crate::shard::{
    bus::message::RoomCommand,
    connection::read::UNDECIDED_LIMITS,
    connection::state::{Certainty, Phase, Speaking},
    connection::write::Socket,
    engine::{Clock, Engine},
    ids::RoomSlot,
    room::event::RoomEvent,
};
use crate::{
    chat::{Reply, RequestId, SessionId, Welcome},
    codec::{
        Frames, Handshake, Message,
        detect::{self, Why},
        number_of,
    },
    limits,
};

/// The connections of a shard whose dialect is not certain; members and no others are [`Certainty::Uncertain`].
#[derive(Default)]
pub(crate) struct Uncertainties {
    members: foldhash::HashMap<SessionId, Uncertain>,
    /// Those that wait, and some that waited, in the order in which they came: so their cursors in the lobby are in order, too.
    queue: VecDeque<SessionId>,
    /// Clients that nothing named and that have shown nothing in time: they have been greeted, as only some dialects are.
    greeted: foldhash::HashMap<SessionId, Handshake>,
}

impl Uncertainties {
    /// The connection is closing, or gone.
    pub(crate) fn forget(&mut self, id: SessionId) {
        if !self.members.is_empty() {
            self.members.remove(&id);
        }
        if !self.greeted.is_empty() {
            self.greeted.remove(&id);
        }
    }

    fn waits(&self, id: SessionId) -> bool {
        self.members
            .get(&id)
            .is_some_and(|uncertain| uncertain.waits_until().is_some())
    }

    /// One that waits is here.
    fn queue(&mut self, id: SessionId) {
        self.forget_first();
        self.queue.push_back(id);
    }

    /// Takes those that wait no more from the front of the queue. Nobody waits longer than [`limits::DETECT_NAMED`].
    fn forget_first(&mut self) {
        while self.queue.front().is_some_and(|first| !self.waits(*first)) {
            self.queue.pop_front();
        }
    }
}

/// A connection whose dialect is not certain.
struct Uncertain {
    handshake: Handshake,
    stage: Stage,
    /// What it is to be told, oldest first.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
}

/// What is encoded meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing, until this time in milliseconds.
    Waiting { until_ms: u64 },
    /// Whatever its socket takes at once, in the dialect that was guessed.
    Guessed,
}

/// Something that waits to be encoded.
enum Pending {
    Reply { at: u64, id: RequestId, reply: Reply },
    Event(Arc<RoomEvent>),
}

impl Uncertain {
    /// Until when nothing is encoded.
    fn waits_until(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { until_ms } => Some(until_ms),
            Stage::Guessed => None,
        }
    }

    fn put(&mut self, pending: Pending) {
        self.pending_bytes += pending.bytes();
        self.pending.push_back(pending);
    }

    fn take(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes -= pending.bytes();
        Some(pending)
    }

    fn is_full(&self) -> bool {
        self.pending.len() > limits::UNCERTAIN_MESSAGES || self.pending_bytes > limits::UNCERTAIN_BYTES
    }
}

impl Pending {
    fn bytes(&self) -> usize {
        match self {
            Self::Reply {
                reply: Reply::Direct(direct),
                ..
            } => direct.talk.text.len(),
            Self::Reply { .. } | Self::Event(_) => 0,
        }
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Takes up a connection whose user is known and whose dialect is not.
    pub(crate) fn open_uncertain(&mut self, socket: S, handshake: Handshake, hold_ms: u64) -> SessionId {
        let until_ms = self.now.ms + hold_ms;
        let dialect = number_of(detect::CHATROOM).unwrap_or_default();
        let speaking = Speaking {
            dialect: dialect as u8,
            codec: self.settings.dialects[dialect].open(&handshake),
            peer: handshake.peer,
            certainty: Certainty::Uncertain,
        };
        let id = self.insert(socket, Phase::Open(speaking), until_ms, UNDECIDED_LIMITS);
        let uncertain = Uncertain {
            handshake,
            stage: Stage::Waiting { until_ms },
            pending: VecDeque::new(),
            pending_bytes: 0,
        };
        self.uncertain.members.insert(id, uncertain);
        self.uncertain.queue(id);
        self.begin_speaking(id);
        id
    }

    /// Whether nothing may be encoded for this connection yet.
    pub(crate) fn waits_for_dialect(&self, id: SessionId) -> bool {
        self.dialect_guessed_at(id).is_some()
    }

    /// When its dialect is guessed, milliseconds, if it has not been.
    pub(crate) fn dialect_guessed_at(&self, id: SessionId) -> Option<u64> {
        if self.uncertain.members.is_empty() {
            return None;
        }
        self.uncertain.members.get(&id)?.waits_until()
    }

    /// Greets a client that nothing named and that said nothing in time, or nothing that tells its dialect.
    pub(crate) fn greet_unknown(&mut self, id: SessionId, why: Why) {
        let Some(Phase::Detecting(undecided)) = self.connection(id).map(|connection| connection.phase()) else {
            return;
        };
        let (dialect, handshake) = (undecided.if_silent, undecided.handshake.clone());
        self.note_detected(handshake.peer, dialect, why);
        self.uncertain.greeted.insert(id, handshake);
        self.decide(id, number_of(dialect).unwrap_or_default());
    }

    /// What such a client says before it has a name may show that it was only slow: load scripts of other dialects give no name
    /// in their handshake either, and look past a greeting that they cannot read.
    pub(crate) fn correct_greeted(&mut self, id: SessionId, message: Message<'_>) {
        if self.uncertain.greeted.is_empty() {
            return;
        }
        let Some(handshake) = self.uncertain.greeted.get(&id) else {
            return;
        };
        let (dialect, why) = detect::from_first_message(handshake, message);
        let Some(number) = number_of(dialect).filter(|_| why.is_certain()) else {
            // The next one may tell.
            return;
        };
        let Some(handshake) = self.uncertain.greeted.remove(&id) else {
            return;
        };
        let dialects = self.settings.dialects;
        let Some(Phase::Open(speaking)) = self.connection(id).map(|connection| connection.phase_mut()) else {
            return;
        };
        if usize::from(speaking.dialect) == number {
            return;
        }
        speaking.codec = dialects[number].open(&handshake);
        let before = std::mem::replace(&mut speaking.dialect, number as u8);
        self.stats.shown.push((Some(before), number as u8));
        self.note_detected(handshake.peer, dialect, why);
        self.begin_speaking(id);
    }

    /// A message of a connection whose dialect is not certain.
    pub(crate) fn show_dialect(&mut self, id: SessionId, message: Message<'_>) {
        let Some(uncertain) = self.uncertain.members.get(&id) else {
            return;
        };
        let (dialect, why) = detect::from_first_message(&uncertain.handshake, message);
        if !why.is_certain() {
            // The next one may tell.
            return self.guess_dialect(id);
        }
        let kind = (uncertain.handshake.listener, uncertain.handshake.client);
        let peer = uncertain.handshake.peer;
        self.note_detected(peer, dialect, why);
        let number = number_of(dialect).unwrap_or_default();
        if self.profiles[number].greets {
            return self.begin_anew(id, number);
        }
        self.directory.recent.entry(kind).or_default().note(number);
        self.speak(id, number);
        let uncertain = self.end_uncertainty(id);
        for pending in uncertain.into_iter().flat_map(|uncertain| uncertain.pending) {
            self.encode_pending(id, pending);
        }
        // What waited stands before what its rooms have for it.
        self.write(id);
        self.replay_on(id);
    }

    /// Takes a client that has not shown its dialect for what recent clients were, if that has not been done.
    pub(crate) fn guess_dialect(&mut self, id: SessionId) {
        if !self.waits_for_dialect(id) {
            return;
        }
        let Some(uncertain) = self.uncertain.members.get(&id) else {
            return;
        };
        let kind = (uncertain.handshake.listener, uncertain.handshake.client);
        let peer = uncertain.handshake.peer;
        let recent = self.directory.recent.get(&kind).and_then(|recent| recent.likeliest());
        let (number, why) = match recent {
            Some(number) => (number, Why::Recent),
            None => (number_of(detect::CHATROOM).unwrap_or_default(), Why::Silence),
        };
        self.note_detected(peer, self.settings.dialects[number].name(), why);
        self.speak(id, number);
        if let Some(uncertain) = self.uncertain(id) {
            uncertain.stage = Stage::Guessed;
        }
        self.encode_on(id);
        self.write(id);
        self.replay_on(id);
    }

    /// Guesses the dialect of members for which half of this room's ring waits, with what is coming: the ring would drop what
    /// they have not had. Where the room is stored, they are given that from there.
    pub(crate) fn guess_before_lapped(&mut self, room: RoomSlot, coming: usize) {
        self.uncertain.forget_first();
        if self.uncertain.queue.is_empty() {
            return;
        }
        if !self.rooms.is_half_full(room, coming) {
            return;
        }
        let mut behind = Vec::new();
        for id in &self.uncertain.queue {
            // Where it is `None`, it has not joined yet.
            let is_behind = self.rooms.is_half_behind(*id, room, coming);
            if let Some(is_behind) = is_behind.filter(|_| self.uncertain.waits(*id)) {
                if !is_behind {
                    break;
                }
                behind.push(*id);
            }
        }
        for id in behind {
            self.guess_dialect(id);
        }
    }

    /// Has something wait for the dialect of its connection; gives it back if that is certain.
    pub(crate) fn await_dialect(&mut self, id: SessionId, at: u64, request: RequestId, reply: &Reply) -> bool {
        let Some(uncertain) = self.uncertain(id) else {
            return false;
        };
        uncertain.put(Pending::Reply {
            at,
            id: request,
            reply: reply.clone(),
        });
        self.encode_on(id);
        true
    }

    /// The same for an event that only this member sees.
    pub(crate) fn await_dialect_for(&mut self, id: SessionId, event: &Arc<RoomEvent>) -> bool {
        let Some(uncertain) = self.uncertain(id) else {
            return false;
        };
        uncertain.put(Pending::Event(event.clone()));
        self.encode_on(id);
        true
    }

    /// Encodes what waits for a dialect that was guessed, as far as the socket takes it: the rest may still be corrected.
    pub(crate) fn encode_on(&mut self, id: SessionId) {
        if self.uncertain(id).is_some_and(|uncertain| uncertain.is_full()) {
            self.guess_dialect(id);
        }
        loop {
            let taken = self
                .connection(id)
                .is_some_and(|connection| connection.private_bytes() == 0 && !connection.blocked());
            let waits = !taken || self.waits_for_dialect(id);
            let Some(uncertain) = self.uncertain(id) else { return };
            if waits && !(uncertain.is_full() && uncertain.stage == Stage::Guessed) {
                return;
            }
            let Some(pending) = uncertain.take() else { return };
            self.encode_pending(id, pending);
        }
    }

    fn encode_pending(&mut self, id: SessionId, pending: Pending) {
        let Some(connection) = self.connection(id) else { return };
        match pending {
            Pending::Reply { at, id, reply } => {
                connection.encode(|codec, frames| codec.encode_at(at, id, &reply, frames));
            }
            Pending::Event(event) => {
                connection.show(|encoding, receiver, out| event.frames(encoding).append_for(receiver, out));
            }
        }
        self.mark_dirty(id);
    }

    /// The connection speaks this dialect from here on; its handshake has been carried out already.
    fn speak(&mut self, id: SessionId, number: usize) {
        let profile = self.profiles[number];
        let (dialects, random, now) = (self.settings.dialects, self.random.f64(), self.now);
        let uncertainties = &self.uncertain;
        let connections = self.connections.get_mut(id);
        let Some(connection) = connections else { return };
        let welcome = connection.session().map(|session| (session.tag, session.name.clone()));
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        let Some(uncertain) = uncertainties.members.get(&id) else {
            return;
        };
        let before = match uncertain.stage {
            Stage::Waiting { .. } => None,
            Stage::Guessed => Some(speaking.dialect),
        };
        if usize::from(speaking.dialect) != number {
            speaking.codec = dialects[number].open(&uncertain.handshake);
            speaking.dialect = number as u8;
            // It is to know what the one before it was told; three dialects read the same opening from one handshake.
            let _ = speaking.codec.opening();
            if let Some((session, name)) = welcome {
                let welcome = Welcome {
                    session,
                    name,
                    key: None,
                    heartbeat: profile.ping_every,
                    at: now.unix_ms,
                    peer: speaking.peer,
                };
                let reply = Reply::Welcome(Box::new(welcome));
                speaking
                    .codec
                    .encode_at(now.unix_ms, None, &reply, &mut Frames::default());
            }
        }
        let lists = speaking.codec.lists();
        let ping_ms = now.ms + (profile.ping_every.as_millis() as f64 * random) as u64;
        connection.ping_at_latest(ping_ms);
        connection
            .reader
            .set_limits(crate::shard::connection::read::limits_of(&profile));
        if before != Some(number as u8) {
            self.stats.shown.push((before, number as u8));
        }
        self.follow_encoding(id);
        self.schedule(id);
        if before.is_some_and(|before| usize::from(before) == number) {
            // Its rooms know: they would send the list once more.
            return;
        }
        for room in self.rooms.rooms_of(id) {
            let describe = RoomCommand::Describe {
                session: id,
                sees_own_going: profile.sees_own_going,
                lists,
            };
            self.command(room, describe);
        }
    }

    /// The client speaks a dialect in which users name themselves: who it seemed to be goes, and it begins anew.
    fn begin_anew(&mut self, id: SessionId, number: usize) {
        self.depart(id);
        let dialects = self.settings.dialects;
        let Some(uncertain) = self.end_uncertainty(id) else {
            return;
        };
        let Some(connection) = self.connection(id) else { return };
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        speaking.codec = dialects[number].open(&uncertain.handshake);
        let before = std::mem::replace(&mut speaking.dialect, number as u8);
        match uncertain.stage {
            Stage::Waiting { .. } => {
                self.stats.shown.push((None, number as u8));
                self.begin_speaking(id);
            }
            Stage::Guessed => {
                self.stats.shown.push((Some(before), number as u8));
                self.greet(id);
            }
        }
    }

    /// The dialect is certain from here on; what waited for it.
    fn end_uncertainty(&mut self, id: SessionId) -> Option<Uncertain> {
        if let Some(Phase::Open(speaking)) = self.connection(id).map(|connection| connection.phase_mut()) {
            speaking.certainty = Certainty::Certain;
        }
        self.uncertain.members.remove(&id)
    }

    fn uncertain(&mut self, id: SessionId) -> Option<&mut Uncertain> {
        if self.uncertain.members.is_empty() {
            return None;
        }
        self.uncertain.members.get_mut(&id)
    }
}
