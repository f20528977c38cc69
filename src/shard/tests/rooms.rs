//! Members of rooms: presence, names, many rooms, reused slots, and the memory of a connection.

use serde_json::json;

use crate::{
    chat::{Command, Reply, Request, ShardId, ToSession, UserName},
    shard::{
        bus::message::ToShard,
        connection::{session::Session, state::Connection},
        room::{attendance::Membership, members::Member, rings::RoomRing},
        runtime::transport::Transport,
        settings::ShardSettings,
        testing::{OPEN, Received, Speaks, World},
    },
};

/// A room whose owner is this shard.
fn room_owned_by(world: &World, shard: u16) -> String {
    (0..)
        .map(|n| format!("room {n}"))
        .find(|room| world.directory.owner_of(room) == ShardId(shard))
        .unwrap()
}

#[test]
fn two_sessions_of_a_user_count_once_and_the_user_leaves_with_the_last() {
    let mut world = World::new(3);
    let [ada] = world.members("tea", ["ada"]);
    let tabs = [world.user(1, "bob"), world.user(2, "bob"), world.user(1, "bob")];
    for tab in tabs {
        world.join(tab, "tea");
    }
    world.run_until_idle();
    assert_eq!(world.users("tea"), (vec!["ada".into(), "bob".into()], 2));
    world.hang_up(tabs[0]);
    world.leave(tabs[1], "tea");
    world.run_until_idle();
    assert_eq!(world.users("tea").1, 2);
    world.exit(tabs[2]);
    world.run_until_idle();
    assert_eq!(world.heard(ada), ["came bob", "went bob"]);
    assert_eq!(world.users("tea").0, ["ada"]);
}

#[test]
fn a_user_leaves_once_however_its_connection_ends() {
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
            world.send_bytes(client, crate::shard::testing::masked(8, &[3, 232]))
        }),
        ("violation", |world, client| {
            world.send_bytes(client, vec![0xFF, 0xFF, 0xFF])
        }),
        ("broken socket", |world, client| {
            world.break_socket(client);
            world.ping(client);
        }),
        ("idle", |_, _| ()),
    ];
    for (way, go) in ways {
        let client = world.user(1, way);
        world.join(client, "tea");
        world.run_until_idle();
        assert_eq!(world.users("tea").1, 2, "{way}");
        go(&mut world, client);
        world.pass_ms(20_000);
        world.talk(ada, "tea", "still here");
        world.pass_ms(15_000);
        world.talk(ada, "tea", "still here");
        world.run_until_idle();
        // A second end of the same connection changes nothing.
        world.hang_up(client);
        world.run_until_idle();
        let left = world
            .heard(ada)
            .iter()
            .filter(|received| **received == format!("went {way}"))
            .count();
        assert_eq!(left, 1, "{way}");
        assert_eq!(world.users("tea").0, ["ada"], "{way}");
        world.check_rest();
        world.send_bytes(ada, crate::shard::testing::masked(10, b""));
    }
}

#[test]
fn presence_counts_are_exact_while_many_users_join_and_leave() {
    let mut world = World::new(3);
    let [ada] = world.members("tea", ["ada"]);
    let mut random = fastrand::Rng::with_seed(5);
    let mut here: Vec<usize> = Vec::new();
    for n in 0..400 {
        if here.len() > 40 || (random.bool() && !here.is_empty()) {
            let left = here.swap_remove(random.usize(..here.len()));
            if random.bool() {
                world.hang_up(left)
            } else {
                world.exit(left);
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
    world.run_until_idle();
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
fn a_member_of_fifty_rooms_gets_messages_of_all_and_leaves_all() {
    let mut world = World::new(3);
    let bob = world.user(0, "bob");
    let ada = world.user(1, "ada");
    for n in 0..50 {
        world.join(bob, &format!("room {n}"));
        world.join(ada, &format!("room {n}"));
    }
    world.run_until_idle();
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
    world.run_until_idle();
    let mut heard: Vec<String> = world.heard(bob);
    assert_eq!(heard.len(), 200);
    for n in 0..50 {
        let of_room: Vec<_> = heard
            .iter()
            .filter(|received| received.contains(&format!(" {n}/")))
            .collect();
        assert_eq!(of_room.len(), 4);
        assert!(of_room.is_sorted(), "{of_room:?}");
    }
    heard.clear();
    world.exit(bob);
    world.run_until_idle();
    assert_eq!(world.heard(bob).last().unwrap(), "close 1000");
    assert_eq!(world.count_heard(ada, "went bob"), 50);
}

#[test]
fn direct_messages_keep_their_order_and_reach_every_session_of_both_users_once() {
    let mut world = World::new(3);
    let ada = world.user(0, "ada");
    let other_ada = world.speaker(1, Speaks::Protobuf, "ada");
    let bobs = [world.user(2, "bob"), world.user(0, "bob")];
    world.run_until_idle();
    for client in [ada, other_ada, bobs[0], bobs[1]] {
        world.received(client);
    }
    world.set_room(bobs[1], 30);
    for n in 0..20 {
        world.direct(ada, "bob", &format!("{n:02}"));
    }
    world.run_until_idle();
    world.set_room(bobs[1], OPEN);
    world.run_until_idle();
    let sent: Vec<String> = (0..20).map(|n| format!("ada: {n:02}")).collect();
    for client in [other_ada, bobs[0], bobs[1]] {
        assert_eq!(world.heard(client), sent);
    }
    let acks: Vec<String> = (1..=20).map(|n| format!("ack {n}")).collect();
    assert_eq!(world.heard(ada), acks);
    world.direct(ada, "nobody", "hello");
    world.run_until_idle();
    assert_eq!(world.heard(ada), ["error no_such_user"]);
}

#[test]
fn late_messages_never_reach_the_next_connection_in_a_slot() {
    let mut world = World::new(2);
    let room = room_owned_by(&world, 1);
    let ada = world.user(0, "ada");
    world.join(ada, &room);
    world.talk(ada, &room, "to nobody");
    world.direct(ada, "ada", "to myself");
    let slot = world.id(ada).slot();
    world.hang_up(ada);
    let bob = world.user(0, "bob");
    assert_eq!(world.id(bob).slot(), slot);
    world.run_until_idle();
    assert_eq!(world.heard(bob), ["welcome"]);
    assert_eq!(world.users(&room).1, 0);
    assert_eq!(world.in_flight(bob), 0);
    // A timer of the connection that had this slot before must not end bob's.
    world.pass_ms_with_pongs(120_000, &[bob]);
    assert!(!world.is_over(bob));
}

#[test]
fn a_watcher_of_a_user_learns_of_its_rename() {
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
    let received = engine.bus().local().any(|message| {
        matches!(message, ToShard::Session { session, what: ToSession::Event(reply) } if *session == ids[0] && matches!(**reply, Reply::PeerLeft { .. }))
    });
    assert!(received);
    world.ends_midway();
}

#[test]
fn rooms_without_members_are_removed_even_if_they_have_topics() {
    let mut world = World::new(1);
    let ada = world.user(0, "ada");
    let most = crate::limits::TOPICS_KEPT;
    for n in 0..most + 100 {
        let room = format!("room {n}");
        world.join(ada, &room);
        world.request(ada, json!({"topic": {"room": room.clone(), "topic": "tea"}}));
        world.leave(ada, &room);
        if n % 50 == 0 {
            world.run_until_idle();
            world.received(ada);
        }
    }
    world.run_until_idle();
    world.received(ada);
    assert_eq!(world.engines[0].gauges().rooms, most);
    let last = format!("room {}", most + 99);
    world.join(ada, &last);
    world.run_until_idle();
    assert_eq!(
        world.messages(ada)[0]["joined"]["topic"],
        "tea",
        "the newest topics stay"
    );
}

#[test]
fn joins_and_leaves_of_one_room_do_not_change_the_topics_of_others() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    let topic = |room: &str, topic: &str| json!({"topic": {"room": room, "topic": topic}});
    world.request(ada, topic("tea", "green"));
    world.leave(ada, "tea");
    world.leave(bob, "tea");
    for n in 0..2 * crate::limits::TOPICS_KEPT {
        world.join(bob, "mine");
        if n % 3 == 0 {
            // Without a topic the room ends with its last member, and the next join begins another one.
            world.request(bob, topic("mine", ""));
        } else {
            world.request(bob, topic("mine", "all mine"));
        }
        world.leave(bob, "mine");
        if n % 50 == 0 {
            world.run_until_idle();
            world.received(bob);
        }
    }
    world.run_until_idle();
    world.received(ada);
    world.join(ada, "tea");
    world.run_until_idle();
    assert_eq!(world.messages(ada)[0]["joined"]["topic"], "green");
    assert_eq!(
        world.engines[0].gauges().rooms,
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
    world.run_until_idle();
    world.received(ada);
    names.sort();
    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        world.request(ada, json!({"rooms": {"after": after, "limit": 50}}));
        world.run_until_idle();
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
fn a_small_room_is_flushed_between_the_steps_of_a_large_one() {
    let mut world = World::with(1, 64, |settings| settings.pace = 0.0);
    let big: Vec<usize> = (0..2_000).map(|n| world.user(0, &format!("user {n}"))).collect();
    world.run_until_idle();
    for member in &big {
        world.request(*member, json!({"join": {"room": "big"}}));
    }
    let [ada, bob] = world.members("small", ["ada", "bob"]);
    world.run_until_idle();
    let before: usize = big.iter().map(|member| world.writes(*member)).sum();
    world.talk(big[0], "big", "to many");
    world.talk(ada, "small", "to one");
    let mut steps = 0;
    world.received(bob);
    loop {
        let more = world.flush(0);
        steps += 1;
        if world.heard(bob).contains(&"ada: to one".to_owned()) {
            break;
        }
        assert!(more && steps < 3, "the small room waits for the big one");
    }
    world.run_until_idle();
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
    world.run_until_idle();
    for pair in &pairs {
        world.received(pair[1]);
    }
    for (n, pair) in pairs.iter().enumerate() {
        world.talk(pair[0], &format!("room {n}"), "hello");
    }
    // Two members each.
    let per_step = ShardSettings::default().yield_writes / 2;
    let mut steps = 0;
    let mut served = 0;
    while world.flush(0) {
        steps += 1;
        while served < rooms && !world.received(pairs[served][1]).is_empty() {
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
fn a_ring_at_rest_keeps_messages_and_drops_joins() {
    let mut world = World::new(1);
    let [ada, bob, _] = world.members("tea", ["ada", "bob", "eve"]);
    assert!(world.engine(ada).gauges().ring_bytes > 0);
    world.pass_ms(2_000);
    assert_eq!(world.engine(ada).gauges().ring_bytes, 0);
    world.talk(ada, "tea", "hello");
    world.run_until_idle();
    world.leave(bob, "tea");
    world.run_until_idle();
    world.pass_ms(2_000);
    assert!(world.engine(ada).gauges().ring_bytes > 0);
}

#[test]
fn an_idle_member_takes_little_memory() {
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
    world.run_until_idle();
    let id = world.id(ada);
    let connection = world.engine(ada).connections().get(id).unwrap();
    assert!(
        connection.outgoing().is_empty(),
        "the ring keeps nothing for members that have everything"
    );
    assert_eq!(connection.buffered_bytes(), 0);
    assert!(!world.received(ada).contains(&Received::Ping));
}
