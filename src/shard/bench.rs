//! Thin wrappers through which the benches reach private parts of a shard. Not a public interface.
//!
//! Built only with the feature `bench`, which `Cargo.toml` switches on for benches and tests.

use std::{io, rc::Rc, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::shard::{
    bus::message::ToShard,
    bus::{directory, inbox},
    connection::{wheel, write::Socket},
    engine::{Clock, Engine},
    event::room::RoomEvent,
    owner::Observer,
    room::ring,
    settings::ShardSettings,
};
use crate::{
    chat::{ChatMessage, Happening, RoomName, SessionId, ShardId, UserId},
    codec::{DIALECTS, DialectId, Dialects, Encoding, Handshake, Profile, native},
    limits,
    wire::masked::masked_frame,
};

/// The inboxes of several shards.
pub struct Inboxes(Arc<[inbox::Inbox<u64>]>);

impl Inboxes {
    pub fn new(shards: usize) -> Self {
        let inbox = || inbox::Inbox::new(limits::INBOX_MESSAGES, shards);
        Self((0..shards).map(|_| inbox()).collect())
    }

    /// Sends to a shard; returns whether the message fitted.
    pub fn push(&self, to: usize, message: u64) -> bool {
        self.0[to].push(message).is_ok()
    }

    pub fn pop(&self, shard: usize) -> Option<u64> {
        self.0[shard].pop()
    }

    pub fn outbox(&self, me: usize) -> Outbox {
        Outbox(inbox::Outbox::new(me, self.0.clone()))
    }
}

/// One shard's sending side, with its overflow.
pub struct Outbox(inbox::Outbox<u64>);

impl Outbox {
    pub fn send(&mut self, to: usize, message: u64) {
        self.0.send(to, message);
    }

    /// Retries the overflow; returns the number of messages left in it.
    pub fn retry(&mut self) -> usize {
        self.0.retry();
        self.0.overflow()
    }
}

/// A timer wheel of numbers.
#[derive(Debug)]
pub struct Wheel(wheel::Wheel<u64>);

impl Wheel {
    pub fn put(&mut self, at_ms: u64, number: u64) {
        self.0.put(at_ms, number);
    }

    pub fn expire(&mut self, now_ms: u64, mut each: impl FnMut(u64)) {
        self.0.expire(now_ms, |_, number| each(number));
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self(wheel::Wheel::new(0))
    }
}

/// The directory of online users.
#[derive(Debug)]
pub struct Directory(directory::Directory);

impl Directory {
    pub fn new(shards: usize) -> Self {
        Self(directory::Directory::new(shards, directory::OwnerKey::fixed(7), 1))
    }

    pub fn enter(&self, user: &UserId, session: SessionId) {
        self.0.enter(user, session);
    }

    pub fn exit(&self, user: &UserId, session: SessionId) {
        self.0.exit(user, session);
    }

    /// The number of shards with sessions of this user.
    pub fn shards_of(&self, user: &UserId) -> usize {
        self.0.shards_of(user).count()
    }

    pub fn owner_of(&self, name: &str) -> ShardId {
        self.0.owner_of(name)
    }
}

/// One shard's ring of recent events in a room.
#[derive(Debug)]
pub struct Ring {
    room: RoomName,
    encoding: Encoding,
    ring: ring::Ring,
}

impl Ring {
    /// Appends a message, as if all earlier events had been offered to every member, and trims the ring to this many bytes.
    pub fn push(&mut self, message: ChatMessage, most_bytes: usize) {
        let event = RoomEvent::new(
            self.room.clone(),
            Happening::Message(message),
            None,
            0,
            Dialects::default(),
        );
        self.ring.offered(self.ring.end());
        self.ring.push(Arc::new(event), 0);
        self.ring.trim_to(most_bytes);
    }

    /// The bytes for a member whose cursor is this many events behind the end.
    pub fn batch(&self, behind: u64) -> Bytes {
        let end = self.ring.end();
        let batch = self.ring.batch(self.encoding, end.saturating_sub(behind), end);
        match batch.content {
            ring::Content::Shared(bytes) => bytes,
            ring::Content::Addressed { .. } => Bytes::new(),
        }
    }
}

impl Default for Ring {
    /// An empty ring, for native members that use protobuf.
    fn default() -> Self {
        Self {
            room: RoomName::lobby(),
            encoding: Encoding::new(DialectId::Native, 0),
            ring: ring::Ring::default(),
        }
    }
}

/// A member's socket.
pub trait Sink {
    /// Writes as much as fits without blocking.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl<S: Sink> Socket for S {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn reset(&self) {}
}

/// One shard with one room of native members; no pacing, no other shards.
pub struct Room<S> {
    engine: Engine<S, RealTime>,
    sender: Option<SessionId>,
    message: Vec<u8>,
}

struct RealTime(Instant);

impl Clock for RealTime {
    fn micros(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    fn unix_ms(&self) -> u64 {
        1_700_000_000_000 + self.micros() / 1_000
    }
}

struct Nobody;

impl Observer for Nobody {
    fn talk(&self, _: &RoomName, _: &ChatMessage) {}
}

impl<S: Sink> Room<S> {
    pub fn new(sinks: impl IntoIterator<Item = S>) -> Self {
        let mut settings = ShardSettings {
            pace: 0.0,
            ..ShardSettings::default()
        };
        // No join events: the benches measure messages.
        settings.rooms.presence_events_max = 0;
        let inboxes: Arc<[inbox::Inbox<ToShard>]> = [inbox::Inbox::new(limits::INBOX_MESSAGES, 1)].into();
        let mut engine = Engine::new(
            ShardId(0),
            Arc::new(settings),
            DIALECTS.map(Profile::of).into(),
            RealTime(Instant::now()),
            Arc::new(directory::Directory::new(1, directory::OwnerKey::fixed(7), 1)),
            inbox::Outbox::new(0, inboxes),
            Rc::new(Nobody),
            1,
        );
        let handshake = Handshake {
            subprotocol: Some(native::JSON),
            ..Handshake::silent()
        };
        let mut sender = None;
        for (number, sink) in sinks.into_iter().enumerate() {
            engine.begin_turn();
            let id = engine.open(sink, handshake.clone(), Some(DialectId::Native));
            let hello = format!(r#"{{"hello":{{"name":"member {number}"}}}}"#);
            for message in [hello.as_str(), r#"{"join":{"room":"lobby"}}"#] {
                engine.receive(id, &mut masked(message));
                engine.end_turn();
            }
            sender.get_or_insert(id);
        }
        let text = "x".repeat(64);
        let mut room = Self {
            engine,
            sender,
            message: masked(&format!(r#"{{"talk":{{"room":"lobby","text":"{text}"}}}}"#)),
        };
        room.flush();
        room
    }

    /// The first member sends a message of 64 bytes. The shard reads, numbers and appends it; the members get it with the flush.
    pub fn talk(&mut self) {
        if let Some(sender) = self.sender {
            self.engine.begin_turn();
            self.engine.receive(sender, &mut self.message.clone());
            self.engine.end_turn();
        }
    }

    /// Flushes the room; returns the number of deliveries since the last call.
    pub fn flush(&mut self) -> u64 {
        self.engine.begin_turn();
        while self.engine.flush() {}
        self.engine.end_turn();
        self.engine.io_requests().clear();
        self.engine.counts().rooms.flushes.clear();
        std::mem::take(&mut self.engine.counts().rooms.deliveries)
    }
}

fn masked(text: &str) -> Vec<u8> {
    masked_frame(0x81, [0; 4], text.as_bytes())
}
