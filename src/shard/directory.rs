//! Who is online where: one map per shard, which that shard alone writes and any shard may ask.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicUsize, Ordering},
};

use crossbeam::utils::CachePadded;
use dashmap::DashMap;

use crate::chat::{SessionId, ShardId, UserName};

/// The users of all shards. Point look-ups only; lists come from the homes of rooms.
#[derive(Debug)]
pub(crate) struct Directory {
    shards: Box<[DashMap<UserName, Sessions, foldhash::fast::RandomState>]>,
    hasher: foldhash::fast::FixedState,
    guests: std::sync::atomic::AtomicU64,
    tags: std::sync::atomic::AtomicU32,
    /// Who wants to be told when a user goes.
    watchers: DashMap<UserName, Vec<SessionId>, foldhash::fast::RandomState>,
    /// Bytes of events on their way to each shard.
    underway: Box<[CachePadded<AtomicUsize>]>,
}

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

impl Directory {
    /// Maps for `shards` shards.
    pub(crate) fn new(shards: usize, seed: u64) -> Self {
        Self {
            shards: (0..shards).map(|_| map_of()).collect(),
            hasher: foldhash::fast::FixedState::with_seed(0x70_6c61_7a61),
            guests: std::sync::atomic::AtomicU64::new(1),
            tags: std::sync::atomic::AtomicU32::new(seed as u32),
            watchers: map_of(),
            underway: (0..shards).map(|_| CachePadded::new(AtomicUsize::new(0))).collect(),
        }
    }

    /// How many shards there are.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The shard that is home to what has this name.
    pub(crate) fn home_of(&self, name: &str) -> ShardId {
        ShardId((self.hasher.hash_one(name) % self.shards.len() as u64) as u16)
    }

    /// The home of the direct conversation of two users, whoever speaks.
    pub(crate) fn home_of_pair(&self, one: &UserName, other: &UserName) -> ShardId {
        let both = if one <= other {
            (one.as_str(), other.as_str())
        } else {
            (other.as_str(), one.as_str())
        };
        ShardId((self.hasher.hash_one(both) % self.shards.len() as u64) as u16)
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
        let Some(map) = self.shards.get(usize::from(session.shard.0)) else {
            return;
        };
        map.entry(user.clone())
            .and_modify(|sessions| match sessions {
                Sessions::One(first) => *sessions = Sessions::Many(Box::new(vec![*first, session])),
                Sessions::Many(many) => many.push(session),
            })
            .or_insert(Sessions::One(session));
    }

    /// A session of this user ends. Called by the session's shard alone.
    pub(crate) fn exit(&self, user: &UserName, session: SessionId) {
        let Some(map) = self.shards.get(usize::from(session.shard.0)) else {
            return;
        };
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

    /// Users of one shard. Called by that shard alone: it looks at every inner map.
    pub(crate) fn sessions_of(&self, shard: ShardId) -> usize {
        self.shards.get(usize::from(shard.0)).map_or(0, DashMap::len)
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
        self.watchers.entry(user.clone()).or_default().push(session);
    }

    /// This session does not want to be told any more.
    pub(crate) fn unwatch(&self, user: &UserName, session: SessionId) {
        self.watchers.remove_if_mut(user, |_, sessions| {
            sessions.retain(|other| *other != session);
            sessions.is_empty()
        });
    }

    /// Who is to be told that the user went.
    pub(crate) fn watchers(&self, user: &UserName) -> Vec<SessionId> {
        self.watchers
            .get(user)
            .map(|sessions| sessions.clone())
            .unwrap_or_default()
    }

    /// An event of so many bytes is on its way to a shard.
    pub(crate) fn add_underway(&self, to: ShardId, bytes: usize) {
        if let Some(underway) = self.underway.get(usize::from(to.0)) {
            underway.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// An event of so many bytes has arrived.
    pub(crate) fn take_underway(&self, to: ShardId, bytes: usize) {
        if let Some(underway) = self.underway.get(usize::from(to.0)) {
            underway.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes on their way to one shard.
    pub(crate) fn underway_to(&self, shard: ShardId) -> usize {
        self.underway
            .get(usize::from(shard.0))
            .map_or(0, |underway| underway.load(Ordering::Relaxed))
    }

    /// Bytes on their way to the slowest shard.
    pub(crate) fn most_underway(&self) -> usize {
        self.underway
            .iter()
            .map(|underway| underway.load(Ordering::Relaxed))
            .max()
            .unwrap_or(0)
    }
}

/// Few inner locks: one shard writes, and a look-up is short.
fn map_of<K: Eq + std::hash::Hash, V>() -> DashMap<K, V, foldhash::fast::RandomState> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, Default::default(), 16)
}
