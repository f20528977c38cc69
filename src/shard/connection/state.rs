//! One connection: its socket, reader, codec, session and output queues.

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
    wire::FrameReader,
};

pub(crate) struct Connection<S> {
    pub(super) socket: S,
    generation: Generation,
    pub(super) reader: Reader,
    phase: Phase,
    pub(super) naming: Naming,
    pub(super) outgoing: Outgoing,
    pub(super) liveness: Liveness,
    /// The tick of this connection's entry in the wheel; entries at other ticks are stale. 32 bits are enough for 13 years.
    pub(super) tick: u32,
    /// Unanswered requests.
    pub(super) in_flight: u32,
    /// Unanswered questions to the store.
    pub(super) questions: u8,
    /// Whether the connection is in the list of those to write at the end of the turn.
    pub(super) dirty: bool,
    /// Whether the connection is in the list of those that are paused because of overflow.
    pub(super) congested: bool,
    /// Whether the connection is in the list of full sockets.
    pub(super) full: bool,
}

pub(crate) enum Phase {
    /// Its dialect is unknown until its first message; if it stays silent, until the time for that is over.
    Detecting(Box<Undecided>),
    Open(Speaking),
    /// The close frame is queued or written. The peer has until `until_ms` to close.
    Closing {
        /// When the connection is cut, milliseconds.
        until_ms: u64,
        /// Whether the server has shut its side.
        shut: bool,
    },
}

/// A connection whose dialect is unknown.
pub(crate) struct Undecided {
    pub(crate) handshake: Handshake,
    /// When the dialect becomes `if_silent`, milliseconds.
    pub(crate) until_ms: u64,
    pub(crate) if_silent: DialectId,
}

/// A connection whose dialect is known or assumed.
pub(crate) struct Speaking {
    pub(crate) dialect: DialectId,
    pub(crate) peer: SocketAddr,
    pub(crate) certainty: Certainty,
    codec: Box<dyn Codec>,
    /// A copy of the codec's encoding, because the fan-out reads it once for each member.
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

    /// Calls the codec, and copies its encoding, which the call may change.
    pub(crate) fn with_codec<R>(&mut self, act: impl FnOnce(&mut dyn Codec) -> R) -> R {
        let result = act(&mut *self.codec);
        self.encoding = Encoding::new(self.dialect, self.codec.encoding());
        result
    }

    /// Changes the dialect; returns the one before.
    pub(crate) fn change_dialect(&mut self, dialect: DialectId, codec: Box<dyn Codec>) -> DialectId {
        self.encoding = Encoding::new(dialect, codec.encoding());
        self.codec = codec;
        std::mem::replace(&mut self.dialect, dialect)
    }
}

impl<S> Connection<S> {
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

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn phase_mut(&mut self) -> &mut Phase {
        &mut self.phase
    }

    /// Its dialect and codec, while it is open.
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

    /// When Plaza guesses its dialect, milliseconds; nothing is encoded for it before. `None` if it has a dialect.
    pub(crate) fn dialect_guessed_at(&self) -> Option<u64> {
        self.guess()?.waits_until()
    }

    #[cfg(test)]
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.reader.buffered_bytes()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.reader.is_paused()
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.naming.session()
    }

    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        self.naming.session_mut()
    }

    pub(crate) fn named(&self) -> Option<(&Session, &Speaking)> {
        self.session().zip(self.speaking())
    }

    /// Saves the hello while the store checks its key.
    pub(crate) fn claim(&mut self, hello: WaitingHello) {
        self.naming = Naming::Claiming(Box::new(hello));
    }

    /// Takes the hello that the store has answered.
    pub(crate) fn take_claim(&mut self) -> Option<Box<WaitingHello>> {
        self.naming.take_claim()
    }

    /// Gives the connection its session.
    pub(crate) fn enter(&mut self, session: Session) {
        self.naming = Naming::Named(Box::new(session));
    }

    /// Records whether the store is checking the key of a rename.
    pub(crate) fn set_renaming(&mut self, renaming: bool) {
        self.naming.set_renaming(renaming);
    }

    /// Whether the store is checking a key.
    pub(crate) fn asks_for_name(&self) -> bool {
        self.naming.asks_store()
    }

    /// Counts requests that an owner or the store will answer, or that are deferred.
    pub(crate) fn asked(&mut self, requests: usize) {
        self.in_flight += requests as u32;
    }

    /// Counts the answer to a request, or the end of its deferral.
    pub(crate) fn answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Unanswered requests.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Counts a question to the store.
    pub(crate) fn question_asked(&mut self) {
        self.asked(1);
        self.questions = self.questions.saturating_add(1);
    }

    /// Counts the store's answer to a question; [`Self::answered`] counts that to the request.
    pub(crate) fn question_answered(&mut self) {
        self.questions = self.questions.saturating_sub(1);
    }

    /// Unanswered questions to the store.
    pub(crate) fn questions(&self) -> usize {
        usize::from(self.questions)
    }

    /// Since when its full socket has accepted no bytes, milliseconds; `None` if it is not full.
    pub(crate) fn blocked_ms(&self) -> Option<u64> {
        self.outgoing.blocked_ms()
    }

    /// Writes events of a room directly to the socket.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize>
    where
        S: Socket,
    {
        self.socket.try_write(bytes)
    }

    /// A write of events filled the socket: see [`Outgoing::tear`].
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

    /// Bytes of replies and direct messages that wait.
    pub(crate) fn private_bytes(&self) -> usize {
        self.outgoing.private_bytes()
    }

    /// The encoding of events for it, while it is open.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        Some(self.speaking()?.encoding)
    }

    /// Lets its codec append frames to the replies; does nothing once the connection is closing.
    pub(crate) fn encode(&mut self, encode: impl FnOnce(&mut dyn Codec, &mut Frames)) {
        let Phase::Open(speaking) = &mut self.phase else { return };
        let mut frames = Frames {
            buffer: std::mem::take(self.outgoing.private()),
            addressed: None,
        };
        speaking.with_codec(|codec| encode(codec, &mut frames));
        *self.outgoing.private() = frames.buffer;
    }

    /// Appends the frames of an event to the replies.
    pub(crate) fn show(&mut self, append: impl FnOnce(Encoding, &str, &mut BytesMut)) {
        let Some(encoding) = self.encoding() else { return };
        let receiver = self
            .naming
            .session()
            .map_or("", |session| local(session.name().as_str()));
        append(encoding, receiver, self.outgoing.private());
    }

    /// Writes the queues until they are empty or the socket is full. Adds the number of bytes to `count`.
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
