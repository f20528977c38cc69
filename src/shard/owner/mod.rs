//! This shard as the owner of rooms and of pairs of users: the one place that orders their events.
//!
//! [`Owner`] turns commands into [`Effects`]. The engine carries them out, in order, before the next command. `direct` has the
//! rules for direct messages, and `operator` those for the operator.
//!
//! Invariants:
//! - Commands for a room that is being opened wait, in order, until the store has answered with the head of its log.
//! - Messages of one sender never overtake each other: once the owner has returned one with `busy`, it returns the later ones
//!   too, until the first one comes again.
//! - The observer sees every message of a room once, after it is numbered.
//!
//! The owner sends nothing, neither to shards nor to connections.

mod direct;
mod listing;
mod opening;
mod operator;
mod pairs;
mod postponed;

use std::{net::SocketAddr, rc::Rc};

use smallvec::smallvec;

use crate::{
    chat::{
        Backlog, ChatMessage, Effect, Effects, ErrorCode, Happening, ListOrder, LogHead, NewMessage, OwnedRooms,
        Refusal, Reply, Retry, RoomEntry, RoomName, RoomScope, SendOutcome, SessionId,
    },
    shard::{
        bus::{directory::Directory, message::RoomCommand},
        settings::ShardSettings,
        store::{port::StorePort, refusals, returned::AppendResult},
    },
};
use listing::Listings;
use opening::{Opening, Parked};
use pairs::Pairs;
use postponed::PostponedSenders;

/// Sees every message of the rooms that a shard owns, for the message log. It never sees direct messages.
pub(crate) trait Observer {
    fn talk(&self, room: &RoomName, message: &ChatMessage);
}

/// This shard as an owner.
pub(crate) struct Owner {
    rooms: OwnedRooms,
    pairs: Pairs,
    postponed: PostponedSenders,
    opening: Opening,
    listings: Listings,
    observer: Rc<dyn Observer>,
}

/// What the owner needs to decide about a command.
pub(crate) struct Conditions<'a> {
    /// Unix milliseconds.
    pub(crate) now_ms: u64,
    /// Whether too many messages wait for the inboxes of other shards.
    pub(crate) is_congested: &'a dyn Fn() -> bool,
    pub(crate) directory: &'a Directory,
    /// Limit of in-flight event bytes to one shard, and of in-flight bytes of direct messages.
    pub(crate) most_bytes: usize,
    pub(crate) store: &'a mut StorePort,
}

impl Conditions<'_> {
    /// Whether the owner returns messages of rooms with `busy`.
    fn are_busy(&self) -> bool {
        (self.is_congested)() || self.directory.events.most() > self.most_bytes
    }
}

impl Owner {
    pub(crate) fn new(settings: &ShardSettings, observer: Rc<dyn Observer>, seed: u64) -> Self {
        Self {
            rooms: OwnedRooms::new(settings.rooms, seed).with_access(settings.access.clone()),
            pairs: Pairs::new(seed ^ 1),
            postponed: PostponedSenders::default(),
            opening: Opening::default(),
            listings: Listings::default(),
            observer,
        }
    }

    /// Carries out a command about a room.
    pub(crate) fn handle(&mut self, room: RoomName, command: RoomCommand, conditions: &mut Conditions<'_>) -> Effects {
        self.handle_with(room, command, None, conditions)
    }

    /// `backlog` is what the store read for this command if it opened the room.
    fn handle_with(
        &mut self,
        room: RoomName,
        command: RoomCommand,
        backlog: Option<Backlog>,
        conditions: &mut Conditions<'_>,
    ) -> Effects {
        let (room, command) = if self.rooms.knows(&room) {
            (room, command)
        } else {
            let is_durable = |room: &RoomName| conditions.store.is_durable(room);
            match self.opening.park(room, command, &is_durable) {
                Parked::No(room, command) => (room, command),
                Parked::Waits => return Effects::new(),
                Parked::Opens(room, resume) => {
                    let asked = conditions.store.open(&room, resume);
                    return if asked {
                        Effects::new()
                    } else {
                        self.not_opened(&room, &refusals::busy())
                    };
                }
            }
        };
        let now = conditions.now_ms;
        match command {
            RoomCommand::Join { arrival, id, since } => self.rooms.join(&room, *arrival, id, since, backlog, now),
            RoomCommand::Leave { session, how, id } => {
                self.postponed.leave(session, &room);
                self.rooms.leave(&room, session, how, id, now)
            }
            RoomCommand::Talk { message, retry } => self.talk(room, message, retry, conditions),
            RoomCommand::Rename { session, name } => self.rooms.rename(&room, session, name, now),
            RoomCommand::Describe {
                session,
                sees_own_leave,
                lists,
            } => self
                .rooms
                .describe_member(&room, session, sees_own_leave, lists, now)
                .into_iter()
                .collect(),
            RoomCommand::SetTopic { session, id, topic } => self.rooms.set_topic(&room, session, id, topic),
            RoomCommand::System { text } => self.rooms.system(&room, text).into_iter().collect(),
            RoomCommand::Typing { session } => self.rooms.typing(&room, session).into_iter().collect(),
            RoomCommand::Users { session, id, page } => smallvec![self.rooms.users(&room, session, id, &page, now)],
        }
    }

    fn talk(
        &mut self,
        room: RoomName,
        message: Box<NewMessage>,
        retry: Retry,
        conditions: &mut Conditions<'_>,
    ) -> Effects {
        let session = message.session;
        if !self.postponed.passes(session, retry) || conditions.are_busy() {
            if self.rooms.has(&room, session) {
                self.postponed.note(session, &room, retry);
            }
            return smallvec![Effect::busy(room, message)];
        }
        match self.rooms.talk(&room, message, conditions.now_ms) {
            SendOutcome::Done(effects) => {
                self.observe(&effects);
                effects
            }
            SendOutcome::ToStore(message) => match conditions.store.append(room.clone(), message, conditions.now_ms) {
                Ok(()) => Effects::new(),
                Err(message) => {
                    self.postponed.note(session, &room, retry);
                    smallvec![self.rooms.store_was_full(&room, message)]
                }
            },
        }
    }

    /// Handles the store's answer for a message of a room.
    #[expect(clippy::boxed_local, reason = "the history hands messages over in boxes")]
    pub(crate) fn returned(&mut self, room: &RoomName, message: Box<NewMessage>, result: AppendResult) -> Effects {
        match result {
            AppendResult::Stored { position, prev, at } => {
                let effects = self.rooms.committed(room, *message, position, prev, at);
                self.observe(&effects);
                effects
            }
            AppendResult::NotStored(reply) => self.rooms.rejected(room, message.session, message.id, reply),
        }
    }

    /// Handles the store's answer for a room that is being opened: carries out the waiting commands, or refuses them. The backlog
    /// belongs to the first command, a join.
    pub(crate) fn opened(
        &mut self,
        room: &RoomName,
        answer: Result<(LogHead, Option<Backlog>), Refusal>,
        conditions: &mut Conditions<'_>,
    ) -> Effects {
        let (head, mut backlog) = match answer {
            Ok(opened) => opened,
            Err(refusal) => return self.not_opened(room, &refusal),
        };
        self.rooms.open_stored(room, head);
        let mut effects = Effects::new();
        for command in self.opening.take(room) {
            effects.extend(self.handle_with(room.clone(), command, backlog.take(), conditions));
        }
        effects
    }

    fn not_opened(&mut self, room: &RoomName, refusal: &Refusal) -> Effects {
        let parked = self.opening.take(room);
        let refused = parked.into_iter().filter_map(|command| refuse(command, room, refusal));
        refused.collect()
    }

    /// Greets a connection with the list of the lobby.
    pub(crate) fn greet(&mut self, session: SessionId, peer: SocketAddr, now_ms: u64) -> Effects {
        let users = self.rooms.roster(&RoomName::lobby(), ListOrder::Arrival, now_ms);
        smallvec![Effect::answer(session, None, Reply::Greeting { peer, users })]
    }

    /// The first `limit` + 1 rooms after this name, sorted by name. The extra one shows the caller that the list is not complete.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Vec<RoomEntry> {
        self.rooms.rooms(RoomScope::Common, after, limit + 1)
    }

    pub(crate) fn listings(&mut self) -> &mut Listings {
        &mut self.listings
    }

    #[cfg(test)]
    pub(crate) fn rooms(&mut self) -> &mut OwnedRooms {
        &mut self.rooms
    }

    pub(crate) fn open_rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The presence digests and lists that are due.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Effects {
        self.rooms.tick(now_ms)
    }

    fn observe(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Broadcast {
                room,
                happening: Happening::Message(message),
                ..
            } = effect
            {
                self.observer.talk(room, message);
            }
        }
    }
}

#[cfg(test)]
impl Owner {
    /// Checks that nothing waits, and that only `live` sessions have postponed messages.
    pub(crate) fn check_rest(&self, live: impl Fn(SessionId) -> bool) {
        assert!(self.listings.is_empty());
        assert!(self.postponed.sessions().all(live));
    }

    pub(crate) fn rooms_being_opened(&self) -> usize {
        self.opening.len()
    }
}

/// The answer to a command for a room that could not be opened.
fn refuse(command: RoomCommand, room: &RoomName, refusal: &Refusal) -> Option<Effect> {
    match command {
        RoomCommand::Join { arrival, id, .. } => Some(Effect::refuse_join(arrival.session, id, room, refusal.clone())),
        // The join before it in the queue was refused, so the session is not in the room.
        RoomCommand::Leave { session, id, .. } if id.is_some() => {
            let refusal = ErrorCode::NotMember.because(format!("this session is not in the room {room}"));
            Some(Effect::answer(session, id, Reply::Error(refusal)))
        }
        RoomCommand::Leave { session, id, .. } => Some(Effect::dismiss(session, id, room)),
        RoomCommand::Talk { message, .. } => Some(Effect::answer(
            message.session,
            message.id,
            Reply::Error(refusal.clone()),
        )),
        RoomCommand::SetTopic { session, id, .. } | RoomCommand::Users { session, id, .. } => {
            Some(Effect::answer(session, id, Reply::Error(refusal.clone())))
        }
        RoomCommand::Rename { .. }
        | RoomCommand::Describe { .. }
        | RoomCommand::Typing { .. }
        | RoomCommand::System { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chat::{SessionTag, ShardId, Since, ToSession};
    use crate::shard::{
        bus::directory::OwnerKey,
        testing::{
            Listener, start_store,
            values::{arrival, name, session},
        },
    };

    fn owner() -> (Owner, Rc<Listener>) {
        let seen = Rc::new(Listener::default());
        (Owner::new(&ShardSettings::default(), seen.clone(), 1), seen)
    }

    fn join() -> RoomCommand {
        let (arrival, id, since) = (arrival(), None, Since::Now);
        RoomCommand::Join { arrival, id, since }
    }

    fn talk(text: &str, retry: Retry) -> RoomCommand {
        let message = Box::new(NewMessage::new(session(0), name("ada"), SessionTag(1), text.into()));
        RoomCommand::Talk { message, retry }
    }

    fn under<R>(is_congested: bool, store: &mut StorePort, act: impl FnOnce(&mut Conditions<'_>) -> R) -> R {
        act(&mut Conditions {
            now_ms: 1_000,
            is_congested: &|| is_congested,
            directory: &Directory::new(1, OwnerKey::fixed(7), 1),
            most_bytes: 1_000,
            store,
        })
    }

    fn handle(owner: &mut Owner, command: RoomCommand, is_congested: bool, store: &mut StorePort) -> Effects {
        under(is_congested, store, |conditions| {
            owner.handle(RoomName::lobby(), command, conditions)
        })
    }

    fn is_given_back(effects: &[Effect]) -> bool {
        matches!(
            effects,
            [Effect::Session {
                what: ToSession::Busy { .. },
                ..
            }]
        )
    }

    #[test]
    fn a_busy_owner_keeps_the_order_of_a_senders_messages_and_the_observer_sees_each_once() {
        let (mut owner, seen) = owner();
        let mut store = StorePort::without_store(ShardId(0));
        let mut handle = |command, is_busy| handle(&mut owner, command, is_busy, &mut store);
        handle(join(), false);
        assert!(is_given_back(&handle(talk("one", Retry::InOrder), true)));
        assert!(is_given_back(&handle(talk("two", Retry::InOrder), false)));
        handle(talk("one", Retry::First), false);
        handle(talk("two", Retry::InOrder), false);
        let seen = seen.0.borrow();
        assert!(seen.iter().map(|(_, message)| &*message.text).eq(["one", "two"]));
    }

    #[test]
    fn commands_wait_while_a_room_is_opened_and_are_refused_if_the_store_fails() {
        let (mut owner, seen) = owner();
        let (history, _outcomes, _dir) = start_store(|head| head + 1);
        let mut store = StorePort::new(ShardId(0), history, Arc::new(|_| true), 1);
        let nothing: Effects = Effects::new();
        assert_eq!(handle(&mut owner, join(), false, &mut store), nothing);
        assert_eq!(
            handle(&mut owner, talk("one", Retry::Never), false, &mut store),
            nothing
        );
        assert_eq!((store.in_flight(), owner.rooms_being_opened()), (1, 1));
        let open = |owner: &mut Owner, store: &mut StorePort, answer| {
            under(false, store, |conditions| {
                owner.opened(&RoomName::lobby(), answer, conditions)
            })
        };
        let fails = ErrorCode::StoreFailed.because("on purpose");
        let refused = open(&mut owner, &mut store, Err(fails));
        assert!(matches!(
            refused[..],
            [
                Effect::Session {
                    what: ToSession::RefuseJoin { .. },
                    ..
                },
                Effect::Session {
                    what: ToSession::Reply { .. },
                    ..
                }
            ]
        ));
        assert_eq!((owner.open_rooms(), owner.rooms_being_opened()), (0, 0));
        // The next join asks again. The store has room for one of the two messages behind it.
        assert_eq!(handle(&mut owner, join(), false, &mut store), nothing);
        for text in ["one", "two"] {
            handle(&mut owner, talk(text, Retry::InOrder), false, &mut store);
        }
        let effects = open(&mut owner, &mut store, Ok((LogHead::default(), None)));
        assert!(is_given_back(&effects[effects.len() - 1..]), "{effects:?}");
        assert_eq!((owner.open_rooms(), owner.rooms_being_opened()), (1, 0));
        assert_eq!((store.in_flight(), seen.0.borrow().len()), (3, 0));
    }
}
