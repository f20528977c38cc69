//! The home of rooms: the one place that numbers a room's talks, knows its members and keeps its topic.
//!
//! Every room has its home on one shard, by the hash of its name; every command about the room comes here, and what
//! follows from it leaves as [`Effect`]s in the order that all members see. The home promises exact counts and numbers without
//! holes; who comes and goes is in `presence`, what the operator does in `manage`. It never touches a socket, never
//! reads a clock (time is a parameter) and never encodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    rc::Rc,
    sync::Arc,
};

use super::{
    Access, Effect, ErrorCode, Happening, HomeSettings, ListOrder, Origin, Page, Position, Refusal, Reply, RequestId,
    RoomEntry, RoomName, Seq, SessionId, Talk, UserList, UserName, Utterance, room::Room, world::MARKED,
};
use crate::limits;

/// The rooms whose home is one shard.
#[derive(Debug)]
pub struct Home {
    pub(super) rooms: foldhash::HashMap<RoomName, Box<Room>>,
    /// The names of `rooms` and of `standing` in their order, so that a page of them costs no more than what is on it.
    pub(super) names: BTreeSet<RoomName>,
    /// Rooms that have no member and stay for their topic, by their place, the longest without first: each once, and a room
    /// of `rooms` knows its place.
    kept: BTreeMap<u64, RoomName>,
    /// The newest place in `kept`.
    emptied: u64,
    /// Rooms that the operator wants to be there though nobody is in them, and their topics.
    pub(super) standing: foldhash::HashMap<RoomName, Arc<str>>,
    pub(super) access: Access,
    pub(super) settings: HomeSettings,
    /// Rooms that owe their members a digest.
    pub(super) digests: Vec<RoomName>,
    /// Rooms that owe members a list.
    pub(super) lists_owed: Vec<RoomName>,
    random: fastrand::Rng,
}

/// Which rooms a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomScope {
    /// Those of the common world.
    Common,
    /// Those of all worlds, for the operator.
    All,
}

impl Home {
    /// No rooms yet. `seed` makes the epochs of rooms without history.
    pub fn new(settings: HomeSettings, seed: u64) -> Self {
        Self {
            rooms: Default::default(),
            names: BTreeSet::new(),
            kept: BTreeMap::new(),
            emptied: 0,
            standing: Default::default(),
            access: Access::default(),
            settings,
            digests: Vec::new(),
            lists_owed: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Who may enter which room; everybody, unless this says otherwise.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// How many rooms live here.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether no room lives here.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Whether the room lives here already.
    pub fn knows(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// Whether the session is a member of the room.
    pub fn has(&self, room: &RoomName, session: SessionId) -> bool {
        self.rooms.get(room).is_some_and(|room| room.has(session))
    }

    /// Opens a room that has history, at the position its store gave; does nothing if it is open.
    pub fn open_stored(&mut self, room: &RoomName, head: Position) {
        let (names, standing) = (&mut self.names, &self.standing);
        self.rooms.entry(room.clone()).or_insert_with(|| {
            names.insert(room.clone());
            opened(standing, room, Room::new(head, true))
        });
    }

    /// Opens a room without history under a random epoch, if it is not open.
    pub(super) fn open(&mut self, room: &RoomName) -> &mut Room {
        let (random, names, standing) = (&mut self.random, &mut self.names, &self.standing);
        self.rooms.entry(room.clone()).or_insert_with(|| {
            names.insert(room.clone());
            let epoch = random.u64(1..limits::EPOCH_END);
            opened(standing, room, Room::new(Position { epoch, seq: 0 }, false))
        })
    }

    /// A room without members goes; one with a topic stays until many others have lost their members after it.
    pub(super) fn close_if_empty(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.is_empty()) else {
            return;
        };
        if !room.has_topic() {
            self.forget(name);
            return;
        }
        self.emptied += 1;
        if let Some(before) = room.kept_at(Some(self.emptied)) {
            self.kept.remove(&before);
        }
        self.kept.insert(self.emptied, name.clone());
        while self.kept.len() > limits::TOPICS_KEPT
            && let Some((_, oldest)) = self.kept.pop_first()
        {
            self.forget(&oldest);
        }
    }

    /// A room that gets a member or goes is not one of those that stay for their topic.
    pub(super) fn unkeep(&mut self, name: &RoomName) {
        if let Some(place) = self.rooms.get_mut(name).and_then(|room| room.kept_at(None)) {
            self.kept.remove(&place);
        }
    }

    pub(super) fn forget(&mut self, name: &RoomName) {
        self.unkeep(name);
        self.rooms.remove(name);
        if !self.standing.contains_key(name) {
            self.names.remove(name);
        }
    }

    /// Somebody says something. A room without history numbers it at once; one with history has it stored first.
    pub fn talk(&mut self, name: &RoomName, said: Utterance, now_ms: u64, out: &mut Vec<Effect>) {
        let key_window = self.settings.key_window_ms;
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.has(said.session)) else {
            out.push(not_member(said.session, said.id, name));
            return;
        };
        if room.is_leaving(said.session) {
            let text = format!("the room {name} is being closed, and this session leaves it");
            let reply = Reply::Error(ErrorCode::NotMember.because(text));
            let (session, id) = (said.session, said.id);
            out.push(Effect::Answer { session, id, reply });
            return;
        }
        if room.history {
            room.in_store += 1;
            out.push(Effect::Store {
                room: name.clone(),
                utterance: said,
            });
            return;
        }
        match room.known_key(&said, now_ms, key_window) {
            None => {
                let prev = room.head.seq;
                let position = Position {
                    seq: prev + 1,
                    ..room.head
                };
                room.remember_key(&said, position.seq, now_ms, key_window);
                self.tell_talk(name, said, position, prev, now_ms, out);
            }
            Some(Ok((seq, at))) => {
                let position = Position { seq, ..room.head };
                let reply = Reply::Ack {
                    position,
                    at,
                    duplicate: true,
                };
                out.push(Effect::Answer {
                    session: said.session,
                    id: said.id,
                    reply,
                });
            }
            Some(Err(refusal)) => {
                out.push(Effect::Answer {
                    session: said.session,
                    id: said.id,
                    reply: Reply::Error(refusal),
                });
            }
        }
    }

    /// A talk has its number and is stored: every member is told.
    pub fn stored(
        &mut self,
        name: &RoomName,
        said: Utterance,
        position: Position,
        prev: Seq,
        at: u64,
        out: &mut Vec<Effect>,
    ) {
        self.tell_talk(name, said, position, prev, at, out);
    }

    /// The store has answered for one message of this room, whatever it answered. The sessions that leave now, because the
    /// room was closed and waited for this.
    pub fn settled(&mut self, name: &RoomName) -> Vec<SessionId> {
        let Some(room) = self.rooms.get_mut(name) else {
            return Vec::new();
        };
        let leave = room.settled();
        if room.in_store == 0 {
            self.close_if_empty(name);
        }
        leave
    }

    /// The store did not take the newest message of this room.
    pub fn given_back(&mut self, name: &RoomName) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        room.in_store = room.in_store.saturating_sub(1);
        if room.in_store == 0 {
            self.close_if_empty(name);
        }
    }

    fn tell_talk(
        &mut self,
        name: &RoomName,
        said: Utterance,
        position: Position,
        prev: Seq,
        at: u64,
        out: &mut Vec<Effect>,
    ) {
        let origin = Origin {
            session: said.session,
            id: said.id,
        };
        let shards = match self.rooms.get_mut(name) {
            Some(room) => {
                room.head = position;
                room.shards()
            }
            None => Rc::from([]),
        };
        if !shards.contains(&origin.session.shard) {
            // The sender left while the store was writing: it is owed its answer all the same.
            let reply = Reply::Ack {
                position,
                at,
                duplicate: false,
            };
            out.push(Effect::Answer {
                session: origin.session,
                id: origin.id,
                reply,
            });
        }
        // Also where everybody has left meanwhile: the talk log has every message that was accepted.
        let talk = Talk {
            epoch: position.epoch,
            seq: position.seq,
            prev,
            at,
            from: said.from,
            session: said.tag,
            text: said.text,
            kind: said.kind,
            echo: said.echo,
        };
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening: Happening::Talk(talk),
            origin: Some(origin),
        });
    }

    /// A member sets the topic.
    pub fn set_topic(
        &mut self,
        name: &RoomName,
        session: SessionId,
        id: RequestId,
        topic: Arc<str>,
        out: &mut Vec<Effect>,
    ) {
        let Some((room, from)) = self.member(name, session) else {
            out.push(not_member(session, id, name));
            return;
        };
        room.set_topic(topic.clone());
        let shards = room.shards();
        out.push(Effect::Answer {
            session,
            id,
            reply: Reply::TopicSet {
                room: name.clone(),
                topic: topic.clone(),
            },
        });
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening: Happening::Topic { topic, from },
            origin: None,
        });
    }

    /// A member is typing. Large rooms are spared.
    pub fn typing(&mut self, name: &RoomName, session: SessionId, out: &mut Vec<Effect>) {
        let settings = self.settings;
        let Some((room, from)) = self.member(name, session) else {
            return;
        };
        if room.is_large(&settings) {
            return;
        }
        let shards = room.shards();
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening: Happening::Typing { from },
            origin: None,
        });
    }

    /// The operator says something to a room.
    pub fn system(&mut self, name: &RoomName, text: Arc<str>, out: &mut Vec<Effect>) {
        let Some(room) = self.rooms.get_mut(name) else { return };
        let shards = room.shards();
        out.push(Effect::Tell {
            room: name.clone(),
            shards,
            happening: Happening::System { text },
            origin: None,
        });
    }

    /// A page of the users of a room; an unknown room has none.
    pub fn users(&mut self, name: &RoomName, session: SessionId, id: RequestId, page: &Page, now_ms: u64) -> Effect {
        let settings = self.settings;
        let (users, next) = match self.rooms.get_mut(name) {
            None => (empty_list(), None),
            Some(room) => room.page(page, &settings, now_ms),
        };
        Effect::Answer {
            session,
            id,
            reply: Reply::UserPage {
                room: name.clone(),
                users,
                next,
            },
        }
    }

    /// Who is in a room.
    pub fn roster(&mut self, name: &RoomName, order: ListOrder, now_ms: u64) -> UserList {
        let settings = self.settings;
        self.rooms
            .get_mut(name)
            .map_or_else(empty_list, |room| room.list(order, &settings, now_ms))
    }

    /// The first `limit` rooms after `after`, by name.
    pub fn rooms(&self, scope: RoomScope, after: Option<&str>, limit: usize) -> Vec<RoomEntry> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (first_marked, behind_marked) = MARKED;
        let (until, behind) = match scope {
            RoomScope::All => (Bound::Unbounded, None),
            RoomScope::Common => {
                let marked = after.filter(|after| *after >= first_marked);
                let behind = after.filter(|after| *after >= behind_marked);
                let until = marked.map_or(Bound::Excluded(first_marked), Bound::Included);
                (
                    until,
                    Some(behind.map_or(Bound::Included(behind_marked), Bound::Excluded)),
                )
            }
        };
        // The rooms before those of apps, and the rooms behind them.
        let before = self.names.range::<str, _>((from, until));
        let behind = behind.map(|behind| self.names.range::<str, _>((behind, Bound::Unbounded)));
        before
            .chain(behind.into_iter().flatten())
            .take(limit)
            .map(|name| match self.rooms.get(name) {
                Some(room) => RoomEntry {
                    name: name.clone(),
                    topic: room.topic(),
                    online: room.online(),
                },
                None => RoomEntry {
                    name: name.clone(),
                    topic: self.standing.get(name).cloned().unwrap_or_default(),
                    online: 0,
                },
            })
            .collect()
    }

    fn member(&mut self, name: &RoomName, session: SessionId) -> Option<(&mut Room, UserName)> {
        let room = self.rooms.get_mut(name)?;
        let user = room.user(session)?;
        Some((room, user))
    }
}

/// A room that opens has the topic that the operator gave it.
fn opened(standing: &foldhash::HashMap<RoomName, Arc<str>>, name: &RoomName, mut room: Room) -> Box<Room> {
    if let Some(topic) = standing.get(name) {
        room.set_topic(topic.clone());
    }
    Box::new(room)
}

fn empty_list() -> UserList {
    UserList {
        online: 0,
        names: Arc::from([]),
    }
}

pub(super) fn not_member(session: SessionId, id: RequestId, room: &RoomName) -> Effect {
    let refusal: Refusal =
        ErrorCode::NotMember.because(format!("this session is not in the room {room}; join it first"));
    Effect::Answer {
        session,
        id,
        reply: Reply::Error(refusal),
    }
}
