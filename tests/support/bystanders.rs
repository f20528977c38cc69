//! Well-behaved clients that notice what happens to others: a lost message, a wrong join or leave.

use std::{net::SocketAddr, time::Instant};

use serde_json::json;

use super::{PATIENCE, Peer};

/// Two well-behaved clients in their own room: one sends, the other checks that each message arrives once, in order.
pub struct Healthy {
    talker: Peer,
    listener: Peer,
    room: String,
    talks: u64,
    last_seq: Option<u64>,
}

impl Healthy {
    pub fn in_room(address: SocketAddr, room: &str) -> Self {
        Self {
            listener: Peer::native_in(address, &format!("listener of {room}"), room),
            talker: Peer::native_in(address, &format!("talker of {room}"), room),
            room: room.to_owned(),
            talks: 0,
            last_seq: None,
        }
    }

    /// Sends one more message, and checks its acknowledgement and its arrival, without a gap before it.
    pub fn check(&mut self) {
        self.talks += 1;
        let text = format!("talk {}", self.talks);
        let ack = self.talker.say(&self.room, &text);
        let heard = self.listener.event_where(|event| event["message"].is_object());
        let message = &heard["message"];
        assert_eq!(message["text"], text);
        if let Some(last) = self.last_seq {
            assert_eq!(message["prev"].as_u64(), Some(last), "a talk was lost");
        }
        self.last_seq = message["seq"].as_u64();
        assert_eq!(self.last_seq, ack["seq"].as_u64());
    }
}

/// A member who counts joins and leaves.
pub struct Watcher {
    peer: Peer,
    room: String,
    marks: u64,
    /// All joins and leaves, in order.
    pub seen: Vec<(Moved, String)>,
    /// All texts, in order.
    pub texts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Came,
    Went,
}

impl Watcher {
    pub fn in_room(address: SocketAddr, room: &str) -> Self {
        Self {
            peer: Peer::native_in(address, "watcher", room),
            room: room.to_owned(),
            marks: 0,
            seen: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn take_one(&mut self) {
        let event = self.peer.event();
        for (list, moved) in [("joined", Moved::Came), ("left", Moved::Went)] {
            let names = event["presence"][list].as_array().cloned().unwrap_or_default();
            let names = names.iter().map(|name| (moved, name.as_str().unwrap().to_owned()));
            self.seen.extend(names);
        }
        if let Some(text) = event["message"]["text"].as_str() {
            self.texts.push(text.to_owned());
        }
    }

    /// Reads until a user has joined or left.
    pub fn wait_for(&mut self, moved: Moved, name: &str) {
        let end = Instant::now() + PATIENCE;
        while self.times(moved, name) == 0 {
            self.take_one();
            assert!(Instant::now() < end, "{name} never {moved:?}; seen: {:?}", self.seen);
        }
    }

    /// Reads everything that has happened so far, up to a message of its own.
    pub fn settle(&mut self) {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let talk = json!({"id": 1_000_000 + self.marks, "talk": {"room": self.room, "text": mark}});
        self.peer.send_text(&talk.to_string());
        while self.texts.last() != Some(&mark) {
            self.take_one();
        }
    }

    pub fn times(&self, moved: Moved, name: &str) -> usize {
        self.seen
            .iter()
            .filter(|(seen, who)| *seen == moved && who == name)
            .count()
    }

    /// The users in the room, by its list.
    pub fn users(&mut self) -> Vec<String> {
        self.marks += 1;
        let id = 1_000_000 + self.marks;
        let request = json!({"id": id, "users": {"room": self.room, "limit": 200}});
        self.peer.send_text(&request.to_string());
        let page = self.peer.event_where(|event| event["id"] == json!(id));
        let names = page["users"]["names"].as_array().unwrap_or_else(|| panic!("{page}"));
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Checks that the list has lost the user and that there is exactly one notice.
    pub fn gone_once(&mut self, name: &str) {
        self.wait_for(Moved::Went, name);
        self.settle();
        assert_eq!(self.times(Moved::Went, name), 1, "{:?}", self.seen);
        assert!(!self.users().iter().any(|user| user == name));
    }
}
