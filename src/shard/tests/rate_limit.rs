//! The rate limit of a session's messages: the shard reads the connection no faster, in every dialect, and nothing is lost.

use crate::{
    limits,
    shard::{
        MessageRate, ShardSettings,
        testing::{Speaks, World, answers},
    },
};

const RATE: MessageRate = MessageRate {
    per_second: 10,
    at_once: 3,
};

fn bounded() -> World {
    World::with(1, limits::INBOX_MESSAGES, |settings| {
        settings.message_rate.set(Some(RATE))
    })
}

/// The numbers from 0 up to `end`, as texts.
fn numbers(end: usize) -> Vec<String> {
    (0..end).map(|n| n.to_string()).collect()
}

#[test]
fn a_session_above_its_rate_limit_is_read_more_slowly_and_loses_nothing() {
    let mut world = bounded();
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    for text in numbers(30) {
        world.talk(ada, "lobby", &text);
    }
    assert_eq!(world.texts(), numbers(3));
    world.pass_ms(1_000);
    let second = world.texts().len();
    assert!((12..=14).contains(&second), "{second}");
    assert!(world.is_throttled(ada));
    world.pass_ms(2_000);
    assert_eq!(world.texts(), numbers(30));
    assert!(!world.is_throttled(ada));
    // The first two are the burst; each later one waits for its time.
    assert_eq!(world.engines[0].counts().connections.rate_limited, 28);
    // After a quiet period the burst is available again.
    world.pass_ms(1_000);
    for text in ["30", "31", "32"] {
        world.talk(ada, "lobby", text);
    }
    assert_eq!(world.texts(), numbers(33));
    world.pass_ms(1_000);
}

#[test]
fn the_rate_limit_concerns_neither_other_requests_nor_other_sessions() {
    let mut world = bounded();
    let [ada, bob] = world.members("lobby", ["ada", "bob"]);
    for _ in 0..100 {
        world.ping(ada);
    }
    assert!(!world.is_throttled(ada));
    for text in numbers(20) {
        world.talk(ada, "lobby", &text);
    }
    assert!(world.is_throttled(ada));
    world.received(bob);
    let id = world.ping(bob);
    assert!(world.messages(bob).iter().any(|received| answers(received, id)));
    world.talk(bob, "lobby", "bob's");
    assert_eq!(world.texts().last().unwrap(), "bob's");
    world.pass_ms(3_000);
}

#[test]
fn the_rate_limit_pauses_legacy_clients_without_closing_them() {
    let mut world = bounded();
    let tom = world.speaker(0, Speaks::Legacy("chatroom"), "tom");
    world.run_until_idle();
    for text in numbers(40) {
        world.talk(tom, "lobby", &text);
    }
    assert_eq!(world.texts(), numbers(3));
    world.pass_ms(4_000);
    assert_eq!(world.texts(), numbers(40));
    assert!(!world.is_over(tom));
}

#[test]
fn a_rate_finer_than_the_timer_is_reached() {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
        settings.message_rate.set(Some(MessageRate {
            per_second: 500,
            at_once: 1,
        }));
    });
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    for text in numbers(1_200) {
        world.talk(ada, "lobby", &text);
    }
    world.pass_ms(1_000);
    let first = world.texts().len();
    assert!((450..=650).contains(&first), "{first}");
    world.pass_ms(1_000);
    let second = world.texts().len() - first;
    assert!((450..=550).contains(&second), "{second}");
    world.pass_ms(1_000);
    assert_eq!(world.texts(), numbers(1_200));
}

#[test]
fn a_client_that_is_paused_by_the_rate_limit_does_not_time_out() {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
        settings.message_rate.set(Some(MessageRate {
            per_second: 1,
            at_once: 1,
        }));
    });
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    let count = ShardSettings::default().dead_after.as_secs() as usize + 20;
    for text in numbers(count) {
        world.talk(ada, "lobby", &text);
    }
    for _ in 0..count {
        world.pass_ms(1_000);
    }
    assert_eq!(world.texts(), numbers(count));
}
