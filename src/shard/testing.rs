//! Several shards without threads or sockets: real engines joined by their real inboxes, driven by hand on a test clock.
//!
//! A test owns time, the room in every socket and the order in which messages between shards arrive. Clients speak through
//! masked frames of their dialect's real form, and what they are told is parsed from the bytes their socket took: a frame
//! that is torn, unknown or masked fails the test at once.
#![allow(clippy::unwrap_used)]

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    io,
    num::NonZeroU64,
    rc::Rc,
    sync::Arc,
};

use prost::Message as _;
use serde_json::{Value, json};

use super::{
    connection::Socket,
    directory::Directory,
    engine::{Clock, Engine, Observer, Want},
    inbox::{Inbox, Outbox},
    message::ToShard,
    reading::Reading,
    settings::Settings,
};
use crate::{
    chat::{RoomName, SessionId, ShardId, Talk},
    codec::{DIALECTS, Handshake, NATIVE, native, number_of},
    limits,
    proto::plaza::{self, client_message::Request as Ask},
};

/// Time that only a test moves; a write may cost some.
#[derive(Debug, Clone, Default)]
pub(super) struct TestClock(Rc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    us: Cell<u64>,
    unix_ms: Cell<u64>,
}

impl TestClock {
    pub(super) fn pass_us(&self, us: u64) {
        self.0.us.set(self.0.us.get() + us);
    }

    pub(super) fn set_unix_ms(&self, unix_ms: u64) {
        self.0.unix_ms.set(unix_ms);
    }
}

impl Clock for TestClock {
    fn micros(&self) -> u64 {
        self.0.us.get()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms.get() + self.0.us.get() / 1_000
    }
}

/// A socket that takes as much as a test lets it.
#[derive(Debug)]
pub(super) struct FakeSocket {
    taken: RefCell<Vec<u8>>,
    room: Cell<usize>,
    dead: Cell<bool>,
    reset: Cell<bool>,
    writes: Cell<usize>,
    write_cost_us: Cell<u64>,
    clock: TestClock,
}

impl Socket for Rc<FakeSocket> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.set(self.writes.get() + 1);
        self.clock.pass_us(self.write_cost_us.get());
        if self.dead.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let fits = bytes.len().min(self.room.get());
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get() - fits);
        self.taken.borrow_mut().extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn reset(&self) {
        self.reset.set(true);
    }
}

/// A form in which a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Json,
    Protobuf,
    /// One of the dialects whose handshake names the user.
    Legacy(&'static str),
}

/// What a client was sent: a message of the native protocol as JSON, or the payload of a legacy one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Native(Value),
    Legacy(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
}

struct Client {
    id: SessionId,
    speaks: Speaks,
    socket: Rc<FakeSocket>,
    /// Bytes of the socket that have been parsed.
    parsed: usize,
    told: Vec<Told>,
    /// Bytes that the shard has not read yet.
    unread: VecDeque<Vec<u8>>,
    waiting: bool,
    shut: bool,
    next_request: u64,
}

/// Shards, clients and time.
pub(super) struct World {
    pub(super) clock: TestClock,
    pub(super) engines: Vec<Engine<Rc<FakeSocket>, TestClock>>,
    pub(super) directory: Arc<Directory>,
    inboxes: Arc<[Inbox<ToShard>]>,
    clients: Vec<Client>,
    pub(super) said: Rc<RefCell<Vec<(RoomName, Talk)>>>,
    random: fastrand::Rng,
}

struct Listener(Rc<RefCell<Vec<(RoomName, Talk)>>>);

impl Observer for Listener {
    fn talk(&self, room: &RoomName, talk: &Talk) {
        self.0.borrow_mut().push((room.clone(), talk.clone()));
    }
}

/// Room without end.
pub(super) const OPEN: usize = usize::MAX;

impl World {
    pub(super) fn new(shards: usize) -> Self {
        Self::with(shards, limits::INBOX_MESSAGES, |_| {})
    }

    /// Shards with inboxes of this size and other settings than usual.
    pub(super) fn with(shards: usize, inbox: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let settings = Arc::new(settings);
        let clock = TestClock::default();
        clock.pass_us(1_000_000);
        clock.set_unix_ms(1_767_323_045_000);
        let inboxes: Arc<[Inbox<ToShard>]> = (0..shards).map(|_| Inbox::new(inbox, shards)).collect();
        let directory = Arc::new(Directory::new(shards, 1));
        let said = Rc::new(RefCell::new(Vec::new()));
        let observer: Rc<dyn Observer> = Rc::new(Listener(said.clone()));
        let engines = (0..shards)
            .map(|shard| {
                Engine::new(
                    ShardId(shard as u16),
                    settings.clone(),
                    DIALECTS.iter().map(|dialect| dialect.profile()).collect(),
                    clock.clone(),
                    directory.clone(),
                    Outbox::new(shard, inboxes.clone()),
                    observer.clone(),
                    shard as u64 + 7,
                )
            })
            .collect();
        Self {
            clock,
            engines,
            directory,
            inboxes,
            clients: Vec::new(),
            said,
            random: fastrand::Rng::with_seed(1),
        }
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random.seed(seed);
    }

    // -------------------------------------------------------------------------------------------------- clients

    /// A connection whose handshake is done; a legacy one is named by it.
    pub(super) fn connect(&mut self, shard: usize, speaks: Speaks, name: &str) -> usize {
        let (dialect, subprotocol) = match speaks {
            Speaks::Json => (NATIVE, Some(native::JSON)),
            Speaks::Protobuf => (NATIVE, Some(native::PROTOBUF)),
            Speaks::Legacy(dialect) => (dialect, None),
        };
        let named = (!matches!(speaks, Speaks::Json | Speaks::Protobuf)).then(|| name.as_bytes().to_vec());
        let handshake = Handshake {
            peer: "192.0.2.7:50123".parse().unwrap(),
            query: named
                .as_ref()
                .map_or_else(Vec::new, |_| format!("username={name}").into_bytes()),
            login_username: None,
            username: named,
            subprotocol,
        };
        self.open(shard, speaks, handshake, number_of(dialect))
    }

    pub(super) fn open(&mut self, shard: usize, speaks: Speaks, handshake: Handshake, dialect: Option<usize>) -> usize {
        let socket = Rc::new(FakeSocket {
            taken: RefCell::default(),
            room: Cell::new(OPEN),
            dead: Cell::new(false),
            reset: Cell::new(false),
            writes: Cell::new(0),
            write_cost_us: Cell::new(0),
            clock: self.clock.clone(),
        });
        let taken_up = socket.clone();
        let client = self.clients.len();
        // The place is there before the turn, so that what the turn wants finds it.
        self.clients.push(Client {
            id: SessionId {
                shard: ShardId(shard as u16),
                slot: u32::MAX,
                generation: 0,
            },
            speaks,
            socket,
            parsed: 0,
            told: Vec::new(),
            unread: VecDeque::new(),
            waiting: false,
            shut: false,
            next_request: 1,
        });
        let engine = &mut self.engines[shard];
        engine.begin();
        self.clients[client].id = engine.open(taken_up, handshake, dialect);
        self.turn(shard, |_| ());
        client
    }

    /// A native client that has said hello.
    pub(super) fn user(&mut self, shard: usize, name: &str) -> usize {
        self.speaker(shard, Speaks::Json, name)
    }

    /// A native client that has said hello, or a legacy one, which is in the lobby.
    pub(super) fn speaker(&mut self, shard: usize, speaks: Speaks, name: &str) -> usize {
        let client = self.connect(shard, speaks, name);
        match speaks {
            Speaks::Json | Speaks::Protobuf => {
                let hello = plaza::Hello {
                    name: name.into(),
                    ..Default::default()
                };
                self.ask(client, Ask::Hello(hello));
            }
            Speaks::Legacy(_) => {}
        }
        client
    }

    /// Users of these names, each on the next shard, all in one room; nothing is under way any more, and what they were
    /// told is forgotten.
    pub(super) fn members<const N: usize>(&mut self, room: &str, names: [&str; N]) -> [usize; N] {
        let shards = self.engines.len();
        let mut next = 0;
        let members = names.map(|name| {
            let member = self.user(next % shards, name);
            next += 1;
            self.join(member, room);
            member
        });
        self.calm();
        for member in members {
            self.told(member);
        }
        members
    }

    /// Sends a native request; its id.
    pub(super) fn ask(&mut self, client: usize, request: Ask) -> u64 {
        let id = self.clients[client].next_request;
        self.clients[client].next_request += 1;
        let bytes = self.encoded(client, id, request);
        self.give(client, bytes);
        id
    }

    /// A native request as one masked frame.
    pub(super) fn encoded(&self, client: usize, id: u64, request: Ask) -> Vec<u8> {
        let message = plaza::ClientMessage {
            id,
            request: Some(request),
        };
        match self.clients[client].speaks {
            Speaks::Json => masked(1, &serde_json::to_vec(&message).unwrap()),
            Speaks::Protobuf => masked(2, &message.encode_to_vec()),
            Speaks::Legacy(dialect) => panic!("{dialect} is not native"),
        }
    }

    /// The client's socket has these bytes for the shard.
    pub(super) fn give(&mut self, client: usize, bytes: Vec<u8>) {
        self.clients[client].unread.push_back(bytes);
        self.feed(client);
    }

    /// Has the shard read what it is willing to read.
    fn feed(&mut self, client: usize) {
        let id = self.clients[client].id;
        let shard = usize::from(id.shard.0);
        loop {
            match self.engines[shard].reading(id) {
                Reading::Paused => return,
                Reading::Over => return self.clients[client].unread.clear(),
                Reading::On | Reading::Discard => {}
            }
            let Some(mut bytes) = self.clients[client].unread.pop_front() else {
                return;
            };
            self.turn(shard, |engine| engine.receive(id, &mut bytes));
        }
    }

    /// Whether the shard has not read everything that this client sent.
    pub(super) fn is_held_up(&mut self, client: usize) -> bool {
        let id = self.id(client);
        !self.clients[client].unread.is_empty() || self.engine(client).reading(id) == Reading::Paused
    }

    pub(super) fn join(&mut self, client: usize, room: &str) -> u64 {
        self.ask(
            client,
            Ask::Join(plaza::Join {
                room: room.into(),
                ..Default::default()
            }),
        )
    }

    pub(super) fn leave(&mut self, client: usize, room: &str) -> u64 {
        self.ask(client, Ask::Leave(plaza::Leave { room: room.into() }))
    }

    pub(super) fn talk(&mut self, client: usize, room: &str, text: &str) -> u64 {
        let talk = plaza::Talk {
            room: room.into(),
            text: text.into(),
            ..Default::default()
        };
        self.ask(client, Ask::Talk(talk))
    }

    pub(super) fn direct(&mut self, client: usize, to: &str, text: &str) -> u64 {
        let direct = plaza::Direct {
            to: to.into(),
            text: text.into(),
            ..Default::default()
        };
        self.ask(client, Ask::Direct(direct))
    }

    pub(super) fn rename(&mut self, client: usize, name: &str) -> u64 {
        self.ask(client, Ask::Rename(plaza::Rename { name: name.into() }))
    }

    pub(super) fn exit(&mut self, client: usize) -> u64 {
        self.ask(client, Ask::Exit(plaza::Exit {}))
    }

    pub(super) fn ping(&mut self, client: usize) -> u64 {
        self.ask(client, Ask::Ping(plaza::Ping {}))
    }

    /// The names in a room, in their order, as its home tells them, and how many it counts.
    pub(super) fn users(&mut self, room: &str) -> (Vec<String>, u32) {
        let room = RoomName::parse(room).unwrap();
        let home = usize::from(self.directory.home_of(room.as_str()).0);
        let list = self.engines[home].home.roster(&room, 0);
        (
            list.names.iter().map(|name| name.as_str().to_owned()).collect(),
            list.online,
        )
    }

    /// Lets the socket take so many bytes from now on.
    pub(super) fn set_room(&mut self, client: usize, bytes: usize) {
        self.clients[client].socket.room.set(bytes);
        self.wake_writer(client);
    }

    /// Lets the socket take so many bytes more.
    pub(super) fn add_room(&mut self, client: usize, bytes: usize) {
        let room = self.clients[client].socket.room.get();
        self.set_room(client, room.saturating_add(bytes));
    }

    pub(super) fn write_cost_us(&mut self, client: usize, us: u64) {
        self.clients[client].socket.write_cost_us.set(us);
    }

    fn wake_writer(&mut self, client: usize) {
        if !self.clients[client].waiting || self.clients[client].socket.room.get() == 0 {
            return;
        }
        let id = self.clients[client].id;
        self.clients[client].waiting = false;
        let again = self.turn(usize::from(id.shard.0), |engine| engine.writable(id));
        assert!(
            !(again && self.clients[client].waiting),
            "two tasks wait for the same socket"
        );
        self.clients[client].waiting |= again;
        let waiting = self.clients[client].waiting;
        assert_eq!(waiting, self.is_blocked(client), "nobody waits for a full socket");
    }

    fn is_blocked(&mut self, client: usize) -> bool {
        let id = self.id(client);
        self.engine(client)
            .connection(id)
            .is_some_and(|connection| connection.blocked())
    }

    /// Writes fail from now on.
    pub(super) fn break_socket(&mut self, client: usize) {
        self.clients[client].socket.dead.set(true);
    }

    /// The peer is gone.
    pub(super) fn hang_up(&mut self, client: usize) {
        let id = self.clients[client].id;
        self.turn(usize::from(id.shard.0), |engine| engine.hung_up(id));
    }

    pub(super) fn id(&self, client: usize) -> SessionId {
        self.clients[client].id
    }

    pub(super) fn engine(&mut self, client: usize) -> &mut Engine<Rc<FakeSocket>, TestClock> {
        let shard = usize::from(self.clients[client].id.shard.0);
        &mut self.engines[shard]
    }

    pub(super) fn is_over(&mut self, client: usize) -> bool {
        let id = self.id(client);
        self.engine(client).connection(id).is_none()
    }

    pub(super) fn was_reset(&self, client: usize) -> bool {
        self.clients[client].socket.reset.get()
    }

    pub(super) fn was_shut(&self, client: usize) -> bool {
        self.clients[client].shut
    }

    pub(super) fn writes(&self, client: usize) -> usize {
        self.clients[client].socket.writes.get()
    }

    /// Requests of this client that have no answer yet, as its shard counts them.
    pub(super) fn underway(&mut self, client: usize) -> u32 {
        let id = self.id(client);
        self.engine(client)
            .connection(id)
            .map_or(0, |connection| connection.underway)
    }

    // -------------------------------------------------------------------------------------------------- what clients are told

    /// What this client was told since it was last asked for. A frame that is not complete yet stays.
    pub(super) fn told(&mut self, client: usize) -> Vec<Told> {
        self.parse(client);
        std::mem::take(&mut self.clients[client].told)
    }

    /// The same without control frames.
    pub(super) fn messages(&mut self, client: usize) -> Vec<Value> {
        self.told(client)
            .into_iter()
            .filter_map(|told| match told {
                Told::Native(message) => Some(message),
                Told::Legacy(_) | Told::Ping | Told::Pong(_) | Told::Close(_) => None,
            })
            .collect()
    }

    /// In short: `joined lobby`, `ada: hi`, `came bob`, `ack 3`, `left lobby`, `close 1013`; for tests that read like
    /// sentences.
    pub(super) fn heard(&mut self, client: usize) -> Vec<String> {
        self.told(client).into_iter().map(|told| short(&told)).collect()
    }

    /// Bytes of a frame that the socket has not taken completely.
    pub(super) fn torn_bytes(&mut self, client: usize) -> usize {
        self.parse(client);
        self.clients[client].socket.taken.borrow().len() - self.clients[client].parsed
    }

    fn parse(&mut self, client: usize) {
        let Client {
            socket,
            parsed,
            told,
            speaks,
            ..
        } = &mut self.clients[client];
        let taken = socket.taken.borrow();
        while let Some((first, payload, length)) = frame(&taken[*parsed..]) {
            assert!(
                !matches!(told.last(), Some(Told::Close(_))),
                "client {client} was sent a frame behind the close frame"
            );
            told.push(match first {
                0x81 | 0x82 => match speaks {
                    Speaks::Json => {
                        assert_eq!(first, 0x81);
                        Told::Native(serde_json::from_slice(payload).unwrap())
                    }
                    Speaks::Protobuf => {
                        assert_eq!(first, 0x82);
                        Told::Native(serde_json::to_value(plaza::ServerMessage::decode(payload).unwrap()).unwrap())
                    }
                    Speaks::Legacy(_) => Told::Legacy(payload.to_vec()),
                },
                0x88 => Told::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
                0x89 => Told::Ping,
                0x8A => Told::Pong(payload.to_vec()),
                other => panic!("client {client} was sent a frame that begins with {other:#x}"),
            });
            *parsed += length;
        }
    }

    // -------------------------------------------------------------------------------------------------- time and order

    /// One turn of a shard, and what it wants.
    pub(super) fn turn<R>(&mut self, shard: usize, act: impl FnOnce(&mut Engine<Rc<FakeSocket>, TestClock>) -> R) -> R {
        let engine = &mut self.engines[shard];
        engine.begin();
        let result = act(engine);
        engine.settle();
        let wants = std::mem::take(engine.wants());
        for want in wants {
            let (Want::WaitWritable(id) | Want::Wake(id) | Want::Shut(id)) = want;
            let Some(client) = self.clients.iter_mut().rev().find(|client| client.id == id) else {
                continue;
            };
            match want {
                Want::WaitWritable(_) => {
                    assert!(!client.waiting, "two tasks wait for the same socket");
                    client.waiting = true;
                }
                // Whether there is something to read is looked at in every step.
                Want::Wake(_) => {}
                Want::Shut(_) => {
                    assert!(!client.shut, "a connection was shut twice");
                    client.shut = true;
                }
            }
        }
        result
    }

    /// Takes one message out of a shard's inbox; whether there was one.
    pub(super) fn deliver(&mut self, shard: usize) -> bool {
        let Some(message) = self.inboxes[shard].pop() else {
            return false;
        };
        let directory = self.directory.clone();
        self.turn(shard, |engine| {
            if let ToShard::Room(event) = &message {
                directory.take_underway(ShardId(shard as u16), event.weight());
            }
            engine.handle(message);
        });
        self.inboxes[shard].feed_starved(&self.inboxes);
        for sender in 0..self.engines.len() {
            self.turn(sender, Engine::retry_kept);
        }
        true
    }

    /// One step of a shard's flush, if it is time for one; whether it was.
    pub(super) fn flush(&mut self, shard: usize) -> bool {
        match self.engines[shard].flush_due() {
            Some(due) if due <= self.clock.micros() => {
                self.turn(shard, Engine::flush);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Does one thing that can be done now, chosen at random; whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let shards = self.engines.len();
        let things = 2 * shards + self.clients.len();
        let first = self.random.usize(..things);
        (first..things).chain(0..first).any(|thing| {
            if thing < shards {
                self.deliver(thing)
            } else if thing < 2 * shards {
                self.flush(thing - shards)
            } else {
                let client = thing - 2 * shards;
                let (waiting, room) = (self.clients[client].waiting, self.clients[client].socket.room.get());
                let unread = self.clients[client].unread.len();
                if waiting && room > 0 {
                    self.wake_writer(client);
                    return true;
                }
                self.feed(client);
                self.clients[client].unread.len() < unread
            }
        })
    }

    /// Lets everything happen that can, in random order, and time pass for flushes that wait.
    pub(super) fn calm(&mut self) {
        for _ in 0..1_000_000 {
            if self.step() {
                continue;
            }
            let now = self.clock.micros();
            match self.engines.iter().filter_map(Engine::flush_due).min() {
                Some(due) => self.clock.pass_us(due.saturating_sub(now).max(1)),
                None => return,
            }
        }
        panic!("the shards do not come to rest");
    }

    /// Lets time pass, tick by tick, and everything happen in it.
    pub(super) fn pass_ms(&mut self, ms: u64) {
        let mut left = ms;
        self.calm();
        while left > 0 {
            let step = left.min(limits::WHEEL_TICK_MS);
            left -= step;
            self.clock.pass_us(step * 1_000);
            self.tick();
            self.calm();
        }
    }

    /// Time jumps, and the shards notice at their next tick.
    pub(super) fn jump_ms(&mut self, ms: u64) {
        self.clock.pass_us(ms * 1_000);
        self.tick();
        self.calm();
    }

    fn tick(&mut self) {
        for shard in 0..self.engines.len() {
            self.turn(shard, Engine::tick);
        }
    }

    /// The same as [`World::pass_ms`], while these clients answer every ping.
    pub(super) fn pass_ms_with_pongs(&mut self, ms: u64, clients: &[usize]) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(1_000);
            left -= step;
            self.pass_ms(step);
            for client in clients {
                if !self.is_over(*client) {
                    self.give(*client, masked(10, b""));
                }
            }
        }
    }

    /// What must hold whenever nothing is under way.
    pub(super) fn check_rest(&mut self) {
        let live: BTreeSet<SessionId> = self
            .engines
            .iter()
            .flat_map(|engine| {
                engine.connections.iter().map(|(slot, connection)| SessionId {
                    shard: engine.me,
                    slot: slot as u32,
                    generation: connection.generation,
                })
            })
            .collect();
        assert_eq!(self.directory.most_underway(), 0, "bytes under way to nobody");
        for engine in &self.engines {
            assert!(engine.local.is_empty() && engine.dirty.is_empty() && engine.congested.is_empty());
            assert!(engine.gatherings.is_empty());
            assert!(engine.refused.iter().all(|session| live.contains(session)));
            let ring_bytes: usize = engine.rooms.iter().map(|(_, room)| room.ring.bytes()).sum();
            assert_eq!(engine.ring_bytes, ring_bytes, "the bytes of all rings");
            for (place, room) in &engine.rooms {
                assert!(!room.members.is_empty(), "an empty room stays");
                for (at, member) in room.members.iter().enumerate() {
                    let connection = &engine.connections[member.connection as usize];
                    let mine: Vec<_> = connection
                        .memberships
                        .iter()
                        .filter(|membership| membership.room as usize == place)
                        .collect();
                    assert_eq!(mine.len(), 1);
                    assert_eq!(mine[0].member as usize, at);
                    if !connection.blocked() {
                        assert_eq!(member.cursor, room.ring.end(), "a member was forgotten by the flush");
                    }
                }
            }
            for (_, connection) in &engine.connections {
                assert_eq!(connection.underway, 0, "a request was never answered");
                if !connection.blocked() {
                    assert!(connection.outgoing.is_none(), "something waits for nothing");
                    assert!(!connection.paused, "a connection is never read again");
                }
            }
        }
    }
}

/// A message in the fewest words.
pub(super) fn short(told: &Told) -> String {
    let message = match told {
        Told::Native(message) => message,
        Told::Legacy(payload) => return String::from_utf8_lossy(payload).into_owned(),
        Told::Ping => return "ping".into(),
        Told::Pong(_) => return "pong".into(),
        Told::Close(code) => return format!("close {code}"),
    };
    let (kind, body) = message
        .as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| *key != "id")
        .unwrap();
    let field = |name: &str| match &body[name] {
        Value::String(text) => text.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    match kind.as_str() {
        "message" | "direct" => format!("{}: {}", field("from"), field("text")),
        "joined" | "left" => format!("{kind} {}", field("room")),
        "presence" if body["joined"].is_array() => format!("came {}", field("joined")),
        "presence" if body["left"].is_array() => format!("went {}", field("left")),
        "presence" => format!("digest {}", field("online")),
        "renamed" => format!("renamed {} {}", field("old"), field("new")),
        "error" | "goodbye" => format!("{kind} {}", field("code")),
        "ack" => format!("ack {}", field("seq")),
        "gap" => format!("gap {}-{}", field("from"), field("to")),
        "users" => format!("users {} of {}", field("names"), field("online")),
        other => other.to_owned(),
    }
}

/// A frame of a client, complete and masked.
pub(super) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = [0x5A, 0x01, 0xC3, 0x7E];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first frame of these bytes, if it is complete: first byte, payload, length.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    assert_eq!(second & 0x80, 0, "a masked frame of the server");
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(*short), 2),
    };
    let payload = bytes.get(head..head + length)?;
    Some((*first, payload, head + length))
}

/// The number of a request's answer.
pub(super) fn answers(message: &Value, id: u64) -> bool {
    NonZeroU64::new(id).is_some() && message["id"] == json!(id)
}
