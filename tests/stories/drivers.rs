//! One driver per dialect: how its clients join, send, list, rename and exit, and what its frames mean in common terms.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use plaza::{
    codec::DIALECTS,
    proto::{chat_request::ChatRequest, chatroom::ChatRoomRequest, communication::Communication},
};
use prost::Message;
use serde_json::{Value, json};

use super::{Heard, Peer, strings};

/// What a member sees, in terms that all dialects share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    Talk {
        from: String,
        text: String,
    },
    Came(String),
    Went(String),
    Renamed {
        old: String,
        new: String,
    },
    List(Vec<String>),
    /// An unrequested list, where it looks different.
    Changed(Vec<String>),
    /// Anything else, by its kind in the dialect.
    Other(&'static str, String),
    Close(u16),
}

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Text(String),
    Binary(Vec<u8>),
}

impl Said {
    pub fn send(&self, client: &mut Peer) {
        match self {
            Self::Text(text) => client.send_text(text),
            Self::Binary(bytes) => client.send_binary(bytes),
        }
    }
}

/// Opens a connection to a path with headers.
pub type Connect<'a> = dyn Fn(&str, &[(&str, &[u8])]) -> Peer + 'a;

/// How the clients of one dialect behave.
pub struct Driver {
    pub dialect: &'static str,
    /// Connects and joins the lobby under this name; returns when it is a member.
    pub come: fn(&Connect<'_>, &str) -> Peer,
    pub talk: fn(&str) -> Said,
    pub list: Option<fn() -> Said>,
    pub rename: Option<fn(&str) -> Said>,
    pub exit: Option<fn() -> Said>,
    read: fn(&Heard) -> Shown,
}

/// A client and what it has seen.
pub struct Member {
    pub name: String,
    pub driver: &'static Driver,
    pub client: Peer,
    shown: Vec<Shown>,
}

static DRIVERS: [Driver; 6] = [
    Driver {
        dialect: "plaza",
        come: |connect, name| {
            let mut client = connect("/chat", &[]);
            client.send_text(&format!(r#"{{"id":1,"hello":{{"name":{}}}}}"#, quoted(name)));
            client.send_text(r#"{"id":2,"join":{"room":"lobby"}}"#);
            until(&mut client, |text| text.contains(r#""joined":{"room":"lobby""#));
            client
        },
        talk: |text| Said::Text(format!(r#"{{"talk":{{"room":"lobby","text":{}}}}}"#, quoted(text))),
        list: Some(|| Said::Text(r#"{"id":9,"users":{"room":"lobby"}}"#.into())),
        rename: Some(|name| Said::Text(format!(r#"{{"rename":{{"name":{}}}}}"#, quoted(name)))),
        exit: Some(|| Said::Text(r#"{"exit":{}}"#.into())),
        read: read_plaza,
    },
    Driver {
        dialect: "communication",
        come: |connect, name| {
            let client = connect(&format!("/ws/communication?username={name}"), &[]);
            listed(client, &communication("3", ""), 2)
        },
        talk: |text| communication("1", text),
        list: Some(|| communication("3", "")),
        rename: None,
        exit: Some(|| communication("2", "")),
        read: read_communication,
    },
    Driver {
        dialect: "chat-request",
        come: |connect, name| {
            let client = connect("/ws/chat-request", &[("username", name.as_bytes())]);
            listed(client, &chat_request("userlist", ""), 2)
        },
        talk: |text| chat_request("talk", text),
        list: Some(|| chat_request("userlist", "")),
        rename: None,
        exit: Some(|| chat_request("exit", "")),
        read: read_chat_request,
    },
    Driver {
        dialect: "chatroom",
        come: |connect, name| {
            let client = connect("/ws/chatroom", &[("username", name.as_bytes())]);
            listed(client, &chatroom("userlist", ""), 1)
        },
        talk: |text| chatroom("talk", text),
        list: Some(|| chatroom("userlist", "")),
        rename: None,
        exit: Some(|| chatroom("exit", "")),
        read: read_chatroom,
    },
    Driver {
        dialect: "tutorial",
        come: |connect, name| {
            let mut client = connect("/ws/tutorial", &[]);
            client.send_text(&format!(r#"{{"type":"login","content":{}}}"#, quoted(name)));
            until(&mut client, |text| text.contains(r#""type":"login""#));
            client
        },
        talk: |text| Said::Text(format!(r#"{{"type":"user","content":{}}}"#, quoted(text))),
        list: Some(|| Said::Text(r#"{"type":"list"}"#.into())),
        rename: Some(|name| Said::Text(format!(r#"{{"type":"rename","content":{}}}"#, quoted(name)))),
        exit: Some(|| Said::Text(r#"{"type":"logout"}"#.into())),
        read: read_tutorial,
    },
    Driver {
        dialect: "action",
        come: |connect, name| {
            let mut client = connect("/ws/action", &[]);
            let data = json!({"appId": 1, "userId": name, "groupsId": "1"});
            client.send_text(&json!({"seq": "1", "action": "login", "data": data}).to_string());
            let let_in = r#""action":"login","response":{"code":200"#;
            until(&mut client, |text| text.contains(let_in));
            client
        },
        talk: |text| {
            let data = json!({"msgType": "text", "message": text});
            Said::Text(json!({"seq": "2", "action": "sendmsg", "data": data}).to_string())
        },
        // Document 003 has none of these: lists are at `/user/list`, and who leaves hangs up.
        list: None,
        rename: None,
        exit: None,
        read: read_action,
    },
];

/// Every dialect's driver, in the order of the dialects. A new dialect without one fails here.
pub fn all() -> impl Iterator<Item = &'static Driver> {
    DIALECTS.iter().map(|dialect| driver(dialect.name()))
}

pub fn driver(dialect: &str) -> &'static Driver {
    let found = DRIVERS.iter().find(|driver| driver.dialect == dialect);
    found.unwrap_or_else(|| panic!("the dialect {dialect} has no driver in tests/stories/drivers.rs"))
}

impl Driver {
    pub fn shown(&self, heard: &Heard) -> Shown {
        (self.read)(heard)
    }
}

impl Member {
    pub fn come(address: SocketAddr, dialect: &str, name: &str) -> Self {
        Self::over(&|path, headers| Peer::open(address, path, headers), dialect, name)
    }

    /// With a small receive buffer, for a client that will not read.
    pub fn come_narrow(address: SocketAddr, dialect: &str, name: &str) -> Self {
        let connect = |path: &str, headers: &[(&str, &[u8])]| Peer::open_narrow(address, path, headers);
        Self::over(&connect, dialect, name)
    }

    fn over(connect: &Connect<'_>, dialect: &str, name: &str) -> Self {
        let driver = driver(dialect);
        Self {
            name: name.into(),
            driver,
            client: (driver.come)(connect, name),
            shown: Vec::new(),
        }
    }

    pub fn say(&mut self, said: &Said) {
        said.send(&mut self.client);
    }

    pub fn talk(&mut self, text: &str) {
        self.say(&(self.driver.talk)(text));
    }

    /// Reads until it sees this.
    pub fn wait_for(&mut self, wanted: &Shown) {
        self.wait_until(&format!("{wanted:?}"), |shown| shown == wanted);
    }

    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&Shown) -> bool) {
        if self.shown.iter().any(&wanted) {
            return;
        }
        loop {
            let heard = self.client.hear();
            let (name, before) = (&self.name, &self.shown);
            assert_ne!(heard, Heard::End, "{name} waited for {what} and was shown {before:?}");
            let shown = self.driver.shown(&heard);
            let done = wanted(&shown);
            self.shown.push(shown);
            if done {
                return;
            }
        }
    }

    /// What it has seen since the last call.
    pub fn take(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
    }

    /// The same without lists, which the server sends to some clients a while after a join or leave.
    pub fn take_events(&mut self) -> Vec<Shown> {
        let mut shown = self.take();
        shown.retain(|shown| !matches!(shown, Shown::List(_) | Shown::Changed(_)));
        shown
    }

    /// Asks for the list until it has these users, in any order.
    pub fn wait_for_list(&mut self, names: &[&str]) {
        let ask = self.driver.list.unwrap();
        let mut names = names.to_vec();
        names.sort_unstable();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.say(&ask());
            self.wait_until("a list", |shown| matches!(shown, Shown::List(_)));
            let shown = self.take();
            let is_it = shown.iter().any(|shown| {
                let Shown::List(listed) = shown else { return false };
                let mut listed: Vec<&str> = listed.iter().map(String::as_str).collect();
                listed.sort_unstable();
                listed == names
            });
            if is_it {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} is not shown {names:?} but {shown:?}",
                self.name
            );
        }
    }
}

pub fn talk(from: &str, text: &str) -> Shown {
    let (from, text) = (from.into(), text.into());
    Shown::Talk { from, text }
}

pub fn renamed(old: &str, new: &str) -> Shown {
    let (old, new) = (old.into(), new.into());
    Shown::Renamed { old, new }
}

pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn communication(kind: &str, msg: &str) -> Said {
    Said::Binary(strings(&[kind, msg]))
}

fn chat_request(kind: &str, content: &str) -> Said {
    Said::Binary(strings(&["", kind, content]))
}

fn chatroom(kind: &str, content: &str) -> Said {
    Said::Binary(strings(&[kind, "", content]))
}

/// A client that has asked for the list and heard this many lists: the answer, and in some dialects one that comes by itself.
fn listed(mut client: Peer, ask: &Said, lists: usize) -> Peer {
    ask.send(&mut client);
    for _ in 0..lists {
        client.hear();
    }
    client
}

fn until(client: &mut Peer, wanted: impl Fn(&str) -> bool) {
    loop {
        match client.hear() {
            Heard::Text(text) if wanted(&text) => return,
            Heard::Text(_) => {}
            other => panic!("{other:?} instead of being let in"),
        }
    }
}

fn read_plaza(heard: &Heard) -> Shown {
    let Heard::Text(text) = heard else { return closed(heard) };
    let json: Value = serde_json::from_str(text).unwrap();
    if let Some(message) = json.get("message") {
        return talk(&string(message, "from"), &string(message, "text"));
    }
    if let Some(presence) = json.get("presence") {
        return match (names(&presence["joined"]).pop(), names(&presence["left"]).pop()) {
            (Some(name), None) => Shown::Came(name),
            (None, Some(name)) => Shown::Went(name),
            _ => Shown::Other("digest", text.clone()),
        };
    }
    if let Some(renamed) = json.get("renamed").filter(|renamed| renamed.get("room").is_some()) {
        return self::renamed(&string(renamed, "old"), &string(renamed, "new"));
    }
    if let Some(users) = json.get("users") {
        return Shown::List(names(&users["names"]));
    }
    for kind in [
        "direct", "topic", "typing", "system", "gap", "error", "goodbye", "ack", "renamed", "pong", "left",
    ] {
        if json.get(kind).is_some() {
            return Shown::Other(kind, text.clone());
        }
    }
    panic!("{text} is not known to the driver");
}

fn read_communication(heard: &Heard) -> Shown {
    let Some(wire) = decoded::<Communication>(heard) else {
        return closed(heard);
    };
    assert_eq!(wire.ip, "");
    match wire.r#type.as_str() {
        "1" => {
            let text = wire.msg.strip_prefix(&format!("{}:", wire.username));
            talk(&wire.username, text.expect("the name before the text"))
        }
        "2" => {
            assert_eq!(wire.msg, format!("{}out", wire.username));
            Shown::Went(wire.username)
        }
        "3" => {
            let joined: String = wire.userlist.iter().map(|name| format!("{name},")).collect();
            assert_eq!(wire.msg, joined);
            Shown::List(wire.userlist)
        }
        other => panic!("Type {other:?}"),
    }
}

fn read_chat_request(heard: &Heard) -> Shown {
    let Some(wire) = decoded::<ChatRequest>(heard) else {
        return closed(heard);
    };
    match wire.r#type.as_str() {
        "talk" => {
            assert!(wire.user_list.is_empty(), "a talk carries no list");
            talk(&wire.user_name, &wire.content)
        }
        "exit" => {
            assert_eq!(wire.content, "exit");
            Shown::Went(wire.user_name)
        }
        "userlist" if wire.content.is_empty() => Shown::Changed(wire.user_list.into_keys().collect()),
        "userlist" => {
            let names: Vec<String> = wire.content.split_terminator(',').map(str::to_owned).collect();
            let mut listed = wire.user_list.iter();
            assert!(listed.all(|(key, value)| key == value && names.contains(key)));
            assert_eq!(wire.user_list.len(), names.len());
            Shown::List(names)
        }
        other => panic!("type {other:?}"),
    }
}

fn read_chatroom(heard: &Heard) -> Shown {
    let Some(wire) = decoded::<ChatRoomRequest>(heard) else {
        return closed(heard);
    };
    match wire.r#type.as_str() {
        "talk" => {
            assert!(wire.user_list.is_empty(), "a talk carries no list");
            talk(&wire.user_name, &wire.content)
        }
        "userlist" => Shown::List(wire.user_list.into_keys().collect()),
        other => panic!("type {other:?}"),
    }
}

fn read_tutorial(heard: &Heard) -> Shown {
    let Heard::Text(text) = heard else { return closed(heard) };
    assert!(text.starts_with(r#"{"ip":""#), "{text}");
    let mut rest = text.as_str();
    for key in ["ip", "user", "from", "type", "content", "user_list"] {
        let found = rest.split_once(&format!("\"{key}\":"));
        rest = found
            .unwrap_or_else(|| panic!("{key} is missing or out of order in {text}"))
            .1;
    }
    let json: Value = serde_json::from_str(text).unwrap();
    match json["type"].as_str().unwrap() {
        "user" => talk(&string(&json, "from"), &string(&json, "content")),
        "login" => Shown::Came(string(&json, "content")),
        "logout" => Shown::Went(string(&json, "content")),
        "rename" => renamed(&string(&json, "from"), &string(&json, "content")),
        "list" => Shown::List(names(&json["user_list"])),
        "handshake" => Shown::Other("handshake", text.clone()),
        "system" => Shown::Other("system", string(&json, "content")),
        other => panic!("type {other:?}"),
    }
}

fn read_action(heard: &Heard) -> Shown {
    let Heard::Text(text) = heard else { return closed(heard) };
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        return Shown::Other("error", text.clone());
    };
    if json.get("response").is_some() {
        return Shown::Other("response", text.clone());
    }
    let data = &json["data"];
    match data["action"].as_str().unwrap() {
        "sendmsg" => talk(&string(data, "from"), &string(data, "content")),
        "exit" => {
            assert_eq!(data["content"], "用户已经离开");
            Shown::Went(string(data, "from"))
        }
        "enter" => Shown::Other("enter", text.clone()),
        other => panic!("action {other:?}"),
    }
}

fn decoded<M: Message + Default>(heard: &Heard) -> Option<M> {
    let Heard::Binary(bytes) = heard else { return None };
    Some(M::decode(&bytes[..]).unwrap())
}

fn closed(heard: &Heard) -> Shown {
    match heard {
        Heard::Close(code, _) => Shown::Close(*code),
        other => panic!("{other:?} in the wrong kind of frame"),
    }
}

fn string(json: &Value, key: &str) -> String {
    let text = json[key].as_str();
    text.unwrap_or_else(|| panic!("{key} is no text in {json}")).to_owned()
}

fn names(json: &Value) -> Vec<String> {
    let names = json.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}
