//! How members go: leaving, exit, closes, and what they are given before.

use std::sync::mpsc;

use serde_json::json;

use crate::shard::{
    bus::message::ToShard,
    testing::{OPEN, Speaks, World, masked},
};

#[test]
fn members_hear_what_is_said_between_their_coming_and_their_going() {
    let mut world = World::new(3);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    world.calm();
    let eve = world.speaker(2, Speaks::Protobuf, "eve");
    world.join(eve, "tea");
    world.calm();
    world.talk(bob, "tea", "two");
    world.calm();
    world.leave(eve, "tea");
    world.calm();
    world.talk(ada, "tea", "three");
    world.calm();
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
fn a_member_that_leaves_while_its_socket_is_full_gets_what_was_said_before_and_then_the_answer() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 10);
    world.talk(ada, "tea", "before");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.talk(ada, "tea", "after");
    world.calm();
    assert_eq!(world.users("tea").0, ["ada"]);
    world.set_room(bob, 7);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: before", "left tea"]);
}

#[test]
fn exit_delivers_the_users_own_going_before_the_close() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("communication"), "tom");
    let ann = world.connect(1, Speaks::Legacy("communication"), "ann");
    world.calm();
    for full in [false, true] {
        let leaver = if full { ann } else { tom };
        if full {
            world.set_room(leaver, 0);
        }
        world.give(leaver, masked(2, &communication("2", "")));
        world.calm();
        world.set_room(leaver, 3);
        world.set_room(leaver, OPEN);
        world.calm();
        let told = world.heard(leaver);
        let (close, before) = told.split_last().unwrap();
        assert_eq!(close, "close 1000");
        assert!(before.last().unwrap().contains("out"), "{before:?}");
        assert!(world.was_shut(leaver));
        assert_eq!(world.torn_bytes(leaver), 0);
    }
    assert!(world.users("lobby").0.is_empty());
}

#[test]
fn our_side_is_shut_only_when_the_close_frame_is_out() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 4);
    world.talk(ada, "tea", "hello");
    world.calm();
    world.exit(bob);
    world.calm();
    let mut told = Vec::new();
    for _ in 0..1_000 {
        if told.last().is_some_and(|told: &String| told.starts_with("close")) {
            break;
        }
        assert!(!world.was_shut(bob), "shut before the last frame was written: {told:?}");
        world.add_room(bob, 1);
        world.calm();
        told.extend(world.heard(bob));
    }
    assert!(world.was_shut(bob));
    assert_eq!(told, ["ada: hello", "left tea", "goodbye exit", "close 1000"]);
}

#[test]
fn a_leaving_member_that_lost_events_is_told_which() {
    let mut world = World::with(2, 64, |settings| settings.ring_bytes = 4 * 1024);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    for n in 1..=50 {
        world.talk(ada, "tea", &format!("{n}"));
        world.calm();
    }
    world.leave(bob, "tea");
    world.calm();
    for n in 51..=60 {
        world.talk(ada, "tea", &format!("{n}"));
        world.calm();
    }
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["gap 1-50", "left tea"]);
}

#[test]
fn who_joins_where_only_a_blocked_leaver_is_left_is_replayed_no_hole() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    // The shard of bob is told nothing of this one.
    world.talk(ada, "tea", "two");
    world.calm();
    let eve = world.user(1, "eve");
    let epoch = world.said.borrow()[0].1.epoch;
    world.ask(
        eve,
        json!({"join": {"room": "tea", "epoch": epoch, "seq": 1, "last": 0}}),
    );
    world.calm();
    world.talk(ada, "tea", "three");
    world.calm();
    assert_eq!(world.heard(eve), ["welcome", "joined tea", "gap 2-2", "ada: three"]);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: one", "left tea"]);
}

#[test]
fn who_comes_back_after_a_blocked_leave_waits_until_it_has_left() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.join(bob, "tea");
    world.calm();
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: one", "left tea", "joined tea"]);
}

#[test]
fn drain_gives_everybody_what_was_said_before_the_goodbye() {
    let mut world = World::new(2);
    let [ada, bob, eve] = world.members("tea", ["ada", "bob", "eve"]);
    world.set_room(bob, 5);
    world.talk(ada, "tea", "next to last words");
    world.calm();
    world.talk(ada, "tea", "last words");
    // Only what lies between shards is delivered; no flush has run.
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
    world.calm();
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
fn nothing_is_read_once_the_server_is_about_to_drain_and_what_was_read_is_waited_for() {
    let mut world = World::new(3);
    // Each on another shard.
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
    world.calm();
    assert_eq!(quiesce(&mut world), 3);
    for shard in 0..3 {
        world.turn(shard, |engine| engine.handle(ToShard::Drain));
    }
    world.calm();
    for client in [at_owner, other] {
        let told = world.heard(client);
        assert!(
            told[0].ends_with(": on its way") && told[1..] == ["goodbye shutting_down", "close 4000"],
            "{told:?}"
        );
    }
}

#[test]
fn drain_does_not_wait_for_who_does_not_read() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 5);
    world.talk(ada, "tea", "last words");
    world.calm();
    world.turn(0, |engine| engine.handle(ToShard::Drain));
    world.pass_ms(5_000);
    assert!(world.is_over(bob));
}

fn communication(kind: &str, text: &str) -> Vec<u8> {
    let message = crate::proto::communication::Communication {
        r#type: kind.into(),
        msg: text.into(),
        ..Default::default()
    };
    prost::Message::encode_to_vec(&message)
}
