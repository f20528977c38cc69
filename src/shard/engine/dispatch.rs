//! [`Engine::dispatch`] is the one match over all messages between shards, [`Engine::carry_out`] the one over the effects of this
//! shard's owned rooms and pairs.

use std::sync::Arc;

use crate::{
    chat::{Effect, Happening, Origin, Reply, RoomName, SessionId, ToSession},
    shard::{
        bus::message::{ToOwner, ToShard},
        connection::write::Socket,
        direct::fanout::fan_out,
        engine::{Clock, Engine},
        event::{direct::DirectEvent, room::RoomEvent},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn dispatch(&mut self, message: ToShard) {
        match message {
            ToShard::Owner(message) => self.dispatch_to_owner(message),
            ToShard::Room(event) => self.with_rooms(|rooms, parts| rooms.handle_event(event, parts)),
            ToShard::Session { session, what } => self.dispatch_to_session(session, what),
            ToShard::Operator(request) => self.administer(*request),
            ToShard::Direct {
                user,
                except,
                direct,
                bytes,
            } => self.inboxes.push(user, except, direct, bytes),
            ToShard::TypingTo { user, from } => {
                self.with_presence(|presence| presence.reply_to_holders(&user, &Reply::TypingTo { from }));
            }
            ToShard::SystemTo { user, text } => {
                self.with_presence(|presence| presence.reply_to_holders(&user, &Reply::System { text }));
            }
            ToShard::Claimed { name } => self.displace(name),
            ToShard::RoomsPart { listing, rooms } => {
                if let Some((session, id, reply)) = self.owner.listings().add(listing, rooms) {
                    self.reply(session, id, &reply);
                    self.answered(session);
                }
            }
            ToShard::Probe(answer) => {
                // Fails if the probe has timed out.
                let _ = answer.send(self.me);
            }
            ToShard::Quiesce(answer) => {
                // Fails if the drain has gone on without an answer.
                let _ = answer.send(self.quiesce());
            }
            ToShard::Drain => self.drain(),
        }
    }

    fn dispatch_to_session(&mut self, session: SessionId, what: ToSession) {
        match what {
            ToSession::Admit(admission) => {
                self.with_rooms(|rooms, parts| rooms.handle_admission(session, *admission, parts));
                self.continue_deferred(session);
            }
            ToSession::RefuseJoin { room, id, refusal } => {
                self.with_rooms(|rooms, parts| rooms.handle_refusal(session, id, &room, *refusal, parts));
            }
            ToSession::Dismiss { room, id } => {
                self.with_rooms(|rooms, parts| rooms.handle_dismissal(session, id, &room, parts));
            }
            ToSession::Show { room, happening } => {
                let event = self.event(room, *happening, None);
                self.connections.show_event(session, &event, self.now);
                self.process_notifications();
            }
            ToSession::Reply { id, reply } => {
                // A native request without an id gets no acknowledgement.
                if id.is_some() || !matches!(*reply, Reply::Ack { .. }) || !self.connections.is_native(session) {
                    self.reply(session, id, &reply);
                }
                self.answered(session);
            }
            ToSession::Event(reply) => self.reply(session, None, &reply),
            ToSession::Busy { room, message } => {
                let request = message.id;
                self.with_rules(session, request, |rules| rules.message_refused(room, message));
                self.answered(session);
            }
            // The access list of the room changed. The session may have left the room already.
            ToSession::Expel { room } => {
                if self.rooms.is_member(session, &room) {
                    self.with_rules(session, None, |rules| rules.leave(None, room));
                }
            }
        }
    }

    fn dispatch_to_owner(&mut self, message: ToOwner) {
        match message {
            ToOwner::Room { room, command } => {
                self.with_owner(|owner, conditions| owner.handle(room, command, conditions));
            }
            ToOwner::Pair { to, message } => {
                self.with_owner(|owner, conditions| owner.direct(to, message, conditions));
            }
            ToOwner::Greet { session, peer } => {
                self.with_owner(|owner, conditions| owner.greet(session, peer, conditions.now_ms));
            }
            ToOwner::Rooms {
                shard,
                listing,
                after,
                limit,
            } => {
                let rooms = self.owner.list(after.as_deref(), limit);
                self.bus.send(shard, ToShard::RoomsPart { listing, rooms });
            }
        }
    }

    /// Sends the effects of a command to the shards and sessions that they concern, in order.
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
                        self.bus.send(*shard, ToShard::Room(event.clone()));
                    }
                }
                Effect::Session { session, what } => {
                    self.bus.send(session.shard(), ToShard::Session { session, what });
                }
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

    fn event(&self, room: RoomName, happening: Happening, origin: Option<Origin>) -> Arc<RoomEvent> {
        let (at, dialects) = (self.now.unix_ms, self.settings.dialects);
        Arc::new(RoomEvent::new(room, happening, origin, at, dialects))
    }
}
