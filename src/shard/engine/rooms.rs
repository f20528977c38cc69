//! What a shard is told by others, and what becomes of it here: this shard's copies of the rooms' logs, and its members.

use std::sync::Arc;

use crate::shard::{
    bus::message::{Resumed, Retry, ToHome, ToShard},
    connection::state::{Held, Membership, Socket},
    engine::{Clock, Engine},
    ids::{MemberSlot, RoomSlot},
    room::event::RoomEvent,
    room::ring::{Leaving, Member, RoomLog},
};
use crate::{
    chat::{
        ErrorCode, GoodbyeCode, Happening, Joined, Position, Refusal, Reply, RequestId, RoomName, SessionId, Utterance,
        local,
    },
    codec::BusyPolicy,
    history::LostInterval,
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn take(&mut self, message: ToShard) {
        match message {
            ToShard::Home(message) => self.at_home(message),
            ToShard::Room(event) => self.append(event),
            ToShard::Only { session, event } => self.show_one(session, &event),
            ToShard::Admit {
                session,
                id,
                joined,
                lost,
                resumed,
            } => self.admit(session, id, *joined, lost, resumed),
            ToShard::JoinRefused {
                session,
                id,
                room,
                refusal,
            } => self.join_refused(session, id, &room, refusal),
            ToShard::Dismiss { session, id, room } => self.dismiss(session, id, &room),
            ToShard::Answer { session, id, reply } => {
                // Whoever gave no id wants no acknowledgement.
                if id.is_some() || !matches!(*reply, Reply::Ack { .. }) || !self.is_native(session) {
                    self.reply(session, id, &reply);
                }
                self.answered(session);
            }
            ToShard::Tell { session, reply } => self.reply(session, None, &reply),
            ToShard::Expel { session, room } => self.expelled(session, room),
            ToShard::Admin(order) => self.administer(*order),
            ToShard::Busy { room, said } => self.busy(room, said),
            ToShard::Direct {
                user,
                except,
                direct,
                bytes,
            } => self.directs.push(user, except, direct, bytes),
            ToShard::TypingTo { user, from } => {
                for session in self.holders(&user) {
                    self.reply(session, None, &Reply::TypingTo { from: from.clone() });
                }
            }
            ToShard::SystemTo { user, text } => {
                for session in self.holders(&user) {
                    self.reply(session, None, &Reply::System { text: text.clone() });
                }
            }
            ToShard::Claimed { name } => self.displace(name),
            ToShard::RoomsPart { gathering, rooms } => self.gathered(gathering, rooms),
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

    /// Appends an event to this shard's copy of its room's log.
    fn append(&mut self, event: Arc<RoomEvent>) {
        if let Some(origin) = event.origin
            && origin.session.shard() == self.me
            && let Happening::Talk(talk) = &event.happening
        {
            let position = Position {
                epoch: talk.epoch,
                seq: talk.seq,
            };
            self.acknowledge(origin.session, origin.id, position, talk.at);
        }
        let Some(&place) = self.room_places.get(&event.room) else {
            return;
        };
        self.guess_before_lapped(place, event.weight());
        let Some(room) = self.rooms.get_mut(place.index()) else {
            return;
        };
        let now = self.now.ms;
        let cap = self.settings.ring_bytes;
        if let Happening::Talk(talk) = &event.happening {
            room.epoch = talk.epoch;
        }
        self.ring_bytes += room.ring.push(event, now);
        self.ring_bytes -= room.ring.trim_to(cap);
        self.keep_budget();
        self.plan_flush(place, self.now.us);
        self.flush_if_full(place);
    }

    fn acknowledge(&mut self, session: SessionId, id: RequestId, position: Position, at: u64) {
        let dialect = self.dialect(session);
        if let Some(count) = dialect.and_then(|dialect| self.stats.talks.get_mut(usize::from(dialect))) {
            *count += 1;
        }
        if id.is_some() {
            self.reply(
                session,
                id,
                &Reply::Ack {
                    position,
                    at,
                    duplicate: false,
                },
            );
        }
        self.answered(session);
    }

    /// Takes bytes from other rooms' rings, one after the other, while all together have too many.
    pub(crate) fn keep_budget(&mut self) {
        let budget = self.settings.ring_budget;
        let mut looked_at = 0;
        while self.ring_bytes > budget && looked_at < limits::RINGS_SWEPT {
            let share = budget / self.rooms.len().max(1);
            self.sweep = if self.sweep + 1 >= self.rooms.capacity() {
                0
            } else {
                self.sweep + 1
            };
            if let Some(room) = self.rooms.get_mut(self.sweep) {
                self.ring_bytes -= room.ring.trim_to(share);
            }
            looked_at += 1;
        }
    }

    /// Forgets events that are too old for anybody to come back for.
    pub(crate) fn sweep_rings(&mut self) {
        let before = self.now.ms.saturating_sub(self.settings.ring_keep.as_millis() as u64);
        for _ in 0..limits::RINGS_SWEPT.min(self.rooms.capacity()) {
            self.sweep = if self.sweep + 1 >= self.rooms.capacity() {
                0
            } else {
                self.sweep + 1
            };
            if let Some(room) = self.rooms.get_mut(self.sweep) {
                self.ring_bytes -= room.ring.forget_before(before);
                if room.members.len() <= limits::RING_REST_MEMBERS && room.is_at_rest() {
                    self.ring_bytes -= room.ring.forget_told();
                }
            }
        }
    }

    fn show_one(&mut self, id: SessionId, event: &Arc<RoomEvent>) {
        if self.await_dialect_for(id, event) {
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        let Some(encoding) = connection.encoding() else { return };
        let name = connection.session.as_ref().map(|session| session.name.clone());
        let receiver = name.as_ref().map_or("", |name| local(name.as_str()));
        event
            .frames(encoding)
            .append_for(receiver, connection.outgoing().private());
        self.mark_dirty(id);
    }

    /// The session is a member: it sees what comes from here on.
    fn admit(
        &mut self,
        id: SessionId,
        request: RequestId,
        joined: Joined,
        lost: Vec<LostInterval>,
        resumed: Option<Box<Resumed>>,
    ) {
        let waits = self.waits_for_dialect(id);
        let Some(connection) = self.connection(id) else { return };
        let Some(session) = connection.session.as_mut() else {
            return;
        };
        session.joining.retain(|room| *room != joined.room);
        let Some(encoding) = connection.encoding() else { return };
        let place = match self.room_places.get(&joined.room) {
            Some(place) => *place,
            None => {
                let log = RoomLog::new(joined.room.clone(), joined.head, joined.history);
                let place = RoomSlot::new(self.rooms.insert(log));
                self.room_places.insert(joined.room.clone(), place);
                place
            }
        };
        let (Some(room), Some(connection)) = (self.rooms.get_mut(place.index()), self.connections.get_mut(id)) else {
            return;
        };
        let member = MemberSlot::new(room.members.len());
        self.members += 1;
        if room.members.len() < limits::MEMBERS_VECTOR {
            // Most rooms stay small.
            room.members.reserve_exact(1);
        }
        room.members.push(Member {
            connection: id.slot(),
            encoding,
            held: waits,
            cursor: room.ring.end(),
            seq: joined.head.seq,
        });
        connection.memberships.push(Membership {
            room: place,
            member,
            leaving: false,
        });
        self.welcome_member(id, request, joined, lost, resumed);
        self.go_on_with_deferred(id);
    }

    /// The home could not take the session in.
    fn join_refused(&mut self, id: SessionId, request: RequestId, room: &RoomName, refusal: Refusal) {
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
            session.joining.retain(|joining| joining != room);
        }
        self.refuse(id, request, refusal);
        self.answered(id);
    }

    /// This session as a member of a room.
    pub(crate) fn member(&mut self, id: SessionId, room: &RoomName) -> Option<&mut Member> {
        let place = self.room_places.get(room).copied()?;
        let connection = self.connections.get(id)?;
        let mut memberships = connection.memberships.iter();
        let membership = memberships.find(|membership| membership.room == place)?;
        let room = self.rooms.get_mut(place.index())?;
        room.members.get_mut(membership.member.index())
    }

    /// Holds a member back from the live events of its room until it has been given what it missed.
    pub(crate) fn hold(&mut self, id: SessionId, room: &RoomName) {
        if let Some(member) = self.member(id, room) {
            member.held = true;
        }
    }

    /// The session is no member any more: it still gets what happened before.
    fn dismiss(&mut self, id: SessionId, request: RequestId, name: &RoomName) {
        // Whoever goes is not given what it missed any more, but what happened meanwhile.
        self.guess_dialect(id);
        self.end_replay(id, name);
        let place = self.room_places.get(name).copied();
        let Some(connection) = self.connection(id) else { return };
        let membership = place.and_then(|place| {
            connection
                .memberships
                .iter()
                .find(|membership| membership.room == place)
                .copied()
        });
        let Some(membership) = membership else {
            self.answered(id);
            return;
        };
        if let Some(room) = self.rooms.get_mut(membership.room.index()) {
            room.leaving.push(Leaving {
                connection: id.slot(),
                until: room.ring.end(),
                seq: room.ring.head_seq(),
                id: request,
            });
        }
        self.close_ring(membership.room);
        if let Some(connection) = self.connection(id)
            && let Some(membership) = connection
                .memberships
                .iter_mut()
                .find(|other| other.room == membership.room)
        {
            membership.leaving = true;
        }
        if !self.connection(id).is_some_and(|connection| connection.blocked()) && self.catch_up(id) {
            self.wait_writable(id);
        }
    }

    /// A member on its way out has read everything: it goes.
    pub(crate) fn let_go(&mut self, id: SessionId, membership: Membership) {
        let Some(room) = self.rooms.get(membership.room.index()) else {
            return;
        };
        let name = room.name.clone();
        let request = room
            .leaving
            .iter()
            .find(|leaving| leaving.connection == id.slot())
            .and_then(|leaving| leaving.id);
        if let Some(connection) = self.connection(id) {
            connection.memberships.retain(|other| other.room != membership.room);
        }
        self.remove_member(membership);
        self.reply(id, request, &Reply::Left { room: name });
        self.answered(id);
    }

    /// The session leaves a room that it may not be in, as if it had asked; it may have left already.
    fn expelled(&mut self, id: SessionId, room: RoomName) {
        let place = self.room_places.get(&room).copied();
        let member = self.connection(id).is_some_and(|connection| {
            connection
                .memberships
                .iter()
                .any(|membership| Some(membership.room) == place && !membership.leaving)
        });
        if member {
            self.leave(id, None, room);
        }
    }

    /// The home gave a talk back.
    fn busy(&mut self, room: RoomName, said: Box<Utterance>) {
        let id = said.session;
        match self.busy_policy(id) {
            BusyPolicy::Tell => {
                let refusal = ErrorCode::Busy
                    .because("more talks of the room than may wait are on their way to its store or its members; say it again in a moment")
                    .retry_after(limits::BUSY_RETRY);
                self.reply(id, said.id, &Reply::Error(refusal));
            }
            BusyPolicy::Pause => {
                let now = self.now.ms;
                self.stats.paused += 1;
                if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
                    let held = session.held.get_or_insert_with(|| {
                        Box::new(Held {
                            since_ms: now,
                            retry_ms: 0,
                            talks: Vec::new(),
                            later: Vec::new(),
                        })
                    });
                    held.retry_ms = now + limits::BUSY_RETRY.as_millis() as u64;
                    held.talks.push((room, said));
                }
                self.schedule(id);
            }
        }
        self.answered(id);
    }

    /// Tries the talks again that a busy home gave back.
    pub(crate) fn retry_held(&mut self, id: SessionId) {
        let now = self.now.ms;
        let Some(connection) = self.connection(id) else { return };
        let underway = connection.underway;
        let Some(held) = connection.session.as_mut().and_then(|session| session.held.as_mut()) else {
            return;
        };
        if now < held.retry_ms {
            return;
        }
        if now.saturating_sub(held.since_ms) >= limits::BUSY_PAUSE.as_millis() as u64 {
            return self.goodbye(id, None, GoodbyeCode::Busy);
        }
        held.retry_ms = now + limits::BUSY_RETRY.as_millis() as u64;
        if underway > 0 {
            return;
        }
        let mut talks = std::mem::take(&mut held.talks);
        talks.append(&mut held.later);
        if talks.is_empty() {
            // All of them were taken.
            if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) {
                session.held = None;
            }
            return self.read_on(id);
        }
        let mut retry = Retry::First;
        for (room, said) in talks {
            let home = self.home_of(&room);
            if let Some(connection) = self.connection(id) {
                connection.underway += 1;
            }
            self.send(home, ToShard::Home(ToHome::Talk { room, said, retry }));
            retry = Retry::Held;
        }
    }

    fn gathered(&mut self, place: u32, rooms: Vec<crate::chat::RoomEntry>) {
        let Some(gathering) = self.gatherings.get_mut(place as usize) else {
            return;
        };
        gathering.rooms.extend(rooms);
        gathering.missing -= 1;
        if gathering.missing > 0 {
            return;
        }
        let mut gathering = self.gatherings.remove(place as usize);
        gathering.rooms.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let more = gathering.rooms.len() > gathering.limit;
        gathering.rooms.truncate(gathering.limit);
        let next = if more {
            gathering.rooms.last().map(|room| room.name.clone())
        } else {
            None
        };
        self.reply(
            gathering.session,
            gathering.id,
            &Reply::RoomPage {
                rooms: gathering.rooms,
                next,
            },
        );
        self.answered(gathering.session);
    }
}
