//! A bare WebSocket: sends any bytes and shows every frame of the server.
//!
//! It is as strict about the server's frames as RFC 6455: masked frames, lengths in more bytes than they need and fragments
//! fail the test. It never judges what the test itself sends.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket, Type};

use super::{PATIENCE, Request, Response};

/// A frame of the server: never masked, never fragmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV and the opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A close frame's code.
    pub fn close_code(&self) -> Option<u16> {
        let [high, low, ..] = *self.payload else { return None };
        (self.first == CLOSE).then(|| u16::from_be_bytes([high, low]))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// A message or the end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Close(u16, String),
    /// The end of the stream.
    End,
}

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// One connection. Dropping it ends the connection without a close frame.
pub struct Peer {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
    next_id: u64,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// On an existing socket.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            next_id: 0,
        }
    }

    /// A WebSocket at this path.
    pub fn websocket(address: SocketAddr, path: &str) -> Self {
        Self::open(address, path, &[])
    }

    /// A WebSocket with further headers. The path and the values may hold any bytes.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Self {
        Self::try_open(address, path, headers).unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// The same, or the answer of a refusal.
    pub fn try_open(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Self, Response> {
        Self::connect(address).upgraded(address, path, headers)
    }

    /// A WebSocket with a receive buffer so small that the server soon notices a reader that has stopped.
    pub fn open_narrow(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        let opened = Self::over(socket.into()).upgraded(address, path, headers);
        opened.unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    fn upgraded(mut self, address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Self, Response> {
        let request = Request::upgrade(address, path);
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.with(name, value));
        self.send(&request.bytes());
        match self.response() {
            response if response.status == 101 => Ok(self),
            refused => Err(refused),
        }
    }

    /// A session of Plaza's own protocol as JSON, welcomed.
    pub fn native(address: SocketAddr, name: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.become_native(address, name);
        peer
    }

    /// Makes a session of Plaza's own protocol from a new socket.
    pub fn become_native(&mut self, address: SocketAddr, name: &str) {
        let request = Request::upgrade(address, "/chat").with("Sec-WebSocket-Protocol", "plaza.v1.json");
        self.send(&request.bytes());
        assert_eq!(self.response().status, 101);
        let welcome = self.ask(json!({"hello": {"name": name}}));
        assert_eq!(welcome["welcome"]["name"], name, "{welcome}");
    }

    /// The same, in a room.
    pub fn native_in(address: SocketAddr, name: &str, room: &str) -> Self {
        let mut peer = Self::native(address, name);
        peer.join(room);
        peer
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The same, to a server that may have closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        match self.stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) if is_gone(&error) => false,
            Err(error) => panic!("nothing can be sent: {error}"),
        }
    }

    /// Sends a frame to a server that may have closed already.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.try_send(&frame(first, payload));
    }

    pub fn send_text(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes()));
    }

    pub fn send_binary(&mut self, payload: &[u8]) {
        self.send(&frame(BINARY, payload));
    }

    /// Sends a request of the native protocol and returns its reply; skips other messages.
    pub fn ask(&mut self, mut request: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        request["id"] = json!(id);
        self.send_text(&request.to_string());
        loop {
            let event = self.event();
            if event["id"] == json!(id) {
                return event;
            }
        }
    }

    /// Sends a request, and returns what its reply of this kind holds.
    pub fn get(&mut self, kind: &str, request: Value) -> Value {
        let reply = self.ask(request);
        assert!(reply[kind].is_object(), "{reply}");
        reply[kind].clone()
    }

    /// Sends a request that is refused with this code.
    pub fn refused(&mut self, code: &str, request: Value) {
        let error = self.get("error", request);
        assert_eq!(error["code"], code, "{error}");
    }

    /// Sends a message to a room, and returns its acknowledgement.
    pub fn say(&mut self, room: &str, text: &str) -> Value {
        self.get("ack", json!({"talk": {"room": room, "text": text}}))
    }

    pub fn join(&mut self, room: &str) -> Value {
        self.get("joined", json!({"join": {"room": room}}))
    }

    /// The next JSON message; answers pings.
    pub fn event(&mut self) -> Value {
        match self.hear() {
            Heard::Text(text) => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")),
            other => panic!("{other:?}"),
        }
    }

    /// The next JSON message that matches; skips others.
    pub fn event_where(&mut self, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let event = self.event();
            if is_so(&event) {
                return event;
            }
            assert!(Instant::now() < end, "it never came; the last was {event}");
        }
    }

    /// The next message, or how the connection ended; answers pings and skips pongs.
    pub fn hear(&mut self) -> Heard {
        loop {
            let Some(frame) = self.frame() else {
                assert!(self.buffer.is_empty(), "a torn frame: {:?}", self.buffer);
                return Heard::End;
            };
            if let Some(heard) = self.heard(frame) {
                return heard;
            }
        }
    }

    fn heard(&mut self, frame: Frame) -> Option<Heard> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text is UTF-8");
        match frame.first {
            TEXT => return Some(Heard::Text(text(&frame.payload))),
            BINARY => return Some(Heard::Binary(frame.payload)),
            CLOSE => {
                let reason = text(frame.payload.get(2..).unwrap_or_default());
                return Some(Heard::Close(frame.close_code().unwrap_or(1005), reason));
            }
            PING => self.send_frame(PONG, &frame.payload),
            PONG => {}
            _ => panic!("{frame:?}"),
        }
        None
    }

    /// Everything until the end of the stream.
    pub fn hear_all(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| Some(self.hear()).filter(|heard| *heard != Heard::End)).collect()
    }

    /// Everything before the answer to a ping.
    pub fn hear_until_pong(&mut self) -> Vec<Heard> {
        self.send_frame(PING, b"now");
        let mut all = Vec::new();
        while let Some(frame) = self.frame().filter(|frame| frame.first != PONG) {
            all.extend(self.heard(frame));
        }
        all
    }

    /// Breaks the connection: the server gets a reset.
    pub fn hang_up(&mut self) {
        // Closed with a linger of zero, a socket sends RST.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads more; `false` at the end of the stream.
    pub fn try_fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let read = self.stream.read(&mut bytes)?;
        self.buffer.extend_from_slice(&bytes[..read]);
        Ok(read > 0)
    }

    /// Whether bytes arrived; `false` once the peer has closed.
    fn fill(&mut self) -> bool {
        match self.try_fill() {
            Ok(more) => more,
            Err(error) if is_gone(&error) => false,
            Err(error) => panic!(
                "nothing came from the server: {error}; in the buffer: {:?}",
                self.buffer
            ),
        }
    }

    /// The next answer; `None` if the server closes instead.
    pub fn try_response(&mut self) -> Option<Response> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.fill() {
                assert!(self.buffer.is_empty(), "half an answer: {:?}", self.buffer);
                return None;
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        self.buffer.drain(..end + 4);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response {
            status,
            head,
            body: String::new(),
        };
        let length = response
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.fill(), "half a body");
        }
        response.body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        Some(response)
    }

    pub fn response(&mut self) -> Response {
        self.try_response().expect("the server closed without an answer")
    }

    /// The next frame, whatever it is; `None` at the end of the stream. The error says how the stream broke.
    pub fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Ok(Some(frame));
            }
            if !self.try_fill()? {
                return Ok(None);
            }
        }
    }

    /// The next frame; `None` when the server has closed or reset the connection.
    pub fn frame(&mut self) -> Option<Frame> {
        match self.try_frame() {
            Ok(frame) => frame,
            Err(error) if is_gone(&error) => None,
            Err(error) => panic!(
                "no frame came from the server: {error}; in the buffer: {:?}",
                self.buffer
            ),
        }
    }

    /// Reads until the server closes; the close code, if it said one.
    pub fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.frame() {
            code = code.or(frame.close_code());
        }
        code
    }

    /// Checks that nothing more arrives and the connection is over.
    pub fn assert_over(&mut self) {
        while self.fill() {}
        assert!(self.buffer.is_empty(), "the server still said {:?}", self.buffer);
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// A whole frame at the start of the buffer and its length.
fn parse(buffer: &[u8]) -> Option<(Frame, usize)> {
    let [first, short, rest @ ..] = buffer else { return None };
    let (rest, length) = match *short {
        126 => (rest.get(2..)?, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (rest.get(8..)?, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (rest, u64::from(short)),
    };
    assert_eq!(short & 0x80, 0, "a server does not mask");
    let shortest = match length {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    };
    assert_eq!(
        buffer.len() - rest.len(),
        shortest,
        "bytes of the head of a frame of {length}"
    );
    let payload = rest.get(..usize::try_from(length).unwrap())?.to_vec();
    let used = shortest + payload.len();
    Some((Frame { first: *first, payload }, used))
}

/// The head of a masked frame.
pub fn head(first: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
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
    bytes
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len());
    bytes.reserve(payload.len());
    let mut words = payload.chunks_exact(4);
    let mask = u32::from_ne_bytes(MASK);
    for word in &mut words {
        // By words: some tests send 150 MiB, compiled for debugging.
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ mask;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend(words.remainder().iter().zip(MASK).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A protobuf message of texts, field 1 first; empty ones are left out.
pub fn strings(fields: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, text) in (1..).zip(fields).filter(|(_, text)| !text.is_empty()) {
        prost::encoding::string::encode(number, &(*text).to_owned(), &mut bytes);
    }
    bytes
}

pub const MASK: [u8; 4] = [0x5a, 0xc3, 0x0f, 0x96];
