//! Members that leave before they have read everything, and sessions that join after them.

use serde_json::json;

use crate::{
    chat::{RoomName, ToSession},
    shard::{
        OperatorRequest,
        bus::message::ToShard,
        store::ticket::Ticket,
        testing::{OPEN, World},
    },
};

/// Joins with the newest `last` messages.
fn join_last(world: &mut World, client: usize, room: &str, last: u32) -> u64 {
    world.request(client, json!({"join": {"room": room, "last": last}}))
}

/// A room `tea` on two shards. The only member on the second shard is leaving and does not read; the others there have ended.
fn only_a_blocked_leaver_is_left(world: &mut World) -> usize {
    let [ada, bob, _, eve] = world.members("tea", ["ada", "bob", "una", "eve"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    world.hang_up(eve);
    world.check_rings();
    world.run_until_idle();
    bob
}

#[test]
fn a_resume_beside_a_blocked_leaving_member_replays_without_a_hole() {
    let mut world = World::new(2);
    let bob = only_a_blocked_leaver_is_left(&mut world);
    // The owner does not send this event to the shard of bob and eve.
    let una = world.user(0, "una");
    world.join(una, "tea");
    world.talk(una, "tea", "two");
    world.run_until_idle();
    let tom = world.user(1, "tom");
    world.resume(tom, "tea", 1);
    world.run_until_idle();
    world.talk(una, "tea", "three");
    world.run_until_idle();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "gap 2-2", "una: three"]);
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob).last().unwrap(), "left tea");
}

#[test]
fn a_room_that_begins_anew_replays_nothing_from_before() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "of the first life");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    world.hang_up(ada);
    world.run_until_idle();
    let [eve] = world.members("tea", ["eve"]);
    world.talk(eve, "tea", "of the second life");
    world.run_until_idle();
    let tom = world.user(0, "tom");
    join_last(&mut world, tom, "tea", 5);
    world.run_until_idle();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "eve: of the second life"]);
    world.set_room(bob, OPEN);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["ada: of the first life", "left tea"]);
}

/// A room with twenty messages of ada's. bob resumes at the first, and his socket is full in the middle of the replay.
fn replayed_in_part(world: &mut World) -> (usize, usize) {
    let [ada] = world.members("tea", ["ada"]);
    for n in 1..=20 {
        world.talk(ada, "tea", &format!("{n:030000}"));
    }
    world.run_until_idle();
    let bob = world.user(0, "bob");
    world.run_until_idle();
    world.received(bob);
    world.set_room(bob, 1_000);
    world.resume(bob, "tea", 1);
    world.run_until_idle();
    world.talk(ada, "tea", "live");
    world.run_until_idle();
    (ada, bob)
}

/// The numbers of a client's messages, and its gaps and answers.
fn numbers(world: &mut World, client: usize) -> Vec<String> {
    let messages = world.messages(client);
    let received = messages.iter().filter_map(|message| {
        let gap = &message["gap"];
        let seq = message["message"]["seq"].as_u64();
        seq.map(|seq| seq.to_string())
            .or_else(|| gap.is_object().then(|| format!("gap {}-{}", gap["from"], gap["to"])))
            .or_else(|| message["left"].is_object().then(|| "left".to_owned()))
            .or_else(|| message["goodbye"].is_object().then(|| "goodbye".to_owned()))
    });
    received.collect()
}

/// Checks that every number from `first` on comes once, as a message or in a gap. Returns the last one.
fn assert_complete(received: &[String], first: u64) -> u64 {
    let mut next = first;
    for received in received {
        if let Some((from, to)) = received.strip_prefix("gap ").and_then(|gap| gap.split_once('-')) {
            assert_eq!(from.parse(), Ok(next), "{received}");
            next = to.parse::<u64>().unwrap() + 1;
        } else if let Ok(seq) = received.parse::<u64>() {
            assert_eq!(seq, next);
            next += 1;
        }
    }
    next - 1
}

#[test]
fn a_member_that_leaves_during_its_replay_gets_a_gap_for_the_rest() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024 * 1024);
    let (ada, bob) = replayed_in_part(&mut world);
    world.leave(bob, "tea");
    world.run_until_idle();
    world.talk(ada, "tea", "after it left");
    world.run_until_idle();
    world.set_room(bob, OPEN);
    world.run_until_idle();
    let received = numbers(&mut world, bob);
    assert_eq!(received.last().unwrap(), "left", "{received:?}");
    assert_eq!(assert_complete(&received, 2), 21, "{received:?}");
    assert!(
        received.iter().any(|received| received.starts_with("gap")),
        "{received:?}"
    );
    // A second resume replays the rest.
    world.resume(bob, "tea", 21);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["joined tea", "ada: after it left"]);
}

#[test]
fn however_a_member_leaves_during_its_replay_it_gets_no_message_without_the_earlier_ones() {
    type Way = fn(&mut World, usize);
    let ways: [(&str, Way); 5] = [
        ("leave", |world, bob| {
            world.leave(bob, "tea");
        }),
        ("exit", |world, bob| {
            world.exit(bob);
        }),
        ("expelled", |world, bob| {
            let session = world.id(bob);
            let room = RoomName::parse("tea").unwrap();
            world.turn(0, |engine| {
                engine.handle(ToShard::Session {
                    session,
                    what: ToSession::Expel { room },
                })
            });
        }),
        ("kicked", |world, bob| {
            let session = world.id(bob);
            let answer = tokio::sync::oneshot::channel().0;
            let request = Box::new(OperatorRequest::Disconnect { session, answer });
            world.turn(0, |engine| engine.handle(ToShard::Operator(request)));
        }),
        ("drained", |world, _| {
            world.turn(0, |engine| engine.handle(ToShard::Drain))
        }),
    ];
    for (way, go) in ways {
        let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024 * 1024);
        let (_, bob) = replayed_in_part(&mut world);
        go(&mut world, bob);
        world.run_until_idle();
        world.set_room(bob, OPEN);
        world.run_until_idle();
        let received = numbers(&mut world, bob);
        assert!(!received.is_empty(), "{way}");
        let upto = assert_complete(&received, 2);
        if received.contains(&"left".to_owned()) {
            assert_eq!(upto, 21, "{way}: {received:?}");
        } else {
            assert_eq!(received.last().unwrap(), "goodbye", "{way}: {received:?}");
        }
    }
}

#[test]
fn a_member_that_leaves_before_the_store_answers_gets_a_gap_for_what_it_missed() {
    for shard in [0, 1] {
        let mut world = World::new(2).with_store();
        let [ada, bob] = [world.user(0, "ada"), world.user(shard, "bob")];
        world.store_answers();
        world.join(ada, "tea");
        world.store_answers();
        for text in ["one", "two", "three"] {
            world.talk(ada, "tea", text);
        }
        world.store_answers();
        world.received(bob);
        world.resume(bob, "tea", 1);
        world.run_until_idle();
        world.talk(ada, "tea", "four");
        world.run_until_idle();
        world.deliver_first(|ticket| matches!(ticket, Ticket::Message { .. }));
        world.leave(bob, "tea");
        world.run_until_idle();
        world.store_answers();
        let heard = world.heard(bob);
        let messages: Vec<_> = heard.iter().filter(|received| !received.starts_with("came")).collect();
        assert_eq!(
            messages,
            ["joined tea", "gap 2-3", "ada: four", "left tea"],
            "on shard {shard}"
        );
    }
}
