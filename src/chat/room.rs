//! One room as its home knows it: members, users, numbers, topic.
//!
//! Time is the wall clock's, which may be set back: what is due after a while is also due when its time lies ahead.

use std::{collections::VecDeque, hash::BuildHasher, rc::Rc, sync::Arc};

use super::{
    ErrorCode, Happening, HomeSettings, Key, KeyOwner, ListOrder, Lists, Page, Position, Refusal, Seq, SessionId,
    SessionTag, ShardId, UserList, UserName, Utterance,
    members::{Member, Members},
    roster::Roster,
};
use crate::limits;

/// A room. Small while it is idle: what only busy or large rooms need stands apart, in a box.
#[derive(Debug)]
pub(super) struct Room {
    /// The newest talk.
    pub(super) head: Position,
    /// Grows with every change of the roster.
    pub(super) version: u64,
    /// Whether talks are stored.
    pub(super) history: bool,
    /// Talks that the store has and has not answered: the room stays open for them.
    pub(super) in_store: u32,
    members: Members,
    /// Each user once with the number of sessions, in the order of names.
    users: Roster,
    /// The shards that have members, and how many each has.
    shards: Rc<[ShardId]>,
    counts: Vec<u32>,
    /// Members that are sent lists with their notices.
    lists_with_notices: u32,
    /// Members that are sent the list when it changes.
    lists_on_change: u32,
    /// Numbers the users in the order in which they came.
    arrivals: u32,
    rare: Option<Box<Rare>>,
}

/// What became of two names in a rename.
#[derive(Debug)]
pub(super) struct Renaming {
    pub(super) old: UserName,
    pub(super) tag: SessionTag,
    pub(super) old_gone: bool,
    pub(super) new_came: bool,
}

#[derive(Debug, Default)]
struct Rare {
    topic: Option<Arc<str>>,
    /// Its place among the rooms without members that stay for their topic.
    kept_at: Option<u64>,
    /// The lists of a large room, by their order, and when they were made.
    by_name: Option<(UserList, u64)>,
    by_arrival: Option<(UserList, u64)>,
    pushed: PushedList,
    digest: Option<Owed>,
    digest_at: u64,
    keys: Keys,
    closing: Option<Closing>,
}

/// The operator closed the room while the store had messages of it.
#[derive(Debug)]
struct Closing {
    /// Those that were in it: they say nothing more here, and leave at the end.
    sessions: Vec<SessionId>,
    /// Messages from before the close that the store has not answered. It answers for one room in order.
    awaited: u32,
}

/// The list that members were last sent because it had changed.
#[derive(Debug, Default)]
struct PushedList {
    /// Of which roster it was; `None`: none was sent.
    version: Option<u64>,
    at: u64,
    /// How long the next one waits, milliseconds.
    wait_ms: u64,
    /// The room is among those that owe a list.
    owed: bool,
}

/// A list that members are sent because it may have changed.
#[derive(Debug)]
pub(super) enum OwedList {
    /// Nobody wants it, or all have it.
    None,
    /// The last one is not long enough ago.
    TooSoon,
    Due(UserList),
}

/// What a digest will say.
#[derive(Debug, Default)]
struct Owed {
    came: u32,
    went: u32,
    last_came: Option<UserName>,
    last_went: Option<UserName>,
}

/// Recent idempotency keys of a room without history, oldest first.
#[derive(Debug, Default)]
struct Keys {
    known: foldhash::HashMap<(KeyOwner, Key), Remembered>,
    order: VecDeque<(KeyOwner, Key)>,
}

#[derive(Debug, Clone)]
struct Remembered {
    seq: Seq,
    at: u64,
    /// A hash of the text: thousands of keys would otherwise keep thousands of texts of up to 63 KiB.
    text: u64,
}

impl Room {
    pub(super) fn new(head: Position, history: bool) -> Self {
        Self {
            head,
            version: 0,
            history,
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

    pub(super) fn has(&self, session: SessionId) -> bool {
        self.members.get(session).is_some()
    }

    pub(super) fn user(&self, session: SessionId) -> Option<UserName> {
        self.members.get(session).map(|member| member.user.clone())
    }

    /// The sessions in the room whose user is not one of these.
    pub(super) fn outsiders(&self, admits: impl Fn(&UserName) -> bool) -> Vec<SessionId> {
        self.members.sessions(|member| !admits(&member.user))
    }

    /// Users in the room, exact.
    pub(super) fn online(&self) -> u32 {
        self.users.len() as u32
    }

    pub(super) fn shards(&self) -> Rc<[ShardId]> {
        self.shards.clone()
    }

    pub(super) fn is_large(&self, settings: &HomeSettings) -> bool {
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

    /// Adds a member; whether it is the first session of its user here.
    pub(super) fn add(&mut self, session: SessionId, member: Member) -> bool {
        if let Some(wanting) = self.wanting(member.lists) {
            *wanting += 1;
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        let first = self.users.add(&member.user, self.arrivals);
        self.members.insert(session, member);
        match self.shards.iter().position(|shard| *shard == session.shard) {
            Some(at) => self.counts[at] += 1,
            None => {
                self.shards = self.shards.iter().copied().chain([session.shard]).collect();
                self.counts.push(1);
            }
        }
        self.version += u64::from(first);
        first
    }

    /// Removes a member; whether it was the last session of its user here.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<(Member, bool)> {
        let member = self.members.remove(session)?;
        if let Some(wanting) = self.wanting(member.lists) {
            *wanting -= 1;
        }
        let last = self.users.remove(&member.user).is_some();
        self.version += u64::from(last);
        if let Some(at) = self.shards.iter().position(|shard| *shard == session.shard) {
            self.counts[at] -= 1;
            if self.counts[at] == 0 {
                self.counts.remove(at);
                self.shards = self
                    .shards
                    .iter()
                    .copied()
                    .filter(|shard| *shard != session.shard)
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
        // Who takes another name keeps its place in the order of arrival.
        let place = self.users.remove(&old);
        let old_gone = place.is_some();
        self.arrivals = self.arrivals.wrapping_add(1);
        let new_came = self.users.add(&new, place.unwrap_or(self.arrivals));
        self.version += u64::from(old_gone || new_came);
        Some(Renaming {
            old,
            tag,
            old_gone,
            new_came,
        })
    }

    /// Nobody is in it, and nothing of it is on its way to the store.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.in_store == 0
    }

    /// These sessions leave when the store has answered for what it has now.
    pub(super) fn close_after_store(&mut self, sessions: Vec<SessionId>) {
        let awaited = self.in_store;
        self.rare().closing = Some(Closing { sessions, awaited });
    }

    /// Whether the session is one of those that a close makes leave.
    pub(super) fn is_leaving(&self, session: SessionId) -> bool {
        let closing = self.rare.as_ref().and_then(|rare| rare.closing.as_ref());
        closing.is_some_and(|closing| closing.sessions.contains(&session))
    }

    /// The store has answered for one message. Those who leave now, if it was the last before a close.
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

    /// Its place among the rooms that stay for their topic changes; the place before.
    pub(super) fn kept_at(&mut self, place: Option<u64>) -> Option<u64> {
        match (place, &mut self.rare) {
            (None, None) => None,
            (place, rare) => std::mem::replace(&mut rare.get_or_insert_default().kept_at, place),
        }
    }

    /// The list, cut at the presence limit; that of a large room may be a little old.
    pub(super) fn list(&mut self, order: ListOrder, settings: &HomeSettings, now_ms: u64) -> UserList {
        let online = self.online();
        if !self.is_large(settings) {
            return UserList {
                online,
                names: self.users.ordered(order, usize::MAX),
            };
        }
        let cached = self.rare.as_ref().and_then(|rare| match order {
            ListOrder::Name => rare.by_name.as_ref(),
            ListOrder::Arrival => rare.by_arrival.as_ref(),
        });
        if let Some((list, made)) = cached
            && now_ms.abs_diff(*made) < settings.list_cache_ms
        {
            return UserList {
                online,
                names: list.names.clone(),
            };
        }
        let list = UserList {
            online,
            names: self.users.ordered(order, settings.presence_events_max),
        };
        let made = Some((list.clone(), now_ms));
        match order {
            ListOrder::Name => self.rare().by_name = made,
            ListOrder::Arrival => self.rare().by_arrival = made,
        }
        list
    }

    /// The list for a notice of presence, if some member is sent it there.
    pub(super) fn list_if_wanted(&mut self, settings: &HomeSettings, now_ms: u64) -> Option<UserList> {
        (self.lists_with_notices > 0).then(|| self.list(ListOrder::Arrival, settings, now_ms))
    }

    /// The list as it is sent to members when it has changed.
    pub(super) fn roster(&self, settings: &HomeSettings) -> UserList {
        let most = if self.is_large(settings) {
            limits::DIGEST_LIST_BYTES / SHORTEST_NAME_BYTES
        } else {
            usize::MAX
        };
        let list = UserList {
            online: self.online(),
            names: self.users.ordered(ListOrder::Name, most),
        };
        if self.is_large(settings) { cut(list) } else { list }
    }

    /// Members that are sent the list when it has changed are owed it; whether only from now on.
    pub(super) fn owe_list(&mut self) -> bool {
        self.lists_on_change > 0 && !std::mem::replace(&mut self.rare().pushed.owed, true)
    }

    /// The list that is owed, if it has changed and the last one is long enough ago.
    pub(super) fn take_list(&mut self, settings: &HomeSettings, now_ms: u64) -> OwedList {
        let (version, wanted) = (self.version, self.lists_on_change > 0);
        let pushed = &mut self.rare().pushed;
        if !wanted || pushed.version == Some(version) {
            pushed.owed = false;
            return OwedList::None;
        }
        if pushed.version.is_some() && now_ms.abs_diff(pushed.at) < pushed.wait_ms {
            return OwedList::TooSoon;
        }
        pushed.owed = false;
        let users = self.roster(settings);
        self.note_pushed(&users, settings, now_ms);
        OwedList::Due(users)
    }

    /// The list for a member that has just come. Where it is the only one that wants lists, nobody is owed this one.
    pub(super) fn list_for_newcomer(&mut self, settings: &HomeSettings, now_ms: u64) -> UserList {
        let users = self.roster(settings);
        if self.lists_on_change == 1 {
            self.note_pushed(&users, settings, now_ms);
        }
        users
    }

    /// How long the next list waits goes by the length of this one, so that a member is sent
    /// [`limits::LIST_BYTES_PER_SECOND`] at most.
    fn note_pushed(&mut self, users: &UserList, settings: &HomeSettings, now_ms: u64) {
        let least = if self.is_large(settings) {
            settings.digest_every_ms
        } else {
            limits::WHEEL_TICK_MS
        };
        let version = self.version;
        let pushed = &mut self.rare().pushed;
        pushed.version = Some(version);
        pushed.at = now_ms;
        pushed.wait_ms = (listed_bytes(users) * 1_000 / limits::LIST_BYTES_PER_SECOND).max(least);
    }

    /// Notes what a member's dialect is; whether it is a member.
    pub(super) fn describe(&mut self, session: SessionId, sees_own_going: bool, lists: Lists) -> bool {
        let Some(member) = self.members.get_mut(session) else {
            return false;
        };
        member.sees_own_going = sees_own_going;
        let before = std::mem::replace(&mut member.lists, lists);
        if let Some(wanting) = self.wanting(before) {
            *wanting -= 1;
        }
        if let Some(wanting) = self.wanting(lists) {
            *wanting += 1;
        }
        true
    }

    /// How many members are sent lists in this way, if it is one that the room has to know.
    fn wanting(&mut self, lists: Lists) -> Option<&mut u32> {
        match lists {
            Lists::OnRequest => None,
            Lists::WithNotices => Some(&mut self.lists_with_notices),
            Lists::OnChange => Some(&mut self.lists_on_change),
        }
    }

    /// One page of the list, and where the next begins.
    pub(super) fn page(&mut self, page: &Page, settings: &HomeSettings, now_ms: u64) -> (UserList, Option<UserName>) {
        let online = self.online();
        if page.after.is_none() && page.limit >= settings.presence_events_max {
            let list = self.list(page.order, settings, now_ms);
            let next = if (list.names.len() as u32) < online {
                list.names.last().cloned()
            } else {
                None
            };
            return (list, next);
        }
        let (names, more) = self.users.after(page.after.as_deref(), page.limit);
        let next = if more { names.last().cloned() } else { None };
        (UserList { online, names }, next)
    }

    /// Notes that somebody came to this large room; whether a digest is owed only from now on.
    pub(super) fn note_came(&mut self, user: UserName) -> bool {
        let rare = self.rare();
        let newly = rare.digest.is_none();
        let owed = rare.digest.get_or_insert_default();
        owed.came += 1;
        owed.last_came = Some(user);
        newly
    }

    /// The same for somebody who went.
    pub(super) fn note_went(&mut self, user: UserName) -> bool {
        let rare = self.rare();
        let newly = rare.digest.is_none();
        let owed = rare.digest.get_or_insert_default();
        owed.went += 1;
        owed.last_went = Some(user);
        newly
    }

    pub(super) fn owes_digest(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.digest.is_some())
    }

    /// The digest, if it is owed and the last one is long enough ago.
    pub(super) fn take_digest(&mut self, settings: &HomeSettings, now_ms: u64) -> Option<Happening> {
        let rare = self.rare.as_mut()?;
        if now_ms.abs_diff(rare.digest_at) < settings.digest_every_ms {
            return None;
        }
        let owed = rare.digest.take()?;
        rare.digest_at = now_ms;
        let sample = self.users.ordered(ListOrder::Name, limits::DIGEST_NAMES);
        Some(Happening::Digest {
            online: self.online(),
            version: self.version,
            came: owed.came,
            went: owed.went,
            last_came: owed.last_came,
            last_went: owed.last_went,
            sample,
            users: self.list_if_wanted(settings, now_ms).map(cut),
        })
    }

    /// Whether the key of this talk was seen: where it stands, or why it is refused.
    pub(super) fn known_key(
        &mut self,
        said: &Utterance,
        now_ms: u64,
        window_ms: u64,
    ) -> Option<Result<(Seq, u64), Refusal>> {
        let key = said.key.clone()?;
        let keys = &self.rare.as_ref()?.keys;
        let known = keys.known.get(&(said.key_owner(), key))?;
        if now_ms.abs_diff(known.at) > window_ms {
            return None;
        }
        Some(if known.text == keys.known.hasher().hash_one(&said.text) {
            Ok((known.seq, known.at))
        } else {
            Err(key_conflict())
        })
    }

    pub(super) fn remember_key(&mut self, said: &Utterance, seq: Seq, now_ms: u64, window_ms: u64) {
        let Some(key) = said.key.clone() else { return };
        let keys = &mut self.rare().keys;
        let entry = (said.key_owner(), key);
        let text = keys.known.hasher().hash_one(&said.text);
        keys.known.insert(entry.clone(), Remembered { seq, at: now_ms, text });
        keys.order.push_back(entry);
        while let Some(oldest) = keys.order.front() {
            let expired = keys
                .known
                .get(oldest)
                .is_none_or(|known| now_ms.abs_diff(known.at) > window_ms);
            if keys.order.len() <= limits::KEYS_PER_ROOM && !expired {
                break;
            }
            keys.known.remove(oldest);
            keys.order.pop_front();
        }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// A name of one byte, between quotes and with a comma.
const SHORTEST_NAME_BYTES: usize = 4;

/// The front of a list, as much as a digest may carry; the count stays exact.
fn cut(list: UserList) -> UserList {
    let mut bytes = 0;
    let names = list
        .names
        .iter()
        .take_while(|name| {
            // Between quotes, with a comma.
            bytes += name.as_str().len() + 3;
            bytes <= limits::DIGEST_LIST_BYTES
        })
        .cloned()
        .collect();
    UserList { names, ..list }
}

/// About the bytes of a list on the wire, in the longest form that is sent when it changes: each name twice, with 8 bytes
/// around it, and with `，` and `：` in the place of `,` and `:`.
fn listed_bytes(users: &UserList) -> u64 {
    let each = |name: &UserName| {
        let longer = name.as_str().bytes().filter(|byte| matches!(byte, b',' | b':')).count();
        2 * (name.as_str().len() + 2 * longer) as u64 + 8
    };
    32 + users.names.iter().map(each).sum::<u64>()
}

/// What a talk gets whose key was used for another text.
pub(crate) fn key_conflict() -> Refusal {
    ErrorCode::KeyConflict.because("this key was used for another text; take a new key for a new message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn list_in_a_digest_is_cut_by_its_bytes_and_counts_everybody() {
        let list = |count: u32, name: &str| UserList {
            online: count,
            names: (0..count)
                .map(|n| UserName::parse(&format!("{name}{n:04}")).unwrap())
                .collect(),
        };
        for (name, fit) in [("member-", 109), ("数字广场的成员", 54)] {
            let whole = list(500, name);
            let short = cut(whole.clone());
            assert_eq!((short.online, short.names.len()), (500, fit));
            assert_eq!(short.names[..], whole.names[..fit]);
        }
        assert_eq!(cut(list(5, "few")), list(5, "few"));
    }
}
