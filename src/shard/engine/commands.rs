//! Carries out what the rules of a session decide ([`crate::shard::session::rules`]): it sends commands to owners, asks the store,
//! and keeps the directory.

use crate::chat::{
    Conversation, GoodbyeCode, Hello, Page, Reply, Request, RequestId, RoomName, SessionId, ShardId, Since, Welcome,
};
use crate::shard::{
    bus::message::{RoomCommand, ToOwner, ToShard},
    connection::{
        session::{Proof, Session},
        write::Socket,
    },
    engine::{Clock, Engine},
    session::rules::{Action, Rules},
    store::{hello::NewName, queries},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Carries out a request of this connection.
    pub(crate) fn request(&mut self, id: SessionId, request: Request) {
        let asked = request.id;
        self.act(id, asked, |rules| rules.take(request));
    }

    /// Carries out what the rules decide about a connection.
    pub(crate) fn act(&mut self, id: SessionId, request: RequestId, decide: impl FnOnce(&mut Rules<'_, S>) -> Action) {
        if let Some(mut rules) = self.rules(id) {
            let action = decide(&mut rules);
            self.carry_out_action(id, request, action);
        }
    }

    pub(crate) fn rules(&mut self, id: SessionId) -> Option<Rules<'_, S>> {
        let (connection, profiles) = self.connections.with_profiles(id)?;
        Some(Rules {
            id,
            connection,
            rooms: &mut self.rooms,
            profiles,
            settings: &self.settings,
            now: self.now,
        })
    }

    fn carry_out_action(&mut self, id: SessionId, request: RequestId, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Reply(reply) => self.reply(id, request, &reply),
            Action::Goodbye(code) => self.goodbye(id, request, code),
            Action::Hello(hello) => self.hello(id, request, hello),
            Action::Rename { name, key } => self.rename_request(id, request, name, key),
            Action::Room(room, command) => self.command(room, command),
            Action::Rooms(commands) => {
                for (room, command) in commands {
                    self.command(room, command);
                }
            }
            Action::Pair { to, message } => {
                let owner = self.directory.owner_of_pair(&message.from, &to);
                self.send(owner, ToShard::Owner(ToOwner::Pair { to, message }));
            }
            Action::ListRooms(page) => self.list_rooms(id, request, page),
            Action::Question(question) => {
                let (connections, is_member) =
                    (&mut self.connections, &|room: &RoomName| self.rooms.is_member(id, room));
                queries::ask(
                    connections,
                    &mut self.store,
                    is_member,
                    (id, request),
                    question,
                    self.now,
                );
                self.process_notifications();
            }
            Action::TypingTo { user, from } => {
                for shard in self.directory.clone().shards_of(&user) {
                    let (user, from) = (user.clone(), from.clone());
                    self.send(shard, ToShard::TypingTo { user, from });
                }
            }
            Action::Watch { user, before } => {
                if let Some(before) = before {
                    self.directory.unwatch(&before, id);
                }
                self.directory.watch(&user, id);
            }
            Action::Exit(leaves) => {
                for (room, leave) in leaves {
                    self.command(room, leave);
                }
                self.exit_if_done(id);
                self.schedule(id);
            }
            Action::ScheduleRetry => {
                self.connections.counts().backpressured += 1;
                self.schedule(id);
            }
            Action::ReadOn => self.read_on(id),
        }
    }

    /// A request is done: goes on with what waited for it.
    pub(crate) fn go_on_with_deferred(&mut self, id: SessionId) {
        while let Some((request, action)) = self.rules(id).and_then(|mut rules| rules.next_deferred()) {
            self.carry_out_action(id, request, action);
        }
    }

    /// Ends an exiting session that is done.
    pub(crate) fn exit_if_done(&mut self, id: SessionId) {
        if let Some(request) = self.rules(id).and_then(|rules| rules.may_end()) {
            self.goodbye(id, request, GoodbyeCode::Exit);
        }
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
            self.send(ShardId(to as u16), ToShard::Owner(part));
        }
    }

    /// A session has its name: it is welcome, and goes on where it was. A name that was assigned is registered already.
    pub(crate) fn enter(&mut self, id: SessionId, request: RequestId, hello: Hello, taken: NewName) {
        let NewName {
            name,
            proof,
            key,
            notice,
        } = taken;
        let tag = self.directory.tag();
        let now = self.now;
        let Some(heartbeat) = self.connections.profile(id).map(|profile| profile.ping_every) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(peer) = connection.speaking().map(|speaking| speaking.peer) else {
            return;
        };
        let welcome = Welcome {
            session: tag,
            name: name.clone(),
            key,
            heartbeat,
            at: now.unix_ms,
            peer,
        };
        connection.enter(Session::new(name.clone(), proof, tag, hello.client, now.ms));
        // Registered first, and its inbox read then: a message in between reaches it either way.
        if proof != Proof::Assigned {
            self.directory.enter(&name, id);
        }
        self.reply(id, request, &Reply::Welcome(Box::new(welcome)));
        let mut known = Vec::new();
        for resume in hello.resume {
            match resume.conversation {
                Conversation::Room(room) => {
                    self.act(id, None, |rules| {
                        rules.join(None, room, Since::Position(resume.position))
                    });
                }
                Conversation::Peer(peer) => known.push((peer, resume.position)),
            }
        }
        self.with_inboxes(|inboxes, parts| inboxes.begin(id, known, parts));
        self.schedule(id);
        if let Some(notice) = notice {
            self.reply(id, None, &notice);
        }
    }

    /// A session takes this name. One that was assigned is registered already.
    pub(crate) fn rename(&mut self, id: SessionId, request: RequestId, taken: NewName) {
        let NewName {
            name,
            proof,
            key,
            notice,
        } = taken;
        // The store has been asked for the name: another connection may stand here by now.
        let Some(session) = self.session(id) else { return };
        let tag = session.tag();
        let renamed = session.rename(name.clone(), proof);
        if renamed.old != name {
            self.inboxes.renamed(id);
            self.directory.exit(&renamed.old, id);
            if proof != Proof::Assigned {
                self.directory.enter(&name, id);
            }
            self.tell_watchers(&renamed.old);
            for room in self.rooms.rooms_of(id) {
                let (session, name) = (id, name.clone());
                self.command(room, RoomCommand::Rename { session, name });
            }
        }
        let reply = Reply::Renamed {
            old: renamed.old,
            new: name,
            session: tag,
            key,
        };
        self.reply(id, request, &reply);
        if renamed.inbox_is_new {
            self.with_inboxes(|inboxes, parts| inboxes.begin(id, Vec::new(), parts));
        }
        if let Some(notice) = notice {
            self.reply(id, None, &notice);
        }
    }

    /// The session leaves a room that it may not be in, as if it had asked; it may have left already.
    pub(crate) fn expelled(&mut self, id: SessionId, room: RoomName) {
        if self.rooms.is_member(id, &room) {
            self.act(id, None, |rules| rules.leave(None, room));
        }
    }
}
