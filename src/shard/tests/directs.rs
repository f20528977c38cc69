//! Direct messages to users with many sessions: a bounded amount per turn, in order, and in bounded memory.

use serde_json::{Value, json};

use crate::{
    chat::ShardId,
    limits,
    shard::testing::{OPEN, Speaks, World, answers},
};

/// The sessions of bob. One turn does not suffice to deliver a long text to all of them.
const SESSIONS: usize = 40;
const LONG: usize = 60 * 1024;

/// One shard with ann, a bystander and the sessions of bob.
fn many_bobs() -> (World, usize, usize, Vec<usize>) {
    let mut world = World::new(1);
    let ann = world.user(0, "ann");
    let bystander = world.user(0, "dora");
    let bobs: Vec<usize> = (0..SESSIONS).map(|_| world.user(0, "bob")).collect();
    world.run_until_idle();
    for client in bobs.iter().chain([&ann, &bystander]) {
        world.received(*client);
    }
    (world, ann, bystander, bobs)
}

fn long(n: usize) -> String {
    format!("{n}{}", "x".repeat(LONG))
}

/// The numbers in front of the long texts that a client got.
fn numbers(world: &mut World, client: usize) -> Vec<String> {
    let received = world.messages(client);
    let texts = received
        .iter()
        .filter_map(|received| received["direct"]["text"].as_str());
    texts.map(|text| text.trim_end_matches('x').to_owned()).collect()
}

fn waiting(world: &mut World, client: usize) -> usize {
    let id = world.id(client);
    world.engine(client).connections().private_bytes(id)
}

#[test]
fn delivery_to_many_sessions_takes_several_turns_and_other_clients_are_served_in_between() {
    let (mut world, ann, bystander, bobs) = many_bobs();
    world.direct(ann, "bob", &long(1));
    let received = |world: &mut World| bobs.iter().map(|bob| numbers(world, *bob).len()).sum::<usize>();
    let first = received(&mut world);
    let each = 1 + long(1).len() / 1_024;
    assert_eq!(first, limits::DIRECTS_PER_TURN.div_ceil(each));
    assert!(first < SESSIONS);
    let id = world.ping(bystander);
    assert!(world.messages(bystander).iter().any(|received| answers(received, id)));
    let second = first + received(&mut world);
    assert!(second < SESSIONS, "the bystander waited for {second} of {SESSIONS}");
    // Without another event, the shard continues by itself.
    assert_eq!(world.engines[0].flush_due(), Some(0));
    world.run_until_idle();
    assert_eq!(second + received(&mut world), SESSIONS);
}

#[test]
fn every_session_gets_all_direct_messages_in_order_over_several_turns() {
    let (mut world, ann, _, bobs) = many_bobs();
    for n in 0..3 {
        world.direct(ann, "bob", &long(n));
    }
    world.direct(ann, "bob", "3");
    world.run_until_idle();
    for bob in bobs {
        assert_eq!(numbers(&mut world, bob), ["0", "1", "2", "3"]);
    }
}

#[test]
fn a_session_renamed_during_delivery_gets_no_message_for_its_old_name() {
    let (mut world, ann, _, bobs) = many_bobs();
    let last = *bobs.last().unwrap();
    world.direct(ann, "bob", &long(1));
    world.rename(last, "carl");
    world.run_until_idle();
    assert!(numbers(&mut world, last).is_empty());
    assert_eq!(numbers(&mut world, bobs[SESSIONS - 2]), ["1"]);
}

#[test]
fn above_the_bound_for_in_flight_bytes_a_sender_gets_busy_and_acknowledged_messages_arrive() {
    let (mut world, ann, bystander, bobs) = many_bobs();
    let ids: Vec<u64> = (100..110).collect();
    // All of them in one read.
    let sent = ids
        .iter()
        .flat_map(|id| world.encoded(ann, *id, json!({"direct": {"to": "bob", "text": long(0)}})));
    let sent = sent.collect();
    world.send_bytes(ann, sent);
    world.run_until_idle();
    let received = world.messages(ann);
    let answer = |id: &u64| -> &Value { received.iter().find(|received| answers(received, *id)).unwrap() };
    let acknowledged = ids.iter().filter(|id| answer(id)["ack"].is_object()).count();
    let busy = ids.iter().filter(|id| answer(id)["error"]["code"] == "busy").count();
    assert_eq!(acknowledged + busy, ids.len());
    let one = SESSIONS * LONG;
    assert_eq!(acknowledged, limits::IN_FLIGHT_BYTES / one + 1);
    for bob in &bobs {
        assert_eq!(numbers(&mut world, *bob).len(), acknowledged);
    }
    // The owner accepts direct messages again after they are delivered.
    let id = world.direct(bystander, "bob", "hello");
    world.run_until_idle();
    let received = world.messages(bystander);
    assert!(
        received
            .iter()
            .any(|received| answers(received, id) && received["ack"].is_object())
    );
}

#[test]
fn small_direct_messages_have_room_beside_large_ones() {
    let (mut world, ann, bystander, _) = many_bobs();
    let sent = |world: &mut World, client: usize, to: &str, text: &str| {
        let id = world.direct(client, to, text);
        world.run_until_idle();
        let received = world.messages(client);
        let answer = received.iter().find(|received| answers(received, id)).unwrap().clone();
        answer["ack"].is_object()
    };
    let in_flight = ShardId(0);
    world.directory.directs.add(in_flight, limits::IN_FLIGHT_BYTES + 1);
    assert!(!sent(&mut world, ann, "bob", &long(1)), "a large one");
    assert!(sent(&mut world, bystander, "ann", "hello"), "a small one");
    world.directory.directs.add(in_flight, limits::IN_FLIGHT_BYTES);
    assert!(!sent(&mut world, bystander, "ann", "hello"), "above twice the bound");
    world.directory.directs.take(in_flight, 2 * limits::IN_FLIGHT_BYTES + 1);
    assert!(sent(&mut world, ann, "bob", &long(1)));
}

#[test]
fn direct_messages_count_as_in_flight_while_the_store_has_them() {
    let mut world = World::new(2).with_store();
    let ann = world.user(0, "ann");
    world.store_answers();
    world.received(ann);
    world.direct(ann, "bob", "one");
    world.direct(ann, "ann", "two");
    let in_flight: usize = (0..2).map(|shard| world.directory.directs.to(ShardId(shard))).sum();
    assert!(in_flight > 0);
    world.store_answers();
}

#[test]
fn a_drain_delivers_queued_direct_messages_before_the_goodbye() {
    let (mut world, ann, _, bobs) = many_bobs();
    for n in 0..3 {
        world.direct(ann, "bob", &long(n));
    }
    world.turn(0, |engine| {
        let (answer, answers) = std::sync::mpsc::channel();
        engine.handle(crate::shard::ToShard::Quiesce(answer));
        assert!(!answers.recv().unwrap(), "the queue is not empty");
        engine.handle(crate::shard::ToShard::Drain);
    });
    world.run_until_idle();
    for bob in bobs {
        assert_eq!(numbers(&mut world, bob), ["0", "1", "2"]);
    }
}

#[test]
fn a_slow_reader_of_stored_messages_takes_little_memory_and_gets_all_in_order() {
    let mut world = World::new(1).with_store();
    let ann = world.user(0, "ann");
    let bob = world.user(0, "bob");
    world.store_answers();
    world.received(bob);
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
            // New messages come behind the stored ones.
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
fn a_slow_session_gets_messages_that_another_session_of_its_user_has_read_meanwhile() {
    let mut world = World::new(1).with_store();
    let ann = world.user(0, "ann");
    let slow = world.user(0, "bob");
    world.store_answers();
    let key = world.messages(slow)[0]["welcome"]["key"].as_str().unwrap().to_owned();
    let quick = world.connect(0, Speaks::Json, "bob");
    world.request(quick, json!({"hello": {"name": "bob", "key": key}}));
    world.store_answers();
    world.set_room(slow, 0);
    let count = 4 * limits::PRIVATE_BYTES / LONG;
    let read = |world: &mut World, seq: usize| {
        world.request(quick, json!({"read": {"peer": "ann", "seq": seq as u64}}));
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
    // Its socket fills again during the backfill: no live message waits in memory behind it.
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
fn while_much_waits_for_all_sockets_a_full_socket_is_closed_soon_and_one_that_takes_bytes_is_not() {
    let (mut world, ann, _, bobs) = many_bobs();
    let (slow, quick) = (bobs[0], bobs[1]);
    world.set_room(slow, 0);
    let say = |world: &mut World, n: usize| {
        world.direct(ann, "bob", &long(n));
        world.run_until_idle();
    };
    say(&mut world, 0);
    say(&mut world, 1);
    assert!(!world.is_over(slow));
    world.engines[0].press(limits::WAITING_BYTES + 1);
    say(&mut world, 2);
    assert!(world.is_over(slow));
    assert_eq!(numbers(&mut world, quick), ["0", "1", "2"]);
}
