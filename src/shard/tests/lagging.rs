//! Members that do not read, and rings that do not hold everything.

use serde_json::json;

use crate::shard::testing::{OPEN, Speaks, World};

#[test]
fn a_slow_native_member_is_told_exactly_what_it_missed_and_goes_on() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.talk(ada, "tea", "1");
    world.calm();
    world.set_room(bob, 0);
    for n in 2..=40 {
        world.talk(ada, "tea", &format!("{n}"));
        world.calm();
    }
    world.set_room(bob, OPEN);
    world.calm();
    world.talk(ada, "tea", "41");
    world.calm();
    assert_eq!(world.heard(bob), ["ada: 1", "gap 2-40", "ada: 41"]);
}

#[test]
fn a_slow_legacy_member_is_closed_with_1013() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let tom = world.connect(1, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.calm();
    world.set_room(tom, 0);
    for n in 1..=40 {
        world.talk(ada, "lobby", &format!("{n}"));
        world.calm();
    }
    world.set_room(tom, OPEN);
    world.calm();
    assert_eq!(world.heard(tom), ["close 1013"]);
    assert!(world.was_shut(tom));
    assert_eq!(world.users("lobby").0, ["ada"]);
}

#[test]
fn members_that_read_are_never_behind_however_much_is_said_at_once() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 16 * 1024);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.calm();
    world.heard(tom);
    world.heard(ada);
    // One read of the socket brings ten times what the ring holds.
    let mut flood = Vec::new();
    for n in 1..=100 {
        flood.extend(world.encoded(
            ada,
            100 + n,
            json!({"talk": {"room": "lobby", "text": format!("{n:0500}")}}),
        ));
    }
    world.give(ada, flood);
    world.calm();
    assert_eq!(world.heard(tom).len(), 100);
    let heard = world.heard(ada);
    assert_eq!(
        heard.iter().filter(|told| told.starts_with("ada: ")).count(),
        100,
        "{heard:?}"
    );
}

#[test]
fn members_that_read_are_not_behind_because_other_rooms_take_the_budget() {
    let mut world = World::with(1, 64, |settings| {
        settings.ring_budget = 8 * 1024;
        settings.pace = 0.0;
    });
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    for room in 0..4 {
        world.join(ada, &format!("other {room}"));
    }
    world.calm();
    let mut flood = Vec::new();
    for n in 1..=20 {
        for room in ["tea", "other 1", "other 2"] {
            flood.extend(world.encoded(ada, 0, json!({"talk": {"room": room, "text": format!("{n:0200}")}})));
        }
    }
    world.give(ada, flood);
    world.calm();
    let heard = world.heard(bob);
    assert_eq!(
        heard.iter().filter(|told| told.starts_with("ada: ")).count(),
        20,
        "{heard:?}"
    );
    world.pass_ms(100);
    // The newest event of each room stays.
    assert!(
        world.engines[0].standing().ring_bytes <= 8 * 1024 + 5 * 2_000,
        "{}",
        world.engines[0].standing().ring_bytes
    );
}

#[test]
fn old_events_leave_the_rings_and_with_the_last_member_the_room_goes() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    for n in 0..10 {
        world.talk(ada, "tea", &format!("{n}"));
    }
    world.calm();
    assert!(world.engines[0].standing().ring_bytes > 0);
    world.pass_ms_with_pongs(70_000, &[ada, bob]);
    assert_eq!(world.engines[0].standing().ring_bytes, 0);
    world.hang_up(ada);
    world.hang_up(bob);
    world.calm();
    assert!(
        world
            .engines
            .iter()
            .all(|engine| engine.rooms().is_empty() && engine.standing().rooms == 0)
    );
}
