//! What clients receive, parsed from the bytes that their sockets took.

use std::num::NonZeroU64;

use prost::Message as _;
use serde_json::{Value, json};

use super::{Client, Speaks, World};
use crate::proto::plaza;

/// A received frame: a message of the native protocol as JSON, or the payload of a legacy one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Received {
    Native(Value),
    Legacy(Vec<u8>),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
}

impl World {
    /// Takes the frames that this client has received. An incomplete frame stays.
    pub(crate) fn received(&mut self, client: usize) -> Vec<Received> {
        self.parse(client);
        std::mem::take(&mut self.clients[client].received)
    }

    /// As [`World::received`], only native messages.
    pub(crate) fn messages(&mut self, client: usize) -> Vec<Value> {
        self.received(client)
            .into_iter()
            .filter_map(|received| match received {
                Received::Native(message) => Some(message),
                Received::Legacy(_) | Received::Ping | Received::Pong(_) | Received::Close(_) => None,
            })
            .collect()
    }

    /// As [`World::received`], in short: `joined lobby`, `ada: hi`, `came bob`, `ack 3`, `left lobby`, `close 1013`.
    pub(crate) fn heard(&mut self, client: usize) -> Vec<String> {
        self.received(client)
            .into_iter()
            .map(|received| short(&received))
            .collect()
    }

    /// How often [`World::heard`] has this.
    pub(crate) fn count_heard(&mut self, client: usize, what: &str) -> usize {
        self.heard(client).iter().filter(|heard| *heard == what).count()
    }

    /// The texts of all numbered messages, in the order of the owners.
    pub(crate) fn texts(&self) -> Vec<String> {
        let logged = self.logged.borrow();
        logged.iter().map(|(_, message)| message.text.to_string()).collect()
    }

    /// Bytes of an incomplete frame.
    pub(crate) fn torn_bytes(&mut self, client: usize) -> usize {
        self.parse(client);
        self.clients[client].socket.taken.borrow().len() - self.clients[client].parsed
    }

    fn parse(&mut self, client: usize) {
        let Client {
            socket,
            parsed,
            received,
            speaks,
            ..
        } = &mut self.clients[client];
        let taken = socket.taken.borrow();
        while let Some((first, payload, length)) = frame(&taken[*parsed..]) {
            assert!(
                !matches!(received.last(), Some(Received::Close(_))),
                "client {client} was sent a frame behind the close frame"
            );
            received.push(match first {
                0x81 | 0x82 => match speaks {
                    Speaks::Json => {
                        assert_eq!(first, 0x81);
                        Received::Native(serde_json::from_slice(payload).unwrap())
                    }
                    Speaks::Protobuf => {
                        assert_eq!(first, 0x82);
                        Received::Native(serde_json::to_value(plaza::ServerMessage::decode(payload).unwrap()).unwrap())
                    }
                    Speaks::Legacy(_) => Received::Legacy(payload.to_vec()),
                },
                0x88 => Received::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
                0x89 => Received::Ping,
                0x8A => Received::Pong(payload.to_vec()),
                other => panic!("client {client} was sent a frame that begins with {other:#x}"),
            });
            *parsed += length;
        }
    }
}

/// A message in the fewest words.
fn short(received: &Received) -> String {
    let message = match received {
        Received::Native(message) => message,
        Received::Legacy(payload) => return String::from_utf8_lossy(payload).into_owned(),
        Received::Ping => return "ping".into(),
        Received::Pong(_) => return "pong".into(),
        Received::Close(code) => return format!("close {code}"),
    };
    let (kind, body) = message
        .as_object()
        .unwrap()
        .iter()
        .find(|(key, _)| *key != "id")
        .unwrap();
    let field = |name: &str| match &body[name] {
        Value::String(text) => text.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    match kind.as_str() {
        "message" | "direct" => format!("{}: {}", field("from"), field("text")),
        "joined" | "left" => format!("{kind} {}", field("room")),
        "presence" if body["joined"].is_array() => format!("came {}", field("joined")),
        "presence" if body["left"].is_array() => format!("went {}", field("left")),
        "presence" => format!("digest {}", field("online")),
        "renamed" => format!("renamed {} {}", field("old"), field("new")),
        "error" | "goodbye" => format!("{kind} {}", field("code")),
        "ack" => format!("ack {}", field("seq")),
        "gap" => format!("gap {}-{}", field("from"), field("to")),
        "users" => format!("users {} of {}", field("names"), field("online")),
        other => other.to_owned(),
    }
}

/// The first byte, payload and length of the first frame, if it is complete.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    assert_eq!(second & 0x80, 0, "a masked frame of the server");
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(*short), 2),
    };
    let payload = bytes.get(head..head + length)?;
    Some((*first, payload, head + length))
}

/// Whether a message answers this request.
pub(crate) fn answers(message: &Value, id: u64) -> bool {
    NonZeroU64::new(id).is_some() && message["id"] == json!(id)
}
