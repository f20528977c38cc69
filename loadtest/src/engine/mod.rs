//! Thousands of WebSocket members on one thread: an epoll loop over raw sockets that counts, audits and times every message.
//!
//! Nothing is estimated: the loop scans each frame of each member and compares it with what was sent. It never decodes an expected frame:
//! it compares the text with the next one of the room. A read that equals, byte for byte, the last read of another member of the room
//! needs only that one comparison.

mod idle;
mod incoming;

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{
    audit::{Faults, RoomLog, View},
    dialect::Dialect,
    engine::idle::Idle,
    frame::{self, Opcode},
    limits,
    marker::{MARKER_BYTES, Marker},
};

pub type Id = usize;

/// The server and the dialect of a run.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// The path of the upgrade request; `None`: that of the dialect.
    pub path: Option<String>,
    pub dialect: Dialect,
    pub text_bytes: usize,
    /// A member is in its room once the upgrade is answered, without a request.
    pub ready_on_upgrade: bool,
    /// The number of source addresses (127.0.0.1 and up) of the connections.
    pub sources: usize,
}

/// An event of a connection, for the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Ready(Id),
    /// The echo of its message with this number arrived.
    Echo(Id, u32),
    /// It joined the room that it visits.
    Entered(Id),
    /// It ended unexpectedly.
    Ended(Id),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    /// Could not connect, or the upgrade was refused.
    Refused(String),
    Closed(u16),
    /// The stream ended without one.
    Cut(String),
    Torn(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Upgrading,
    Opening,
    Live,
}

/// The numbers of the native protocol, for members whose every message is decoded.
#[derive(Debug, Default)]
pub struct Exact {
    last: Option<u64>,
    /// The gaps that the server reported, both ends included.
    pub gaps: Vec<(u64, u64)>,
    /// Messages whose `prev` was neither the last one nor the end of a gap.
    pub unreported: u64,
}

#[derive(Debug)]
pub struct Conn {
    stream: Option<TcpStream>,
    state: State,
    name: String,
    pub room: usize,
    /// The latency class that its deliveries count in.
    pub class: usize,
    tail: Vec<u8>,
    outbox: Vec<u8>,
    nats: Vec<u8>,
    pub view: View,
    /// Its messages so far, while none of them is in the room's log.
    early: VecDeque<(Marker, Box<[u8]>)>,
    /// Set for members whose numbers are checked.
    pub exact: Option<Box<Exact>>,
    pub end: Option<End>,
    pub sent: u32,
    reading: bool,
    /// It joins and leaves other rooms; see [`Engine::wander`].
    pub wanders: bool,
    /// Bytes of frames other than messages, heads included.
    pub other_bytes: u64,
    /// When it was opened, and how long it took to enter its room, in nanoseconds.
    pub opened_ns: u64,
    pub arrival_ns: Option<u64>,
}

impl Conn {
    pub fn is_live(&self) -> bool {
        self.state == State::Live && self.end.is_none()
    }
}

/// The counts of all members.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub delivered: u64,
    pub sent: u64,
    /// Other events (presence, lists, replies), and their bytes.
    pub other: u64,
    pub other_bytes: u64,
    pub bytes: u64,
    pub refused: BTreeMap<String, u64>,
    /// Members whose connection ended unexpectedly, by reason.
    pub ended: BTreeMap<String, u64>,
    /// Reads that were equal to a read of another member.
    pub replayed: u64,
}

/// Latencies of one class of members, in nanoseconds.
#[derive(Debug)]
pub struct Latency {
    pub interval: Histogram<u64>,
    pub total: Histogram<u64>,
}

/// A read of a member, as a range of the room's log.
#[derive(Debug, Default)]
struct LastRead {
    bytes: Vec<u8>,
    room: usize,
    places: Range<u32>,
}

#[derive(Debug)]
pub struct Engine {
    target: Target,
    host: String,
    padding: Vec<u8>,
    poll: Poll,
    events: Events,
    /// Whether it never sleeps.
    busy: bool,
    idle: Idle,
    buffer: Vec<u8>,
    last_read: LastRead,
    started: Instant,
    conns: Vec<Conn>,
    room_names: Vec<String>,
    /// A message without the parts that depend on its receiver.
    shared: Vec<u8>,
    happened: Vec<Happened>,
    pub rooms: Vec<RoomLog>,
    pub counts: Counts,
    pub faults: Faults,
    pub latency: Vec<Latency>,
    /// Messages with an intended time in this range count for the latencies.
    pub window: Range<u64>,
}

impl Engine {
    /// An engine without connections, with `classes` latency classes.
    pub fn new(target: Target, classes: usize, busy: bool) -> io::Result<Self> {
        let latency = (0..classes).map(|_| {
            let (interval, total) = (histogram()?, histogram()?);
            Ok(Latency { interval, total })
        });
        Ok(Self {
            host: target.address.to_string(),
            padding: vec![b'x'; target.text_bytes.saturating_sub(MARKER_BYTES)],
            target,
            poll: Poll::new()?,
            busy,
            idle: Idle::default(),
            events: Events::with_capacity(4096),
            buffer: vec![0; limits::READ_BUFFER_BYTES],
            last_read: LastRead::default(),
            started: Instant::now(),
            conns: Vec::new(),
            room_names: Vec::new(),
            shared: Vec::new(),
            happened: Vec::new(),
            rooms: Vec::new(),
            counts: Counts::default(),
            faults: Faults::default(),
            latency: latency.collect::<io::Result<_>>()?,
            window: 0..0,
        })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// CPU time of this thread in idle turns, in nanoseconds: polling instead of sleeping.
    pub fn idle_ns(&self) -> u64 {
        self.idle.total_ns()
    }

    /// Nanoseconds since the start of the run.
    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    pub fn add_room(&mut self, name: impl Into<String>) -> usize {
        self.room_names.push(name.into());
        self.rooms.push(RoomLog::default());
        self.rooms.len() - 1
    }

    pub fn conns(&self) -> &[Conn] {
        &self.conns
    }

    pub fn conn_mut(&mut self, id: Id) -> &mut Conn {
        &mut self.conns[id]
    }

    /// Opens a connection for a member of `room`; [`Happened::Ready`] follows when it is in the room. `receive_bytes` sets a small socket
    /// buffer, for slow readers.
    pub fn open(&mut self, room: usize, view: View, receive_bytes: Option<usize>) -> Id {
        self.idle.works();
        let id = self.conns.len();
        self.conns.push(Conn {
            stream: None,
            state: State::Connecting,
            name: format!("m{id:06}"),
            room,
            class: 0,
            tail: Vec::new(),
            outbox: Vec::new(),
            nats: Vec::new(),
            view,
            early: VecDeque::new(),
            exact: None,
            end: None,
            sent: 0,
            reading: true,
            wanders: false,
            other_bytes: 0,
            opened_ns: self.now_ns(),
            arrival_ns: None,
        });
        match self.connect(id, receive_bytes) {
            Ok(stream) => self.conns[id].stream = Some(stream),
            Err(error) => self.finish(id, End::Refused(format!("connect: {error}"))),
        }
        id
    }

    /// Closes a connection with a close frame.
    pub fn leave(&mut self, id: Id) {
        self.send_frame(id, Opcode::Close, &1000_u16.to_be_bytes());
        self.finish(id, End::Left);
    }

    /// Resets a connection, like a client that lost its network.
    pub fn cut(&mut self, id: Id) {
        if let Some(stream) = &self.conns[id].stream {
            // If this fails, the connection is already closed.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.finish(id, End::Left);
    }

    /// Stops reading from a connection, or begins again.
    pub fn set_reading(&mut self, id: Id, reading: bool) -> io::Result<()> {
        let conn = &mut self.conns[id];
        if conn.reading == reading {
            return Ok(());
        }
        conn.reading = reading;
        let Some(stream) = &mut conn.stream else { return Ok(()) };
        if reading {
            self.poll.registry().register(stream, Token(id), Interest::READABLE)
        } else {
            self.poll.registry().deregister(stream)
        }
    }

    /// Sends a message as this member. `at_ns` is the intended time of sending.
    pub fn talk(&mut self, id: Id, at_ns: u64) {
        self.idle.works();
        let conn = &mut self.conns[id];
        let text = Marker {
            sender: id as u32,
            seq: conn.sent,
            at_ns,
        }
        .text(self.target.text_bytes);
        conn.sent += 1;
        self.rooms[conn.room].sent += 1;
        self.counts.sent += 1;
        let mut message = Vec::with_capacity(text.len() + 64);
        let dialect = self.target.dialect;
        dialect.talk(&mut message, &conn.name, &self.room_names[conn.room], &text);
        self.send_frame(id, dialect.opcode(), &message);
    }

    /// Makes a member join or leave another room, without leaving its own.
    pub fn wander(&mut self, id: Id, room: &str, into: bool) {
        self.idle.works();
        let dialect = self.target.dialect;
        let message = if into { dialect.join(room) } else { dialect.leave(room) };
        self.conns[id].wanders = true;
        self.send_frame(id, dialect.opcode(), &message);
    }

    /// Waits for events, at most `wait` and not at all if it is busy, and appends them to `happened`.
    pub fn turn(&mut self, wait: Duration, happened: &mut Vec<Happened>) -> io::Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let wait = if self.busy {
            Duration::ZERO
        } else {
            wait.min(limits::POLL_TIME)
        };
        match self.poll.poll(&mut events, Some(wait)) {
            Ok(()) => {
                if !events.is_empty() {
                    self.idle.works();
                }
                for event in &events {
                    let Token(id) = event.token();
                    if event.is_writable() {
                        self.write_on(id);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.read(id);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.idle.turned();
        self.events = events;
        happened.append(&mut self.happened);
        Ok(())
    }

    /// Adds the latencies of the last interval to the totals; returns them by class as (p50, p99) in nanoseconds.
    pub fn close_interval(&mut self) -> Vec<(u64, u64)> {
        let mut quantiles = Vec::new();
        for latency in &mut self.latency {
            let at = |share| latency.interval.value_at_quantile(share);
            quantiles.push((at(0.5), at(0.99)));
            // Both have the same bounds, so this cannot fail.
            let _ = latency.total.add(&latency.interval);
            latency.interval.reset();
        }
        quantiles
    }

    fn connect(&mut self, id: Id, receive_bytes: Option<usize>) -> io::Result<TcpStream> {
        let address = self.target.address;
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
            // The sender's buffer grows with the segments, and those of the loopback have 64 KiB.
            socket.set_tcp_mss(limits::SLOW_SEGMENT_BYTES)?;
        }
        if self.target.sources > 1 && address.is_ipv4() {
            let last = 1 + (id % self.target.sources) as u8;
            socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0).into())?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(id), both)?;
        Ok(stream)
    }

    fn finish(&mut self, id: Id, end: End) {
        self.idle.works();
        let conn = &mut self.conns[id];
        if conn.end.is_some() {
            return;
        }
        conn.stream = None;
        conn.tail = Vec::new();
        conn.outbox = Vec::new();
        let reason = match &end {
            End::Left => None,
            End::Refused(why) => Some(format!("refused: {why}")),
            End::Closed(code) => Some(format!("closed {code}")),
            End::Cut(why) => Some(format!("cut: {why}")),
            End::Torn(why) => {
                self.faults.torn += 1;
                Some(format!("torn: {why}"))
            }
        };
        if let Some(reason) = reason {
            *self.counts.ended.entry(reason).or_default() += 1;
            self.happened.push(Happened::Ended(id));
        }
        conn.end = Some(end);
    }

    fn write_on(&mut self, id: Id) {
        let conn = &mut self.conns[id];
        let Some(stream) = &mut conn.stream else { return };
        if conn.state == State::Connecting {
            match stream.take_error() {
                Ok(None) if stream.peer_addr().is_ok() => {}
                Ok(None) => return,
                Ok(Some(error)) | Err(error) => return self.finish(id, End::Refused(format!("connect: {error}"))),
            }
            conn.state = State::Upgrading;
            let dialect = self.target.dialect;
            let own = || dialect.path(&self.room_names[conn.room]);
            let path = self.target.path.clone().unwrap_or_else(own);
            let request = dialect.request(&self.host, &path, &conn.name);
            // Stops watching for writability until a write is partial.
            if let Err(error) = self.poll.registry().reregister(stream, Token(id), Interest::READABLE) {
                return self.finish(id, End::Cut(error.to_string()));
            }
            return self.send(id, request.as_bytes());
        }
        let outbox = std::mem::take(&mut conn.outbox);
        if !outbox.is_empty() {
            self.send(id, &outbox);
        }
    }

    fn send_frame(&mut self, id: Id, opcode: Opcode, payload: &[u8]) {
        self.send(id, &masked(opcode, payload));
    }

    fn send(&mut self, id: Id, bytes: &[u8]) {
        let conn = &mut self.conns[id];
        let Some(stream) = &mut conn.stream else { return };
        let mut written = 0;
        if conn.outbox.is_empty() {
            match stream.write(bytes) {
                Ok(count) => written = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.finish(id, End::Cut(error.to_string())),
            }
            if written == bytes.len() {
                return;
            }
            if conn.reading {
                let both = Interest::READABLE | Interest::WRITABLE;
                if let Err(error) = self.poll.registry().reregister(stream, Token(id), both) {
                    return self.finish(id, End::Cut(error.to_string()));
                }
            }
        }
        conn.outbox.extend_from_slice(bytes.get(written..).unwrap_or_default());
        if conn.outbox.len() > limits::OUTBOX_BYTES {
            self.finish(id, End::Cut("the server does not read from this member".to_owned()));
        }
    }
}

/// A frame with a mask, so that the server has to unmask it.
fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    frame::write(&mut bytes, opcode, payload, Some(fastrand::u32(..).to_ne_bytes()));
    bytes
}

/// A histogram of latencies in nanoseconds, exact to three digits.
pub fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, limits::LATENCY_MAX_NS, 3).map_err(io::Error::other)
}
