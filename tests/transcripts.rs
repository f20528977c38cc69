//! Replays every conversation of docs/wire/*.md against a server over real sockets and compares it byte for byte. docs/wire/README.md
//! describes the format, and what may vary.
#![allow(clippy::unwrap_used)]

mod stories;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, time::Duration};

use plaza::{
    chat::{RoomName, UserName},
    codec::DIALECTS,
    proto::{
        chat_request::ChatRequest,
        chatroom::ChatRoomRequest,
        communication::Communication,
        plaza::{ClientMessage, ServerMessage, server_message::Event},
    },
};
use prost::Message;
use stories::{CLOSE, Heard, Peer, Running, TEXT, start, start_with, stored};

const AT: u64 = 1_767_323_045_000;
const EPOCH: u64 = 7;

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs/wire")
        .join(format!("{name}.md"))
}

#[test]
fn every_transcript_is_what_happens() {
    let write = std::env::var_os("PLAZA_WRITE_TRANSCRIPTS").is_some();
    for dialect in DIALECTS {
        let path = page(dialect.name());
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} has no transcript: {error}", path.display()));
        let (replayed, conversations) = replay_page(&text, write);
        assert!(conversations > 0, "{} has no conversation", path.display());
        if write {
            fs::write(&path, replayed).unwrap();
        } else {
            compare(dialect.name(), &text, &replayed);
        }
    }
}

/// The first line that differs is the one to look at.
fn compare(dialect: &str, page: &str, replayed: &str) {
    for (number, (stands, happens)) in page.lines().zip(replayed.lines()).enumerate() {
        assert_eq!(
            stands,
            happens,
            "docs/wire/{dialect}.md line {}: left stands there, right happens",
            number + 1
        );
    }
    assert_eq!(page, replayed, "docs/wire/{dialect}.md");
}

/// The page with everything that was heard in its place, and how many conversations there were.
fn replay_page(page: &str, write: bool) -> (String, usize) {
    let mut out = String::new();
    let mut lines = page.lines();
    let mut conversations = 0;
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if line == "```wire" {
            let script: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            conversations += 1;
            replay(&script, write, &mut out);
            out.push_str("```\n");
        }
    }
    (out, conversations)
}

/// One connection of a conversation.
struct Actor {
    client: Peer,
    /// The last part of its path: in which schema its binary messages are.
    schema: String,
}

fn replay(script: &[&str], write: bool, out: &mut String) {
    let directory = tempfile::tempdir().unwrap();
    let mut running = None;
    let mut stopping = None;
    let mut actors: BTreeMap<&str, Actor> = BTreeMap::new();
    let mut stand_ins = StandIns::default();
    for line in script {
        // What bytes mean is written anew from the bytes.
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            out.push('\n');
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or("");
        let (name, verb, rest) = (word(), word(), word());
        if name == "server" {
            match (verb, rest) {
                ("shows", most) => {
                    let most = most.strip_prefix("at most ").unwrap().strip_suffix(" users").unwrap();
                    running = Some(start_with(|config| {
                        config.chat.presence_events_max = most.parse().unwrap();
                        config.chat.digest_every = Duration::from_millis(100);
                        config.chat.list_cache = Duration::ZERO;
                    }));
                }
                ("keeps", "history") => {
                    running = Some(Running::start(&stored(directory.path())));
                }
                ("announces", text) => {
                    let server = &running.as_ref().unwrap().server;
                    assert!(server.say_to_room(&RoomName::lobby(), text));
                }
                ("tells", rest) => {
                    let (user, text) = rest.split_once(' ').unwrap();
                    let server = &running.as_ref().unwrap().server;
                    assert!(server.say_to_user(&UserName::parse(user).unwrap(), text));
                }
                ("stops", _) => {
                    let server = running.take().unwrap().server;
                    stopping = Some(std::thread::spawn(move || server.drain()));
                }
                _ => panic!("the server does not do this: {line}"),
            }
            let _ = writeln!(out, "{line}");
            continue;
        }
        match verb {
            "opens" => {
                if let Some(actor) = open(running.get_or_insert_with(start), rest) {
                    assert!(actors.insert(name, actor).is_none(), "{name} is open already: {line}");
                }
                let _ = writeln!(out, "{line}");
            }
            "says" => say(by_name(&mut actors, line), rest, line, out),
            "hears" => {
                let actor = by_name(&mut actors, line);
                let heard = actor.client.hear();
                stand_ins.write(name, &actor.schema, heard, out);
                if !write {
                    let happens = out.trim_end().lines().last().unwrap();
                    assert_eq!(*line, happens, "left stands in docs/wire, right happens");
                }
            }
            "closes" => {
                by_name(&mut actors, line)
                    .client
                    .send_frame(CLOSE, &1000u16.to_be_bytes());
                let _ = writeln!(out, "{line}");
            }
            "vanishes" => {
                by_name(&mut actors, line).client.hang_up();
                actors.remove(name);
                let _ = writeln!(out, "{line}");
            }
            _ => panic!("not a line of a conversation: {line}"),
        }
    }
    // Whatever was said has been read when the ping behind it is answered.
    let mut late: BTreeMap<&str, Vec<Heard>> = BTreeMap::new();
    for (name, actor) in &mut actors {
        late.entry(name).or_default().extend(actor.client.hear_until_pong());
    }
    drop(running);
    for (name, mut actor) in actors {
        let mut more = late.remove(name).unwrap_or_default();
        more.extend(actor.client.hear_all());
        assert_eq!(more, [], "{name} heard more than stands in\n{}", script.join("\n"));
    }
    if let Some(stopping) = stopping {
        assert_eq!(stopping.join().unwrap(), 0, "connections that had to be cut off");
    }
}

/// The actor of a line, which is its first word.
fn by_name<'a>(actors: &'a mut BTreeMap<&str, Actor>, line: &str) -> &'a mut Actor {
    let name = line.split(' ').next().unwrap();
    actors.get_mut(name).unwrap_or_else(|| panic!("who is that: {line}"))
}

fn open(running: &Running, rest: &str) -> Option<Actor> {
    let (rest, refused) = match rest.split_once(" refused ") {
        Some((rest, status)) => (rest, Some(status.parse::<u16>().unwrap())),
        None => (rest, None),
    };
    let (path, headers) = rest.split_once(' ').unwrap_or((rest, ""));
    let headers = headers.split(" ; ").filter_map(|header| header.split_once(": "));
    let headers: Vec<(&str, &[u8])> = headers.map(|(name, value)| (name, value.as_bytes())).collect();
    match (Peer::try_open(running.address, path, &headers), refused) {
        (Ok(client), None) => {
            let path = path.split('?').next().unwrap();
            Some(Actor {
                client,
                schema: path.rsplit('/').next().unwrap().to_owned(),
            })
        }
        (Err(refusal), Some(status)) => {
            assert_eq!(refusal.status, status, "{path}: {}", refusal.body);
            None
        }
        (Ok(_), Some(status)) => panic!("{path} is let in and not refused with {status}"),
        (Err(refusal), None) => panic!("{path}: {refusal:?}"),
    }
}

fn say(actor: &mut Actor, rest: &str, line: &str, out: &mut String) {
    let (how, what) = rest.split_once(' ').unwrap_or((rest, ""));
    match how {
        "text" => actor.client.send_text(what),
        "binary" | "bytes-as-text" => {
            let bytes = from_hex(what);
            if let Some(meaning) = said(&actor.schema, &bytes) {
                let _ = writeln!(out, "# {meaning}");
            }
            match how {
                "binary" => actor.client.send_binary(&bytes),
                _ => actor.client.send_frame(TEXT, &bytes),
            }
        }
        _ => panic!("how is it said: {line}"),
    }
    let _ = writeln!(out, "{line}");
}

/// Puts fixed values in the place of those that differ in every run.
#[derive(Default)]
struct StandIns {
    tags: Vec<String>,
}

impl StandIns {
    fn write(&mut self, name: &str, schema: &str, heard: Heard, out: &mut String) {
        match heard {
            Heard::Text(text) => {
                let _ = writeln!(out, "{name} hears text {}", self.in_text(&text));
            }
            Heard::Binary(bytes) => {
                let (meaning, bytes) = self.in_protobuf(schema, &bytes);
                let _ = writeln!(out, "# {meaning}\n{name} hears binary {}", hex(&bytes));
            }
            Heard::Close(code, reason) => {
                let _ = writeln!(out, "{}", format!("{name} hears close {code} {reason}").trim_end());
            }
            Heard::End => panic!("{name} was left without a word, after\n{out}"),
        }
    }

    fn tag(&mut self, tag: &str) -> String {
        let place = self.tags.iter().position(|known| known == tag).unwrap_or_else(|| {
            self.tags.push(tag.to_owned());
            self.tags.len() - 1
        });
        format!("{:08x}", place + 10)
    }

    fn in_text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (key, stand_in) in [
            ("\"at\":", AT.to_string()),
            ("\"epoch\":", EPOCH.to_string()),
            ("\"retry_after\":", "1000".to_owned()),
        ] {
            let digits = |rest: &str| rest.find(|c: char| !c.is_ascii_digit());
            let unless_zero = |value: &str| {
                if value == "0" {
                    value.to_owned()
                } else {
                    stand_in.clone()
                }
            };
            text = replace(&text, key, digits, unless_zero);
        }
        text = in_quotes(&text, "\"version\":\"", |_| "0.0.0".to_owned());
        text = in_quotes(&text, "\"msgTimestamp\":\"", |_| (AT / 1000).to_string());
        text = in_quotes(&text, "\"session\":\"", |tag| self.tag(tag));
        text = in_quotes(&text, "\"ip\":\"127.0.0.1:", |_| "50000".to_owned());
        if text.contains("\"welcome\"") {
            let unless_empty = |key: &str| {
                if key.is_empty() {
                    String::new()
                } else {
                    "key".to_owned()
                }
            };
            text = in_quotes(&text, "\"key\":\"", unless_empty);
        }
        // `enter-<time>-<n>`, `exit-<version>-<group>`, `<epoch>-<seq>-…`
        in_quotes(&text, "\"msgId\":\"", |id| {
            // What the sender called its request.
            let Some((first, rest)) = id.split_once('-') else {
                return id.to_owned();
            };
            match (first.parse::<u64>(), rest.split_once('-')) {
                (Ok(_), _) => format!("{EPOCH}-{rest}"),
                (Err(_), Some((number, end))) if number.len() > 10 => format!("{first}-{AT}-{end}"),
                (Err(_), _) => id.to_owned(),
            }
        })
    }

    /// What the bytes mean, and the bytes with the stand-ins in them.
    fn in_protobuf(&mut self, schema: &str, bytes: &[u8]) -> (String, Vec<u8>) {
        if schema != "chat" {
            let meaning = legacy(schema, bytes).unwrap_or_else(|| panic!("not of {schema}: {}", hex(bytes)));
            return (meaning, bytes.to_vec());
        }
        let mut message = ServerMessage::decode(bytes).unwrap();
        assert_eq!(message.encode_to_vec(), bytes, "not the canonical encoding");
        let set = |value: &mut u64, stand_in: u64| {
            if *value != 0 {
                *value = stand_in;
            }
        };
        match message.event.as_mut().unwrap() {
            Event::Welcome(welcome) => {
                welcome.session = self.tag(&welcome.session);
                welcome.version = "0.0.0".into();
                if !welcome.key.is_empty() {
                    welcome.key = "key".into();
                }
                set(&mut welcome.at, AT);
            }
            Event::Joined(joined) => set(&mut joined.epoch, EPOCH),
            Event::Message(message) => {
                message.session = self.tag(&message.session);
                set(&mut message.epoch, EPOCH);
                set(&mut message.at, AT);
            }
            Event::Direct(direct) => {
                direct.session = self.tag(&direct.session);
                set(&mut direct.epoch, EPOCH);
                set(&mut direct.at, AT);
            }
            Event::Ack(ack) => {
                set(&mut ack.epoch, EPOCH);
                set(&mut ack.at, AT);
            }
            Event::History(page) => {
                set(&mut page.epoch, EPOCH);
                for message in &mut page.messages {
                    message.session = self.tag(&message.session);
                    set(&mut message.epoch, EPOCH);
                    set(&mut message.at, AT);
                }
            }
            Event::Renamed(renamed) => renamed.session = self.tag(&renamed.session),
            Event::Pong(pong) => set(&mut pong.at, AT),
            Event::Goodbye(goodbye) => set(&mut goodbye.retry_after, 1000),
            _ => {}
        }
        (serde_json::to_string(&message).unwrap(), message.encode_to_vec())
    }
}

/// Replaces what stands behind each `key`, as far as `end` says.
fn replace(text: &str, key: &str, end: impl Fn(&str) -> Option<usize>, with: impl FnMut(&str) -> String) -> String {
    let mut with = with;
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(key) {
        let end = end(after).unwrap_or(after.len());
        out.push_str(before);
        out.push_str(key);
        out.push_str(&with(&after[..end]));
        rest = &after[end..];
    }
    out + rest
}

fn in_quotes(text: &str, key: &str, with: impl FnMut(&str) -> String) -> String {
    replace(text, key, |rest| rest.find('"'), with)
}

/// What a client's bytes mean; `None` for what cannot be read.
fn said(schema: &str, bytes: &[u8]) -> Option<String> {
    match schema {
        "chat" => Some(serde_json::to_string(&ClientMessage::decode(bytes).ok()?).unwrap()),
        schema => legacy(schema, bytes),
    }
}

/// A message of one of the three protobuf dialects, in the words of its schema.
fn legacy(schema: &str, bytes: &[u8]) -> Option<String> {
    let map = |map: &BTreeMap<String, String>| {
        let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        if entries.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", entries.join(", "))
        }
    };
    let text = |text: &str| {
        if text.is_empty() {
            String::new()
        } else {
            format!("{text:?}")
        }
    };
    let (name, fields) = match schema {
        "communication" => {
            let m = Communication::decode(bytes).ok()?;
            let list = if m.userlist.is_empty() {
                String::new()
            } else {
                format!("{:?}", m.userlist)
            };
            let fields = [
                ("Type", text(&m.r#type)),
                ("Msg", text(&m.msg)),
                ("Username", text(&m.username)),
                ("Userlist", list),
            ];
            ("Communication", fields)
        }
        "chat-request" => {
            let m = ChatRequest::decode(bytes).ok()?;
            let fields = [
                ("userName", text(&m.user_name)),
                ("type", text(&m.r#type)),
                ("content", text(&m.content)),
                ("userList", map(&m.user_list)),
            ];
            ("ChatRequest", fields)
        }
        "chatroom" => {
            let m = ChatRoomRequest::decode(bytes).ok()?;
            let fields = [
                ("type", text(&m.r#type)),
                ("user_name", text(&m.user_name)),
                ("content", text(&m.content)),
                ("user_list", map(&m.user_list)),
            ];
            ("ChatRoomRequest", fields)
        }
        _ => return None,
    };
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let fields: Vec<String> = fields.map(|(key, value)| format!("{key}: {value}")).collect();
    Some(format!("{name} {{{}}}", fields.join(", ")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn a_transcript_that_is_wrong_is_noticed() {
    let page = "```wire\nA opens /ws/tutorial\nA hears text {\"ip\":\"127.0.0.1:50000\",\"user\":\"wrong\"}\n```\n";
    std::panic::catch_unwind(|| replay_page(page, false)).expect_err("it says user wrong");
    let silent = "```wire\nA opens /ws/tutorial\nA hears ?\nA says text {}\n```\n";
    std::panic::catch_unwind(|| replay_page(silent, true)).expect_err("the answer to the message is missing");
}
