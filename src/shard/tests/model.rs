//! For any sequence of comings, talks, stalls, partial writes, renames and goings, on one to three shards: every member is
//! given exactly what was said while it was a member, in order, nothing torn, nothing twice, and what it is not given it is
//! told of.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use serde_json::json;

use crate::{
    chat::UserName,
    shard::testing::{OPEN, Speaks, Told, World, masked},
};

#[derive(Debug, Clone)]
enum Act {
    Connect { shard: usize, speaks: usize, name: usize },
    Join { client: usize, room: usize, since: From },
    Leave { client: usize, room: usize },
    ChatMessage { client: usize, room: usize, long: bool },
    Direct { client: usize, to: usize },
    Rename { client: usize, name: usize },
    Ping { client: usize },
    Room { client: usize, bytes: usize },
    Open { client: usize },
    Exit { client: usize },
    HangUp { client: usize },
    Break { client: usize },
    Steps { count: usize },
    Calm,
    Pass { ms: u64 },
}

/// Where a client asks to go on from.
#[derive(Debug, Clone, Copy)]
enum From {
    Now,
    Last(u32),
    /// From this message of the room, counted from the newest of all its epochs.
    Said(usize),
}

/// The same, as the request said it.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Now,
    Last(u64),
    Position { epoch: u64, seq: u64 },
}

impl Asked {
    /// After which message the replay begins in a room that stands at this head, by the numbers of its messages.
    fn from(self, epoch: u64, head: u64, numbers: &[u64]) -> u64 {
        match self {
            Self::Last(count) => {
                let upto = numbers.partition_point(|seq| *seq <= head);
                let before = upto.saturating_sub(count as usize);
                before.checked_sub(1).map_or(0, |last| numbers[last])
            }
            Self::Position { epoch: known, seq } if known == epoch => seq,
            Self::Now | Self::Position { .. } => head,
        }
    }
}

const NAMES: [&str; 4] = ["ada", "bob", "eve", "tom"];
const ROOMS: [&str; 3] = ["lobby", "tea", "chess"];
const FORMS: [Speaks; 5] = [
    Speaks::Json,
    Speaks::Protobuf,
    Speaks::Json,
    Speaks::Legacy("chatroom"),
    Speaks::Legacy("communication"),
];

fn act() -> impl Strategy<Value = Act> {
    let client = 0..12_usize;
    let room = 0..ROOMS.len();
    prop_oneof![
        3 => (0..3_usize, 0..FORMS.len(), 0..NAMES.len())
            .prop_map(|(shard, speaks, name)| Act::Connect { shard, speaks, name }),
        8 => (client.clone(), room.clone(), from()).prop_map(|(client, room, since)| Act::Join { client, room, since }),
        2 => (client.clone(), room.clone()).prop_map(|(client, room)| Act::Leave { client, room }),
        14 => (client.clone(), room, any::<bool>()).prop_map(|(client, room, long)| Act::ChatMessage { client, room, long }),
        3 => (client.clone(), 0..NAMES.len()).prop_map(|(client, to)| Act::Direct { client, to }),
        1 => (client.clone(), 0..NAMES.len()).prop_map(|(client, name)| Act::Rename { client, name }),
        2 => client.clone().prop_map(|client| Act::Ping { client }),
        7 => (client.clone(), 0..400_usize).prop_map(|(client, bytes)| Act::Room { client, bytes }),
        3 => client.clone().prop_map(|client| Act::Open { client }),
        1 => client.clone().prop_map(|client| Act::Exit { client }),
        1 => client.clone().prop_map(|client| Act::HangUp { client }),
        1 => client.prop_map(|client| Act::Break { client }),
        8 => (1..12_usize).prop_map(|count| Act::Steps { count }),
        1 => Just(Act::Calm),
        1 => (1..400_u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        2 => Just(From::Now),
        1 => (1..8_u32).prop_map(From::Last),
        2 => (0..8_usize).prop_map(From::Said),
    ]
}

struct Run {
    world: World,
    clients: Vec<(usize, Speaks)>,
    said: u32,
    numbering: fn(u64) -> u64,
    /// Whether what is said is stored.
    stored: bool,
    /// What each join asked for, by client and request.
    joins: BTreeMap<(usize, u64), Asked>,
    told: BTreeMap<usize, Vec<Told>>,
}

impl Run {
    fn new(shards: usize, inbox: usize, ring_bytes: usize, legacy_history: u32, seed: u64) -> Self {
        // One number after the other, or with holes between them.
        let numbering: fn(u64) -> u64 = match seed % 2 {
            0 => |head| head + 1,
            _ => |head| head + 5 + head % 4,
        };
        let mut world = World::with(shards, inbox, |settings| {
            settings.ring_bytes = ring_bytes;
            settings.legacy_history = legacy_history;
            settings.rooms.numbering = numbering;
            settings.yield_writes = 3;
            settings.dead_after = std::time::Duration::from_secs(1_000_000);
        });
        world.seed(seed);
        Self {
            world,
            clients: Vec::new(),
            said: 0,
            numbering,
            stored: false,
            joins: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// The same before a store. There are no direct messages then: what a session is given of them depends on more than this
    /// model knows.
    fn stored(self) -> Self {
        Self {
            world: self.world.kept_in_steps(self.numbering),
            stored: true,
            ..self
        }
    }

    /// Everything happens that can.
    fn calm(&mut self) {
        if self.stored {
            self.world.store_answers();
        } else {
            self.world.calm();
        }
    }

    /// A position that a client of this room may know.
    fn position(&self, room: &str, back: usize) -> Asked {
        let said = self.world.said.borrow();
        let mut messages = said.iter().rev().filter(|(name, _)| name.as_str() == room);
        messages.nth(back).map_or(Asked::Now, |(_, message)| Asked::Position {
            epoch: message.epoch,
            seq: message.seq,
        })
    }

    fn join(&mut self, client: usize, room: &str, since: From) {
        let asked = match since {
            From::Now => Asked::Now,
            From::Last(count) => Asked::Last(count.into()),
            From::Said(back) => self.position(room, back),
        };
        let join = match asked {
            Asked::Now => json!({"room": room}),
            Asked::Last(count) => json!({"room": room, "last": count}),
            Asked::Position { epoch, seq } => json!({"room": room, "epoch": epoch, "seq": seq}),
        };
        let id = self.world.ask(client, json!({"join": join}));
        self.joins.insert((client, id), asked);
    }

    fn act(&mut self, act: &Act) {
        let world = &mut self.world;
        let shards = world.engines.len();
        if let Act::Connect { shard, speaks, name } = *act {
            if self.clients.len() < 12 {
                let speaks = FORMS[speaks];
                let client = world.speaker(shard % shards, speaks, NAMES[name]);
                self.clients.push((client, speaks));
            }
            return;
        }
        if self.clients.is_empty() {
            return;
        }
        let of = |index: usize| self.clients[index % self.clients.len()];
        match *act {
            Act::Connect { .. } => {}
            Act::Join { client, room, since } => {
                if let (client, Speaks::Json | Speaks::Protobuf) = of(client) {
                    self.join(client, ROOMS[room], since);
                }
            }
            Act::Leave { client, room } => {
                if let (client, Speaks::Json | Speaks::Protobuf) = of(client) {
                    world.leave(client, ROOMS[room]);
                }
            }
            Act::ChatMessage { client, room, long } => {
                self.said += 1;
                let text = format!("#{}#{}", self.said, if long { "x".repeat(200) } else { String::new() });
                match of(client) {
                    (client, Speaks::Json | Speaks::Protobuf) => {
                        world.talk(client, ROOMS[room], &text);
                    }
                    (client, Speaks::Legacy(dialect)) => world.give(client, masked(2, &legacy(dialect, "talk", &text))),
                }
            }
            Act::Direct { client, to } => {
                if let (false, (client, Speaks::Json | Speaks::Protobuf)) = (self.stored, of(client)) {
                    self.said += 1;
                    world.direct(client, NAMES[to], &format!("#{}#", self.said));
                }
            }
            Act::Rename { client, name } => {
                if let (client, Speaks::Json | Speaks::Protobuf) = of(client) {
                    world.rename(client, NAMES[name]);
                }
            }
            Act::Ping { client } => world.give(of(client).0, masked(9, b"are you there")),
            Act::Room { client, bytes } => world.set_room(of(client).0, bytes),
            Act::Open { client } => world.set_room(of(client).0, OPEN),
            Act::Exit { client } => match of(client) {
                (client, Speaks::Json | Speaks::Protobuf) => {
                    world.exit(client);
                }
                (client, Speaks::Legacy(dialect)) => world.give(client, masked(2, &legacy(dialect, "exit", ""))),
            },
            Act::HangUp { client } => world.hang_up(of(client).0),
            Act::Break { client } => world.break_socket(of(client).0),
            Act::Steps { count } => {
                for _ in 0..count {
                    world.step();
                }
                if self.stored && count % 2 == 0 {
                    world.store_answers_once();
                }
            }
            Act::Calm => self.calm(),
            Act::Pass { ms } => world.pass_ms(ms),
        }
    }

    /// Every socket takes everything, and everything happens that can.
    fn finish(&mut self) {
        for (client, _) in self.clients.clone() {
            self.world.set_room(client, OPEN);
        }
        self.calm();
        self.world.pass_ms(5_000);
        self.calm();
        self.world.check_rest();
        for (client, _) in self.clients.clone() {
            let told = self.world.told(client);
            if !self.world.is_over(client) {
                assert_eq!(
                    self.world.torn_bytes(client),
                    0,
                    "client {client} was left with a torn frame"
                );
            }
            self.told.insert(client, told);
        }
    }

    /// What every room said, by epoch, in the order of its owner.
    fn log(&self) -> BTreeMap<(String, u64), Vec<(u64, String)>> {
        let mut log: BTreeMap<(String, u64), Vec<(u64, String)>> = BTreeMap::new();
        for (room, message) in self.world.said.borrow().iter() {
            let messages = log.entry((room.as_str().to_owned(), message.epoch)).or_default();
            assert_eq!(message.prev, messages.last().map_or(0, |(seq, _)| *seq));
            assert!(message.seq > message.prev);
            messages.push((message.seq, message.text.to_string()));
        }
        log
    }

    /// A native member's messages and gaps are exactly the talks between its coming and its going.
    fn check_native(&mut self, client: usize) {
        let log = self.log();
        let over = self.world.is_over(client);
        // Room → (epoch, the last message that it was sent or told to miss).
        let mut open: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        // Room → the newest seq when it joined.
        let mut heads: BTreeMap<String, u64> = BTreeMap::new();
        let mut answered: BTreeSet<u64> = BTreeSet::new();
        let mut last_request = 0;
        let mut directs = BTreeSet::new();
        let mut closed = false;
        for told in &self.told[&client] {
            let message = match told {
                Told::Native(message) => message,
                Told::Close(_) => {
                    closed = true;
                    continue;
                }
                Told::Ping | Told::Pong(_) => continue,
                Told::Legacy(_) => panic!("a legacy frame"),
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
            } else if let Some(said) = at("message") {
                let room = said["room"].as_str().unwrap();
                let (epoch, last) = open.get_mut(room).expect("a talk of a room it is not in");
                let seq = said["seq"].as_u64().unwrap();
                begin(epoch, *last, &message["message"]);
                assert_eq!(said["epoch"].as_u64().unwrap(), *epoch, "in {room}");
                let messages = &log[&(room.to_owned(), *epoch)];
                let next = messages.iter().find(|(seq, _)| seq > last);
                assert_eq!(
                    next,
                    Some(&(seq, said["text"].as_str().unwrap().to_owned())),
                    "in {room}"
                );
                *last = seq;
            } else if let Some(gap) = at("gap") {
                let room = gap["room"].as_str().unwrap();
                let (epoch, last) = open.get_mut(room).expect("a gap in a room it is not in");
                begin(epoch, *last, &message["gap"]);
                assert_eq!(gap["epoch"].as_u64().unwrap(), *epoch);
                assert_eq!(gap["from"].as_u64().unwrap(), *last + 1, "a gap that begins elsewhere");
                let to = gap["to"].as_u64().unwrap();
                assert!(to > *last);
                let is_said = log[&(room.to_owned(), *epoch)].iter().any(|(seq, _)| *seq == to);
                assert!(is_said, "a gap over what was never said");
                *last = to;
            } else if let Some(left) = at("left") {
                let room = left["room"].as_str().unwrap();
                let (_, last) = open.remove(room).expect("left without having joined");
                assert!(
                    last >= heads[room],
                    "left {room} at {last} without a word about what was missed"
                );
            } else if let Some(direct) = at("direct") {
                assert!(
                    directs.insert(direct["text"].as_str().unwrap().to_owned()),
                    "a direct came twice"
                );
            }
        }
        if closed || over {
            return;
        }
        // Still a member: it has heard everything.
        for (room, (epoch, last)) in open {
            let said = log.get(&(room.clone(), epoch)).and_then(|messages| messages.last());
            let newest = said.map_or(0, |(seq, _)| *seq);
            assert_eq!(last, newest, "client {client} did not hear the last of {room}");
        }
        // Every request that wants an answer got one.
        for id in 1..=last_request {
            assert!(
                answered.contains(&id),
                "client {client}: request {id} was never answered"
            );
        }
    }

    /// A legacy member hears a contiguous part of the lobby, and all of its end unless it was closed.
    fn check_legacy(&mut self, client: usize) {
        let over = self.world.is_over(client) || self.told[&client].iter().any(|told| matches!(told, Told::Close(_)));
        let mut heard = Vec::new();
        for told in &self.told[&client] {
            if let Told::Legacy(payload) = told {
                let text = String::from_utf8_lossy(payload).into_owned();
                if let Some(number) = text.split('#').nth(1) {
                    heard.push(number.parse::<u32>().unwrap());
                }
            }
        }
        // A connection is in the lobby for life, so of one epoch at most.
        let directs: BTreeSet<u32> = heard.iter().copied().collect();
        assert_eq!(directs.len(), heard.len(), "told twice");
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

    /// The lists of all rooms are exactly the live sessions' users.
    fn check_presence(&mut self) {
        let mut users: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut online: BTreeMap<String, usize> = BTreeMap::new();
        for engine in &self.world.engines {
            for (id, connection) in engine.connections().iter() {
                let Some(session) = connection.session() else { continue };
                *online.entry(session.name.as_str().to_owned()).or_default() += 1;
                for room in engine.rooms().receiving(id) {
                    let users = users.entry(room.as_str().to_owned()).or_default();
                    users.insert(session.name.as_str().to_owned());
                }
            }
        }
        for room in ROOMS {
            let expected: Vec<String> = users.remove(room).unwrap_or_default().into_iter().collect();
            let count = expected.len() as u32;
            assert_eq!(self.world.users(room), (expected, count), "{room}");
        }
        for name in NAMES {
            let user = UserName::parse(name).unwrap();
            let here = self.world.directory.whereabouts(&user).count();
            assert_eq!(here > 0, online.contains_key(name), "{name} in the directory");
        }
        for (client, speaks) in self.clients.clone() {
            if let Speaks::Json | Speaks::Protobuf = speaks
                && !self.world.is_over(client)
            {
                self.world.ask(client, json!({"unread": {}}));
            }
        }
        for (client, _) in self.clients.clone() {
            self.world.hang_up(client);
        }
        self.calm();
        self.world.check_rest();
        for room in ROOMS {
            assert_eq!(self.world.users(room), (Vec::new(), 0), "{room} after all have gone");
        }
        assert!(
            self.world
                .engines
                .iter()
                .all(|engine| engine.standing().rooms == 0 && engine.rooms().is_empty())
        );
    }
}

/// The epoch of a durable room begins with its first message, whether a member is sent it or told that it is not.
fn begin(epoch: &mut u64, last: u64, told: &serde_json::Value) {
    if (*epoch, last) == (0, 0) {
        *epoch = told["epoch"].as_u64().unwrap();
    }
}

fn legacy(dialect: &str, kind: &str, text: &str) -> Vec<u8> {
    match dialect {
        "chatroom" => prost::Message::encode_to_vec(&crate::proto::chatroom::ChatRoomRequest {
            r#type: kind.into(),
            content: text.into(),
            ..Default::default()
        }),
        _ => prost::Message::encode_to_vec(&crate::proto::communication::Communication {
            r#type: if kind == "talk" { "1" } else { "2" }.into(),
            msg: text.into(),
            ..Default::default()
        }),
    }
}

fn run(mut run: Run, acts: &[Act]) {
    for act in acts {
        run.act(act);
        run.world.check_rings();
    }
    run.finish();
    for (client, speaks) in run.clients.clone() {
        match speaks {
            Speaks::Json | Speaks::Protobuf => run.check_native(client),
            Speaks::Legacy(_) => run.check_legacy(client),
        }
    }
    run.check_presence();
}

/// How many sequences each property is tried on; `PLAZA_SEQUENCES` for a longer night.
fn config(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PLAZA_SEQUENCES")
        .ok()
        .and_then(|count| count.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(usual),
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    // Each opens a store.
    #![proptest_config(config(24))]

    #[test]
    fn members_of_durable_rooms_are_given_exactly_the_talks_of_their_membership(
        shards in 1..=3_usize,
        ring_bytes in prop_oneof![Just(3_000_usize), Just(1 << 20)],
        legacy_history in 0..4_u32,
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        run(Run::new(shards, 1 << 10, ring_bytes, legacy_history, seed).stored(), &acts);
    }
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn members_are_given_exactly_the_talks_of_their_membership(
        shards in 1..=3_usize,
        legacy_history in 0..4_u32,
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..160),
    ) {
        run(Run::new(shards, 1 << 10, 1 << 20, legacy_history, seed), &acts);
    }

    #[test]
    fn with_tiny_rings_and_inboxes_talks_and_gaps_together_are_what_was_said(
        shards in 1..=3_usize,
        inbox in 1..4_usize,
        legacy_history in 0..4_u32,
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..160),
    ) {
        run(Run::new(shards, inbox, 3_000, legacy_history, seed), &acts);
    }
}
