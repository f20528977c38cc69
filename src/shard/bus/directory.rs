//! The directory: which sessions each user has, on which shards.
//!
//! There is one map per shard. Only that shard writes it, and any shard may look up a user. The directory has no lists of users;
//! they come from the owners of rooms.

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
    chat::{SessionId, ShardId, UserId, UserName},
    codec::{Client, detect::Recent},
    limits,
};

/// The directory of online users, shared by all shards.
#[derive(Debug)]
pub(crate) struct Directory {
    shards: Box<[DashMap<UserId, Sessions, foldhash::fast::RandomState>]>,
    owner_key: OwnerKey,
    guests: std::sync::atomic::AtomicU64,
    tags: std::sync::atomic::AtomicU32,
    sessions: PerShard,
    /// By the watched user: the sessions to notify when the user goes offline.
    watchers: DashMap<UserId, Watched, foldhash::fast::RandomState>,
    pub(crate) recent: Arc<RecentDialects>,
    /// In-flight bytes of room events.
    pub(crate) events: PerShard,
    /// In-flight bytes of direct messages, until they are delivered: once for each receiving session.
    pub(crate) directs: PerShard,
}

/// The dialects that recent clients on plain `/ws` showed, by listener and kind of handshake.
pub(crate) type RecentDialects = DashMap<(usize, Client), Recent, foldhash::fast::RandomState>;

/// The secret key of the hash that picks the owner of a room or a pair of users. A client that knew the key could choose names
/// that all have the same owner, and overload one shard.
///
/// The hash is the standard library's SipHash, which resists chosen inputs; foldhash does not promise that for any seed. The key
/// comes from the operating system and not from the generator of epochs and tags, because clients see those and could compute the
/// generator's state from them.
#[derive(Clone, Copy)]
pub(crate) struct OwnerKey([u64; 2]);

impl OwnerKey {
    pub(crate) fn random() -> Self {
        let drawn = || RandomState::new().build_hasher().finish();
        Self([drawn(), drawn()])
    }

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

/// A counter for each shard.
#[derive(Debug)]
pub(crate) struct PerShard(Box<[CachePadded<AtomicUsize>]>);

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

/// A user whom sessions watch.
#[derive(Debug, Default)]
struct Watched {
    /// Whether the user is online as far as the watchers know. If two shards find at once that it has gone offline, the one that
    /// clears this flag notifies the watchers.
    online: bool,
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
    /// An empty directory for `shards` shards; the tags of sessions begin with `seed`.
    pub(crate) fn new(shards: usize, owner_key: OwnerKey, seed: u64) -> Self {
        Self {
            shards: (0..shards).map(|_| map_of()).collect(),
            owner_key,
            guests: std::sync::atomic::AtomicU64::new(1),
            tags: std::sync::atomic::AtomicU32::new(seed as u32),
            sessions: PerShard::new(shards),
            watchers: map_of(),
            recent: Arc::default(),
            events: PerShard::new(shards),
            directs: PerShard::new(shards),
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The owner of the room with this name.
    pub(crate) fn owner_of(&self, name: &str) -> ShardId {
        self.owner_key.owner(name, self.shards.len())
    }

    /// The owner of the pair of two users; the same for both directions.
    pub(crate) fn owner_of_pair(&self, one: &UserId, other: &UserId) -> ShardId {
        let both = if one <= other { (one, other) } else { (other, one) };
        self.owner_key.owner(both, self.shards.len())
    }

    /// The user whom a client or the operator addresses by a name. In open mode each name has one user, online or not.
    pub(crate) fn user_named(&self, name: &UserName) -> UserId {
        UserId::of_name(name)
    }

    /// A name for a client that brought none.
    pub(crate) fn guest(&self) -> UserName {
        UserName::guest(self.guests.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// A tag that no other session of this node has: a counter, scattered so that successive tags look different.
    pub(crate) fn tag(&self) -> crate::chat::SessionTag {
        let count = self.tags.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // An odd factor permutes the 32-bit numbers.
        crate::chat::SessionTag(count.wrapping_mul(0x9E37_79B1))
    }

    /// Adds a session of this user. Only the session's shard calls it.
    pub(crate) fn enter(&self, user: &UserId, session: SessionId) {
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
        // The map must change first. A shard that checks the map under this lock then either sees the session, or clears the flag
        // before this line sets it.
        if let Some(mut watched) = self.watchers.get_mut(user) {
            watched.online = true;
        }
    }

    /// Adds a session under a name that no other session has; returns whether that succeeded. Of two shards that try at once, at
    /// most one succeeds. Only the session's shard calls it.
    pub(crate) fn enter_unique(&self, user: &UserId, session: SessionId) -> bool {
        if self.shards_of(user).next().is_some() {
            return false;
        }
        self.enter(user, session);
        // Each shard writes its own map before it reads the others, so at least one of the two sees the other.
        fence(Ordering::SeqCst);
        let alone = self.count(user) == 1;
        if !alone {
            self.exit(user, session);
        }
        alone
    }

    /// Removes a session of this user. Only the session's shard calls it.
    pub(crate) fn exit(&self, user: &UserId, session: SessionId) {
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
    pub(crate) fn shards_of(&self, user: &UserId) -> impl Iterator<Item = ShardId> {
        self.shards
            .iter()
            .enumerate()
            .filter(move |(_, map)| map.contains_key(user))
            .map(|(shard, _)| ShardId(shard as u16))
    }

    /// The shards that have sessions of this user, with the number of sessions.
    pub(crate) fn session_counts(&self, user: &UserId) -> impl Iterator<Item = (ShardId, usize)> {
        let counts = self
            .shards
            .iter()
            .map(|map| map.get(user).map_or(0, |found| found.count()));
        let counts = counts.enumerate().filter(|(_, count)| *count > 0);
        counts.map(|(shard, count)| (ShardId(shard as u16), count))
    }

    /// The number of this user's sessions on all shards.
    pub(crate) fn count(&self, user: &UserId) -> usize {
        self.session_counts(user).map(|(_, sessions)| sessions).sum()
    }

    /// The number of all sessions on one shard.
    pub(crate) fn sessions_of(&self, shard: ShardId) -> usize {
        self.sessions.to(shard)
    }

    /// This user's sessions on one shard.
    pub(crate) fn sessions(&self, user: &UserId, shard: ShardId) -> Vec<SessionId> {
        let found = self.shards.get(usize::from(shard.0)).and_then(|map| map.get(user));
        match found.as_deref() {
            None => Vec::new(),
            Some(Sessions::One(session)) => vec![*session],
            Some(Sessions::Many(sessions)) => sessions.to_vec(),
        }
    }

    /// Lets a session watch a user: it is notified when the user goes offline.
    pub(crate) fn watch(&self, user: &UserId, session: SessionId) {
        let mut watched = self.watchers.entry(user.clone()).or_default();
        if watched.watchers.is_empty() {
            watched.online = self.shards_of(user).next().is_some();
        }
        watched.watchers.push(session);
    }

    pub(crate) fn unwatch(&self, user: &UserId, session: SessionId) {
        self.watchers.remove_if_mut(user, |_, watched| {
            watched.watchers.retain(|other| *other != session);
            watched.watchers.is_empty()
        });
    }

    /// Called after a session of the user has ended: the sessions to notify if the user has gone offline with it. Empty while the
    /// user has another session. Each time the user goes offline, only one caller gets the watchers.
    pub(crate) fn watchers_of_departed(&self, user: &UserId) -> Vec<SessionId> {
        let Some(mut watched) = self.watchers.get_mut(user) else {
            return Vec::new();
        };
        if !watched.online || self.shards_of(user).next().is_some() {
            return Vec::new();
        }
        watched.online = false;
        watched.watchers.clone()
    }
}

impl PerShard {
    fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| CachePadded::new(AtomicUsize::new(0))).collect())
    }

    pub(crate) fn add(&self, to: ShardId, amount: usize) {
        if let Some(count) = self.0.get(usize::from(to.0)) {
            count.fetch_add(amount, Ordering::Relaxed);
        }
    }

    pub(crate) fn take(&self, to: ShardId, amount: usize) {
        if let Some(count) = self.0.get(usize::from(to.0)) {
            count.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    pub(crate) fn to(&self, shard: ShardId) -> usize {
        self.0
            .get(usize::from(shard.0))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The largest counter; for in-flight bytes, the counter of the slowest shard.
    pub(crate) fn most(&self) -> usize {
        let all = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        all.max().unwrap_or(0)
    }
}

/// In-flight bytes that a direct message for this many sessions counts for in [`Directory::directs`].
pub(crate) fn direct_bytes(sessions: usize, text: &str) -> usize {
    sessions * (limits::DIRECT_ENVELOPE_BYTES + text.len())
}

/// A map with few inner locks: one shard writes it, and a look-up is short.
fn map_of<K: Eq + std::hash::Hash, V>() -> DashMap<K, V, foldhash::fast::RandomState> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, Default::default(), 16)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// The owners of many rooms and pairs.
    fn owners(directory: &Directory) -> Vec<ShardId> {
        let user = |n: usize| UserId::of_name(&UserName::guest(n as u64));
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
    fn names_with_one_owner_in_one_process_have_all_shards_as_owners_in_another() {
        let [known, other] = [7, 8].map(|key| Directory::new(4, OwnerKey::fixed(key), 1));
        let chosen = (0..)
            .map(|n| format!("room {n}"))
            .filter(|room| known.owner_of(room) == ShardId(0));
        let mut owned = [0; 4];
        for room in chosen.take(400) {
            owned[usize::from(other.owner_of(&room).0)] += 1;
        }
        assert!(owned.iter().all(|rooms| (60..140).contains(rooms)), "{owned:?}");
    }

    #[test]
    fn a_pair_of_users_has_the_same_owner_in_both_directions() {
        let directory = Directory::new(8, OwnerKey::random(), 1);
        let [ada, bob] = [1, 2].map(|n| UserId::of_name(&UserName::guest(n)));
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
    fn watchers_are_notified_once_when_the_last_two_sessions_end_at_once_on_two_shards() {
        let directory = Directory::new(2, OwnerKey::fixed(7), 1);
        let user = UserId::of_name(&UserName::guest(1));
        directory.watch(&user, session(0, 7));
        let rounds = 2_000;
        let (begin, end) = (Barrier::new(2), Barrier::new(2));
        let notified: Vec<Vec<usize>> = thread::scope(|scope| {
            let ends = [0, 1].map(|shard| {
                let (directory, user, begin, end) = (&directory, &user, &begin, &end);
                scope.spawn(move || {
                    (0..rounds)
                        .map(|_| {
                            directory.enter(user, session(shard, 1));
                            begin.wait();
                            directory.exit(user, session(shard, 1));
                            let notified = directory.watchers_of_departed(user).len();
                            end.wait();
                            notified
                        })
                        .collect()
                })
            });
            ends.map(|end| end.join().unwrap()).into()
        });
        for (round, (one, other)) in notified[0].iter().zip(&notified[1]).enumerate() {
            assert_eq!(one + other, 1, "in round {round}");
        }
    }

    #[test]
    fn watchers_are_notified_each_time_the_last_session_ends() {
        let directory = Directory::new(2, OwnerKey::fixed(7), 1);
        let user = UserId::of_name(&UserName::guest(1));
        directory.enter(&user, session(0, 1));
        for watcher in [session(0, 7), session(1, 8)] {
            directory.watch(&user, watcher);
        }
        for _ in 0..2 {
            directory.enter(&user, session(1, 1));
            directory.exit(&user, session(0, 1));
            assert_eq!(directory.watchers_of_departed(&user), []);
            directory.exit(&user, session(1, 1));
            assert_eq!(directory.watchers_of_departed(&user), [session(0, 7), session(1, 8)]);
            assert_eq!(directory.watchers_of_departed(&user), []);
        }
        directory.unwatch(&user, session(0, 7));
        directory.enter(&user, session(0, 1));
        directory.exit(&user, session(0, 1));
        assert_eq!(directory.watchers_of_departed(&user), [session(1, 8)]);
    }
}
