//! From commands to events: what a shard does as the home of rooms and of pairs of users, and whom it tells of it.

use std::sync::Arc;

use crate::chat::{
    Effect, Happening, ListOrder, Origin, Position, Reply, RequestId, RoomName, RoomScope, SessionId, Talk, Utterance,
};
use crate::shard::{
    bus::message::{Retry, ToHome, ToShard},
    connection::state::Socket,
    engine::{Clock, Engine},
    room::event::RoomEvent,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Carries out a command of a session as the home of its room.
    pub(crate) fn at_home(&mut self, message: ToHome) {
        let Some(message) = self.park(message) else { return };
        let now = self.now.unix_ms;
        let mut effects = std::mem::take(&mut self.effects);
        match message {
            ToHome::Join {
                room,
                arrival,
                id,
                since,
            } => {
                self.home.join(&room, *arrival, id, since, now, &mut effects);
            }
            ToHome::Leave { room, session, how, id } => {
                self.refused.remove(&session);
                self.home.leave(&room, session, how, id, now, &mut effects);
            }
            ToHome::Talk { room, said, retry } => self.talk_at_home(room, said, retry, &mut effects),
            ToHome::Rename { room, session, name } => {
                self.home.rename(&room, session, name, now, &mut effects);
                if self.home.is_outsider(&room, session) {
                    self.expel(&room, vec![session]);
                }
            }
            ToHome::Describe {
                room,
                session,
                sees_own_going,
                lists,
            } => self
                .home
                .describe_member(&room, session, sees_own_going, lists, now, &mut effects),
            ToHome::SetTopic {
                room,
                session,
                id,
                topic,
            } => {
                self.home.set_topic(&room, session, id, topic, &mut effects);
            }
            ToHome::System { room, text } => self.home.system(&room, text, &mut effects),
            ToHome::Typing { room, session } => self.home.typing(&room, session, &mut effects),
            ToHome::Users {
                room,
                session,
                id,
                page,
            } => {
                effects.push(self.home.users(&room, session, id, &page, now));
            }
            ToHome::Greet { session, peer } => {
                let users = self.home.roster(&RoomName::lobby(), ListOrder::Arrival, now);
                effects.push(Effect::Answer {
                    session,
                    id: None,
                    reply: Reply::Greeting { peer, users },
                });
            }
            ToHome::Rooms {
                shard,
                gathering,
                after,
                limit,
            } => {
                let rooms = self.home.rooms(RoomScope::Common, after.as_deref(), limit + 1);
                self.send(shard, ToShard::RoomsPart { gathering, rooms });
            }
            ToHome::Direct { to, said } => self.direct_at_home(to, *said),
        }
        self.carry_out(&mut effects);
        self.effects = effects;
    }

    fn talk_at_home(&mut self, room: RoomName, said: Box<Utterance>, retry: Retry, effects: &mut Vec<Effect>) {
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
            self.send(session.shard(), ToShard::Busy { room, said });
            return;
        }
        self.holding_back = retry != Retry::Never;
        self.home.talk(&room, *said, self.now.unix_ms, effects);
    }

    /// Answers a request, wherever its session is.
    pub(crate) fn answer(&mut self, session: SessionId, id: RequestId, reply: Reply) {
        self.send(
            session.shard(),
            ToShard::Answer {
                session,
                id,
                reply: Box::new(reply),
            },
        );
    }

    /// Sends what follows from a command to those it concerns.
    pub(crate) fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Tell {
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
                Effect::TellOne {
                    session,
                    room,
                    happening,
                } => {
                    let event = self.event(room, happening, None);
                    self.send(session.shard(), ToShard::Only { session, event });
                }
                Effect::Admit {
                    session,
                    id,
                    joined,
                    lost,
                } => {
                    let resumed = self.resumed.take();
                    let joined = Box::new(joined);
                    self.send(
                        session.shard(),
                        ToShard::Admit {
                            session,
                            id,
                            joined,
                            lost,
                            resumed,
                        },
                    );
                }
                Effect::Dismiss { session, id, room } => {
                    self.send(session.shard(), ToShard::Dismiss { session, id, room });
                }
                Effect::Refuse {
                    session,
                    id,
                    room,
                    refusal,
                } => {
                    self.send(
                        session.shard(),
                        ToShard::JoinRefused {
                            session,
                            id,
                            room,
                            refusal,
                        },
                    );
                }
                Effect::Answer { session, id, reply } => self.answer(session, id, reply),
                Effect::Store { room, utterance } => self.store_talk(room, utterance),
            }
        }
    }

    fn event(&self, room: RoomName, happening: Happening, origin: Option<Origin>) -> Arc<RoomEvent> {
        let event = RoomEvent::new(room, happening, origin, self.now.unix_ms);
        Arc::new(event.in_dialects(self.settings.dialects))
    }
}

pub(crate) fn numbered(said: Utterance, position: Position, prev: u64, at: u64) -> Talk {
    Talk {
        epoch: position.epoch,
        seq: position.seq,
        prev,
        at,
        from: said.from,
        session: said.tag,
        text: said.text,
        kind: said.kind,
        echo: said.echo,
    }
}
