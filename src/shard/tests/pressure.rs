//! More than fits: busy owners, floods of requests, full inboxes.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    chat::{Reply, ShardId},
    limits,
    shard::{
        bus::directory::Underway,
        testing::{OPEN, Speaks, Told, World, answers, masked},
    },
};

pub(crate) fn say(text: &str) -> Vec<u8> {
    let message = crate::proto::chatroom::ChatRoomRequest {
        r#type: "talk".into(),
        content: text.into(),
        ..Default::default()
    };
    masked(2, &prost::Message::encode_to_vec(&message))
}

pub(crate) fn lobby_texts(world: &World) -> Vec<String> {
    world
        .said
        .borrow()
        .iter()
        .map(|(_, message)| message.text.to_string())
        .collect()
}

#[test]
fn what_a_busy_home_gives_back_is_said_later_in_the_same_order() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ada = world.user(1, "ada");
    world.join(ada, "lobby");
    world.calm();
    world.directory.events.add(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    for n in 0..20 {
        world.give(tom, say(&format!("{n}")));
    }
    world.talk(ada, "lobby", "native");
    world.pass_ms(3_000);
    assert!(world.heard(ada).contains(&"error busy".to_owned()));
    assert!(lobby_texts(&world).is_empty());
    world.directory.events.take(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.pass_ms(1_000);
    let expected: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    assert_eq!(lobby_texts(&world), expected);
    assert!(!world.is_over(tom));
}

#[test]
fn the_order_holds_when_the_home_is_busy_now_and_then() {
    let mut world = World::new(3);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    world.calm();
    let mut random = fastrand::Rng::with_seed(3);
    let mut said = 0;
    let mut busy = false;
    for _ in 0..60 {
        for _ in 0..random.usize(..4) {
            world.give(tom, say(&format!("{said}")));
            said += 1;
        }
        for _ in 0..random.usize(..6) {
            world.step();
        }
        if random.bool() {
            busy = !busy;
            let change = if busy { Underway::add } else { Underway::take };
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
    let expected: Vec<String> = (0..said).map(|n| format!("{n}")).collect();
    assert_eq!(lobby_texts(&world), expected);
}

#[test]
fn a_sender_that_finds_the_home_busy_for_ten_seconds_is_closed_with_1013_and_forgotten() {
    let mut world = World::new(2);
    let tom = world.connect(0, Speaks::Legacy("chatroom"), "tom");
    let ann = world.connect(1, Speaks::Legacy("chatroom"), "ann");
    world.calm();
    world.directory.events.add(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.give(tom, say("hello"));
    world.give(ann, say("hello"));
    world.pass_ms(500);
    world.hang_up(ann);
    world.pass_ms(9_000);
    assert!(!world.told(tom).contains(&Told::Close(1013)));
    world.pass_ms(1_500);
    assert_eq!(world.told(tom).last(), Some(&Told::Close(1013)));
    world.directory.events.take(ShardId(1), limits::IN_FLIGHT_BYTES + 1);
    world.pass_ms(3_000);
    // Nothing is remembered of sessions that are gone.
}

#[test]
fn a_flood_of_requests_is_read_as_fast_as_it_is_answered_and_nothing_is_lost() {
    let mut world = World::new(2);
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(1))
        .unwrap();
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.calm();
    world.told(ada);
    let flood: u64 = 3 * u64::from(limits::REQUESTS_IN_FLIGHT);
    for n in 0..flood {
        world.talk(ada, &room, &format!("{n}"));
        assert!(world.in_flight(ada) <= limits::REQUESTS_IN_FLIGHT);
    }
    assert!(world.is_held_up(ada));
    world.calm();
    assert!(!world.is_held_up(ada));
    let told = world.messages(ada);
    let acks: Vec<u64> = told.iter().filter_map(|told| told["ack"]["seq"].as_u64()).collect();
    assert_eq!(acks, (1..=flood).collect::<Vec<_>>());
}

#[test]
fn replies_that_nobody_reads_stop_the_reading_and_nothing_is_lost() {
    let mut world = World::with(1, 64, |settings| settings.write_timeout = Duration::from_secs(1_000));
    let ada = world.user(0, "ada");
    world.calm();
    world.told(ada);
    world.set_room(ada, 0);
    let ids: Vec<u64> = (0..20_000).map(|_| world.ping(ada)).collect();
    let id = world.id(ada);
    let waiting = world.engine(ada).connections().get(id).unwrap().private_bytes();
    let most = limits::PRIVATE_BYTES + limits::PRIVATE_BYTES_BESIDE;
    assert!(waiting < most + 200, "{waiting} bytes of replies wait");
    assert!(world.is_held_up(ada));
    world.set_room(ada, 100_000);
    world.calm();
    world.set_room(ada, OPEN);
    world.calm();
    let told = world.messages(ada);
    assert_eq!(told.len(), ids.len());
    assert!(
        told.iter().zip(&ids).all(|(told, id)| answers(told, *id)),
        "pongs out of order"
    );
}

#[test]
fn full_inboxes_stop_the_reading_and_everything_arrives_once_they_are_emptied() {
    let mut world = World::with(2, 2, |_| {});
    let room = (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(1))
        .unwrap();
    let clients: Vec<usize> = (0..4).map(|n| world.user(0, &format!("user {n}"))).collect();
    for client in &clients {
        world.join(*client, &room);
    }
    world.calm();
    let each = 2_000;
    for n in 0..each {
        for client in &clients {
            world.talk(*client, &room, &format!("{n}"));
        }
    }
    // Each client may say one thing more before it is seen that too much is kept.
    let kept = world.engines[0].bus().overflow();
    assert!(
        kept <= limits::OVERFLOW_MESSAGES + 1 + clients.len(),
        "{kept} messages are kept"
    );
    assert!(clients.iter().any(|client| world.is_held_up(*client)));
    world.calm();
    assert_eq!(world.said.borrow().len(), 4 * each);
}

#[test]
fn a_flood_of_renames_by_a_member_of_many_rooms_is_bounded() {
    let mut world = World::new(1);
    let ada = world.user(0, "ada");
    for n in 0..200 {
        world.join(ada, &format!("room {n}"));
    }
    world.calm();
    world.told(ada);
    let mut flood = Vec::new();
    for n in 0..500 {
        flood.extend(world.encoded(ada, 1_000 + n, json!({"rename": {"name": format!("ada {}", n % 7)}})));
    }
    let id = world.id(ada);
    let engine = &mut world.engines[0];
    engine.begin();
    engine.receive(id, &mut flood);
    assert!(
        engine.bus().local().len() <= limits::OVERFLOW_MESSAGES + 201,
        "{} messages at once",
        engine.bus().local().len()
    );
    world.calm();
    assert_eq!(world.users("room 7").0, ["ada 2"]);
}

#[test]
fn a_pong_goes_first_but_never_into_another_frame() {
    let mut world = World::with(1, 64, |settings| settings.write_timeout = Duration::from_secs(1_000));
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 9);
    world.talk(ada, "tea", "torn");
    world.calm();
    for n in 0..5 {
        world.direct(ada, "bob", &format!("{n}"));
    }
    for n in 0..3 {
        world.give(bob, masked(9, format!("{n}").as_bytes()));
    }
    world.calm();
    for _ in 0..2_000 {
        world.add_room(bob, 1);
        world.calm();
    }
    let told = world.heard(bob);
    assert_eq!(
        told,
        ["ada: torn", "pong", "ada: 0", "ada: 1", "ada: 2", "ada: 3", "ada: 4"]
    );
}

#[test]
fn much_that_one_turn_has_for_a_reader_is_offered_to_its_socket_before_it_is_too_much() {
    let mut world = World::new(1);
    let ann = world.user(0, "ann");
    world.calm();
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
