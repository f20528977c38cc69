//! The oracle of the model test: compares what clients received with the messages that the owners numbered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Run,
    acts::{Asked, NAMES, ROOMS},
};
use crate::{
    chat::UserName,
    shard::testing::{Received, Speaks},
};

impl Run {
    /// The messages of every room and epoch, in the order of its owner.
    fn log(&self) -> BTreeMap<(String, u64), Vec<(u64, String)>> {
        let mut log: BTreeMap<(String, u64), Vec<(u64, String)>> = BTreeMap::new();
        for (room, message) in self.world.logged.borrow().iter() {
            let messages = log.entry((room.as_str().to_owned(), message.epoch)).or_default();
            assert_eq!(message.prev, messages.last().map_or(0, |(seq, _)| *seq));
            assert!(message.seq > message.prev);
            messages.push((message.seq, message.text.to_string()));
        }
        log
    }

    /// Checks that the messages and gaps of a native client are exactly the messages between its joins and leaves.
    pub(super) fn check_native(&mut self, client: usize) {
        let log = self.log();
        let over = self.world.is_over(client);
        // By room: the epoch, and the last number that it got as a message or in a gap.
        let mut open: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        // By room: the newest number at its join.
        let mut heads: BTreeMap<String, u64> = BTreeMap::new();
        let mut answered: BTreeSet<u64> = BTreeSet::new();
        let mut last_request = 0;
        let mut directs = BTreeSet::new();
        let mut closed = false;
        for received in &self.received[&client] {
            let message = match received {
                Received::Native(message) => message,
                Received::Close(_) => {
                    closed = true;
                    continue;
                }
                Received::Ping | Received::Pong(_) => continue,
                Received::Legacy(_) => panic!("a legacy frame"),
            };
            assert!(!closed);
            if let Some(id) = message["id"].as_u64().filter(|id| *id > 0) {
                assert!(answered.insert(id), "request {id} was answered twice");
                last_request = last_request.max(id);
            }
            let at = |field: &str| message[field].as_object();
            if let Some(joined) = at("joined") {
                let room = joined["room"].as_str().unwrap().to_owned();
                let number = |field: &str| joined[field].as_u64().unwrap();
                let (epoch, head, from) = (number("epoch"), number("head"), number("from"));
                let asked = self.joins[&(client, message["id"].as_u64().unwrap())];
                let numbers = log
                    .get(&(room.clone(), epoch))
                    .map_or(Vec::new(), |messages| messages.iter().map(|(seq, _)| *seq).collect());
                let expected = asked.from(epoch, head, &numbers);
                if matches!(asked, Asked::Last(_)) && !self.stored {
                    assert!(
                        (expected..=head).contains(&from),
                        "{asked:?} at {head}: what the ring has"
                    );
                } else {
                    assert_eq!(from, expected, "{asked:?} at {head}");
                }
                heads.insert(room.clone(), head);
                let before = open.insert(room, (epoch, from));
                assert!(before.is_none(), "joined twice");
            } else if let Some(talk) = at("message") {
                let room = talk["room"].as_str().unwrap();
                let (epoch, last) = open.get_mut(room).expect("a message of a room that it is not in");
                let seq = talk["seq"].as_u64().unwrap();
                begin(epoch, *last, &message["message"]);
                assert_eq!(talk["epoch"].as_u64().unwrap(), *epoch, "in {room}");
                let messages = &log[&(room.to_owned(), *epoch)];
                let next = messages.iter().find(|(seq, _)| seq > last);
                assert_eq!(
                    next,
                    Some(&(seq, talk["text"].as_str().unwrap().to_owned())),
                    "in {room}"
                );
                *last = seq;
            } else if let Some(gap) = at("gap") {
                let room = gap["room"].as_str().unwrap();
                let (epoch, last) = open.get_mut(room).expect("a gap in a room that it is not in");
                begin(epoch, *last, &message["gap"]);
                assert_eq!(gap["epoch"].as_u64().unwrap(), *epoch);
                assert_eq!(gap["from"].as_u64().unwrap(), *last + 1, "a gap that begins elsewhere");
                let to = gap["to"].as_u64().unwrap();
                assert!(to > *last);
                let is_message = log[&(room.to_owned(), *epoch)].iter().any(|(seq, _)| *seq == to);
                assert!(is_message, "a gap that ends at no message");
                *last = to;
            } else if let Some(left) = at("left") {
                let room = left["room"].as_str().unwrap();
                let (_, last) = open.remove(room).expect("left without having joined");
                assert!(
                    last >= heads[room],
                    "left {room} at {last} without a gap for what it missed"
                );
            } else if let Some(direct) = at("direct") {
                assert!(
                    directs.insert(direct["text"].as_str().unwrap().to_owned()),
                    "a direct message came twice"
                );
            }
        }
        if closed || over {
            return;
        }
        // It is still a member, so it has everything.
        for (room, (epoch, last)) in open {
            let talk = log.get(&(room.clone(), epoch)).and_then(|messages| messages.last());
            let newest = talk.map_or(0, |(seq, _)| *seq);
            assert_eq!(last, newest, "client {client} did not get the last of {room}");
        }
        // Every request got an answer.
        for id in 1..=last_request {
            assert!(
                answered.contains(&id),
                "client {client}: request {id} was never answered"
            );
        }
    }

    /// Checks that a legacy client got a part of the lobby's messages without a hole, up to the newest one unless it was closed.
    pub(super) fn check_legacy(&mut self, client: usize) {
        let over = self.world.is_over(client)
            || self.received[&client]
                .iter()
                .any(|received| matches!(received, Received::Close(_)));
        let mut heard = Vec::new();
        for received in &self.received[&client] {
            if let Received::Legacy(payload) = received {
                let text = String::from_utf8_lossy(payload).into_owned();
                if let Some(number) = text.split('#').nth(1) {
                    heard.push(number.parse::<u32>().unwrap());
                }
            }
        }
        // A connection is in the lobby for life, so it sees at most one epoch.
        let directs: BTreeSet<u32> = heard.iter().copied().collect();
        assert_eq!(directs.len(), heard.len(), "received twice");
        let lobby: Vec<Vec<u32>> = self
            .log()
            .into_iter()
            .filter(|((room, _), _)| room == "lobby")
            .map(|(_, messages)| {
                messages
                    .iter()
                    .map(|(_, text)| text.split('#').nth(1).unwrap().parse().unwrap())
                    .collect()
            })
            .collect();
        let of_lobby: BTreeSet<u32> = lobby.iter().flatten().copied().collect();
        heard.retain(|number| of_lobby.contains(number));
        let Some(first) = heard.first() else { return };
        let messages = lobby.iter().find(|messages| messages.contains(first)).unwrap();
        let from = messages.iter().position(|number| number == first).unwrap();
        let expected = &messages[from..];
        if over {
            assert!(
                expected.starts_with(&heard),
                "{heard:?} is no beginning of {expected:?}"
            );
        } else {
            assert_eq!(heard, expected);
        }
    }

    /// Checks that the rooms list exactly the users of live sessions, and that everything is empty when all have left.
    pub(super) fn check_presence(&mut self) {
        let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut online: BTreeMap<String, usize> = BTreeMap::new();
        for engine in &self.world.engines {
            for (id, connection) in engine.connections().iter() {
                let Some(session) = connection.session() else { continue };
                *online.entry(session.name().as_str().to_owned()).or_default() += 1;
                for room in engine.rooms().receiving(id) {
                    let users = users.entry(room.as_str().to_owned()).or_default();
                    users.insert(session.name().as_str().to_owned());
                }
            }
        }
        for room in ROOMS {
            let expected: Vec<String> = users.remove(room).unwrap_or_default().into_iter().collect();
            let count = expected.len() as u32;
            assert_eq!(self.world.users(room), (expected, count), "{room}");
        }
        for name in NAMES {
            let directory = &self.world.directory;
            let user = directory.user_named(&UserName::parse(name).unwrap());
            let here = directory.shards_of(&user).count();
            assert_eq!(here > 0, online.contains_key(name), "{name} in the directory");
        }
        for (client, speaks) in self.clients.clone() {
            if let Speaks::Json | Speaks::Protobuf = speaks
                && !self.world.is_over(client)
            {
                self.world.request(client, json!({"unread": {}}));
            }
        }
        for (client, _) in self.clients.clone() {
            self.world.hang_up(client);
        }
        self.run_until_idle();
        self.world.check_rest();
        for room in ROOMS {
            assert_eq!(self.world.users(room), (Vec::new(), 0), "{room} after all have left");
        }
        assert!(
            self.world
                .engines
                .iter()
                .all(|engine| engine.gauges().rooms == 0 && engine.rooms().is_empty())
        );
    }
}

/// A durable room gets its epoch with its first message, which may be in a gap.
fn begin(epoch: &mut u64, last: u64, message: &serde_json::Value) {
    if (*epoch, last) == (0, 0) {
        *epoch = message["epoch"].as_u64().unwrap();
    }
}
