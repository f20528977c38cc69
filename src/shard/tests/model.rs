//! The model test of the shards: for any sequence of connects, joins, messages, full sockets, partial writes, renames and ends,
//! on one to three shards, every member gets exactly the messages of its membership, each once, whole and in order, and a gap for
//! each that it does not get.

mod acts;
mod checks;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::config;
use crate::shard::testing::{OPEN, Received, Speaks, World, masked};
use acts::{Act, Asked, FORMS, NAMES, ROOMS, Since, act};

struct Run {
    world: World,
    clients: Vec<(usize, Speaks)>,
    /// Number of messages so far.
    sent: u32,
    numbering: fn(u64) -> u64,
    /// Whether rooms are durable.
    stored: bool,
    /// By client and request: what each join asked for.
    joins: BTreeMap<(usize, u64), Asked>,
    received: BTreeMap<usize, Vec<Received>>,
}

impl Run {
    fn new(shards: usize, inbox: usize, ring_bytes: usize, legacy_history: u32, seed: u64) -> Self {
        // Numbers without and with holes.
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
            sent: 0,
            numbering,
            stored: false,
            joins: BTreeMap::new(),
            received: BTreeMap::new(),
        }
    }

    /// The same with a store, and without direct messages: the tests of `devices` cover stored ones.
    fn stored(self) -> Self {
        Self {
            world: self.world.with_store_numbering(self.numbering),
            stored: true,
            ..self
        }
    }

    /// Does everything possible.
    fn run_until_idle(&mut self) {
        if self.stored {
            self.world.store_answers();
        } else {
            self.world.run_until_idle();
        }
    }

    /// The position of a message of this room.
    fn position(&self, room: &str, back: usize) -> Asked {
        let logged = self.world.logged.borrow();
        let mut messages = logged.iter().rev().filter(|(name, _)| name.as_str() == room);
        messages.nth(back).map_or(Asked::Now, |(_, message)| Asked::Position {
            epoch: message.epoch,
            seq: message.seq,
        })
    }

    fn join(&mut self, client: usize, room: &str, since: Since) {
        let asked = match since {
            Since::Now => Asked::Now,
            Since::Last(count) => Asked::Last(count.into()),
            Since::Position(back) => self.position(room, back),
        };
        let join = match asked {
            Asked::Now => json!({"room": room}),
            Asked::Last(count) => json!({"room": room, "last": count}),
            Asked::Position { epoch, seq } => json!({"room": room, "epoch": epoch, "seq": seq}),
        };
        let id = self.world.request(client, json!({"join": join}));
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
            Act::Talk { client, room, long } => {
                self.sent += 1;
                let text = format!("#{}#{}", self.sent, if long { "x".repeat(200) } else { String::new() });
                world.talk(of(client).0, ROOMS[room], &text);
            }
            Act::Direct { client, to } => {
                if let (false, (client, Speaks::Json | Speaks::Protobuf)) = (self.stored, of(client)) {
                    self.sent += 1;
                    world.direct(client, NAMES[to], &format!("#{}#", self.sent));
                }
            }
            Act::Rename { client, name } => {
                if let (client, Speaks::Json | Speaks::Protobuf) = of(client) {
                    world.rename(client, NAMES[name]);
                }
            }
            Act::Ping { client } => world.send_bytes(of(client).0, masked(9, b"are you there")),
            Act::Room { client, bytes } => world.set_room(of(client).0, bytes),
            Act::Open { client } => world.set_room(of(client).0, OPEN),
            Act::Exit { client } => {
                world.exit(of(client).0);
            }
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
            Act::Idle => self.run_until_idle(),
            Act::Pass { ms } => world.pass_ms(ms),
        }
    }

    /// Opens all sockets, does everything possible, and takes what the clients received.
    fn finish(&mut self) {
        for (client, _) in self.clients.clone() {
            self.world.set_room(client, OPEN);
        }
        self.run_until_idle();
        self.world.pass_ms(5_000);
        self.run_until_idle();
        self.world.check_rest();
        for (client, _) in self.clients.clone() {
            let received = self.world.received(client);
            if !self.world.is_over(client) {
                assert_eq!(
                    self.world.torn_bytes(client),
                    0,
                    "client {client} was left with a torn frame"
                );
            }
            self.received.insert(client, received);
        }
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

proptest! {
    // Few cases, because each opens a store.
    #![proptest_config(config(24, 7))]

    #[test]
    fn members_of_durable_rooms_get_exactly_the_messages_of_their_membership(
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
    #![proptest_config(config(96, 7))]

    #[test]
    fn members_get_exactly_the_messages_of_their_membership(
        shards in 1..=3_usize,
        legacy_history in 0..4_u32,
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..160),
    ) {
        run(Run::new(shards, 1 << 10, 1 << 20, legacy_history, seed), &acts);
    }

    #[test]
    fn with_tiny_rings_and_inboxes_messages_and_gaps_together_are_complete(
        shards in 1..=3_usize,
        inbox in 1..4_usize,
        legacy_history in 0..4_u32,
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..160),
    ) {
        run(Run::new(shards, inbox, 3_000, legacy_history, seed), &acts);
    }
}
