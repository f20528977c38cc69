//! Members that leave before they have read everything, and who comes after them.

use serde_json::json;

use crate::{
    chat::{RoomName, ToSession},
    shard::{
        Order,
        bus::message::ToShard,
        store::ticket::Ticket,
        testing::{OPEN, World},
    },
};

/// Joins at a position.
pub(crate) fn resume(world: &mut World, client: usize, room: &str, epoch: u64, seq: u64) -> u64 {
    world.ask(
        client,
        json!({"join": {"room": room, "epoch": epoch, "seq": seq, "last": 0}}),
    )
}

/// Joins at the newest messages.
fn join_last(world: &mut World, client: usize, room: &str, last: u32) -> u64 {
    world.ask(client, json!({"join": {"room": room, "last": last}}))
}

/// A room `tea` on two shards whose second shard has only a member that leaves and does not read: the others there were lost.
fn only_a_blocked_leaver_is_left(world: &mut World) -> usize {
    let [ada, bob, _, eve] = world.members("tea", ["ada", "bob", "una", "eve"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.hang_up(eve);
    world.check_rings();
    world.calm();
    bob
}

#[test]
fn who_resumes_where_the_last_member_was_lost_beside_a_blocked_leaver_is_replayed_no_hole() {
    let mut world = World::new(2);
    let bob = only_a_blocked_leaver_is_left(&mut world);
    // The shard of bob and eve is told nothing of this one.
    let una = world.user(0, "una");
    world.join(una, "tea");
    world.talk(una, "tea", "two");
    world.calm();
    let tom = world.user(1, "tom");
    let epoch = world.said.borrow()[0].1.epoch;
    resume(&mut world, tom, "tea", epoch, 1);
    world.calm();
    world.talk(una, "tea", "three");
    world.calm();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "gap 2-2", "una: three"]);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob).last().unwrap(), "left tea");
}

#[test]
fn a_new_life_of_a_room_replays_nothing_of_the_one_before() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "of the first life");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.hang_up(ada);
    world.calm();
    let [eve] = world.members("tea", ["eve"]);
    world.talk(eve, "tea", "of the second life");
    world.calm();
    let tom = world.user(0, "tom");
    join_last(&mut world, tom, "tea", 5);
    world.calm();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "eve: of the second life"]);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: of the first life", "left tea"]);
}

/// A room in which ada said twenty things of which bob, who joins at the first, has been replayed some: his socket is full.
fn replayed_in_part(world: &mut World) -> (usize, usize) {
    let [ada] = world.members("tea", ["ada"]);
    for n in 1..=20 {
        world.talk(ada, "tea", &format!("{n:030000}"));
    }
    world.calm();
    let bob = world.user(0, "bob");
    world.calm();
    world.told(bob);
    world.set_room(bob, 1_000);
    let epoch = world.said.borrow()[0].1.epoch;
    resume(world, bob, "tea", epoch, 1);
    world.calm();
    world.talk(ada, "tea", "live");
    world.calm();
    (ada, bob)
}

/// The numbers that a client was sent, and what it was told instead: gaps and answers.
fn numbers(world: &mut World, client: usize) -> Vec<String> {
    let messages = world.messages(client);
    let told = messages.iter().filter_map(|message| {
        let gap = &message["gap"];
        let seq = message["message"]["seq"].as_u64();
        seq.map(|seq| seq.to_string())
            .or_else(|| gap.is_object().then(|| format!("gap {}-{}", gap["from"], gap["to"])))
            .or_else(|| message["left"].is_object().then(|| "left".to_owned()))
            .or_else(|| message["goodbye"].is_object().then(|| "goodbye".to_owned()))
    });
    told.collect()
}

/// Every number from `first` on comes once, as a message or in a gap; the last one.
fn assert_complete(told: &[String], first: u64) -> u64 {
    let mut next = first;
    for told in told {
        if let Some((from, to)) = told.strip_prefix("gap ").and_then(|gap| gap.split_once('-')) {
            assert_eq!(from.parse(), Ok(next), "{told}");
            next = to.parse::<u64>().unwrap() + 1;
        } else if let Ok(seq) = told.parse::<u64>() {
            assert_eq!(seq, next);
            next += 1;
        }
    }
    next - 1
}

#[test]
fn who_leaves_while_it_is_replayed_what_it_missed_is_told_what_it_will_not_get() {
    let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024 * 1024);
    let (ada, bob) = replayed_in_part(&mut world);
    world.leave(bob, "tea");
    world.calm();
    world.talk(ada, "tea", "after it left");
    world.calm();
    world.set_room(bob, OPEN);
    world.calm();
    let told = numbers(&mut world, bob);
    assert_eq!(told.last().unwrap(), "left", "{told:?}");
    assert_eq!(assert_complete(&told, 2), 21, "{told:?}");
    assert!(told.iter().any(|told| told.starts_with("gap")), "{told:?}");
    // It may come back and is told the rest.
    let epoch = world.said.borrow()[0].1.epoch;
    resume(&mut world, bob, "tea", epoch, 21);
    world.calm();
    assert_eq!(world.heard(bob), ["joined tea", "ada: after it left"]);
}

#[test]
fn whichever_way_a_member_goes_while_it_is_replayed_it_is_sent_no_message_without_the_ones_before() {
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
            let order = Box::new(Order::Disconnect { session, answer });
            world.turn(0, |engine| engine.handle(ToShard::Admin(order)));
        }),
        ("drained", |world, _| {
            world.turn(0, |engine| engine.handle(ToShard::Drain))
        }),
    ];
    for (way, go) in ways {
        let mut world = World::with(1, 64, |settings| settings.ring_bytes = 4 * 1024 * 1024);
        let (_, bob) = replayed_in_part(&mut world);
        go(&mut world, bob);
        world.calm();
        world.set_room(bob, OPEN);
        world.calm();
        let told = numbers(&mut world, bob);
        assert!(!told.is_empty(), "{way}");
        let upto = assert_complete(&told, 2);
        if told.contains(&"left".to_owned()) {
            assert_eq!(upto, 21, "{way}: {told:?}");
        } else {
            assert_eq!(told.last().unwrap(), "goodbye", "{way}: {told:?}");
        }
    }
}

#[test]
fn who_leaves_before_the_store_has_answered_is_told_what_it_missed_and_will_not_get() {
    for shard in [0, 1] {
        let mut world = World::new(2).kept();
        let [ada, bob] = [world.user(0, "ada"), world.user(shard, "bob")];
        world.store_answers();
        world.join(ada, "tea");
        world.store_answers();
        for text in ["one", "two", "three"] {
            world.talk(ada, "tea", text);
        }
        world.store_answers();
        world.told(bob);
        let epoch = world.said.borrow()[0].1.epoch;
        resume(&mut world, bob, "tea", epoch, 1);
        world.calm();
        world.talk(ada, "tea", "four");
        world.calm();
        let committed = world.outcome(|ticket| matches!(ticket, Ticket::Message { .. }));
        world.hand(committed);
        world.leave(bob, "tea");
        world.calm();
        world.store_answers();
        let heard = world.heard(bob);
        let messages: Vec<_> = heard.iter().filter(|told| !told.starts_with("came")).collect();
        assert_eq!(
            messages,
            ["joined tea", "gap 2-3", "ada: four", "left tea"],
            "on shard {shard}"
        );
    }
}
