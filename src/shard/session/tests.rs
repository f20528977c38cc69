//! The rules of sessions, without an engine.

use super::rules::{Action, Rules};
use crate::{
    chat::{
        Command, ConnectionSlot, Conversation, ErrorCode, Generation, GoodbyeCode, Hello, Joined, ListOrder,
        MessageKind, Page, Position, Reply, Request, RoomName, SessionId, SessionTag, ShardId, Since, UserId, UserName,
    },
    codec::{DIALECTS, DialectId, Handshake, Profile},
    limits,
    shard::{
        bus::message::RoomCommand,
        connection::{
            dialect::Certainty,
            reader::UNDECIDED_LIMITS,
            session::{Named, Proof, Session},
            state::{Connection, Phase, Speaking},
        },
        rate_limit::MessageRate,
        room::{members::Feed, rooms::Rooms},
        settings::ShardSettings,
        store::queries::Question,
        time::Moment,
    },
    wire::FrameReader,
};

const ADA: SessionId = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);

/// Ada's connection, and the state by which the rules decide.
struct Ada {
    connection: Connection<()>,
    rooms: Rooms,
    settings: ShardSettings,
    profiles: Vec<Profile>,
    now: Moment,
}

impl Ada {
    fn unnamed(dialect: DialectId) -> Self {
        let settings = ShardSettings::default();
        let handshake = Handshake::silent();
        let codec = settings.dialects[dialect].open(&handshake);
        let speaking = Speaking::new(dialect, codec, handshake.peer, Certainty::Certain);
        let reader = FrameReader::new(UNDECIDED_LIMITS);
        Self {
            connection: Connection::new((), Generation::FIRST, Phase::Open(speaking), reader, 0),
            rooms: Rooms::new(&settings, 1),
            settings,
            profiles: DIALECTS.map(Profile::of).to_vec(),
            now: Moment::default(),
        }
    }

    fn named(dialect: DialectId) -> Self {
        let mut ada = Self::unnamed(dialect);
        let session = Session::new(Named::new(name("ada"), Proof::Unclaimed), SessionTag(7), None, 0);
        ada.connection.enter(session);
        ada
    }

    fn native() -> Self {
        Self::named(DialectId::Native)
    }

    fn rules(&mut self) -> Rules<'_, ()> {
        Rules {
            id: ADA,
            connection: &mut self.connection,
            rooms: &mut self.rooms,
            profiles: &self.profiles,
            settings: &self.settings,
            now: self.now,
        }
    }

    fn asks(&mut self, command: Command) -> Action {
        self.rules().take(Request { id: None, command })
    }

    fn is_refused(&mut self, command: Command, code: ErrorCode) -> bool {
        let action = self.asks(command);
        matches!(action, Action::Reply(Reply::Error(refusal)) if refusal.code == code)
    }

    /// Sends a request; returns whether it was deferred.
    fn waits(&mut self, command: Command) -> bool {
        let before = self.connection.in_flight();
        matches!(self.asks(command), Action::Nothing) && self.connection.in_flight() == before + 1
    }

    /// An owner or the store has answered; returns the action for the next deferred request.
    fn is_answered(&mut self) -> Option<Action> {
        self.connection.answered();
        self.goes_on()
    }

    fn goes_on(&mut self) -> Option<Action> {
        self.rules().next_deferred().map(|(_, action)| action)
    }

    fn is_admitted(&mut self, room: &str) {
        let joined = Joined {
            room: RoomName::parse(room).unwrap(),
            head: Position::default(),
            from: 0,
            online: 1,
            topic: "".into(),
            history: false,
            read: None,
        };
        assert!(self.rooms.admit(ADA, Feed::Live, &joined));
        self.connection.answered();
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now.ms += ms;
        self.now.us += 1_000 * ms;
    }
}

fn name(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn room(room: &str) -> RoomName {
    RoomName::parse(room).unwrap()
}

fn join(name: &str) -> Command {
    let (room, since) = (room(name), Since::Now);
    Command::Join { room, since }
}

fn leave(name: &str) -> Command {
    Command::Leave { room: room(name) }
}

fn say(text: &str) -> Command {
    Command::Talk {
        room: room("tea"),
        text: text.into(),
        kind: MessageKind::Text,
        key: None,
    }
}

fn typing() -> Command {
    let conversation = Conversation::Room(room("tea"));
    Command::Typing { conversation }
}

fn history() -> Command {
    Command::History {
        conversation: Conversation::Room(room("tea")),
        before: None,
        after: None,
        limit: 1,
    }
}

fn rooms() -> Command {
    let page = Page {
        after: None,
        limit: 10,
        order: ListOrder::Name,
    };
    Command::Rooms { page }
}

#[test]
fn a_connection_without_a_name_can_ask_for_little() {
    let mut ada = Ada::unnamed(DialectId::Native);
    assert!(ada.is_refused(join("tea"), ErrorCode::NoHello));
    assert!(matches!(ada.asks(Command::Ping), Action::Reply(Reply::Pong { .. })));
    assert!(matches!(ada.asks(Command::Exit), Action::Goodbye(GoodbyeCode::Exit)));
    assert!(matches!(
        ada.asks(Command::Watch { user: name("bob") }),
        Action::Nothing
    ));
    assert!(matches!(ada.asks(Command::Hello(Hello::default())), Action::Hello(_)));
    assert!(Ada::native().is_refused(Command::Hello(Hello::default()), ErrorCode::HelloAgain));
}

#[test]
fn a_message_goes_to_the_owner_of_its_room_under_the_name_of_its_session() {
    let mut ada = Ada::native();
    let Action::Room(to, RoomCommand::Talk { message, .. }) = ada.asks(say("hello")) else {
        panic!("it was not sent");
    };
    assert_eq!(
        (to, &message.from, message.tag, &*message.text),
        (room("tea"), &name("ada"), SessionTag(7), "hello")
    );
    assert_eq!(ada.connection.in_flight(), 1, "the owner answers");
}

#[test]
fn a_session_joins_each_room_once_and_no_more_rooms_than_the_limit() {
    let mut ada = Ada::native();
    ada.settings.rooms_per_session = 1;
    assert!(ada.is_refused(leave("tea"), ErrorCode::NotMember));
    assert!(matches!(
        ada.asks(join("tea")),
        Action::Room(_, RoomCommand::Join { .. })
    ));
    ada.is_admitted("tea");
    assert!(ada.is_refused(join("tea"), ErrorCode::AlreadyMember));
    assert!(ada.is_refused(join("coffee"), ErrorCode::TooManyRooms));
    assert!(matches!(
        ada.asks(leave("tea")),
        Action::Room(_, RoomCommand::Leave { .. })
    ));
    assert!(ada.waits(join("coffee")), "she is below the limit when she has left");
}

#[test]
fn legacy_clients_get_the_last_messages() {
    let sinces = [DialectId::Native, DialectId::Chatroom].map(|dialect| {
        let mut ada = Ada::named(dialect);
        ada.settings.legacy_history = 5;
        match ada.asks(join("tea")) {
            Action::Room(_, RoomCommand::Join { since, .. }) => since,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(sinces, [Since::Now, Since::Last(5)]);
}

#[test]
fn typing_notices_pass_at_intervals() {
    let mut ada = Ada::native();
    ada.pass_ms(1);
    assert!(matches!(
        ada.asks(typing()),
        Action::Room(_, RoomCommand::Typing { .. })
    ));
    assert!(matches!(ada.asks(typing()), Action::Nothing));
    ada.pass_ms(limits::TYPING_EVERY.as_millis() as u64);
    assert!(matches!(ada.asks(typing()), Action::Room(..)));
    assert_eq!(ada.connection.in_flight(), 0, "nobody answers");
}

#[test]
fn a_ping_is_no_activity_unless_heartbeats_are_messages() {
    let last_active = |silent_after, command| {
        let mut ada = Ada::native();
        ada.profiles[usize::from(DialectId::Native)].silent_after = silent_after;
        ada.pass_ms(9);
        ada.asks(command);
        ada.connection.last_active_ms()
    };
    assert_eq!(last_active(None, Command::Ping), 0);
    assert_eq!(last_active(None, typing()), 0);
    assert_eq!(last_active(None, Command::Unread), 9);
    let heartbeats = Some(limits::MESSAGE_AGE);
    assert_eq!(last_active(heartbeats, Command::Ping), 9);
}

#[test]
fn the_rate_limit_counts_messages_and_no_joins() {
    let rate = MessageRate {
        per_second: 1,
        at_once: 1,
    };
    let conforms_at_us = |command| {
        let mut ada = Ada::native();
        ada.settings.message_rate.set(Some(rate));
        ada.asks(command);
        ada.connection.session().unwrap().conforms_at_us(rate)
    };
    assert_eq!(conforms_at_us(join("tea")), 0);
    assert!(conforms_at_us(say("hello")) > 0);
}

#[test]
fn a_message_carries_the_id_of_its_senders_session_and_not_that_of_the_name() {
    let mut ada = Ada::native();
    let proven = UserId::parse("token:issuer|1").unwrap();
    ada.connection.session_mut().unwrap().rename(Named {
        user: proven.clone(),
        name: name("ada"),
        proof: Proof::Key,
    });
    let to_bob = Command::Direct {
        to: name("bob"),
        text: "hello".into(),
        kind: MessageKind::Text,
        key: None,
    };
    let sender = |action| match action {
        Action::Room(_, RoomCommand::Talk { message, .. }) | Action::Pair { message, .. } => {
            (message.user.clone(), message.from.clone())
        }
        other => panic!("{other:?}"),
    };
    for command in [say("hello"), to_bob] {
        assert_eq!(sender(ada.asks(command)), (proven.clone(), name("ada")));
    }
}

#[test]
fn an_exit_leaves_all_rooms_and_ends_after_the_last() {
    let mut ada = Ada::native();
    ada.asks(join("tea"));
    ada.is_admitted("tea");
    assert!(matches!(ada.asks(Command::Exit), Action::Exit(leaves) if leaves[0].0 == room("tea")));
    assert!(matches!(ada.asks(Command::Exit), Action::Nothing), "once");
    assert_eq!(ada.rules().may_end(), None);
    ada.connection.answered();
    assert_eq!(ada.rules().may_end(), None, "she has not got all events of the room");
    ada.rooms.remove(ADA);
    assert_eq!(ada.rules().may_end(), Some(None));
}

#[test]
fn a_message_that_a_busy_owner_refused_is_sent_again_before_later_ones() {
    let mut ada = Ada::named(DialectId::Chatroom);
    let Action::Room(to, RoomCommand::Talk { message, .. }) = ada.asks(say("one")) else {
        panic!("it was not sent");
    };
    assert!(matches!(
        ada.rules().message_refused(to, message),
        Action::ScheduleRetry
    ));
    ada.connection.answered();
    assert!(matches!(ada.asks(say("two")), Action::Nothing));
    assert_eq!(ada.connection.in_flight(), 0, "it is in the retry queue");
    assert!(matches!(ada.rules().retry_refused(), Action::Nothing), "not yet");
    ada.pass_ms(limits::BUSY_RETRY.as_millis() as u64);
    let Action::Rooms(again) = ada.rules().retry_refused() else {
        panic!("they were not sent again");
    };
    let texts = again.iter().map(|(_, command)| match command {
        RoomCommand::Talk { message, .. } => &*message.text,
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(ada.connection.in_flight(), 2);
    ada.connection.answered();
    ada.connection.answered();
    ada.pass_ms(limits::BUSY_RETRY.as_millis() as u64);
    assert!(matches!(ada.rules().retry_refused(), Action::ReadOn));
}

#[test]
fn a_client_whose_dialect_can_express_it_gets_the_error_busy() {
    let mut ada = Ada::native();
    let Action::Room(to, RoomCommand::Talk { message, .. }) = ada.asks(say("one")) else {
        panic!("it was not sent");
    };
    let action = ada.rules().message_refused(to, message);
    assert!(matches!(action, Action::Reply(Reply::Error(refusal)) if refusal.code == ErrorCode::Busy));
}

#[test]
fn a_request_that_depends_on_a_join_is_deferred_and_so_are_all_later_ones() {
    for command in [join("tea"), leave("tea"), history(), rooms()] {
        let mut ada = Ada::native();
        ada.asks(join("tea"));
        assert!(ada.waits(command), "for the join");
        assert!(ada.waits(Command::Ping), "for the one before it");
        assert!(ada.goes_on().is_none());
        ada.is_admitted("tea");
        assert!(!matches!(ada.goes_on(), None | Some(Action::ReadOn | Action::Nothing)));
    }
    let mut ada = Ada::native();
    ada.asks(join("tea"));
    assert!(
        matches!(ada.asks(say("hello")), Action::Room(..)),
        "it follows the join to the owner"
    );
    assert!(
        matches!(ada.asks(join("coffee")), Action::Room(..)),
        "it is another room"
    );
}

#[test]
fn a_question_waits_for_earlier_messages_of_its_session() {
    let mut ada = Ada::native();
    ada.asks(say("hello"));
    assert!(ada.waits(history()));
    assert!(ada.waits(Command::Unread));
    assert!(matches!(
        ada.is_answered(),
        Some(Action::Question(Question::History { .. }))
    ));
    assert!(matches!(ada.goes_on(), Some(Action::Question(Question::Unread))));
    assert!(
        matches!(ada.goes_on(), Some(Action::ReadOn)),
        "now the connection is read again"
    );
    assert!(ada.goes_on().is_none());
    assert_eq!(ada.connection.in_flight(), 0);
}

#[test]
fn a_rename_waits_for_the_answers_to_questions() {
    let mut ada = Ada::native();
    ada.connection.question_asked();
    let key = None;
    assert!(ada.waits(Command::Rename { name: name("eve"), key }));
    ada.connection.question_answered();
    assert!(matches!(ada.is_answered(), Some(Action::Rename { .. })));
}
