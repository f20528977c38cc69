//! Properties of [`FrameReader`] that hold for any bytes, for the unit tests and the fuzz target.

use std::{
    fmt,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};

use super::{Flow, FrameReader, Incoming, Message, Progress, ReaderLimits};
use crate::limits::CONTROL_PAYLOAD_BYTES;

#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The code of the violation, or the last progress.
    pub end: Result<Progress, u16>,
    /// Whether something was incomplete when the stream ended.
    pub is_unfinished: bool,
}

/// An [`Incoming`] that owns its bytes.
#[derive(PartialEq, Eq)]
pub struct Event {
    kind: OpCode,
    /// The payload; of a close frame with its code.
    payload: Vec<u8>,
}

/// Checks `stream` in all ways; panics at the first difference. The same `seed` gives the same splits and pauses.
pub fn check(stream: &[u8], limits: ReaderLimits, seed: u64) {
    let whole = read_in_pieces(stream, limits, |left| left, || Flow::Go);
    let bytewise = read_in_pieces(stream, limits, |_| 1, || Flow::Go);
    assert_eq!(bytewise, whole, "reading byte by byte differs from reading at once");

    let (mut splits, mut pauses) = (fastrand::Rng::with_seed(seed), fastrand::Rng::with_seed(!seed));
    let longest = splits.usize(1..=64);
    let piece = |left: usize| splits.usize(0..=longest).min(left);
    let pause = || if pauses.bool() { Flow::Pause } else { Flow::Go };
    let torn = read_in_pieces(stream, limits, piece, pause);
    assert_eq!(
        torn, whole,
        "reading in pieces of at most {longest} bytes with pauses differs from reading at once"
    );

    if limits.text_is_utf8 {
        compare_with_fastwebsockets(stream, limits, &whole);
    }
}

/// Reads a stream in pieces. `piece` returns the length of the next one (given the rest), and `pause` whether to pause.
pub fn read_in_pieces(
    stream: &[u8],
    limits: ReaderLimits,
    mut piece: impl FnMut(usize) -> usize,
    mut pause: impl FnMut() -> Flow,
) -> Outcome {
    let mut reader = FrameReader::new(limits);
    let mut events = Vec::new();
    let mut rest = stream;
    let mut end = Ok(Progress::NeedMore);
    while !rest.is_empty() {
        let (input, after) = rest.split_at(piece(rest.len()));
        rest = after;
        let received = stream.len() - rest.len();
        let mut sink = |incoming: Incoming<'_>| {
            events.push(Event::from(incoming));
            pause()
        };
        end = reader
            .read(&mut input.to_vec(), &mut sink)
            .map_err(|violation| violation.code);
        // A caller may read on after a pause, or resume first; this does both.
        while end == Ok(Progress::Paused) && received.is_multiple_of(2) {
            end = reader.resume(&mut sink).map_err(|violation| violation.code);
        }
        check_memory(&reader, end, received);
        if end.is_err() {
            break;
        }
    }
    while end == Ok(Progress::Paused) {
        let resumed = reader.resume(|incoming| {
            events.push(Event::from(incoming));
            pause()
        });
        end = resumed.map_err(|violation| violation.code);
    }
    check_memory(&reader, end, stream.len());
    Outcome {
        events,
        end,
        is_unfinished: reader.is_unfinished(),
    }
}

/// The buffer is never larger than the received bytes, and is empty when nothing is unfinished.
fn check_memory(reader: &FrameReader, end: Result<Progress, u16>, received: usize) {
    const EMPTY_BYTES: usize = 512;
    let kept = reader.buffered_bytes();
    assert!(
        kept <= 2 * received + EMPTY_BYTES,
        "{kept} bytes kept of {received} received"
    );
    if end != Ok(Progress::Paused) {
        assert_eq!(kept > 0, reader.is_unfinished(), "{kept} bytes kept after {end:?}");
    }
    if end.is_err() || end == Ok(Progress::Closed) {
        assert!(!reader.is_unfinished(), "something is unfinished after {end:?}");
    }
}

/// fastwebsockets must read the same from a valid stream, and at least as much from an invalid one, because it is more lenient.
/// [`is_misread_by_fastwebsockets`] lists its known faults.
fn compare_with_fastwebsockets(stream: &[u8], limits: ReaderLimits, ours: &Outcome) {
    let (theirs, error) = read_with_fastwebsockets(stream, limits);
    if ours.end.is_err() {
        assert!(
            theirs.starts_with(&ours.events),
            "fastwebsockets read {theirs:?} where we read {ours:?}"
        );
    } else if !ours.events.last().is_some_and(is_misread_by_fastwebsockets) {
        assert_eq!(theirs, ours.events, "fastwebsockets ended with {error:?}");
    }
}

/// fastwebsockets refuses close code 1014, which IANA has assigned.
fn is_misread_by_fastwebsockets(last: &Event) -> bool {
    last.kind == OpCode::Close && last.payload.starts_with(&1014_u16.to_be_bytes())
}

/// Everything up to the close frame or the first error. The stream is in memory, so one poll is enough.
fn read_with_fastwebsockets(stream: &[u8], limits: ReaderLimits) -> (Vec<Event>, Option<WebSocketError>) {
    let mut events = Vec::new();
    let reading = async {
        let mut socket = WebSocket::after_handshake(tokio::io::join(stream, tokio::io::sink()), Role::Server);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        // fastwebsockets refuses a frame of exactly the maximum length, even a control frame.
        socket.set_max_message_size(limits.message_bytes.max(CONTROL_PAYLOAD_BYTES).saturating_add(1));
        let mut socket = FragmentCollector::new(socket);
        loop {
            match socket.read_frame().await {
                Ok(frame) => {
                    events.push(Event {
                        kind: frame.opcode,
                        payload: frame.payload.to_vec(),
                    });
                    if frame.opcode == OpCode::Close {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    };
    let error = match pin!(reading).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(error) => error,
        Poll::Pending => unreachable!("bytes in memory are always there"),
    };
    (events, error)
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Event {
        let (kind, payload) = match incoming {
            Incoming::Message(Message::Text(text)) => (OpCode::Text, text.to_vec()),
            Incoming::Message(Message::Binary(bytes)) => (OpCode::Binary, bytes.to_vec()),
            Incoming::Ping(payload) => (OpCode::Ping, payload.to_vec()),
            Incoming::Pong(payload) => (OpCode::Pong, payload.to_vec()),
            Incoming::Close { code: None, reason: _ } => (OpCode::Close, Vec::new()),
            Incoming::Close {
                code: Some(code),
                reason,
            } => (OpCode::Close, [&code.to_be_bytes(), reason.as_bytes()].concat()),
        };
        Event { kind, payload }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.kind, self.payload.escape_ascii())
    }
}
