//! Helpers for the tests of the dialects: short constructors of events and replies, and the frames of an output.

use std::{sync::Arc, time::Duration};

use proptest::test_runner::{Config, RngSeed};

use super::{Codec, Dialect, Fault, Frames, Message};
use crate::chat::{
    ChatMessage, Departure, Direct, ErrorCode, Happening, MessageKind, Reply, Request, RequestId, RoomName, SessionTag,
    UserId, UserList, UserName, Welcome,
};

/// 2026-01-02 03:04:05 UTC, in Unix milliseconds.
pub(super) const AT: u64 = 1_767_323_045_000;

pub(super) fn user(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

pub(super) fn message(from: &str, text: &str) -> ChatMessage {
    ChatMessage {
        epoch: 7,
        seq: 42,
        prev: 41,
        at: AT,
        from: user(from),
        user: UserId::of_name(&user(from)),
        session: SessionTag(1),
        text: text.into(),
        kind: MessageKind::Text,
        echo: None,
    }
}

pub(super) fn list(names: &[&str], online: u32) -> UserList {
    UserList {
        online,
        names: names.iter().map(|name| user(name)).collect(),
    }
}

/// A complete list.
pub(super) fn all(names: &[&str]) -> UserList {
    list(names, u32::try_from(names.len()).unwrap())
}

pub(super) fn came(name: &str, users: Option<UserList>) -> Happening {
    Happening::UserJoined {
        user: user(name),
        online: users.as_ref().map_or(9, |users| users.online),
        version: 5,
        users,
    }
}

pub(super) fn went(name: &str, how: Departure) -> Happening {
    Happening::UserLeft {
        user: user(name),
        how,
        online: 1,
        version: 6,
        users: Some(all(&["ann"])),
    }
}

pub(super) fn renamed(old: &str, new: &str) -> Happening {
    Happening::Renamed {
        old: user(old),
        new: user(new),
        session: SessionTag(1),
        online: 2,
        users: Some(all(&["ann", new])),
    }
}

pub(super) fn digest(came: Option<&str>, went: Option<&str>) -> Happening {
    Happening::Digest {
        online: 9000,
        version: 70,
        joined: u32::from(came.is_some()) * 30,
        left: u32::from(went.is_some()) * 20,
        last_joined: came.map(user),
        last_left: went.map(user),
        sample: Arc::from([user("ann")]),
        users: Some(list(&["ann", "bob"], 9000)),
    }
}

pub(super) fn names(names: &[&str]) -> Reply {
    Reply::UserPage {
        room: RoomName::lobby(),
        users: all(names),
        next: None,
    }
}

pub(super) fn welcome(name: &str) -> Reply {
    Reply::Welcome(Box::new(Welcome {
        session: SessionTag(1),
        name: user(name),
        key: None,
        heartbeat: Duration::from_secs(54),
        at: AT,
        peer: "192.0.2.7:50123".parse().unwrap(),
    }))
}

pub(super) fn renamed_reply(old: &str, new: &str) -> Reply {
    Reply::Renamed {
        old: user(old),
        new: user(new),
        session: SessionTag(1),
        key: None,
    }
}

pub(super) fn direct(from: &str, to: &str, text: &str) -> Reply {
    Reply::Direct(Arc::new(Direct {
        to: UserId::of_name(&user(to)).receiver().unwrap(),
        message: message(from, text),
    }))
}

pub(super) fn refusal() -> Reply {
    Reply::Error(ErrorCode::StoreFailed.because("the disk is full; the message was not sent"))
}

/// A protobuf message of texts, field 1 first; empty ones are left out.
pub(crate) fn strings(fields: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, text) in (1..).zip(fields).filter(|(_, text)| !text.is_empty()) {
        prost::encoding::string::encode(number, &(*text).to_owned(), &mut bytes);
    }
    bytes
}

/// The frames that members of the lobby with this encoding get.
pub(super) fn seen(dialect: &dyn Dialect, encoding: usize, happening: &Happening) -> Frames {
    let mut out = Frames::default();
    dialect.encode_at(AT, encoding, &RoomName::lobby(), happening, &mut out);
    out
}

pub(super) fn reply_frames(codec: &mut dyn Codec, id: RequestId, reply: &Reply) -> Frames {
    let mut out = Frames::default();
    codec.encode_at(AT, id, reply, &mut out);
    out
}

pub(super) fn ask(codec: &mut dyn Codec, message: impl AsRef<[u8]>) -> Result<Vec<Request>, Fault> {
    let mut requests = Vec::new();
    codec.decode(Message::Text(message.as_ref()), &mut requests)?;
    Ok(requests)
}

/// The texts of JSON frames.
pub(super) fn texts(out: &Frames) -> Vec<String> {
    let text = |(first, payload)| {
        assert_eq!(first, 0x81, "JSON goes out as text");
        String::from_utf8(payload).unwrap()
    };
    frames(out).into_iter().map(text).collect()
}

/// The messages of protobuf frames.
pub(super) fn messages<M: prost::Message + Default>(out: &Frames) -> Vec<M> {
    let message = |(first, payload): (u8, Vec<u8>)| {
        assert_eq!(first, 0x82, "replies are binary frames");
        M::decode(payload.as_slice()).unwrap()
    };
    frames(out).into_iter().map(message).collect()
}

/// First byte and payload of each frame. A frame with its receiver's name is completed for `ann`.
pub(super) fn frames(out: &Frames) -> Vec<(u8, Vec<u8>)> {
    if let Some(at) = out.addressed {
        let (before, after) = out.buffer.split_at(at);
        return vec![(0x81, [before, b"ann", after].concat())];
    }
    let mut rest = &out.buffer[..];
    let mut frames = Vec::new();
    while let [first, length, more @ ..] = rest {
        let (length, more) = match length {
            127 => (u64::from_be_bytes(more[..8].try_into().unwrap()) as usize, &more[8..]),
            126 => (
                usize::from(u16::from_be_bytes(more[..2].try_into().unwrap())),
                &more[2..],
            ),
            short => (usize::from(*short), more),
        };
        let (payload, more) = more.split_at(length);
        frames.push((*first, payload.to_vec()));
        rest = more;
    }
    assert!(rest.is_empty(), "a torn frame");
    frames
}

/// The same cases in every run.
pub(super) fn fixed_cases(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(2_718_281_828),
        failure_persistence: None,
        ..Config::default()
    }
}
