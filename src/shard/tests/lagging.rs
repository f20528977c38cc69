//! Slow consumers, and rings that are smaller than the backlog.

use serde_json::json;

use crate::shard::testing::{OPEN, Speaks, World};

#[test]
fn a_slow_native_member_gets_the_exact_gap_and_then_live_messages() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.talk(ada, "tea", "1");
    world.run_until_idle();
    world.set_room(bob, 0);
    for n in 2..=40 {
        world.talk(ada, "tea", &format!("{n}"));
        world.run_until_idle();
    }
    world.set_room(bob, OPEN);
    world.run_until_idle();
    world.talk(ada, "tea", "41");
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: 1", "gap 2-40", "ada: 41"]);
}

#[test]
fn a_slow_legacy_member_is_closed_with_1013() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let tom = world.connect(1, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    world.set_room(tom, 0);
    for n in 1..=40 {
        world.talk(ada, "lobby", &format!("{n}"));
        world.run_until_idle();
    }
    world.set_room(tom, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(tom), ["close 1013"]);
    assert!(world.was_shut(tom));
    assert_eq!(world.users("lobby").0, ["ada"]);
}

#[test]
fn fast_readers_miss_nothing_however_much_is_sent_at_once() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 16 * 1024);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    world.heard(tom);
    world.heard(ada);
    // One read of the socket brings ten times the size of the ring.
    let mut flood = Vec::new();
    for n in 1..=100 {
        flood.extend(world.encoded(
            ada,
            100 + n,
            json!({"talk": {"room": "lobby", "text": format!("{n:0500}")}}),
        ));
    }
    world.send_bytes(ada, flood);
    world.run_until_idle();
    assert_eq!(world.heard(tom).len(), 100);
    let heard = world.heard(ada);
    assert_eq!(
        heard.iter().filter(|received| received.starts_with("ada: ")).count(),
        100,
        "{heard:?}"
    );
}

#[test]
fn fast_readers_miss_nothing_if_other_rooms_use_up_the_ring_budget() {
    let mut world = World::with(1, 64, |settings| {
        settings.ring_budget = 8 * 1024;
        settings.pace = 0.0;
    });
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    for room in 0..4 {
        world.join(ada, &format!("other {room}"));
    }
    world.run_until_idle();
    let mut flood = Vec::new();
    for n in 1..=20 {
        for room in ["tea", "other 1", "other 2"] {
            flood.extend(world.encoded(ada, 0, json!({"talk": {"room": room, "text": format!("{n:0200}")}})));
        }
    }
    world.send_bytes(ada, flood);
    world.run_until_idle();
    let heard = world.heard(bob);
    assert_eq!(
        heard.iter().filter(|received| received.starts_with("ada: ")).count(),
        20,
        "{heard:?}"
    );
    world.pass_ms(100);
    // The newest event of each room is never dropped.
    assert!(
        world.engines[0].gauges().ring_bytes <= 8 * 1024 + 5 * 2_000,
        "{}",
        world.engines[0].gauges().ring_bytes
    );
}

#[test]
fn rings_drop_old_events_and_a_room_ends_with_its_last_member() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    for n in 0..10 {
        world.talk(ada, "tea", &format!("{n}"));
    }
    world.run_until_idle();
    assert!(world.engines[0].gauges().ring_bytes > 0);
    world.pass_ms_with_pongs(70_000, &[ada, bob]);
    assert_eq!(world.engines[0].gauges().ring_bytes, 0);
    world.hang_up(ada);
    world.hang_up(bob);
    world.run_until_idle();
    assert!(
        world
            .engines
            .iter()
            .all(|engine| engine.rooms().is_empty() && engine.gauges().rooms == 0)
    );
}
