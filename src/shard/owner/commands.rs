//! From commands to events: what a shard does as the home of rooms and of pairs of users, and whom it tells of it.

use std::sync::Arc;

use smallvec::smallvec;

use crate::chat::{
    Backlog, Effect, Effects, Happening, ListOrder, Origin, Reply, RequestId, Retry, RoomName, RoomScope, SessionId,
    Utterance,
};
use crate::shard::{
    bus::message::{ToHome, ToShard},
    connection::write::Socket,
    engine::{Clock, Engine},
    room::event::RoomEvent,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Carries out a command of a session as the owner of its room. Where the room had to be opened for it, `backlog` is what the
    /// store said then.
    pub(crate) fn at_home(&mut self, message: ToHome, backlog: Option<Backlog>) {
        let Some(message) = self.park(message) else { return };
        let now = self.now.unix_ms;
        let effects = match message {
            ToHome::Join {
                room,
                arrival,
                id,
                since,
            } => self.home.join(&room, *arrival, id, since, backlog, now),
            ToHome::Leave { room, session, how, id } => {
                self.refused.remove(&session);
                self.home.leave(&room, session, how, id, now)
            }
            ToHome::Talk { room, said, retry } => self.talk_at_home(room, said, retry),
            ToHome::Rename { room, session, name } => self.home.rename(&room, session, name, now),
            ToHome::Describe {
                room,
                session,
                sees_own_going,
                lists,
            } => {
                let list = self.home.describe_member(&room, session, sees_own_going, lists, now);
                list.into_iter().collect()
            }
            ToHome::SetTopic {
                room,
                session,
                id,
                topic,
            } => self.home.set_topic(&room, session, id, topic),
            ToHome::System { room, text } => self.home.system(&room, text).into_iter().collect(),
            ToHome::Typing { room, session } => self.home.typing(&room, session).into_iter().collect(),
            ToHome::Users {
                room,
                session,
                id,
                page,
            } => smallvec![self.home.users(&room, session, id, &page, now)],
            ToHome::Greet { session, peer } => {
                let users = self.home.roster(&RoomName::lobby(), ListOrder::Arrival, now);
                smallvec![Effect::answer(session, None, Reply::Greeting { peer, users })]
            }
            ToHome::Rooms {
                shard,
                gathering,
                after,
                limit,
            } => {
                let rooms = self.home.rooms(RoomScope::Common, after.as_deref(), limit + 1);
                return self.send(shard, ToShard::RoomsPart { gathering, rooms });
            }
            ToHome::Direct { to, said } => return self.direct_at_home(to, *said),
        };
        self.carry_out(effects);
    }

    fn talk_at_home(&mut self, room: RoomName, said: Box<Utterance>, retry: Retry) -> Effects {
        let session = said.session;
        let held_back = match retry {
            Retry::Never => false,
            Retry::Held => self.refused.contains(&session),
            Retry::First => {
                self.refused.remove(&session);
                false
            }
        };
        if held_back || self.bus.is_congested() || self.directory.events.most() > self.settings.underway_bytes {
            if retry != Retry::Never && self.home.has(&room, session) {
                self.refused.insert(session);
            }
            return smallvec![Effect::busy(room, said)];
        }
        self.home.talk(&room, said, retry, self.now.unix_ms)
    }

    /// Answers a request, wherever its session is.
    pub(crate) fn answer(&mut self, session: SessionId, id: RequestId, reply: Reply) {
        self.carry_out([Effect::answer(session, id, reply)]);
    }

    /// Sends what follows from a command to those it concerns, in order.
    pub(crate) fn carry_out(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Broadcast {
                    room,
                    shards,
                    happening,
                    origin,
                } => {
                    if let Happening::Talk(talk) = &happening {
                        self.observer.talk(&room, talk);
                    }
                    let event = self.event(room, happening, origin);
                    for shard in shards.iter() {
                        if *shard != self.me {
                            self.directory.events.add(*shard, event.weight());
                        }
                        self.send(*shard, ToShard::Room(event.clone()));
                    }
                }
                Effect::Session { session, what } => self.send(session.shard(), ToShard::Session { session, what }),
                Effect::Append { room, said, retry } => self.store_talk(room, *said, retry),
            }
        }
    }

    pub(crate) fn event(&self, room: RoomName, happening: Happening, origin: Option<Origin>) -> Arc<RoomEvent> {
        let event = RoomEvent::new(room, happening, origin, self.now.unix_ms);
        Arc::new(event.in_dialects(self.settings.dialects))
    }
}
