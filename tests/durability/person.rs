//! A session of the native protocol that keeps every event, including those that arrive while it waits for a reply.

use std::{collections::VecDeque, net::SocketAddr};

use serde_json::{Value, json};

use crate::support::Peer;

pub struct Person {
    pub peer: Peer,
    pub welcome: Value,
    heard: VecDeque<Value>,
    next_id: u64,
}

impl Person {
    /// Connects and sends this hello.
    pub fn hello(address: SocketAddr, hello: Value) -> Self {
        let mut person = Self::silent(address);
        let welcome = person.ask(json!({ "hello": hello }));
        assert!(welcome["welcome"].is_object(), "{welcome}");
        person.welcome = welcome["welcome"].clone();
        person
    }

    pub fn named(address: SocketAddr, name: &str) -> Self {
        Self::hello(address, json!({ "name": name }))
    }

    /// With a key made from the name; the first session with it claims the name.
    pub fn keyed(address: SocketAddr, name: &str) -> Self {
        Self::with_key(address, name, &key_of(name))
    }

    pub fn with_key(address: SocketAddr, name: &str, key: &str) -> Self {
        Self::hello(address, json!({"name": name, "key": key}))
    }

    pub fn joined(address: SocketAddr, name: &str, room: &str) -> Self {
        let mut person = Self::named(address, name);
        person.join(json!({ "room": room }));
        person
    }

    /// Connects without a hello.
    pub fn silent(address: SocketAddr) -> Self {
        Self {
            peer: Peer::open(address, "/chat", &[("Sec-WebSocket-Protocol", b"plaza.v1.json")]),
            welcome: Value::Null,
            heard: VecDeque::new(),
            next_id: 0,
        }
    }

    pub fn key(&self) -> String {
        self.welcome["key"].as_str().unwrap().to_owned()
    }

    /// Sends a request, and returns its id.
    pub fn send(&mut self, mut request: Value) -> u64 {
        self.next_id += 1;
        request["id"] = json!(self.next_id);
        self.peer.send_text(&request.to_string());
        self.next_id
    }

    /// Sends a request, and returns its reply.
    pub fn ask(&mut self, request: Value) -> Value {
        let id = self.send(request);
        self.reply(id)
    }

    pub fn reply(&mut self, id: u64) -> Value {
        if let Some(at) = self.heard.iter().position(|event| event["id"] == json!(id)) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let event = self.peer.event();
            if event["id"] == json!(id) {
                return event;
            }
            self.heard.push_back(event);
        }
    }

    /// Sends a request, and returns what its reply of this kind holds.
    pub fn get(&mut self, kind: &str, request: Value) -> Value {
        let reply = self.ask(request);
        assert!(reply[kind].is_object(), "{reply}");
        reply[kind].clone()
    }

    /// Sends a request that is refused with this code, and returns the error.
    pub fn refused(&mut self, code: &str, request: Value) -> Value {
        let error = self.get("error", request);
        assert_eq!(error["code"], code, "{error}");
        error
    }

    pub fn join(&mut self, join: Value) -> Value {
        self.get("joined", json!({ "join": join }))
    }

    /// Sends a message, and returns its acknowledgement.
    pub fn say(&mut self, room: &str, text: &str) -> Value {
        self.get("ack", json!({"talk": {"room": room, "text": text}}))
    }

    pub fn direct(&mut self, to: &str, text: &str) -> Value {
        self.get("ack", json!({"direct": {"to": to, "text": text}}))
    }

    /// Takes another name, with a key if there is one, and returns the reply.
    pub fn rename(&mut self, name: &str, key: Option<&str>) -> Value {
        self.get("renamed", json!({"rename": {"name": name, "key": key}}))
    }

    /// Sends many messages, a few hundred in flight, and waits for all acknowledgements.
    pub fn say_all(&mut self, texts: impl IntoIterator<Item = Value>) {
        let mut waiting = VecDeque::new();
        for request in texts {
            waiting.push_back(self.send(request));
            if waiting.len() >= 256 {
                let ack = self.reply(waiting.pop_front().unwrap());
                assert!(ack["ack"].is_object(), "{ack}");
            }
        }
        for id in waiting {
            let ack = self.reply(id);
            assert!(ack["ack"].is_object(), "{ack}");
        }
    }

    /// The next event.
    pub fn event(&mut self) -> Value {
        self.heard.pop_front().unwrap_or_else(|| self.peer.event())
    }

    /// The next event of this kind; skips others.
    pub fn next(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event();
            if event[kind].is_object() {
                return event[kind].clone();
            }
        }
    }

    /// All events up to the answer to a ping, which the server sends after everything before it.
    pub fn heard(&mut self) -> Vec<Value> {
        let id = self.send(json!({"ping": {}}));
        let pong = self.reply(id);
        assert!(pong["pong"].is_object(), "{pong}");
        self.heard.drain(..).collect()
    }

    /// Nothing of this kind has come since it was last looked at.
    pub fn heard_no(&mut self, kind: &str) {
        let heard = self.heard();
        assert!(heard.iter().all(|event| event[kind].is_null()), "{heard:?}");
    }

    /// The texts of events of this kind, up to a given one.
    pub fn texts_until(&mut self, kind: &str, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let event = self.next(kind);
            texts.push(event["text"].as_str().unwrap().to_owned());
            if event["text"] == last {
                return texts;
            }
        }
    }

    pub fn history(&mut self, question: Value) -> Value {
        self.get("history", json!({ "history": question }))
    }

    /// All stored messages of a room, in order.
    pub fn all(&mut self, room: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |last| last["seq"].as_u64().unwrap());
            let page = self.history(json!({"room": room, "after": after, "limit": 200}));
            all.extend(page["messages"].as_array().unwrap().iter().cloned());
            if page["more"] != json!(true) {
                return all;
            }
        }
    }
}

/// The key of [`Person::keyed`].
pub fn key_of(name: &str) -> String {
    format!("the key of {name}, of 32 bytes or more")
}
