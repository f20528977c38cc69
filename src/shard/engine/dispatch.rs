//! Where each message of the bus goes, and what follows from it: [`Engine::take`] is the one match over all messages,
//! [`Engine::carry_out`] the one over the effects of what this shard owns.

use std::sync::Arc;

use crate::{
    chat::{Effect, Effects, Happening, Origin, Reply, RoomName, SessionId, ToSession},
    shard::{
        bus::message::{RoomCommand, ToOwner, ToShard},
        connection::write::Socket,
        direct::fanout::fan_out,
        engine::{Clock, Engine},
        event::{direct::DirectEvent, room::RoomEvent},
        owner::{Conditions, Owner},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Handles one message.
    pub(crate) fn take(&mut self, message: ToShard) {
        match message {
            ToShard::Owner(message) => self.for_owner(message),
            ToShard::Room(event) => self.serve(|rooms, parts| rooms.handle_event(event, parts)),
            ToShard::Session { session, what } => self.for_session(session, what),
            ToShard::Operator(request) => self.administer(*request),
            ToShard::Direct {
                user,
                except,
                direct,
                bytes,
            } => self.inboxes.push(user, except, direct, bytes),
            ToShard::TypingTo { user, from } => self.reply_to_holders(&user, &Reply::TypingTo { from }),
            ToShard::SystemTo { user, text } => self.reply_to_holders(&user, &Reply::System { text }),
            ToShard::Claimed { name } => self.displace(name),
            ToShard::RoomsPart { listing, rooms } => {
                if let Some((session, id, reply)) = self.owner.listings().add(listing, rooms) {
                    self.reply(session, id, &reply);
                    self.answered(session);
                }
            }
            ToShard::Probe(answer) => {
                // Nobody waits any more: the probe timed out.
                let _ = answer.send(self.me);
            }
            ToShard::Quiesce(answer) => {
                // Nobody waits any more: the drain has gone on without an answer.
                let _ = answer.send(self.quiesce());
            }
            ToShard::Drain => self.drain(),
        }
    }

    /// Handles what is for one session here.
    fn for_session(&mut self, session: SessionId, what: ToSession) {
        match what {
            ToSession::Admit(admission) => {
                self.serve(|rooms, parts| rooms.handle_admission(session, *admission, parts));
                self.go_on_with_deferred(session);
            }
            ToSession::RefuseJoin { room, id, refusal } => {
                self.serve(|rooms, parts| rooms.handle_refusal(session, id, &room, *refusal, parts));
            }
            ToSession::Dismiss { room, id } => {
                self.serve(|rooms, parts| rooms.handle_dismissal(session, id, &room, parts));
            }
            ToSession::Show { room, happening } => {
                let event = self.event(room, *happening, None);
                self.connections.show_event(session, &event, self.now);
                self.process_notifications();
            }
            ToSession::Answer { id, reply } => {
                // Whoever gave no id wants no acknowledgement.
                if id.is_some() || !matches!(*reply, Reply::Ack { .. }) || !self.connections.is_native(session) {
                    self.reply(session, id, &reply);
                }
                self.answered(session);
            }
            ToSession::Tell(reply) => self.reply(session, None, &reply),
            ToSession::Busy { room, message } => {
                let request = message.id;
                self.act(session, request, |rules| rules.message_refused(room, message));
                self.answered(session);
            }
            ToSession::Expel { room } => self.expelled(session, room),
        }
    }

    /// Carries out what is for this shard as an owner.
    fn for_owner(&mut self, message: ToOwner) {
        match message {
            ToOwner::Room { room, command } => self.own(|owner, conditions| owner.handle(room, command, conditions)),
            ToOwner::Pair { to, message } => self.own(|owner, conditions| owner.direct(to, message, conditions)),
            ToOwner::Greet { session, peer } => {
                self.own(|owner, conditions| owner.greet(session, peer, conditions.now_ms));
            }
            ToOwner::Rooms {
                shard,
                listing,
                after,
                limit,
            } => {
                let rooms = self.owner.list(after.as_deref(), limit);
                self.send(shard, ToShard::RoomsPart { listing, rooms });
            }
        }
    }

    /// Has this shard as an owner do something, and carries out what follows.
    pub(crate) fn own(&mut self, act: impl FnOnce(&mut Owner, &mut Conditions<'_>) -> Effects) {
        let mut conditions = Conditions {
            now_ms: self.now.unix_ms,
            is_congested: &|| self.bus.is_congested(),
            directory: &self.directory,
            most_bytes: self.settings.inflight_bytes,
            store: &mut self.store,
        };
        let effects = act(&mut self.owner, &mut conditions);
        self.carry_out(effects);
    }

    /// Sends a command to the owner of a room.
    pub(crate) fn command(&mut self, room: RoomName, command: RoomCommand) {
        let owner = self.directory.owner_of(room.as_str());
        self.send(owner, ToShard::Owner(ToOwner::Room { room, command }));
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
                    let event = self.event(room, happening, origin);
                    for shard in shards.iter() {
                        if *shard != self.me {
                            self.directory.events.add(*shard, event.weight());
                        }
                        self.send(*shard, ToShard::Room(event.clone()));
                    }
                }
                Effect::Session { session, what } => self.send(session.shard(), ToShard::Session { session, what }),
                Effect::Direct { except, direct } => {
                    self.directs += 1;
                    let direct = Arc::new(DirectEvent::new(direct, self.settings.dialects));
                    for (shard, message) in fan_out(&self.directory, &direct, except) {
                        self.bus.send(shard, message);
                    }
                }
            }
        }
    }

    pub(crate) fn event(&self, room: RoomName, happening: Happening, origin: Option<Origin>) -> Arc<RoomEvent> {
        let (at, dialects) = (self.now.unix_ms, self.settings.dialects);
        Arc::new(RoomEvent::new(room, happening, origin, at, dialects))
    }
}
