//! The dialect `action`, document 003: JSON requests `{seq, action, data}`, responses and pushes.
//!
//! A client logs in with a `userId` and says there whom its messages go to: one user (`toUid`, with `groupsId` `"0"`) or a
//! group. A message is answered when it is accepted or refused, not when it is read. In a one to one chat only the other user
//! gets it; in a group everybody does, the sender included. A client may log in again as the same user to turn to somebody
//! else; under another `userId` it may not.

mod settings;
mod wire;

use std::{borrow::Cow, sync::LazyLock};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use self::settings::{GROUP_PREFIX, Settings};
use self::wire::{Code, Incoming, LoginData, Push, Scalar, SendData, kind, respond};
use super::{
    Asked, Codec, Dialect, DialectSettings, Fault, Frames, Handshake, Message, Profile,
    json::object,
    protobuf::{SYSTEM, unlike_system},
};
use crate::{
    chat::{
        Command, Direct, ErrorCode, Happening, Hello, Reply, Request, RequestId, RoomName, Since, Talk, TalkKind,
        UserName,
    },
    limits,
};

/// The dialect of document 003.
#[derive(Debug)]
pub struct Action {
    /// `None`: the reference's.
    settings: Option<&'static Settings>,
}

/// One connection.
struct Connection {
    settings: &'static Settings,
    /// Of the query, for logins that do not say.
    hint_to: Option<String>,
    hint_group: Option<String>,
    session: Session,
    target: Target,
    asked: Asked<Pending>,
    /// How many pushes without a number of their own there have been.
    pushes: u32,
}

/// How far the client is with its name.
#[derive(Debug, Clone, PartialEq)]
enum Session {
    Out,
    /// The login waits for the chat: for the hello, then for the join of the group if there is one.
    LoggingIn {
        hello: RequestId,
        join: RequestId,
    },
    In(UserName),
}

/// Whom messages go to.
#[derive(Debug, Clone, PartialEq)]
enum Target {
    Nobody,
    User(UserName),
    Group(RoomName),
}

/// What the answer to a request needs.
#[derive(Debug)]
struct Pending {
    seq: Scalar,
    action: Cow<'static, str>,
    /// Decided before the chat was asked.
    code: Option<Code>,
}

impl Action {
    /// With the settings of the reference: `appId` 1 and 2, group 1 is the lobby.
    pub const DEFAULT: Self = Self { settings: None };

    /// With these settings.
    pub const fn new(settings: &'static Settings) -> Self {
        Self {
            settings: Some(settings),
        }
    }

    fn settings(&self) -> &'static Settings {
        static REFERENCE: LazyLock<Settings> = LazyLock::new(Settings::default);
        match self.settings {
            Some(settings) => settings,
            None => &REFERENCE,
        }
    }
}

impl Dialect for Action {
    fn name(&self) -> &'static str {
        "action"
    }

    fn profile(&self) -> Profile {
        Profile {
            greets: true,
            mail_by_name: true,
            silent_after: Some(limits::ACTION_SILENT),
            ..Profile::LEGACY
        }
    }

    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        Some(Box::leak(Box::new(Self::new(Box::leak(Box::new(
            settings.action.clone(),
        ))))))
    }

    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        let hint = |key| {
            let text = String::from_utf8(handshake.query_value(key)?).ok()?;
            Scalar::Text(text).given()
        };
        Box::new(Connection {
            settings: self.settings(),
            hint_to: hint("to_uid"),
            hint_group: hint("groups_id"),
            session: Session::Out,
            target: Target::Nobody,
            asked: Asked::new(),
            pushes: 0,
        })
    }

    fn encode(&self, encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        self.encode_at(0, encoding, room, happening, out);
    }

    fn encode_at(&self, at: u64, _encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        let group = self.settings().group(room);
        let gone = |user: &UserName, version: u64, out: &mut Frames| {
            Push {
                action: "exit",
                id: format!("exit-{version}-{group}"),
                kind: TalkKind::Text,
                content: GONE,
                from: &unlike_system(user),
                to: group,
                at,
            }
            .write(out);
        };
        match happening {
            Happening::Talk(talk) => say_in_group(talk, group, out),
            Happening::Went { user, version, .. } => gone(user, *version, out),
            // Many at once are told as the last of them.
            Happening::Digest { version, last_went, .. } => {
                if let Some(user) = last_went {
                    gone(user, *version, out);
                }
            }
            Happening::System { text } => Push {
                action: "sendmsg",
                id: format!("system-{at}-{group}"),
                kind: TalkKind::Text,
                content: text,
                from: SYSTEM,
                to: group,
                at,
            }
            .write(out),
            // The reference has no push for these.
            Happening::Came { .. } | Happening::Renamed { .. } | Happening::Topic { .. } | Happening::Typing { .. } => {
            }
        }
    }
}

impl Codec for Connection {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        Ok(Vec::new())
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let Some(incoming) = object::<Incoming>(message.bytes()) else {
            return Err(Fault::Refused(None, ErrorCode::Malformed.because(NOT_JSON)));
        };
        let seq = incoming.seq.unwrap_or_default();
        let action = match incoming.action.unwrap_or_default() {
            action if action == "login" => "login",
            action if action == "heartbeat" => "heartbeat",
            action if action == "sendmsg" => "sendmsg",
            unknown => return Err(self.refuse(seq, unknown.into(), Code::NoRoute)),
        };
        if matches!(&seq, Scalar::Text(text) if text.len() > limits::LEGACY_ECHO_BYTES) {
            return Err(self.refuse(seq, action.into(), Code::BadParameters));
        }
        let outcome = if self.asked.is_full() {
            Err(Code::Failed)
        } else {
            match action {
                "login" => return self.log_in(seq, incoming.data, requests),
                _ if self.session == Session::Out => Err(Code::NotLoggedIn),
                "heartbeat" => Ok(Command::Ping),
                _ => self.message(incoming.data),
            }
        };
        match outcome {
            Ok(command) => {
                let id = self.ask(seq, action)?;
                requests.push(Request { id, command });
                Ok(())
            }
            Err(code) => Err(self.refuse(seq, action.into(), code)),
        }
    }

    fn encode(&mut self, id: RequestId, reply: &Reply, out: &mut Frames) {
        self.encode_at(0, id, reply, out);
    }

    fn encode_at(&mut self, at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        match reply {
            Reply::Greeting { .. } => self.notice("enter", ENTERED, "", at, out),
            Reply::Welcome(welcome) => {
                let join = match self.session {
                    Session::LoggingIn { join, .. } => join,
                    Session::Out | Session::In(_) => None,
                };
                self.session = Session::In(welcome.name.clone());
                // A login into a group is answered when the group has let it in.
                let pending = self.asked.take(id);
                if join.is_none() {
                    answer(pending, Code::Success, out);
                }
            }
            Reply::Joined(_) | Reply::Ack { .. } => answer(self.asked.take(id), Code::Success, out),
            Reply::Pong { .. } => {
                let code = match self.session {
                    Session::In(_) => Code::Success,
                    Session::Out | Session::LoggingIn { .. } => Code::NotLoggedIn,
                };
                answer(self.asked.take(id), code, out);
            }
            Reply::Renamed { new, .. } => self.session = Session::In(new.clone()),
            Reply::Replayed { room, talk } => say_in_group(talk, self.settings.group(room), out),
            Reply::Direct(direct) => self.direct(direct, out),
            Reply::PeerWent { user } => {
                if self.target == Target::User(user.clone()) {
                    self.notice("exit", GONE, user.as_str(), at, out);
                }
            }
            Reply::System { text } => self.notice("sendmsg", text, SYSTEM, at, out),
            Reply::Error(refusal) => self.refused(id, refusal.code, out),
            Reply::Left { .. }
            | Reply::UserPage { .. }
            | Reply::RoomPage { .. }
            | Reply::TopicSet { .. }
            | Reply::History(_)
            | Reply::Search { .. }
            | Reply::ReadMark { .. }
            | Reply::UnreadList(_)
            | Reply::TypingTo { .. }
            | Reply::Gap { .. }
            | Reply::Goodbye { .. } => {}
        }
    }
}

impl Connection {
    fn log_in(&mut self, seq: Scalar, data: Option<Box<RawValue>>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let (user, target, token) = match self.checked_login(data) {
            Ok(login) => login,
            Err(code) => return Err(self.refuse(seq, "login".into(), code)),
        };
        let again = match &self.session {
            Session::Out => false,
            Session::In(name) if *name == user => true,
            Session::In(_) | Session::LoggingIn { .. } => {
                return Err(self.refuse(seq, "login".into(), Code::Failed));
            }
        };
        let before = std::mem::replace(&mut self.target, target.clone());
        if again {
            return self.turn_to(seq, &before, target, requests);
        }
        let hello = self.ask(seq.clone(), "login")?;
        requests.push(Request {
            id: hello,
            command: Command::Hello(Hello {
                name: Some(user),
                token,
                ..Hello::default()
            }),
        });
        let mut join = None;
        match target {
            Target::Nobody => {}
            Target::User(user) => requests.push(Request {
                id: None,
                command: Command::Watch { user },
            }),
            Target::Group(room) => {
                join = self.ask(seq, "login")?;
                requests.push(join_of(room, join));
            }
        }
        self.session = Session::LoggingIn { hello, join };
        Ok(())
    }

    /// The same user logs in again, perhaps to talk to somebody else.
    fn turn_to(
        &mut self,
        seq: Scalar,
        before: &Target,
        target: Target,
        requests: &mut Vec<Request>,
    ) -> Result<(), Fault> {
        let id = self.ask(seq, "login")?;
        if let Target::Group(room) = before
            && target != *before
        {
            // An id that nothing waits under: whoever was put out of the group before is told nothing of it now.
            requests.push(Request {
                id: Some(self.asked.next_id()),
                command: Command::Leave { room: room.clone() },
            });
        }
        match target {
            // Joining once more is answered too, and that answer is taken for success.
            Target::Group(room) => requests.push(join_of(room, id)),
            Target::User(user) => {
                requests.push(Request {
                    id: None,
                    command: Command::Watch { user },
                });
                requests.push(Request {
                    id,
                    command: Command::Ping,
                });
            }
            Target::Nobody => requests.push(Request {
                id,
                command: Command::Ping,
            }),
        }
        Ok(())
    }

    fn checked_login(&self, data: Option<Box<RawValue>>) -> Result<(UserName, Target, Option<String>), Code> {
        let data: LoginData = read(data)?;
        let user = user_id(data.user_id)?;
        let app = data.app_id.and_then(Scalar::given).and_then(|id| id.parse().ok());
        if !app.is_some_and(|app: u32| self.settings.app_ids.contains(&app)) {
            return Err(Code::NoApp);
        }
        let group = data
            .groups_id
            .and_then(Scalar::given)
            .or_else(|| self.hint_group.clone());
        let to = data.to_uid.and_then(Scalar::given).or_else(|| self.hint_to.clone());
        let target = match (group, to) {
            (Some(group), _) if group != ONE_TO_ONE => {
                Target::Group(self.settings.room(&group).map_err(|_| Code::BadParameters)?)
            }
            (_, Some(to)) => Target::User(user_id(Some(Scalar::Text(to)))?),
            (_, None) => Target::Nobody,
        };
        Ok((user, target, data.token.filter(|token| !token.is_empty())))
    }

    fn message(&self, data: Option<Box<RawValue>>) -> Result<Command, Code> {
        let data: SendData = read(data)?;
        let kind = kind(data.msg_type.as_deref()).ok_or(Code::BadParameters)?;
        let text = data
            .message
            .filter(|text| !text.is_empty())
            .ok_or(Code::BadParameters)?
            .into();
        match self.target.clone() {
            Target::Nobody => Err(Code::BadParameters),
            Target::User(to) => Ok(Command::Direct {
                to,
                text,
                kind,
                key: None,
            }),
            Target::Group(room) => Ok(Command::Talk {
                room,
                text,
                kind,
                key: None,
            }),
        }
    }

    fn ask(&mut self, seq: Scalar, action: &'static str) -> Result<RequestId, Fault> {
        let pending = Pending {
            seq,
            action: action.into(),
            code: None,
        };
        self.asked.ask(pending).map(Some)
    }

    fn refuse(&mut self, seq: Scalar, action: Cow<'static, str>, code: Code) -> Fault {
        let error = match code {
            Code::NotLoggedIn => ErrorCode::NoHello,
            Code::NoRoute => ErrorCode::UnknownRequest,
            Code::BadUserId => ErrorCode::BadName,
            _ => ErrorCode::Invalid,
        };
        let pending = Pending {
            seq,
            action,
            code: Some(code),
        };
        match self.asked.ask(pending) {
            Ok(id) => Fault::Refused(Some(id), error.because(code.text())),
            Err(fault) => fault,
        }
    }

    fn refused(&mut self, id: RequestId, code: ErrorCode, out: &mut Frames) {
        let Some(pending) = self.asked.take(id) else {
            // What was never a request has the reference's words; a request that has its answer gets no second one.
            if id.is_none() && code == ErrorCode::Malformed {
                out.text(NOT_JSON);
            } else if id.is_none() {
                respond(&Scalar::default(), "", code.into(), out);
            }
            return;
        };
        if let Session::LoggingIn { hello, join } = self.session
            && hello == id
        {
            self.session = Session::Out;
            self.target = Target::Nobody;
            self.asked.take(join);
        }
        let code = match pending.code {
            Some(code) => code,
            None if pending.action == "login" && code == ErrorCode::AlreadyMember => Code::Success,
            None => code.into(),
        };
        answer(Some(pending), code, out);
    }

    /// One to one, a message goes to the other alone: the sender's own windows do not get it back.
    fn direct(&self, direct: &Direct, out: &mut Frames) {
        let talk = &direct.talk;
        if let Session::In(name) = &self.session
            && talk.from == *name
            && direct.to != *name
        {
            return;
        }
        Push {
            action: "sendmsg",
            id: format!("{}-{}-{}-{}", talk.epoch, talk.seq, talk.from, direct.to),
            kind: talk.kind,
            content: &talk.text,
            from: &unlike_system(&talk.from),
            to: direct.to.as_str(),
            at: talk.at,
        }
        .write(out);
    }

    /// A push to this connection alone, without a number of its own.
    fn notice(&mut self, action: &'static str, content: &str, from: &str, at: u64, out: &mut Frames) {
        self.pushes = self.pushes.wrapping_add(1);
        let to = match &self.session {
            Session::In(name) => name.as_str(),
            Session::Out | Session::LoggingIn { .. } => "",
        };
        Push {
            action,
            id: format!("{action}-{at}-{}", self.pushes),
            kind: TalkKind::Text,
            content,
            from,
            to,
            at,
        }
        .write(out);
    }
}

fn say_in_group(talk: &Talk, group: &str, out: &mut Frames) {
    Push {
        action: "sendmsg",
        id: format!("{}-{}-{group}", talk.epoch, talk.seq),
        kind: talk.kind,
        content: &talk.text,
        from: &unlike_system(&talk.from),
        to: group,
        at: talk.at,
    }
    .write(out);
}

fn answer(pending: Option<Pending>, code: Code, out: &mut Frames) {
    if let Some(pending) = pending {
        respond(&pending.seq, &pending.action, code, out);
    }
}

fn join_of(room: RoomName, id: RequestId) -> Request {
    Request {
        id,
        command: Command::Join {
            room,
            since: Since::Now,
        },
    }
}

fn read<T: DeserializeOwned>(data: Option<Box<RawValue>>) -> Result<T, Code> {
    data.and_then(|data| object(data.get().as_bytes()))
        .ok_or(Code::BadParameters)
}

fn user_id(given: Option<Scalar>) -> Result<UserName, Code> {
    let id = given.and_then(Scalar::given).ok_or(Code::BadUserId)?;
    if id.chars().count() >= limits::ACTION_USER_ID_CHARS {
        return Err(Code::BadUserId);
    }
    UserName::parse(&id).map_err(|_| Code::BadUserId)
}

/// `groupsId` of a one to one chat.
const ONE_TO_ONE: &str = "0";
const ENTERED: &str = "连接成功";
const GONE: &str = "用户已经离开";
const NOT_JSON: &str = "数据不合法";

#[cfg(test)]
mod tests;
