//! The engine of one shard: connections, rooms and what passes between them. No I/O of its own, and no clock but the one it
//! is given: sockets, time and other shards come in through [`Socket`], [`Clock`] and [`Outbox`], so that tests own them.
//!
//! It is driven from outside: bytes arrive ([`Engine::receive`]), messages of other shards arrive ([`Engine::handle`]),
//! sockets become writable ([`Engine::writable`]), time passes ([`Engine::tick`]), and rooms are flushed in steps
//! ([`Engine::flush`]). What it wants of the outside it says in [`IoRequest`]s.

mod commands;
pub(crate) mod dispatch;
mod drain;
mod notifications;
#[cfg(test)]
mod inspect;
mod names;
pub(crate) mod operator;
mod receive;
mod replies;
pub(crate) mod rooms;
mod stored;
mod timers;

use std::{rc::Rc, sync::Arc};

pub(crate) use crate::shard::time::{Clock, Moment};
use crate::shard::{
    bus::Bus,
    bus::directory::Directory,
    bus::inbox::Outbox,
    bus::message::ToShard,
    connection::reader::Reading,
    connection::{
        connections::Connections, counts::ConnectionCounts, notification::IoRequest, session::Session, state::Connection,
        write::Socket,
    },
    direct::inboxes::DirectInboxes,
    owner::{Observer, Owner},
    room::rooms::Rooms,
    room::counts::RoomCounts,
    settings::Settings,
    store::port::StorePort,
};
use crate::{
    chat::{ConnectionSlot, SessionId, ShardId, ToSession, UserName},
    codec::Profile,
    limits,
};

/// One shard's connections and rooms.
pub(crate) struct Engine<S, C> {
    me: ShardId,
    settings: Arc<Settings>,
    clock: C,
    now: Moment,
    connections: Connections<S>,
    rooms: Rooms,
    owner: Owner,
    directory: Arc<Directory>,
    bus: Bus,
    /// Names that were claimed, of which sessions are still to be renamed here.
    displacing: Vec<UserName>,
    inboxes: DirectInboxes,
    random: fastrand::Rng,
    /// Direct messages that this shard, as owner of pairs, has fanned out since the last tick.
    directs: u64,
    store: StorePort,
}

/// The counts of all parts since the last tick; whoever reports them resets them.
pub(crate) struct Counts<'a> {
    pub(crate) connections: &'a mut ConnectionCounts,
    pub(crate) rooms: &'a mut RoomCounts,
    pub(crate) directs: &'a mut u64,
}

/// The present state of a shard, for the metrics. The runtime adds `inbox` and `overflow`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) sessions: usize,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) blocked: usize,
    pub(crate) inflight_bytes: usize,
    pub(crate) ring_bytes: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) inbox: usize,
    pub(crate) overflow: usize,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// An engine without connections.
    #[expect(
        clippy::too_many_arguments,
        reason = "called once; each is another part of the shard"
    )]
    pub(crate) fn new(
        me: ShardId,
        settings: Arc<Settings>,
        profiles: Arc<[Profile]>,
        clock: C,
        directory: Arc<Directory>,
        outbox: Outbox<ToShard>,
        observer: Rc<dyn Observer>,
        seed: u64,
    ) -> Self {
        let now = Moment::of(&clock);
        let rooms = Rooms::new(&settings, directory.shards());
        let recent = directory.recent.clone();
        let connections = Connections::new(me, settings.clone(), profiles, recent, now, seed ^ 2);
        Self {
            me,
            owner: Owner::new(&settings, observer, seed),
            settings,
            clock,
            now,
            connections,
            rooms,
            directory,
            bus: Bus::new(me, outbox),
            displacing: Vec::new(),
            inboxes: DirectInboxes::new(me),
            random: fastrand::Rng::with_seed(seed ^ 3),
            directs: 0,
            store: StorePort::without_store(me),
        }
    }

    /// Gives the shard a store.
    pub(crate) fn use_store(&mut self, store: StorePort) {
        self.store = store;
    }

    /// Begins a turn: what happens in it happens now.
    pub(crate) fn begin(&mut self) {
        self.now = Moment::of(&self.clock);
        self.inboxes.begin_turn();
    }

    /// Ends a turn: handles what this shard said to itself, hands out direct messages, writes what waits.
    pub(crate) fn settle(&mut self) {
        for _ in 0..limits::RESUME_ROUNDS_PER_TURN {
            self.settle_once();
            if !self.can_resume_congested() {
                return;
            }
            for id in self.connections.take_congested() {
                self.read_on(id);
            }
        }
        // What is left comes with the next turn, which `flush_due` asks for.
        self.settle_once();
    }

    fn settle_once(&mut self) {
        loop {
            while let Some(message) = self.bus.next_local() {
                self.take(message);
            }
            if self.with_inboxes(DirectInboxes::deliver) {
                continue;
            }
            let Some(id) = self.connections.next_dirty() else {
                return;
            };
            self.write(id);
        }
    }

    /// What the engine wants; the caller takes it all after each turn.
    pub(crate) fn io_requests(&mut self) -> &mut Vec<IoRequest> {
        self.connections.io_requests()
    }

    /// What a message of another shard costs to handle beside what every message costs, in talks of a kibibyte.
    pub(crate) fn weight(&self, message: &ToShard) -> usize {
        match message {
            ToShard::Session {
                what: ToSession::Admit(admission),
                ..
            } => admission.backlog.as_ref().map_or(0, |backlog| backlog.messages.len()),
            _ => 0,
        }
    }

    /// Handles one message of another shard.
    pub(crate) fn handle(&mut self, message: ToShard) {
        self.take(message);
        while let Some(message) = self.bus.next_local() {
            self.take(message);
        }
    }

    /// Sends what other shards had no room for, as far as they have room now.
    pub(crate) fn retry_overflow(&mut self) {
        self.bus.retry();
    }

    /// The clock that it was given.
    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    /// The connection in this place, if it is still the same.
    fn connection(&mut self, id: SessionId) -> Option<&mut Connection<S>> {
        self.connections.get_mut(id)
    }

    fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.connection(id)?.session_mut()
    }

    /// The socket of a connection.
    pub(crate) fn socket(&mut self, id: SessionId) -> Option<&mut S> {
        self.connections.socket(id)
    }

    /// The connection that stands in this slot now.
    pub(crate) fn id_at(&self, slot: ConnectionSlot) -> Option<SessionId> {
        self.connections.id_at(slot)
    }

    /// What the reader of a connection's socket is to do.
    pub(crate) fn reading(&self, id: SessionId) -> Reading {
        self.connections.reading(id)
    }

    pub(crate) fn counts(&mut self) -> Counts<'_> {
        Counts {
            connections: self.connections.counts(),
            rooms: self.rooms.counts(),
            directs: &mut self.directs,
        }
    }

    /// What there is at this moment.
    pub(crate) fn gauges(&self) -> Gauges {
        Gauges {
            sessions: self.directory.sessions_of(self.me),
            rooms: self.owner.open_rooms(),
            members: self.rooms.members(),
            blocked: self.connections.full(),
            inflight_bytes: self.directory.events.to(self.me) + self.directory.directs.to(self.me),
            ring_bytes: self.rooms.ring_bytes(),
            waiting_bytes: self.connections.waiting_bytes(),
            inbox: 0,
            overflow: 0,
        }
    }

    /// Sends to a shard; to itself at the end of the turn.
    pub(crate) fn send(&mut self, to: ShardId, message: ToShard) {
        self.bus.send(to, message);
    }

    /// Whether connections may be read again that waited for other shards.
    pub(crate) fn can_resume_congested(&self) -> bool {
        self.connections.has_congested() && self.bus.is_relieved()
    }
}
