//! A connection as its shard sees it: reader, codec, session, and the little that waits to be written.

use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};

use crate::shard::{
    connection::deferring::Deferred,
    direct::device::{Device, Mail},
    direct::receipts::Acknowledging,
    store::names::{Claiming, Proof},
};
use crate::{
    chat::{ClientId, Generation, RequestId, RoomName, SessionTag, UserName, Utterance},
    codec::{Codec, Encoding, Handshake},
    wire::FrameReader,
};

/// What a connection is written to.
pub(crate) trait Socket {
    /// Writes what fits without waiting; how many of these bytes were taken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// From now on closing it means a reset: what was not sent is thrown away.
    fn reset(&self);
}

/// One connection.
pub(crate) struct Connection<S> {
    pub(crate) socket: S,
    generation: Generation,
    /// The reader; `None` while it is being read from, and after the end.
    pub(crate) reader: Option<FrameReader>,
    pub(crate) phase: Phase,
    pub(crate) session: Option<Box<Session>>,
    /// What waits to be written; `None` most of the time.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// When it was taken up, milliseconds.
    pub(crate) opened_ms: u64,
    /// When the last bytes came, milliseconds.
    pub(crate) heard_ms: u64,
    /// When its socket, which was full, last took bytes, so that its peer reads; whole seconds, rounded up.
    taken_s: u32,
    /// When the next ping is due.
    pub(crate) ping_ms: u64,
    /// When the reader began to have something unfinished; 0: nothing is.
    pub(crate) unfinished_ms: u64,
    /// The tick of the wheel at which this connection comes up; entries for other ticks are stale. Enough for 13 years.
    pub(crate) tick: u32,
    /// Requests not answered yet.
    pub(crate) underway: u32,
    /// A hello that waits for the store.
    pub(crate) claiming: Option<Box<Claiming>>,
    /// Questions that the store has not answered.
    pub(crate) questions: u16,
    /// Something has been said, if only a hello that was refused.
    pub(crate) spoken: bool,
    /// A rename that waits for the store.
    pub(crate) renaming: bool,
    /// Not read until there is room again.
    pub(crate) paused: bool,
    /// The connection is in the list of those to be written at the end of the turn.
    pub(crate) dirty: bool,
    /// The connection is in the list of those that wait for other shards.
    pub(crate) congested: bool,
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
    pub(crate) if_silent: &'static str,
}

/// A connection whose dialect is known.
pub(crate) struct Speaking {
    /// The number of its dialect.
    pub(crate) dialect: u8,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    pub(crate) codec: Box<dyn Codec>,
    pub(crate) certainty: Certainty,
}

/// Whether a client has shown that it speaks the dialect it is taken to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    Certain,
    /// What is known of it is apart ([`crate::shard::connection::dialect`]), for few connections are so, and not for long.
    Uncertain,
}

/// A named user's connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: UserName,
    pub(crate) tag: SessionTag,
    /// Which client it is, where that said so: its idempotency keys belong to it.
    pub(crate) client: Option<Box<ClientId>>,
    /// When the user last said something, for the idle kick.
    pub(crate) said_ms: u64,
    pub(crate) typed_ms: u64,
    /// Theoretical arrival time of its next message under `chat.messages_per_second` (GCRA), microseconds.
    pub(crate) paid_us: u64,
    /// The user has said exit: goodbye when the last room has let it go.
    pub(crate) exiting: Option<RequestId>,
    /// Requests that wait for a join or leave before them.
    pub(crate) deferred: Option<Box<Deferred>>,
    /// The user whose going this session is told of.
    pub(crate) peer: Option<UserName>,
    /// By what right it has its name.
    pub(crate) proof: Proof,
    /// The stored direct messages that it is being given.
    pub(crate) mail: Option<Box<Mail>>,
    /// What it has of its direct conversations; `None`: nothing was given yet.
    pub(crate) device: Option<Box<Device>>,
    /// Numbers the readings of mail, so that answers of the store to what is over are known.
    pub(crate) readings: u32,
    /// Direct messages that pongs are to acknowledge, where the dialect has no other words for it.
    pub(crate) acknowledging: Option<Box<Acknowledging>>,
    /// Talks that a busy home gave back, in order, with the time of the first.
    pub(crate) held: Option<Box<Held>>,
}

/// Talks to be tried again.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) since_ms: u64,
    pub(crate) retry_ms: u64,
    /// Those that came back, in order.
    pub(crate) talks: Vec<(RoomName, Box<Utterance>)>,
    /// Those said since the first came back: they stand behind all that come back.
    pub(crate) later: Vec<(RoomName, Box<Utterance>)>,
}

/// What waits to be written to one connection. Order on the wire: the rest of a torn frame, control frames, replies.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The rest of a frame (or of the frames of one event) that a write broke off in.
    torn: Bytes,
    /// Complete control frames.
    control: BytesMut,
    /// Complete frames of replies and direct messages.
    private: BytesMut,
    /// A pong waits in `control`: the next one takes its place.
    pong: Option<(u32, u32)>,
    /// A ping waits in `control`: the next one is not needed.
    ping: bool,
    /// The socket was full at this time (milliseconds), and a task waits for room.
    pub(crate) blocked_ms: Option<u64>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// Everything is out.
    All,
    /// The socket is full.
    Full,
    /// The peer is gone.
    Dead,
}

impl<S> Connection<S> {
    /// A connection that has just come and has said nothing yet.
    pub(crate) fn new(socket: S, generation: Generation, phase: Phase, reader: FrameReader, now_ms: u64) -> Self {
        Self {
            socket,
            generation,
            reader: Some(reader),
            phase,
            session: None,
            outgoing: None,
            opened_ms: now_ms,
            heard_ms: now_ms,
            taken_s: 0,
            ping_ms: u64::MAX,
            unfinished_ms: 0,
            tick: 0,
            underway: 0,
            paused: false,
            dirty: false,
            congested: false,
            claiming: None,
            questions: 0,
            renaming: false,
            spoken: false,
        }
    }

    /// Tells it from the connections that had its slot before.
    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn blocked(&self) -> bool {
        self.outgoing
            .as_ref()
            .is_some_and(|outgoing| outgoing.blocked_ms.is_some())
    }

    pub(crate) fn is_closing(&self) -> bool {
        match self.phase {
            Phase::Closing { .. } => true,
            Phase::Detecting(_) | Phase::Open(_) => false,
        }
    }

    pub(crate) fn is_uncertain(&self) -> bool {
        match &self.phase {
            Phase::Open(speaking) => speaking.certainty == Certainty::Uncertain,
            Phase::Detecting(_) | Phase::Closing { .. } => false,
        }
    }

    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        self.outgoing.get_or_insert_default()
    }

    /// Bytes of replies that wait.
    pub(crate) fn private_bytes(&self) -> usize {
        self.outgoing.as_ref().map_or(0, |outgoing| outgoing.private.len())
    }

    pub(crate) fn encoding(&self) -> Option<Encoding> {
        match &self.phase {
            Phase::Open(speaking) => Some(Encoding::new(usize::from(speaking.dialect), speaking.codec.encoding())),
            Phase::Detecting(_) | Phase::Closing { .. } => None,
        }
    }

    /// When its peer last gave a sign of life, milliseconds: bytes came, or a full socket took some.
    pub(crate) fn alive_ms(&self) -> u64 {
        self.heard_ms.max(u64::from(self.taken_s) * 1_000)
    }

    /// The whole shard stood still for so long: that time counts nowhere as silence.
    pub(crate) fn excuse_standstill(&mut self, stood_ms: u64, now_ms: u64) {
        let later = |at: &mut u64| *at = (*at + stood_ms).min(now_ms);
        self.taken_s = seconds((u64::from(self.taken_s) * 1_000 + stood_ms).min(now_ms));
        later(&mut self.heard_ms);
        if self.unfinished_ms > 0 {
            later(&mut self.unfinished_ms);
        }
        if let Some(outgoing) = &mut self.outgoing
            && let Some(blocked) = &mut outgoing.blocked_ms
        {
            later(blocked);
        }
        match &mut self.session {
            Some(session) => {
                later(&mut session.said_ms);
                if let Some(held) = &mut session.held {
                    later(&mut held.since_ms);
                }
            }
            None => later(&mut self.opened_ms),
        }
    }

    /// It is not read, so nothing that its peer says can be heard: that time counts nowhere as silence.
    pub(crate) fn excuse_silence(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        if self.unfinished_ms > 0 {
            self.unfinished_ms = now_ms;
        }
        // Who has said exit is not read any more, and waits for nothing but the end.
        if let Some(session) = &mut self.session
            && session.exiting.is_none()
        {
            session.said_ms = now_ms;
        }
    }

    /// Writes what waits, as far as it goes. The bytes written are added to `count`.
    pub(crate) fn drain(&mut self, now_ms: u64, count: &mut u64) -> Written
    where
        S: Socket,
    {
        let Some(outgoing) = self.outgoing.as_mut() else {
            return Written::All;
        };
        let was_full = outgoing.blocked_ms.is_some();
        loop {
            let bytes: &[u8] = if !outgoing.torn.is_empty() {
                &outgoing.torn
            } else if !outgoing.control.is_empty() {
                &outgoing.control
            } else if !outgoing.private.is_empty() {
                &outgoing.private
            } else {
                self.outgoing = None;
                return Written::All;
            };
            let (all, written) = match self.socket.try_write(bytes) {
                Ok(written) => (written == bytes.len(), written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (false, 0),
                Err(_) => return Written::Dead,
            };
            *count += written as u64;
            outgoing.take(written);
            if !all && (written > 0 || outgoing.blocked_ms.is_none()) {
                outgoing.blocked_ms = Some(now_ms);
            }
            if was_full && written > 0 {
                self.taken_s = seconds(now_ms);
            }
            if !all {
                return Written::Full;
            }
        }
    }
}

impl Outgoing {
    /// A write broke off in frames of which this is the rest.
    pub(crate) fn tear(&mut self, rest: Bytes, now_ms: u64) {
        self.torn = rest;
        self.blocked_ms = Some(now_ms);
    }

    /// Replies wait here, for a codec to append to.
    pub(crate) fn private(&mut self) -> &mut BytesMut {
        &mut self.private
    }

    /// Appends a ping, unless one waits already.
    pub(crate) fn ping(&mut self, frame: &[u8]) {
        if !self.ping {
            self.control.extend_from_slice(frame);
            self.ping = true;
        }
    }

    /// Appends a pong; one that still waits is replaced (RFC 6455 section 5.5.3).
    pub(crate) fn pong(&mut self, frame: &[u8]) {
        if let Some((from, to)) = self.pong.take() {
            let rest = self.control.split_off(to as usize);
            self.control.truncate(from as usize);
            self.control.unsplit(rest);
        }
        let from = self.control.len();
        self.control.extend_from_slice(frame);
        self.pong = Some((from as u32, self.control.len() as u32));
    }

    /// Takes `written` bytes off the front of what is written next; a frame that was broken off becomes the torn one.
    fn take(&mut self, written: usize) {
        if written == 0 {
            return;
        }
        if !self.torn.is_empty() {
            self.torn.advance(written);
            return;
        }
        let source = if self.control.is_empty() {
            &mut self.private
        } else {
            self.pong = None;
            self.ping = false;
            &mut self.control
        };
        let boundary = frame_boundary(source, written);
        let mut taken = source.split_to(boundary);
        taken.advance(written);
        self.torn = taken.freeze();
        if source.is_empty() {
            *source = BytesMut::new();
        }
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// The first boundary between our own frames at or after `at`.
fn frame_boundary(frames: &[u8], at: usize) -> usize {
    let mut boundary = 0;
    while boundary < at {
        let Some(head) = frames.get(boundary..) else { break };
        let length = match head {
            [_, 127, a, b, c, d, e, f, g, h, ..] => 10 + u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize,
            [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
            [_, short, ..] => 2 + usize::from(*short),
            _ => break,
        };
        boundary += length;
    }
    boundary.min(frames.len())
}
