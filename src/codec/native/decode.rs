//! Validates a request of the schema and converts it to a command, the same for both forms.
//!
//! Every refusal names the field as in the schema, the value seen, the bound, and what to do instead.

use std::{num::NonZeroU64, sync::Arc};

use super::requests::quoted;
use crate::{
    chat::{
        ClientId, Command, Conversation, ErrorCode, Hello, Key, ListOrder, MessageKind, Page, Position, Refusal,
        RequestId, ResumeFrom, RoomName, Since, UserName,
    },
    limits,
    proto::{
        KIND_WORDS,
        plaza::{self, client_message::Request as RequestBody},
    },
};

pub(super) fn command(body: RequestBody) -> Result<Command, Refusal> {
    Ok(match body {
        RequestBody::Hello(hello) => Command::Hello(self::hello(hello)?),
        RequestBody::Join(join) => Command::Join {
            room: room("join.room", &join.room)?,
            since: since(&join)?,
        },
        RequestBody::Leave(leave) => Command::Leave {
            room: room("leave.room", &leave.room)?,
        },
        RequestBody::Talk(message) => Command::Talk {
            room: room("talk.room", &message.room)?,
            text: text("talk.text", &message.text)?,
            kind: kind("talk.kind", message.kind)?,
            key: key("talk.key", &message.key)?,
        },
        RequestBody::Direct(direct) => Command::Direct {
            to: user("direct.to", &direct.to)?,
            text: text("direct.text", &direct.text)?,
            kind: kind("direct.kind", direct.kind)?,
            key: key("direct.key", &direct.key)?,
        },
        RequestBody::Users(users) => Command::Users {
            room: room("users.room", &users.room)?,
            page: page("users.after", users.after, users.limit)?,
        },
        RequestBody::Rooms(rooms) => Command::Rooms {
            page: page("rooms.after", rooms.after, rooms.limit)?,
        },
        RequestBody::Topic(topic) => Command::SetTopic {
            room: room("topic.room", &topic.room)?,
            topic: self::topic(&topic.topic)?,
        },
        RequestBody::Rename(rename) => Command::Rename {
            name: user("rename.name", &rename.name)?,
            key: credential("rename.key", rename.key, limits::NAME_KEY_BYTES)?,
        },
        RequestBody::History(history) => {
            let (before, after) = interval(history.before, history.after)?;
            Command::History {
                conversation: conversation("history", &history.room, "peer", &history.peer)?,
                before,
                after,
                limit: limit(history.limit),
            }
        }
        RequestBody::Search(search) => Command::Search {
            conversation: conversation("search", &search.room, "peer", &search.peer)?,
            text: searched(&search.text)?,
            before: Some(number("search.before", search.before)?).filter(|before| *before > 0),
            limit: limit(search.limit),
        },
        RequestBody::Read(read) => Command::Read {
            conversation: conversation("read", &read.room, "peer", &read.peer)?,
            seq: number("read.seq", read.seq)?,
        },
        RequestBody::Unread(plaza::Unread {}) => Command::Unread,
        RequestBody::Typing(typing) => Command::Typing {
            conversation: conversation("typing", &typing.room, "to", &typing.to)?,
        },
        RequestBody::Ping(plaza::Ping {}) => Command::Ping,
        RequestBody::Exit(plaza::Exit {}) => Command::Exit,
    })
}

/// Converts an id; 0 means none.
pub(super) fn request_id(id: u64) -> Result<RequestId, Refusal> {
    number("id", id).map(NonZeroU64::new)
}

/// A number that JSON can represent too.
pub(super) fn number(field: &str, seen: u64) -> Result<u64, Refusal> {
    if seen < limits::JSON_NUMBERS_BELOW {
        return Ok(seen);
    }
    Err(ErrorCode::Invalid.because(format!(
        "{field} is {seen}; numbers of this protocol are below {} (2^53)",
        limits::JSON_NUMBERS_BELOW
    )))
}

/// Checks the number of positions in a hello before they are read.
pub(super) fn resume_count(positions: usize) -> Result<(), Refusal> {
    if positions <= limits::RESUME_POSITIONS {
        return Ok(());
    }
    Err(ErrorCode::Invalid.because(format!(
        "hello.resume has {positions} positions; at most {} are allowed; join the other rooms one by one",
        limits::RESUME_POSITIONS
    )))
}

fn hello(hello: plaza::Hello) -> Result<Hello, Refusal> {
    resume_count(hello.resume.len())?;
    let name = match hello.name.as_str() {
        "" => None,
        name => Some(user("hello.name", name)?),
    };
    Ok(Hello {
        name,
        token: credential("hello.token", hello.token, limits::TOKEN_BYTES)?,
        key: credential("hello.key", hello.key, limits::NAME_KEY_BYTES)?,
        client: client("hello.client", &hello.client)?,
        resume: hello.resume.iter().map(resume_from).collect::<Result<_, _>>()?,
    })
}

fn resume_from(from: &plaza::Position) -> Result<ResumeFrom, Refusal> {
    Ok(ResumeFrom {
        conversation: conversation("hello.resume", &from.room, "peer", &from.peer)?,
        position: position("hello.resume", from.epoch, from.seq)?,
    })
}

fn since(join: &plaza::Join) -> Result<Since, Refusal> {
    let position = position("join", join.epoch, join.seq)?;
    Ok(if position.epoch > 0 {
        Since::Position(position)
    } else if join.last > 0 {
        Since::Last(join.last.min(limits::JOIN_LAST))
    } else {
        Since::Now
    })
}

/// A position without an epoch means none, and must not have a `seq` either.
fn position(at: &str, epoch: u64, seq: u64) -> Result<Position, Refusal> {
    let position = Position {
        epoch: number(&format!("{at}.epoch"), epoch)?,
        seq: number(&format!("{at}.seq"), seq)?,
    };
    if position.epoch == 0 && position.seq > 0 {
        return Err(ErrorCode::Invalid.because(format!(
            "{at}.seq is {seq} but {at}.epoch is missing; a position has both, as in joined and message"
        )));
    }
    Ok(position)
}

fn interval(before: u64, after: Option<u64>) -> Result<(Option<u64>, Option<u64>), Refusal> {
    let before = Some(number("history.before", before)?).filter(|before| *before > 0);
    let after = after.map(|after| number("history.after", after)).transpose()?;
    match (before, after) {
        (Some(before), Some(after)) if after > 0 => Err(ErrorCode::Invalid.because(format!(
            "history.before is {before} and history.after is {after}; give at most one of them"
        ))),
        // A client that writes all fields sends `after: 0` beside a `before`.
        (Some(before), _) => Ok((Some(before), None)),
        (None, after) => Ok((None, after)),
    }
}

fn conversation(at: &str, room: &str, peer_field: &str, peer: &str) -> Result<Conversation, Refusal> {
    match (room, peer) {
        ("", "") => Err(ErrorCode::Invalid.because(format!(
            "{at} has no conversation; give either {at}.room or {at}.{peer_field}"
        ))),
        (room, "") => Ok(Conversation::Room(self::room(&format!("{at}.room"), room)?)),
        ("", peer) => Ok(Conversation::Peer(user(&format!("{at}.{peer_field}"), peer)?)),
        (room, peer) => Err(ErrorCode::Invalid.because(format!(
            "{at} names two conversations, the room {} and the user {}; give either {at}.room or {at}.{peer_field}",
            quoted(room),
            quoted(peer)
        ))),
    }
}

fn room(field: &str, name: &str) -> Result<RoomName, Refusal> {
    RoomName::parse(name).map_err(|fault| ErrorCode::BadName.because(format!("{field}: {fault}")))
}

fn user(field: &str, name: &str) -> Result<UserName, Refusal> {
    UserName::parse(name).map_err(|fault| ErrorCode::BadName.because(format!("{field}: {fault}")))
}

fn text(field: &str, text: &str) -> Result<Arc<str>, Refusal> {
    match text.len() {
        0 => Err(ErrorCode::Invalid.because(format!("{field} is empty; give 1 to {} bytes", limits::TEXT_BYTES))),
        1..=limits::TEXT_BYTES => Ok(text.into()),
        bytes => Err(too_long(field, bytes, limits::TEXT_BYTES, "send it in parts")),
    }
}

fn kind(field: &str, kind: i32) -> Result<MessageKind, Refusal> {
    match plaza::Kind::try_from(kind) {
        Ok(plaza::Kind::Text) => Ok(MessageKind::Text),
        Ok(plaza::Kind::Image) => Ok(MessageKind::Image),
        Ok(plaza::Kind::Video) => Ok(MessageKind::Video),
        Ok(plaza::Kind::Voice) => Ok(MessageKind::Voice),
        Err(_) => Err(ErrorCode::Invalid.because(format!(
            "{field} is {kind}; known kinds are 0 to {}: {}",
            KIND_WORDS.len() - 1,
            KIND_WORDS.join(", ")
        ))),
    }
}

fn key(field: &str, key: &str) -> Result<Option<Key>, Refusal> {
    match key.len() {
        0 => Ok(None),
        1..=limits::KEY_BYTES => Ok(Some(key.into())),
        bytes => Err(too_long(field, bytes, limits::KEY_BYTES, "a UUID is enough")),
    }
}

fn credential(field: &str, credential: String, bound: usize) -> Result<Option<String>, Refusal> {
    match credential.len() {
        0 => Ok(None),
        bytes if bytes > bound => Err(too_long(field, bytes, bound, "send the one that you received")),
        _ => Ok(Some(credential)),
    }
}

fn client(field: &str, client: &str) -> Result<Option<ClientId>, Refusal> {
    if client.is_empty() {
        return Ok(None);
    }
    ClientId::parse(client).map(Some).ok_or_else(|| {
        ErrorCode::Invalid.because(format!(
            "{field} is not a client id ({} bytes); give 128 random bits as {} hexadecimal digits, always the same",
            client.len(),
            ClientId::DIGITS
        ))
    })
}

fn topic(topic: &str) -> Result<Arc<str>, Refusal> {
    let chars = topic.chars().count();
    if chars > limits::TOPIC_CHARS {
        return Err(ErrorCode::Invalid.because(format!(
            "topic.topic has {chars} characters; at most {} are allowed; shorten it",
            limits::TOPIC_CHARS
        )));
    }
    match topic.chars().find(|c| c.is_control()) {
        Some(control) => Err(ErrorCode::Invalid.because(format!(
            "topic.topic holds U+{:04X}, a control character; a topic is one line of text: leave it out",
            u32::from(control)
        ))),
        None => Ok(topic.into()),
    }
}

fn searched(text: &str) -> Result<Arc<str>, Refusal> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(ErrorCode::Invalid.because(format!(
            "search.text is empty; give 1 to {} characters",
            limits::SEARCH_CHARS
        ))),
        1..=limits::SEARCH_CHARS => Ok(text.into()),
        chars => Err(ErrorCode::Invalid.because(format!(
            "search.text has {chars} characters; at most {} are allowed; search for its beginning",
            limits::SEARCH_CHARS
        ))),
    }
}

fn page(field: &str, after: String, limit: u32) -> Result<Page, Refusal> {
    let after = match after.len() {
        0 => None,
        1..=limits::PAGE_AFTER_BYTES => Some(after),
        bytes => {
            let fix = "give the `next` of the page before";
            return Err(too_long(field, bytes, limits::PAGE_AFTER_BYTES, fix));
        }
    };
    Ok(Page {
        order: ListOrder::Name,
        after,
        limit: self::limit(limit),
    })
}

fn limit(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => limits::PAGE_ENTRIES_DEFAULT,
        asked => asked.min(limits::PAGE_ENTRIES),
    }
}

fn too_long(field: &str, bytes: usize, bound: usize, fix: &str) -> Refusal {
    ErrorCode::Invalid.because(format!("{field} has {bytes} bytes; at most {bound} are allowed; {fix}"))
}
