//! Leaves, exits and closes, and what members get before them.

use std::sync::mpsc;

use crate::shard::{
    bus::message::ToShard,
    testing::{OPEN, Speaks, World},
};

#[test]
fn members_get_the_messages_between_their_join_and_their_leave() {
    let mut world = World::new(3);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    world.run_until_idle();
    let eve = world.speaker(2, Speaks::Protobuf, "eve");
    world.join(eve, "tea");
    world.run_until_idle();
    world.talk(bob, "tea", "two");
    world.run_until_idle();
    world.leave(eve, "tea");
    world.run_until_idle();
    world.talk(ada, "tea", "three");
    world.run_until_idle();
    assert_eq!(
        world.heard(ada),
        [
            "ack 1",
            "ada: one",
            "came eve",
            "bob: two",
            "went eve",
            "ack 3",
            "ada: three"
        ]
    );
    assert_eq!(world.heard(eve), ["welcome", "joined tea", "bob: two", "left tea"]);
    assert_eq!(world.users("tea"), (vec!["ada".into(), "bob".into()], 2));
}

#[test]
fn a_member_that_leaves_with_a_full_socket_gets_all_earlier_messages_and_then_the_answer() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 10);
    world.talk(ada, "tea", "before");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    world.talk(ada, "tea", "after");
    world.run_until_idle();
    assert_eq!(world.users("tea").0, ["ada"]);
    world.set_room(bob, 7);
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: before", "left tea"]);
}

#[test]
fn an_exit_delivers_the_users_own_leave_before_the_close() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("communication"), "tom");
    let ann = world.connect(1, Speaks::Legacy("communication"), "ann");
    world.run_until_idle();
    for full in [false, true] {
        let leaver = if full { ann } else { tom };
        if full {
            world.set_room(leaver, 0);
        }
        world.exit(leaver);
        world.run_until_idle();
        world.set_room(leaver, 3);
        world.set_room(leaver, OPEN);
        world.run_until_idle();
        let received = world.heard(leaver);
        let (close, before) = received.split_last().unwrap();
        assert_eq!(close, "close 1000");
        assert!(before.last().unwrap().contains("out"), "{before:?}");
        assert!(world.was_shut(leaver));
        assert_eq!(world.torn_bytes(leaver), 0);
    }
    assert!(world.users("lobby").0.is_empty());
}

#[test]
fn the_server_shuts_its_side_only_after_the_close_frame_is_written() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 4);
    world.talk(ada, "tea", "hello");
    world.run_until_idle();
    world.exit(bob);
    world.run_until_idle();
    let mut received = Vec::new();
    for _ in 0..1_000 {
        if received
            .last()
            .is_some_and(|received: &String| received.starts_with("close"))
        {
            break;
        }
        assert!(
            !world.was_shut(bob),
            "shut before the last frame was written: {received:?}"
        );
        world.add_room(bob, 1);
        world.run_until_idle();
        received.extend(world.heard(bob));
    }
    assert!(world.was_shut(bob));
    assert_eq!(received, ["ada: hello", "left tea", "goodbye exit", "close 1000"]);
}

#[test]
fn a_leaving_member_that_fell_off_the_ring_gets_a_gap() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    for n in 1..=50 {
        world.talk(ada, "tea", &format!("{n}"));
        world.run_until_idle();
    }
    world.leave(bob, "tea");
    world.run_until_idle();
    for n in 51..=60 {
        world.talk(ada, "tea", &format!("{n}"));
        world.run_until_idle();
    }
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["gap 1-50", "left tea"]);
}

#[test]
fn a_join_beside_a_blocked_leaving_member_replays_without_a_hole() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    // The owner sends this event to no other shard.
    world.talk(ada, "tea", "two");
    world.run_until_idle();
    let eve = world.user(1, "eve");
    world.resume(eve, "tea", 1);
    world.run_until_idle();
    world.talk(ada, "tea", "three");
    world.run_until_idle();
    assert_eq!(world.heard(eve), ["welcome", "joined tea", "gap 2-2", "ada: three"]);
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: one", "left tea"]);
}

#[test]
fn a_rejoin_waits_until_a_blocked_leave_is_complete() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    world.join(bob, "tea");
    world.run_until_idle();
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: one", "left tea", "joined tea"]);
}

#[test]
fn a_drain_delivers_all_earlier_messages_before_the_goodbye() {
    let mut world = World::new(2);
    let [ada, bob, eve] = world.members("tea", ["ada", "bob", "eve"]);
    world.set_room(bob, 5);
    world.talk(ada, "tea", "next to last words");
    world.run_until_idle();
    world.talk(ada, "tea", "last words");
    // The messages between shards are delivered, and no flush has run.
    while (0..2).any(|shard| world.deliver(shard)) {}
    for shard in 0..2 {
        world.turn(shard, |engine| engine.handle(ToShard::Drain));
    }
    assert_eq!(
        world.heard(eve),
        [
            "ada: next to last words",
            "ada: last words",
            "goodbye shutting_down",
            "close 4000"
        ]
    );
    assert_eq!(
        world.heard(ada),
        [
            "ack 1",
            "ada: next to last words",
            "ack 2",
            "ada: last words",
            "goodbye shutting_down",
            "close 4000"
        ]
    );
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(
        world.heard(bob),
        [
            "ada: next to last words",
            "ada: last words",
            "goodbye shutting_down",
            "close 4000"
        ]
    );
    assert!(world.was_shut(bob));
}

#[test]
fn before_a_drain_the_server_stops_reading_and_waits_for_the_requests_that_it_has_read() {
    let mut world = World::new(3);
    // Each on its own shard.
    let members = world.members("tea", ["ada", "bob", "eve"]);
    let owner = usize::from(world.directory.owner_of("tea").0);
    let [at_owner, talker, other] = [owner, (owner + 1) % 3, (owner + 2) % 3].map(|shard| members[shard]);
    let quiesce = |world: &mut World| {
        let (answer, answers) = mpsc::channel();
        for shard in 0..3 {
            let answer = answer.clone();
            world.turn(shard, |engine| engine.handle(ToShard::Quiesce(answer)));
        }
        answers.try_iter().filter(|quiet| *quiet).count()
    };
    world.talk(talker, "tea", "on its way");
    assert_eq!(quiesce(&mut world), 2, "the talker's shard waits for the answer");
    world.talk(other, "tea", "not read any more");
    world.run_until_idle();
    assert_eq!(quiesce(&mut world), 3);
    for shard in 0..3 {
        world.turn(shard, |engine| engine.handle(ToShard::Drain));
    }
    world.run_until_idle();
    for client in [at_owner, other] {
        let received = world.heard(client);
        assert!(
            received[0].ends_with(": on its way") && received[1..] == ["goodbye shutting_down", "close 4000"],
            "{received:?}"
        );
    }
}

#[test]
fn a_drain_does_not_wait_for_clients_that_do_not_read() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 5);
    world.talk(ada, "tea", "last words");
    world.run_until_idle();
    world.turn(0, |engine| engine.handle(ToShard::Drain));
    world.pass_ms(5_000);
    assert!(world.is_over(bob));
}
