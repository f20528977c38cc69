//! Turns of the shards, the delivery of their messages to each other, and time.

use std::{collections::BTreeSet, rc::Rc};

use super::{FakeSocket, TestClock, World, masked};
use crate::{
    chat::{SessionId, ShardId},
    limits,
    shard::{
        bus::message::ToShard,
        connection::notification::IoRequest,
        engine::{Clock as _, Engine},
    },
};

impl World {
    /// Runs one turn of a shard and carries out its I/O requests.
    pub(crate) fn turn<R>(&mut self, shard: usize, act: impl FnOnce(&mut Engine<Rc<FakeSocket>, TestClock>) -> R) -> R {
        let engine = &mut self.engines[shard];
        engine.begin_turn();
        let result = act(engine);
        engine.end_turn();
        let wants = std::mem::take(engine.io_requests());
        for want in wants {
            let (IoRequest::Read(id) | IoRequest::Shut(id)) = want;
            let Some(client) = self.clients.iter_mut().rev().find(|client| client.id == id) else {
                continue;
            };
            match want {
                // Every step feeds all clients anyway.
                IoRequest::Read(_) => {}
                IoRequest::Shut(_) => {
                    assert!(!client.shut, "a connection was shut twice");
                    client.shut = true;
                }
            }
        }
        result
    }

    /// Delivers one message from a shard's inbox. Returns whether there was one.
    pub(crate) fn deliver(&mut self, shard: usize) -> bool {
        let Some(message) = self.inboxes[shard].pop() else {
            return false;
        };
        let directory = self.directory.clone();
        self.turn(shard, |engine| {
            if let ToShard::Room(event) = &message {
                directory.events.take(ShardId(shard as u16), event.weight());
            }
            engine.handle(message);
        });
        self.inboxes[shard].wake_starved(&self.inboxes);
        for sender in 0..self.engines.len() {
            self.turn(sender, Engine::retry_overflow);
        }
        true
    }

    /// Flushes a shard if a flush is due. Returns whether one was.
    pub(crate) fn flush(&mut self, shard: usize) -> bool {
        match self.engines[shard].flush_due() {
            Some(due) if due <= self.clock.micros() => {
                self.turn(shard, Engine::flush);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Does one possible thing, chosen at random. Returns whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let shards = self.engines.len();
        let things = 2 * shards + self.clients.len();
        let first = self.random.usize(..things);
        (first..things).chain(0..first).any(|thing| {
            if thing < shards {
                self.deliver(thing)
            } else if thing < 2 * shards {
                self.flush(thing - shards)
            } else {
                let client = thing - 2 * shards;
                let (waiting, room) = (self.is_blocked(client), self.clients[client].socket.room.get());
                let unread = self.clients[client].unread.len();
                let quiet = self.clients[client].socket.quiet.get();
                if waiting && room > 0 && !quiet {
                    self.wake_writer(client);
                    return true;
                }
                self.feed(client);
                self.clients[client].unread.len() < unread
            }
        })
    }

    /// Does everything possible, in random order, and lets time pass for delayed flushes.
    pub(crate) fn run_until_idle(&mut self) {
        for _ in 0..1_000_000 {
            if self.step() {
                continue;
            }
            let now = self.clock.micros();
            match self.engines.iter().filter_map(Engine::flush_due).min() {
                Some(due) => self.clock.pass_us(due.saturating_sub(now).max(1)),
                None => return,
            }
        }
        panic!("the shards do not come to rest");
    }

    /// Lets time pass, tick by tick, and runs until idle after each.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let mut left = ms;
        self.run_until_idle();
        while left > 0 {
            let step = left.min(limits::WHEEL_TICK_MS);
            left -= step;
            self.clock.pass_us(step * 1_000);
            self.tick();
            self.run_until_idle();
        }
    }

    /// Lets time jump; the shards notice at their next tick.
    pub(crate) fn jump_ms(&mut self, ms: u64) {
        self.clock.pass_us(ms * 1_000);
        self.tick();
        self.run_until_idle();
    }

    fn tick(&mut self) {
        for shard in 0..self.engines.len() {
            self.turn(shard, Engine::tick);
        }
    }

    /// As [`World::pass_ms`], while these clients answer every ping.
    pub(crate) fn pass_ms_with_pongs(&mut self, ms: u64, clients: &[usize]) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(1_000);
            left -= step;
            self.pass_ms(step);
            for client in clients {
                if !self.is_over(*client) {
                    self.send_bytes(*client, masked(10, b""));
                }
            }
        }
    }

    /// Checks what holds between any two turns.
    pub(crate) fn check_rings(&self) {
        for engine in &self.engines {
            engine.rooms().check();
        }
    }

    /// Checks what holds when nothing is in flight.
    pub(crate) fn check_rest(&mut self) {
        self.check_rings();
        let live: BTreeSet<SessionId> = self
            .engines
            .iter()
            .flat_map(|engine| engine.connections().iter().map(|(id, _)| id))
            .collect();
        assert_eq!(self.directory.events.most(), 0, "events still count as in flight");
        assert_eq!(
            self.directory.directs.most(),
            0,
            "direct messages still count as in flight"
        );
        for engine in &self.engines {
            assert!(engine.is_at_rest());
            engine.owner().check_rest(|session| live.contains(&session));
            engine.rooms().check_rest(|slot| {
                let id = engine.connections().id_at(slot).unwrap();
                engine.connections().get(id).unwrap().blocked()
            });
            for (_, connection) in engine.connections().iter() {
                assert_eq!(connection.in_flight(), 0, "a request was never answered");
                if !connection.blocked() {
                    assert!(
                        connection.outgoing().is_empty(),
                        "bytes wait although the socket has room"
                    );
                    assert!(!connection.is_paused(), "a connection stays paused");
                }
            }
        }
    }
}

impl Drop for World {
    /// A test ends with nothing in flight, unless it calls [`World::ends_midway`].
    fn drop(&mut self) {
        if !self.ends_midway && !std::thread::panicking() {
            self.check_rest();
        }
    }
}
