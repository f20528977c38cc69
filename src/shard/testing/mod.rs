//! Several shards without threads and sockets: real engines, connected by real inboxes, on a test clock.
//!
//! A test controls time, the room in every socket, and the order in which messages between shards arrive. Clients send masked
//! frames of their dialect. What they receive is parsed from the bytes that their sockets took; a torn, unknown or masked frame
//! fails the test at once.
//!
//! The methods of [`World`] are spread over files: `clients` (connecting and sending), `received`, `sockets`, `store`, and
//! `turns` (turns of the shards, and time).

mod clients;
mod received;
mod sockets;
mod store;
mod turns;
pub(crate) mod values;

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc, time::Duration};

use crate::shard::{
    bus::directory::{Directory, OwnerKey},
    bus::inbox::{Inbox, Outbox},
    bus::message::ToShard,
    engine::Engine,
    owner::Observer,
    settings::ShardSettings,
};
use crate::{
    chat::{ChatMessage, RoomName, SessionId, ShardId},
    codec::{DIALECTS, Profile},
    limits,
};

pub(crate) use clients::{Speaks, masked};
pub(crate) use received::{Received, answers};
pub(crate) use sockets::{FakeSocket, OPEN, TestClock};
pub(crate) use store::{start as start_store, unanswered};

/// Shards, clients and time.
pub(crate) struct World {
    pub(crate) clock: TestClock,
    pub(crate) engines: Vec<Engine<Rc<FakeSocket>, TestClock>>,
    pub(crate) directory: Arc<Directory>,
    inboxes: Arc<[Inbox<ToShard>]>,
    clients: Vec<Client>,
    pub(crate) logged: Rc<RefCell<Vec<(RoomName, ChatMessage)>>>,
    random: fastrand::Rng,
    store: Option<store::TestStore>,
    ends_midway: bool,
}

struct Client {
    id: SessionId,
    speaks: Speaks,
    socket: Rc<FakeSocket>,
    /// How many bytes of the socket are parsed.
    parsed: usize,
    received: Vec<Received>,
    /// Sent bytes that the shard has not read yet.
    unread: VecDeque<Vec<u8>>,
    shut: bool,
    next_request: u64,
}

/// Keeps every message that it observes.
#[derive(Default)]
pub(crate) struct Listener(pub(crate) Rc<RefCell<Vec<(RoomName, ChatMessage)>>>);

impl Observer for Listener {
    fn talk(&self, room: &RoomName, message: &ChatMessage) {
        self.0.borrow_mut().push((room.clone(), message.clone()));
    }
}

impl World {
    pub(crate) fn new(shards: usize) -> Self {
        Self::with(shards, limits::INBOX_MESSAGES, |_| {})
    }

    /// Shards with inboxes of this size and changed settings.
    pub(crate) fn with(shards: usize, inbox: usize, change: impl FnOnce(&mut ShardSettings)) -> Self {
        let mut settings = ShardSettings::default();
        change(&mut settings);
        let settings = Arc::new(settings);
        let clock = TestClock::default();
        clock.pass_us(1_000_000);
        clock.set_unix_ms(1_767_323_045_000);
        let inboxes: Arc<[Inbox<ToShard>]> = (0..shards).map(|_| Inbox::new(inbox, shards)).collect();
        let directory = Arc::new(Directory::new(shards, OwnerKey::fixed(7), 1));
        let logged = Rc::new(RefCell::new(Vec::new()));
        let observer: Rc<dyn Observer> = Rc::new(Listener(logged.clone()));
        let engines = (0..shards)
            .map(|shard| {
                Engine::new(
                    ShardId(shard as u16),
                    settings.clone(),
                    DIALECTS.map(Profile::of).into(),
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
            logged,
            random: fastrand::Rng::with_seed(1),
            store: None,
            ends_midway: false,
        }
    }

    /// Shards on which no client times out.
    pub(crate) fn without_timeouts(shards: usize) -> Self {
        Self::with(shards, limits::INBOX_MESSAGES, |settings| {
            settings.dead_after = Duration::from_secs(1_000_000);
            settings.write_timeout = Duration::from_secs(1_000_000);
        })
    }

    /// Allows this test to end while something is in flight.
    pub(crate) fn ends_midway(&mut self) {
        self.ends_midway = true;
    }

    pub(crate) fn seed(&mut self, seed: u64) {
        self.random.seed(seed);
    }

    pub(crate) fn id(&self, client: usize) -> SessionId {
        self.clients[client].id
    }

    pub(crate) fn engine(&mut self, client: usize) -> &mut Engine<Rc<FakeSocket>, TestClock> {
        let shard = usize::from(self.clients[client].id.shard().0);
        &mut self.engines[shard]
    }

    pub(crate) fn is_over(&mut self, client: usize) -> bool {
        let id = self.id(client);
        self.engine(client).connections().get(id).is_none()
    }

    /// By shard: how many messages do not fit its inbox.
    pub(crate) fn overflow(&self) -> Vec<usize> {
        self.inboxes.iter().map(Inbox::overflow).collect()
    }

    /// The unanswered requests of this client, as its shard counts them.
    pub(crate) fn in_flight(&mut self, client: usize) -> u32 {
        let id = self.id(client);
        self.engine(client)
            .connections()
            .get(id)
            .map_or(0, |connection| connection.in_flight())
    }
}
