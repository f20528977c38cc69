//! The format `action` (document 003): JSON requests `{seq, action, data}`, responses, and pushes.
//!
//! A client logs in with a `userId` and chooses a target for its messages: one user (`toUid`, with `groupsId` `"0"`) or a group. The
//! server responds when it accepts or refuses a message, not when somebody reads it. A one-to-one message goes to the other user alone; a
//! group message goes to every member, the sender included, and its `to` is the receiver's own id. A client may log in again under the
//! same `userId` to choose another target, but not under a different one.
//!
//! Each `appId` is a [`World`](crate::chat::World) of its own: users, groups and direct messages of different apps never meet. The first
//! configured app shares the chat of all dialects.

mod login;
mod settings;
mod wire;

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use self::settings::{ActionSettings, GROUP_PREFIX};
use self::wire::{ActionRequest, Code, HeartbeatData, Push, SendData, given, kind, kind_name, respond};
use super::{
    names::{SYSTEM, unlike_system},
    pending_requests::PendingRequests,
};
use crate::{
    chat::{
        ChatMessage, Command, Direct, Echo, ErrorCode, Happening, MessageKind, Reply, Request, RequestId, RoomName,
        UserName, local,
    },
    codec::{Codec, Dialect, DialectSettings, Fault, Frames, Handshake, Message, json::object},
    limits,
};

/// The dialect of document 003.
#[derive(Debug)]
pub struct Action {
    /// `None`: those of the original.
    settings: Option<&'static ActionSettings>,
}

struct ActionCodec {
    settings: &'static ActionSettings,
    /// From the query, for logins without a target.
    hint_to: Option<String>,
    hint_group: Option<String>,
    login: LoginState,
    target: Target,
    pending: PendingRequests<Pending>,
    /// Numbers the pushes that have no id of their own.
    pushes: u32,
}

/// The state of the login.
#[derive(Debug, Clone, PartialEq)]
enum LoginState {
    Out,
    /// The login waits for the hello, and then for the join of the group if there is one.
    LoggingIn {
        hello: RequestId,
        join: RequestId,
    },
    In(UserName),
}

/// The target of messages.
#[derive(Debug, Clone, PartialEq)]
enum Target {
    Nobody,
    User(UserName),
    Group(RoomName),
}

/// What the answer to a request needs.
#[derive(Debug)]
struct Pending {
    seq: String,
    action: Cow<'static, str>,
    /// A result that is known before the chat answers.
    code: Option<Code>,
    /// The client's word for the kind of the message.
    kind: Option<Box<str>>,
}

impl Action {
    /// The settings of the original: `appId` 1 and 2, and group 1 is the lobby.
    pub const DEFAULT: Self = Self { settings: None };

    pub const fn new(settings: &'static ActionSettings) -> Self {
        Self {
            settings: Some(settings),
        }
    }

    fn settings(&self) -> &'static ActionSettings {
        static REFERENCE: LazyLock<ActionSettings> = LazyLock::new(ActionSettings::default);
        match self.settings {
            Some(settings) => settings,
            None => &REFERENCE,
        }
    }
}

impl Dialect for Action {
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        Some(Box::leak(Box::new(Self::new(Box::leak(Box::new(
            settings.action.clone(),
        ))))))
    }

    fn open(&self, handshake: &Handshake) -> Box<dyn Codec> {
        let hint = |key| given(String::from_utf8(handshake.query_value(key)?).ok());
        Box::new(ActionCodec {
            settings: self.settings(),
            hint_to: hint("to_uid"),
            hint_group: hint("groups_id"),
            login: LoginState::Out,
            target: Target::Nobody,
            pending: PendingRequests::new(),
            pushes: 0,
        })
    }

    fn encode_at(&self, at: u64, _encoding: usize, room: &RoomName, happening: &Happening, out: &mut Frames) {
        let group = self.settings().group(room);
        let left = |user: &UserName, version: u64, out: &mut Frames| {
            Push {
                action: "exit",
                id: &format!("exit-{version}-{group}"),
                kind: kind_name(MessageKind::Text),
                content: GONE,
                from: &shown(user),
                at,
            }
            .write_for_each(out);
        };
        match happening {
            Happening::Message(message) => in_group(message, group, |push| push.write_for_each(out)),
            Happening::UserLeft { user, version, .. } => left(user, *version, out),
            // One push stands for many users. It names the last of them.
            Happening::Digest { version, last_left, .. } => {
                if let Some(user) = last_left {
                    left(user, *version, out);
                }
            }
            Happening::System { text } => Push {
                action: "sendmsg",
                id: &format!("system-{at}-{group}"),
                kind: kind_name(MessageKind::Text),
                content: text,
                from: SYSTEM,
                at,
            }
            .write_for_each(out),
            // The original has no push for these.
            Happening::UserJoined { .. }
            | Happening::Renamed { .. }
            | Happening::Roster { .. }
            | Happening::Topic { .. }
            | Happening::Typing { .. } => {}
        }
    }

    fn encode_direct(&self, _encoding: usize, direct: &Direct, out: &mut Frames) {
        push_direct(direct, out);
    }

    /// One to one, a message goes only to the other user: the sender's own sessions do not get it.
    fn shows_direct(&self, direct: &Direct, user: &UserName) -> bool {
        shows_direct(direct, user)
    }
}

impl Codec for ActionCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        Ok(Vec::new())
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let incoming = match message.bytes().trim_ascii() {
            b"null" => ActionRequest::default(),
            bytes => object(bytes).ok_or_else(|| Fault::Refused(None, ErrorCode::Malformed.because(NOT_JSON)))?,
        };
        let seq = incoming.seq.unwrap_or_default();
        let action = match incoming.action.unwrap_or_default() {
            action if action == "login" => "login",
            action if action == "heartbeat" => "heartbeat",
            action if action == "sendmsg" => "sendmsg",
            unknown => return Err(self.refuse(seq, unknown.into(), Code::NoRoute)),
        };
        if seq.len() > limits::LEGACY_ECHO_BYTES {
            return Err(self.refuse(seq, action.into(), Code::BadParameters));
        }
        let outcome = if self.pending.is_full() {
            Err(Code::Failed)
        } else {
            match action {
                "login" => return self.log_in(seq, incoming.data, requests),
                "heartbeat" => match read::<HeartbeatData>(incoming.data) {
                    Ok(_) if self.login == LoginState::Out => Err(Code::NotLoggedIn),
                    Ok(_) => Ok((Command::Ping, None)),
                    Err(code) => Err(code),
                },
                _ if self.login == LoginState::Out => Err(Code::NotLoggedIn),
                _ => self.message(incoming.data),
            }
        };
        match outcome {
            Ok((command, kind)) => {
                let id = self.ask_as(seq, action, kind)?;
                requests.push(Request { id, command });
                Ok(())
            }
            Err(code) => Err(self.refuse(seq, action.into(), code)),
        }
    }

    fn encode_at(&mut self, at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        match reply {
            Reply::Greeting { .. } => self.notice("enter", ENTERED, "", at, out),
            Reply::Welcome(welcome) => {
                let join = match self.login {
                    LoginState::LoggingIn { join, .. } => join,
                    LoginState::Out | LoginState::In(_) => None,
                };
                self.login = LoginState::In(welcome.name.clone());
                // A login with a group is answered after the join.
                let pending = self.pending.take(id);
                if join.is_none() {
                    answer(pending, Code::Success, out);
                }
            }
            Reply::Joined(_) | Reply::Ack { .. } => answer(self.pending.take(id), Code::Success, out),
            Reply::Pong { .. } => {
                let code = match self.login {
                    LoginState::In(_) => Code::Success,
                    LoginState::Out | LoginState::LoggingIn { .. } => Code::NotLoggedIn,
                };
                answer(self.pending.take(id), code, out);
            }
            Reply::Renamed { new, .. } => self.login = LoginState::In(new.clone()),
            Reply::Replayed { room, message } => {
                in_group(message, self.settings.group(room), |push| {
                    push.write(self.own_id(), out)
                });
            }
            Reply::Direct(direct) => {
                if !matches!(&self.login, LoginState::In(name) if !shows_direct(direct, name)) {
                    push_direct(direct, out);
                }
            }
            Reply::PeerLeft { user } => {
                if self.target == Target::User(user.clone()) {
                    self.notice("exit", GONE, local(user.as_str()), at, out);
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

    fn echo(&self, id: RequestId) -> Option<Arc<Echo>> {
        let pending = self.pending.get(id)?;
        Some(Arc::new(Echo {
            request: pending.seq.as_str().into(),
            kind: pending.kind.clone(),
        }))
    }
}

impl ActionCodec {
    /// The command that sends a message, and the client's word for its kind. An empty message is valid.
    fn message(&self, data: Option<Box<RawValue>>) -> Result<(Command, Option<Box<str>>), Code> {
        let data: SendData = read(data)?;
        let called = data.msg_type.unwrap_or_default();
        let text = data.message.unwrap_or_default();
        if called.len() > limits::LEGACY_ECHO_BYTES || text.len() > limits::TEXT_BYTES {
            return Err(Code::BadParameters);
        }
        let (text, kind) = (text.into(), kind(&called));
        let command = match self.target.clone() {
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
        };
        let called = (called != kind_name(kind)).then(|| called.into());
        command.map(|command| (command, called))
    }

    fn ask(&mut self, seq: String, action: &'static str) -> Result<RequestId, Fault> {
        self.ask_as(seq, action, None)
    }

    fn ask_as(&mut self, seq: String, action: &'static str, kind: Option<Box<str>>) -> Result<RequestId, Fault> {
        let pending = Pending {
            seq,
            action: action.into(),
            code: None,
            kind,
        };
        self.pending.ask(pending).map(Some)
    }

    fn refuse(&mut self, seq: String, action: Cow<'static, str>, code: Code) -> Fault {
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
            kind: None,
        };
        match self.pending.ask(pending) {
            Ok(id) => Fault::Refused(Some(id), error.because(code.text())),
            Err(fault) => fault,
        }
    }

    fn refused(&mut self, id: RequestId, code: ErrorCode, out: &mut Frames) {
        let Some(pending) = self.pending.take(id) else {
            // An error without a request has the original's text. An answered request gets no second answer.
            if id.is_none() && code == ErrorCode::Malformed {
                out.text(NOT_JSON);
            } else if id.is_none() {
                respond("", "", code.into(), out);
            }
            return;
        };
        if let LoginState::LoggingIn { hello, join } = self.login
            && hello == id
        {
            self.login = LoginState::Out;
            self.target = Target::Nobody;
            self.pending.take(join);
        }
        let code = match pending.code {
            Some(code) => code,
            None if pending.action == "login" && code == ErrorCode::AlreadyMember => Code::Success,
            None => code.into(),
        };
        answer(Some(pending), code, out);
    }

    fn own_id(&self) -> &str {
        match &self.login {
            LoginState::In(name) => local(name.as_str()),
            LoginState::Out | LoginState::LoggingIn { .. } => "",
        }
    }

    /// Pushes to this connection only, without an id.
    fn notice(&mut self, action: &'static str, content: &str, from: &str, at: u64, out: &mut Frames) {
        self.pushes = self.pushes.wrapping_add(1);
        Push {
            action,
            id: &format!("{action}-{at}-{}", self.pushes),
            kind: kind_name(MessageKind::Text),
            content,
            from,
            at,
        }
        .write(self.own_id(), out);
    }
}

fn shows_direct(direct: &Direct, user: &UserName) -> bool {
    direct.message.from != *user || direct.to.name == *user
}

fn push_direct(direct: &Direct, out: &mut Frames) {
    let message = &direct.message;
    let (from, to) = (local(message.from.as_str()), local(direct.to.name.as_str()));
    Push {
        action: "sendmsg",
        id: &message_id(message, format_args!("{from}-{to}")),
        kind: called(message),
        content: &message.text,
        from: &unlike_system(from),
        at: message.at,
    }
    .write(to, out);
}

/// The push of a message in a group.
fn in_group(message: &ChatMessage, group: &str, write: impl FnOnce(&Push<'_>)) {
    write(&Push {
        action: "sendmsg",
        id: &message_id(message, format_args!("{group}")),
        kind: called(message),
        content: &message.text,
        from: &shown(&message.from),
        at: message.at,
    });
}

/// The sender's id of its request. A message from the store or another dialect has its sequence number instead.
fn message_id<'t>(message: &'t ChatMessage, conversation: std::fmt::Arguments<'_>) -> Cow<'t, str> {
    match &message.echo {
        Some(echo) => Cow::Borrowed(&echo.request),
        None => Cow::Owned(format!("{}-{}-{conversation}", message.epoch, message.seq)),
    }
}

/// The sender's word for the kind of its message.
fn called(message: &ChatMessage) -> &str {
    let called = message.echo.as_ref().and_then(|echo| echo.kind.as_deref());
    called.unwrap_or(kind_name(message.kind))
}

fn shown(user: &UserName) -> Cow<'_, str> {
    unlike_system(local(user.as_str()))
}

fn answer(pending: Option<Pending>, code: Code, out: &mut Frames) {
    if let Some(pending) = pending {
        respond(&pending.seq, &pending.action, code, out);
    }
}

/// Parses the data of a request. Missing data counts as an empty object.
fn read<T: DeserializeOwned + Default>(data: Option<Box<RawValue>>) -> Result<T, Code> {
    match data {
        None => Ok(T::default()),
        Some(data) => object(data.get().as_bytes()).ok_or(Code::BadParameters),
    }
}

/// The group of a client that names neither a group nor a user.
pub const DEFAULT_GROUP: &str = "1";
/// The `groupsId` of a one-to-one chat.
const ONE_TO_ONE: &str = "0";
const ENTERED: &str = "连接成功";
const GONE: &str = "用户已经离开";
const NOT_JSON: &str = "数据不合法";

#[cfg(test)]
mod tests;
