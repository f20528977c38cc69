//! Carries out the actions that the rules of a session decide ([`crate::shard::session::rules`]).

use crate::chat::{GoodbyeCode, Page, Position, Receiver, Request, RequestId, RoomName, SessionId, ShardId, Since};
use crate::shard::{
    bus::message::{RoomCommand, ToOwner, ToShard},
    connection::write::Socket,
    engine::{Clock, Engine},
    session::rules::Action,
    store::queries,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Carries out a request of this connection.
    pub(crate) fn request(&mut self, id: SessionId, request: Request) {
        let number = request.id;
        self.with_rules(id, number, |rules| rules.take(request));
    }

    pub(super) fn carry_out_action(&mut self, id: SessionId, request: RequestId, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Reply(reply) => self.reply(id, request, &reply),
            Action::Goodbye(code) => self.goodbye(id, request, code),
            Action::Hello(hello) => {
                let rooms = self.with_presence(|presence| presence.hello(id, request, hello));
                self.resume_rooms(id, rooms);
            }
            Action::Rename { name, key } => {
                self.with_presence(|presence| presence.rename(id, request, name, key));
            }
            Action::Room(room, command) => self.send_to_owner(room, command),
            Action::Rooms(commands) => {
                for (room, command) in commands {
                    self.send_to_owner(room, command);
                }
            }
            Action::Pair { to, message } => {
                let to = Receiver {
                    user: self.directory.user_named(&to),
                    name: to,
                };
                let owner = self.directory.owner_of_pair(&message.user, &to.user);
                self.bus.send(owner, ToShard::Owner(ToOwner::Pair { to, message }));
            }
            Action::ListRooms(page) => self.list_rooms(id, request, page),
            Action::Question(question) => {
                let (connections, rooms) = (&mut self.connections, &self.rooms);
                let is_member = |room: &RoomName| rooms.is_member(id, room);
                queries::ask(
                    connections,
                    &mut self.store,
                    &self.directory,
                    &is_member,
                    (id, request),
                    question,
                    self.now,
                );
                self.process_notifications();
            }
            Action::TypingTo { user, from } => {
                let user = self.directory.user_named(&user);
                for shard in self.directory.shards_of(&user) {
                    let (user, from) = (user.clone(), from.clone());
                    self.bus.send(shard, ToShard::TypingTo { user, from });
                }
            }
            Action::Watch(user) => {
                let user = self.directory.user_named(&user);
                let Some(session) = self
                    .connections
                    .get_mut(id)
                    .and_then(|connection| connection.session_mut())
                else {
                    return;
                };
                if let Some(before) = session.watch(user.clone()) {
                    self.directory.unwatch(&before, id);
                }
                self.directory.watch(&user, id);
            }
            Action::Exit(leaves) => {
                for (room, leave) in leaves {
                    self.send_to_owner(room, leave);
                }
                self.exit_if_done(id);
                self.connections.schedule(id, self.now);
            }
            Action::ScheduleRetry => {
                self.connections.counts().backpressured += 1;
                self.connections.schedule(id, self.now);
            }
            Action::ReadOn => self.read_on(id),
        }
    }

    /// Joins the rooms that a new session resumes, with the positions that its client brought.
    pub(super) fn resume_rooms(&mut self, id: SessionId, rooms: Option<Vec<(RoomName, Position)>>) {
        for (room, position) in rooms.into_iter().flatten() {
            self.with_rules(id, None, |rules| rules.join(None, room, Since::Position(position)));
        }
    }

    /// Carries out the deferred requests that need not wait any more.
    pub(super) fn continue_deferred(&mut self, id: SessionId) {
        while let Some((request, action)) = self.rules(id).and_then(|mut rules| rules.next_deferred()) {
            self.carry_out_action(id, request, action);
        }
    }

    /// Ends a session whose exit is complete.
    pub(super) fn exit_if_done(&mut self, id: SessionId) {
        if let Some(request) = self.rules(id).and_then(|rules| rules.may_end()) {
            self.goodbye(id, request, GoodbyeCode::Exit);
        }
    }

    pub(super) fn send_to_owner(&mut self, room: RoomName, command: RoomCommand) {
        let owner = self.directory.owner_of(room.as_str());
        self.bus.send(owner, ToShard::Owner(ToOwner::Room { room, command }));
    }

    /// Asks all shards for their part of the list of rooms.
    fn list_rooms(&mut self, id: SessionId, request: RequestId, page: Page) {
        let shards = self.directory.shards();
        let listing = self.owner.listings().begin(id, request, page.limit, shards);
        for to in 0..shards {
            let part = ToOwner::Rooms {
                shard: self.me,
                listing,
                after: page.after.clone(),
                limit: page.limit,
            };
            self.bus.send(ShardId(to as u16), ToShard::Owner(part));
        }
    }
}
