//! Time: heartbeats, deadlines, silence, and clocks that jump.

use serde_json::json;

use crate::{
    codec::Handshake,
    limits,
    shard::testing::{OPEN, Received, Speaks, World, masked},
};

#[test]
fn members_get_pings_at_the_interval_of_their_dialect_after_a_random_first_one() {
    let mut world = World::new(1);
    let clients: Vec<usize> = (0..40).map(|n| world.user(0, &format!("user {n}"))).collect();
    let mut first = Vec::new();
    for second in 1..=25 {
        world.pass_ms(1_000);
        for client in &clients {
            if world.received(*client).contains(&Received::Ping) {
                first.push(second);
            }
        }
    }
    assert_eq!(first.len(), 40, "each once in 25 s");
    first.dedup();
    assert!(first.len() > 10, "they are pinged together: {first:?}");
    world.pass_ms(25_000);
    for client in clients {
        assert_eq!(world.received(client), [Received::Ping]);
    }
}

#[test]
fn a_client_that_is_silent_for_a_minute_is_closed_and_one_that_answers_pings_stays() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.pass_ms_with_pongs(59_000, &[ada]);
    assert!(!world.is_over(bob));
    world.pass_ms_with_pongs(2_000, &[ada]);
    assert!(world.is_over(bob) && world.was_reset(bob));
    world.pass_ms_with_pongs(200_000, &[ada]);
    assert_eq!(world.users("tea").0, ["ada"]);
    assert_eq!(world.count_heard(ada, "went bob"), 1);
}

#[test]
fn a_shard_that_stalled_does_not_close_everybody() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "hello");
    world.run_until_idle();
    world.jump_ms(10 * 60_000);
    assert!(!world.is_over(ada) && !world.is_over(bob));
    // From then on time counts as usual.
    world.pass_ms_with_pongs(11_000, &[ada]);
    assert!(world.is_over(bob), "its socket took nothing for 10 s of running time");
    world.pass_ms(61_000);
    assert!(world.is_over(ada));
}

#[test]
fn digests_and_lists_continue_if_the_wall_clock_moves_back() {
    let mut world = World::with(1, 64, |settings| settings.rooms.presence_events_max = 2);
    let [ada, ..] = world.members("tea", ["ada", "bob", "eve", "tom"]);
    world.pass_ms_with_pongs(5_000, &[ada]);
    world.heard(ada);
    world.clock.set_unix_ms(1_000_000);
    for name in ["una", "vic"] {
        let client = world.user(0, name);
        world.join(client, "tea");
        world.pass_ms_with_pongs(3_000, &[ada]);
    }
    let digests = world
        .heard(ada)
        .iter()
        .filter(|received| received.starts_with("digest"))
        .count();
    assert_eq!(digests, 2);
}

#[test]
fn a_jump_of_the_wall_clock_reorders_no_message_and_closes_nobody() {
    let (hour, day) = (3_600_000, 24 * 3_600_000);
    for durable in [false, true] {
        let world = World::with(2, 64, |settings| {
            settings.idle_kick = Some(std::time::Duration::from_secs(120))
        });
        let mut world = if durable { world.with_store() } else { world };
        let clients = [world.user(0, "ada"), world.user(1, "bob")];
        world.store_answers();
        for client in clients {
            world.join(client, "tea");
            world.store_answers();
        }
        for client in clients {
            world.received(client);
        }
        let set = 1_767_323_045_000;
        for now in [set, set - hour, set + day, set] {
            world.clock.set_unix_ms(now);
            world.pass_ms_with_pongs(40_000, &clients);
            for client in clients {
                world.talk(client, "tea", "hello");
                world.store_answers();
            }
        }
        for client in clients {
            let seen = world.messages(client);
            let messages: Vec<_> = seen.iter().filter_map(|message| message.get("message")).collect();
            let numbers = |key: &str| {
                messages
                    .iter()
                    .map(|message| message[key].as_u64().unwrap())
                    .collect::<Vec<_>>()
            };
            // The sender gets the number of its own message in the acknowledgement.
            let seqs: Vec<u64> = numbers("seq");
            assert!(seqs.is_sorted() && seqs.len() >= 4, "durable: {durable}: {messages:?}");
            assert!(!durable || numbers("at").is_sorted(), "{messages:?}");
            let others = seen
                .iter()
                .filter(|message| message.get("message").or(message.get("ack")).is_none());
            assert_eq!(others.count(), 0, "nobody joins, leaves or is closed: {seen:?}");
        }
        assert_eq!(world.users("tea").0, ["ada", "bob"]);
    }
}

#[test]
fn an_idle_user_is_closed_and_pongs_do_not_count_as_activity() {
    let mut world = World::with(1, 64, |settings| {
        settings.idle_kick = Some(std::time::Duration::from_secs(120))
    });
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    for _ in 0..3 {
        world.pass_ms_with_pongs(50_000, &[ada, bob]);
        world.talk(ada, "tea", "still here");
        world.ping(bob);
    }
    world.run_until_idle();
    let received = world.heard(bob);
    assert!(
        received.ends_with(&["goodbye idle".into(), "close 4500".into()]),
        "{received:?}"
    );
    assert_eq!(world.count_heard(ada, "went bob"), 1);
    assert_eq!(world.users("tea").0, ["ada"]);
}

#[test]
fn a_message_that_stays_unfinished_ends_the_connection() {
    let mut world = World::new(1);
    let [ada] = world.members("tea", ["ada"]);
    let frame = masked(1, br#"{"ping":{}}"#);
    for at in 0..29 {
        world.send_bytes(
            ada,
            if at == 0 {
                frame[..4].to_vec()
            } else {
                masked(10, b"")[..0].to_vec()
            },
        );
        world.pass_ms(1_000);
    }
    assert!(!world.is_over(ada));
    world.pass_ms(2_000);
    assert_eq!(world.received(ada).last(), Some(&Received::Close(1008)));
    assert!(world.users("tea").0.is_empty());
}

#[test]
fn a_busy_sender_whose_reads_end_inside_frames_does_not_count_as_unfinished() {
    let mut world = World::new(1);
    let [ada] = world.members("tea", ["ada"]);
    let frame = masked(1, br#"{"ping":{}}"#);
    let stream = frame.repeat(200);
    let mut left = &stream[..];
    // Each piece is seven bytes shorter than a frame, so nearly every read ends inside a frame.
    while left.len() > frame.len() * 3 {
        let (now, later) = left.split_at(frame.len() * 2 + usize::from(left.len() == stream.len()) * 5);
        world.send_bytes(ada, now.to_vec());
        left = later;
        world.pass_ms(1_000);
    }
    assert!(!world.is_over(ada));
    let received = world.heard(ada);
    assert!(
        !received.iter().any(|received| received.starts_with("close")),
        "{:?}",
        received.last()
    );
}

#[test]
fn a_socket_that_takes_nothing_for_ten_seconds_is_reset_and_its_user_leaves_once() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 6);
    world.talk(ada, "tea", "hello");
    world.pass_ms(6_000);
    // Bytes that the socket accepts in between restart the timeout.
    world.add_room(bob, 3);
    world.pass_ms(6_000);
    assert!(!world.is_over(bob));
    world.pass_ms(5_000);
    assert!(world.is_over(bob) && world.was_reset(bob));
    assert_eq!(world.count_heard(ada, "went bob"), 1);
}

#[test]
fn a_socket_that_only_looks_writable_does_not_postpone_the_write_timeout() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "hello");
    let id = world.id(bob);
    for _ in 0..11 {
        world.pass_ms(1_000);
        world.turn(0, |engine| engine.writable(id));
    }
    assert!(world.is_over(bob));
}

#[test]
fn a_connection_that_the_server_does_not_read_does_not_time_out() {
    let mut world = World::with(1, 64, |settings| {
        settings.write_timeout = std::time::Duration::from_secs(1_000)
    });
    let ada = world.user(0, "ada");
    world.run_until_idle();
    world.set_room(ada, 0);
    // So many answers wait that the shard does not read the rest, which includes the pong.
    for _ in 0..limits::PRIVATE_BYTES / 20 {
        world.ping(ada);
    }
    assert!(world.is_throttled(ada));
    world.pass_ms(120_000);
    assert!(!world.is_over(ada));
    world.set_room(ada, OPEN);
    world.run_until_idle();
    assert!(!world.is_throttled(ada));
    world.pass_ms(61_000);
    assert!(world.is_over(ada));
}

#[test]
fn a_silent_connection_on_the_plain_path_gets_a_dialect_when_the_hold_is_over() {
    let mut world = World::new(1);
    let silent = Handshake::silent();
    let client = world.open(0, Speaks::Legacy("tutorial"), silent, None);
    world.pass_ms(200);
    assert_eq!(world.heard(client), Vec::<String>::new());
    world.pass_ms(300);
    assert!(!world.heard(client).is_empty(), "the greeting of tutorial");
}

#[test]
fn a_client_without_a_hello_is_closed_even_if_it_answers_pings() {
    let mut world = World::new(1);
    let silent = world.connect(0, Speaks::Json, "");
    world.pass_ms_with_pongs(59_000, &[silent]);
    assert!(
        !world
            .heard(silent)
            .iter()
            .any(|received| received.starts_with("goodbye"))
    );
    world.pass_ms_with_pongs(2_000, &[silent]);
    let received = world.heard(silent);
    assert!(
        received.ends_with(&["goodbye too_slow_handshake".into(), "close 4002".into()]),
        "{received:?}"
    );
    let ada = world.user(0, "ada");
    world.pass_ms_with_pongs(11 * 60_000, &[ada]);
    assert!(!world.is_over(ada), "a client with a name stays");
}

#[test]
fn a_user_has_ten_minutes_to_choose_a_name() {
    let mut world = World::new(1);
    let pings = world.connect(0, Speaks::Json, "");
    world.ping(pings);
    let page = world.connect(0, Speaks::Legacy("tutorial"), "");
    world.pass_ms_with_pongs(9 * 60_000, &[pings, page]);
    assert!(!world.is_over(pings) && !world.is_over(page));
    world.jump_ms(60 * 60_000);
    assert!(
        !world.is_over(pings) && !world.is_over(page),
        "a stalled shard could not read a hello"
    );
    world.pass_ms_with_pongs(2 * 60_000, &[pings, page]);
    assert_eq!(world.received(pings).last(), Some(&Received::Close(4002)));
    assert_eq!(world.received(page).last(), Some(&Received::Close(1008)));
}

#[test]
fn a_peer_that_does_not_close_after_the_goodbye_is_cut() {
    let mut world = World::new(1);
    let [ada] = world.members("tea", ["ada"]);
    world.exit(ada);
    world.run_until_idle();
    assert_eq!(world.heard(ada), ["left tea", "goodbye exit", "close 1000"]);
    // The server discards what the client still sends.
    world.request(ada, json!({"ping": {}}));
    world.pass_ms(1_500);
    assert!(!world.is_over(ada));
    world.pass_ms(1_000);
    assert!(world.is_over(ada));
    assert!(world.received(ada).is_empty());
}
