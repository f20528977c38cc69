//! Connections come and show their dialects: they are greeted, guessed, corrected, and sent what waited.
//!
//! What such a connection is, and what waits for it, is stated in [`crate::shard::connection::dialect`].
//!
//! Invariants:
//! - A connection is counted under one dialect at a time, or as undecided.
//! - What waited for a dialect is encoded before anything that comes later, in the dialect that shows.
//! - The owners of a member's rooms learn of each dialect that it is taken for, once.
//!
//! Nothing here carries out a request: what a handshake amounts to is given out in [`Happened::Opened`].

use std::net::SocketAddr;

use crate::{
    chat::{Lists, Reply, SessionId, UserList, Welcome},
    codec::{
        Client, DialectId, Frames, Handshake, Message,
        detect::{self, Why},
    },
    shard::{
        connection::{
            connections::{Connections, find},
            dialect::{Certainty, Guess, Pending, Stage},
            happened::Happened,
            reader::{UNDECIDED_LIMITS, limits_of},
            state::{Connection, Phase, Speaking, Undecided},
            write::Socket,
        },
        time::Moment,
    },
    wire::{FrameReader, ReaderLimits},
};

impl<S: Socket> Connections<S> {
    /// Takes up a connection whose handshake is done.
    pub(crate) fn open(
        &mut self,
        socket: S,
        handshake: Handshake,
        dialect: Option<DialectId>,
        now: Moment,
    ) -> SessionId {
        let dialect = match dialect {
            Some(dialect) => dialect,
            None => match detect::from_handshake(&handshake) {
                detect::Detection::Known { dialect, why } => {
                    self.note_detected(handshake.peer, dialect, why);
                    dialect
                }
                detect::Detection::Named { hold } => {
                    let until_ms = now.ms + hold.as_millis() as u64;
                    return self.open_uncertain(socket, handshake, until_ms, now);
                }
                detect::Detection::Nameless { hold, if_silent } => {
                    let until_ms = now.ms + hold.as_millis() as u64;
                    let undecided = Undecided {
                        handshake,
                        until_ms,
                        if_silent,
                    };
                    let phase = Phase::Detecting(Box::new(undecided));
                    let id = self.take_up(socket, phase, None, UNDECIDED_LIMITS, now);
                    self.watch(id, until_ms);
                    return id;
                }
            },
        };
        let reader = limits_of(&self.profiles[usize::from(dialect)]);
        let codec = self.settings.dialects[dialect].open(&handshake);
        let speaking = Speaking::new(dialect, codec, handshake.peer, Certainty::Certain);
        let id = self.take_up(socket, Phase::Open(speaking), Some(dialect), reader, now);
        self.begin_speaking(id, now);
        id
    }

    /// Takes up a connection whose user is known and whose dialect is not.
    fn open_uncertain(&mut self, socket: S, handshake: Handshake, until_ms: u64, now: Moment) -> SessionId {
        let dialect = DialectId::Chatroom;
        let codec = self.settings.dialects[dialect].open(&handshake);
        let peer = handshake.peer;
        let guessing = Certainty::Guessing(Box::new(Guess::new(handshake, until_ms)));
        let speaking = Speaking::new(dialect, codec, peer, guessing);
        let id = self.take_up(socket, Phase::Open(speaking), None, UNDECIDED_LIMITS, now);
        self.watch(id, until_ms);
        self.wait_for_dialect(id);
        self.begin_speaking(id, now);
        id
    }

    fn take_up(
        &mut self,
        socket: S,
        phase: Phase,
        dialect: Option<DialectId>,
        reader: ReaderLimits,
        now: Moment,
    ) -> SessionId {
        self.counts.opened.push(dialect);
        self.insert(socket, phase, FrameReader::new(reader), now.ms)
    }

    /// The dialect is known: the greeting, and what the handshake alone amounts to.
    fn begin_speaking(&mut self, id: SessionId, now: Moment) {
        let random = self.random.f64();
        let Some(connection) = find(&mut self.slots, id) else {
            return;
        };
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        let profile = &self.profiles[usize::from(speaking.dialect)];
        // The first ping comes at random, so that those who came together are not pinged together.
        let first_ping = (profile.ping_every.as_millis() as f64 * random) as u64;
        let opening = speaking.with_codec(|codec| codec.opening());
        connection.begin_pings(now.ms + first_ping);
        if profile.greets {
            self.greet(id, now);
        }
        self.schedule(id, now);
        match opening {
            Ok(requests) => {
                if !requests.is_empty() {
                    self.happened.push_back(Happened::Opened(id, requests));
                }
            }
            Err(fault) => self.fault(id, fault, now),
        }
    }

    /// The server speaks first: at once where the dialect shows no list, so that nothing overtakes the greeting.
    fn greet(&mut self, id: SessionId, now: Moment) {
        let Some(speaking) = self.get(id).and_then(Connection::speaking) else {
            return;
        };
        let peer = speaking.peer;
        if speaking.codec().lists() == Lists::WithNotices {
            self.asked(id);
            return self.happened.push_back(Happened::Greeted(id, peer));
        }
        let users = UserList {
            online: 0,
            names: [].into(),
        };
        self.reply(id, None, &Reply::Greeting { peer, users }, now);
    }

    /// A message has come: it shows the dialect of a connection whose dialect is not certain.
    pub(crate) fn note_message(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.note_spoken();
        if let Phase::Detecting(undecided) = connection.phase() {
            let peer = undecided.handshake.peer;
            let (dialect, why) = detect::from_first_message(&undecided.handshake, message);
            if why.is_certain() {
                self.note_detected(peer, dialect, why);
                self.decide(id, dialect, Certainty::Certain, now);
            } else {
                self.greet_unknown(id, why, now);
            }
        } else if connection.is_uncertain() {
            self.show_dialect(id, message, now);
        } else if connection.session().is_none() {
            self.correct_greeted(id, message, now);
        }
    }

    /// Greets a client that nothing named and that said nothing in time, or nothing that tells its dialect.
    pub(super) fn greet_unknown(&mut self, id: SessionId, why: Why, now: Moment) {
        let Some(Phase::Detecting(undecided)) = self.get(id).map(Connection::phase) else {
            return;
        };
        let (dialect, handshake) = (undecided.if_silent, undecided.handshake.clone());
        self.note_detected(handshake.peer, dialect, why);
        self.decide(id, dialect, Certainty::Greeted(Box::new(handshake)), now);
    }

    /// What such a client says before it has a name may show that it was only slow: load scripts of other dialects give no name
    /// in their handshake either, and look past a greeting that they cannot read.
    fn correct_greeted(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let dialects = self.settings.dialects;
        let Some(speaking) = self.get_mut(id).and_then(Connection::speaking_mut) else {
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
        let before = speaking.change_dialect(dialect, dialects[dialect].open(&handshake));
        self.counts.shown.push((Some(before), dialect));
        self.note_detected(handshake.peer, dialect, why);
        self.begin_speaking(id, now);
    }

    /// A message of a connection whose dialect is not certain.
    fn show_dialect(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let Some(guess) = self.guess(id) else { return };
        let (dialect, why) = detect::from_first_message(&guess.handshake, message);
        if !why.is_certain() {
            // The next one may tell.
            return self.guess_dialect(id, now);
        }
        let (kind, peer) = kind_of(&guess.handshake);
        self.note_detected(peer, dialect, why);
        if self.profiles[usize::from(dialect)].greets {
            return self.begin_anew(id, dialect, now);
        }
        self.recent.entry(kind).or_default().note(dialect);
        self.speak(id, dialect, now);
        let guess = self.end_guess(id);
        for pending in guess.into_iter().flat_map(|guess| guess.into_pending()) {
            self.encode(id, pending);
        }
        // What waited stands before what its rooms have for it.
        self.write(id, now);
        self.happened.push_back(Happened::Shown(id));
    }

    /// Takes a client that has not shown its dialect for what recent clients were, if that has not been done.
    pub(crate) fn guess_dialect(&mut self, id: SessionId, now: Moment) {
        if !self.waits_for_dialect(id) {
            return;
        }
        let Some(guess) = self.guess(id) else { return };
        let (kind, peer) = kind_of(&guess.handshake);
        let recent = self.recent.get(&kind).and_then(|recent| recent.likeliest());
        let (dialect, why) = match recent {
            Some(dialect) => (dialect, Why::Recent),
            None => (DialectId::Chatroom, Why::Silence),
        };
        self.note_detected(peer, dialect, why);
        self.speak(id, dialect, now);
        if let Some(guess) = self.guess(id) {
            guess.guessed();
        }
        self.encode_pending(id, now);
        self.write(id, now);
        self.happened.push_back(Happened::Shown(id));
    }

    /// Encodes what waits for a dialect that was guessed, as far as the socket takes it: the rest may still be corrected.
    pub(crate) fn encode_pending(&mut self, id: SessionId, now: Moment) {
        if self.guess(id).is_some_and(|guess| guess.is_full()) {
            self.guess_dialect(id, now);
        }
        loop {
            let Some(connection) = self.get_mut(id) else { return };
            let socket_takes = connection.private_bytes() == 0 && !connection.blocked();
            let Some(guess) = connection.guess_mut() else { return };
            let Some(pending) = guess.take(socket_takes) else {
                return;
            };
            self.encode(id, pending);
        }
    }

    fn encode(&mut self, id: SessionId, pending: Pending) {
        let Some(connection) = self.get_mut(id) else { return };
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
    fn speak(&mut self, id: SessionId, dialect: DialectId, now: Moment) {
        let profile = self.profiles[usize::from(dialect)];
        let (dialects, random) = (self.settings.dialects, self.random.f64());
        let Some(connection) = find(&mut self.slots, id) else {
            return;
        };
        let welcome = connection
            .session()
            .map(|session| (session.tag(), session.name.clone()));
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
            let codec = dialects[dialect].open(&guess.handshake);
            speaking.change_dialect(dialect, codec);
            let peer = speaking.peer;
            speaking.with_codec(|codec| {
                // It is to know what the one before it was told; three dialects read the same opening from one handshake.
                let _ = codec.opening();
                if let Some((session, name)) = welcome {
                    let welcome = Welcome {
                        session,
                        name,
                        key: None,
                        heartbeat: profile.ping_every,
                        at: now.unix_ms,
                        peer,
                    };
                    let reply = Reply::Welcome(Box::new(welcome));
                    codec.encode_at(now.unix_ms, None, &reply, &mut Frames::default());
                }
            });
        }
        let ping_ms = now.ms + (profile.ping_every.as_millis() as f64 * random) as u64;
        connection.ping_at_latest(ping_ms);
        connection.set_limits(limits_of(&profile));
        if before != Some(dialect) {
            self.counts.shown.push((before, dialect));
            // Those that know would send the list once more.
            self.happened.push_back(Happened::Described(id));
        }
        self.schedule(id, now);
    }

    /// The client speaks a dialect in which users name themselves: who it seemed to be goes, and it begins anew.
    fn begin_anew(&mut self, id: SessionId, dialect: DialectId, now: Moment) {
        self.end_session(id);
        let dialects = self.settings.dialects;
        let Some(guess) = self.end_guess(id) else { return };
        let Some(speaking) = self.get_mut(id).and_then(Connection::speaking_mut) else {
            return;
        };
        let before = speaking.change_dialect(dialect, dialects[dialect].open(&guess.handshake));
        match guess.stage() {
            Stage::Waiting { .. } => {
                self.counts.shown.push((None, dialect));
                self.begin_speaking(id, now);
            }
            Stage::Guessed => {
                self.counts.shown.push((Some(before), dialect));
                self.greet(id, now);
            }
        }
    }

    /// The dialect of an undecided connection is this one.
    fn decide(&mut self, id: SessionId, dialect: DialectId, certainty: Certainty, now: Moment) {
        let dialects = self.settings.dialects;
        let Some(connection) = self.get_mut(id) else { return };
        let Phase::Detecting(undecided) = connection.phase() else {
            return;
        };
        let codec = dialects[dialect].open(&undecided.handshake);
        let speaking = Speaking::new(dialect, codec, undecided.handshake.peer, certainty);
        *connection.phase_mut() = Phase::Open(speaking);
        self.counts.shown.push((None, dialect));
        self.begin_speaking(id, now);
    }

    /// What decided on a dialect goes into the debug log and into a metric.
    fn note_detected(&mut self, peer: SocketAddr, dialect: DialectId, why: Why) {
        tracing::debug!(%peer, dialect = dialect.name(), by = why.name(), "the dialect of a connection is decided");
        self.counts.detected.push((dialect, why));
    }

    /// The dialect is certain from here on; what waited for it.
    fn end_guess(&mut self, id: SessionId) -> Option<Box<Guess>> {
        let speaking = self.get_mut(id)?.speaking_mut()?;
        match std::mem::replace(&mut speaking.certainty, Certainty::Certain) {
            Certainty::Guessing(guess) => Some(guess),
            Certainty::Greeted(_) | Certainty::Certain => None,
        }
    }

    fn guess(&mut self, id: SessionId) -> Option<&mut Guess> {
        self.get_mut(id)?.guess_mut()
    }
}

/// What recent clients with such a handshake are looked up by, and where this one comes from.
fn kind_of(handshake: &Handshake) -> ((usize, Client), SocketAddr) {
    ((handshake.listener, handshake.client), handshake.peer)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::{
        End,
        connection::connections::test::handshake,
        testing::{FakeSocket, TestClock},
    };

    /// A client that a header names.
    fn named() -> (Connections<Rc<FakeSocket>>, SessionId, Rc<FakeSocket>) {
        let mut connections = Connections::for_test();
        let socket = Rc::new(FakeSocket::new(TestClock::default()));
        let handshake = Handshake {
            username: Some(b"ada".to_vec()),
            ..handshake()
        };
        let id = connections.open(socket.clone(), handshake, None, Moment::default());
        while connections.poll().is_some() {}
        connections.enter_for_test(id, "ada");
        (connections, id, socket)
    }

    /// `ada` says something, as clients of document 001 do.
    const CHAT_REQUEST: &[u8] = b"\x0a\x03ada\x12\x04talk\x1a\x02hi";

    #[test]
    fn nothing_is_encoded_before_the_dialect_is_guessed_and_all_of_it_then() {
        let (mut connections, id, socket) = named();
        let system = Reply::System { text: "hi".into() };
        connections.reply(id, None, &system, Moment::default());
        assert_eq!(connections.private_bytes(id), 0);
        connections.guess_dialect(id, Moment::default());
        assert!(matches!(connections.poll(), Some(Happened::Described(_))));
        assert!(matches!(connections.poll(), Some(Happened::Written(_))));
        assert!(matches!(connections.poll(), Some(Happened::Shown(_))));
        assert!(!socket.taken.borrow().is_empty());
        assert_eq!(connections.counts().shown, [(None, DialectId::Chatroom)]);
        connections.guess_dialect(id, Moment::default());
        assert!(connections.poll().is_none(), "it is guessed once");
    }

    #[test]
    fn a_guess_is_corrected_by_the_first_message_and_the_rooms_learn_of_both() {
        let (mut connections, id, _) = named();
        let now = Moment::default();
        connections.guess_dialect(id, now);
        connections.note_message(id, Message::Binary(CHAT_REQUEST), now);
        let mut described = 0;
        while let Some(happened) = connections.poll() {
            described += usize::from(matches!(happened, Happened::Described(_)));
        }
        assert_eq!(described, 2);
        assert_eq!(connections.dialect(id), Some(DialectId::ChatRequest));
        let (guessed, shown) = (DialectId::Chatroom, DialectId::ChatRequest);
        assert_eq!(connections.counts().shown, [(None, guessed), (Some(guessed), shown)]);
        assert!(
            connections
                .recent
                .iter()
                .any(|recent| recent.likeliest() == Some(shown))
        );
    }

    #[test]
    fn a_connection_is_undecided_in_the_counts_until_its_dialect_shows() {
        let (mut connections, id, _) = named();
        assert_eq!(connections.counts().opened, [None]);
        connections.cut(id, End::Reset);
        assert_eq!(connections.counts().ends, [(None, End::Reset)]);
        assert!(connections.counts().shown.is_empty());
    }
}
