//! The table of a shard's connections, and the lists of those with work to do.
//!
//! Invariants:
//! - Every look-up compares the generation, so the id of a connection that has ended never finds the next one in its slot. The
//!   exceptions are iteration and [`Connections::occupant`].
//! - A connection is at most once in each of the lists `dirty`, `congested` and `pressure`.
//! - The wheel has an entry for each connection at its earliest deadline or before. There may be several; only the one at
//!   `Connection::tick` counts.

use std::{collections::VecDeque, sync::Arc};

use slab::Slab;

use crate::{
    chat::{ConnectionSlot, Generation, Request, SessionId, ShardId},
    codec::{DialectId, Profile},
    limits,
    shard::{
        bus::directory::RecentDialects,
        connection::{
            counts::ConnectionCounts,
            notification::{IoRequest, Notification},
            pressure::Pressure,
            service::Service,
            session::Session,
            state::{Connection, Phase},
            wheel::Wheel,
        },
        settings::ShardSettings,
        time::Moment,
    },
    wire::FrameReader,
};

pub(crate) struct Connections<S> {
    shard: ShardId,
    slots: Slab<Connection<S>>,
    /// The generation of the newest connection.
    generation: Generation,
    settings: Arc<ShardSettings>,
    /// By the number of the dialect.
    profiles: Arc<[Profile]>,
    recent: Arc<RecentDialects>,
    random: fastrand::Rng,
    service: Service,
    counts: ConnectionCounts,
    /// Those that the engine has not taken yet.
    notifications: VecDeque<Notification>,
    io_requests: Vec<IoRequest>,
    /// Connections with bytes to write at the end of the turn.
    dirty: Vec<SessionId>,
    /// Connections that are paused until the overflow for other shards is smaller.
    congested: Vec<SessionId>,
    /// Connections that wait for their dialect, oldest first, so their cursors in the lobby are in order too. Some may have a
    /// dialect by now.
    undecided: VecDeque<SessionId>,
    wheel: Wheel<SessionId>,
    /// The time of the last tick.
    ticked_ms: u64,
    /// A buffer for the requests of one message.
    requests: Vec<Request>,
    pressure: Pressure,
}

impl<S> Connections<S> {
    pub(crate) fn new(
        shard: ShardId,
        settings: Arc<ShardSettings>,
        profiles: Arc<[Profile]>,
        recent: Arc<RecentDialects>,
        now: Moment,
        seed: u64,
    ) -> Self {
        Self {
            shard,
            slots: Slab::new(),
            generation: Generation::FIRST,
            settings,
            profiles,
            recent,
            random: fastrand::Rng::with_seed(seed),
            service: Service::default(),
            counts: ConnectionCounts::default(),
            notifications: VecDeque::new(),
            io_requests: Vec::new(),
            dirty: Vec::new(),
            congested: Vec::new(),
            undecided: VecDeque::new(),
            wheel: Wheel::new(now.ms),
            ticked_ms: now.ms,
            requests: Vec::new(),
            pressure: Pressure::default(),
        }
    }

    /// The next notification for the rest of the shard. The engine calls it after each call into a part, until it is `None`.
    pub(crate) fn poll(&mut self) -> Option<Notification> {
        self.notifications.pop_front()
    }

    /// What the runtime must do to sockets; it empties the list after each turn.
    pub(crate) fn io_requests(&mut self) -> &mut Vec<IoRequest> {
        &mut self.io_requests
    }

    pub(super) fn notify(&mut self, notification: Notification) {
        self.notifications.push_back(notification);
    }

    pub(super) fn request_io(&mut self, request: IoRequest) {
        self.io_requests.push(request);
    }

    pub(super) fn settings(&self) -> &ShardSettings {
        &self.settings
    }

    pub(super) fn profile_of(&self, dialect: DialectId) -> Profile {
        self.profiles[usize::from(dialect)]
    }

    pub(super) fn recent(&self) -> &RecentDialects {
        &self.recent
    }

    pub(super) fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    pub(super) fn service(&self) -> Service {
        self.service
    }

    /// The buffer for the requests of one message.
    pub(super) fn request_buffer(&mut self) -> &mut Vec<Request> {
        &mut self.requests
    }

    /// Whether many bytes wait for full sockets.
    pub(super) fn is_under_pressure(&self) -> bool {
        self.pressure.is_high()
    }

    /// Adds a connection to the list of full sockets.
    pub(super) fn note_full(&mut self, id: SessionId) {
        if let Some(connection) = find(&mut self.slots, id)
            && !std::mem::replace(&mut connection.full, true)
        {
            self.pressure.note_full(id);
        }
    }

    /// Takes the connections whose entry is due. The caller checks and schedules each.
    pub(crate) fn expire(&mut self, now: Moment) -> Vec<SessionId> {
        let stalled_ms = now.ms.saturating_sub(std::mem::replace(&mut self.ticked_ms, now.ms));
        if stalled_ms >= limits::STALLED_AFTER.as_millis() as u64 {
            // The process was stopped or the machine paused, so no connection was read.
            for (_, connection) in &mut self.slots {
                connection.discount_stall(stalled_ms, now.ms);
            }
        }
        let Self {
            wheel, slots, pressure, ..
        } = self;
        pressure.measure(|id| {
            let connection = find(slots, id)?;
            connection.full = connection.blocked();
            connection.full.then(|| connection.private_bytes())
        });
        let mut due = Vec::new();
        wheel.expire(now.ms, |tick, id| {
            if let Some(connection) = find(slots, id)
                && u64::from(connection.tick) == tick
            {
                connection.tick = 0;
                due.push(id);
            }
        });
        due
    }

    /// Puts a connection into the wheel at this time, unless it has an earlier entry.
    pub(crate) fn watch(&mut self, id: SessionId, at_ms: u64) {
        let tick = at_ms.div_ceil(limits::WHEEL_TICK_MS);
        let Some(connection) = find(&mut self.slots, id) else {
            return;
        };
        if connection.tick == 0 || tick < u64::from(connection.tick) {
            connection.tick = u32::try_from(self.wheel.put(at_ms, id)).unwrap_or(u32::MAX);
        }
    }

    /// The number of connections whose sockets were full at some time since the last tick.
    pub(crate) fn full(&self) -> usize {
        self.pressure.full()
    }

    /// Bytes of replies that waited for full sockets at the last tick.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.pressure.bytes()
    }

    /// Pretends that this many bytes wait, until the next tick.
    #[cfg(test)]
    pub(crate) fn press(&mut self, bytes: usize) {
        self.pressure.set_bytes(bytes);
    }

    pub(crate) fn counts(&mut self) -> &mut ConnectionCounts {
        &mut self.counts
    }

    pub(super) fn insert(&mut self, socket: S, phase: Phase, reader: FrameReader, now_ms: u64) -> SessionId {
        self.generation = self.generation.next();
        let connection = Connection::new(socket, self.generation, phase, reader, now_ms);
        let slot = self.slots.insert(connection);
        id(self.shard, slot, self.generation)
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// The profile of a connection's dialect, while it has one.
    pub(crate) fn profile(&self, id: SessionId) -> Option<&Profile> {
        let speaking = self.get(id)?.speaking()?;
        self.profiles.get(usize::from(speaking.dialect))
    }

    /// A connection, and the profiles of all dialects by number.
    pub(crate) fn with_profiles(&mut self, id: SessionId) -> Option<(&mut Connection<S>, &[Profile])> {
        Some((find(&mut self.slots, id)?, &self.profiles))
    }

    /// A connection's dialect, once it has been detected or guessed.
    pub(crate) fn dialect(&self, id: SessionId) -> Option<DialectId> {
        let connection = self.get(id)?;
        let is_known = connection.dialect_guessed_at().is_none();
        connection
            .speaking()
            .filter(|_| is_known)
            .map(|speaking| speaking.dialect)
    }

    pub(crate) fn is_native(&self, id: SessionId) -> bool {
        self.dialect(id) == Some(DialectId::Native)
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&Connection<S>> {
        self.slots
            .get(id.slot().index())
            .filter(|connection| connection.generation() == id.generation())
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Connection<S>> {
        find(&mut self.slots, id)
    }

    pub(super) fn with_counts(&mut self, id: SessionId) -> Option<(&mut Connection<S>, &mut ConnectionCounts)> {
        Some((find(&mut self.slots, id)?, &mut self.counts))
    }

    /// The named user of a connection.
    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.get(id)?.session()
    }

    pub(crate) fn socket(&mut self, id: SessionId) -> Option<&mut S> {
        Some(&mut self.get_mut(id)?.socket)
    }

    /// Removes a connection; the next one may get its slot at once.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Connection<S>> {
        self.get(id)?;
        self.slots.try_remove(id.slot().index())
    }

    /// The connection that is in this slot now.
    pub(crate) fn id_at(&self, slot: ConnectionSlot) -> Option<SessionId> {
        let connection = self.slots.get(slot.index())?;
        Some(id(self.shard, slot.index(), connection.generation()))
    }

    /// The connection that is in this slot now: only for a part that forgets the slot before the connection leaves it.
    pub(crate) fn occupant(&mut self, slot: ConnectionSlot) -> Option<(SessionId, &mut Connection<S>)> {
        let connection = self.slots.get_mut(slot.index())?;
        Some((id(self.shard, slot.index(), connection.generation()), connection))
    }

    /// Notes that the connection has bytes to write at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Takes a connection that has bytes to write.
    pub(crate) fn next_dirty(&mut self) -> Option<SessionId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(connection) = self.get_mut(id) {
                connection.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// Notes that the connection is paused until there is less overflow.
    pub(crate) fn note_congested(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.congested, true)
        {
            self.congested.push(id);
        }
    }

    pub(crate) fn has_congested(&self) -> bool {
        !self.congested.is_empty()
    }

    /// Takes the connections that were paused because of overflow.
    pub(crate) fn take_congested(&mut self) -> Vec<SessionId> {
        let mut relieved = std::mem::take(&mut self.congested);
        relieved.retain(|id| {
            self.get_mut(*id)
                .is_some_and(|connection| std::mem::take(&mut connection.congested))
        });
        relieved
    }

    pub(crate) fn wait_for_dialect(&mut self, id: SessionId) {
        self.forget_decided();
        self.undecided.push_back(id);
    }

    pub(crate) fn has_undecided(&mut self) -> bool {
        self.forget_decided();
        !self.undecided.is_empty()
    }

    /// The connections that wait for their dialect, oldest first.
    pub(crate) fn waiting_for_dialect(&self) -> impl Iterator<Item = SessionId> {
        self.undecided.iter().copied().filter(|id| self.waits_for_dialect(*id))
    }

    /// Removes connections that have a dialect by now from the front of the queue. None waits longer than
    /// [`crate::limits::DETECT_NAMED`].
    fn forget_decided(&mut self) {
        while self
            .undecided
            .front()
            .is_some_and(|first| !self.waits_for_dialect(*first))
        {
            self.undecided.pop_front();
        }
    }

    /// Whether nothing may be encoded for this connection yet, because its dialect has not been guessed.
    pub(crate) fn waits_for_dialect(&self, id: SessionId) -> bool {
        self.get(id)
            .is_some_and(|connection| connection.dialect_guessed_at().is_some())
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.dirty.is_empty() && self.congested.is_empty() && self.notifications.is_empty()
    }

    /// All connections, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Connection<S>)> {
        let all = self.slots.iter();
        all.map(|(slot, connection)| (id(self.shard, slot, connection.generation()), connection))
    }

    /// Stops reading for good; returns whether every request is answered and no message waits for a retry.
    pub(crate) fn quiesce(&mut self) -> bool {
        if self.service.quiesce() {
            for (_, connection) in &mut self.slots {
                connection.reader.pause();
            }
        }
        self.slots.iter().all(|(_, connection)| {
            let retries = connection.session().is_some_and(|session| session.retry_ms().is_some());
            connection.in_flight == 0 && !retries
        })
    }

    /// Begins to drain; connections whose peers do not read may stay until `until_ms`.
    pub(crate) fn begin_drain(&mut self, until_ms: u64) {
        self.service = Service::Draining { until_ms };
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.service.drains_until().is_some()
    }
}

/// Looks up a connection while other fields of [`Connections`] are borrowed.
fn find<S>(slots: &mut Slab<Connection<S>>, id: SessionId) -> Option<&mut Connection<S>> {
    slots
        .get_mut(id.slot().index())
        .filter(|connection| connection.generation() == id.generation())
}

fn id(shard: ShardId, slot: usize, generation: Generation) -> SessionId {
    SessionId::new(shard, ConnectionSlot::new(slot as u32), generation)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::{
        chat::{SessionTag, UserName},
        codec::{DIALECTS, Handshake},
        shard::connection::{
            session::{Named, Proof, Session},
            write::Socket,
        },
    };

    impl<S: Socket> Connections<S> {
        pub(crate) fn for_test() -> Self {
            let profiles = DIALECTS.map(Profile::of).into();
            let (settings, recent) = (Arc::default(), Arc::default());
            Self::new(ShardId(0), settings, profiles, recent, Moment::default(), 1)
        }

        pub(crate) fn enter_for_test(&mut self, id: SessionId, name: &str) {
            let name = UserName::parse(name).unwrap();
            let session = Session::new(Named::new(name, Proof::Unclaimed), SessionTag(1), None, 0);
            self.get_mut(id).unwrap().enter(session);
        }

        /// Opens a native connection.
        pub(crate) fn open_for_test(&mut self, socket: S) -> SessionId {
            let handshake = Handshake::silent();
            self.open(socket, handshake, Some(DialectId::Native), Moment::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::testing::{FakeSocket, TestClock};

    fn connections() -> (Connections<Rc<FakeSocket>>, impl Fn() -> Rc<FakeSocket>) {
        let socket = || Rc::new(FakeSocket::new(TestClock::default()));
        (Connections::for_test(), socket)
    }

    #[test]
    fn an_id_finds_only_its_own_connection() {
        let (mut connections, socket) = connections();
        let toms = socket();
        let ada = connections.open_for_test(socket());
        let bob = connections.open_for_test(socket());
        assert!(connections.remove(ada).is_some());
        let tom = connections.open_for_test(toms.clone());
        assert_eq!(tom.slot(), ada.slot());
        assert!(connections.get(ada).is_none() && connections.get_mut(ada).is_none());
        assert!(
            connections.remove(ada).is_none(),
            "a late removal of ada leaves tom alone"
        );
        let found = connections.get(tom).map(|connection| &connection.socket);
        assert!(found.is_some_and(|socket| Rc::ptr_eq(socket, &toms)));
        assert_eq!(connections.id_at(ada.slot()), Some(tom));
        let ids: Vec<_> = connections.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [tom, bob]);
    }

    #[test]
    fn a_connection_is_in_the_lists_of_writes_and_of_congestion_once() {
        let (mut connections, socket) = connections();
        let ada = connections.open_for_test(socket());
        let bob = connections.open_for_test(socket());
        for id in [ada, bob, ada] {
            connections.mark_dirty(id);
            connections.note_congested(id);
        }
        assert!(connections.remove(bob).is_some());
        assert_eq!(connections.next_dirty(), Some(ada));
        assert_eq!(connections.next_dirty(), None);
        assert_eq!(connections.take_congested(), [ada]);
        connections.mark_dirty(ada);
        connections.note_congested(ada);
        assert_eq!(connections.next_dirty(), Some(ada), "it is dirty again");
        assert_eq!(connections.take_congested(), [ada]);
    }
}
