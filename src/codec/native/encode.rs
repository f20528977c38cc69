//! Converts events and replies to messages of the schema.

use std::time::Duration;

use crate::{
    chat::{
        ChatMessage, Conversation, Direct, Happening, HistoryPage, Joined, MessageKind, Refusal, Reply, RoomEntry,
        RoomName, UnreadEntry, UserName, Welcome,
    },
    limits,
    proto::plaza::{self, server_message::Event},
};

/// The message for an event in a room; `None` if other messages show it.
pub(super) fn happening(room: &RoomName, happening: &Happening) -> Option<Event> {
    let room = room.to_string();
    Some(match happening {
        Happening::Message(message) => Event::Message(self::message(room, message)),
        Happening::UserJoined {
            user,
            online,
            version,
            users: _,
        } => Event::Presence(plaza::Presence {
            room,
            online: *online,
            version: *version,
            joined: vec![user.to_string()],
            ..Default::default()
        }),
        Happening::UserLeft {
            user,
            how: _,
            online,
            version,
            users: _,
        } => Event::Presence(plaza::Presence {
            room,
            online: *online,
            version: *version,
            left: vec![user.to_string()],
            ..Default::default()
        }),
        Happening::Renamed {
            old,
            new,
            session,
            online: _,
            users: _,
        } => Event::Renamed(plaza::Renamed {
            room,
            old: old.to_string(),
            new: new.to_string(),
            session: session.to_string(),
            key: String::new(),
        }),
        Happening::Digest {
            online,
            version,
            joined: _,
            left: _,
            last_joined: _,
            last_left: _,
            sample,
            users: _,
        } => Event::Presence(plaza::Presence {
            room,
            online: *online,
            version: *version,
            names: names(sample),
            ..Default::default()
        }),
        Happening::Roster { users: _ } => return None,
        Happening::Topic { topic, from } => Event::Topic(plaza::Topic {
            room,
            topic: topic.to_string(),
            from: from.to_string(),
        }),
        Happening::Typing { from } => Event::Typing(plaza::IsTyping {
            room,
            from: from.to_string(),
        }),
        Happening::System { text } => Event::System(plaza::System {
            room,
            text: text.to_string(),
        }),
    })
}

/// The message for an event of one session; `None` if the protocol has none.
pub(super) fn reply(reply: &Reply) -> Option<Event> {
    Some(match reply {
        // This protocol's clients speak first.
        Reply::Greeting { peer: _, users: _ } | Reply::PeerLeft { user: _ } => return None,
        Reply::Welcome(welcome) => Event::Welcome(self::welcome(welcome)),
        Reply::Joined(joined) => Event::Joined(self::joined(joined)),
        Reply::Left { room } => Event::Left(plaza::Left { room: room.to_string() }),
        Reply::Replayed { room, message } => Event::Message(self::message(room.to_string(), message)),
        Reply::Direct(direct) => self::direct(direct),
        Reply::Ack {
            position,
            at,
            duplicate,
        } => Event::Ack(plaza::Ack {
            seq: position.seq,
            at: *at,
            epoch: position.epoch,
            duplicate: *duplicate,
        }),
        Reply::UserPage { room, users, next } => Event::Users(plaza::UserPage {
            room: room.to_string(),
            online: users.online,
            names: names(&users.names),
            next: next.as_ref().map_or_else(String::new, UserName::to_string),
        }),
        Reply::RoomPage { rooms, next } => Event::Rooms(plaza::RoomPage {
            rooms: rooms.iter().map(room_entry).collect(),
            next: next.as_ref().map_or_else(String::new, RoomName::to_string),
        }),
        Reply::TopicSet { room, topic } => Event::Topic(plaza::Topic {
            room: room.to_string(),
            topic: topic.to_string(),
            from: String::new(),
        }),
        Reply::Renamed { old, new, session, key } => Event::Renamed(plaza::Renamed {
            room: String::new(),
            old: old.to_string(),
            new: new.to_string(),
            session: session.to_string(),
            key: key.clone().unwrap_or_default(),
        }),
        Reply::History(page) => Event::History(history(page)),
        Reply::Search { page, next } => {
            let (room, peer) = place(&page.conversation);
            Event::Search(plaza::SearchPage {
                room,
                peer,
                messages: messages(page),
                next: next.unwrap_or(0),
            })
        }
        Reply::ReadMark {
            conversation,
            seq,
            unread,
        } => {
            let (room, peer) = place(conversation);
            Event::Read(plaza::ReadMark {
                room,
                peer,
                seq: *seq,
                unread: *unread,
            })
        }
        Reply::UnreadList(page) => Event::Unread(plaza::UnreadList {
            conversations: page.entries.iter().map(unread).collect(),
            more: page.more,
        }),
        Reply::TypingTo { from } => Event::Typing(plaza::IsTyping {
            room: String::new(),
            from: from.to_string(),
        }),
        Reply::Gap {
            conversation,
            epoch,
            from,
            to,
            lost,
        } => {
            let (room, peer) = place(conversation);
            Event::Gap(plaza::Gap {
                room,
                peer,
                epoch: *epoch,
                from: *from,
                to: *to,
                lost: *lost,
            })
        }
        Reply::System { text } => Event::System(plaza::System {
            room: String::new(),
            text: text.to_string(),
        }),
        Reply::Pong { at } => Event::Pong(plaza::Pong { at: *at }),
        Reply::Error(refusal) => Event::Error(error(refusal)),
        Reply::Goodbye {
            code,
            text,
            retry_after,
        } => Event::Goodbye(plaza::Goodbye {
            code: code.name().to_owned(),
            text: text.to_string(),
            retry_after: retry_ms(*retry_after),
        }),
    })
}

fn welcome(welcome: &Welcome) -> plaza::Welcome {
    plaza::Welcome {
        session: welcome.session.to_string(),
        name: welcome.name.to_string(),
        key: welcome.key.clone().unwrap_or_default(),
        heartbeat_ms: u32::try_from(welcome.heartbeat.as_millis()).unwrap_or(u32::MAX),
        limits: Some(plaza::Limits {
            message_bytes: small(limits::NATIVE_MESSAGE_BYTES),
            text_bytes: small(limits::TEXT_BYTES),
            name_chars: small(limits::NAME_CHARS),
            rooms: small(limits::ROOMS_PER_SESSION),
            page: small(limits::PAGE_ENTRIES),
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: welcome.at,
    }
}

fn joined(joined: &Joined) -> plaza::Joined {
    plaza::Joined {
        room: joined.room.to_string(),
        epoch: joined.head.epoch,
        head: joined.head.seq,
        online: joined.online,
        topic: joined.topic.to_string(),
        history: joined.history,
        read: joined.read,
        from: joined.from,
    }
}

fn message(room: String, message: &ChatMessage) -> plaza::Message {
    plaza::Message {
        room,
        seq: message.seq,
        prev: message.prev,
        at: message.at,
        from: message.from.to_string(),
        session: message.session.to_string(),
        text: message.text.to_string(),
        kind: kind(message.kind),
        epoch: message.epoch,
        user: message.user.to_string(),
    }
}

pub(super) fn direct(direct: &Direct) -> Event {
    let message = &direct.message;
    Event::Direct(plaza::DirectMessage {
        from: message.from.to_string(),
        to: direct.to.name.to_string(),
        seq: message.seq,
        prev: message.prev,
        at: message.at,
        session: message.session.to_string(),
        text: message.text.to_string(),
        kind: kind(message.kind),
        epoch: message.epoch,
        user: message.user.to_string(),
    })
}

fn history(page: &HistoryPage) -> plaza::HistoryPage {
    let (room, peer) = place(&page.conversation);
    plaza::HistoryPage {
        room,
        peer,
        epoch: page.epoch,
        messages: messages(page),
        more: page.more,
        first: page.first,
    }
}

/// The messages of a page. Those of a direct conversation have no room.
fn messages(page: &HistoryPage) -> Vec<plaza::Message> {
    let (room, _) = place(&page.conversation);
    page.messages.iter().map(|each| message(room.clone(), each)).collect()
}

fn room_entry(entry: &RoomEntry) -> plaza::RoomEntry {
    plaza::RoomEntry {
        name: entry.name.to_string(),
        topic: entry.topic.to_string(),
        online: entry.online,
    }
}

fn unread(entry: &UnreadEntry) -> plaza::Conversation {
    let (room, peer) = place(&entry.conversation);
    plaza::Conversation {
        room,
        peer,
        epoch: entry.epoch,
        read: entry.read,
        head: entry.head,
        unread: entry.unread,
    }
}

fn error(refusal: &Refusal) -> plaza::Error {
    plaza::Error {
        code: refusal.code.name().to_owned(),
        text: refusal.text.to_string(),
        retry_after: retry_ms(refusal.retry_after),
    }
}

/// `room` and `peer`; one of them is empty.
fn place(conversation: &Conversation) -> (String, String) {
    match conversation {
        Conversation::Room(room) => (room.to_string(), String::new()),
        Conversation::Peer(peer) => (String::new(), peer.to_string()),
    }
}

fn names(names: &[UserName]) -> Vec<String> {
    names.iter().map(UserName::to_string).collect()
}

pub(super) fn kind(kind: MessageKind) -> i32 {
    i32::from(match kind {
        MessageKind::Text => plaza::Kind::Text,
        MessageKind::Image => plaza::Kind::Image,
        MessageKind::Video => plaza::Kind::Video,
        MessageKind::Voice => plaza::Kind::Voice,
    })
}

/// Milliseconds, at least 1, because 0 means that the client should not try again.
fn retry_ms(wait: Option<Duration>) -> u64 {
    wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
}

fn small(bound: usize) -> u32 {
    u32::try_from(bound).unwrap_or(u32::MAX)
}
