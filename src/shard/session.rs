//! From bytes to commands: connections come, are read, ask for things, and go.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use super::{
    End,
    connection::{Connection, Held, Membership, Phase, Session, Socket, Speaking, Undecided, Written},
    engine::{Clock, Engine, Gathering, Want},
    log::Leaving,
    mail::Ownership,
    message::{Retry, ToHome, ToShard},
    stored::Question,
};
use crate::{
    chat::{
        Arrival, Command, Conversation, Departure, ErrorCode, GoodbyeCode, Hello, Key, Page, Refusal, Reply, Request,
        RequestId, RoomName, SessionId, ShardId, Since, TalkKind, UserName, Utterance, Welcome,
    },
    codec::{BusyPolicy, Fault, Frames, Handshake, Message, NATIVE, detect},
    limits,
    wire::{self, Flow, FrameReader, Incoming, Progress, ReaderLimits},
};

/// What a reader of a socket is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Read on.
    On,
    /// Wait for [`Want::Wake`].
    Paused,
    /// Read on and throw it away, until the peer closes.
    Discard,
    /// The connection is over.
    Over,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Takes up a connection whose handshake is done.
    pub(crate) fn open(&mut self, socket: Rc<S>, handshake: Handshake, dialect: Option<usize>) -> SessionId {
        let (phase_until, decided) = match dialect {
            Some(dialect) => (0, Some(dialect)),
            None => match detect::from_handshake(&handshake) {
                detect::Detection::Known { dialect, why } => {
                    self.note_detected(handshake.peer, dialect, why);
                    (0, crate::codec::number_of(dialect))
                }
                detect::Detection::ByFirstMessage { hold, if_silent } => {
                    let until_ms = self.now.ms + hold.as_millis() as u64;
                    let undecided = Undecided {
                        handshake: handshake.clone(),
                        until_ms,
                        if_silent,
                    };
                    return self.insert(socket, Phase::Detecting(Box::new(undecided)), until_ms, LEGACY_LIMITS);
                }
            },
        };
        let dialect = decided.unwrap_or_default();
        let profile = self.profiles[dialect];
        let reader = ReaderLimits {
            message_bytes: profile.message_bytes,
            fragments: limits::MESSAGE_FRAGMENTS,
            text_is_utf8: profile.text_is_utf8,
        };
        let codec = self.settings.dialects[dialect].open(&handshake);
        let speaking = Speaking {
            dialect: dialect as u8,
            codec,
            peer: handshake.peer,
        };
        let id = self.insert(socket, Phase::Open(speaking), phase_until, reader);
        self.begin_speaking(id);
        id
    }

    fn insert(&mut self, socket: Rc<S>, phase: Phase, until_ms: u64, reader: ReaderLimits) -> SessionId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let now = self.now.ms;
        let slot = self.connections.insert(Connection {
            socket,
            generation,
            reader: Some(FrameReader::new(reader)),
            phase,
            session: None,
            memberships: Vec::new(),
            outgoing: None,
            opened_ms: now,
            heard_ms: now,
            ping_ms: u64::MAX,
            unfinished_ms: 0,
            tick: 0,
            underway: 0,
            paused: false,
            dirty: false,
            congested: false,
            claiming: None,
            questions: 0,
            renaming: false,
        });
        let id = SessionId {
            shard: self.me,
            slot: slot as u32,
            generation,
        };
        if until_ms > 0 {
            self.watch(id, until_ms);
        }
        id
    }

    /// The dialect is known: the greeting, and what the handshake alone amounts to.
    fn begin_speaking(&mut self, id: SessionId) {
        let random = self.random.f64();
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let Phase::Open(speaking) = &mut connection.phase else {
            return;
        };
        let profile = &self.profiles[usize::from(speaking.dialect)];
        self.stats.opened.push(speaking.dialect);
        // The first ping comes at random, so that those who came together are not pinged together.
        connection.ping_ms = now + (profile.ping_every.as_millis() as f64 * random) as u64;
        let peer = speaking.peer;
        let opening = speaking.codec.opening();
        let greets = profile.greets;
        if greets {
            connection.underway += 1;
            let home = self.home_of(&RoomName::lobby());
            self.send(home, ToShard::Home(ToHome::Greet { session: id, peer }));
        }
        self.schedule(id);
        match opening {
            Ok(requests) => {
                for request in requests {
                    self.request(id, request);
                }
            }
            Err(fault) => self.fault(id, fault),
        }
    }

    /// Bytes came off the socket; they are unmasked in place.
    pub(crate) fn receive(&mut self, id: SessionId, bytes: &mut [u8]) -> Reading {
        let now = self.now.ms;
        self.stats.bytes_in += bytes.len() as u64;
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        connection.heard_ms = now;
        self.read(id, |reader, sink| reader.read(bytes, sink))
    }

    /// Goes on with a connection that was paused, if nothing keeps it from being read any more: with what its reader kept,
    /// and then with its socket. Called wherever a reason for a pause ends.
    pub(crate) fn read_on(&mut self, id: SessionId) {
        if !self.connection(id).is_some_and(|connection| connection.paused) || self.flow(id) == Flow::Pause {
            return;
        }
        let Some(connection) = self.connection(id) else { return };
        connection.paused = false;
        let reading = self.read(id, |reader, sink| reader.resume(sink));
        if reading != Reading::Paused {
            self.wants.push(Want::Wake(id));
        }
    }

    fn read(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut FrameReader, &mut dyn FnMut(Incoming<'_>) -> Flow) -> Result<Progress, wire::Violation>,
    ) -> Reading {
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        let Some(mut reader) = connection.reader.take() else {
            return Reading::Discard;
        };
        let mut finished = false;
        let outcome = step(&mut reader, &mut |incoming| {
            finished |= matches!(incoming, Incoming::Message(_));
            self.incoming(id, incoming)
        });
        let now = self.now.ms;
        let Some(connection) = self.connection(id) else {
            return Reading::Over;
        };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return Reading::Discard;
        }
        match outcome {
            Ok(Progress::NeedMore | Progress::Closed) => {
                let began = connection.unfinished_ms;
                connection.unfinished_ms = match (reader.is_unfinished(), began) {
                    (false, _) => 0,
                    // What is unfinished now is another message than before.
                    (true, _) if finished || began == 0 => now.max(1),
                    (true, began) => began,
                };
                if began == 0 && connection.unfinished_ms != 0 {
                    self.schedule(id);
                }
                if let Some(connection) = self.connection(id) {
                    connection.reader = Some(reader);
                }
                Reading::On
            }
            Ok(Progress::Paused) => {
                connection.reader = Some(reader);
                connection.paused = true;
                Reading::Paused
            }
            Err(violation) => {
                let end = match violation.code {
                    1007 => End::NotUtf8,
                    1009 => End::TooLarge,
                    _ => End::Violation,
                };
                self.close(id, violation.code, &violation.reason, end);
                Reading::Discard
            }
        }
    }

    fn incoming(&mut self, id: SessionId, incoming: Incoming<'_>) -> Flow {
        match incoming {
            Incoming::Message(message) => self.message(id, message),
            Incoming::Ping(payload) => {
                if let Some(connection) = self.connection(id) {
                    connection.outgoing().pong(wire::pong(payload).as_bytes());
                    self.mark_dirty(id);
                }
            }
            Incoming::Pong(payload) => self.pong(id, payload),
            Incoming::Close { code, .. } => {
                let answer = wire::close_answer(code);
                self.close_with(id, answer.as_bytes(), End::Peer);
            }
        }
        self.flow(id)
    }

    /// Whether this connection is to be read on.
    fn flow(&mut self, id: SessionId) -> Flow {
        let congested = self.is_congested() || self.local.len() > limits::KEPT_MESSAGES;
        let Some(connection) = self.connection(id) else {
            return Flow::Pause;
        };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return Flow::Pause;
        }
        let held = connection
            .session
            .as_ref()
            .is_some_and(|session| session.held.is_some() || session.exiting.is_some());
        if held
            || connection.claiming.is_some()
            || connection.renaming
            || connection.questions >= limits::QUESTIONS_UNDERWAY
            || connection.underway >= limits::REQUESTS_UNDERWAY
            || connection.private_bytes() > limits::PRIVATE_BYTES
        {
            return Flow::Pause;
        }
        if congested {
            if !std::mem::replace(&mut connection.congested, true) {
                self.congested.push(id);
            }
            return Flow::Pause;
        }
        Flow::Go
    }

    fn message(&mut self, id: SessionId, message: Message<'_>) {
        let Some(connection) = self.connection(id) else { return };
        if let Phase::Detecting(undecided) = &connection.phase {
            let peer = undecided.handshake.peer;
            let (dialect, why) = detect::from_first_message(&undecided.handshake, message);
            self.note_detected(peer, dialect, why);
            self.decide(id, crate::codec::number_of(dialect).unwrap_or_default());
        }
        let mut requests = std::mem::take(&mut self.requests);
        let decoded = match self.connection(id).map(|connection| &mut connection.phase) {
            Some(Phase::Open(speaking)) => speaking.codec.decode(message, &mut requests),
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => Ok(()),
        };
        for request in requests.drain(..) {
            self.request(id, request);
        }
        self.requests = requests;
        if let Err(fault) = decoded {
            self.fault(id, fault);
        }
    }

    /// What decided on a dialect goes into the debug log and into a metric.
    pub(super) fn note_detected(&mut self, peer: SocketAddr, dialect: &'static str, why: detect::Why) {
        tracing::debug!(%peer, dialect, by = why.name(), "the dialect of a connection is decided");
        self.stats.detected.push((dialect, why));
    }

    /// The dialect of an undecided connection is this one.
    pub(super) fn decide(&mut self, id: SessionId, dialect: usize) {
        let dialects = self.settings.dialects;
        let Some(connection) = self.connection(id) else { return };
        let Phase::Detecting(undecided) = &connection.phase else {
            return;
        };
        let codec = dialects[dialect].open(&undecided.handshake);
        let peer = undecided.handshake.peer;
        connection.phase = Phase::Open(Speaking {
            dialect: dialect as u8,
            codec,
            peer,
        });
        self.begin_speaking(id);
    }

    fn fault(&mut self, id: SessionId, fault: Fault) {
        match fault {
            Fault::Refused(request, refusal) => self.reply(id, request, &Reply::Error(refusal)),
            Fault::Close(code, reason) => self.close(id, code, reason, End::Refused),
        }
    }

    /// Carries out a request of this connection.
    pub(crate) fn request(&mut self, id: SessionId, Request { id: request, command }: Request) {
        let now = self.now.ms;
        let Some(connection) = self
            .connections
            .get_mut(id.slot as usize)
            .filter(|c| c.generation == id.generation)
        else {
            return;
        };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return;
        }
        let Some(session) = connection.session.as_mut() else {
            return match command {
                Command::Hello(hello) => self.hello(id, request, hello),
                Command::Ping => self.ping(id, request),
                Command::Exit => self.goodbye(id, request, GoodbyeCode::Exit),
                _ => self.refuse(
                    id,
                    request,
                    ErrorCode::NoHello.because("say hello first: a session needs a name"),
                ),
            };
        };
        // Asking for nothing is not saying something, except where heartbeats are messages of the dialect.
        let heartbeats_count = matches!(&connection.phase, Phase::Open(speaking)
            if self.profiles[usize::from(speaking.dialect)].silent_after.is_some());
        if heartbeats_count || !matches!(command, Command::Ping | Command::Typing { .. }) {
            session.said_ms = now;
        }
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
                let home = self.home_of(&room);
                self.ask(
                    id,
                    home,
                    ToHome::Users {
                        room,
                        session: id,
                        id: request,
                        page,
                    },
                );
            }
            Command::Rooms { page } => self.gather(id, request, page),
            Command::SetTopic { room, topic } => {
                let home = self.home_of(&room);
                self.ask(
                    id,
                    home,
                    ToHome::SetTopic {
                        room,
                        session: id,
                        id: request,
                        topic,
                    },
                );
            }
            Command::Rename { name } => self.rename_request(id, request, name),
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

    /// A session has its name: it is welcome, and goes on where it was.
    pub(super) fn enter(&mut self, id: SessionId, request: RequestId, hello: Hello, ownership: Ownership) {
        let name = hello.name.unwrap_or_else(|| self.directory.guest());
        let tag = self.directory.tag();
        let now = self.now;
        let owns_mail = ownership != Ownership::Stranger;
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let Phase::Open(speaking) = &connection.phase else {
            return;
        };
        let heartbeat = self.profiles[usize::from(speaking.dialect)].ping_every;
        let peer = speaking.peer;
        connection.session = Some(Box::new(Session {
            name: name.clone(),
            tag,
            said_ms: now.ms,
            typed_ms: 0,
            exiting: None,
            joining: Vec::new(),
            peer: None,
            owns_mail,
            mail: None,
            given: Vec::new(),
            readings: 0,
            acknowledging: None,
            welcomes: Vec::new(),
            replays: Vec::new(),
            held: None,
        }));
        // Registered first, and its mail read then: what is said in between reaches it either way.
        self.directory.enter(&name, id);
        let key = match ownership {
            Ownership::New(key) => Some(key),
            Ownership::Held | Ownership::Stranger => None,
        };
        let welcome = Welcome {
            session: tag,
            name,
            key,
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
        if owns_mail {
            self.read_mail(id, known);
        }
        self.schedule(id);
    }

    fn join(&mut self, id: SessionId, request: RequestId, room: RoomName, since: Since) {
        let most = self.settings.rooms_per_session;
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let (Some(session), Phase::Open(speaking)) = (connection.session.as_mut(), &connection.phase) else {
            return;
        };
        // By name: the log that a blocked leaver still reads has no place under its name any more.
        let here = connection.memberships.iter().any(|membership| {
            let log = self.rooms.get(membership.room as usize);
            log.is_some_and(|log| log.name == room)
        });
        if here || session.joining.contains(&room) {
            let refusal = ErrorCode::AlreadyMember.because(format!("this session is in the room {room} already"));
            return self.refuse(id, request, refusal);
        }
        let since = match since {
            Since::Now
                if self.settings.legacy_history > 0
                    && self.settings.dialects[usize::from(speaking.dialect)].name() != NATIVE =>
            {
                Since::Last(self.settings.legacy_history)
            }
            since => since,
        };
        let count = connection.memberships.len() + session.joining.len();
        if count >= most {
            let refusal = ErrorCode::TooManyRooms.because(format!(
                "this session is in {count} rooms; at most {most} are allowed: leave one first"
            ));
            return self.refuse(id, request, refusal);
        }
        session.joining.push(room.clone());
        let profile = &self.profiles[usize::from(speaking.dialect)];
        let arrival = Box::new(Arrival {
            session: id,
            user: session.name.clone(),
            tag: session.tag,
            sees_own_coming: profile.sees_own_coming,
            sees_own_going: profile.sees_own_going,
            wants_list: profile.notices_carry_list,
        });
        let home = self.home_of(&room);
        self.ask(
            id,
            home,
            ToHome::Join {
                room,
                arrival,
                id: request,
                since,
            },
        );
    }

    pub(super) fn leave(&mut self, id: SessionId, request: RequestId, room: RoomName) {
        let place = self.room_places.get(&room).copied();
        let Some(connection) = self.connection(id) else { return };
        let membership = place.and_then(|place| {
            connection
                .memberships
                .iter_mut()
                .find(|membership| membership.room == place && !membership.leaving)
        });
        let joining = connection
            .session
            .as_ref()
            .is_some_and(|session| session.joining.contains(&room));
        match membership {
            Some(membership) => membership.leaving = true,
            None if joining => {}
            None => {
                let refusal = ErrorCode::NotMember.because(format!("this session is not in the room {room}"));
                return self.refuse(id, request, refusal);
            }
        }
        let home = self.home_of(&room);
        self.ask(
            id,
            home,
            ToHome::Leave {
                room,
                session: id,
                how: Departure::Said,
                id: request,
            },
        );
    }

    fn talk(
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
            held.later.push((room, said));
            return;
        }
        let home = self.home_of(&room);
        let retry = if pauses { Retry::Held } else { Retry::Never };
        self.ask(id, home, ToHome::Talk { room, said, retry });
    }

    fn direct(
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
        let home = self.directory.home_of_pair(&said.from, &to);
        self.ask(id, home, ToHome::Direct { to, said });
    }

    fn utterance(
        &mut self,
        id: SessionId,
        request: RequestId,
        text: Arc<str>,
        kind: TalkKind,
        key: Option<Key>,
    ) -> Option<Box<Utterance>> {
        let session = self.connection(id)?.session.as_ref()?;
        Some(Box::new(Utterance {
            session: id,
            id: request,
            from: session.name.clone(),
            tag: session.tag,
            text,
            kind,
            key,
        }))
    }

    fn gather(&mut self, id: SessionId, request: RequestId, page: Page) {
        let shards = self.directory.shards();
        let gathering = Gathering {
            session: id,
            id: request,
            limit: page.limit,
            missing: shards,
            rooms: Vec::new(),
        };
        let gathering = self.gatherings.insert(gathering) as u32;
        if let Some(connection) = self.connection(id) {
            connection.underway += 1;
        }
        let shard = self.me;
        for to in 0..shards {
            let ask = ToHome::Rooms {
                shard,
                gathering,
                after: page.after.clone(),
                limit: page.limit,
            };
            self.send(ShardId(to as u16), ToShard::Home(ask));
        }
    }

    pub(super) fn rename(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let Some(session) = connection.session.as_mut() else {
            return;
        };
        let old = std::mem::replace(&mut session.name, name.clone());
        let tag = session.tag;
        let mut reads_mail = false;
        if old != name {
            // The mail of a name is for those who bear it. What was not given yet stays unread.
            session.mail = None;
            session.given.clear();
            session.acknowledging = None;
            reads_mail = session.owns_mail;
        }
        let mut rooms = session.joining.clone();
        rooms.extend(
            connection
                .memberships
                .iter()
                .filter(|membership| !membership.leaving)
                .filter_map(|membership| self.rooms.get(membership.room as usize).map(|room| room.name.clone())),
        );
        if old != name {
            self.directory.exit(&old, id);
            self.directory.enter(&name, id);
            self.tell_watchers(&old);
            for room in rooms {
                let home = self.home_of(&room);
                self.send(
                    home,
                    ToShard::Home(ToHome::Rename {
                        room,
                        session: id,
                        name: name.clone(),
                    }),
                );
            }
        }
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
        if reads_mail {
            self.read_mail(id, Vec::new());
        }
    }

    fn typing(&mut self, id: SessionId, conversation: Conversation) {
        let now = self.now.ms;
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        if session.typed_ms != 0 && now < session.typed_ms + limits::TYPING_EVERY.as_millis() as u64 {
            return;
        }
        session.typed_ms = now;
        let from = session.name.clone();
        match conversation {
            Conversation::Room(room) => {
                let home = self.home_of(&room);
                self.send(home, ToShard::Home(ToHome::Typing { room, session: id }));
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

    fn watch_peer(&mut self, id: SessionId, user: UserName) {
        let directory = self.directory.clone();
        let old = self
            .connection(id)
            .and_then(|connection| connection.session.as_mut())
            .and_then(|session| session.peer.replace(user.clone()));
        if let Some(old) = old {
            directory.unwatch(&old, id);
        }
        directory.watch(&user, id);
    }

    fn ping(&mut self, id: SessionId, request: RequestId) {
        let at = self.now.unix_ms;
        self.reply(id, request, &Reply::Pong { at });
    }

    fn exit(&mut self, id: SessionId, request: RequestId) {
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let Some(session) = connection.session.as_mut() else {
            return;
        };
        if session.exiting.is_some() {
            return;
        }
        session.exiting = Some(request);
        let mut rooms = session.joining.clone();
        for membership in connection
            .memberships
            .iter_mut()
            .filter(|membership| !membership.leaving)
        {
            membership.leaving = true;
            if let Some(room) = self.rooms.get(membership.room as usize) {
                rooms.push(room.name.clone());
            }
        }
        for room in rooms {
            let home = self.home_of(&room);
            self.ask(
                id,
                home,
                ToHome::Leave {
                    room,
                    session: id,
                    how: Departure::Said,
                    id: None,
                },
            );
        }
        self.exit_if_alone(id);
        self.schedule(id);
    }

    /// Ends an exiting session that the last room has let go.
    pub(super) fn exit_if_alone(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        let Some(session) = &connection.session else { return };
        if let Some(request) = session.exiting
            && connection.memberships.is_empty()
            && session.joining.is_empty()
        {
            self.goodbye(id, request, GoodbyeCode::Exit);
        }
    }

    /// Sends a request that is answered.
    pub(super) fn ask(&mut self, id: SessionId, home: ShardId, message: ToHome) {
        if let Some(connection) = self.connection(id) {
            connection.underway += 1;
        }
        self.send(home, ToShard::Home(message));
    }

    /// A request has been answered.
    pub(super) fn answered(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        connection.underway = connection.underway.saturating_sub(1);
        if connection.underway <= limits::REQUESTS_UNDERWAY / 2 {
            self.read_on(id);
        }
    }

    /// Tells one session something.
    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        let at = self.now.unix_ms;
        if let Reply::Error(refusal) = reply {
            self.stats.refusals.push(refusal.code);
        }
        let Some(connection) = self.connection(id) else { return };
        let mut frames = Frames {
            buffer: std::mem::take(connection.outgoing().private()),
        };
        let waited = frames.buffer.len();
        if let Phase::Open(speaking) = &mut connection.phase {
            speaking.codec.encode_at(at, request, reply, &mut frames);
        }
        *connection.outgoing().private() = frames.buffer;
        if waited > limits::PRIVATE_BYTES_MOST {
            return self.cut(id, End::Overrun);
        }
        self.follow_view(id);
        self.mark_dirty(id);
    }

    /// A codec may change how its member sees events.
    fn follow_view(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get(id.slot as usize) else {
            return;
        };
        let Some(view) = connection.view() else { return };
        for membership in &connection.memberships {
            if let Some(member) = self
                .rooms
                .get_mut(membership.room as usize)
                .and_then(|room| room.members.get_mut(membership.member as usize))
            {
                member.view = view;
            }
        }
    }

    pub(super) fn refuse(&mut self, id: SessionId, request: RequestId, refusal: Refusal) {
        self.reply(id, request, &Reply::Error(refusal));
    }

    /// Whether a connection speaks Plaza's own protocol.
    pub(super) fn is_native(&self, id: SessionId) -> bool {
        self.dialect(id)
            .is_some_and(|dialect| self.settings.dialects[usize::from(dialect)].name() == NATIVE)
    }

    pub(super) fn busy_policy(&mut self, id: SessionId) -> BusyPolicy {
        match self
            .connections
            .get(id.slot as usize)
            .map(|connection| &connection.phase)
        {
            Some(Phase::Open(speaking)) => self.profiles[usize::from(speaking.dialect)].busy,
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => BusyPolicy::Tell,
        }
    }

    /// The number of a connection's dialect, once it is known.
    pub(super) fn dialect(&self, id: SessionId) -> Option<u8> {
        match self
            .connections
            .get(id.slot as usize)
            .map(|connection| &connection.phase)
        {
            Some(Phase::Open(speaking)) => Some(speaking.dialect),
            Some(Phase::Detecting(_) | Phase::Closing { .. }) | None => None,
        }
    }

    pub(super) fn held(&mut self, id: SessionId) -> Option<&mut Held> {
        self.connection(id)?.session.as_mut()?.held.as_deref_mut()
    }

    /// Says goodbye and closes.
    pub(crate) fn goodbye(&mut self, id: SessionId, request: RequestId, code: GoodbyeCode) {
        let spread = self.settings.retry_spread.as_millis() as u64;
        let retry_after = code.invites_back().then(|| {
            std::time::Duration::from_millis(self.random.u64(0..=spread) + limits::RETRY_LEAST.as_millis() as u64)
        });
        let native = self.is_native(id);
        let (text, end) = farewell(code);
        self.reply(
            id,
            request,
            &Reply::Goodbye {
                code,
                text: text.into(),
                retry_after,
            },
        );
        let close = if native {
            code.close_code()
        } else {
            code.legacy_close_code()
        };
        self.close(id, close, text, end);
    }

    /// Closes politely: leaves the rooms, writes what waits and a close frame, and gives the peer a moment.
    pub(crate) fn close(&mut self, id: SessionId, code: u16, reason: &str, end: End) {
        self.close_with(id, wire::close(code, reason).as_bytes(), end);
    }

    fn close_with(&mut self, id: SessionId, frame: &[u8], end: End) {
        let until_ms = self.now.ms + limits::LINGER.as_millis() as u64;
        let dialect = self.dialect(id);
        let Some(connection) = self.connection(id) else { return };
        if matches!(connection.phase, Phase::Closing { .. }) {
            return;
        }
        // Behind the replies: a close frame is the last frame there is.
        connection.outgoing().private().extend_from_slice(frame);
        connection.phase = Phase::Closing { until_ms, shut: false };
        connection.reader = None;
        connection.paused = false;
        self.stats.ends.push((dialect, end));
        self.depart(id);
        self.mark_dirty(id);
        self.wants.push(Want::Wake(id));
        self.watch(id, until_ms);
    }

    /// Ends a connection at once: nothing more can be written to it.
    pub(crate) fn cut(&mut self, id: SessionId, end: End) {
        let dialect = self.dialect(id);
        let Some(connection) = self.connection(id) else { return };
        if !matches!(connection.phase, Phase::Closing { .. }) {
            self.stats.ends.push((dialect, end));
        }
        self.depart(id);
        if let Some(connection) = self.connections.try_remove(id.slot as usize)
            && end.resets()
        {
            connection.socket.reset();
        }
        self.wants.push(Want::Wake(id));
    }

    /// The peer closed its side, or the socket failed.
    pub(crate) fn hung_up(&mut self, id: SessionId) {
        self.cut(id, End::Reset);
    }

    /// The session is over: rooms and directory forget it, once.
    fn depart(&mut self, id: SessionId) {
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        let memberships = std::mem::take(&mut connection.memberships);
        let session = connection.session.take();
        let Some(session) = session else { return };
        let mut rooms = session.joining;
        for membership in memberships {
            let Some(room) = self.rooms.get(membership.room as usize) else {
                continue;
            };
            if !membership.leaving {
                rooms.push(room.name.clone());
            }
            self.remove_member(membership);
        }
        for room in rooms {
            let home = self.home_of(&room);
            let leave = ToHome::Leave {
                room,
                session: id,
                how: Departure::Lost,
                id: None,
            };
            self.send(home, ToShard::Home(leave));
        }
        if let Some(peer) = &session.peer {
            self.directory.unwatch(peer, id);
        }
        self.directory.exit(&session.name, id);
        self.tell_watchers(&session.name);
    }

    /// Whoever watches this user is told that its last session has ended.
    fn tell_watchers(&mut self, user: &UserName) {
        let directory = self.directory.clone();
        if directory.whereabouts(user).next().is_some() {
            return;
        }
        for session in directory.watchers(user) {
            let reply = Box::new(Reply::PeerWent { user: user.clone() });
            self.send(session.shard, ToShard::Tell { session, reply });
        }
    }

    /// Writes what waits for one connection, then what its rooms have for it.
    pub(super) fn write(&mut self, id: SessionId) {
        let now = self.now.ms;
        let Some(connection) = self.connections.get_mut(id.slot as usize) else {
            return;
        };
        if connection.blocked() {
            return;
        }
        match connection.drain(now, &mut self.stats.bytes_out) {
            Written::All => self.written(id),
            Written::Full => self.wait_writable(id),
            Written::Dead => self.cut(id, End::Reset),
        }
    }

    /// Everything that waited has been written.
    fn written(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        // More may have been said meanwhile; this is called again when it is out.
        if connection.outgoing.is_some() {
            return;
        }
        if let Phase::Closing { shut, .. } = &mut connection.phase
            && !*shut
        {
            *shut = true;
            self.wants.push(Want::Shut(id));
        } else {
            self.replay_after_write(id);
            self.mail_after_write(id);
            self.read_on(id);
        }
    }

    /// A full socket has room again. Whether it is full once more.
    pub(crate) fn writable(&mut self, id: SessionId) -> bool {
        let before = self.stats.bytes_out;
        let since = self
            .connection(id)
            .and_then(|connection| connection.outgoing.as_ref()?.blocked_ms);
        let full = self.write_on(id);
        // Room for nothing is no room: the time that the socket has been full goes on.
        if full
            && self.stats.bytes_out == before
            && let Some(connection) = self.connection(id)
            && since.is_some()
        {
            connection.outgoing().blocked_ms = since;
        }
        full
    }

    fn write_on(&mut self, id: SessionId) -> bool {
        let now = self.now.ms;
        let Some(connection) = self
            .connections
            .get_mut(id.slot as usize)
            .filter(|c| c.generation == id.generation)
        else {
            return false;
        };
        match connection.drain(now, &mut self.stats.bytes_out) {
            Written::All => {}
            Written::Full => return true,
            Written::Dead => {
                self.cut(id, End::Reset);
                return false;
            }
        }
        if self.catch_up(id) {
            // The replies are out, whatever the rooms still have for it.
            self.read_on(id);
            return true;
        }
        if self.draining {
            self.goodbye(id, None, GoodbyeCode::ShuttingDown);
        }
        self.written(id);
        false
    }

    /// Takes a member out of its room; the room goes from this shard with its last member.
    pub(super) fn remove_member(&mut self, membership: Membership) {
        let Some(room) = self.rooms.get_mut(membership.room as usize) else {
            return;
        };
        let place = membership.member as usize;
        if place >= room.members.len() {
            return;
        }
        self.members -= 1;
        let gone = room.members.swap_remove(place);
        room.leaving
            .retain(|leaving: &Leaving| leaving.connection != gone.connection);
        if let super::log::Flush::Walking(walk) = &mut room.flush {
            walk.disturbed = true;
        }
        if let Some(moved) = room.members.get(place)
            && let Some(connection) = self.connections.get_mut(moved.connection as usize)
            && let Some(other) = connection
                .memberships
                .iter_mut()
                .find(|other| other.room == membership.room)
        {
            other.member = membership.member;
        }
        if room.members.is_empty() {
            let room = self.rooms.remove(membership.room as usize);
            self.ring_bytes -= room.ring.bytes();
            if self.room_places.get(&room.name) == Some(&membership.room) {
                self.room_places.remove(&room.name);
            }
        }
    }
}

/// How messages of an undecided connection are read: it may be a protobuf dialect.
const LEGACY_LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: limits::LEGACY_MESSAGE_BYTES,
    fragments: limits::MESSAGE_FRAGMENTS,
    text_is_utf8: false,
};

/// What a goodbye says to people, and how the end is counted.
fn farewell(code: GoodbyeCode) -> (&'static str, End) {
    match code {
        GoodbyeCode::Exit => ("goodbye", End::Exit),
        GoodbyeCode::ShuttingDown => ("the server is going down; come back in a moment", End::Draining),
        GoodbyeCode::Timeout => ("nothing was heard of you for too long", End::Timeout),
        GoodbyeCode::TooSlowHandshake => ("you did not say who you are in time", End::Timeout),
        GoodbyeCode::Slow => ("you did not read fast enough", End::Slow),
        GoodbyeCode::Busy => ("the server could not take what you said for too long", End::Busy),
        GoodbyeCode::Idle => ("you said nothing for too long", End::Idle),
        GoodbyeCode::Disconnected => ("the operator ended this session", End::Disconnected),
        GoodbyeCode::Protocol => ("you broke the rules of the protocol", End::Violation),
    }
}
