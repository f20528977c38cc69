//! Opening connections and finding their dialects: [`Connections`] greets, guesses, and corrects a wrong guess.
//! [`crate::shard::connection::dialect`] explains the states.
//!
//! Invariants:
//! - A connection is counted under one dialect at a time, or as undecided.
//! - Replies that waited for the dialect are encoded in the dialect that is found, before later replies.
//! - The owners of a member's rooms are notified of each dialect of the member once.
//!
//! This file carries out no request: those of a handshake leave in [`Notification::Opened`].

use std::net::SocketAddr;

use crate::{
    chat::{Lists, Reply, SessionId, UserList, Welcome},
    codec::{
        Client, Codec, DialectId, Frames, Handshake, Message,
        detect::{self, Why},
    },
    shard::{
        connection::{
            connections::Connections,
            dialect::{Certainty, Guess, Pending, Stage},
            notification::Notification,
            reader::{UNDECIDED_LIMITS, limits_of},
            state::{Connection, Phase, Speaking, Undecided},
            write::Socket,
        },
        time::Moment,
    },
    wire::{FrameReader, ReaderLimits},
};

impl<S: Socket> Connections<S> {
    /// Opens a connection whose handshake is complete.
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
        let reader = limits_of(&self.profile_of(dialect));
        let codec = self.open_codec(dialect, &handshake);
        let speaking = Speaking::new(dialect, codec, handshake.peer, Certainty::Certain);
        let id = self.take_up(socket, Phase::Open(speaking), Some(dialect), reader, now);
        self.begin_speaking(id, now);
        id
    }

    /// Opens a connection whose handshake shows the user but not the dialect.
    fn open_uncertain(&mut self, socket: S, handshake: Handshake, until_ms: u64, now: Moment) -> SessionId {
        let dialect = DialectId::Chatroom;
        let codec = self.open_codec(dialect, &handshake);
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
        self.counts().opened.push(dialect);
        self.insert(socket, phase, FrameReader::new(reader), now.ms)
    }

    /// The dialect is known or assumed: sends the greeting, and takes the requests that the handshake contains.
    fn begin_speaking(&mut self, id: SessionId, now: Moment) {
        let random = self.random().f64();
        let Some(profile) = self.profile(id).copied() else {
            return;
        };
        let Some(connection) = self.get_mut(id) else { return };
        let Some(speaking) = connection.speaking_mut() else {
            return;
        };
        // Random, so that connections that opened together are not pinged together.
        let first_ping = (profile.ping_every.as_millis() as f64 * random) as u64;
        let opening = speaking.with_codec(|codec| codec.opening());
        connection.liveness.ping_at(now.ms + first_ping);
        if profile.greets {
            self.greet(id, now);
        }
        self.schedule(id, now);
        match opening {
            Ok(requests) => {
                if !requests.is_empty() {
                    self.notify(Notification::Opened(id, requests));
                }
            }
            Err(fault) => self.fault(id, fault, now),
        }
    }

    /// Sends the greeting of a dialect in which the server speaks first. Without a list of users it is sent at once, so that nothing
    /// overtakes it.
    fn greet(&mut self, id: SessionId, now: Moment) {
        let Some(speaking) = self.get(id).and_then(Connection::speaking) else {
            return;
        };
        let peer = speaking.peer;
        if speaking.codec().lists() == Lists::WithNotices {
            self.asked(id);
            return self.notify(Notification::GreetingDue(id, peer));
        }
        let users = UserList {
            online: 0,
            names: [].into(),
        };
        self.reply(id, None, &Reply::Greeting { peer, users }, now);
    }

    /// A message has arrived, which may show the dialect.
    pub(crate) fn note_message(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let Some(connection) = self.get_mut(id) else { return };
        connection.naming.note_spoken();
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

    /// Assumes the dialect of a client whose handshake names no user, and whose first message did not show the dialect or did not
    /// arrive in time.
    pub(super) fn greet_unknown(&mut self, id: SessionId, why: Why, now: Moment) {
        let Some(Phase::Detecting(undecided)) = self.get(id).map(Connection::phase) else {
            return;
        };
        let (dialect, handshake) = (undecided.if_silent, undecided.handshake.clone());
        self.note_detected(handshake.peer, dialect, why);
        self.decide(id, dialect, Certainty::Greeted(Box::new(handshake)), now);
    }

    /// Corrects the assumed dialect of a client in [`Certainty::Greeted`] when a message shows another one before the client has
    /// a name. Load scripts of other dialects name no user in their handshake, and ignore a greeting that they cannot decode.
    fn correct_greeted(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let dialects = self.settings().dialects;
        let Some(speaking) = self.get_mut(id).and_then(Connection::speaking_mut) else {
            return;
        };
        let Certainty::Greeted(handshake) = &speaking.certainty else {
            return;
        };
        let (dialect, why) = detect::from_first_message(handshake, message);
        if !why.is_certain() {
            // A later message may show it.
            return;
        }
        let Certainty::Greeted(handshake) = std::mem::replace(&mut speaking.certainty, Certainty::Certain) else {
            return;
        };
        if speaking.dialect == dialect {
            return;
        }
        let before = speaking.change_dialect(dialect, dialects[dialect].open(&handshake));
        self.counts().shown.push((Some(before), dialect));
        self.note_detected(handshake.peer, dialect, why);
        self.begin_speaking(id, now);
    }

    /// Detects the dialect of a connection in [`Certainty::Guessing`] from a message.
    fn show_dialect(&mut self, id: SessionId, message: Message<'_>, now: Moment) {
        let Some(guess) = self.guess(id) else { return };
        let (dialect, why) = detect::from_first_message(&guess.handshake, message);
        if !why.is_certain() {
            // A later message may show it.
            return self.guess_dialect(id, now);
        }
        let (kind, peer) = kind_of(&guess.handshake);
        self.note_detected(peer, dialect, why);
        if self.profile_of(dialect).greets {
            return self.start_over(id, dialect, now);
        }
        self.recent().entry(kind).or_default().note(dialect);
        self.speak(id, dialect, now);
        let guess = self.end_guess(id);
        for pending in guess.into_iter().flat_map(|guess| guess.into_pending()) {
            self.encode(id, pending);
        }
        // The pending replies must precede the events of its rooms.
        self.write(id, now);
        self.notify(Notification::DialectShown(id));
    }

    /// Guesses the dialect of a silent client, unless it has been guessed.
    pub(crate) fn guess_dialect(&mut self, id: SessionId, now: Moment) {
        if !self.waits_for_dialect(id) {
            return;
        }
        let Some(guess) = self.guess(id) else { return };
        let (kind, peer) = kind_of(&guess.handshake);
        let recent = self.recent().get(&kind).and_then(|recent| recent.likeliest());
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
        self.notify(Notification::DialectShown(id));
    }

    /// Encodes pending replies in the guessed dialect while the socket takes them. The guess may still be corrected for the rest.
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

    /// Changes to this dialect. The requests of the handshake have been carried out already.
    fn speak(&mut self, id: SessionId, dialect: DialectId, now: Moment) {
        let profile = self.profile_of(dialect);
        let (dialects, random) = (self.settings().dialects, self.random().f64());
        let Some(connection) = self.get_mut(id) else { return };
        let welcome = connection
            .session()
            .map(|session| (session.tag(), session.name().clone()));
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
                // The new codec must know the opening, which is the same in all three dialects, and the welcome.
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
        connection.reader.set_limits(limits_of(&profile));
        if before != Some(dialect) {
            self.counts().shown.push((before, dialect));
            // Only after a change: a second notification would make the owners send their lists again.
            self.notify(Notification::DialectChanged(id));
        }
        self.schedule(id, now);
    }

    /// In the client's dialect a message names the user: ends the session of the user in the header, and starts over.
    fn start_over(&mut self, id: SessionId, dialect: DialectId, now: Moment) {
        self.end_session(id);
        let Some(guess) = self.end_guess(id) else { return };
        let codec = self.open_codec(dialect, &guess.handshake);
        let Some(speaking) = self.get_mut(id).and_then(Connection::speaking_mut) else {
            return;
        };
        let before = speaking.change_dialect(dialect, codec);
        match guess.stage() {
            Stage::Waiting { .. } => {
                self.counts().shown.push((None, dialect));
                self.begin_speaking(id, now);
            }
            Stage::Guessed => {
                self.counts().shown.push((Some(before), dialect));
                self.greet(id, now);
            }
        }
    }

    /// Gives an undecided connection its dialect.
    fn decide(&mut self, id: SessionId, dialect: DialectId, certainty: Certainty, now: Moment) {
        let dialects = self.settings().dialects;
        let Some(connection) = self.get_mut(id) else { return };
        let Phase::Detecting(undecided) = connection.phase() else {
            return;
        };
        let codec = dialects[dialect].open(&undecided.handshake);
        let speaking = Speaking::new(dialect, codec, undecided.handshake.peer, certainty);
        *connection.phase_mut() = Phase::Open(speaking);
        self.counts().shown.push((None, dialect));
        self.begin_speaking(id, now);
    }

    fn open_codec(&self, dialect: DialectId, handshake: &Handshake) -> Box<dyn Codec> {
        self.settings().dialects[dialect].open(handshake)
    }

    /// Logs and counts the evidence for a dialect.
    fn note_detected(&mut self, peer: SocketAddr, dialect: DialectId, why: Why) {
        tracing::debug!(%peer, dialect = dialect.name(), by = why.name(), "the dialect of a connection is decided");
        self.counts().detected.push((dialect, why));
    }

    /// Makes the dialect certain; returns what waited for it.
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

/// The key of this kind of handshake in [`Connections::recent`], and the peer.
fn kind_of(handshake: &Handshake) -> ((usize, Client), SocketAddr) {
    ((handshake.listener, handshake.client), handshake.peer)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::{
        End,
        testing::{FakeSocket, TestClock},
    };

    /// A client whose handshake names its user in a header.
    fn named() -> (Connections<Rc<FakeSocket>>, SessionId, Rc<FakeSocket>) {
        let mut connections = Connections::for_test();
        let socket = Rc::new(FakeSocket::new(TestClock::default()));
        let handshake = Handshake {
            username: Some(b"ada".to_vec()),
            ..Handshake::silent()
        };
        let id = connections.open(socket.clone(), handshake, None, Moment::default());
        while connections.poll().is_some() {}
        connections.enter_for_test(id, "ada");
        (connections, id, socket)
    }

    /// A message of `ada` in the wire format of document 001.
    const CHAT_REQUEST: &[u8] = b"\x0a\x03ada\x12\x04talk\x1a\x02hi";

    #[test]
    fn pending_replies_are_encoded_when_the_dialect_is_guessed() {
        let (mut connections, id, socket) = named();
        let system = Reply::System { text: "hi".into() };
        connections.reply(id, None, &system, Moment::default());
        assert_eq!(connections.private_bytes(id), 0);
        connections.guess_dialect(id, Moment::default());
        assert!(matches!(connections.poll(), Some(Notification::DialectChanged(_))));
        assert!(matches!(connections.poll(), Some(Notification::Written(_))));
        assert!(matches!(connections.poll(), Some(Notification::DialectShown(_))));
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
        while let Some(notification) = connections.poll() {
            described += usize::from(matches!(notification, Notification::DialectChanged(_)));
        }
        assert_eq!(described, 2);
        assert_eq!(connections.dialect(id), Some(DialectId::ChatRequest));
        let (guessed, shown) = (DialectId::Chatroom, DialectId::ChatRequest);
        assert_eq!(connections.counts().shown, [(None, guessed), (Some(guessed), shown)]);
        assert!(
            connections
                .recent()
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
