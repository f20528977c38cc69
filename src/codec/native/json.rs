//! Parses a JSON message to a request of the schema.
//!
//! The envelope is parsed member by member, so that a refusal has the id, an unknown request is distinguished from a missing one,
//! and a second request is detected. serde parses the body with the schema's own types. Only a body that serde refuses is parsed
//! again, member by member, to find the wrong one: valid messages do not pay for field names in errors.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    decode::{self, request_id},
    requests::{self, Body, REQUESTS, no_request, quoted, two_requests, unknown_request},
};
use crate::{
    chat::{ErrorCode, Refusal, RequestId},
    codec::{Fault, json::depth_within},
    limits,
    proto::plaza::{self, client_message::Request as RequestBody},
};

pub(super) fn read(message: &[u8]) -> Result<(RequestId, RequestBody), Fault> {
    let mut envelope = RequestEnvelope::default();
    read_request(message, &mut envelope)
        .map(|body| (envelope.id, body))
        .map_err(|refusal| Fault::Refused(envelope.id, refusal))
}

fn read_request<'a>(message: &'a [u8], envelope: &mut RequestEnvelope<'a>) -> Result<RequestBody, Refusal> {
    let message = std::str::from_utf8(message).map_err(|fault| {
        ErrorCode::Malformed.because(format!(
            "the message is not UTF-8 at byte {}; send JSON as UTF-8 text",
            fault.valid_up_to()
        ))
    })?;
    let mut source = serde_json::Deserializer::from_str(message);
    source
        .deserialize_map(&mut *envelope)
        .and_then(|()| source.end())
        .map_err(|fault| {
            ErrorCode::Malformed.because(format!(
                "the message is not a JSON object: {fault}; send one like {{\"id\":1,\"ping\":{{}}}}"
            ))
        })?;
    // Checked after the id is known, for the refusal. Skipping values does not recurse; reading them might.
    if !depth_within(message.as_bytes(), limits::JSON_DEPTH) {
        return Err(ErrorCode::Malformed.because(format!(
            "the message is nested more than {} deep; no request needs more than 4",
            limits::JSON_DEPTH
        )));
    }
    if let Some(refusal) = envelope.id_refusal.take() {
        return Err(refusal);
    }
    match (envelope.request, envelope.second, &envelope.unknown) {
        (Some((first, _)), Some(second), _) => Err(two_requests(first, second)),
        (Some((name, body)), None, _) => requests::read(name, body),
        (None, _, Some(unknown)) => Err(unknown_request(unknown)),
        (None, _, None) => Err(no_request()),
    }
}

/// `{"id":…, "<request>":{…}}`, as far as it was parsed; a refusal uses these fields.
#[derive(Default)]
struct RequestEnvelope<'a> {
    id: RequestId,
    id_refusal: Option<Refusal>,
    request: Option<(&'static str, &'a RawValue)>,
    second: Option<&'static str>,
    /// The first unknown member with an object, quoted.
    unknown: Option<String>,
}

enum Member {
    Id,
    Request(&'static str),
    Unknown(String),
}

impl<'de> Visitor<'de> for &mut RequestEnvelope<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(member) = members.next_key_seed(MemberName)? {
            let value: &'de RawValue = members.next_value()?;
            if value.get() == "null" {
                continue;
            }
            match member {
                Member::Id => {
                    let id = value.get().parse().map_err(|_| wrong_type("id", value, WHOLE_NUMBER));
                    match id.and_then(request_id) {
                        Ok(id) => self.id = id,
                        Err(refusal) => self.id_refusal = Some(refusal),
                    }
                }
                Member::Request(name) if self.request.is_none() => self.request = Some((name, value)),
                Member::Request(name) => self.second = Some(name),
                Member::Unknown(name) => {
                    if self.unknown.is_none() && value.get().starts_with('{') {
                        self.unknown = Some(name);
                    }
                }
            }
        }
        Ok(())
    }
}

struct MemberName;

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Member, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(match REQUESTS.iter().find(|request| **request == name) {
            Some(request) => Member::Request(request),
            None if name == "id" => Member::Id,
            None => Member::Unknown(quoted(name)),
        })
    }
}

/// A hello whose positions are not parsed yet.
#[derive(Default, Deserialize)]
#[serde(default)]
struct HelloBody {
    name: String,
    token: String,
    key: String,
    client: String,
    resume: Option<Box<RawValue>>,
}

impl Body for &RawValue {
    fn read<M: DeserializeOwned>(self, request: &str) -> Result<M, Refusal> {
        object(request, self)
    }

    fn read_hello(self) -> Result<plaza::Hello, Refusal> {
        let hello: HelloBody = object("hello", self)?;
        Ok(plaza::Hello {
            name: hello.name,
            token: hello.token,
            key: hello.key,
            client: hello.client,
            resume: hello.resume.as_deref().map_or(Ok(Vec::new()), positions)?,
        })
    }
}

fn positions(list: &RawValue) -> Result<Vec<plaza::Position>, Refusal> {
    const FIELD: &str = "hello.resume";
    let wrong = |_| wrong_type(FIELD, list, "a list of positions");
    // A list of ignored values takes no memory, however long it is.
    let count = serde_json::from_str::<Vec<IgnoredAny>>(list.get())
        .map_err(wrong)?
        .len();
    decode::resume_count(count)?;
    let entries: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(wrong)?;
    let entries = entries.into_iter().enumerate();
    entries
        .map(|(index, entry)| object(&format!("{FIELD}[{index}]"), entry))
        .collect()
}

/// Reads an object. (serde alone would also accept a list for a struct.)
fn object<T: DeserializeOwned>(at: &str, body: &RawValue) -> Result<T, Refusal> {
    if !body.get().starts_with('{') {
        return Err(wrong_type(at, body, "an object"));
    }
    serde_json::from_str(body.get()).or_else(|_| member_by_member(at, body))
}

/// Parses an object that serde refused as a whole. A `null` member counts as missing, the last of two members with one name counts, and
/// the refusal names the wrong member.
fn member_by_member<T: DeserializeOwned>(at: &str, body: &RawValue) -> Result<T, Refusal> {
    fn read<T: DeserializeOwned>(members: &BTreeMap<&str, &RawValue>) -> serde_json::Result<T> {
        serde_json::from_str(&serde_json::to_string(members)?)
    }
    let unreadable = |fault| unreadable(at, &fault);
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(body.get()).map_err(unreadable)?;
    let mut members: BTreeMap<&str, &RawValue> = members.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    members.retain(|_, value| value.get() != "null");
    for (name, value) in &members {
        if let Err(fault) = read::<T>(&BTreeMap::from([(*name, *value)])) {
            return Err(wrong_member(&format!("{at}.{name}"), value, &fault));
        }
    }
    read(&members).map_err(unreadable)
}

fn wrong_member(field: &str, value: &RawValue, fault: &serde_json::Error) -> Refusal {
    let problem = fault.to_string();
    match problem.rsplit_once(", expected ") {
        Some((_, expected)) if fault.is_data() => {
            let expected = expected
                .rsplit_once(" at line ")
                .map_or(expected, |(expected, _)| expected);
            wrong_type(
                field,
                value,
                match expected {
                    "a string" => "text",
                    "u64" => WHOLE_NUMBER,
                    "u32" => "a whole number from 0 to 4294967295",
                    other => other,
                },
            )
        }
        _ => unreadable(field, fault),
    }
}

fn wrong_type(field: &str, value: &RawValue, expected: &str) -> Refusal {
    let value = value.get();
    let seen = match value.bytes().next() {
        Some(b'{') => "an object".into(),
        Some(b'[') => "a list".into(),
        Some(b'"') => serde_json::from_str(value).map_or_else(|_| "text".into(), |text: String| quoted(&text)),
        _ => value.chars().take(limits::ECHO_CHARS).collect::<String>(),
    };
    ErrorCode::Invalid.because(format!("{field} is {seen}; expected {expected}"))
}

fn unreadable(field: &str, fault: &serde_json::Error) -> Refusal {
    ErrorCode::Malformed.because(format!("{field} cannot be read: {fault}; send JSON as in RFC 8259"))
}

const WHOLE_NUMBER: &str = "a whole number from 0 to 9007199254740991";
const _: () = assert!(
    limits::JSON_NUMBERS_BELOW == 9_007_199_254_740_992,
    "the text above says so"
);
