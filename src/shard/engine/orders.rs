//! What a shard does for the operator, and for the few pages that show rooms. If nobody waits for the answer any more, it is dropped.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    chat::{ConnectionSlot, GoodbyeCode, ListOrder, Reply, RoomName, RoomScope, SessionId, TooManyRooms, UserName},
    shard::{
        bus::order::{Order, SessionEntry},
        connection::write::Socket,
        engine::{Clock, Engine},
    },
};

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
                    dialect: speaking.dialect.name(),
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
