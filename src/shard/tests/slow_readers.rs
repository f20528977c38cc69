//! Members that read all the time and never catch up: they are pinged, heard, and told goodbye when they are too slow.

use std::time::Duration;

use crate::{
    limits,
    shard::testing::{OPEN, Speaks, Told, World, masked},
};

/// A room in which ada says more than bob reads.
fn flooded(world: &mut World) -> (usize, usize) {
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    (ada, bob)
}

/// One second in which ada says 30 KB and bob reads 10 KB.
fn second(world: &mut World, ada: usize, bob: usize) {
    for _ in 0..3 {
        world.talk(ada, "tea", &"x".repeat(10_000));
    }
    world.give(ada, masked(10, b""));
    world.calm();
    if !world.is_over(bob) {
        world.add_room(bob, 10_000);
    }
    world.pass_ms(1_000);
}

#[test]
fn who_reads_all_the_time_and_never_catches_up_is_pinged_between_what_it_is_sent() {
    let mut world = World::new(1);
    let (ada, bob) = flooded(&mut world);
    let mut pings = 0;
    for _ in 0..200 {
        second(&mut world, ada, bob);
        assert!(!world.is_over(bob), "taken for dead after {pings} pings");
        if world.told(bob).contains(&Told::Ping) {
            pings += 1;
            world.give(bob, masked(10, b""));
        }
    }
    assert!(pings >= 200 / 25 - 1, "{pings} pings in 200 s");
    world.set_room(bob, OPEN);
    world.calm();
}

#[test]
fn a_pong_that_is_stuck_behind_what_is_being_read_does_not_make_a_connection_dead() {
    let mut world = World::new(1);
    let (ada, bob) = flooded(&mut world);
    for at in 0..200 {
        second(&mut world, ada, bob);
        assert!(!world.is_over(bob), "taken for dead after {at} s");
    }
    assert!(world.told(bob).contains(&Told::Ping));
}

#[test]
fn who_reads_all_the_time_and_never_answers_is_told_that_it_is_too_slow() {
    for speaks in [Speaks::Json, Speaks::Legacy("chatroom")] {
        // Nobody is closed for what the ring cannot hold here.
        let mut world = World::with(1, 64, |settings| {
            settings.ring_bytes = 1 << 30;
            settings.ring_budget = 1 << 30;
            settings.ring_keep = Duration::from_secs(3_600);
        });
        let [ada] = world.members("lobby", ["ada"]);
        let bob = world.speaker(0, speaks, "bob");
        world.calm();
        if speaks == Speaks::Json {
            world.join(bob, "lobby");
            world.calm();
        }
        world.told(bob);
        world.set_room(bob, 0);
        let mut told = Vec::new();
        for _ in 0..limits::SLOW_READER_TIMES * 60 + 30 {
            world.talk(ada, "lobby", &"x".repeat(3_000));
            world.give(ada, masked(10, b""));
            world.calm();
            if !world.is_over(bob) {
                world.add_room(bob, 2_000);
            }
            world.pass_ms(1_000);
            told.extend(world.told(bob));
        }
        assert!(world.is_over(bob));
        assert_eq!(told.last(), Some(&Told::Close(1013)), "{speaks:?}");
        if speaks == Speaks::Json {
            let goodbye = told.iter().rev().nth(1).unwrap();
            assert!(
                matches!(goodbye, Told::Native(message) if message["goodbye"]["code"] == "slow"),
                "{goodbye:?}"
            );
        }
    }
}

#[test]
fn a_socket_that_has_room_of_which_nobody_told_is_not_cut_off_for_taking_nothing() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", &"x".repeat(50_000));
    world.calm();
    for _ in 0..40 {
        // A kernel tells of room when a third of the buffer is free, and takes bytes before.
        world.add_room_quietly(bob, 1_000);
        world.give(ada, masked(10, b""));
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
    world.calm();
    world.add_room(bob, 5);
    for _ in 0..110 {
        world.pass_ms(1_000);
        world.give(bob, masked(10, b""));
        world.give(ada, masked(10, b""));
    }
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: torn", "ping"]);
}

#[test]
fn the_time_in_which_a_connection_was_not_read_counts_against_nobody() {
    let mut world = World::with(1, 64, |settings| {
        settings.write_timeout = Duration::from_secs(1_000);
        settings.idle_kick = Some(Duration::from_secs(90));
    });
    let ada = world.user(0, "ada");
    world.calm();
    world.set_room(ada, 0);
    while !world.is_held_up(ada) {
        world.ping(ada);
    }
    // Both deadlines lie a second ahead when it is read again.
    world.pass_ms(58_900);
    world.set_room(ada, OPEN);
    world.calm();
    world.pass_ms(2_000);
    assert!(!world.is_over(ada), "it was not read for nearly a minute");
    world.give(ada, masked(10, b""));
    world.pass_ms(50_000);
    let told = world.heard(ada);
    assert!(
        !told.iter().any(|told| told.starts_with("goodbye")),
        "{:?}",
        told.last()
    );
}

#[test]
fn a_client_that_is_replayed_much_is_read_meanwhile() {
    let mut world = World::with(1, 64, |settings| {
        settings.ring_bytes = 64 << 20;
        settings.ring_budget = 64 << 20;
    });
    let [ada] = world.members("tea", ["ada"]);
    for n in 1..=60 {
        world.talk(ada, "tea", &format!("{n:030000}"));
    }
    world.calm();
    let bob = world.user(0, "bob");
    world.calm();
    world.told(bob);
    world.set_room(bob, 0);
    let epoch = world.said.borrow()[0].1.epoch;
    super::leaving::resume(&mut world, bob, "tea", epoch, 1);
    world.calm();
    let id = world.id(bob);
    let waiting = world.engine(bob).connections().get(id).unwrap().private_bytes();
    assert!(waiting > limits::PRIVATE_BYTES, "{waiting} bytes wait");
    world.ping(bob);
    world.calm();
    assert!(!world.is_held_up(bob), "what it is given stops its own requests");
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob).len(), 1 + 59 + 1);
}
