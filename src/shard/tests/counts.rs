//! The counts behind the metrics.

use crate::{
    limits,
    shard::testing::{OPEN, Speaks, World},
};

#[test]
fn only_the_lag_of_a_slow_consumer_is_counted_when_its_socket_has_room_again() {
    let mut world = World::new(1);
    let [ada, bob, eve] = world.members("tea", ["ada", "bob", "eve"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.run_until_idle();
    world.talk(ada, "tea", "two");
    // A member that leaves before the flush is behind too, but its socket has room.
    world.leave(eve, "tea");
    world.run_until_idle();
    assert_eq!(world.engines[0].counts().rooms.lags, [0_u64; 0]);
    world.set_room(bob, OPEN);
    world.run_until_idle();
    // Two messages, and eve's leave.
    assert_eq!(world.engines[0].counts().rooms.lags, [3]);
}

#[test]
fn a_gap_is_counted_if_it_is_sent_and_not_if_the_slow_consumer_is_closed() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("lobby", ["ada", "bob"]);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    world.run_until_idle();
    for slow in [bob, tom] {
        world.set_room(slow, 0);
    }
    for n in 1..=40 {
        world.talk(ada, "lobby", &format!("{n}"));
        world.run_until_idle();
    }
    for slow in [bob, tom] {
        world.set_room(slow, OPEN);
    }
    world.run_until_idle();
    assert!(world.heard(bob).contains(&"gap 1-40".to_owned()));
    assert_eq!(world.heard(tom), ["close 1013"]);
    assert_eq!(world.engines[0].counts().rooms.gaps, 1);
}

#[test]
fn the_count_of_sessions_counts_each_session_of_a_user() {
    let mut world = World::new(2);
    let tabs = [world.user(0, "ada"), world.user(0, "ada"), world.user(1, "ada")];
    world.run_until_idle();
    let sessions = |world: &World| [0, 1].map(|shard| world.engines[shard].gauges().sessions);
    assert_eq!(sessions(&world), [2, 1]);
    world.rename(tabs[0], "eve");
    world.run_until_idle();
    assert_eq!(sessions(&world), [2, 1]);
    world.hang_up(tabs[0]);
    world.exit(tabs[2]);
    world.run_until_idle();
    assert_eq!(sessions(&world), [1, 0]);
}

#[test]
fn the_overflow_of_a_shard_counts_messages_that_do_not_fit_its_inbox() {
    let mut world = World::with(2, 2, |_| {});
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room).0 == 1)
        .unwrap();
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.run_until_idle();
    let sent = limits::OVERFLOW_MESSAGES / 2;
    for n in 0..sent {
        world.talk(ada, &room, &format!("{n}"));
    }
    assert_eq!(world.overflow(), [0, world.engines[0].bus().overflow()]);
    assert!(world.overflow()[1] > 0);
    world.run_until_idle();
    assert_eq!(world.overflow(), [0, 0]);
}
