//! The format `tutorial` (document 004): JSON objects with `ip`, `user`, `from`, `type`, `content` and `user_list`, in this order.
//!
//! The server speaks first (`handshake`), and the client gives its name with `login`. Every notice carries the user list, which is cut
//! in large rooms; the extra key `online` then holds the exact count. Clients that have sent `rename` or `list` see a rename as such
//! (encoding 1); all others see a logout and a login (encoding 0), because the document's own page does not know renames.
//!
//! A refusal is a message of type `system`. Its text never repeats what the client sent, because that page would render it as HTML.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::{
    addresses::{Addresses, Entry},
    lobby::{EMPTY_TALK, LONG_TALK, talk_in_lobby, whole_list},
    names::{shown_direct, without_arrow},
    pending_requests::PendingRequests,
};
use crate::{
    chat::{
        ChatMessage, Command, Direct, ErrorCode, Happening, Hello, ListOrder, Lists, NameFault, Reply, Request,
        RequestId, RoomName, Since, UserList, UserName,
    },
    codec::{Codec, Dialect, DialectSettings, Fault, Frames, Handshake, Message, json::object},
    limits,
};

/// The dialect of document 004.
#[derive(Debug)]
pub(crate) struct Tutorial {
    /// The addresses of its users, if the operator shows them.
    addresses: Option<&'static Addresses>,
}

impl Tutorial {
    /// Without addresses.
    pub(crate) const DEFAULT: Self = Self { addresses: None };
}

struct TutorialCodec {
    addresses: Option<&'static Addresses>,
    entry: Entry,
    login: Login,
    encoding: usize,
    /// The join after a refused hello. Its refusal would be the second answer to one login.
    refused_join: RequestId,
    pending: PendingRequests<()>,
}

/// The state of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Login {
    No,
    Pending { hello: NonZeroU64, join: NonZeroU64 },
    Yes,
}

/// The fields that the server reads. Others are skipped without an allocation.
#[derive(Deserialize)]
struct ClientFrame {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    content: Option<String>,
}

#[derive(Default, Serialize)]
struct ServerFrame<'a> {
    ip: &'a str,
    user: &'a str,
    from: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    content: &'a str,
    user_list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<u32>,
}

impl Dialect for Tutorial {
    fn configured(&self, settings: &DialectSettings) -> Option<&'static dyn Dialect> {
        let addresses = settings.tutorial_show_ip.then(Addresses::leaked);
        Some(Box::leak(Box::new(Self { addresses })))
    }

    fn open(&self, _handshake: &Handshake) -> Box<dyn Codec> {
        Box::new(TutorialCodec {
            addresses: self.addresses,
            entry: Entry::new(self.addresses),
            login: Login::No,
            encoding: PLAIN,
            refused_join: None,
            pending: PendingRequests::new(),
        })
    }

    fn encode_at(&self, _at: u64, encoding: usize, _room: &RoomName, happening: &Happening, out: &mut Frames) {
        match happening {
            Happening::Message(message) => say(message, self.addresses, out),
            Happening::UserJoined {
                user, online, users, ..
            } => login(user, users.as_ref(), *online, out),
            Happening::UserLeft {
                user, online, users, ..
            } => logout(user, users.as_ref(), *online, out),
            Happening::Renamed {
                old,
                new,
                online,
                users,
                ..
            } => {
                if encoding == PLAIN {
                    logout(old, users.as_ref(), *online, out);
                    login(new, users.as_ref(), *online, out);
                } else {
                    let renamed = ServerFrame {
                        kind: "rename",
                        from: old.as_str(),
                        user: new.as_str(),
                        content: new.as_str(),
                        ..ServerFrame::default()
                    };
                    renamed.with_list(users.as_ref(), *online).write(out);
                }
            }
            // One notice stands for many users. It names the last who joined, or else the last who left, and has the total number.
            Happening::Digest {
                online,
                last_joined,
                last_left,
                users,
                ..
            } => match (last_joined, last_left) {
                (Some(user), _) => login(user, users.as_ref(), *online, out),
                (None, Some(user)) => logout(user, users.as_ref(), *online, out),
                (None, None) => {}
            },
            Happening::System { text } => system(text, out),
            Happening::Roster { .. } | Happening::Topic { .. } | Happening::Typing { .. } => {}
        }
    }

    fn encode_direct(&self, _encoding: usize, direct: &Direct, out: &mut Frames) {
        say_direct(direct, out);
    }
}

impl Codec for TutorialCodec {
    fn opening(&mut self) -> Result<Vec<Request>, Fault> {
        Ok(Vec::new())
    }

    fn decode(&mut self, message: Message<'_>, requests: &mut Vec<Request>) -> Result<(), Fault> {
        let Some(incoming) = object::<ClientFrame>(message.bytes()) else {
            return refuse(ErrorCode::Malformed, NOT_JSON);
        };
        let content = incoming.content.unwrap_or_default();
        let command = match incoming.kind.as_deref().unwrap_or_default() {
            "login" => return self.log_in(&content, requests),
            "logout" => Command::Exit,
            "user" | "rename" | "list" if self.login == Login::No => {
                return refuse(ErrorCode::NoHello, NO_LOGIN);
            }
            "user" if content.is_empty() => return refuse(ErrorCode::Invalid, EMPTY_TALK),
            "user" if content.len() > limits::TEXT_BYTES => return refuse(ErrorCode::Invalid, LONG_TALK),
            "user" => talk_in_lobby(content),
            "rename" => {
                self.encoding = EXTENDED;
                match UserName::parse(&content) {
                    Ok(name) => Command::Rename { name, key: None },
                    Err(fault) => return Err(Fault::Refused(None, fault.into())),
                }
            }
            "list" => {
                self.encoding = EXTENDED;
                whole_list(ListOrder::Arrival)
            }
            _ => return refuse(ErrorCode::UnknownRequest, UNKNOWN_TYPE),
        };
        requests.push(Request { id: None, command });
        Ok(())
    }

    fn encode_at(&mut self, _at: u64, id: RequestId, reply: &Reply, out: &mut Frames) {
        match reply {
            Reply::Greeting { peer, users } => {
                let greeting = ServerFrame {
                    ip: &peer.to_string(),
                    kind: "handshake",
                    ..ServerFrame::default()
                };
                greeting.with_list(Some(users), users.online).write(out);
            }
            Reply::Welcome(welcome) => {
                self.entry.welcome(welcome);
                self.login = Login::Yes;
            }
            Reply::UserPage { users, .. } => {
                let list = ServerFrame {
                    kind: "list",
                    ..ServerFrame::default()
                };
                list.with_list(Some(users), users.online).write(out);
            }
            Reply::Replayed { message, .. } => say(message, self.addresses, out),
            Reply::Direct(direct) => say_direct(direct, out),
            Reply::System { text } | Reply::Goodbye { text, .. } => system(text, out),
            Reply::Error(refusal) => {
                if let Login::Pending { hello, join } = self.login
                    && id == Some(hello)
                {
                    self.login = Login::No;
                    self.refused_join = Some(join);
                } else if id.is_some() && id == self.refused_join {
                    self.refused_join = None;
                    return;
                }
                system(&refusal.text, out);
            }
            Reply::Joined(_)
            | Reply::Left { .. }
            | Reply::Ack { .. }
            | Reply::RoomPage { .. }
            | Reply::TopicSet { .. }
            | Reply::Renamed { .. }
            | Reply::History(_)
            | Reply::Search { .. }
            | Reply::ReadMark { .. }
            | Reply::UnreadList(_)
            | Reply::TypingTo { .. }
            | Reply::PeerLeft { .. }
            | Reply::Gap { .. }
            | Reply::Pong { .. } => {}
        }
    }

    fn lists(&self) -> Lists {
        Lists::WithNotices
    }

    fn encoding(&self) -> usize {
        self.encoding
    }
}

impl TutorialCodec {
    /// A client without a name, or with `null` (a cancelled prompt of the page), is a guest.
    fn log_in(&mut self, content: &str, requests: &mut Vec<Request>) -> Result<(), Fault> {
        if self.login != Login::No {
            return refuse(ErrorCode::HelloAgain, LOGIN_AGAIN);
        }
        let name = match UserName::parse(content) {
            Ok(name) => Some(name),
            Err(NameFault::Empty) => None,
            Err(fault) => return Err(Fault::Refused(None, fault.into())),
        };
        let hello = self.pending.next_id();
        let join = self.pending.next_id();
        self.login = Login::Pending { hello, join };
        requests.push(Request {
            id: Some(hello),
            command: Command::Hello(Hello {
                name,
                ..Hello::default()
            }),
        });
        requests.push(Request {
            id: Some(join),
            command: Command::Join {
                room: RoomName::lobby(),
                since: Since::Now,
            },
        });
        Ok(())
    }
}

impl<'a> ServerFrame<'a> {
    /// Adds the list, and the number of users if the list is cut.
    fn with_list(self, users: Option<&'a UserList>, online: u32) -> Self {
        let user_list: Vec<&str> = users
            .iter()
            .flat_map(|users| users.names.iter())
            .map(UserName::as_str)
            .collect();
        let online = users.map_or(online, |users| users.online);
        Self {
            online: (user_list.len() < online as usize).then_some(online),
            user_list,
            ..self
        }
    }

    fn write(&self, out: &mut Frames) {
        // Cannot fail: strings and numbers only.
        if let Ok(text) = serde_json::to_string(self) {
            out.text(&text);
        }
    }
}

fn login(user: &UserName, users: Option<&UserList>, online: u32, out: &mut Frames) {
    let notice = ServerFrame {
        kind: "login",
        user: user.as_str(),
        from: user.as_str(),
        content: user.as_str(),
        ..ServerFrame::default()
    };
    notice.with_list(users, online).write(out);
}

fn logout(user: &UserName, users: Option<&UserList>, online: u32, out: &mut Frames) {
    let notice = ServerFrame {
        kind: "logout",
        user: user.as_str(),
        content: user.as_str(),
        ..ServerFrame::default()
    };
    notice.with_list(users, online).write(out);
}

fn say(message: &ChatMessage, addresses: Option<&Addresses>, out: &mut Frames) {
    let from = message.from.as_str();
    let shown = without_arrow(from);
    let address = addresses.and_then(|addresses| addresses.of(message));
    let line = ServerFrame {
        ip: &address.map(|address| address.to_string()).unwrap_or_default(),
        kind: "user",
        user: from,
        from: &shown,
        content: &message.text,
        ..ServerFrame::default()
    };
    line.write(out);
}

fn say_direct(direct: &Direct, out: &mut Frames) {
    let line = ServerFrame {
        kind: "user",
        user: direct.message.from.as_str(),
        from: &shown_direct(direct),
        content: &direct.message.text,
        ..ServerFrame::default()
    };
    line.write(out);
}

fn system(text: &str, out: &mut Frames) {
    let line = ServerFrame {
        kind: "system",
        content: text,
        ..ServerFrame::default()
    };
    line.write(out);
}

fn refuse(code: ErrorCode, text: &'static str) -> Result<(), Fault> {
    Err(Fault::Refused(None, code.because(text)))
}

/// For the document's own page, and for clients that know `rename` and `list`.
pub(crate) const ENCODINGS: usize = 2;
/// For the document's own page.
const PLAIN: usize = 0;
/// For clients that know `rename` and `list`.
const EXTENDED: usize = 1;
const NOT_JSON: &str = "the message is not a JSON object with text in type and content";
const NO_LOGIN: &str = "you are not logged in; send type login with the name as content first";
const LOGIN_AGAIN: &str = "you are already logged in; send type rename to take another name";
const UNKNOWN_TYPE: &str = "the type is not one of login, user, rename, list, logout";

#[cfg(test)]
mod tests;
