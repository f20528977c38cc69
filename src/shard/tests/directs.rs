//! Direct messages to users with many sessions: a bounded amount in each turn, in order, and in bounded memory.

use serde_json::{Value, json};

use crate::{
    chat::ShardId,
    limits,
    shard::testing::{OPEN, Speaks, World, answers},
};

/// So many sessions of bob, and a long text that all of them together cannot be handed in one turn.
const SESSIONS: usize = 40;
const LONG: usize = 60 * 1024;

/// A world of one shard with ann, a bystander and the sessions of bob.
fn many_bobs() -> (World, usize, usize, Vec<usize>) {
    let mut world = World::new(1);
    let ann = world.user(0, "ann");
    let bystander = world.user(0, "dora");
    let bobs: Vec<usize> = (0..SESSIONS).map(|_| world.user(0, "bob")).collect();
    world.calm();
    for client in bobs.iter().chain([&ann, &bystander]) {
        world.told(*client);
    }
    (world, ann, bystander, bobs)
}

fn long(n: usize) -> String {
    format!("{n}{}", "x".repeat(LONG))
}

/// The numbers in front of the long texts that a client was told.
fn numbers(world: &mut World, client: usize) -> Vec<String> {
    let told = world.messages(client);
    let texts = told.iter().filter_map(|told| told["direct"]["text"].as_str());
    texts.map(|text| text.trim_end_matches('x').to_owned()).collect()
}

fn waiting(world: &mut World, client: usize) -> usize {
    let id = world.id(client);
    world.engine(client).connections().private_bytes(id)
}

#[test]
fn a_direct_message_to_many_sessions_takes_several_turns_and_others_are_served_between_them() {
    let (mut world, ann, bystander, bobs) = many_bobs();
    world.direct(ann, "bob", &long(1));
    let told = |world: &mut World| bobs.iter().map(|bob| numbers(world, *bob).len()).sum::<usize>();
    let first = told(&mut world);
    let each = 1 + long(1).len() / 1_024;
    assert_eq!(first, limits::DIRECTS_PER_TURN.div_ceil(each));
    assert!(first < SESSIONS);
    let id = world.ping(bystander);
    assert!(world.messages(bystander).iter().any(|told| answers(told, id)));
    let second = first + told(&mut world);
    assert!(second < SESSIONS, "the bystander waited for {second} of {SESSIONS}");
    // Nothing else happens: the shard goes on by itself.
    assert_eq!(world.engines[0].flush_due(), Some(0));
    world.calm();
    assert_eq!(second + told(&mut world), SESSIONS);
}

#[test]
fn every_session_has_all_direct_messages_in_order_though_they_are_handed_out_in_parts() {
    let (mut world, ann, _, bobs) = many_bobs();
    for n in 0..3 {
        world.direct(ann, "bob", &long(n));
    }
    world.direct(ann, "bob", "3");
    world.calm();
    for bob in bobs {
        assert_eq!(numbers(&mut world, bob), ["0", "1", "2", "3"]);
    }
}

#[test]
fn who_takes_another_name_meanwhile_is_not_told_what_is_for_the_old_one() {
    let (mut world, ann, _, bobs) = many_bobs();
    let last = *bobs.last().unwrap();
    world.direct(ann, "bob", &long(1));
    world.rename(last, "carl");
    world.calm();
    assert!(numbers(&mut world, last).is_empty());
    assert_eq!(numbers(&mut world, bobs[SESSIONS - 2]), ["1"]);
}

#[test]
fn who_says_more_to_many_sessions_than_may_be_underway_is_told_busy_and_what_was_acknowledged_arrives() {
    let (mut world, ann, bystander, bobs) = many_bobs();
    let ids: Vec<u64> = (100..110).collect();
    // All of them in one read.
    let said = ids
        .iter()
        .flat_map(|id| world.encoded(ann, *id, json!({"direct": {"to": "bob", "text": long(0)}})));
    let said = said.collect();
    world.give(ann, said);
    world.calm();
    let told = world.messages(ann);
    let answer = |id: &u64| -> &Value { told.iter().find(|told| answers(told, *id)).unwrap() };
    let acknowledged = ids.iter().filter(|id| answer(id)["ack"].is_object()).count();
    let busy = ids.iter().filter(|id| answer(id)["error"]["code"] == "busy").count();
    assert_eq!(acknowledged + busy, ids.len());
    let one = SESSIONS * LONG;
    assert_eq!(acknowledged, limits::IN_FLIGHT_BYTES / one + 1);
    for bob in &bobs {
        assert_eq!(numbers(&mut world, *bob).len(), acknowledged);
    }
    // It is over when they have been handed out.
    let id = world.direct(bystander, "bob", "hello");
    world.calm();
    let told = world.messages(bystander);
    assert!(told.iter().any(|told| answers(told, id) && told["ack"].is_object()));
}

#[test]
fn small_direct_messages_have_room_beside_large_ones_that_fill_theirs() {
    let (mut world, ann, bystander, _) = many_bobs();
    let said = |world: &mut World, client: usize, to: &str, text: &str| {
        let id = world.direct(client, to, text);
        world.calm();
        let told = world.messages(client);
        let answer = told.iter().find(|told| answers(told, id)).unwrap().clone();
        answer["ack"].is_object()
    };
    let in_flight = ShardId(0);
    world.directory.directs.add(in_flight, limits::IN_FLIGHT_BYTES + 1);
    assert!(!said(&mut world, ann, "bob", &long(1)), "a large one");
    assert!(said(&mut world, bystander, "ann", "hello"), "a small one");
    world.directory.directs.add(in_flight, limits::IN_FLIGHT_BYTES);
    assert!(!said(&mut world, bystander, "ann", "hello"), "above twice the bound");
    world.directory.directs.take(in_flight, 2 * limits::IN_FLIGHT_BYTES + 1);
    assert!(said(&mut world, ann, "bob", &long(1)));
}

#[test]
fn direct_messages_that_are_being_stored_count_as_underway_too() {
    let mut world = World::new(2).kept();
    let ann = world.user(0, "ann");
    world.store_answers();
    world.told(ann);
    world.direct(ann, "bob", "one");
    world.direct(ann, "ann", "two");
    let in_flight: usize = (0..2).map(|shard| world.directory.directs.to(ShardId(shard))).sum();
    assert!(in_flight > 0);
    world.store_answers();
}

#[test]
fn a_drain_hands_out_what_waits_before_the_goodbye() {
    let (mut world, ann, _, bobs) = many_bobs();
    for n in 0..3 {
        world.direct(ann, "bob", &long(n));
    }
    world.turn(0, |engine| {
        let (answer, answers) = std::sync::mpsc::channel();
        engine.handle(crate::shard::ToShard::Quiesce(answer));
        assert!(!answers.recv().unwrap(), "all is said to be handed out");
        engine.handle(crate::shard::ToShard::Drain);
    });
    world.calm();
    for bob in bobs {
        assert_eq!(numbers(&mut world, bob), ["0", "1", "2"]);
    }
}

#[test]
fn a_reader_of_stored_messages_that_is_slow_takes_little_memory_and_gets_all_in_order() {
    let mut world = World::new(1).kept();
    let ann = world.user(0, "ann");
    let bob = world.user(0, "bob");
    world.store_answers();
    world.told(bob);
    world.set_room(bob, 0);
    let count = 2 * limits::PRIVATE_BYTES_MOST / LONG;
    for n in 0..count {
        world.direct(ann, "bob", &long(n));
        world.store_answers();
    }
    let most = limits::PRIVATE_BYTES + 2 * LONG;
    assert!(waiting(&mut world, bob) < most);
    let (mut heard, mut said_more) = (Vec::new(), false);
    while !world.is_over(bob) && heard.len() < count - 1 {
        world.add_room(bob, LONG / 3);
        world.store_answers();
        assert!(waiting(&mut world, bob) < most);
        heard.extend(numbers(&mut world, bob));
        if !said_more && heard.len() >= count / 2 {
            said_more = true;
            // What is said now stands behind what waits in the store.
            world.direct(ann, "bob", &long(count));
            world.store_answers();
        }
    }
    world.set_room(bob, OPEN);
    world.store_answers();
    heard.extend(numbers(&mut world, bob));
    let expected: Vec<String> = (0..=count).map(|n| n.to_string()).collect();
    assert_eq!(heard, expected);
    world.direct(ann, "bob", "now it is quick again");
    world.store_answers();
    assert_eq!(numbers(&mut world, bob), ["now it is quick again"]);
}

#[test]
fn a_slow_session_gets_what_another_session_of_its_user_has_read_meanwhile() {
    let mut world = World::new(1).kept();
    let ann = world.user(0, "ann");
    let slow = world.user(0, "bob");
    world.store_answers();
    let key = world.messages(slow)[0]["welcome"]["key"].as_str().unwrap().to_owned();
    let quick = world.connect(0, Speaks::Json, "bob");
    world.ask(quick, json!({"hello": {"name": "bob", "key": key}}));
    world.store_answers();
    world.set_room(slow, 0);
    let count = 4 * limits::PRIVATE_BYTES / LONG;
    let read = |world: &mut World, seq: usize| {
        world.ask(quick, json!({"read": {"peer": "ann", "seq": seq as u64}}));
        world.store_answers();
    };
    for n in 0..count {
        world.direct(ann, "bob", &long(n));
        world.store_answers();
        read(&mut world, n + 1);
    }
    let mut heard = Vec::new();
    while heard.len() < count / 2 {
        world.add_room(slow, LONG);
        world.store_answers();
        heard.extend(numbers(&mut world, slow));
    }
    // It stops again while its mail is read: nothing is gathered behind that.
    for n in count..2 * count {
        world.direct(ann, "bob", &long(n));
        world.store_answers();
        read(&mut world, n + 1);
    }
    let id = world.id(slow);
    assert!(world.engine(slow).inboxes().live_bytes(id) <= limits::PRIVATE_BYTES);
    world.set_room(slow, OPEN);
    world.store_answers();
    heard.extend(numbers(&mut world, slow));
    let expected: Vec<String> = (0..2 * count).map(|n| n.to_string()).collect();
    assert_eq!(heard, expected);
}

#[test]
fn while_much_waits_for_all_sockets_a_reader_that_takes_nothing_is_sent_away_soon_and_one_that_reads_is_not() {
    let (mut world, ann, _, bobs) = many_bobs();
    let (slow, quick) = (bobs[0], bobs[1]);
    world.set_room(slow, 0);
    let say = |world: &mut World, n: usize| {
        world.direct(ann, "bob", &long(n));
        world.calm();
    };
    say(&mut world, 0);
    say(&mut world, 1);
    assert!(!world.is_over(slow));
    world.engines[0].press(limits::WAITING_BYTES + 1);
    say(&mut world, 2);
    assert!(world.is_over(slow));
    assert_eq!(numbers(&mut world, quick), ["0", "1", "2"]);
}
