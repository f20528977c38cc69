//! What the operator, and the few pages that tell of rooms, ask of a shard: each an [`Order`] in its inbox, with the way back
//! for the answer. Whoever asked may have gone: then the answer is thrown away.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use crate::shard::{
    bus::message::ToShard,
    connection::write::Socket,
    engine::{Clock, Engine},
    runtime::handle::Shards,
};
use crate::{
    chat::{
        ConnectionSlot, GoodbyeCode, ListOrder, Page, Reply, RoomDetails, RoomEntry, RoomName, RoomScope, SessionId,
        SessionTag, ShardId, TooManyRooms, UserList, UserName,
    },
    limits,
};

/// An answer on its way back.
pub(crate) type Answer<T> = oneshot::Sender<T>;

/// What a shard is asked.
#[derive(Debug)]
pub(crate) enum Order {
    /// The first rooms after a name, one more than fit tells that there are more.
    Rooms {
        after: Option<String>,
        limit: usize,
        answer: Answer<Vec<RoomEntry>>,
    },
    /// The names of rooms that are groups: with this prefix, or one of these.
    Groups {
        prefix: String,
        limit: usize,
        answer: Answer<Vec<RoomName>>,
    },
    /// One room.
    Room {
        room: RoomName,
        page: Page,
        answer: Answer<Option<RoomDetails>>,
    },
    /// Who is in a room, cut as lists for older clients are.
    Roster { room: RoomName, answer: Answer<UserList> },
    /// The room is to be there, with this topic and these members where they are given. Whether it is new.
    Keep {
        room: RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
        answer: Answer<Result<bool, TooManyRooms>>,
    },
    /// Everybody is to leave the room, and the room to go. How many sessions were in it.
    Close {
        room: RoomName,
        answer: Answer<Option<usize>>,
    },
    /// A message of the server to everybody in a room. How many users were in it.
    Say {
        room: RoomName,
        text: Arc<str>,
        answer: Answer<Option<u32>>,
    },
    /// The same to every session of the shard. How many there were.
    SayToAll { text: Arc<str>, answer: Answer<usize> },
    /// Connections from this slot on.
    Sessions {
        slot: ConnectionSlot,
        user: Option<UserName>,
        limit: usize,
        answer: Answer<Vec<SessionEntry>>,
    },
    /// Ends one session. Whether it was there.
    Disconnect { session: SessionId, answer: Answer<bool> },
    /// Ends all sessions of a user on this shard. How many there were.
    DisconnectUser { user: UserName, answer: Answer<usize> },
}

/// A connection as its operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    /// Absent until it has said who it is.
    pub(crate) user: Option<(UserName, SessionTag)>,
    pub(crate) dialect: &'static str,
    pub(crate) peer: SocketAddr,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) connected: Duration,
    /// Since the user last said something.
    pub(crate) quiet: Duration,
}

/// A shard did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Its inbox has no room.
    Full,
    /// It took too long, or has ended.
    Silent,
}

impl Shards {
    /// Asks a shard and waits for its answer, a bounded time.
    pub(crate) async fn ask<T>(&self, shard: ShardId, order: impl FnOnce(Answer<T>) -> Order) -> Result<T, Unanswered> {
        let (answer, answered) = oneshot::channel();
        if !self.try_tell(usize::from(shard.0), ToShard::Admin(Box::new(order(answer)))) {
            return Err(Unanswered::Full);
        }
        match timeout(limits::ADMIN_ANSWER_TIME, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Silent),
        }
    }

    /// The owner of a room.
    pub(crate) fn owner_of(&self, room: &RoomName) -> ShardId {
        self.directory.owner_of(room.as_str())
    }

    /// All shards.
    pub(crate) fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.directory.shards()).map(|shard| ShardId(shard as u16))
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn administer(&mut self, order: Order) {
        let now = self.now.unix_ms;
        // Nobody waits any more where a send fails: the one who asked gave up.
        match order {
            Order::Rooms { after, limit, answer } => {
                let _ = answer.send(self.owner.rooms().rooms(RoomScope::All, after.as_deref(), limit));
            }
            Order::Groups { prefix, limit, answer } => {
                let _ = answer.send(
                    self.owner
                        .rooms()
                        .names(|name| name.as_str().starts_with(&prefix), limit),
                );
            }
            Order::Room { room, page, answer } => {
                let _ = answer.send(self.owner.rooms().describe(&room, &page, now));
            }
            Order::Roster { room, answer } => {
                let _ = answer.send(self.owner.rooms().roster(&room, ListOrder::Name, now));
            }
            Order::Keep {
                room,
                topic,
                members,
                answer,
            } => {
                let _ = answer.send(self.keep(&room, topic, members));
            }
            Order::Close { room, answer } => {
                let closed = self.owner.rooms().close(&room);
                let _ = answer.send(closed.as_ref().map(|closed| closed.sessions));
                self.carry_out(closed.unwrap_or_default().effects);
            }
            Order::Say { room, text, answer } => {
                let _ = answer.send(self.owner.rooms().online(&room));
                let line = self.owner.rooms().system(&room, text);
                self.carry_out(line);
            }
            Order::SayToAll { text, answer } => {
                let named: Vec<SessionId> = self.ids(|connection| connection.session().is_some());
                let _ = answer.send(named.len());
                for id in named {
                    self.reply(id, None, &Reply::System { text: text.clone() });
                }
            }
            Order::Sessions {
                slot,
                user,
                limit,
                answer,
            } => {
                let _ = answer.send(self.sessions_from(slot, user.as_ref(), limit));
            }
            Order::Disconnect { session, answer } => {
                let there = self
                    .connection(session)
                    .is_some_and(|connection| !connection.is_closing());
                if there {
                    self.goodbye(session, None, GoodbyeCode::Disconnected);
                }
                let _ = answer.send(there);
            }
            Order::DisconnectUser { user, answer } => {
                let sessions = self.directory.sessions(&user, self.me);
                let _ = answer.send(sessions.len());
                for session in sessions {
                    self.goodbye(session, None, GoodbyeCode::Disconnected);
                }
            }
        }
    }

    fn keep(
        &mut self,
        room: &RoomName,
        topic: Option<Arc<str>>,
        members: Option<Option<BTreeSet<UserName>>>,
    ) -> Result<bool, TooManyRooms> {
        let new = self.owner.rooms().keep(room)?;
        if let Some(topic) = topic {
            let seen = self.owner.rooms().set_kept_topic(room, topic);
            self.carry_out(seen);
        }
        if let Some(members) = members {
            let outsiders = self.owner.rooms().set_members(room, members);
            self.carry_out(outsiders);
        }
        Ok(new)
    }

    fn ids(&self, wanted: impl Fn(&crate::shard::connection::state::Connection<S>) -> bool) -> Vec<SessionId> {
        self.connections
            .iter()
            .filter(|(_, connection)| wanted(connection))
            .map(|(id, _)| id)
            .collect()
    }

    fn sessions_from(&self, slot: ConnectionSlot, user: Option<&UserName>, limit: usize) -> Vec<SessionEntry> {
        let since = |then: u64| Duration::from_millis(self.now.ms.saturating_sub(then));
        self.connections
            .iter()
            .skip_while(|(id, _)| id.slot() < slot)
            .filter_map(|(id, connection)| {
                let speaking = connection.speaking()?;
                let session = connection.session();
                if user.is_some_and(|user| session.is_none_or(|session| session.name != *user)) {
                    return None;
                }
                Some(SessionEntry {
                    id,
                    user: session.map(|session| (session.name.clone(), session.tag)),
                    dialect: self.settings.dialects.get(usize::from(speaking.dialect))?.name(),
                    peer: speaking.peer,
                    rooms: self.rooms.heard_by(id).cloned().collect(),
                    connected: since(connection.opened_ms()),
                    quiet: since(connection.last_word_ms()),
                })
            })
            .take(limit)
            .collect()
    }
}
