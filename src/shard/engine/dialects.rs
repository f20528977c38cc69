//! Connections whose dialect is not certain: they are greeted, guessed, corrected, and sent what waited.
//!
//! What such a connection is, and what waits for it, is stated in [`crate::shard::connection::dialect`].

use std::{net::SocketAddr, sync::Arc};

use crate::shard::{
    bus::message::RoomCommand,
    connection::{
        dialect::{Certainty, Guess, Pending, Stage},
        reader::{UNDECIDED_LIMITS, limits_of},
        state::{Phase, Speaking},
        write::Socket,
    },
    engine::{Clock, Engine},
    ids::RoomSlot,
    room::event::RoomEvent,
};
use crate::{
    chat::{Reply, RequestId, SessionId, Welcome},
    codec::{
        Client, DialectId, Frames, Handshake, Message,
        detect::{self, Why},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Takes up a connection whose user is known and whose dialect is not.
    pub(crate) fn open_uncertain(&mut self, socket: S, handshake: Handshake, hold_ms: u64) -> SessionId {
        let until_ms = self.now.ms + hold_ms;
        let dialect = DialectId::Chatroom;
        let speaking = Speaking {
            dialect,
            codec: self.settings.dialects[dialect].open(&handshake),
            peer: handshake.peer,
            certainty: Certainty::Guessing(Box::new(Guess::new(handshake, until_ms))),
        };
        let id = self.insert(socket, Phase::Open(speaking), until_ms, UNDECIDED_LIMITS);
        self.connections.wait_for_dialect(id);
        self.begin_speaking(id);
        id
    }

    /// Whether nothing may be encoded for this connection yet.
    pub(crate) fn waits_for_dialect(&self, id: SessionId) -> bool {
        self.dialect_guessed_at(id).is_some()
    }

    /// When its dialect is guessed, milliseconds, if it has not been.
    pub(crate) fn dialect_guessed_at(&self, id: SessionId) -> Option<u64> {
        self.connections.get(id)?.dialect_guessed_at()
    }

    /// Greets a client that nothing named and that said nothing in time, or nothing that tells its dialect.
    pub(crate) fn greet_unknown(&mut self, id: SessionId, why: Why) {
        let Some(Phase::Detecting(undecided)) = self.connection(id).map(|connection| connection.phase()) else {
            return;
        };
        let (dialect, handshake) = (undecided.if_silent, undecided.handshake.clone());
        self.note_detected(handshake.peer, dialect, why);
        let greeted = Certainty::Greeted(Box::new(handshake));
        self.decide(id, dialect, greeted);
    }

    /// What such a client says before it has a name may show that it was only slow: load scripts of other dialects give no name
    /// in their handshake either, and look past a greeting that they cannot read.
    pub(crate) fn correct_greeted(&mut self, id: SessionId, message: Message<'_>) {
        let dialects = self.settings.dialects;
        let Some(speaking) = self.connection(id).and_then(|connection| connection.speaking_mut()) else {
            return;
        };
        let Certainty::Greeted(handshake) = &speaking.certainty else {
            return;
        };
        let (dialect, why) = detect::from_first_message(handshake, message);
        if !why.is_certain() {
            // The next one may tell.
            return;
        }
        let Certainty::Greeted(handshake) = std::mem::replace(&mut speaking.certainty, Certainty::Certain) else {
            return;
        };
        if speaking.dialect == dialect {
            return;
        }
        speaking.codec = dialects[dialect].open(&handshake);
        let before = std::mem::replace(&mut speaking.dialect, dialect);
        self.stats.shown.push((Some(before), dialect));
        self.note_detected(handshake.peer, dialect, why);
        self.begin_speaking(id);
    }

    /// A message of a connection whose dialect is not certain.
    pub(crate) fn show_dialect(&mut self, id: SessionId, message: Message<'_>) {
        let Some(guess) = self.guess(id) else { return };
        let (dialect, why) = detect::from_first_message(&guess.handshake, message);
        if !why.is_certain() {
            // The next one may tell.
            return self.guess_dialect(id);
        }
        let (kind, peer) = kind_of(&guess.handshake);
        self.note_detected(peer, dialect, why);
        if self.profiles[usize::from(dialect)].greets {
            return self.begin_anew(id, dialect);
        }
        self.directory.recent.entry(kind).or_default().note(dialect);
        self.speak(id, dialect);
        let guess = self.end_guess(id);
        for pending in guess.into_iter().flat_map(|guess| guess.into_pending()) {
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
        let Some(guess) = self.guess(id) else { return };
        let (kind, peer) = kind_of(&guess.handshake);
        let recent = self.directory.recent.get(&kind).and_then(|recent| recent.likeliest());
        let (dialect, why) = match recent {
            Some(dialect) => (dialect, Why::Recent),
            None => (DialectId::Chatroom, Why::Silence),
        };
        self.note_detected(peer, dialect, why);
        self.speak(id, dialect);
        if let Some(guess) = self.guess(id) {
            guess.guessed();
        }
        self.encode_on(id);
        self.write(id);
        self.replay_on(id);
    }

    /// Guesses the dialect of members for which half of this room's ring waits, with what is coming: the ring would drop what
    /// they have not had. Where the room is stored, they are given that from there.
    pub(crate) fn guess_before_lapped(&mut self, room: RoomSlot, coming: usize) {
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

    /// Has something wait for the dialect of its connection; gives it back if that is certain.
    pub(crate) fn await_dialect(&mut self, id: SessionId, at: u64, request: RequestId, reply: &Reply) -> bool {
        let Some(guess) = self.guess(id) else {
            return false;
        };
        guess.put(Pending::Reply {
            at,
            id: request,
            reply: reply.clone(),
        });
        self.encode_on(id);
        true
    }

    /// The same for an event that only this member sees.
    pub(crate) fn await_dialect_for(&mut self, id: SessionId, event: &Arc<RoomEvent>) -> bool {
        let Some(guess) = self.guess(id) else {
            return false;
        };
        guess.put(Pending::Event(event.clone()));
        self.encode_on(id);
        true
    }

    /// Encodes what waits for a dialect that was guessed, as far as the socket takes it: the rest may still be corrected.
    pub(crate) fn encode_on(&mut self, id: SessionId) {
        if self.guess(id).is_some_and(|guess| guess.is_full()) {
            self.guess_dialect(id);
        }
        loop {
            let Some(connection) = self.connection(id) else { return };
            let socket_takes = connection.private_bytes() == 0 && !connection.blocked();
            let Some(guess) = connection.guess_mut() else { return };
            let Some(pending) = guess.take(socket_takes) else {
                return;
            };
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
    fn speak(&mut self, id: SessionId, dialect: DialectId) {
        let profile = self.profiles[usize::from(dialect)];
        let (dialects, random, now) = (self.settings.dialects, self.random.f64(), self.now);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let welcome = connection.session().map(|session| (session.tag, session.name.clone()));
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        let Certainty::Guessing(guess) = &speaking.certainty else {
            return;
        };
        let before = match guess.stage() {
            Stage::Waiting { .. } => None,
            Stage::Guessed => Some(speaking.dialect),
        };
        if speaking.dialect != dialect {
            speaking.codec = dialects[dialect].open(&guess.handshake);
            speaking.dialect = dialect;
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
        connection.set_limits(limits_of(&profile));
        if before != Some(dialect) {
            self.stats.shown.push((before, dialect));
        }
        self.follow_encoding(id);
        self.schedule(id);
        if before == Some(dialect) {
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
    fn begin_anew(&mut self, id: SessionId, dialect: DialectId) {
        self.depart(id);
        let dialects = self.settings.dialects;
        let Some(guess) = self.end_guess(id) else { return };
        let Some(connection) = self.connection(id) else { return };
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        speaking.codec = dialects[dialect].open(&guess.handshake);
        let before = std::mem::replace(&mut speaking.dialect, dialect);
        match guess.stage() {
            Stage::Waiting { .. } => {
                self.stats.shown.push((None, dialect));
                self.begin_speaking(id);
            }
            Stage::Guessed => {
                self.stats.shown.push((Some(before), dialect));
                self.greet(id);
            }
        }
    }

    /// The dialect is certain from here on; what waited for it.
    fn end_guess(&mut self, id: SessionId) -> Option<Box<Guess>> {
        let speaking = self.connection(id)?.speaking_mut()?;
        match std::mem::replace(&mut speaking.certainty, Certainty::Certain) {
            Certainty::Guessing(guess) => Some(guess),
            Certainty::Greeted(_) | Certainty::Certain => None,
        }
    }

    fn guess(&mut self, id: SessionId) -> Option<&mut Guess> {
        self.connection(id)?.guess_mut()
    }
}

/// What recent clients with such a handshake are looked up by, and where this one comes from.
fn kind_of(handshake: &Handshake) -> ((usize, Client), SocketAddr) {
    ((handshake.listener, handshake.client), handshake.peer)
}
