//! The connections of a shard, found by their ids.
//!
//! An id that is found is of the connection that stands in its slot now: a slot that was given to another connection is not
//! found by the id of the one before. There is no other way to a connection, except through all of them in turn and through
//! [`Connections::occupant`], for those who are told before a connection goes.

use std::{collections::VecDeque, sync::Arc};

use slab::Slab;

use crate::{
    chat::{ConnectionSlot, Generation, Request, SessionId, ShardId},
    codec::{DialectId, Profile},
    shard::{
        bus::directory::RecentDialects,
        connection::{
            counts::ConnectionCounts,
            happened::{Happened, Want},
            pressure::Pressure,
            service::Service,
            session::Session,
            state::{Connection, Phase},
            wheel::Wheel,
        },
        settings::Settings,
        time::Moment,
    },
    wire::FrameReader,
};

/// All connections of one shard.
pub(crate) struct Connections<S> {
    shard: ShardId,
    pub(super) slots: Slab<Connection<S>>,
    /// Of the newest connection.
    generation: Generation,
    pub(super) settings: Arc<Settings>,
    /// By the number of the dialect.
    pub(super) profiles: Arc<[Profile]>,
    /// What clients of unknown dialect turned out to speak, on all shards.
    pub(super) recent: Arc<RecentDialects>,
    pub(super) random: fastrand::Rng,
    pub(super) service: Service,
    pub(super) counts: ConnectionCounts,
    /// What the rest of the shard has not been told yet.
    pub(super) happened: VecDeque<Happened>,
    pub(super) wants: Vec<Want>,
    /// Those that have something to be written at the end of the turn; each at most once.
    pub(super) dirty: Vec<SessionId>,
    /// Those that are not read until other shards have taken what waits for them; each at most once.
    congested: Vec<SessionId>,
    /// Those whose dialect has not been guessed, and some others, in the order in which they came: so their cursors in the
    /// lobby are in order, too.
    undecided: VecDeque<SessionId>,
    pub(super) wheel: Wheel<SessionId>,
    /// Buffer for the requests of one message.
    pub(super) requests: Vec<Request>,
    /// When time was last looked at, milliseconds.
    pub(super) ticked_ms: u64,
    pub(super) pressure: Pressure,
}

impl<S> Connections<S> {
    pub(crate) fn new(
        shard: ShardId,
        settings: Arc<Settings>,
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
            happened: VecDeque::new(),
            wants: Vec::new(),
            dirty: Vec::new(),
            congested: Vec::new(),
            undecided: VecDeque::new(),
            wheel: Wheel::new(now.ms),
            requests: Vec::new(),
            ticked_ms: now.ms,
            pressure: Pressure::default(),
        }
    }

    /// What the rest of the shard has to learn next; to be asked after each call until it is nothing.
    pub(crate) fn poll(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// What connections need of the outside; the caller takes it all after each turn.
    pub(crate) fn wants(&mut self) -> &mut Vec<Want> {
        &mut self.wants
    }

    /// Connections whose sockets were full at some time since the last tick.
    pub(crate) fn full(&self) -> usize {
        self.pressure.full()
    }

    /// Bytes of replies that waited for full sockets at the last tick.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.pressure.bytes()
    }

    /// As if so much waited, until the next tick.
    #[cfg(test)]
    pub(crate) fn press(&mut self, bytes: usize) {
        self.pressure.set_bytes(bytes);
    }

    pub(crate) fn counts(&mut self) -> &mut ConnectionCounts {
        &mut self.counts
    }

    /// Takes up a connection that has just come.
    pub(super) fn insert(&mut self, socket: S, phase: Phase, reader: FrameReader, now_ms: u64) -> SessionId {
        self.generation = self.generation.next();
        let connection = Connection::new(socket, self.generation, phase, reader, now_ms);
        let slot = self.slots.insert(connection);
        id(self.shard, slot, self.generation)
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// What the dialect of a connection needs, once it speaks one.
    pub(crate) fn profile(&self, id: SessionId) -> Option<&Profile> {
        let speaking = self.get(id)?.speaking()?;
        self.profiles.get(usize::from(speaking.dialect))
    }

    /// A connection, and what each dialect needs, by its number.
    pub(crate) fn with_profiles(&mut self, id: SessionId) -> Option<(&mut Connection<S>, &[Profile])> {
        Some((find(&mut self.slots, id)?, &self.profiles))
    }

    /// A connection's dialect, once it has shown or been guessed.
    pub(crate) fn dialect(&self, id: SessionId) -> Option<DialectId> {
        let connection = self.get(id)?;
        let is_known = connection.dialect_guessed_at().is_none();
        connection
            .speaking()
            .filter(|_| is_known)
            .map(|speaking| speaking.dialect)
    }

    /// Whether a connection speaks Plaza's own protocol.
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

    /// The named user of a connection.
    pub(crate) fn session(&self, id: SessionId) -> Option<&Session> {
        self.get(id)?.session()
    }

    pub(crate) fn socket(&mut self, id: SessionId) -> Option<&mut S> {
        Some(&mut self.get_mut(id)?.socket)
    }

    /// Takes a connection out; its slot may be given to the next one at once.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Connection<S>> {
        self.get(id)?;
        self.slots.try_remove(id.slot().index())
    }

    /// The connection that stands in this slot now.
    pub(crate) fn id_at(&self, slot: ConnectionSlot) -> Option<SessionId> {
        let connection = self.slots.get(slot.index())?;
        Some(id(self.shard, slot.index(), connection.generation()))
    }

    /// The connection that stands in this slot now, for whoever forgets the slot before the connection leaves it.
    pub(crate) fn occupant(&mut self, slot: ConnectionSlot) -> Option<(SessionId, &mut Connection<S>)> {
        let connection = self.slots.get_mut(slot.index())?;
        Some((id(self.shard, slot.index(), connection.generation()), connection))
    }

    /// The connection has something to write at the end of the turn.
    pub(crate) fn mark_dirty(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Takes a connection that has something to write.
    pub(crate) fn next_dirty(&mut self) -> Option<SessionId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(connection) = self.get_mut(id) {
                connection.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// The connection is not read until there is relief.
    pub(crate) fn wait_for_relief(&mut self, id: SessionId) {
        if let Some(connection) = self.get_mut(id)
            && !std::mem::replace(&mut connection.congested, true)
        {
            self.congested.push(id);
        }
    }

    pub(crate) fn has_congested(&self) -> bool {
        !self.congested.is_empty()
    }

    /// Other shards have taken what waited for them: the connections that may be read again.
    pub(crate) fn take_relieved(&mut self) -> Vec<SessionId> {
        let mut relieved = std::mem::take(&mut self.congested);
        relieved.retain(|id| {
            self.get_mut(*id)
                .is_some_and(|connection| std::mem::take(&mut connection.congested))
        });
        relieved
    }

    /// A connection that has just come waits for its dialect.
    pub(crate) fn wait_for_dialect(&mut self, id: SessionId) {
        self.forget_decided();
        self.undecided.push_back(id);
    }

    /// Whether some connections may wait for their dialect.
    pub(crate) fn has_undecided(&mut self) -> bool {
        self.forget_decided();
        !self.undecided.is_empty()
    }

    /// Those that wait for their dialect, oldest first.
    pub(crate) fn waiting_for_dialect(&self) -> impl Iterator<Item = SessionId> {
        self.undecided.iter().copied().filter(|id| self.waits_for_dialect(*id))
    }

    /// Takes those that wait no more from the front of the queue. None waits longer than [`crate::limits::DETECT_NAMED`].
    fn forget_decided(&mut self) {
        while self
            .undecided
            .front()
            .is_some_and(|first| !self.waits_for_dialect(*first))
        {
            self.undecided.pop_front();
        }
    }

    /// Whether nothing may be encoded for this connection yet.
    pub(crate) fn waits_for_dialect(&self, id: SessionId) -> bool {
        self.get(id)
            .is_some_and(|connection| connection.dialect_guessed_at().is_some())
    }

    #[cfg(test)]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.dirty.is_empty() && self.congested.is_empty() && self.happened.is_empty()
    }

    /// All of them, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Connection<S>)> {
        let all = self.slots.iter();
        all.map(|(slot, connection)| (id(self.shard, slot, connection.generation()), connection))
    }

    /// Stops reading, once and for all; whether every request of its clients has been answered.
    pub(crate) fn quiesce(&mut self) -> bool {
        if self.service.quiesce() {
            for (_, connection) in &mut self.slots {
                connection.pause_reading();
            }
        }
        self.slots.iter().all(|(_, connection)| {
            let held = connection.session().is_some_and(|session| session.retry_ms().is_some());
            connection.in_flight == 0 && !held
        })
    }

    /// Everybody is sent away; those that do not read have until then.
    pub(crate) fn begin_drain(&mut self, until_ms: u64) {
        self.service = Service::Draining { until_ms };
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.service.drains_until().is_some()
    }
}

/// A connection, where the other fields are borrowed as well.
pub(super) fn find<S>(slots: &mut Slab<Connection<S>>, id: SessionId) -> Option<&mut Connection<S>> {
    slots
        .get_mut(id.slot().index())
        .filter(|connection| connection.generation() == id.generation())
}

fn id(shard: ShardId, slot: usize, generation: Generation) -> SessionId {
    SessionId::new(shard, ConnectionSlot::new(slot as u32), generation)
}

#[cfg(test)]
pub(super) mod test {
    use super::*;
    use crate::{
        chat::{SessionTag, UserName},
        codec::{DIALECTS, Handshake},
        shard::connection::{
            session::{Proof, Session},
            write::Socket,
        },
    };

    pub(crate) fn handshake() -> Handshake {
        Handshake::silent()
    }

    impl<S: Socket> Connections<S> {
        pub(crate) fn for_test() -> Self {
            let profiles = DIALECTS.map(Profile::of).into();
            let (settings, recent) = (Arc::default(), Arc::default());
            Self::new(ShardId(0), settings, profiles, recent, Moment::default(), 1)
        }

        /// Gives a connection a session of this name.
        pub(crate) fn enter_for_test(&mut self, id: SessionId, name: &str) {
            let name = UserName::parse(name).unwrap();
            let session = Session::new(name, Proof::Said, SessionTag(1), None, 0);
            self.get_mut(id).unwrap().enter(session);
        }

        /// A connection that speaks Plaza's own protocol.
        pub(crate) fn open_for_test(&mut self, socket: S) -> SessionId {
            self.open(socket, handshake(), Some(DialectId::Native), Moment::default())
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
    fn an_id_that_is_found_is_of_the_connection_in_its_slot() {
        let (mut connections, socket) = connections();
        let toms = socket();
        let ada = connections.open_for_test(socket());
        let bob = connections.open_for_test(socket());
        assert!(connections.remove(ada).is_some());
        let tom = connections.open_for_test(toms.clone());
        assert_eq!(tom.slot(), ada.slot(), "it has ada's slot");
        assert!(connections.get(ada).is_none() && connections.get_mut(ada).is_none());
        assert!(connections.remove(ada).is_none(), "a late end does not end tom");
        let found = connections.get(tom).map(|connection| &connection.socket);
        assert!(found.is_some_and(|socket| Rc::ptr_eq(socket, &toms)));
        assert_eq!(connections.id_at(ada.slot()), Some(tom));
        let ids: Vec<_> = connections.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [tom, bob]);
    }

    #[test]
    fn a_connection_is_written_and_relieved_once() {
        let (mut connections, socket) = connections();
        let ada = connections.open_for_test(socket());
        let bob = connections.open_for_test(socket());
        for id in [ada, bob, ada] {
            connections.mark_dirty(id);
            connections.wait_for_relief(id);
        }
        assert!(connections.remove(bob).is_some());
        assert_eq!(connections.next_dirty(), Some(ada));
        assert_eq!(connections.next_dirty(), None);
        assert_eq!(connections.take_relieved(), [ada]);
        connections.mark_dirty(ada);
        connections.wait_for_relief(ada);
        assert_eq!(connections.next_dirty(), Some(ada), "it has something to write again");
        assert_eq!(connections.take_relieved(), [ada]);
    }
}
