//! A connection as its shard sees it: reader, codec, session, and the little that waits to be written.

use std::{io, net::SocketAddr};

use bytes::{Bytes, BytesMut};

use crate::shard::connection::{
    dialect::{Certainty, Guess},
    liveness::Liveness,
    naming::{Naming, WaitingHello},
    reader::Reader,
    session::Session,
    write::{Outgoing, Socket, Written},
};
use crate::{
    chat::{Generation, local},
    codec::{Codec, DialectId, Encoding, Frames, Handshake},
    wire::{FrameReader, ReaderLimits},
};

/// One connection.
pub(crate) struct Connection<S> {
    pub(super) socket: S,
    generation: Generation,
    reader: Reader,
    phase: Phase,
    pub(super) naming: Naming,
    pub(super) outgoing: Outgoing,
    pub(super) liveness: Liveness,
    /// The tick of the wheel at which this connection comes up; entries for other ticks are stale. Enough for 13 years.
    pub(super) tick: u32,
    /// Requests not answered yet.
    pub(super) in_flight: u32,
    /// Questions that the store has not answered.
    pub(super) questions: u8,
    /// The connection is in the list of those to be written at the end of the turn.
    pub(super) dirty: bool,
    /// The connection is in the list of those that wait for other shards.
    pub(super) congested: bool,
    /// The connection is in the list of those whose sockets are full.
    pub(super) full: bool,
}

/// How far a connection has come.
pub(crate) enum Phase {
    /// Its dialect shows with the first message, or when it stays silent.
    Detecting(Box<Undecided>),
    /// Its codec speaks.
    Open(Speaking),
    /// It has been told goodbye: what waits is written, then the peer has a moment to close.
    Closing {
        /// When it is cut off, milliseconds.
        until_ms: u64,
        /// Whether our side is shut already.
        shut: bool,
    },
}

/// A connection that has not shown its dialect.
pub(crate) struct Undecided {
    pub(crate) handshake: Handshake,
    /// When it becomes `if_silent`, milliseconds.
    pub(crate) until_ms: u64,
    pub(crate) if_silent: DialectId,
}

/// A connection whose dialect is known.
pub(crate) struct Speaking {
    pub(crate) dialect: DialectId,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    pub(crate) certainty: Certainty,
    codec: Box<dyn Codec>,
    /// As the codec last said: the fan-out asks for it once for each member.
    encoding: Encoding,
}

impl Speaking {
    pub(crate) fn new(dialect: DialectId, codec: Box<dyn Codec>, peer: SocketAddr, certainty: Certainty) -> Self {
        Self {
            dialect,
            peer,
            certainty,
            encoding: Encoding::new(dialect, codec.encoding()),
            codec,
        }
    }

    pub(crate) fn codec(&self) -> &dyn Codec {
        &*self.codec
    }

    /// Lets the codec read or write; what it does may change its encoding.
    pub(crate) fn with_codec<R>(&mut self, act: impl FnOnce(&mut dyn Codec) -> R) -> R {
        let result = act(&mut *self.codec);
        self.encoding = Encoding::new(self.dialect, self.codec.encoding());
        result
    }

    /// It turns out to speak another dialect; which one it seemed to be.
    pub(crate) fn change_dialect(&mut self, dialect: DialectId, codec: Box<dyn Codec>) -> DialectId {
        self.encoding = Encoding::new(dialect, codec.encoding());
        self.codec = codec;
        std::mem::replace(&mut self.dialect, dialect)
    }
}

impl<S> Connection<S> {
    /// A connection that has just come and has said nothing yet.
    pub(crate) fn new(socket: S, generation: Generation, phase: Phase, reader: FrameReader, now_ms: u64) -> Self {
        Self {
            socket,
            generation,
            reader: Reader::On(reader),
            phase,
            naming: Naming::Unnamed { spoken: false },
            outgoing: Outgoing::default(),
            liveness: Liveness::new(now_ms),
            tick: 0,
            in_flight: 0,
            questions: 0,
            dirty: false,
            congested: false,
            full: false,
        }
    }

    /// Tells it from the connections that had its slot before.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn phase_mut(&mut self) -> &mut Phase {
        &mut self.phase
    }

    /// Its dialect and codec, once it has one and until it is closed.
    pub(crate) fn speaking(&self) -> Option<&Speaking> {
        match &self.phase {
            Phase::Open(speaking) => Some(speaking),
            Phase::Detecting(_) | Phase::Closing { .. } => None,
        }
    }

    pub(crate) fn speaking_mut(&mut self) -> Option<&mut Speaking> {
        match &mut self.phase {
            Phase::Open(speaking) => Some(speaking),
            Phase::Detecting(_) | Phase::Closing { .. } => None,
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    pub(crate) fn is_uncertain(&self) -> bool {
        self.guess().is_some()
    }

    /// What waits for its dialect, which is not certain.
    fn guess(&self) -> Option<&Guess> {
        match &self.speaking()?.certainty {
            Certainty::Guessing(guess) => Some(guess),
            Certainty::Greeted(_) | Certainty::Certain => None,
        }
    }

    pub(crate) fn guess_mut(&mut self) -> Option<&mut Guess> {
        match &mut self.speaking_mut()?.certainty {
            Certainty::Guessing(guess) => Some(guess),
            Certainty::Greeted(_) | Certainty::Certain => None,
        }
    }

    /// When its dialect is guessed, milliseconds, if it has not been: nothing is encoded for it before.
    pub(crate) fn dialect_guessed_at(&self) -> Option<u64> {
        self.guess()?.waits_until()
    }

    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    /// Whether its socket is read.
    pub(crate) fn is_read(&self) -> bool {
        self.reader.is_on()
    }

    /// Its dialect has shown: how its messages are read from here on.
    pub(crate) fn set_limits(&mut self, limits: ReaderLimits) {
        self.reader.set_limits(limits);
    }

    /// Takes the reader to read bytes with it; there is none after the end.
    pub(crate) fn take_reader(&mut self) -> Option<FrameReader> {
        self.reader.take()
    }

    /// Puts back the reader that was taken.
    pub(crate) fn put_reader(&mut self, reader: FrameReader, paused: bool) {
        self.reader.put(reader, paused);
    }

    pub(crate) fn resume_reading(&mut self) {
        self.reader.resume();
    }

    /// Nothing is read any more.
    pub(crate) fn end_reading(&mut self) {
        self.reader.end();
    }

    /// Stops reading its socket, if it is read.
    pub(crate) fn pause_reading(&mut self) {
        self.reader.pause();
    }

    /// Whether it is not read until there is room again.
    pub(crate) fn is_paused(&self) -> bool {
        self.reader.is_paused()
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.naming.session()
    }

    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        self.naming.session_mut()
    }

    /// Its session, and how it speaks.
    pub(crate) fn named(&self) -> Option<(&Session, &Speaking)> {
        self.session().zip(self.speaking())
    }

    /// A message has come.
    pub(crate) fn note_spoken(&mut self) {
        self.naming.note_spoken();
    }

    /// Its hello waits for the store.
    pub(crate) fn claim(&mut self, hello: WaitingHello) {
        self.naming = Naming::Claiming(Box::new(hello));
    }

    /// The hello that waited for the store.
    pub(crate) fn take_claim(&mut self) -> Option<Box<WaitingHello>> {
        self.naming.take_claim()
    }

    /// It has a name from here on.
    pub(crate) fn enter(&mut self, session: Session) {
        self.naming = Naming::Named(Box::new(session));
    }

    /// A rename waits for the store, or has been answered.
    pub(crate) fn set_renaming(&mut self, renaming: bool) {
        self.naming.set_renaming(renaming);
    }

    /// Whether the store is being asked for a name.
    pub(crate) fn asks_for_name(&self) -> bool {
        self.naming.asks_store()
    }

    /// Its session is over, and so is whatever waits for one.
    pub(crate) fn end_session(&mut self) -> Option<Box<Session>> {
        self.naming.end()
    }

    /// So many of its requests are sent to somebody who answers them, or wait for that.
    pub(crate) fn asked(&mut self, requests: usize) {
        self.in_flight += requests as u32;
    }

    /// A request is answered, or waits no more.
    pub(crate) fn answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Requests that have not been answered.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A question is sent to the store.
    pub(crate) fn question_asked(&mut self) {
        self.asked(1);
        self.questions = self.questions.saturating_add(1);
    }

    /// The store has answered a question; the request is answered with that.
    pub(crate) fn question_answered(&mut self) {
        self.questions = self.questions.saturating_sub(1);
    }

    /// Questions that the store has not answered.
    pub(crate) fn questions(&self) -> usize {
        usize::from(self.questions)
    }

    /// Since when its socket is full, milliseconds.
    pub(crate) fn blocked_ms(&self) -> Option<u64> {
        self.outgoing.blocked_ms()
    }

    /// Writes events of a room, which do not wait here.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize>
    where
        S: Socket,
    {
        self.socket.try_write(bytes)
    }

    /// A write of events broke off in frames of which this is the rest; empty if it broke off between two events.
    pub(crate) fn tear(&mut self, rest: Bytes, now_ms: u64) {
        self.outgoing.tear(rest, now_ms);
    }

    /// Whether its socket is full.
    pub(crate) fn blocked(&self) -> bool {
        self.outgoing.blocked_ms().is_some()
    }

    pub(crate) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Bytes of replies that wait.
    pub(crate) fn private_bytes(&self) -> usize {
        self.outgoing.private_bytes()
    }

    /// How it sees events, while it may be sent any.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        Some(self.speaking()?.encoding)
    }

    /// Has its codec append frames behind the replies that wait. After its goodbye it is told nothing.
    pub(crate) fn encode(&mut self, encode: impl FnOnce(&mut dyn Codec, &mut Frames)) {
        let Phase::Open(speaking) = &mut self.phase else { return };
        let mut frames = Frames {
            buffer: std::mem::take(self.outgoing.private()),
            addressed: None,
        };
        speaking.with_codec(|codec| encode(codec, &mut frames));
        *self.outgoing.private() = frames.buffer;
    }

    /// Appends frames of an event, made for its user, behind the replies that wait.
    pub(crate) fn show(&mut self, append: impl FnOnce(Encoding, &str, &mut BytesMut)) {
        let Some(encoding) = self.encoding() else { return };
        let receiver = self.naming.session().map_or("", |session| local(session.name.as_str()));
        append(encoding, receiver, self.outgoing.private());
    }

    /// Writes what waits, as far as it goes. The bytes written are added to `count`.
    pub(crate) fn drain(&mut self, now_ms: u64, count: &mut u64) -> Written
    where
        S: Socket,
    {
        let (was_full, before) = (self.blocked(), *count);
        let written = self.outgoing.drain(&self.socket, now_ms, count);
        if was_full && *count > before {
            self.liveness.took(now_ms);
        }
        written
    }
}
