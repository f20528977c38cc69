//! The JSON bodies of the admin API.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::{http::HttpAnswer, routes::bad};
use crate::{
    chat::{RoomDetails, RoomName, UserName},
    limits,
    shard::SessionEntry,
};

/// The body of a PUT of a room. A missing field leaves its value unchanged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomBody {
    #[serde(default, deserialize_with = "topic")]
    pub(super) topic: Option<Arc<str>>,
    /// `null` removes the list.
    #[serde(default, deserialize_with = "given_members")]
    pub(super) members: Option<Option<BTreeSet<UserName>>>,
}

/// The body of a PUT of members.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MembersBody {
    #[serde(deserialize_with = "members")]
    pub(super) members: Option<BTreeSet<UserName>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextBody {
    #[serde(deserialize_with = "text")]
    pub(super) text: Arc<str>,
}

/// A user; in the dialect `action` it may be a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum User {
    Number(u64),
    Name(String),
}

/// Parses a body. An empty one counts as an empty object.
pub(super) fn body<T: de::DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpAnswer> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| bad(&format!("the body is invalid: {error}")))
}

/// A room, with a page of its users.
pub(super) fn room_json(name: &RoomName, details: &RoomDetails) -> Value {
    let users: Vec<&str> = details.users.names.iter().map(UserName::as_str).collect();
    let members = details
        .members
        .as_ref()
        .map(|members| members.iter().map(UserName::as_str).collect::<Vec<_>>());
    json!({
        "name": name.as_str(),
        "topic": &*details.topic,
        "kept": details.kept,
        "members": members,
        "online": details.users.online,
        "users": users,
        "next": details.next.as_ref().map(UserName::as_str),
    })
}

pub(super) fn session_json(entry: &SessionEntry) -> Value {
    let rooms: Vec<&str> = entry.rooms.iter().map(RoomName::as_str).collect();
    json!({
        "id": entry.id.to_string(),
        "user": entry.user.as_ref().map(|(user, _)| user.as_str()),
        "tag": entry.user.as_ref().map(|(_, tag)| tag.to_string()),
        "dialect": entry.dialect,
        "peer": entry.peer.to_string(),
        "rooms": rooms,
        "connected_seconds": entry.connected.as_secs(),
        "quiet_seconds": entry.quiet.as_secs(),
    })
}

fn topic<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Arc<str>>, D::Error> {
    let topic = String::deserialize(input)?;
    let chars = topic.chars().count();
    if chars > limits::TOPIC_CHARS {
        let most = limits::TOPIC_CHARS;
        return Err(de::Error::custom(format!(
            "the topic has {chars} characters; at most {most} are allowed"
        )));
    }
    if topic.chars().any(char::is_control) {
        return Err(de::Error::custom(
            "the topic contains a control character; leave it out",
        ));
    }
    Ok(Some(topic.into()))
}

fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Arc<str>, D::Error> {
    let text = String::deserialize(input)?;
    let most = limits::LEGACY_MESSAGE_BYTES;
    match text.len() {
        0 => Err(de::Error::custom("the text is empty")),
        length if length > most => Err(de::Error::custom(format!(
            "the text has {length} bytes; at most {most} are allowed"
        ))),
        _ => Ok(text.into()),
    }
}

fn members<'de, D: Deserializer<'de>>(input: D) -> Result<Option<BTreeSet<UserName>>, D::Error> {
    let Some(users) = Option::<Vec<User>>::deserialize(input)? else {
        return Ok(None);
    };
    let parse = |user| {
        let name = match user {
            User::Number(number) => number.to_string(),
            User::Name(name) => name,
        };
        UserName::parse(&name).map_err(|fault| de::Error::custom(format!("the member {name:?}: {fault}")))
    };
    users.into_iter().map(parse).collect::<Result<_, _>>().map(Some)
}

fn given_members<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<BTreeSet<UserName>>>, D::Error> {
    members(input).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(text: &str) -> Result<RoomBody, String> {
        body(text.as_bytes()).map_err(|answer| String::from_utf8_lossy(&answer.body).into_owned())
    }

    #[test]
    fn what_is_left_out_of_a_room_stays_and_null_takes_the_list_away() {
        assert_eq!(room("").unwrap().members, None);
        assert_eq!(room(r#"{"members":null}"#).unwrap().members, Some(None));
        assert_eq!(room(r#"{"topic":""}"#).unwrap().topic.as_deref(), Some(""));
        let users = room(r#"{"members":[1,"2"]}"#).unwrap().members.flatten().unwrap();
        assert_eq!(users.iter().map(UserName::as_str).collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn bodies_that_are_wrong_are_told_why() {
        let long = format!(r#"{{"topic":"{}"}}"#, "x".repeat(257));
        for (text, why) in [
            ("[", "the body is invalid"),
            (r#"{"member":[]}"#, "unknown field"),
            (r#"{"members":[""]}"#, "the name is empty"),
            (r#"{"members":[-1]}"#, "did not match"),
            (r#"{"topic":"a\nb"}"#, "control character"),
            (&long, "257 characters; at most 256"),
        ] {
            let problem = room(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
        assert!(body::<TextBody>(br#"{"text":""}"#).is_err());
        assert!(body::<TextBody>(b"{}").is_err());
    }
}
