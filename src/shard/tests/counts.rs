//! What the shards count for the metrics is what the metrics say.

use crate::{
    limits,
    shard::testing::{OPEN, Speaks, World},
};

#[test]
fn the_lag_of_a_slow_consumer_is_counted_when_its_socket_has_room_again_and_no_other_lag_is() {
    let mut world = World::new(1);
    let [ada, bob, eve] = world.members("tea", ["ada", "bob", "eve"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.calm();
    world.talk(ada, "tea", "two");
    // Who leaves before the flush is behind too, but reads.
    world.leave(eve, "tea");
    world.calm();
    assert_eq!(world.engines[0].counts().0.lags, [0_u64; 0]);
    world.set_room(bob, OPEN);
    world.calm();
    // Two messages, and eve who went.
    assert_eq!(world.engines[0].counts().0.lags, [3]);
}

#[test]
fn a_gap_is_counted_where_one_is_told_and_not_where_a_slow_consumer_is_closed() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("lobby", ["ada", "bob"]);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    world.calm();
    for slow in [bob, tom] {
        world.set_room(slow, 0);
    }
    for n in 1..=40 {
        world.talk(ada, "lobby", &format!("{n}"));
        world.calm();
    }
    for slow in [bob, tom] {
        world.set_room(slow, OPEN);
    }
    world.calm();
    assert!(world.heard(bob).contains(&"gap 1-40".to_owned()));
    assert_eq!(world.heard(tom), ["close 1013"]);
    assert_eq!(world.engines[0].counts().0.gaps, 1);
}

#[test]
fn sessions_are_counted_and_not_users() {
    let mut world = World::new(2);
    let tabs = [world.user(0, "ada"), world.user(0, "ada"), world.user(1, "ada")];
    world.calm();
    let sessions = |world: &World| [0, 1].map(|shard| world.engines[shard].standing().sessions);
    assert_eq!(sessions(&world), [2, 1]);
    world.rename(tabs[0], "eve");
    world.calm();
    assert_eq!(sessions(&world), [2, 1]);
    world.hang_up(tabs[0]);
    world.exit(tabs[2]);
    world.calm();
    assert_eq!(sessions(&world), [1, 0]);
}

#[test]
fn the_overflow_of_a_shard_is_what_does_not_fit_its_inbox() {
    let mut world = World::with(2, 2, |_| {});
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room).0 == 1)
        .unwrap();
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.calm();
    let said = limits::OVERFLOW_MESSAGES / 2;
    for n in 0..said {
        world.talk(ada, &room, &format!("{n}"));
    }
    assert_eq!(world.overflow(), [0, world.engines[0].bus().overflow()]);
    assert!(world.overflow()[1] > 0);
    world.calm();
    assert_eq!(world.overflow(), [0, 0]);
}
