//! One case: what a client sends, what must come back, and how the connection must end.

use std::{
    io::{self, ErrorKind, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use crate::support::{self, MASK, PATIENCE, Peer, frame, head};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A numbered case. It makes its script when it runs, because those of section 9 have 150 MiB in total.
pub(crate) struct Case {
    /// The number of the same case in the Autobahn suite.
    pub(crate) number: String,
    pub(crate) script: Box<dyn Fn() -> Script + Send + Sync>,
}

/// The steps on one connection.
pub(crate) struct Script {
    steps: Vec<Step>,
    events: Vec<Event>,
    ending: Ending,
}

enum Step {
    /// Writes these bytes, at most this many per call.
    Send(Vec<u8>, usize),
    /// Waits until this many events have arrived, counted from the beginning.
    Await(usize),
    /// Nothing may arrive for [`QUIET`].
    Quiet,
}

/// What the server sends before its close frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
}

/// A kind of message: its opcode, what comes back, and what its large payloads repeat.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) opcode: u8,
    pub(crate) event: fn(Vec<u8>) -> Event,
    pub(crate) pattern: &'static [u8],
}

/// Texts and binary messages, in the order of the sections.
pub(crate) const KINDS: [Kind; 2] = [
    Kind {
        opcode: TEXT,
        event: Event::Text,
        pattern: b"the quick brown fox ",
    },
    Kind {
        opcode: BINARY,
        event: Event::Binary,
        pattern: &[0x00, 0xfe, 0x23, 0xfa, 0xf0],
    },
];

impl Kind {
    /// A payload of this many bytes.
    pub(crate) fn payload(self, size: usize) -> Vec<u8> {
        let mut payload = self.pattern.repeat(size / self.pattern.len() + 1);
        payload.truncate(size);
        payload
    }
}

/// How the connection ends. In each case the server's close frame is the last thing it sends, and it then ends the
/// connection in order, without a reset.
#[derive(Clone, Copy)]
enum Ending {
    /// When all events have come, the client closes with 1000, and the server answers with the same code.
    ClosedByClient,
    /// The server closes with this code: because of what the client did wrong, or as the answer to a close frame among the
    /// steps.
    Code(u16),
    /// The server answers an empty close frame with an empty one.
    WithoutCode,
}

/// How the frames are split into writes.
#[derive(Clone, Copy)]
pub(crate) enum Pieces {
    /// One write for all frames.
    Together,
    /// One write per frame.
    ByFrame,
    /// Writes of this many bytes.
    OfBytes(usize),
}

/// A frame of the client, before masking.
#[derive(Clone)]
pub(crate) struct Frame<'a> {
    pub(crate) first: u8,
    pub(crate) payload: &'a [u8],
}

/// The last frame of a message.
pub(crate) fn fin(opcode: u8, payload: &[u8]) -> Frame<'_> {
    Frame {
        first: 0x80 | opcode,
        payload,
    }
}

/// A frame that others follow.
pub(crate) fn more(opcode: u8, payload: &[u8]) -> Frame<'_> {
    Frame { first: opcode, payload }
}

/// A frame with these three reserved bits, as a number.
pub(crate) fn reserved(bits: u8, opcode: u8, payload: &[u8]) -> Frame<'_> {
    Frame {
        first: 0x80 | bits << 4 | opcode,
        payload,
    }
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The frames of one message, in fragments of at most this many bytes.
pub(crate) fn fragments(opcode: u8, payload: &[u8], size: usize) -> Vec<Frame<'_>> {
    let mut frames: Vec<_> = payload.chunks(size).map(|part| more(CONTINUATION, part)).collect();
    if let Some(first) = frames.first_mut() {
        first.first |= opcode;
    }
    if let Some(last) = frames.last_mut() {
        last.first |= 0x80;
    }
    frames
}

impl Script {
    /// An empty script, in which the client closes.
    pub(crate) fn new() -> Self {
        Self {
            steps: Vec::new(),
            events: Vec::new(),
            ending: Ending::ClosedByClient,
        }
    }

    pub(crate) fn send(mut self, pieces: Pieces, frames: &[Frame<'_>]) -> Self {
        let masked = |frames: &[Frame<'_>]| {
            let each = frames.iter().map(|each| frame(each.first, each.payload));
            each.collect::<Vec<_>>().concat()
        };
        match pieces {
            Pieces::Together => self.steps.push(Step::Send(masked(frames), usize::MAX)),
            Pieces::ByFrame => {
                let each = frames.chunks(1).map(|frame| Step::Send(masked(frame), usize::MAX));
                self.steps.extend(each);
            }
            Pieces::OfBytes(size) => self.steps.push(Step::Send(masked(frames), size)),
        }
        self
    }

    /// The head of a masked frame whose payload [`Script::send_payload`] sends.
    pub(crate) fn send_head(mut self, opcode: u8, length: usize) -> Self {
        self.steps.push(Step::Send(head(0x80 | opcode, length), usize::MAX));
        self
    }

    /// A part of a payload, from this offset.
    pub(crate) fn send_payload(mut self, offset: usize, part: &[u8]) -> Self {
        let masked = part.iter().enumerate();
        let masked = masked.map(|(place, byte)| byte ^ MASK[(offset + place) % 4]).collect();
        self.steps.push(Step::Send(masked, usize::MAX));
        self
    }

    /// Expects this answer after the previous ones.
    pub(crate) fn due(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Waits for everything that is expected so far.
    pub(crate) fn wait(mut self) -> Self {
        self.steps.push(Step::Await(self.events.len()));
        self
    }

    pub(crate) fn quiet(mut self) -> Self {
        self.steps.push(Step::Quiet);
        self
    }

    /// Expects a close with this code after everything else.
    pub(crate) fn closed_with(mut self, code: u16) -> Self {
        self.ending = Ending::Code(code);
        self
    }

    pub(crate) fn closed_without_code(mut self) -> Self {
        self.ending = Ending::WithoutCode;
        self
    }
}

/// Runs a case; the error says what went wrong.
pub(crate) fn run(address: SocketAddr, case: &Case) -> Result<(), String> {
    let script = (case.script)();
    let mut connection = Connection(Peer::websocket(address, "/"));
    let mut due = script.events.iter();
    let mut came = 0;
    for step in script.steps {
        match step {
            // The server may have closed already, as it should; what it said is judged below.
            Step::Send(bytes, size) => drop(connection.send(&bytes, size)),
            Step::Await(count) => {
                while came < count {
                    connection.expect(due.next())?;
                    came += 1;
                }
            }
            Step::Quiet => connection.quiet()?,
        }
    }
    for event in due {
        connection.expect(Some(event))?;
    }
    let code = match script.ending {
        Ending::ClosedByClient => {
            let close = frame(0x80 | CLOSE, &close_payload(1000, b""));
            connection
                .send(&close, usize::MAX)
                .map_err(|why| format!("it closed too early: {why}"))?;
            Some(1000)
        }
        Ending::Code(code) => Some(code),
        Ending::WithoutCode => None,
    };
    connection.expect_close(code)
}

/// A client's side of a WebSocket: whatever breaks is a verdict on the server.
struct Connection(Peer);

impl Connection {
    fn send(&mut self, bytes: &[u8], size: usize) -> io::Result<()> {
        bytes.chunks(size).try_for_each(|piece| self.0.stream.write_all(piece))
    }

    fn frame(&mut self) -> Result<support::Frame, String> {
        match self.0.try_frame() {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) if self.0.buffer.is_empty() => Err("the connection ended without a close frame".to_owned()),
            Ok(None) => Err("the connection ended inside a frame".to_owned()),
            Err(why) => Err(broken(&why)),
        }
    }

    fn expect(&mut self, event: Option<&Event>) -> Result<(), String> {
        let support::Frame { first, payload } = self.frame()?;
        let came = match first {
            0x81 => Event::Text(payload),
            0x82 => Event::Binary(payload),
            0x8a => Event::Pong(payload),
            _ => return Err(format!("a frame {first:#04x} with {} came", shown(&payload))),
        };
        match event {
            Some(event) if *event == came => Ok(()),
            Some(event) => Err(format!("{} came instead of {}", named(&came), named(event))),
            None => Err(format!("{} came, and nothing was due", named(&came))),
        }
    }

    fn quiet(&mut self) -> Result<(), String> {
        self.0.stream.set_read_timeout(Some(QUIET)).unwrap();
        let came = self.0.stream.peek(&mut [0]);
        self.0.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match came {
            Err(why) if is_timeout(&why) => Ok(()),
            Err(why) => Err(broken(&why)),
            Ok(_) => Err("it answered something that was right so far".to_owned()),
        }
    }

    fn expect_close(&mut self, code: Option<u16>) -> Result<(), String> {
        let support::Frame { first, payload } = self.frame()?;
        if first != 0x80 | CLOSE {
            return Err(format!(
                "a frame {first:#04x} with {} came instead of a close frame",
                shown(&payload)
            ));
        }
        let seen = match *payload {
            [] => None,
            [high, low, ref reason @ ..] if std::str::from_utf8(reason).is_ok() => {
                Some(u16::from_be_bytes([high, low]))
            }
            _ => return Err(format!("its close frame is not valid: {}", shown(&payload))),
        };
        if seen != code {
            return Err(format!("it closed with {seen:?} instead of {code:?}"));
        }
        let _ = self.0.stream.shutdown(Shutdown::Write);
        while self.0.try_fill().map_err(|why| broken(&why))? {}
        match self.0.buffer.len() {
            0 => Ok(()),
            count => Err(format!("{count} bytes came behind its close frame")),
        }
    }
}

fn is_timeout(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn broken(why: &io::Error) -> String {
    if is_timeout(why) {
        format!("nothing came for {PATIENCE:?}")
    } else {
        format!("the connection broke: {why}")
    }
}

fn named(event: &Event) -> String {
    match event {
        Event::Text(payload) => format!("a text of {}", shown(payload)),
        Event::Binary(payload) => format!("a binary message of {}", shown(payload)),
        Event::Pong(payload) => format!("a pong of {}", shown(payload)),
    }
}

fn shown(payload: &[u8]) -> String {
    let start = &payload[..payload.len().min(32)];
    format!("{} bytes ({})", payload.len(), start.escape_ascii())
}

/// How long nothing may come where the server is to wait for the rest of a message. A slow server passes by luck, and a right one
/// never fails.
const QUIET: Duration = Duration::from_millis(20);
