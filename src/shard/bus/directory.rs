//! Who is online where: one map per shard, which that shard alone writes and any shard may ask.

use std::{
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering, fence},
    },
};

use crossbeam::utils::CachePadded;
use dashmap::DashMap;

use crate::{
    chat::{SessionId, ShardId, UserName},
    codec::{Client, detect::Recent},
    limits,
};

/// The users of all shards. Point look-ups only; lists come from the owners of rooms.
#[derive(Debug)]
pub(crate) struct Directory {
    shards: Box<[DashMap<UserName, Sessions, foldhash::fast::RandomState>]>,
    owner_key: OwnerKey,
    guests: std::sync::atomic::AtomicU64,
    tags: std::sync::atomic::AtomicU32,
    /// How many sessions each shard has.
    sessions: Underway,
    /// Who wants to be told when a user goes.
    watchers: DashMap<UserName, Watched, foldhash::fast::RandomState>,
    /// What clients on plain `/ws` turned out to speak, by listener and kind of handshake. Asked when a client first speaks.
    pub(crate) recent: Arc<RecentDialects>,
    /// Events of rooms.
    pub(crate) events: Underway,
    /// Direct messages, until they have been handed out: once for each session that is to have it.
    pub(crate) directs: Underway,
}

/// What clients turned out to speak, by listener and kind of handshake.
pub(crate) type RecentDialects = DashMap<(usize, Client), Recent, foldhash::fast::RandomState>;

/// The secret that decides which shard owns a room or a pair of users: whoever knew it could choose names that all have one
/// owner, and give one shard the work of all.
///
/// It enters the hash of the standard library, which is made to resist chosen inputs; foldhash promises that of no seed. It comes
/// from the operating system: epochs and tags, which clients are told, are numbers of a generator that can be followed back.
#[derive(Clone, Copy)]
pub(crate) struct OwnerKey([u64; 2]);

impl OwnerKey {
    /// A new one; all shards of a process share it.
    pub(crate) fn random() -> Self {
        let drawn = || RandomState::new().build_hasher().finish();
        Self([drawn(), drawn()])
    }

    /// The same in every run.
    #[cfg(any(test, feature = "bench"))]
    pub(crate) const fn fixed(key: u64) -> Self {
        Self([key, 0])
    }

    fn owner(self, name: impl Hash, shards: usize) -> ShardId {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        name.hash(&mut hasher);
        ShardId((hasher.finish() % shards as u64) as u16)
    }
}

impl std::fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnerKey")
    }
}

/// A count for each shard: bytes on their way to it, or what it has.
#[derive(Debug)]
pub(crate) struct Underway(Box<[CachePadded<AtomicUsize>]>);

/// The sessions of a user on one shard: one, most of the time.
#[derive(Debug, Clone)]
enum Sessions {
    One(SessionId),
    #[expect(
        clippy::box_collection,
        reason = "a bare Vec would make every entry of the map 8 bytes larger"
    )]
    Many(Box<Vec<SessionId>>),
}

/// A user whose going somebody wants to be told of.
#[derive(Debug, Default)]
struct Watched {
    /// Whether the user is here as far as the watchers know. Two shards may find at once that it has gone: the one that
    /// turns this tells them.
    here: bool,
    /// Who is to be told.
    watchers: Vec<SessionId>,
}

impl Sessions {
    fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(sessions) => sessions.len(),
        }
    }
}

impl Directory {
    /// Maps for `shards` shards; the tags of sessions begin with `seed`.
    pub(crate) fn new(shards: usize, owner_key: OwnerKey, seed: u64) -> Self {
        Self {
            shards: (0..shards).map(|_| map_of()).collect(),
            owner_key,
            guests: std::sync::atomic::AtomicU64::new(1),
            tags: std::sync::atomic::AtomicU32::new(seed as u32),
            sessions: Underway::new(shards),
            watchers: map_of(),
            recent: Arc::default(),
            events: Underway::new(shards),
            directs: Underway::new(shards),
        }
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The shard that owns the room of this name.
    pub(crate) fn owner_of(&self, name: &str) -> ShardId {
        self.owner_key.owner(name, self.shards.len())
    }

    /// The owner of the direct conversation of two users, whoever speaks.
    pub(crate) fn owner_of_pair(&self, one: &UserName, other: &UserName) -> ShardId {
        let both = if one <= other {
            (one.as_str(), other.as_str())
        } else {
            (other.as_str(), one.as_str())
        };
        self.owner_key.owner(both, self.shards.len())
    }

    /// The name of somebody who gave none.
    pub(crate) fn guest(&self) -> UserName {
        UserName::guest(self.guests.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// A tag that no other session of this node has: a counter, spread so that neighbours look different.
    pub(crate) fn tag(&self) -> crate::chat::SessionTag {
        let count = self.tags.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // An odd factor permutes the 32-bit numbers.
        crate::chat::SessionTag(count.wrapping_mul(0x9E37_79B1))
    }

    /// A session of this user begins. Called by the session's shard alone.
    pub(crate) fn enter(&self, user: &UserName, session: SessionId) {
        let Some(map) = self.shards.get(usize::from(session.shard().0)) else {
            return;
        };
        self.sessions.add(session.shard(), 1);
        map.entry(user.clone())
            .and_modify(|sessions| match sessions {
                Sessions::One(first) => *sessions = Sessions::Many(Box::new(vec![*first, session])),
                Sessions::Many(many) => many.push(session),
            })
            .or_insert(Sessions::One(session));
        // Behind the map: whoever looks there under this lock either sees the session, or comes before this.
        if let Some(mut watched) = self.watchers.get_mut(user) {
            watched.here = true;
        }
    }

    /// A session takes a name that no other session has; whether it could. Of two that try at once on different shards at most one
    /// can. Called by the session's shard alone.
    pub(crate) fn enter_alone(&self, user: &UserName, session: SessionId) -> bool {
        if self.whereabouts(user).next().is_some() {
            return false;
        }
        self.enter(user, session);
        // Each writes its own map before it looks into the other's: one of the two sees the other.
        fence(Ordering::SeqCst);
        let alone = self.count(user) == 1;
        if !alone {
            self.exit(user, session);
        }
        alone
    }

    /// A session of this user ends. Called by the session's shard alone.
    pub(crate) fn exit(&self, user: &UserName, session: SessionId) {
        let Some(map) = self.shards.get(usize::from(session.shard().0)) else {
            return;
        };
        self.sessions.take(session.shard(), 1);
        map.remove_if_mut(user, |_, sessions| match sessions {
            Sessions::One(only) => *only == session,
            Sessions::Many(many) => {
                many.retain(|other| *other != session);
                many.is_empty()
            }
        });
    }

    /// The shards that have sessions of this user.
    pub(crate) fn whereabouts(&self, user: &UserName) -> impl Iterator<Item = ShardId> {
        self.shards
            .iter()
            .enumerate()
            .filter(move |(_, map)| map.contains_key(user))
            .map(|(shard, _)| ShardId(shard as u16))
    }

    /// The shards that have sessions of this user, and how many.
    pub(crate) fn spread(&self, user: &UserName) -> impl Iterator<Item = (ShardId, usize)> {
        let counts = self
            .shards
            .iter()
            .map(|map| map.get(user).map_or(0, |found| found.count()));
        let counts = counts.enumerate().filter(|(_, count)| *count > 0);
        counts.map(|(shard, count)| (ShardId(shard as u16), count))
    }

    /// How many sessions this user has.
    pub(crate) fn count(&self, user: &UserName) -> usize {
        self.spread(user).map(|(_, sessions)| sessions).sum()
    }

    /// Sessions on one shard, all those of a user.
    pub(crate) fn sessions_of(&self, shard: ShardId) -> usize {
        self.sessions.to(shard)
    }

    /// The user's sessions on one shard.
    pub(crate) fn sessions(&self, user: &UserName, shard: ShardId) -> Vec<SessionId> {
        let found = self.shards.get(usize::from(shard.0)).and_then(|map| map.get(user));
        match found.as_deref() {
            None => Vec::new(),
            Some(Sessions::One(session)) => vec![*session],
            Some(Sessions::Many(sessions)) => sessions.to_vec(),
        }
    }

    /// This session is to be told when the user goes.
    pub(crate) fn watch(&self, user: &UserName, session: SessionId) {
        let mut watched = self.watchers.entry(user.clone()).or_default();
        if watched.watchers.is_empty() {
            watched.here = self.whereabouts(user).next().is_some();
        }
        watched.watchers.push(session);
    }

    /// This session does not want to be told any more.
    pub(crate) fn unwatch(&self, user: &UserName, session: SessionId) {
        self.watchers.remove_if_mut(user, |_, watched| {
            watched.watchers.retain(|other| *other != session);
            watched.watchers.is_empty()
        });
    }

    /// A session of the user has ended: who is to be told that the user went. Nobody while it has another session, and for
    /// each going only one of those who ask.
    pub(crate) fn gone(&self, user: &UserName) -> Vec<SessionId> {
        let Some(mut watched) = self.watchers.get_mut(user) else {
            return Vec::new();
        };
        if !watched.here || self.whereabouts(user).next().is_some() {
            return Vec::new();
        }
        watched.here = false;
        watched.watchers.clone()
    }
}

impl Underway {
    fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| CachePadded::new(AtomicUsize::new(0))).collect())
    }

    /// So many bytes are on their way to a shard.
    pub(crate) fn add(&self, to: ShardId, bytes: usize) {
        if let Some(in_flight) = self.0.get(usize::from(to.0)) {
            in_flight.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// So many bytes have arrived.
    pub(crate) fn take(&self, to: ShardId, bytes: usize) {
        if let Some(in_flight) = self.0.get(usize::from(to.0)) {
            in_flight.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes on their way to one shard.
    pub(crate) fn to(&self, shard: ShardId) -> usize {
        self.0
            .get(usize::from(shard.0))
            .map_or(0, |in_flight| in_flight.load(Ordering::Relaxed))
    }

    /// Bytes on their way to the slowest shard.
    pub(crate) fn most(&self) -> usize {
        let all = self.0.iter().map(|in_flight| in_flight.load(Ordering::Relaxed));
        all.max().unwrap_or(0)
    }
}

/// What a direct message for so many sessions counts in [`Directory::directs`].
pub(crate) fn direct_bytes(sessions: usize, text: &str) -> usize {
    sessions * (limits::DIRECT_ENVELOPE_BYTES + text.len())
}

/// Few inner locks: one shard writes, and a look-up is short.
fn map_of<K: Eq + std::hash::Hash, V>() -> DashMap<K, V, foldhash::fast::RandomState> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, Default::default(), 16)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// Which of four shards owns each of many rooms and pairs.
    fn owners(directory: &Directory) -> Vec<ShardId> {
        let user = |n: usize| UserName::parse(&format!("user {n}")).unwrap();
        (0..64)
            .map(|n| directory.owner_of(&format!("room {n}")))
            .chain((0..64).map(|n| directory.owner_of_pair(&user(n), &user(n + 1))))
            .collect()
    }

    #[test]
    fn rooms_and_pairs_have_other_owners_in_every_process() {
        let directory = |key| Directory::new(4, key, 1);
        let drawn: Vec<_> = (0..4).map(|_| owners(&directory(OwnerKey::random()))).collect();
        for (at, owners) in drawn.iter().enumerate() {
            assert!(!drawn[..at].contains(owners), "two processes agree about 128 owners");
        }
        let fixed = OwnerKey::fixed(7);
        assert_eq!(owners(&directory(fixed)), owners(&directory(fixed)));
    }

    #[test]
    fn names_that_one_process_gives_to_one_shard_are_spread_over_all_shards_of_another() {
        let [known, other] = [7, 8].map(|key| Directory::new(4, OwnerKey::fixed(key), 1));
        let aimed = (0..)
            .map(|n| format!("room {n}"))
            .filter(|room| known.owner_of(room) == ShardId(0));
        let mut owned = [0; 4];
        for room in aimed.take(400) {
            owned[usize::from(other.owner_of(&room).0)] += 1;
        }
        assert!(owned.iter().all(|rooms| (60..140).contains(rooms)), "{owned:?}");
    }

    #[test]
    fn the_pair_of_two_users_has_one_owner_whoever_speaks() {
        let directory = Directory::new(8, OwnerKey::random(), 1);
        let [ada, bob] = ["ada", "bob"].map(|name| UserName::parse(name).unwrap());
        assert_eq!(directory.owner_of_pair(&ada, &bob), directory.owner_of_pair(&bob, &ada));
    }

    fn session(shard: u16, slot: u32) -> SessionId {
        SessionId::new(
            ShardId(shard),
            crate::chat::ConnectionSlot::new(slot),
            crate::chat::Generation::FIRST,
        )
    }

    #[test]
    fn watchers_are_told_once_when_the_last_two_sessions_end_at_once_on_two_shards() {
        let directory = Directory::new(2, OwnerKey::fixed(7), 1);
        let user = UserName::parse("eve").unwrap();
        directory.watch(&user, session(0, 7));
        let rounds = 2_000;
        let (begin, end) = (Barrier::new(2), Barrier::new(2));
        let told: Vec<Vec<usize>> = thread::scope(|scope| {
            let ends = [0, 1].map(|shard| {
                let (directory, user, begin, end) = (&directory, &user, &begin, &end);
                scope.spawn(move || {
                    (0..rounds)
                        .map(|_| {
                            directory.enter(user, session(shard, 1));
                            begin.wait();
                            directory.exit(user, session(shard, 1));
                            let told = directory.gone(user).len();
                            end.wait();
                            told
                        })
                        .collect()
                })
            });
            ends.map(|end| end.join().unwrap()).into()
        });
        for (round, (one, other)) in told[0].iter().zip(&told[1]).enumerate() {
            assert_eq!(one + other, 1, "in round {round}");
        }
    }

    #[test]
    fn each_going_is_told_and_none_while_a_session_is_left() {
        let directory = Directory::new(2, OwnerKey::fixed(7), 1);
        let user = UserName::parse("eve").unwrap();
        directory.enter(&user, session(0, 1));
        for watcher in [session(0, 7), session(1, 8)] {
            directory.watch(&user, watcher);
        }
        for _ in 0..2 {
            directory.enter(&user, session(1, 1));
            directory.exit(&user, session(0, 1));
            assert_eq!(directory.gone(&user), []);
            directory.exit(&user, session(1, 1));
            assert_eq!(directory.gone(&user), [session(0, 7), session(1, 8)]);
            assert_eq!(directory.gone(&user), []);
        }
        directory.unwatch(&user, session(0, 7));
        directory.enter(&user, session(0, 1));
        directory.exit(&user, session(0, 1));
        assert_eq!(directory.gone(&user), [session(1, 8)]);
    }
}
