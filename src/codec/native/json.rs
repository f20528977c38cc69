//! Reads a JSON message into its request.
//!
//! Objects are read member by member into places for the known names; what is unknown is stepped over and never kept.
//! The value of each member is looked at only where it is wanted, so that a wrong type is an error that says where it
//! stands, what was seen and what is expected.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    decode::{self, request_id},
    refusals::{REQUESTS, no_request, quoted, two_requests, unknown_request},
};
use crate::{
    chat::{ErrorCode, Refusal, RequestId},
    codec::{Fault, json::depth_within},
    limits,
    proto::{
        KIND_WORDS,
        plaza::{self, client_message::Request as Asked},
    },
};

pub(super) fn read(message: &[u8]) -> Result<(RequestId, Asked), Fault> {
    let mut envelope = Envelope::default();
    read_request(message, &mut envelope)
        .map(|asked| (envelope.id, asked))
        .map_err(|refusal| Fault::Refused(envelope.id, refusal))
}

fn read_request<'a>(message: &'a [u8], envelope: &mut Envelope<'a>) -> Result<Asked, Refusal> {
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
                "the message is no JSON object: {fault}; send one like {{\"id\":1,\"ping\":{{}}}}"
            ))
        })?;
    // Only now, so that the refusal has the id: stepping over values does not recurse, looking into them might.
    if !depth_within(message.as_bytes(), limits::JSON_DEPTH) {
        return Err(ErrorCode::Malformed.because(format!(
            "the message is nested more than {} deep; no request needs more than 4",
            limits::JSON_DEPTH
        )));
    }
    if let Some(refusal) = envelope.id_refusal.take() {
        return Err(refusal);
    }
    match (&envelope.request, envelope.second, &envelope.unknown) {
        (Some((first, _)), Some(second), _) => Err(two_requests(first, second)),
        (Some((name, body)), None, _) => ask(name, body),
        (None, _, Some(unknown)) => Err(unknown_request(unknown)),
        (None, _, None) => Err(no_request()),
    }
}

fn ask(request: &'static str, body: &RawValue) -> Result<Asked, Refusal> {
    Ok(match request {
        "hello" => {
            let o = Object::read(request, body, ["name", "token", "key", "resume", "client"])?;
            Asked::Hello(plaza::Hello {
                name: o.text(0)?,
                token: o.text(1)?,
                key: o.text(2)?,
                resume: o.positions(3)?,
                client: o.text(4)?,
            })
        }
        "join" => {
            let o = Object::read(request, body, ["room", "epoch", "seq", "last"])?;
            Asked::Join(plaza::Join {
                room: o.text(0)?,
                epoch: o.number(1)?,
                seq: o.number(2)?,
                last: o.small(3)?,
            })
        }
        "leave" => {
            let o = Object::read(request, body, ["room"])?;
            Asked::Leave(plaza::Leave { room: o.text(0)? })
        }
        "talk" => {
            let o = Object::read(request, body, ["room", "text", "key", "kind"])?;
            Asked::Talk(plaza::Talk {
                room: o.text(0)?,
                text: o.text(1)?,
                key: o.text(2)?,
                kind: o.kind(3)?,
            })
        }
        "direct" => {
            let o = Object::read(request, body, ["to", "text", "key", "kind"])?;
            Asked::Direct(plaza::Direct {
                to: o.text(0)?,
                text: o.text(1)?,
                key: o.text(2)?,
                kind: o.kind(3)?,
            })
        }
        "users" => {
            let o = Object::read(request, body, ["room", "after", "limit"])?;
            Asked::Users(plaza::Users {
                room: o.text(0)?,
                after: o.text(1)?,
                limit: o.small(2)?,
            })
        }
        "rooms" => {
            let o = Object::read(request, body, ["after", "limit"])?;
            Asked::Rooms(plaza::Rooms {
                after: o.text(0)?,
                limit: o.small(1)?,
            })
        }
        "topic" => {
            let o = Object::read(request, body, ["room", "topic"])?;
            Asked::Topic(plaza::SetTopic {
                room: o.text(0)?,
                topic: o.text(1)?,
            })
        }
        "rename" => {
            let o = Object::read(request, body, ["name", "key"])?;
            Asked::Rename(plaza::Rename {
                name: o.text(0)?,
                key: o.text(1)?,
            })
        }
        "history" => {
            let o = Object::read(request, body, ["room", "peer", "before", "after", "limit"])?;
            Asked::History(plaza::History {
                room: o.text(0)?,
                peer: o.text(1)?,
                before: o.number(2)?,
                after: o.present(3).map(|_| o.number(3)).transpose()?,
                limit: o.small(4)?,
            })
        }
        "search" => {
            let o = Object::read(request, body, ["room", "peer", "text", "before", "limit"])?;
            Asked::Search(plaza::Search {
                room: o.text(0)?,
                peer: o.text(1)?,
                text: o.text(2)?,
                before: o.number(3)?,
                limit: o.small(4)?,
            })
        }
        "read" => {
            let o = Object::read(request, body, ["room", "peer", "seq"])?;
            Asked::Read(plaza::Read {
                room: o.text(0)?,
                peer: o.text(1)?,
                seq: o.number(2)?,
            })
        }
        "unread" => Object::read(request, body, []).map(|_| Asked::Unread(plaza::Unread {}))?,
        "typing" => {
            let o = Object::read(request, body, ["room", "to"])?;
            Asked::Typing(plaza::Typing {
                room: o.text(0)?,
                to: o.text(1)?,
            })
        }
        "ping" => Object::read(request, body, []).map(|_| Asked::Ping(plaza::Ping {}))?,
        "exit" => Object::read(request, body, []).map(|_| Asked::Exit(plaza::Exit {}))?,
        other => return Err(unknown_request(other)),
    })
}

// ------------------------------------------------------------------------------------------------------ the envelope

/// `{"id":…, "<request>":{…}}`, as far as it has been read; what stands here when reading fails is what the error uses.
#[derive(Default)]
struct Envelope<'a> {
    id: RequestId,
    id_refusal: Option<Refusal>,
    request: Option<(&'static str, &'a RawValue)>,
    second: Option<&'static str>,
    /// The first unknown member that holds an object, quoted.
    unknown: Option<String>,
}

enum Member {
    Id,
    Request(&'static str),
    Unknown(String),
}

impl<'de> Visitor<'de> for &mut Envelope<'de> {
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
                Member::Id => match whole("id", value).and_then(request_id) {
                    Ok(id) => self.id = id,
                    Err(refusal) => self.id_refusal = Some(refusal),
                },
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

// ------------------------------------------------------------------------------------------------------ objects

/// The known members of an object, at the places of their names. Of two with the same name the last one counts.
struct Object<'a, const N: usize> {
    at: &'a str,
    names: [&'static str; N],
    values: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Object<'a, N> {
    fn read(at: &'a str, body: &'a RawValue, names: [&'static str; N]) -> Result<Self, Refusal> {
        if !body.get().starts_with('{') {
            return Err(wrong_type(at, body, "an object"));
        }
        let mut object = Self {
            at,
            names,
            values: [None; N],
        };
        serde_json::Deserializer::from_str(body.get())
            .deserialize_map(&mut object)
            .map_err(|fault| unreadable(at, &fault))?;
        Ok(object)
    }

    /// The value at a place, if there is one; `null` is none.
    fn present(&self, place: usize) -> Option<&'a RawValue> {
        let value = (*self.values.get(place)?)?;
        (value.get() != "null").then_some(value)
    }

    fn field(&self, place: usize) -> String {
        format!("{}.{}", self.at, self.names.get(place).copied().unwrap_or_default())
    }

    fn text(&self, place: usize) -> Result<String, Refusal> {
        match self.present(place) {
            None => Ok(String::new()),
            Some(value) if value.get().starts_with('"') => {
                serde_json::from_str(value.get()).map_err(|fault| unreadable(&self.field(place), &fault))
            }
            Some(value) => Err(wrong_type(&self.field(place), value, "text")),
        }
    }

    fn number(&self, place: usize) -> Result<u64, Refusal> {
        match self.present(place) {
            None => Ok(0),
            Some(value) => whole(&self.field(place), value),
        }
    }

    fn small(&self, place: usize) -> Result<u32, Refusal> {
        let number = self.number(place)?;
        u32::try_from(number).map_err(|_| {
            ErrorCode::Invalid.because(format!(
                "{} is {number}; at most {} is possible",
                self.field(place),
                u32::MAX
            ))
        })
    }

    fn kind(&self, place: usize) -> Result<i32, Refusal> {
        let Some(value) = self.present(place) else {
            return Ok(0);
        };
        let expected = format!("{} or the number of a kind", KIND_WORDS.join(", "));
        if !value.get().starts_with('"') {
            let number =
                whole(&self.field(place), value).map_err(|_| wrong_type(&self.field(place), value, &expected))?;
            // What no i32 holds is no kind either; the check of kinds says which there are.
            return Ok(i32::try_from(number).unwrap_or(i32::MAX));
        }
        let word = self.text(place)?;
        KIND_WORDS
            .iter()
            .zip(0..)
            .find_map(|(known, number)| (*known == word).then_some(number))
            .ok_or_else(|| {
                ErrorCode::Invalid.because(format!(
                    "{} is {}; expected is {expected}",
                    self.field(place),
                    quoted(&word)
                ))
            })
    }

    fn positions(&self, place: usize) -> Result<Vec<plaza::Position>, Refusal> {
        let Some(list) = self.present(place) else {
            return Ok(Vec::new());
        };
        let field = self.field(place);
        if !list.get().starts_with('[') {
            return Err(wrong_type(&field, list, "a list of positions"));
        }
        let count = serde_json::Deserializer::from_str(list.get())
            .deserialize_seq(Count)
            .map_err(|fault| unreadable(&field, &fault))?;
        decode::resume_count(count)?;
        let entries: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|fault| unreadable(&field, &fault))?;
        let mut positions = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let at = format!("{field}[{index}]");
            let o = Object::read(&at, entry, ["room", "peer", "epoch", "seq"])?;
            positions.push(plaza::Position {
                room: o.text(0)?,
                peer: o.text(1)?,
                epoch: o.number(2)?,
                seq: o.number(3)?,
            });
        }
        Ok(positions)
    }
}

impl<'de, const N: usize> Visitor<'de> for &mut Object<'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(place) = members.next_key_seed(Place(&self.names))? {
            match place {
                Some(place) => {
                    let value = members.next_value()?;
                    let slot = self
                        .values
                        .get_mut(place)
                        .ok_or_else(|| M::Error::custom("no such place"))?;
                    *slot = Some(value);
                }
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Where a member's name stands among the known ones.
struct Place<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Option<usize>, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Counts the entries of a list and keeps none.
struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut entries: S) -> Result<usize, S::Error> {
        let mut count = 0;
        while entries.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

// ------------------------------------------------------------------------------------------------------ values

fn whole(field: &str, value: &RawValue) -> Result<u64, Refusal> {
    value.get().parse().map_err(|_| {
        if value.get().starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            ErrorCode::Invalid.because(format!(
                "{field} is {}; a whole number from 0 to {} is expected",
                value.get().chars().take(limits::ECHO_CHARS).collect::<String>(),
                limits::JSON_NUMBERS_BELOW - 1
            ))
        } else {
            wrong_type(field, value, "a whole number")
        }
    })
}

fn wrong_type(field: &str, value: &RawValue, expected: &str) -> Refusal {
    let seen = match value.get().bytes().next() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    };
    ErrorCode::Invalid.because(format!("{field} is {seen}; expected is {expected}"))
}

fn unreadable(field: &str, fault: &serde_json::Error) -> Refusal {
    ErrorCode::Malformed.because(format!("{field} cannot be read: {fault}; send JSON as in RFC 8259"))
}
