//! A bound on what one session may say: it is read no faster, in every dialect, and nothing is lost.

use super::pressure::{lobby_texts, say};
use crate::{
    limits,
    shard::{
        MessageRate, Settings,
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

/// The numbers from nought up to this, as texts.
fn numbers(end: usize) -> Vec<String> {
    (0..end).map(|n| n.to_string()).collect()
}

#[test]
fn a_session_that_says_much_is_read_at_its_pace_and_loses_nothing() {
    let mut world = bounded();
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    for text in numbers(30) {
        world.talk(ada, "lobby", &text);
    }
    assert_eq!(lobby_texts(&world), numbers(3));
    world.pass_ms(1_000);
    let second = lobby_texts(&world).len();
    assert!((12..=14).contains(&second), "{second}");
    assert!(world.is_held_up(ada));
    world.pass_ms(2_000);
    assert_eq!(lobby_texts(&world), numbers(30));
    assert!(!world.is_held_up(ada));
    // After each but the first two, it had said as much as it may.
    assert_eq!(world.engines[0].counts().1.rate_limited, 28);
    // After silence it may say as much at once as in the beginning.
    world.pass_ms(1_000);
    for text in ["30", "31", "32"] {
        world.talk(ada, "lobby", text);
    }
    assert_eq!(lobby_texts(&world), numbers(33));
    world.pass_ms(1_000);
}

#[test]
fn who_asks_much_or_is_another_is_not_held_back() {
    let mut world = bounded();
    let [ada, bob] = world.members("lobby", ["ada", "bob"]);
    for _ in 0..100 {
        world.ping(ada);
    }
    assert!(!world.is_held_up(ada));
    for text in numbers(20) {
        world.talk(ada, "lobby", &text);
    }
    assert!(world.is_held_up(ada));
    world.told(bob);
    let id = world.ping(bob);
    assert!(world.messages(bob).iter().any(|told| answers(told, id)));
    world.talk(bob, "lobby", "bob's");
    assert_eq!(lobby_texts(&world).last().unwrap(), "bob's");
    world.pass_ms(3_000);
}

#[test]
fn a_client_of_an_older_system_is_held_back_without_being_closed() {
    let mut world = bounded();
    let tom = world.speaker(0, Speaks::Legacy("chatroom"), "tom");
    world.calm();
    for text in numbers(40) {
        world.give(tom, say(&text));
    }
    assert_eq!(lobby_texts(&world), numbers(3));
    world.pass_ms(4_000);
    assert_eq!(lobby_texts(&world), numbers(40));
    assert!(!world.is_over(tom));
}

#[test]
fn a_rate_that_is_finer_than_the_timer_is_reached() {
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
    let first = lobby_texts(&world).len();
    assert!((450..=650).contains(&first), "{first}");
    world.pass_ms(1_000);
    let second = lobby_texts(&world).len() - first;
    assert!((450..=550).contains(&second), "{second}");
    world.pass_ms(1_000);
    assert_eq!(lobby_texts(&world), numbers(1_200));
}

#[test]
fn who_is_held_back_is_not_taken_for_dead() {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
        settings.message_rate.set(Some(MessageRate {
            per_second: 1,
            at_once: 1,
        }));
    });
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    let count = Settings::default().dead_after.as_secs() as usize + 20;
    for text in numbers(count) {
        world.talk(ada, "lobby", &text);
    }
    for _ in 0..count {
        world.pass_ms(1_000);
    }
    assert_eq!(lobby_texts(&world), numbers(count));
}
