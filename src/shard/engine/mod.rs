//! The engine of one shard connects its parts: it lends each part the parts below it, and passes on what each returns.
//!
//! The runtime drives it: bytes arrive ([`Engine::receive`]), messages of other shards arrive ([`Engine::handle`]), the store
//! answers ([`Engine::stored`]), sockets become writable ([`Engine::writable`]), time passes ([`Engine::tick`]), and rooms are
//! flushed in steps ([`Engine::flush`]). The engine asks the runtime for I/O with [`IoRequest`]s.
//!
//! It contains no rule of a part, does no I/O but through [`Socket`], and reads no clock but its [`Clock`], so that tests replace both.

mod commands;
mod dispatch;
mod drain;
#[cfg(test)]
mod inspect;
mod notifications;
mod operator;
mod parts;
mod receive;
mod stored;

use std::{rc::Rc, sync::Arc};

pub(crate) use crate::shard::time::{Clock, Moment};
use crate::shard::{
    bus::{Bus, directory::Directory, inbox::Outbox, message::ToShard},
    connection::{
        connections::Connections, counts::ConnectionCounts, notification::IoRequest, reader::Reading, write::Socket,
    },
    direct::inboxes::DirectInboxes,
    owner::{Observer, Owner},
    room::{counts::RoomCounts, rooms::Rooms},
    settings::ShardSettings,
    store::port::StorePort,
};
use crate::{
    chat::{ConnectionSlot, SessionId, ShardId, UserName},
    codec::Profile,
    limits,
};

pub(crate) struct Engine<S, C> {
    me: ShardId,
    settings: Arc<ShardSettings>,
    clock: C,
    now: Moment,
    connections: Connections<S>,
    rooms: Rooms,
    owner: Owner,
    directory: Arc<Directory>,
    bus: Bus,
    /// Claimed names that sessions of this shard still have and must give up.
    displacing: Vec<UserName>,
    inboxes: DirectInboxes,
    random: fastrand::Rng,
    /// Direct messages that this shard, as owner of pairs, has fanned out since the last tick.
    directs: u64,
    store: StorePort,
}

/// The counts of all parts since the last tick. The reporter resets them.
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
    #[expect(
        clippy::too_many_arguments,
        reason = "called once; each is another part of the shard"
    )]
    pub(crate) fn new(
        me: ShardId,
        settings: Arc<ShardSettings>,
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

    pub(crate) fn use_store(&mut self, store: StorePort) {
        self.store = store;
    }

    /// Begins a turn, and takes its time from the clock.
    pub(crate) fn begin_turn(&mut self) {
        self.now = Moment::of(&self.clock);
        self.inboxes.begin_turn();
    }

    /// Ends a turn: handles the shard's messages to itself, delivers direct messages, writes the queues, and resumes connections
    /// that were paused because of congestion.
    pub(crate) fn end_turn(&mut self) {
        for _ in 0..limits::RESUME_ROUNDS_PER_TURN {
            self.settle();
            if !self.can_resume_congested() {
                return;
            }
            for id in self.connections.take_congested() {
                self.read_on(id);
            }
        }
        // The next turn resumes the others: `flush_due` asks for one.
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            self.dispatch_local();
            if self.with_inboxes(DirectInboxes::deliver) {
                continue;
            }
            let Some(id) = self.connections.next_dirty() else {
                return;
            };
            self.write(id);
        }
    }

    /// Time has passed. The runtime calls it once per tick.
    pub(crate) fn tick(&mut self) {
        for id in self.connections.expire(self.now) {
            self.connections.check(id, self.now);
            self.process_notifications();
            self.connections.schedule(id, self.now);
        }
        self.with_inboxes(DirectInboxes::retry);
        for name in std::mem::take(&mut self.displacing) {
            self.displace(name);
        }
        self.rooms.tick(self.now);
        self.with_owner(|owner, conditions| owner.tick(conditions.now_ms));
    }

    /// When [`Engine::flush`] is due, microseconds; 0: now.
    pub(crate) fn flush_due(&self) -> Option<u64> {
        if !self.inboxes.is_delivered() || self.can_resume_congested() {
            return Some(0);
        }
        self.rooms.flush_due()
    }

    /// Flushes rooms for a bounded number of writes. Returns whether a flush is due at once.
    pub(crate) fn flush(&mut self) -> bool {
        let most = self.settings.yield_writes;
        self.with_rooms(|rooms, parts| rooms.flush(most, parts))
    }

    /// What the runtime must do to sockets; it empties the list after each turn.
    pub(crate) fn io_requests(&mut self) -> &mut Vec<IoRequest> {
        self.connections.io_requests()
    }

    /// Handles one message of another shard.
    pub(crate) fn handle(&mut self, message: ToShard) {
        self.dispatch(message);
        self.dispatch_local();
    }

    fn dispatch_local(&mut self) {
        while let Some(message) = self.bus.next_local() {
            self.dispatch(message);
        }
    }

    /// Displaces sessions of this shard after a claim of their name. If there are too many for one turn, the next tick displaces
    /// more.
    fn displace(&mut self, name: UserName) {
        if self.with_presence(|presence| presence.displace(&name)) {
            self.displacing.push(name);
        }
    }

    /// Sends as much of the overflow as fits now.
    pub(crate) fn retry_overflow(&mut self) {
        self.bus.retry();
    }

    pub(crate) fn clock(&self) -> &C {
        &self.clock
    }

    pub(crate) fn socket(&mut self, id: SessionId) -> Option<&mut S> {
        self.connections.socket(id)
    }

    /// The connection that is in this slot now.
    pub(crate) fn id_at(&self, slot: ConnectionSlot) -> Option<SessionId> {
        self.connections.id_at(slot)
    }

    /// What the runtime does with a connection's socket.
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

    /// Whether connections that were paused because of congestion may be read again.
    pub(crate) fn can_resume_congested(&self) -> bool {
        self.connections.has_congested() && self.bus.is_relieved()
    }
}
