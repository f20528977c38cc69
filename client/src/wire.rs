//! Encodes and decodes messages in both encodings of the protocol. Does no I/O.

use std::fmt;

use prost::Message as _;
use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::proto::{ClientMessage, ServerMessage, server_message::Event};

/// The encoding of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// Protobuf in binary messages.
    #[default]
    Proto,
    /// JSON in text messages.
    Json,
}

impl Wire {
    /// The WebSocket subprotocol of this encoding.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Proto => "plaza.v1.proto",
            Self::Json => "plaza.v1.json",
        }
    }

    /// Encodes a message.
    pub fn encode(self, message: &ClientMessage) -> Vec<u8> {
        match self {
            Self::Proto => message.encode_to_vec(),
            // Only a map with keys other than text could fail, and the schema has no maps.
            Self::Json => serde_json::to_vec(message).unwrap_or_default(),
        }
    }

    /// Decodes a message; `event` is `None` for an event that this version does not know. The error says what is unreadable.
    pub fn decode(self, bytes: &[u8]) -> Result<ServerMessage, String> {
        match self {
            Self::Proto => ServerMessage::decode(bytes).map_err(|fault| fault.to_string()),
            Self::Json => {
                let mut source = serde_json::Deserializer::from_slice(bytes);
                let message = source.deserialize_map(Envelope).map_err(|fault| fault.to_string())?;
                source.end().map_err(|fault| fault.to_string())?;
                Ok(message)
            }
        }
    }
}

/// `{"id":…, "<event>":{…}}`
struct Envelope;

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Id,
    Welcome,
    Joined,
    Left,
    Message,
    Direct,
    Ack,
    Users,
    Rooms,
    Topic,
    Presence,
    Renamed,
    History,
    Search,
    Read,
    Unread,
    Typing,
    Gap,
    System,
    Pong,
    Error,
    Goodbye,
    #[serde(other)]
    Unknown,
}

impl<'de> Visitor<'de> for Envelope {
    type Value = ServerMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message of the server")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<ServerMessage, M::Error> {
        let mut message = ServerMessage::default();
        while let Some(member) = members.next_key()? {
            let event = match member {
                Member::Id => {
                    message.id = members.next_value()?;
                    continue;
                }
                Member::Unknown => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Member::Welcome => Event::Welcome(members.next_value()?),
                Member::Joined => Event::Joined(members.next_value()?),
                Member::Left => Event::Left(members.next_value()?),
                Member::Message => Event::Message(members.next_value()?),
                Member::Direct => Event::Direct(members.next_value()?),
                Member::Ack => Event::Ack(members.next_value()?),
                Member::Users => Event::Users(members.next_value()?),
                Member::Rooms => Event::Rooms(members.next_value()?),
                Member::Topic => Event::Topic(members.next_value()?),
                Member::Presence => Event::Presence(members.next_value()?),
                Member::Renamed => Event::Renamed(members.next_value()?),
                Member::History => Event::History(members.next_value()?),
                Member::Search => Event::Search(members.next_value()?),
                Member::Read => Event::Read(members.next_value()?),
                Member::Unread => Event::Unread(members.next_value()?),
                Member::Typing => Event::Typing(members.next_value()?),
                Member::Gap => Event::Gap(members.next_value()?),
                Member::System => Event::System(members.next_value()?),
                Member::Pong => Event::Pong(members.next_value()?),
                Member::Error => Event::Error(members.next_value()?),
                Member::Goodbye => Event::Goodbye(members.next_value()?),
            };
            message.event = Some(event);
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::proto;

    #[test]
    fn requests_as_json_leave_out_what_is_not_said() {
        let talk = ClientMessage {
            id: 7,
            request: Some(proto::client_message::Request::Talk(proto::Talk {
                room: "lobby".into(),
                text: "hi".into(),
                ..Default::default()
            })),
        };
        let json = String::from_utf8(Wire::Json.encode(&talk)).unwrap();
        assert_eq!(json, r#"{"id":7,"talk":{"room":"lobby","text":"hi"}}"#);
        assert_eq!(
            Wire::Proto.encode(&talk),
            b"\x08\x07\x2a\x0b\x0a\x05lobby\x12\x02hi".to_vec()
        );
    }

    #[test]
    fn events_are_read_and_unknown_ones_are_passed_over() {
        let message = Wire::Json
            .decode(r#"{"id":3,"message":{"room":"广场","seq":5,"kind":"voice","edited":true}}"#.as_bytes())
            .unwrap();
        assert_eq!(message.id, 3);
        let Some(Event::Message(message)) = message.event else {
            panic!("{message:?} is no message");
        };
        assert_eq!((message.room.as_str(), message.seq, message.kind), ("广场", 5, 3));
        assert_eq!(
            Wire::Json.decode(br#"{"later":{"x":[1]}}"#).unwrap(),
            ServerMessage::default()
        );
        assert_eq!(Wire::Proto.decode(b"\xa2\x06\x01x").unwrap(), ServerMessage::default());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for bad in [
            "",
            "[]",
            r#"{"message":{"seq":"5"}}"#,
            r#"{"pong":{}} x"#,
            r#"{"message":{"kind":"song"}}"#,
        ] {
            assert!(Wire::Json.decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Wire::Proto.decode(b"\x2a\x05").is_err());
    }
}
