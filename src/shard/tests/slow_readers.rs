//! Members that read steadily and never catch up: the server pings them, reads from them, and closes them if they do not answer.

use std::time::Duration;

use crate::{
    limits,
    shard::testing::{OPEN, Received, Speaks, World, masked},
};

/// A room in which ada sends faster than bob reads.
fn flooded(world: &mut World) -> (usize, usize) {
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    (ada, bob)
}

/// One second in which ada sends 30 KB and bob reads 10 KB.
fn second(world: &mut World, ada: usize, bob: usize) {
    for _ in 0..3 {
        world.talk(ada, "tea", &"x".repeat(10_000));
    }
    world.send_bytes(ada, masked(10, b""));
    world.run_until_idle();
    if !world.is_over(bob) {
        world.add_room(bob, 10_000);
    }
    world.pass_ms(1_000);
}

#[test]
fn a_slow_steady_reader_gets_pings_between_its_messages() {
    let mut world = World::new(1);
    let (ada, bob) = flooded(&mut world);
    let mut pings = 0;
    for _ in 0..200 {
        second(&mut world, ada, bob);
        assert!(!world.is_over(bob), "taken for dead after {pings} pings");
        if world.received(bob).contains(&Received::Ping) {
            pings += 1;
            world.send_bytes(bob, masked(10, b""));
        }
    }
    assert!(pings >= 200 / 25 - 1, "{pings} pings in 200 s");
    world.set_room(bob, OPEN);
    world.run_until_idle();
}

#[test]
fn a_connection_whose_ping_waits_behind_unread_bytes_does_not_time_out() {
    let mut world = World::new(1);
    let (ada, bob) = flooded(&mut world);
    for at in 0..200 {
        second(&mut world, ada, bob);
        assert!(!world.is_over(bob), "taken for dead after {at} s");
    }
    assert!(world.received(bob).contains(&Received::Ping));
}

#[test]
fn a_slow_steady_reader_that_never_answers_is_closed_as_slow() {
    for speaks in [Speaks::Json, Speaks::Legacy("chatroom")] {
        // The ring is large enough that nobody falls off it.
        let mut world = World::with(1, 64, |settings| {
            settings.ring_bytes = 1 << 30;
            settings.ring_budget = 1 << 30;
            settings.ring_keep = Duration::from_secs(3_600);
        });
        let [ada] = world.members("lobby", ["ada"]);
        let bob = world.speaker(0, speaks, "bob");
        world.run_until_idle();
        if speaks == Speaks::Json {
            world.join(bob, "lobby");
            world.run_until_idle();
        }
        world.received(bob);
        world.set_room(bob, 0);
        let mut received = Vec::new();
        for _ in 0..limits::SLOW_CONSUMER_FACTOR * 60 + 30 {
            world.talk(ada, "lobby", &"x".repeat(3_000));
            world.send_bytes(ada, masked(10, b""));
            world.run_until_idle();
            if !world.is_over(bob) {
                world.add_room(bob, 2_000);
            }
            world.pass_ms(1_000);
            received.extend(world.received(bob));
        }
        assert!(world.is_over(bob));
        assert_eq!(received.last(), Some(&Received::Close(1013)), "{speaks:?}");
        if speaks == Speaks::Json {
            let goodbye = received.iter().rev().nth(1).unwrap();
            assert!(
                matches!(goodbye, Received::Native(message) if message["goodbye"]["code"] == "slow"),
                "{goodbye:?}"
            );
        }
    }
}

#[test]
fn a_socket_that_takes_bytes_without_becoming_writable_is_not_cut() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", &"x".repeat(50_000));
    world.run_until_idle();
    for _ in 0..40 {
        // The kernel reports room only when a third of the buffer is free, but accepts bytes before that.
        world.add_room_quietly(bob, 1_000);
        world.send_bytes(ada, masked(10, b""));
        world.pass_ms(1_000);
        assert!(!world.is_over(bob));
    }
    world.pass_ms(25_000);
    assert!(world.is_over(bob) && world.was_reset(bob), "it takes nothing any more");
}

#[test]
fn pings_that_wait_for_a_full_socket_do_not_pile_up() {
    let mut world = World::with(1, 64, |settings| settings.write_timeout = Duration::from_secs(1_000));
    let (ada, bob) = flooded(&mut world);
    world.talk(ada, "tea", "torn");
    world.run_until_idle();
    world.add_room(bob, 5);
    for _ in 0..110 {
        world.pass_ms(1_000);
        world.send_bytes(bob, masked(10, b""));
        world.send_bytes(ada, masked(10, b""));
    }
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: torn", "ping"]);
}

#[test]
fn time_in_which_the_server_did_not_read_a_connection_does_not_count_towards_timeouts() {
    let mut world = World::with(1, 64, |settings| {
        settings.write_timeout = Duration::from_secs(1_000);
        settings.idle_kick = Some(Duration::from_secs(90));
    });
    let ada = world.user(0, "ada");
    world.run_until_idle();
    world.set_room(ada, 0);
    while !world.is_throttled(ada) {
        world.ping(ada);
    }
    // Both deadlines are a second ahead when the shard reads again.
    world.pass_ms(58_900);
    world.set_room(ada, OPEN);
    world.run_until_idle();
    world.pass_ms(2_000);
    assert!(!world.is_over(ada), "it was not read for nearly a minute");
    world.send_bytes(ada, masked(10, b""));
    world.pass_ms(50_000);
    let received = world.heard(ada);
    assert!(
        !received.iter().any(|received| received.starts_with("goodbye")),
        "{:?}",
        received.last()
    );
}

#[test]
fn the_server_reads_a_client_during_its_replay() {
    let mut world = World::with(1, 64, |settings| {
        settings.ring_bytes = 64 << 20;
        settings.ring_budget = 64 << 20;
    });
    let [ada] = world.members("tea", ["ada"]);
    for n in 1..=60 {
        world.talk(ada, "tea", &format!("{n:030000}"));
    }
    world.run_until_idle();
    let bob = world.user(0, "bob");
    world.run_until_idle();
    world.received(bob);
    world.set_room(bob, 0);
    world.resume(bob, "tea", 1);
    world.run_until_idle();
    let id = world.id(bob);
    let waiting = world.engine(bob).connections().get(id).unwrap().private_bytes();
    assert!(waiting > limits::PRIVATE_BYTES, "{waiting} bytes wait");
    world.ping(bob);
    world.run_until_idle();
    assert!(!world.is_throttled(bob), "its replay stops its own requests");
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob).len(), 1 + 59 + 1);
}
