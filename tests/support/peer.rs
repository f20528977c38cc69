//! A bare socket that sends any bytes and reads one frame at a time.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Instant,
};

use serde_json::{Value, json};

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

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A bare socket.
pub struct Peer {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
    next_id: u64,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// On a socket made otherwise.
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
        Self::websocket_with(address, path, &[])
    }

    /// A WebSocket, with further headers.
    pub fn websocket_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut peer = Self::connect(address);
        let mut request = Request::upgrade(address, path);
        for (name, value) in headers {
            request = request.with(name, value);
        }
        peer.send(&request.bytes());
        let response = peer.response();
        assert_eq!(response.status, 101, "{response:?}");
        peer
    }

    /// A session of Plaza's own protocol as JSON, welcomed.
    pub fn native(address: SocketAddr, name: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.become_native(address, name);
        peer
    }

    /// From a fresh socket to a session of Plaza's own protocol.
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
        let joined = peer.ask(json!({"join": {"room": room}}));
        assert!(joined["joined"].is_object(), "{joined}");
        peer
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The same, to a server that may have closed already.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn send_text(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes()));
    }

    /// Sends a request of the native protocol and returns what names its id; skips what comes in between.
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

    /// The next JSON message; pings are answered.
    pub fn event(&mut self) -> Value {
        loop {
            let frame = self.frame().expect("the server closed");
            match frame.first {
                TEXT => return serde_json::from_slice(&frame.payload).unwrap(),
                PING => self.send(&self::frame(PONG, &frame.payload)),
                _ => panic!("{frame:?}"),
            }
        }
    }

    /// The next JSON message that is so; skips the others.
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

    /// Whether bytes came; not when the peer has closed.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&bytes[..read]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!(
                "nothing came from the server: {error}; in the buffer: {:?}",
                self.buffer
            ),
        }
    }

    /// The next answer; `None` when the server closes instead.
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

    /// The next frame, whatever it is; `None` when the server has closed.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(frame);
            }
            if !self.fill() {
                return None;
            }
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

    /// Nothing more comes, and the connection is over.
    pub fn assert_over(&mut self) {
        while self.fill() {}
        assert!(self.buffer.is_empty(), "the server still said {:?}", self.buffer);
    }
}

fn parse(buffer: &[u8]) -> Option<(Frame, usize)> {
    let (&first, rest) = buffer.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), rest.get(2..)?),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, rest.get(8..)?),
        short => (usize::from(short), rest),
    };
    assert_eq!(short & 0x80, 0, "a server does not mask");
    let payload = rest.get(..length)?.to_vec();
    let used = buffer.len() - rest.len() + length;
    Some((Frame { first, payload }, used))
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        medium @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().enumerate().map(|(place, byte)| byte ^ mask[place % 4]));
    bytes
}

/// A protobuf message of text fields, for the older dialects.
pub fn protobuf(fields: &[(u8, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, text) in fields {
        bytes.push(number << 3 | 2);
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 128).unwrap());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}
