//! Backpressure: busy owners, floods of requests, full inboxes.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    chat::{Reply, ShardId},
    limits,
    shard::{
        bus::directory::PerShard,
        testing::{OPEN, Received, Speaks, World, answers, masked},
    },
};

#[test]
fn messages_that_a_busy_owner_returns_are_sent_again_in_the_same_order() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(1, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    world.directory.events.add(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    for n in 0..20 {
        world.talk(tom, "lobby", &format!("{n}"));
    }
    world.talk(ada, "lobby", "native");
    world.pass_ms(3_000);
    assert!(world.heard(ada).contains(&"error busy".to_owned()));
    assert!(world.texts().is_empty());
    world.directory.events.take(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.pass_ms(1_000);
    let expected: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    assert_eq!(world.texts(), expected);
    assert!(!world.is_over(tom));
}

#[test]
fn messages_keep_their_order_while_the_owner_is_busy_now_and_then() {
    let mut world = World::new(3);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    world.run_until_idle();
    let mut random = fastrand::Rng::with_seed(3);
    let mut sent = 0;
    let mut busy = false;
    for _ in 0..60 {
        for _ in 0..random.usize(..4) {
            world.talk(tom, "lobby", &format!("{sent}"));
            sent += 1;
        }
        for _ in 0..random.usize(..6) {
            world.step();
        }
        if random.bool() {
            busy = !busy;
            let change = if busy { PerShard::add } else { PerShard::take };
            change(&world.directory.events, ShardId(1), limits::IN_FLIGHT_BYTES + 1);
        }
        if random.u8(..4) == 0 {
            world.pass_ms(100);
        }
    }
    if busy {
        world.directory.events.take(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    }
    world.pass_ms(2_000);
    let expected: Vec<String> = (0..sent).map(|n| format!("{n}")).collect();
    assert_eq!(world.texts(), expected);
}

#[test]
fn a_sender_is_closed_with_1013_after_the_owner_was_busy_for_ten_seconds() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ann = world.connect(1, Speaks::Legacy("chatroom"), "ann");
    world.run_until_idle();
    world.directory.events.add(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.talk(tom, "lobby", "hello");
    world.talk(ann, "lobby", "hello");
    world.pass_ms(500);
    world.hang_up(ann);
    world.pass_ms(9_000);
    assert!(!world.received(tom).contains(&Received::Close(1013)));
    world.pass_ms(1_500);
    assert_eq!(world.received(tom).last(), Some(&Received::Close(1013)));
    world.directory.events.take(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.pass_ms(3_000);
    // At its end, the test checks that the owner has forgotten the sessions that ended (`World::check_rest`).
}

#[test]
fn a_flood_of_requests_is_read_only_as_fast_as_it_is_answered_and_none_is_lost() {
    let mut world = World::new(2);
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(1))
        .unwrap();
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.run_until_idle();
    world.received(ada);
    let flood: u64 = 3 * u64::from(limits::REQUESTS_IN_FLIGHT);
    for n in 0..flood {
        world.talk(ada, &room, &format!("{n}"));
        assert!(world.in_flight(ada) <= limits::REQUESTS_IN_FLIGHT);
    }
    assert!(world.is_throttled(ada));
    world.run_until_idle();
    assert!(!world.is_throttled(ada));
    let received = world.messages(ada);
    let acks: Vec<u64> = received
        .iter()
        .filter_map(|received| received["ack"]["seq"].as_u64())
        .collect();
    assert_eq!(acks, (1..=flood).collect::<Vec<_>>());
}

#[test]
fn unread_replies_pause_the_reading_of_a_connection_and_none_is_lost() {
    let mut world = World::with(1, 64, |settings| settings.write_timeout = Duration::from_secs(1_000));
    let ada = world.user(0, "ada");
    world.run_until_idle();
    world.received(ada);
    world.set_room(ada, 0);
    let ids: Vec<u64> = (0..20_000).map(|_| world.ping(ada)).collect();
    let id = world.id(ada);
    let waiting = world.engine(ada).connections().get(id).unwrap().private_bytes();
    let most = limits::PRIVATE_BYTES + limits::PRIVATE_BYTES_MARGIN;
    assert!(waiting < most + 200, "{waiting} bytes of replies wait");
    assert!(world.is_throttled(ada));
    world.set_room(ada, 100_000);
    world.run_until_idle();
    world.set_room(ada, OPEN);
    world.run_until_idle();
    let received = world.messages(ada);
    assert_eq!(received.len(), ids.len());
    assert!(
        received.iter().zip(&ids).all(|(received, id)| answers(received, *id)),
        "pongs out of order"
    );
}

#[test]
fn full_inboxes_pause_the_reading_and_everything_arrives_when_they_have_room() {
    let mut world = World::with(2, 2, |_| {});
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(1))
        .unwrap();
    let clients: Vec<usize> = (0..4).map(|n| world.user(0, &format!("user {n}"))).collect();
    for client in &clients {
        world.join(*client, &room);
    }
    world.run_until_idle();
    let each = 2_000;
    for n in 0..each {
        for client in &clients {
            world.talk(*client, &room, &format!("{n}"));
        }
    }
    // Each client may send one more message before the shard notices the overflow.
    let overflow = world.engines[0].bus().overflow();
    assert!(
        overflow <= limits::OVERFLOW_MESSAGES + 1 + clients.len(),
        "{overflow} messages overflow"
    );
    assert!(clients.iter().any(|client| world.is_throttled(*client)));
    world.run_until_idle();
    assert_eq!(world.logged.borrow().len(), 4 * each);
}

#[test]
fn a_flood_of_renames_by_a_member_of_many_rooms_is_bounded() {
    let mut world = World::new(1);
    let ada = world.user(0, "ada");
    for n in 0..200 {
        world.join(ada, &format!("room {n}"));
    }
    world.run_until_idle();
    world.received(ada);
    let mut flood = Vec::new();
    for n in 0..500 {
        flood.extend(world.encoded(ada, 1_000 + n, json!({"rename": {"name": format!("ada {}", n % 7)}})));
    }
    let id = world.id(ada);
    let engine = &mut world.engines[0];
    engine.begin_turn();
    engine.receive(id, &mut flood);
    assert!(
        engine.bus().local().len() <= limits::OVERFLOW_MESSAGES + 201,
        "{} messages at once",
        engine.bus().local().len()
    );
    world.run_until_idle();
    assert_eq!(world.users("room 7").0, ["ada 2"]);
}

#[test]
fn a_pong_goes_ahead_of_replies_but_never_into_another_frame() {
    let mut world = World::with(1, 64, |settings| settings.write_timeout = Duration::from_secs(1_000));
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 9);
    world.talk(ada, "tea", "torn");
    world.run_until_idle();
    for n in 0..5 {
        world.direct(ada, "bob", &format!("{n}"));
    }
    for n in 0..3 {
        world.send_bytes(bob, masked(9, format!("{n}").as_bytes()));
    }
    world.run_until_idle();
    for _ in 0..2_000 {
        world.add_room(bob, 1);
        world.run_until_idle();
    }
    let received = world.heard(bob);
    assert_eq!(
        received,
        ["ada: torn", "pong", "ada: 0", "ada: 1", "ada: 2", "ada: 3", "ada: 4"]
    );
}

#[test]
fn replies_of_one_turn_are_written_to_the_socket_before_they_count_as_too_many() {
    let mut world = World::new(1);
    let ann = world.user(0, "ann");
    world.run_until_idle();
    let id = world.id(ann);
    let flood = |world: &mut World| {
        let text: Arc<str> = "x".repeat(64 * 1024).into();
        world.turn(0, |engine| {
            for _ in 0..2 * limits::PRIVATE_BYTES_MOST / text.len() {
                engine.reply(id, None, &Reply::System { text: text.clone() });
            }
        });
    };
    flood(&mut world);
    assert!(!world.is_over(ann));
    world.set_room(ann, 0);
    flood(&mut world);
    assert!(world.is_over(ann));
}
