//! The owner's state of one room: members, users, the newest number, the topic.
//!
//! Invariants:
//! - `users` has each user once, with the number of its sessions in `members`.
//! - `shards` and `counts` have the shards with members, and the number of members on each.
//! - `lists_with_notices` and `lists_on_change` count the members that want such lists.
//!
//! Times are those of the wall clock. If it goes back, a time in the future counts as due.

mod digest;
mod keys;
mod lists;
mod log;
mod members;
mod roster;

pub(crate) use keys::key_conflict;
pub(super) use lists::ScheduledList;
pub(super) use members::Member;

use std::{rc::Rc, sync::Arc};

use self::{keys::RecentKeys, log::Log, members::Members, roster::Roster};
use crate::chat::{
    Departure, GoOn, Happening, Lists, LogHead, NewMessage, Position, Refusal, RoomSettings, Seq, SessionId,
    SessionTag, ShardId, Since, UserList, UserName,
};

/// A room. State that only busy or large rooms need is boxed, because most rooms are small and idle.
#[derive(Debug)]
pub(super) struct Room {
    /// Increases with every change of the roster.
    version: u64,
    log: Log,
    /// Messages that the store has not answered yet; the room stays open for them.
    in_store: u32,
    members: Members,
    users: Roster,
    shards: Rc<[ShardId]>,
    counts: Vec<u32>,
    lists_with_notices: u32,
    lists_on_change: u32,
    /// Numbers the users in the order of their arrival.
    arrivals: u32,
    rare: Option<Box<Rare>>,
}

/// The effect of a rename on the two names.
#[derive(Debug)]
pub(super) struct Renaming {
    pub(super) old: UserName,
    pub(super) tag: SessionTag,
    pub(super) old_left: bool,
    pub(super) new_joined: bool,
}

#[derive(Debug, Default)]
struct Rare {
    topic: Option<Arc<str>>,
    /// The key in [`OwnedRooms::vacant`](super::OwnedRooms).
    vacant_since: Option<u64>,
    /// The cached lists of a large room in both orders, each with its time.
    by_name: Option<(UserList, u64)>,
    by_arrival: Option<(UserList, u64)>,
    pushed: PushedList,
    digest: Option<DigestCounts>,
    digest_at: u64,
    keys: RecentKeys,
    closing: Option<Closing>,
}

/// The operator closed the room before the store had answered.
#[derive(Debug)]
struct Closing {
    /// Its members. They send nothing more here, and leave when the store has answered.
    sessions: Vec<SessionId>,
    /// Messages from before the close that the store has not answered. It answers for one room in order.
    awaited: u32,
}

/// The last list sent on a change ([`Lists::OnChange`]).
#[derive(Debug, Default)]
struct PushedList {
    /// The roster version of that list; `None` if none was sent.
    version: Option<u64>,
    at: u64,
    /// Milliseconds until the next one may follow.
    wait_ms: u64,
    scheduled: bool,
}

/// The content of the next digest.
#[derive(Debug, Default)]
struct DigestCounts {
    joined: u32,
    left: u32,
    last_joined: Option<UserName>,
    last_left: Option<UserName>,
}

impl Room {
    pub(super) fn ephemeral(epoch: u64) -> Self {
        Self::new(Log::Ephemeral(Position { epoch, seq: 0 }))
    }

    pub(super) fn durable(head: LogHead) -> Self {
        Self::new(Log::Durable(Box::new(head)))
    }

    fn new(log: Log) -> Self {
        Self {
            version: 0,
            log,
            in_store: 0,
            members: Default::default(),
            users: Roster::default(),
            shards: Rc::from([]),
            counts: Vec::new(),
            lists_with_notices: 0,
            lists_on_change: 0,
            arrivals: 0,
            rare: None,
        }
    }

    pub(super) fn head(&self) -> Position {
        self.log.head()
    }

    pub(super) fn advance(&mut self, to: Position) {
        self.log.advance(to);
    }

    pub(super) fn since(&self, since: Since) -> GoOn {
        self.log.since(since)
    }

    pub(super) fn is_durable(&self) -> bool {
        matches!(self.log, Log::Durable(_))
    }

    pub(super) fn has(&self, session: SessionId) -> bool {
        self.members.get(session).is_some()
    }

    pub(super) fn user(&self, session: SessionId) -> Option<UserName> {
        self.members.get(session).map(|member| member.user.clone())
    }

    /// The sessions whose user does not satisfy `admits`.
    pub(super) fn outsiders(&self, admits: impl Fn(&UserName) -> bool) -> Vec<SessionId> {
        self.members.sessions(|member| !admits(&member.user))
    }

    pub(super) fn online(&self) -> u32 {
        self.users.len() as u32
    }

    pub(super) fn shards(&self) -> Rc<[ShardId]> {
        self.shards.clone()
    }

    /// Whether the room sends digests instead of announcing each user.
    pub(super) fn is_large(&self, settings: &RoomSettings) -> bool {
        self.users.len() > settings.presence_events_max
    }

    pub(super) fn topic(&self) -> Arc<str> {
        self.rare
            .as_ref()
            .and_then(|rare| rare.topic.clone())
            .unwrap_or_else(|| Arc::from(""))
    }

    pub(super) fn set_topic(&mut self, topic: Arc<str>) {
        self.rare().topic = Some(topic).filter(|topic| !topic.is_empty());
    }

    /// Adds a member. Returns whether it is the first session of its user here.
    pub(super) fn add(&mut self, session: SessionId, member: Member) -> bool {
        if let Some(wanting) = self.wanting(member.lists) {
            *wanting += 1;
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        let first = self.users.add(&member.user, self.arrivals);
        self.members.insert(session, member);
        match self.shards.iter().position(|shard| *shard == session.shard()) {
            Some(at) => self.counts[at] += 1,
            None => {
                self.shards = self.shards.iter().copied().chain([session.shard()]).collect();
                self.counts.push(1);
            }
        }
        self.version += u64::from(first);
        first
    }

    /// Removes a member. Returns whether it was the last session of its user here.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<(Member, bool)> {
        let member = self.members.remove(session)?;
        if let Some(wanting) = self.wanting(member.lists) {
            *wanting -= 1;
        }
        let last = self.users.remove(&member.user).is_some();
        self.version += u64::from(last);
        if let Some(at) = self.shards.iter().position(|shard| *shard == session.shard()) {
            self.counts[at] -= 1;
            if self.counts[at] == 0 {
                self.counts.remove(at);
                self.shards = self
                    .shards
                    .iter()
                    .copied()
                    .filter(|shard| *shard != session.shard())
                    .collect();
            }
        }
        Some((member, last))
    }

    pub(super) fn rename(&mut self, session: SessionId, new: UserName) -> Option<Renaming> {
        let member = self.members.get_mut(session)?;
        if member.user == new {
            return None;
        }
        let old = std::mem::replace(&mut member.user, new.clone());
        let tag = member.tag;
        // A renamed user keeps the arrival.
        let place = self.users.remove(&old);
        let old_left = place.is_some();
        self.arrivals = self.arrivals.wrapping_add(1);
        let new_joined = self.users.add(&new, place.unwrap_or(self.arrivals));
        self.version += u64::from(old_left || new_joined);
        Some(Renaming {
            old,
            tag,
            old_left,
            new_joined,
        })
    }

    /// Counts a message that goes to the store.
    pub(super) fn store_one(&mut self) {
        self.in_store += 1;
    }

    /// Uncounts the newest message, because the store's queue was full.
    pub(super) fn store_was_full(&mut self) {
        self.in_store = self.in_store.saturating_sub(1);
    }

    pub(super) fn awaits_store(&self) -> bool {
        self.in_store > 0
    }

    /// Whether it has neither members nor messages in the store.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.in_store == 0
    }

    /// Makes these sessions leave when the store has answered for all messages.
    pub(super) fn close_after_store(&mut self, sessions: Vec<SessionId>) {
        let awaited = self.in_store;
        self.rare().closing = Some(Closing { sessions, awaited });
    }

    /// Whether the session leaves with the close.
    pub(super) fn is_leaving(&self, session: SessionId) -> bool {
        let closing = self.rare.as_ref().and_then(|rare| rare.closing.as_ref());
        closing.is_some_and(|closing| closing.sessions.contains(&session))
    }

    /// Counts one answer of the store. If it was the last one before a close, returns the sessions that leave.
    pub(super) fn settled(&mut self) -> Vec<SessionId> {
        self.in_store = self.in_store.saturating_sub(1);
        let Some(rare) = &mut self.rare else { return Vec::new() };
        if let Some(closing) = &mut rare.closing {
            closing.awaited = closing.awaited.saturating_sub(1);
        }
        let closed = rare.closing.take_if(|closing| closing.awaited == 0);
        closed.map_or_else(Vec::new, |closing| closing.sessions)
    }

    pub(super) fn has_topic(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.topic.is_some())
    }

    /// Sets the key in [`OwnedRooms::vacant`](super::OwnedRooms), and returns the previous one.
    pub(super) fn set_vacant_since(&mut self, key: Option<u64>) -> Option<u64> {
        match (key, &mut self.rare) {
            (None, None) => None,
            (key, rare) => std::mem::replace(&mut rare.get_or_insert_default().vacant_since, key),
        }
    }

    /// The event that announces a user's first session.
    pub(super) fn user_joined(&mut self, user: UserName, settings: &RoomSettings, now_ms: u64) -> Happening {
        Happening::UserJoined {
            user,
            online: self.online(),
            version: self.version,
            users: self.list_if_wanted(settings, now_ms),
        }
    }

    /// The event that announces the end of a user's last session.
    pub(super) fn user_left(
        &mut self,
        user: UserName,
        how: Departure,
        settings: &RoomSettings,
        now_ms: u64,
    ) -> Happening {
        Happening::UserLeft {
            user,
            how,
            online: self.online(),
            version: self.version,
            users: self.list_if_wanted(settings, now_ms),
        }
    }

    /// If the key of this message was used before, returns the position of that message, or a refusal.
    pub(super) fn known_key(
        &self,
        message: &NewMessage,
        now_ms: u64,
        window_ms: u64,
    ) -> Option<Result<(Seq, u64), Refusal>> {
        self.rare.as_ref()?.keys.known(message, now_ms, window_ms)
    }

    pub(super) fn remember_key(&mut self, message: &NewMessage, seq: Seq, now_ms: u64, window_ms: u64) {
        if message.key.is_some() {
            self.rare().keys.remember(message, seq, now_ms, window_ms);
        }
    }

    /// Records what a member's dialect shows. Returns whether the session is a member.
    pub(super) fn describe(&mut self, session: SessionId, sees_own_leave: bool, lists: Lists) -> bool {
        let Some(member) = self.members.get_mut(session) else {
            return false;
        };
        member.sees_own_leave = sees_own_leave;
        let before = std::mem::replace(&mut member.lists, lists);
        if let Some(wanting) = self.wanting(before) {
            *wanting -= 1;
        }
        if let Some(wanting) = self.wanting(lists) {
            *wanting += 1;
        }
        true
    }

    /// The number of members that get lists in this way, if the room counts them.
    fn wanting(&mut self, lists: Lists) -> Option<&mut u32> {
        match lists {
            Lists::OnRequest => None,
            Lists::WithNotices => Some(&mut self.lists_with_notices),
            Lists::OnChange => Some(&mut self.lists_on_change),
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}
