//! From bytes to messages: connections come, show their dialect, and are read as fast as they are served.

use std::net::SocketAddr;

use crate::shard::{
    End,
    bus::message::{ToOwner, ToShard},
    connection::backpressure::{Load, Pause},
    connection::dialect::Certainty,
    connection::reader::{Reading, UNDECIDED_LIMITS, limits_of},
    connection::state::{Phase, Speaking, Undecided},
    connection::write::Socket,
    engine::{Clock, Engine, Want},
};
use crate::{
    chat::{ErrorCode, Lists, Reply, RoomName, SessionId, UserList},
    codec::{DialectId, Fault, Handshake, Message, Profile, detect},
    wire::{self, Flow, FrameReader, Incoming, Progress, ReaderLimits},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Takes up a connection whose handshake is done.
    pub(crate) fn open(&mut self, socket: S, handshake: Handshake, dialect: Option<DialectId>) -> SessionId {
        let (phase_until, dialect) = match dialect {
            Some(dialect) => (0, dialect),
            None => match detect::from_handshake(&handshake) {
                detect::Detection::Known { dialect, why } => {
                    self.note_detected(handshake.peer, dialect, why);
                    (0, dialect)
                }
                detect::Detection::Named { hold } => {
                    return self.open_uncertain(socket, handshake, hold.as_millis() as u64);
                }
                detect::Detection::Nameless { hold, if_silent } => {
                    let until_ms = self.now.ms + hold.as_millis() as u64;
                    let undecided = Undecided {
                        handshake: handshake.clone(),
                        until_ms,
                        if_silent,
                    };
                    return self.insert(
                        socket,
                        Phase::Detecting(Box::new(undecided)),
                        until_ms,
                        UNDECIDED_LIMITS,
                    );
                }
            },
        };
        let profile = self.profiles[usize::from(dialect)];
        let reader = limits_of(&profile);
        let codec = self.settings.dialects[dialect].open(&handshake);
        let speaking = Speaking {
            dialect,
            codec,
            peer: handshake.peer,
            certainty: Certainty::Certain,
        };
        let id = self.insert(socket, Phase::Open(speaking), phase_until, reader);
        self.begin_speaking(id);
        id
    }

    pub(crate) fn insert(&mut self, socket: S, phase: Phase, until_ms: u64, reader: ReaderLimits) -> SessionId {
        self.stats.opened.push(match &phase {
            Phase::Open(speaking) if matches!(speaking.certainty, Certainty::Certain) => Some(speaking.dialect),
            Phase::Open(_) | Phase::Detecting(_) | Phase::Closing { .. } => None,
        });
        let reader = FrameReader::new(reader);
        let id = self.connections.insert(socket, phase, reader, self.now.ms);
        if until_ms > 0 {
            self.watch(id, until_ms);
        }
        id
    }

    /// The dialect is known: the greeting, and what the handshake alone amounts to.
    pub(crate) fn begin_speaking(&mut self, id: SessionId) {
        let random = self.random.f64();
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        let profile = &self.profiles[usize::from(speaking.dialect)];
        // The first ping comes at random, so that those who came together are not pinged together.
        let first_ping = (profile.ping_every.as_millis() as f64 * random) as u64;
        let opening = speaking.codec.opening();
        let greets = profile.greets;
        connection.begin_pings(now + first_ping);
        if greets {
            self.greet(id);
        }
        self.schedule(id);
        match opening {
            Ok(requests) => {
                for request in requests {
                    self.request(id, request);
                }
            }
            Err(fault) => self.fault(id, fault),
        }
    }

    /// The server speaks first: at once where the dialect shows no list, so that nothing overtakes the greeting.
    pub(crate) fn greet(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(speaking) = connection.speaking() else {
            return;
        };
        let peer = speaking.peer;
        if speaking.codec.lists() != Lists::WithNotices {
            let users = UserList {
                online: 0,
                names: [].into(),
            };
            return self.reply(id, None, &Reply::Greeting { peer, users });
        }
        connection.underway += 1;
        let owner = self.directory.owner_of(RoomName::lobby().as_str());
        self.send(owner, ToShard::Owner(ToOwner::Greet { session: id, peer }));
    }

    /// Bytes came off the socket; they are unmasked in place.
    pub(crate) fn receive(&mut self, id: SessionId, bytes: &mut [u8]) -> Reading {
        let now = self.now.ms;
        self.stats.bytes_in += bytes.len() as u64;
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        connection.heard(now);
        self.read(id, |reader, sink| reader.read(bytes, sink))
    }

    /// Goes on with a connection that was paused, if nothing keeps it from being read any more: with what its reader kept,
    /// and then with its socket. Called wherever a reason for a pause ends.
    pub(crate) fn read_on(&mut self, id: SessionId) {
        if !self.connection(id).is_some_and(|connection| connection.is_paused()) || self.flow(id).is_some() {
            return;
        }
        let now = self.now.ms;
        let Some(connection) = self.connection(id) else { return };
        connection.resume_reading();
        connection.excuse_silence(now);
        let reading = self.read(id, |reader, sink| reader.resume(sink));
        if reading != Reading::Paused {
            self.wants.push(Want::Wake(id));
        }
    }

    pub(crate) fn read(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut FrameReader, &mut dyn FnMut(Incoming<'_>) -> Flow) -> Result<Progress, wire::Violation>,
    ) -> Reading {
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        let undecided = connection.speaking().is_none() || connection.is_uncertain();
        let Some(mut reader) = connection.take_reader() else {
            return Reading::Discard;
        };
        let mut finished = false;
        let outcome = step(&mut reader, &mut |incoming| {
            finished |= matches!(incoming, Incoming::Message(_));
            self.incoming(id, incoming);
            match self.flow(id) {
                None => Flow::Go,
                Some(_) => Flow::Pause,
            }
        });
        let now = self.now.ms;
        let profiles = self.profiles.clone();
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        if connection.is_closing() {
            return Reading::Discard;
        }
        if undecided
            && let Phase::Open(speaking) = connection.phase()
            && !connection.is_uncertain()
        {
            reader.set_limits(limits_of(&profiles[usize::from(speaking.dialect)]));
        }
        match outcome {
            Ok(Progress::NeedMore | Progress::Closed) => {
                let begins = connection.note_unfinished(reader.is_unfinished(), finished, now);
                connection.put_reader(reader, false);
                if begins {
                    self.schedule(id);
                }
                Reading::On
            }
            Ok(Progress::Paused) => {
                connection.put_reader(reader, true);
                Reading::Paused
            }
            Err(violation) => {
                let end = match violation.code {
                    1007 => End::NotUtf8,
                    1009 => End::TooLarge,
                    _ => End::Violation,
                };
                if end == End::TooLarge {
                    self.say_too_long(id);
                }
                self.close(id, violation.code, &violation.reason, end);
                Reading::Discard
            }
        }
    }

    pub(crate) fn incoming(&mut self, id: SessionId, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Message(message) => self.message(id, message),
            Incoming::Ping(payload) => {
                if let Some(connection) = self.connection(id) {
                    connection.outgoing_mut().pong(payload);
                    self.mark_dirty(id);
                }
            }
            Incoming::Pong(payload) => self.pong(id, payload),
            Incoming::Close { code, .. } => {
                let answer = wire::close_answer(code);
                self.close_with(id, answer.as_bytes(), End::Peer);
            }
        }
    }

    /// Why this connection is not to be read on, and what that leads to.
    pub(crate) fn flow(&mut self, id: SessionId) -> Option<Pause> {
        let load = Load {
            quiesced: self.service.is_quiesced(),
            congested: self.bus.is_congested() || self.bus.is_busy_with_itself(),
            private_most: self.private_most(),
            message_rate: self.settings.message_rate.get(),
            now_us: self.now.us,
        };
        let Some(connection) = self.connections.get(id) else {
            return Some(Pause::Closing);
        };
        let (pause, was_paused) = (connection.pause(&load), connection.is_paused());
        match pause {
            Some(Pause::RateLimit) => {
                // The wheel reads on.
                self.schedule(id);
                if !was_paused {
                    self.stats.held_back += 1;
                }
            }
            Some(Pause::Congested) => self.connections.wait_for_relief(id),
            _ => {}
        }
        pause
    }

    pub(crate) fn message(&mut self, id: SessionId, message: Message<'_>) {
        let Some(connection) = self.connection(id) else { return };
        connection.note_spoken();
        if let Phase::Detecting(undecided) = connection.phase() {
            let peer = undecided.handshake.peer;
            let (dialect, why) = detect::from_first_message(&undecided.handshake, message);
            if why.is_certain() {
                self.note_detected(peer, dialect, why);
                self.decide(id, dialect, Certainty::Certain);
            } else {
                self.greet_unknown(id, why);
            }
        } else if connection.is_uncertain() {
            self.show_dialect(id, message);
        } else if connection.session().is_none() {
            self.correct_greeted(id, message);
        }
        let most = self
            .dialect_profile(id)
            .map_or(usize::MAX, |profile| profile.message_bytes);
        if message.bytes().len() > most {
            // It was read before its dialect was known.
            self.say_too_long(id);
            return self.close(id, 1009, "the message is too long", End::TooLarge);
        }
        let mut requests = std::mem::take(&mut self.requests);
        let decoded = match self.connection(id).map(|connection| connection.phase_mut()) {
            Some(Phase::Open(speaking)) => speaking.codec.decode(message, &mut requests),
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => Ok(()),
        };
        for request in requests.drain(..) {
            self.request(id, request);
        }
        self.requests = requests;
        if let Err(fault) = decoded {
            self.fault(id, fault);
        }
    }

    /// What decided on a dialect goes into the debug log and into a metric.
    pub(crate) fn note_detected(&mut self, peer: SocketAddr, dialect: DialectId, why: detect::Why) {
        tracing::debug!(%peer, dialect = dialect.name(), by = why.name(), "the dialect of a connection is decided");
        self.stats.detected.push((dialect, why));
    }

    /// The dialect of an undecided connection is this one.
    pub(crate) fn decide(&mut self, id: SessionId, dialect: DialectId, certainty: Certainty) {
        let dialects = self.settings.dialects;
        let Some(connection) = self.connection(id) else { return };
        let Phase::Detecting(undecided) = connection.phase() else {
            return;
        };
        let codec = dialects[dialect].open(&undecided.handshake);
        let peer = undecided.handshake.peer;
        *connection.phase_mut() = Phase::Open(Speaking {
            dialect,
            codec,
            peer,
            certainty,
        });
        self.stats.shown.push((None, dialect));
        self.begin_speaking(id);
    }

    fn dialect_profile(&self, id: SessionId) -> Option<&Profile> {
        let speaking = self.connections.get(id)?.speaking()?;
        self.profiles.get(usize::from(speaking.dialect))
    }

    /// Tells a client of an older system, in its own words, why it is going to be closed: its pages show no close code.
    fn say_too_long(&mut self, id: SessionId) {
        if self.is_native(id) {
            return;
        }
        let Some(most) = self.dialect_profile(id).map(|profile| profile.message_bytes) else {
            return;
        };
        let text =
            format!("the message is longer than {most} bytes and was not sent; connect again and send it in parts");
        self.guess_dialect(id);
        self.reply(id, None, &Reply::Error(ErrorCode::Invalid.because(text)));
        self.encode_on(id);
    }

    pub(crate) fn fault(&mut self, id: SessionId, fault: Fault) {
        match fault {
            Fault::Refused(request, refusal) => self.reply(id, request, &Reply::Error(refusal)),
            Fault::Close(code, reason) => self.close(id, code, reason, End::Refused),
        }
    }
}
