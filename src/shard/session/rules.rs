//! The action for each command of a session.
//!
//! The owner of a room or a pair decides on access, and on what becomes of a message. The rules decide by what the session's own shard
//! knows: the session's name, the rooms that it is in or joins, its typing notices, and its refused messages.

use std::sync::Arc;

use crate::{
    chat::{
        Arrival, Command, Conversation, Departure, ErrorCode, GoodbyeCode, Hello, Key, MessageKind, NameFault,
        NewMessage, Page, Refusal, Reply, Request, RequestId, Retry, RoomName, SessionId, Since, UserName,
    },
    codec::{BusyPolicy, DialectId, Profile, Reach},
    limits,
    shard::{
        bus::message::RoomCommand,
        connection::{retry_queue::Retrying, session::Session, state::Connection},
        room::rooms::{JoinRefusal, Rooms},
        settings::ShardSettings,
        store::queries::Question,
        time::Moment,
    },
};

/// What the engine must do for a request.
#[derive(Debug)]
pub(crate) enum Action {
    Nothing,
    Reply(Reply),
    Goodbye(GoodbyeCode),
    /// Decide on the name of a new session.
    Hello(Hello),
    /// Decide on another name.
    Rename {
        name: UserName,
        key: Option<String>,
    },
    /// Send to the owner of the room.
    Room(RoomName, RoomCommand),
    /// Send to the owners of the rooms, in order.
    Rooms(Vec<(RoomName, RoomCommand)>),
    /// Send to the owner of the pair.
    Pair {
        to: UserName,
        message: Box<NewMessage>,
    },
    /// Ask all shards for their part of the list.
    ListRooms(Page),
    /// Ask the store, if the session has the right to the answer.
    Question(Question),
    /// Send to all shards with sessions of the user.
    TypingTo {
        user: UserName,
        from: UserName,
    },
    /// Watch this user, and no longer the one watched before.
    Watch(UserName),
    /// Send to the owners of the rooms, and end the session when it has left them.
    Exit(Vec<(RoomName, RoomCommand)>),
    /// A message is in the retry queue: schedule the connection.
    ScheduleRetry,
    /// Resume reading, unless there is another reason for a pause.
    ReadOn,
}

/// The state by which the rules decide on a connection's request.
pub(crate) struct Rules<'a, S> {
    pub(crate) id: SessionId,
    pub(crate) connection: &'a mut Connection<S>,
    pub(crate) rooms: &'a mut Rooms,
    /// By the number of the dialect.
    pub(crate) profiles: &'a [Profile],
    pub(crate) settings: &'a ShardSettings,
    pub(crate) now: Moment,
}

impl<S> Rules<'_, S> {
    /// The action for a request; defers a request that must wait for an earlier one.
    pub(crate) fn take(&mut self, request: Request) -> Action {
        if self.connection.is_closing() {
            return Action::Nothing;
        }
        let command = &request.command;
        let profile = self.profile();
        if profile.is_some_and(|profile| profile.reach == Reach::Common) && command.marked_name().is_some() {
            return refuse(NameFault::Marked.into());
        }
        // Pings and typing do not count as activity, unless the dialect has heartbeats that are messages.
        let heartbeats_count = profile.is_some_and(|profile| profile.silent_after.is_some());
        let now = self.now;
        let Some(session) = self.connection.session_mut() else {
            return without_name(request.command, now);
        };
        if heartbeats_count || !matches!(command, Command::Ping | Command::Typing { .. }) {
            session.note_activity(now.ms);
        }
        if command.is_rate_limited()
            && let Some(rate) = self.settings.message_rate.get()
        {
            session.count_message(rate, now.us);
        }
        match self.defer(request) {
            Some(Request { id, command }) => self.carry_out(id, command),
            None => Action::Nothing,
        }
    }

    /// The action for a request of a named session that need not wait.
    pub(super) fn carry_out(&mut self, id: RequestId, command: Command) -> Action {
        let session = self.id;
        match command {
            Command::Hello(_) => {
                let text = "this session has a name already; use rename to change it";
                refuse(ErrorCode::HelloAgain.because(text))
            }
            Command::Join { room, since } => self.join(id, room, since),
            Command::Leave { room } => self.leave(id, room),
            Command::Talk { room, text, kind, key } => self.talk(id, room, text, kind, key),
            Command::Direct { to, text, kind, key } => match self.new_message(id, text, kind, key) {
                Some(message) => self.ask(Action::Pair { to, message }),
                None => Action::Nothing,
            },
            Command::Users { room, page } => self.ask(Action::Room(room, RoomCommand::Users { session, id, page })),
            Command::Rooms { page } => self.ask(Action::ListRooms(page)),
            Command::SetTopic { room, topic } => {
                self.ask(Action::Room(room, RoomCommand::SetTopic { session, id, topic }))
            }
            Command::Rename { name, key } => Action::Rename { name, key },
            Command::History {
                conversation,
                before,
                after,
                limit,
            } => Action::Question(Question::History {
                conversation,
                before,
                after,
                limit,
            }),
            Command::Search {
                conversation,
                text,
                before,
                limit,
            } => Action::Question(Question::Search {
                conversation,
                text,
                before,
                limit,
            }),
            Command::Read { conversation, seq } => Action::Question(Question::Read { conversation, seq }),
            Command::Unread => Action::Question(Question::Unread),
            Command::Typing { conversation } => self.typing(conversation),
            Command::Watch { user } => Action::Watch(user),
            Command::Ping => pong(self.now),
            Command::Exit => self.exit(id),
        }
    }

    pub(crate) fn join(&mut self, id: RequestId, room: RoomName, since: Since) -> Action {
        let most = self.settings.rooms_per_session;
        let Some((session, speaking)) = self.connection.named() else {
            return Action::Nothing;
        };
        let since = match since {
            Since::Now if self.settings.legacy_history > 0 && speaking.dialect != DialectId::Native => {
                Since::Last(self.settings.legacy_history)
            }
            since => since,
        };
        if let Err(refusal) = self.rooms.ask_to_join(self.id, &room, most) {
            return refuse(match refusal {
                JoinRefusal::AlreadyMember => {
                    ErrorCode::AlreadyMember.because(format!("this session is in the room {room} already"))
                }
                JoinRefusal::TooMany(count) => ErrorCode::TooManyRooms.because(format!(
                    "this session is in {count} rooms; at most {most} are allowed: leave one first"
                )),
            });
        }
        let profile = &self.profiles[usize::from(speaking.dialect)];
        let arrival = Box::new(Arrival {
            session: self.id,
            user: session.user().clone(),
            name: session.name().clone(),
            tag: session.tag(),
            sees_own_join: profile.sees_own_join,
            sees_own_leave: profile.sees_own_leave,
            lists: speaking.codec().lists(),
        });
        self.ask(Action::Room(room, RoomCommand::Join { arrival, id, since }))
    }

    pub(crate) fn leave(&mut self, id: RequestId, room: RoomName) -> Action {
        if !self.rooms.ask_to_leave(self.id, &room) {
            return refuse(ErrorCode::NotMember.because(format!("this session is not in the room {room}")));
        }
        let leave = self.departure(id);
        self.ask(Action::Room(room, leave))
    }

    fn departure(&self, id: RequestId) -> RoomCommand {
        RoomCommand::Leave {
            session: self.id,
            how: Departure::Requested,
            id,
        }
    }

    fn talk(&mut self, id: RequestId, room: RoomName, text: Arc<str>, kind: MessageKind, key: Option<Key>) -> Action {
        let Some(message) = self.new_message(id, text, kind, key) else {
            return Action::Nothing;
        };
        let retry = match self.busy_policy() {
            BusyPolicy::Pause => Retry::InOrder,
            BusyPolicy::Tell => Retry::Never,
        };
        if let Some(queue) = self.connection.session_mut().and_then(Session::retry_queue) {
            queue.push(room, message);
            return Action::Nothing;
        }
        self.ask(Action::Room(room, RoomCommand::Talk { message, retry }))
    }

    fn new_message(
        &mut self,
        id: RequestId,
        text: Arc<str>,
        kind: MessageKind,
        key: Option<Key>,
    ) -> Option<Box<NewMessage>> {
        let (session, speaking) = self.connection.named()?;
        Some(Box::new(NewMessage {
            session: self.id,
            id,
            from: session.name().clone(),
            user: session.user().clone(),
            tag: session.tag(),
            client: session.client(),
            text,
            kind,
            key,
            echo: speaking.codec().echo(id),
        }))
    }

    fn typing(&mut self, conversation: Conversation) -> Action {
        let Some(session) = self.connection.session_mut() else {
            return Action::Nothing;
        };
        if !session.may_type(self.now.ms) {
            return Action::Nothing;
        }
        match conversation {
            Conversation::Room(room) => Action::Room(room, RoomCommand::Typing { session: self.id }),
            Conversation::Peer(user) => Action::TypingTo {
                user,
                from: session.name().clone(),
            },
        }
    }

    fn exit(&mut self, id: RequestId) -> Action {
        let Some(session) = self.connection.session_mut() else {
            return Action::Nothing;
        };
        if !session.exit(id) {
            return Action::Nothing;
        }
        let rooms = self.rooms.ask_to_leave_all(self.id);
        self.connection.asked(rooms.len());
        Action::Exit(rooms.into_iter().map(|room| (room, self.departure(None))).collect())
    }

    /// The request of the exit, if the session has left all rooms and all its requests are answered.
    pub(crate) fn may_end(&self) -> Option<RequestId> {
        let exiting = self.connection.session()?.exiting()?;
        (self.connection.in_flight() == 0 && self.rooms.count(self.id) == 0).then_some(exiting)
    }

    /// A busy owner has refused a message.
    pub(crate) fn message_refused(&mut self, room: RoomName, message: Box<NewMessage>) -> Action {
        match self.busy_policy() {
            BusyPolicy::Tell => {
                let text = "too many messages of the room are in flight to its store or its members; send it again in a moment";
                refuse(ErrorCode::Busy.because(text).retry_after(limits::BUSY_RETRY))
            }
            BusyPolicy::Pause => {
                let now_ms = self.now.ms;
                if let Some(session) = self.connection.session_mut() {
                    session.retry_later(room, message, now_ms);
                }
                Action::ScheduleRetry
            }
        }
    }

    /// Sends refused messages again, if they are due.
    pub(crate) fn retry_refused(&mut self) -> Action {
        let in_flight = self.connection.in_flight() > 0;
        let Some(session) = self.connection.session_mut() else {
            return Action::Nothing;
        };
        let Some(queue) = session.retry_queue() else {
            return Action::Nothing;
        };
        match queue.retry(self.now.ms, in_flight) {
            Retrying::NotYet => Action::Nothing,
            Retrying::TooLong => Action::Goodbye(GoodbyeCode::Busy),
            Retrying::Done => {
                session.end_retries();
                Action::ReadOn
            }
            Retrying::Again(messages) => {
                self.connection.asked(messages.len());
                let mut retry = Retry::First;
                let again = messages.into_iter().map(|(room, message)| {
                    let retry = std::mem::replace(&mut retry, Retry::InOrder);
                    (room, RoomCommand::Talk { message, retry })
                });
                Action::Rooms(again.collect())
            }
        }
    }

    /// Counts the request of this action, which an owner will answer.
    fn ask(&mut self, action: Action) -> Action {
        self.connection.asked(1);
        action
    }

    fn profile(&self) -> Option<&Profile> {
        let speaking = self.connection.speaking()?;
        self.profiles.get(usize::from(speaking.dialect))
    }

    fn busy_policy(&self) -> BusyPolicy {
        self.profile().map_or(BusyPolicy::Tell, |profile| profile.busy)
    }
}

/// The action for a request of a connection without a name.
fn without_name(command: Command, now: Moment) -> Action {
    match command {
        Command::Hello(hello) => Action::Hello(hello),
        Command::Ping => pong(now),
        Command::Exit => Action::Goodbye(GoodbyeCode::Exit),
        // The dialect `action` sends it together with a login. If the login was refused, it gets no answer.
        Command::Watch { .. } => Action::Nothing,
        _ => refuse(ErrorCode::NoHello.because("say hello first: a session needs a name")),
    }
}

fn pong(now: Moment) -> Action {
    Action::Reply(Reply::Pong { at: now.unix_ms })
}

fn refuse(refusal: Refusal) -> Action {
    Action::Reply(Reply::Error(refusal))
}
