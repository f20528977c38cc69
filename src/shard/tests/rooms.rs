//! Who is in which room: presence, names, many rooms, slots that are used again, and what a connection costs.

use serde_json::json;

use crate::{
    chat::{Command, Reply, Request, ShardId, ToSession, UserName},
    shard::{
        bus::message::ToShard,
        connection::{session::Session, state::Connection},
        room::{attendance::Membership, members::Member, rings::RoomRing},
        runtime::transport::Transport,
        settings::Settings,
        testing::{OPEN, Speaks, Told, World},
    },
};

/// A room that this shard owns.
fn room_at_home_on(world: &World, shard: u16) -> String {
    (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(shard))
        .unwrap()
}

#[test]
fn two_tabs_of_a_user_count_once_and_the_user_goes_with_the_last() {
    let mut world = World::new(3);
    let [ada] = world.members("tea", ["ada"]);
    let tabs = [world.user(1, "bob"), world.user(2, "bob"), world.user(1, "bob")];
    for tab in tabs {
        world.join(tab, "tea");
    }
    world.calm();
    assert_eq!(world.users("tea"), (vec!["ada".into(), "bob".into()], 2));
    world.hang_up(tabs[0]);
    world.leave(tabs[1], "tea");
    world.calm();
    assert_eq!(world.users("tea").1, 2);
    world.exit(tabs[2]);
    world.calm();
    assert_eq!(world.heard(ada), ["came bob", "went bob"]);
    assert_eq!(world.users("tea").0, ["ada"]);
}

#[test]
fn a_user_vanishes_once_whichever_way_it_goes() {
    let mut world = World::with(2, 64, |settings| {
        settings.idle_kick = Some(std::time::Duration::from_secs(30))
    });
    let [ada] = world.members("tea", ["ada"]);
    type Way = fn(&mut World, usize);
    let ways: [(&str, Way); 7] = [
        ("leave", |world, client| {
            world.leave(client, "tea");
        }),
        ("exit", |world, client| {
            world.exit(client);
        }),
        ("hang up", |world, client| world.hang_up(client)),
        ("close", |world, client| {
            world.give(client, crate::shard::testing::masked(8, &[3, 232]))
        }),
        ("violation", |world, client| world.give(client, vec![0xFF, 0xFF, 0xFF])),
        ("broken socket", |world, client| {
            world.break_socket(client);
            world.ping(client);
        }),
        ("idle", |_, _| ()),
    ];
    for (way, go) in ways {
        let client = world.user(1, way);
        world.join(client, "tea");
        world.calm();
        assert_eq!(world.users("tea").1, 2, "{way}");
        go(&mut world, client);
        world.pass_ms(20_000);
        world.talk(ada, "tea", "still here");
        world.pass_ms(15_000);
        world.talk(ada, "tea", "still here");
        world.calm();
        // And again, for a way that was taken already.
        world.hang_up(client);
        world.calm();
        let gone = world
            .heard(ada)
            .iter()
            .filter(|told| **told == format!("went {way}"))
            .count();
        assert_eq!(gone, 1, "{way}");
        assert_eq!(world.users("tea").0, ["ada"], "{way}");
        world.check_rest();
        world.give(ada, crate::shard::testing::masked(10, b""));
    }
}

#[test]
fn presence_counts_are_exact_while_many_come_and_go() {
    let mut world = World::new(3);
    let [ada] = world.members("tea", ["ada"]);
    let mut random = fastrand::Rng::with_seed(5);
    let mut here: Vec<usize> = Vec::new();
    for n in 0..400 {
        if here.len() > 40 || (random.bool() && !here.is_empty()) {
            let gone = here.swap_remove(random.usize(..here.len()));
            if random.bool() {
                world.hang_up(gone)
            } else {
                world.exit(gone);
            }
        } else {
            let client = world.user(n % 3, &format!("user {n}"));
            world.join(client, "tea");
            here.push(client);
        }
        for _ in 0..random.usize(..10) {
            world.step();
        }
    }
    world.calm();
    let mut count = 1;
    for message in world.messages(ada) {
        let presence = &message["presence"];
        count += i64::from(presence["joined"].is_array()) - i64::from(presence["left"].is_array());
        assert_eq!(presence["online"].as_i64(), Some(count));
    }
    assert_eq!(count as usize, here.len() + 1);
    assert_eq!(world.users("tea").1 as usize, here.len() + 1);
}

#[test]
fn a_member_of_fifty_rooms_hears_all_of_them_and_leaves_all_of_them() {
    let mut world = World::new(3);
    let bob = world.user(0, "bob");
    let ada = world.user(1, "ada");
    for n in 0..50 {
        world.join(bob, &format!("room {n}"));
        world.join(ada, &format!("room {n}"));
    }
    world.calm();
    world.heard(bob);
    world.heard(ada);
    world.set_room(bob, 100);
    for turn in 0..4 {
        for n in 0..50 {
            world.talk(ada, &format!("room {n}"), &format!("{n}/{turn}"));
        }
        for _ in 0..40 {
            world.step();
        }
        world.add_room(bob, 2_000);
    }
    world.set_room(bob, OPEN);
    world.calm();
    let mut heard: Vec<String> = world.heard(bob);
    assert_eq!(heard.len(), 200);
    for n in 0..50 {
        let of_room: Vec<_> = heard.iter().filter(|told| told.contains(&format!(" {n}/"))).collect();
        assert_eq!(of_room.len(), 4);
        assert!(of_room.is_sorted(), "{of_room:?}");
    }
    heard.clear();
    world.exit(bob);
    world.calm();
    assert_eq!(world.heard(bob).last().unwrap(), "close 1000");
    assert_eq!(world.heard(ada).iter().filter(|told| *told == "went bob").count(), 50);
}

#[test]
fn private_messages_keep_their_order_and_reach_every_session_of_both_users_once() {
    let mut world = World::new(3);
    let ada = world.user(0, "ada");
    let other_ada = world.speaker(1, Speaks::Protobuf, "ada");
    let bobs = [world.user(2, "bob"), world.user(0, "bob")];
    world.calm();
    for client in [ada, other_ada, bobs[0], bobs[1]] {
        world.told(client);
    }
    world.set_room(bobs[1], 30);
    for n in 0..20 {
        world.direct(ada, "bob", &format!("{n:02}"));
    }
    world.calm();
    world.set_room(bobs[1], OPEN);
    world.calm();
    let said: Vec<String> = (0..20).map(|n| format!("ada: {n:02}")).collect();
    for client in [other_ada, bobs[0], bobs[1]] {
        assert_eq!(world.heard(client), said);
    }
    let acks: Vec<String> = (1..=20).map(|n| format!("ack {n}")).collect();
    assert_eq!(world.heard(ada), acks);
    world.direct(ada, "nobody", "hello");
    world.calm();
    assert_eq!(world.heard(ada), ["error no_such_user"]);
}

#[test]
fn late_messages_never_reach_the_next_occupant_of_a_slot() {
    let mut world = World::new(2);
    let room = room_at_home_on(&world, 1);
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.talk(ada, &room, "to nobody");
    world.direct(ada, "ada", "to myself");
    let slot = world.id(ada).slot();
    world.hang_up(ada);
    let bob = world.user(0, "bob");
    assert_eq!(world.id(bob).slot(), slot);
    world.calm();
    assert_eq!(world.heard(bob), ["welcome"]);
    assert_eq!(world.users(&room).1, 0);
    assert_eq!(world.in_flight(bob), 0);
    // A timer of the one before does not end the one after either.
    world.pass_ms_with_pongs(120_000, &[bob]);
    assert!(!world.is_over(bob));
}

#[test]
fn who_watches_a_user_is_told_when_that_user_takes_another_name() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    let ids = [world.id(ada), world.id(bob)];
    let engine = &mut world.engines[0];
    let commands = [
        Command::Watch {
            user: UserName::parse("bob").unwrap(),
        },
        Command::Rename {
            name: UserName::parse("rob").unwrap(),
            key: None,
        },
    ];
    for (id, command) in ids.into_iter().zip(commands) {
        engine.request(id, Request { id: None, command });
    }
    let told = engine.bus().local().any(|message| {
        matches!(message, ToShard::Session { session, what: ToSession::Tell(reply) } if *session == ids[0] && matches!(**reply, Reply::PeerWent { .. }))
    });
    assert!(told);
    world.ends_midway();
}

#[test]
fn rooms_without_members_do_not_pile_up_for_their_topics() {
    let mut world = World::new(1);
    let ada = world.user(0, "ada");
    let most = crate::limits::TOPICS_KEPT;
    for n in 0..most + 100 {
        let room = format!("room {n}");
        world.join(ada, &room);
        world.ask(ada, json!({"topic": {"room": room.clone(), "topic": "tea"}}));
        world.leave(ada, &room);
        if n % 50 == 0 {
            world.calm();
            world.told(ada);
        }
    }
    world.calm();
    world.told(ada);
    assert_eq!(world.engines[0].standing().rooms, most);
    let last = format!("room {}", most + 99);
    world.join(ada, &last);
    world.calm();
    assert_eq!(world.messages(ada)[0]["joined"]["topic"], "tea", "the newest are kept");
}

#[test]
fn going_in_and_out_of_one_room_leaves_the_topics_of_the_others_alone() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    let topic = |room: &str, topic: &str| json!({"topic": {"room": room, "topic": topic}});
    world.ask(ada, topic("tea", "green"));
    world.leave(ada, "tea");
    world.leave(bob, "tea");
    for n in 0..2 * crate::limits::TOPICS_KEPT {
        world.join(bob, "mine");
        if n % 3 == 0 {
            // Without a topic the room goes when it is left, and is another one the next time.
            world.ask(bob, topic("mine", ""));
        } else {
            world.ask(bob, topic("mine", "all mine"));
        }
        world.leave(bob, "mine");
        if n % 50 == 0 {
            world.calm();
            world.told(bob);
        }
    }
    world.calm();
    world.told(ada);
    world.join(ada, "tea");
    world.calm();
    assert_eq!(world.messages(ada)[0]["joined"]["topic"], "green");
    assert_eq!(
        world.engines[0].standing().rooms,
        2,
        "one room with its topic, and one with a member"
    );
}

#[test]
fn the_list_of_rooms_is_paged_over_all_shards() {
    let mut world = World::new(3);
    let ada = world.user(0, "ada");
    let mut names: Vec<String> = (0..120).map(|n| format!("room {n}")).collect();
    for name in &names {
        world.join(ada, name);
    }
    world.calm();
    world.told(ada);
    names.sort();
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        world.ask(ada, json!({"rooms": {"after": after, "limit": 50}}));
        world.calm();
        let page = world.messages(ada).pop().unwrap()["rooms"].clone();
        for room in page["rooms"].as_array().unwrap() {
            assert_eq!(room["online"], 1);
            listed.push(room["name"].as_str().unwrap().to_owned());
        }
        after = page["next"].as_str().unwrap_or_default().to_owned();
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(listed, names);
}

#[test]
fn a_small_room_is_served_between_the_steps_of_a_big_one() {
    let mut world = World::with(1, 64, |settings| settings.pace = 0.0);
    let big: Vec<usize> = (0..2_000).map(|n| world.user(0, &format!("user {n}"))).collect();
    world.calm();
    for member in &big {
        world.ask(*member, json!({"join": {"room": "big"}}));
    }
    let [ada, bob] = world.members("small", ["ada", "bob"]);
    world.calm();
    let before: usize = big.iter().map(|member| world.writes(*member)).sum();
    world.talk(big[0], "big", "to many");
    world.talk(ada, "small", "to one");
    let mut steps = 0;
    world.told(bob);
    loop {
        let more = world.flush(0);
        steps += 1;
        if world.heard(bob).contains(&"ada: to one".to_owned()) {
            break;
        }
        assert!(more && steps < 3, "the small room waits for the big one");
    }
    world.calm();
    let after: usize = big.iter().map(|member| world.writes(*member)).sum();
    assert_eq!(after - before, 2_000 + 1, "one write per member, and the ack");
}

#[test]
fn thousands_of_small_rooms_are_flushed_in_the_order_they_became_ready() {
    let mut world = World::new(1);
    let rooms = 2_000;
    let pairs: Vec<[usize; 2]> = (0..rooms)
        .map(|n| {
            let pair = [world.user(0, &format!("a{n}")), world.user(0, &format!("b{n}"))];
            for member in pair {
                world.join(member, &format!("room {n}"));
            }
            pair
        })
        .collect();
    world.calm();
    for pair in &pairs {
        world.told(pair[1]);
    }
    for (n, pair) in pairs.iter().enumerate() {
        world.talk(pair[0], &format!("room {n}"), "hello");
    }
    // Two members each.
    let per_step = Settings::default().yield_writes / 2;
    let mut steps = 0;
    let mut served = 0;
    while world.flush(0) {
        steps += 1;
        while served < rooms && !world.told(pairs[served][1]).is_empty() {
            served += 1;
        }
        assert!(
            served >= (steps * per_step).min(rooms),
            "after {steps} steps only {served} rooms were served"
        );
    }
    assert_eq!(served, rooms);
}

#[test]
fn room_at_rest_keeps_what_was_said_and_not_who_came() {
    let mut world = World::new(1);
    let [ada, bob, _] = world.members("tea", ["ada", "bob", "eve"]);
    assert!(world.engine(ada).standing().ring_bytes > 0);
    world.pass_ms(2_000);
    assert_eq!(world.engine(ada).standing().ring_bytes, 0);
    world.talk(ada, "tea", "kept");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.pass_ms(2_000);
    assert!(world.engine(ada).standing().ring_bytes > 0);
}

#[test]
fn an_idle_member_costs_little() {
    let sizes = [
        ("connection", size_of::<Connection<Transport>>(), 224),
        ("session", size_of::<Session>(), 216),
        ("membership", size_of::<Membership>(), 12),
        ("member", size_of::<Member>(), 24),
        ("message between shards", size_of::<ToShard>(), 88),
        ("ring", size_of::<RoomRing>(), 320),
    ];
    for (what, bytes, most) in sizes {
        println!("{what}: {bytes} bytes");
        assert!(bytes <= most, "{what}: {bytes} bytes, at most {most} are meant");
    }
    let mut world = World::new(1);
    let ada = world.user(0, "ada");
    world.join(ada, "tea");
    world.calm();
    let id = world.id(ada);
    let connection = world.engine(ada).connections().get(id).unwrap();
    assert!(
        connection.outgoing().is_empty(),
        "nothing is kept for who has read everything"
    );
    assert_eq!(connection.buffered_bytes(), 0);
    assert!(!world.told(ada).contains(&Told::Ping));
}
