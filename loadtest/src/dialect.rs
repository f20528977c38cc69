//! The wire formats of the generator: the upgrade request, the way into the room, sending and recognising a message.

use std::net::SocketAddr;

use clap::ValueEnum;
use plaza_client::RawConfig;
use serde_json::{Value as Json, json};

use crate::{
    frame::Opcode,
    wire::{Value, fields, put_bytes, put_number},
};

/// The key of every upgrade request (the example of RFC 6455 section 1.3) …
pub const UPGRADE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// … and the answer that proves that the other side is a WebSocket server.
pub const UPGRADE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

/// A wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// Plaza's own protocol, protobuf.
    Proto,
    /// Plaza's own protocol, JSON.
    Json,
    /// The system of document 000.
    Communication,
    /// The system of document 001.
    ChatRequest,
    /// The system of document 002.
    Chatroom,
    /// The system of document 003.
    Action,
    /// The system of document 004.
    Tutorial,
    /// The bare text as a frame: the floor, and Nchan.
    Raw,
    /// NATS over WebSocket.
    Nats,
}

/// The content of a native message that the audit needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Message {
        seq: u64,
        prev: u64,
    },
    /// Numbers that will not come, both ends included.
    Gap {
        from: u64,
        to: u64,
    },
    /// A request was refused: the code.
    Error(String),
    Other,
}

impl Dialect {
    /// Whether rooms can be chosen by name; the others have only the one that the server puts them into.
    pub fn has_rooms(self) -> bool {
        matches!(self, Self::Proto | Self::Json | Self::Action | Self::Raw | Self::Nats)
    }

    /// Whether a delivery names the sender.
    pub fn names_senders(self) -> bool {
        !matches!(self, Self::Raw | Self::Nats)
    }

    pub fn is_native(self) -> bool {
        matches!(self, Self::Proto | Self::Json)
    }

    /// The server's path for it, unless `--path` is given.
    pub fn path(self, room: &str) -> String {
        match self {
            Self::Proto | Self::Json => "/chat".to_owned(),
            Self::Communication => "/ws/communication".to_owned(),
            Self::ChatRequest => "/ws/chat-request".to_owned(),
            Self::Chatroom => "/ws/chatroom".to_owned(),
            Self::Action => "/ws/action".to_owned(),
            Self::Tutorial => "/ws/tutorial".to_owned(),
            Self::Raw => format!("/{room}"),
            Self::Nats => "/".to_owned(),
        }
    }

    pub fn request(self, host: &str, path: &str, name: &str) -> String {
        let (query, header) = self.named(name);
        let header = header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
        format!(
            "GET {path}{query} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {UPGRADE_KEY}\r\nSec-WebSocket-Version: 13\r\n{header}\r\n"
        )
    }

    /// The same for the Rust client.
    pub fn client(self, address: SocketAddr, path: &str, name: &str) -> RawConfig {
        let (query, header) = self.named(name);
        let client = RawConfig::new(format!("ws://{address}{path}{query}"));
        match header {
            Some((SUBPROTOCOL, subprotocol)) => client.subprotocol(subprotocol),
            Some((name, value)) => client.header(name, value),
            None => client,
        }
    }

    /// The data about the client in a handshake: a query and a header.
    fn named(self, name: &str) -> (String, Option<(&'static str, String)>) {
        match self {
            Self::Proto => (String::new(), Some((SUBPROTOCOL, "plaza.v1.proto".to_owned()))),
            Self::Json => (String::new(), Some((SUBPROTOCOL, "plaza.v1.json".to_owned()))),
            Self::Communication => (format!("?username={name}"), None),
            Self::ChatRequest | Self::Chatroom => (String::new(), Some(("username", name.to_owned()))),
            Self::Action | Self::Tutorial | Self::Raw | Self::Nats => (String::new(), None),
        }
    }

    pub fn opcode(self) -> Opcode {
        match self {
            Self::Proto | Self::Communication | Self::ChatRequest | Self::Chatroom | Self::Nats => Opcode::Binary,
            Self::Json | Self::Action | Self::Tutorial | Self::Raw => Opcode::Text,
        }
    }

    /// The messages that a member sends after the upgrade to enter its room; the last one gets an answer. Empty: it is in the room as soon
    /// as it is connected.
    pub fn opening(self, name: &str, room: &str) -> Vec<Vec<u8>> {
        match self {
            Self::Proto => {
                let mut hello = Vec::new();
                let mut inner = Vec::new();
                put_bytes(&mut inner, 1, name.as_bytes());
                put_number(&mut hello, 1, 1);
                put_bytes(&mut hello, 2, &inner);
                vec![hello, proto_about_room(3, room)]
            }
            Self::Json => vec![
                json!({"id": 1, "hello": {"name": name}}).to_string().into_bytes(),
                json!({"id": 2, "join": {"room": room}}).to_string().into_bytes(),
            ],
            Self::Communication => vec![strings(&[(1, "3")])],
            Self::ChatRequest => vec![strings(&[(1, name), (2, "userlist")])],
            Self::Chatroom => vec![strings(&[(1, "userlist")])],
            Self::Action => {
                // Group 1 is the lobby.
                let group = if room == "lobby" { "1" } else { room };
                let data = json!({"appId": 1, "userId": name, "groupsId": group});
                vec![
                    json!({"seq": "1", "action": "login", "data": data})
                        .to_string()
                        .into_bytes(),
                ]
            }
            Self::Tutorial => vec![
                json!({"type": "login", "content": name}).to_string().into_bytes(),
                json!({"type": "list"}).to_string().into_bytes(),
            ],
            Self::Raw => Vec::new(),
            Self::Nats => vec![
                format!(
                    "CONNECT {{\"verbose\":false,\"pedantic\":false,\"name\":\"{name}\"}}\r\nSUB {room} 1\r\nPING\r\n"
                )
                .into_bytes(),
            ],
        }
    }

    /// The message that joins another room; native dialects only.
    pub fn join(self, room: &str) -> Vec<u8> {
        match self {
            Self::Json => json!({"id": 3, "join": {"room": room}}).to_string().into_bytes(),
            _ => proto_about_room(3, room),
        }
    }

    /// The message that leaves a room; native dialects only.
    pub fn leave(self, room: &str) -> Vec<u8> {
        match self {
            Self::Json => json!({"id": 4, "leave": {"room": room}}).to_string().into_bytes(),
            _ => proto_about_room(4, room),
        }
    }

    /// Whether this answers the last of the opening: the member is in its room.
    pub fn is_ready(self, payload: &[u8]) -> bool {
        let field = |number| fields(payload).last_of(number).map(Value::bytes);
        let json = || serde_json::from_slice::<Json>(payload).unwrap_or_default();
        match self {
            Self::Proto => field(3).is_some(),
            Self::Json => json().get("joined").is_some(),
            Self::Communication => field(1) == Some(b"3"),
            Self::ChatRequest => field(2) == Some(b"userlist"),
            Self::Chatroom => field(1) == Some(b"userlist"),
            Self::Action => {
                let answer = json();
                answer["action"] == "login" && answer["response"]["code"] == 200
            }
            Self::Tutorial => json()["type"] == "list",
            Self::Raw => true,
            Self::Nats => memchr::memmem::find(payload, b"PONG").is_some(),
        }
    }

    pub fn talk(self, out: &mut Vec<u8>, name: &str, room: &str, text: &str) {
        match self {
            Self::Proto => {
                let mut talk = Vec::with_capacity(room.len() + text.len() + 8);
                put_bytes(&mut talk, 1, room.as_bytes());
                put_bytes(&mut talk, 2, text.as_bytes());
                put_bytes(out, 5, &talk);
            }
            Self::Json => {
                out.extend_from_slice(json!({"talk": {"room": room, "text": text}}).to_string().as_bytes());
            }
            Self::Communication => out.extend_from_slice(&strings(&[(1, "1"), (2, text)])),
            Self::ChatRequest => out.extend_from_slice(&strings(&[(1, name), (2, "talk"), (3, text)])),
            Self::Chatroom => out.extend_from_slice(&strings(&[(1, "talk"), (2, name), (3, text)])),
            Self::Action => {
                let data = json!({"msgType": "text", "message": text});
                out.extend_from_slice(
                    json!({"seq": "2", "action": "sendmsg", "data": data})
                        .to_string()
                        .as_bytes(),
                );
            }
            Self::Tutorial => out.extend_from_slice(json!({"type": "user", "content": text}).to_string().as_bytes()),
            Self::Raw => out.extend_from_slice(text.as_bytes()),
            Self::Nats => {
                out.extend_from_slice(format!("PUB {room} {}\r\n{text}\r\n", text.len()).as_bytes());
            }
        }
    }

    /// Whether a message with a marker is a reply that quotes it, and not a delivery.
    pub fn is_reply(self, payload: &[u8]) -> bool {
        self == Self::Action && memchr::memmem::find(payload, b"\"response\"").is_some()
    }

    /// Decodes a native message; [`Fact::Other`] in all other dialects.
    pub fn fact(self, payload: &[u8]) -> Fact {
        match self {
            Self::Proto => proto_fact(payload),
            Self::Json => json_fact(payload),
            Self::Communication
            | Self::ChatRequest
            | Self::Chatroom
            | Self::Action
            | Self::Tutorial
            | Self::Raw
            | Self::Nats => Fact::Other,
        }
    }
}

/// A native request about a room, which stands in the field `request`; that is its id too.
fn proto_about_room(request: u64, room: &str) -> Vec<u8> {
    let (mut message, mut inner) = (Vec::new(), Vec::new());
    put_bytes(&mut inner, 1, room.as_bytes());
    put_number(&mut message, 1, request);
    put_bytes(&mut message, request, &inner);
    message
}

fn strings(values: &[(u64, &str)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (field, value) in values {
        put_bytes(&mut message, *field, value.as_bytes());
    }
    message
}

fn proto_fact(payload: &[u8]) -> Fact {
    let number = |message, field| fields(message).last_of(field).map_or(0, Value::number);
    for (field, value) in fields(payload) {
        let inner = value.bytes();
        match field {
            5 => {
                return Fact::Message {
                    seq: number(inner, 2),
                    prev: number(inner, 3),
                };
            }
            18 => {
                return Fact::Gap {
                    from: number(inner, 4),
                    to: number(inner, 5),
                };
            }
            21 => {
                let code = fields(inner).last_of(1).map_or(&[][..], Value::bytes);
                return Fact::Error(String::from_utf8_lossy(code).into_owned());
            }
            _ => {}
        }
    }
    Fact::Other
}

fn json_fact(payload: &[u8]) -> Fact {
    let Ok(message) = serde_json::from_slice::<Json>(payload) else {
        return Fact::Other;
    };
    let number = |body: &Json, key: &str| body[key].as_u64().unwrap_or(0);
    if let Some(body) = message.get("message") {
        return Fact::Message {
            seq: number(body, "seq"),
            prev: number(body, "prev"),
        };
    }
    if let Some(body) = message.get("gap") {
        return Fact::Gap {
            from: number(body, "from"),
            to: number(body, "to"),
        };
    }
    match message.get("error") {
        Some(body) => Fact::Error(body["code"].as_str().unwrap_or_default().to_owned()),
        None => Fact::Other,
    }
}

/// Appends a push of document 003 without the id of its receiver in `to`, so that it is the same for all members. A wrong id stays, and the
/// comparison finds it.
pub fn without_receiver(payload: &[u8], receiver: &str, out: &mut Vec<u8>) {
    const TO: &[u8] = b"\"to\":\"";
    let to = memchr::memmem::find(payload, TO).map(|start| start + TO.len());
    let halves = to.and_then(|to| {
        let (before, rest) = payload.split_at_checked(to)?;
        Some((before, rest.strip_prefix(receiver.as_bytes())?))
    });
    match halves {
        Some((before, after)) if after.starts_with(b"\"") => {
            out.extend_from_slice(before);
            out.extend_from_slice(after);
        }
        Some(_) | None => out.extend_from_slice(payload),
    }
}

/// Cuts the payloads of `MSG` lines out of a NATS stream, and says whether the server sent a `PING`.
///
/// `stream` has the unused bytes so far; afterwards it holds the start of an unfinished frame.
pub fn nats_messages(stream: &mut Vec<u8>, mut message: impl FnMut(&[u8])) -> bool {
    let (mut start, mut pinged) = (0, false);
    while let Some(rest) = stream.get(start..) {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else {
            break;
        };
        let (line, after) = rest.split_at(end);
        pinged |= line == b"PING";
        let mut used = end + 2;
        if line.starts_with(b"MSG ") {
            let size = line
                .rsplit(|&byte| byte == b' ')
                .next()
                .and_then(|size| std::str::from_utf8(size).ok());
            let size: usize = size.and_then(|size| size.parse().ok()).unwrap_or(0);
            let Some(payload) = after.get(2..2 + size) else { break };
            if after.len() < size + 4 {
                break;
            }
            message(payload);
            used += size + 2;
        }
        start += used;
    }
    stream.drain(..start);
    pinged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{self, Marker};

    #[test]
    fn a_message_carries_its_text_unchanged_in_every_dialect() {
        let text = Marker {
            sender: 7,
            seq: 8,
            at_ns: 9,
        }
        .text(64);
        for dialect in Dialect::value_variants() {
            let mut message = Vec::new();
            dialect.talk(&mut message, "ann", "lobby", &text);
            let start = marker::find(&message).unwrap_or(usize::MAX);
            assert_eq!(
                message.get(start..start.saturating_add(64)),
                Some(text.as_bytes()),
                "{dialect:?}"
            );
        }
    }

    #[test]
    fn only_the_receivers_own_id_is_left_out_of_a_push() {
        let push = br#"{"content":"hi","from":"b","to":"m1","msgTimestamp":"1"}"#;
        let shared = |receiver| {
            let mut out = Vec::new();
            without_receiver(push, receiver, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shared("m1"),
            r#"{"content":"hi","from":"b","to":"","msgTimestamp":"1"}"#
        );
        for other in ["m", "m12", "b"] {
            assert_eq!(shared(other).as_bytes(), push, "{other}");
        }
    }

    #[test]
    fn facts_are_the_same_in_both_native_forms() {
        let mut inner = Vec::new();
        put_number(&mut inner, 2, 12);
        put_number(&mut inner, 3, 11);
        let mut message = Vec::new();
        put_bytes(&mut message, 5, &inner);
        let wanted = Fact::Message { seq: 12, prev: 11 };
        assert_eq!(Dialect::Proto.fact(&message), wanted);
        assert_eq!(
            Dialect::Json.fact(br#"{"id":0,"message":{"seq":12,"prev":11}}"#),
            wanted
        );
        let wanted = Fact::Gap { from: 3, to: 300 };
        let mut inner = Vec::new();
        put_number(&mut inner, 4, 3);
        put_number(&mut inner, 5, 300);
        let mut message = Vec::new();
        put_bytes(&mut message, 18, &inner);
        assert_eq!(Dialect::Proto.fact(&message), wanted);
        assert_eq!(Dialect::Json.fact(br#"{"gap":{"from":3,"to":300}}"#), wanted);
    }

    #[test]
    fn nats_messages_are_found_however_the_stream_is_cut() {
        let whole = b"INFO {}\r\nPONG\r\nMSG lobby 1 5\r\nab\r\nc\r\nPING\r\nMSG lobby 1 0\r\n\r\n";
        for cut in 0..whole.len() {
            let (mut found, mut stream, mut pings) = (Vec::new(), Vec::new(), 0);
            for part in [&whole[..cut], &whole[cut..]] {
                stream.extend_from_slice(part);
                pings += u32::from(nats_messages(&mut stream, |payload| found.push(payload.to_vec())));
            }
            assert_eq!(
                (found, pings, stream.len()),
                (vec![b"ab\r\nc".to_vec(), Vec::new()], 1, 0),
                "cut at {cut}"
            );
        }
    }
}
