//! One case: what a client sends, what must come back, and how the connection must end.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use crate::support::{PATIENCE, Request};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A numbered case. Its script is made when it runs: those of section 9 have 150 MiB together.
pub(crate) struct Case {
    /// The number that the Autobahn suite gives to the same situation.
    pub(crate) number: String,
    pub(crate) script: Box<dyn Fn() -> Script + Send + Sync>,
}

/// What happens on one connection.
pub(crate) struct Script {
    steps: Vec<Step>,
    events: Vec<Event>,
    ending: Ending,
}

enum Step {
    /// Writes these bytes, at most so many in one call.
    Send(Vec<u8>, usize),
    /// Waits until so many events have come, counted from the beginning.
    Await(usize),
    /// Nothing may come for [`QUIET`].
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
    /// A payload of so many bytes.
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

/// How a frame is cut on its way.
#[derive(Clone, Copy)]
pub(crate) enum Pieces {
    /// One call for all frames.
    Together,
    /// One call for each frame.
    ByFrame,
    /// Calls of so many bytes.
    OfBytes(usize),
}

/// A frame of the client, before it is masked.
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

/// The frames of one message, cut into fragments of at most so many bytes.
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
    /// Nothing sent and nothing due yet; the client closes.
    pub(crate) fn new() -> Self {
        Self {
            steps: Vec::new(),
            events: Vec::new(),
            ending: Ending::ClosedByClient,
        }
    }

    pub(crate) fn send(mut self, pieces: Pieces, frames: &[Frame<'_>]) -> Self {
        let masked = |frames: &[Frame<'_>]| {
            let mut bytes = Vec::with_capacity(frames.iter().map(|frame| frame.payload.len() + 14).sum());
            for frame in frames {
                mask_into(&mut bytes, frame);
            }
            bytes
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
        let mut head = Vec::new();
        push_head(&mut head, 0x80 | opcode, length);
        self.steps.push(Step::Send(head, usize::MAX));
        self
    }

    /// A part of a payload that begins at this offset of it.
    pub(crate) fn send_payload(mut self, offset: usize, part: &[u8]) -> Self {
        let masked = part.iter().enumerate();
        let masked = masked.map(|(place, byte)| byte ^ MASK[(offset + place) % 4]).collect();
        self.steps.push(Step::Send(masked, usize::MAX));
        self
    }

    /// The server must answer with this, behind what it answered before.
    pub(crate) fn due(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Goes on only when everything that is due so far has come.
    pub(crate) fn wait(mut self) -> Self {
        self.steps.push(Step::Await(self.events.len()));
        self
    }

    pub(crate) fn quiet(mut self) -> Self {
        self.steps.push(Step::Quiet);
        self
    }

    /// The server closes with this code, and what is due comes before.
    pub(crate) fn closed_with(mut self, code: u16) -> Self {
        self.ending = Ending::Code(code);
        self
    }

    pub(crate) fn closed_without_code(mut self) -> Self {
        self.ending = Ending::WithoutCode;
        self
    }
}

/// Runs a case; the error says what was wrong.
pub(crate) fn run(address: SocketAddr, case: &Case) -> Result<(), String> {
    let script = (case.script)();
    let mut connection = Connection::open(address)?;
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
            let mut close = Vec::new();
            mask_into(&mut close, &fin(CLOSE, &close_payload(1000, b"")));
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

/// A client's side of a WebSocket, as strict about the server's frames as the cases are about its answers.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|why| format!("it cannot be reached: {why}"))?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
        };
        let request = Request::upgrade(address, "/").bytes();
        connection
            .send(&request, usize::MAX)
            .map_err(|why| format!("it takes no request: {why}"))?;
        let end = loop {
            if let Some(end) = connection.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !connection.fill()? {
                return Err("it closed without an answer to the request".to_owned());
            }
        };
        let head: Vec<u8> = connection.buffer.drain(..end + 4).collect();
        if head.starts_with(b"HTTP/1.1 101 ") {
            Ok(connection)
        } else {
            Err(format!("it answered {:?}", String::from_utf8_lossy(&head)))
        }
    }

    fn send(&mut self, bytes: &[u8], size: usize) -> std::io::Result<()> {
        bytes.chunks(size).try_for_each(|piece| self.stream.write_all(piece))
    }

    /// Whether bytes came; not when the server has ended its side.
    fn fill(&mut self) -> Result<bool, String> {
        let length = self.buffer.len();
        self.buffer.resize(length + READ_BYTES, 0);
        let read = self.stream.read(&mut self.buffer[length..]);
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(read) => Ok(read > 0),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(format!("nothing came for {PATIENCE:?}"))
            }
            Err(why) => Err(format!("the connection broke: {why}")),
        }
    }

    /// The next frame: its first byte and its payload.
    fn frame(&mut self) -> Result<(u8, Vec<u8>), String> {
        let (head, length) = loop {
            if let Some(known) = head_of(&self.buffer)? {
                break known;
            }
            if !self.fill()? {
                return Err("the connection ended without a close frame".to_owned());
            }
        };
        while self.buffer.len() < head + length {
            if !self.fill()? {
                return Err("the connection ended inside a frame".to_owned());
            }
        }
        let first = self.buffer[0];
        let payload = self.buffer[head..head + length].to_vec();
        self.buffer.drain(..head + length);
        Ok((first, payload))
    }

    fn expect(&mut self, event: Option<&Event>) -> Result<(), String> {
        let (first, payload) = self.frame()?;
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
        self.stream.set_read_timeout(Some(QUIET)).unwrap();
        let came = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match came {
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
            Err(why) => Err(format!("the connection broke: {why}")),
            Ok(_) => Err("it answered something that was right so far".to_owned()),
        }
    }

    fn expect_close(&mut self, code: Option<u16>) -> Result<(), String> {
        let (first, payload) = self.frame()?;
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
        let _ = self.stream.shutdown(Shutdown::Write);
        while self.fill()? {}
        match self.buffer.len() {
            0 => Ok(()),
            count => Err(format!("{count} bytes came behind its close frame")),
        }
    }
}

/// The length of a head and of its payload, as soon as they are known.
fn head_of(buffer: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let [_, short, rest @ ..] = buffer else { return Ok(None) };
    let (head, length) = match *short {
        126 => match rest.first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        0x80.. => return Err("a server's frame is masked".to_owned()),
        short => (2, u64::from(short)),
    };
    let shortest = match length {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    };
    if head != shortest {
        return Err(format!("the length {length} is written in a head of {head} bytes"));
    }
    usize::try_from(length)
        .map(|length| Some((head, length)))
        .map_err(|why| why.to_string())
}

fn push_head(bytes: &mut Vec<u8>, first: u8, length: usize) {
    bytes.push(first);
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
}

fn mask_into(bytes: &mut Vec<u8>, frame: &Frame<'_>) {
    push_head(bytes, frame.first, frame.payload.len());
    let mut words = frame.payload.chunks_exact(4);
    let mask = u32::from_ne_bytes(MASK);
    for word in &mut words {
        // By words: 150 MiB go through here, compiled for debugging.
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ mask;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend(words.remainder().iter().zip(MASK).map(|(byte, mask)| byte ^ mask));
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

const MASK: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x96];
const READ_BYTES: usize = 256 * 1024;
/// How long nothing may come where the server is to wait for the rest of a message. A slow server passes by luck, and a right one
/// never fails.
const QUIET: Duration = Duration::from_millis(20);
