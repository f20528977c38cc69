//! What the tests over real sockets share: a server on port 0, bare sockets that send any bytes, one frame at a time, and a
//! pair of healthy clients that notice every lost talk.
// Each test program uses its part of it, and `pub` is the shortest word for that.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use plaza::{codec::DIALECTS, config::Config, observe::Metrics, server::Server};
use serde_json::{Value, json};

/// Longer than anything here takes, so that only what never comes fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server inside the test.
pub struct Running {
    /// `None` once it was taken to be drained.
    pub server: Option<Server>,
    pub metrics: Arc<Metrics>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// Settings for a server of a test: two shards, system-chosen ports, nothing on the disk.
pub fn config() -> Config {
    let mut config = Config::default();
    config.server.memory = true;
    config.server.shards = 2;
    config.server.listen[0].address.set_port(0);
    config.server.admin = Some("127.0.0.1:0".parse().unwrap());
    config
}

impl Running {
    pub fn start(config: &Config) -> Self {
        let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
        let metrics = Metrics::new(config.shard_count(2), &names);
        let server = Server::start(config, &metrics).unwrap();
        let address = server.addresses()[0];
        let admin = server.admin_address().unwrap();
        Self {
            server: Some(server),
            metrics,
            address,
            admin,
        }
    }
}

/// The program itself, as a child.
pub struct Program {
    pub child: Child,
    pub addresses: Vec<SocketAddr>,
    pub admin: SocketAddr,
}

impl Program {
    /// Starts `plaza serve` with these arguments besides ports of the system's choice, and waits until it listens.
    pub fn start(arguments: &[&str]) -> Self {
        Self::from_command(program(), arguments)
    }

    /// The same, through another command that runs it.
    pub fn from_command(mut command: Command, arguments: &[&str]) -> Self {
        let ports = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut child = command
            .args(ports)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut addresses = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let admin = loop {
            let Some(Ok(line)) = lines.next() else {
                let mut errors = String::new();
                child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("the server ended before it listened: {errors}");
            };
            let address = line.split_once("http://").unwrap().1.parse().unwrap();
            if line.contains("listening on") {
                addresses.push(address);
            } else {
                break address;
            }
        };
        Self {
            child,
            addresses,
            admin,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Its exit status; fails if it does not end in time.
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the server still runs after {within:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line of /proc/PID/status, in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, without the settings of whoever runs the tests.
pub fn program() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_plaza")))
}

pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLAZA_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Head lines, as they came.
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

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

/// A request, header by header.
#[derive(Clone)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub after: Vec<u8>,
}

impl Request {
    /// What a right client sends.
    pub fn upgrade(address: SocketAddr, path: &str) -> Self {
        Self {
            line: format!("GET {path} HTTP/1.1"),
            headers: Vec::new(),
            after: Vec::new(),
        }
        .with("Host", &address.to_string())
        .with("Upgrade", "websocket")
        .with("Connection", "Upgrade")
        .with("Sec-WebSocket-Version", "13")
        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    pub fn but(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    pub fn line(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.after = bytes.to_vec();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.after);
        bytes
    }
}

/// `GET` of a path of the admin listener or of a page.
pub fn get(address: SocketAddr, path: &str) -> Response {
    let mut peer = Peer::connect(address);
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes());
    let mut bytes = std::mem::take(&mut peer.buffer);
    peer.stream.read_to_end(&mut bytes).unwrap();
    peer.buffer = bytes;
    peer.response()
}

/// Two well-behaved clients in a room of their own: one talks, the other checks that each talk comes once, in order.
pub struct Healthy {
    talker: Peer,
    listener: Peer,
    room: String,
    talks: u64,
    last_seq: Option<u64>,
}

impl Healthy {
    pub fn in_room(address: SocketAddr, room: &str) -> Self {
        Self {
            listener: Peer::native_in(address, &format!("listener of {room}"), room),
            talker: Peer::native_in(address, &format!("talker of {room}"), room),
            room: room.to_owned(),
            talks: 0,
            last_seq: None,
        }
    }

    /// One more talk, acknowledged to the one and heard by the other, with nothing missed before it.
    pub fn check(&mut self) {
        self.talks += 1;
        let text = format!("talk {}", self.talks);
        let ack = self.talker.ask(json!({"talk": {"room": self.room, "text": text}}));
        assert!(ack["ack"].is_object(), "{ack}");
        let heard = self.listener.event_where(|event| event["message"].is_object());
        let message = &heard["message"];
        assert_eq!(message["text"], text);
        if let Some(last) = self.last_seq {
            assert_eq!(message["prev"].as_u64(), Some(last), "a talk was lost");
        }
        self.last_seq = message["seq"].as_u64();
        assert_eq!(self.last_seq, ack["ack"]["seq"].as_u64());
    }
}

/// The value of one metric, summed over all its lines with these labels.
pub fn metric(admin: SocketAddr, name: &str, labels: &[&str]) -> f64 {
    let text = get(admin, "/metrics").body;
    text.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
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

/// Somebody in a room who counts who comes and goes.
pub struct Watcher {
    peer: Peer,
    room: String,
    marks: u64,
    /// Everybody who came or went, in order.
    pub seen: Vec<(Moved, String)>,
    /// Every text said, in order.
    pub texts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Came,
    Went,
}

impl Watcher {
    pub fn in_room(address: SocketAddr, room: &str) -> Self {
        Self {
            peer: Peer::native_in(address, "watcher", room),
            room: room.to_owned(),
            marks: 0,
            seen: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn take_one(&mut self) {
        let event = self.peer.event();
        for (list, moved) in [("joined", Moved::Came), ("left", Moved::Went)] {
            let names = event["presence"][list].as_array().cloned().unwrap_or_default();
            let names = names.iter().map(|name| (moved, name.as_str().unwrap().to_owned()));
            self.seen.extend(names);
        }
        if let Some(text) = event["message"]["text"].as_str() {
            self.texts.push(text.to_owned());
        }
    }

    /// Reads until somebody has come or gone.
    pub fn wait_for(&mut self, moved: Moved, name: &str) {
        let end = Instant::now() + PATIENCE;
        while self.times(moved, name) == 0 {
            self.take_one();
            assert!(Instant::now() < end, "{name} never {moved:?}; seen: {:?}", self.seen);
        }
    }

    /// Reads until everything that has happened so far is here: a talk of one's own comes behind it.
    pub fn settle(&mut self) {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let talk = json!({"id": 1_000_000 + self.marks, "talk": {"room": self.room, "text": mark}});
        self.peer.send_text(&talk.to_string());
        while self.texts.last() != Some(&mark) {
            self.take_one();
        }
    }

    pub fn times(&self, moved: Moved, name: &str) -> usize {
        self.seen
            .iter()
            .filter(|(seen, who)| *seen == moved && who == name)
            .count()
    }

    /// Who is in the room, by its list.
    pub fn users(&mut self) -> Vec<String> {
        self.marks += 1;
        let id = 1_000_000 + self.marks;
        let request = json!({"id": id, "users": {"room": self.room, "limit": 200}});
        self.peer.send_text(&request.to_string());
        let page = self.peer.event_where(|event| event["id"] == json!(id));
        let names = page["users"]["names"].as_array().unwrap_or_else(|| panic!("{page}"));
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// The user has gone from the list, everybody was told once, and nobody is told again.
    pub fn gone_once(&mut self, name: &str) {
        self.wait_for(Moved::Went, name);
        self.settle();
        assert_eq!(self.times(Moved::Went, name), 1, "{:?}", self.seen);
        assert!(!self.users().iter().any(|user| user == name));
    }
}
