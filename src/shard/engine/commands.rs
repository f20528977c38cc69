//! From messages to commands: what each command of a session begins.

use std::sync::Arc;

use crate::shard::{
    bus::message::{RoomCommand, ToOwner, ToShard},
    connection::held_back::HeldBack,
    connection::session::Proof,
    connection::session::Session,
    connection::write::Socket,
    engine::{Clock, Engine},
    rate_limit::Gcra,
    room::outcome::JoinRefusal,
    store::queries::Question,
};
use crate::{
    chat::{
        Arrival, Command, Conversation, Departure, ErrorCode, GoodbyeCode, Hello, Key, NameFault, Page, Reply, Request,
        RequestId, Retry, RoomName, SessionId, ShardId, Since, TalkKind, UserName, Utterance, Welcome,
    },
    codec::{BusyPolicy, DialectId, Reach},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Carries out a request of this connection.
    pub(crate) fn request(&mut self, id: SessionId, Request { id: request, command }: Request) {
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        if let Some(speaking) = connection.speaking()
            && self.profiles[usize::from(speaking.dialect)].reach == Reach::Common
            && command.marked_name().is_some()
        {
            return self.refuse(id, request, NameFault::Marked.into());
        }
        // Asking for nothing is not saying something, except where heartbeats are messages of the dialect.
        let heartbeats_count = connection
            .speaking()
            .is_some_and(|speaking| self.profiles[usize::from(speaking.dialect)].silent_after.is_some());
        let Some(session) = connection.session_mut() else {
            return match command {
                Command::Hello(hello) => self.hello(id, request, hello),
                Command::Ping => self.ping(id, request),
                Command::Exit => self.goodbye(id, request, GoodbyeCode::Exit),
                // Never answered. It comes behind a login of `action` that was refused.
                Command::Watch { .. } => {}
                _ => self.refuse(
                    id,
                    request,
                    ErrorCode::NoHello.because("say hello first: a session needs a name"),
                ),
            };
        };
        if heartbeats_count || !matches!(command, Command::Ping | Command::Typing { .. }) {
            session.said_ms = now;
        }
        if let Some(rate) = self.settings.message_rate.get()
            && command.is_said()
        {
            session.rate.count(rate, self.now.us);
        }
        if let Some(request) = self.defer(id, Request { id: request, command }) {
            self.carry_out_request(id, request);
        }
    }

    /// Carries out a request of a named session for which nothing before it has to be waited for.
    pub(crate) fn carry_out_request(&mut self, id: SessionId, Request { id: request, command }: Request) {
        match command {
            Command::Hello(_) => {
                let refusal = ErrorCode::HelloAgain.because("this session has a name already; use rename to change it");
                self.refuse(id, request, refusal);
            }
            Command::Join { room, since } => self.join(id, request, room, since),
            Command::Leave { room } => self.leave(id, request, room),
            Command::Talk { room, text, kind, key } => self.talk(id, request, room, text, kind, key),
            Command::Direct { to, text, kind, key } => self.direct(id, request, to, text, kind, key),
            Command::Users { room, page } => {
                self.ask_owner(
                    id,
                    room,
                    RoomCommand::Users {
                        session: id,
                        id: request,
                        page,
                    },
                );
            }
            Command::Rooms { page } => self.list_rooms(id, request, page),
            Command::SetTopic { room, topic } => {
                self.ask_owner(
                    id,
                    room,
                    RoomCommand::SetTopic {
                        session: id,
                        id: request,
                        topic,
                    },
                );
            }
            Command::Rename { name, key } => self.rename_request(id, request, name, key),
            Command::History {
                conversation,
                before,
                after,
                limit,
            } => {
                self.question(
                    id,
                    request,
                    Question::History {
                        conversation,
                        before,
                        after,
                        limit,
                    },
                );
            }
            Command::Search {
                conversation,
                text,
                before,
                limit,
            } => {
                self.question(
                    id,
                    request,
                    Question::Search {
                        conversation,
                        text,
                        before,
                        limit,
                    },
                );
            }
            Command::Read { conversation, seq } => self.question(id, request, Question::Read { conversation, seq }),
            Command::Unread => self.question(id, request, Question::Unread),
            Command::Typing { conversation } => self.typing(id, conversation),
            Command::Watch { user } => self.watch_peer(id, user),
            Command::Ping => self.ping(id, request),
            Command::Exit => self.exit(id, request),
        }
    }

    /// A session has its name: it is welcome, and goes on where it was. A name that was assigned is registered already.
    pub(crate) fn enter(&mut self, id: SessionId, request: RequestId, hello: Hello, name: UserName, proof: Proof) {
        let tag = self.directory.tag();
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(speaking) = connection.speaking() else {
            return;
        };
        let heartbeat = self.profiles[usize::from(speaking.dialect)].ping_every;
        let peer = speaking.peer;
        connection.enter(Session {
            name: name.clone(),
            tag,
            client: hello.client.map(Box::new),
            said_ms: now.ms,
            typed_ms: 0,
            rate: Gcra::default(),
            exiting: None,
            deferred: None,
            peer: None,
            proof,
            inbox: None,
            held: None,
        });
        // Registered first, and its inbox read then: a message in between reaches it either way.
        if proof != Proof::Assigned {
            self.directory.enter(&name, id);
        }
        let welcome = Welcome {
            session: tag,
            name,
            key: hello.key.filter(|_| proof == Proof::Key),
            heartbeat,
            at: now.unix_ms,
            peer,
        };
        self.reply(id, request, &Reply::Welcome(Box::new(welcome)));
        let mut known = Vec::new();
        for resume in hello.resume {
            match resume.conversation {
                Conversation::Room(room) => self.join(id, None, room, Since::Position(resume.position)),
                Conversation::Peer(peer) => known.push((peer, resume.position)),
            }
        }
        if self.reads_inbox(id) {
            self.read_inbox(id, known);
        }
        self.schedule(id);
    }

    pub(crate) fn join(&mut self, id: SessionId, request: RequestId, room: RoomName, since: Since) {
        let most = self.settings.rooms_per_session;
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        let (Some(session), Some(speaking)) = (connection.session(), connection.speaking()) else {
            return;
        };
        let since = match since {
            Since::Now if self.settings.legacy_history > 0 && speaking.dialect != DialectId::Native => {
                Since::Last(self.settings.legacy_history)
            }
            since => since,
        };
        if let Err(refusal) = self.rooms.ask_to_join(id, &room, most) {
            let refusal = match refusal {
                JoinRefusal::AlreadyMember => {
                    ErrorCode::AlreadyMember.because(format!("this session is in the room {room} already"))
                }
                JoinRefusal::TooMany(count) => ErrorCode::TooManyRooms.because(format!(
                    "this session is in {count} rooms; at most {most} are allowed: leave one first"
                )),
            };
            return self.refuse(id, request, refusal);
        }
        let profile = &self.profiles[usize::from(speaking.dialect)];
        let arrival = Box::new(Arrival {
            session: id,
            user: session.name.clone(),
            tag: session.tag,
            sees_own_coming: profile.sees_own_coming,
            sees_own_going: profile.sees_own_going,
            lists: speaking.codec.lists(),
        });
        self.ask_owner(
            id,
            room,
            RoomCommand::Join {
                arrival,
                id: request,
                since,
            },
        );
    }

    pub(crate) fn leave(&mut self, id: SessionId, request: RequestId, room: RoomName) {
        if !self.rooms.ask_to_leave(id, &room) {
            let refusal = ErrorCode::NotMember.because(format!("this session is not in the room {room}"));
            return self.refuse(id, request, refusal);
        }
        self.ask_owner(
            id,
            room,
            RoomCommand::Leave {
                session: id,
                how: Departure::Said,
                id: request,
            },
        );
    }

    pub(crate) fn talk(
        &mut self,
        id: SessionId,
        request: RequestId,
        room: RoomName,
        text: Arc<str>,
        kind: TalkKind,
        key: Option<Key>,
    ) {
        let Some(said) = self.utterance(id, request, text, kind, key) else {
            return;
        };
        let pauses = self.busy_policy(id) == BusyPolicy::Pause;
        if let Some(held) = self.held(id) {
            held.push(room, said);
            return;
        }
        let retry = if pauses { Retry::Held } else { Retry::Never };
        self.ask_owner(id, room, RoomCommand::Talk { said, retry });
    }

    pub(crate) fn direct(
        &mut self,
        id: SessionId,
        request: RequestId,
        to: UserName,
        text: Arc<str>,
        kind: TalkKind,
        key: Option<Key>,
    ) {
        let Some(said) = self.utterance(id, request, text, kind, key) else {
            return;
        };
        let owner = self.directory.owner_of_pair(&said.from, &to);
        self.ask(id, owner, ToOwner::Pair { to, said });
    }

    pub(crate) fn utterance(
        &mut self,
        id: SessionId,
        request: RequestId,
        text: Arc<str>,
        kind: TalkKind,
        key: Option<Key>,
    ) -> Option<Box<Utterance>> {
        let connection = self.connection(id)?;
        let echo = connection.speaking().and_then(|speaking| speaking.codec.echo(request));
        let session = connection.session()?;
        Some(Box::new(Utterance {
            session: id,
            id: request,
            from: session.name.clone(),
            tag: session.tag,
            client: session.client.as_deref().copied(),
            text,
            kind,
            key,
            echo,
        }))
    }

    /// Asks all shards for their part of the list of rooms.
    pub(crate) fn list_rooms(&mut self, id: SessionId, request: RequestId, page: Page) {
        let shards = self.directory.shards();
        let listing = self.owner.listings().begin(id, request, page.limit, shards);
        if let Some(connection) = self.connection(id) {
            connection.underway += 1;
        }
        let (shard, limit) = (self.me, page.limit);
        for to in 0..shards {
            let part = ToOwner::Rooms {
                shard,
                listing,
                after: page.after.clone(),
                limit,
            };
            self.send(ShardId(to as u16), ToShard::Owner(part));
        }
    }

    /// A session takes this name. One that was assigned is registered already; `key` is what it has just been claimed with.
    pub(crate) fn rename(
        &mut self,
        id: SessionId,
        request: RequestId,
        name: UserName,
        proof: Proof,
        key: Option<String>,
    ) {
        // The store has been asked for the name: another connection may stand here by now.
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(session) = connection.session_mut() else {
            return;
        };
        let old = std::mem::replace(&mut session.name, name.clone());
        let tag = session.tag;
        let had = std::mem::replace(&mut session.proof, proof);
        if old != name {
            // The inbox of a name is for those who bear it. What was not given yet stays unread.
            if let Some(inbox) = &mut session.inbox {
                inbox.renamed();
            }
        }
        let rooms = self.rooms.rooms_of(id);
        if old != name {
            self.directory.exit(&old, id);
            if proof != Proof::Assigned {
                self.directory.enter(&name, id);
            }
            self.tell_watchers(&old);
            for room in rooms {
                self.command(
                    room,
                    RoomCommand::Rename {
                        session: id,
                        name: name.clone(),
                    },
                );
            }
        }
        // Who claims a name that the server chose begins to own what is stored for it.
        let begins = old != name || had == Proof::Assigned;
        self.reply(
            id,
            request,
            &Reply::Renamed {
                old,
                new: name,
                session: tag,
                key,
            },
        );
        if begins && self.reads_inbox(id) {
            self.read_inbox(id, Vec::new());
        }
    }

    pub(crate) fn typing(&mut self, id: SessionId, conversation: Conversation) {
        let now = self.now.ms;
        let Some(session) = self.connection(id).and_then(|connection| connection.session_mut()) else {
            return;
        };
        if session.typed_ms != 0 && now < session.typed_ms + limits::TYPING_EVERY.as_millis() as u64 {
            return;
        }
        session.typed_ms = now;
        let from = session.name.clone();
        match conversation {
            Conversation::Room(room) => {
                self.command(room, RoomCommand::Typing { session: id });
            }
            Conversation::Peer(user) => {
                let directory = self.directory.clone();
                for shard in directory.whereabouts(&user) {
                    self.send(
                        shard,
                        ToShard::TypingTo {
                            user: user.clone(),
                            from: from.clone(),
                        },
                    );
                }
            }
        }
    }

    pub(crate) fn watch_peer(&mut self, id: SessionId, user: UserName) {
        let directory = self.directory.clone();
        let old = self
            .connection(id)
            .and_then(|connection| connection.session_mut())
            .and_then(|session| session.peer.replace(user.clone()));
        if let Some(old) = old {
            directory.unwatch(&old, id);
        }
        directory.watch(&user, id);
    }

    pub(crate) fn ping(&mut self, id: SessionId, request: RequestId) {
        let at = self.now.unix_ms;
        self.reply(id, request, &Reply::Pong { at });
    }

    pub(crate) fn exit(&mut self, id: SessionId, request: RequestId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(session) = connection.session_mut() else {
            return;
        };
        if session.exiting.is_some() {
            return;
        }
        session.exiting = Some(request);
        for room in self.rooms.ask_to_leave_all(id) {
            self.ask_owner(
                id,
                room,
                RoomCommand::Leave {
                    session: id,
                    how: Departure::Said,
                    id: None,
                },
            );
        }
        self.exit_if_done(id);
        self.schedule(id);
    }

    /// Ends an exiting session that the last room has let go and that has been told what became of all it asked for.
    pub(crate) fn exit_if_done(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        let Some(session) = connection.session() else { return };
        if let Some(request) = session.exiting
            && connection.underway == 0
            && self.rooms.count(id) == 0
        {
            self.goodbye(id, request, GoodbyeCode::Exit);
        }
    }

    pub(crate) fn held(&mut self, id: SessionId) -> Option<&mut HeldBack> {
        self.connection(id)?.session_mut()?.held.as_deref_mut()
    }
}
