//! Members of plain `/ws` whose dialect is not known yet: nothing is lost, nothing comes twice, and a guess can be corrected.

use super::super::testing::{OPEN, Speaks, Told, World, masked};
use crate::{
    codec::{Handshake, testing::strings},
    limits,
};

/// A client of plain `/ws` that only its header names.
fn named(world: &mut World, name: &str) -> usize {
    let handshake = Handshake {
        username: Some(name.as_bytes().to_vec()),
        ..Handshake::silent()
    };
    world.open(0, Speaks::Legacy("chatroom"), handshake, None)
}

/// `{type: "talk", user_name, content}` of document 002.
fn in_chatroom(from: &str, text: &str) -> Vec<u8> {
    strings(&["talk", from, text])
}

/// `{userName, type: "talk", content}` of document 001.
fn in_chat_request(from: &str, text: &str) -> Vec<u8> {
    strings(&[from, "talk", text])
}

/// What it was told that is a talk.
fn talks(world: &mut World, client: usize) -> Vec<Vec<u8>> {
    let told = world.told(client).into_iter();
    told.filter_map(|told| match told {
        Told::Legacy(payload) if payload.windows(4).any(|word| word == b"talk") => Some(payload),
        Told::Legacy(_) | Told::Native(_) | Told::Ping | Told::Pong(_) | Told::Close(_) => None,
    })
    .collect()
}

#[test]
fn events_and_direct_messages_wait_for_the_first_message_and_come_in_its_dialect() {
    let mut world = World::new(2);
    let bob = named(&mut world, "bob");
    let ada = world.user(1, "ada");
    world.join(ada, "lobby");
    world.calm();
    assert_eq!(world.users("lobby").0, ["ada", "bob"]);
    world.talk(ada, "lobby", "one");
    world.direct(ada, "bob", "two");
    world.talk(ada, "lobby", "three");
    world.pass_ms(1_000);
    assert_eq!(world.told(bob), [], "its dialect is not known");
    world.give(bob, masked(2, &strings(&["bob", "talk", "I speak"])));
    world.calm();
    let mut told = talks(&mut world, bob);
    told.sort();
    let mut expected = [
        in_chat_request("ada", "one"),
        in_chat_request("ada→bob", "two"),
        in_chat_request("ada", "three"),
        in_chat_request("bob", "I speak"),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_wrong_guess_is_corrected_for_what_the_socket_has_not_taken() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.calm();
    world.talk(ada, "lobby", "seen");
    // Longer than the hold; it is taken for a client of document 002.
    world.pass_ms(2_200);
    assert_eq!(talks(&mut world, bob), [in_chatroom("ada", "seen")]);
    // From here on its socket takes a part of one frame.
    world.set_room(bob, 5);
    world.talk(ada, "lobby", "torn");
    world.calm();
    for text in ["first", "second"] {
        world.direct(ada, "bob", text);
        world.talk(ada, "lobby", text);
        world.calm();
    }
    world.give(bob, masked(2, &strings(&["bob", "talk", "I speak"])));
    world.calm();
    world.set_room(bob, OPEN);
    world.calm();
    let mut told = talks(&mut world, bob);
    assert_eq!(
        told.remove(0),
        in_chatroom("ada", "torn"),
        "a frame that was begun is ended"
    );
    told.sort();
    let mut expected = [
        in_chat_request("ada→bob", "first"),
        in_chat_request("ada→bob", "second"),
        in_chat_request("ada", "first"),
        in_chat_request("ada", "second"),
        in_chat_request("bob", "I speak"),
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn what_waits_is_bounded_and_the_dialect_is_guessed_when_it_is_too_much() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.calm();
    let long = "x".repeat(limits::UNCERTAIN_BYTES / 4);
    for _ in 0..3 {
        world.direct(ada, "bob", &long);
    }
    world.calm();
    assert_eq!(world.told(bob), []);
    for _ in 0..2 {
        world.direct(ada, "bob", &long);
    }
    world.calm();
    assert_eq!(talks(&mut world, bob).len(), 5, "before the hold is over");
}

#[test]
fn who_was_guessed_right_is_not_sent_the_list_again_when_it_speaks() {
    let mut world = World::new(1);
    let ann = named(&mut world, "ann");
    world.calm();
    world.give(ann, masked(2, &in_chat_request("ann", "I speak")));
    let bob = named(&mut world, "bob");
    // Longer than the hold; it is taken for what ann is.
    world.pass_ms(2_200);
    assert!(!world.told(bob).is_empty(), "the list");
    world.pass_ms(2_200);
    let _ = world.told(bob);
    world.give(bob, masked(2, &in_chat_request("bob", "so do I")));
    world.pass_ms(2_200);
    assert_eq!(world.told(bob), [Told::Legacy(in_chat_request("bob", "so do I"))]);
}

#[test]
fn a_silent_client_is_given_what_is_said_before_the_ring_drops_it() {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| settings.ring_bytes = 64 * 1024);
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.calm();
    // Not the first in the room's ring, which has been round already.
    let said: Vec<String> = (0..400).map(|number| format!("{number:03}")).collect();
    let say = |world: &mut World, texts: &[String]| {
        for text in texts {
            world.talk(ada, "lobby", text);
            world.calm();
        }
    };
    say(&mut world, &said);
    let (ann, bob) = (named(&mut world, "ann"), named(&mut world, "bob"));
    world.calm();
    world.give(ann, masked(2, &in_chatroom("ann", "I speak")));
    world.calm();
    let _ = talks(&mut world, ann);
    say(&mut world, &said[..20]);
    assert_eq!(world.told(bob), [], "there is room for more");
    say(&mut world, &said[20..]);
    // All of it within the hold.
    let all = said.iter().map(|text| in_chatroom("ada", text));
    let heard: Vec<_> = talks(&mut world, bob).into_iter().skip(1).collect();
    assert_eq!(heard, all.clone().collect::<Vec<_>>());
    assert_eq!(talks(&mut world, ann), all.collect::<Vec<_>>());
}

#[test]
fn a_client_without_a_name_that_speaks_after_the_greeting_is_served_in_its_dialect() {
    let mut world = World::new(1);
    let nameless = |world: &mut World| {
        let handshake = Handshake::silent();
        world.open(0, Speaks::Legacy("tutorial"), handshake, None)
    };
    let (tom, kim, lee) = (nameless(&mut world), nameless(&mut world), nameless(&mut world));
    // An empty message tells nothing, whenever it comes.
    world.give(lee, masked(1, b""));
    world.pass_ms(1_000);
    assert_eq!(world.heard(tom).len(), 1, "the greeting");
    let _ = world.heard(kim);
    world.give(tom, masked(1, b""));
    world.calm();
    let _ = (world.told(tom), world.told(lee));
    world.give(lee, masked(1, &in_chatroom("lee", "here")));
    world.calm();
    assert_eq!(talks(&mut world, lee), [in_chatroom("guest-1", "here")]);
    world.hang_up(lee);
    world.give(tom, masked(1, &in_chat_request("tom", "hello")));
    world.give(kim, masked(1, br#"{"type":"login","content":"kim"}"#));
    world.calm();
    assert_eq!(world.users("lobby").0, ["kim", "tom"]);
    assert_eq!(talks(&mut world, tom), [in_chat_request("tom", "hello")]);
    // It stays what it has shown to be.
    world.give(tom, masked(1, &in_chat_request("tom", "again")));
    world.give(kim, masked(1, br#"{"type":"user","content":"hi"}"#));
    world.calm();
    let heard = talks(&mut world, tom);
    assert_eq!(heard, [in_chat_request("tom", "again"), in_chat_request("kim", "hi")]);
    world.hang_up(tom);
    world.hang_up(kim);
    world.calm();
}

#[test]
fn who_speaks_json_is_nobody_until_it_logs_in() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    world.calm();
    assert_eq!(world.users("lobby").0, ["bob"]);
    world.give(bob, masked(1, br#"{"type":"login","content":"kim"}"#));
    world.calm();
    assert_eq!(world.users("lobby").0, ["kim"]);
    let told = world.heard(bob);
    assert!(
        told[0].contains("handshake") || told[1].contains("handshake"),
        "{told:?}"
    );
    world.hang_up(bob);
    world.calm();
}

#[test]
fn a_drain_gives_a_silent_client_what_was_said() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.talk(ada, "lobby", "last words");
    world.calm();
    world.turn(0, |engine| engine.handle(crate::shard::bus::message::ToShard::Drain));
    world.calm();
    let told = world.told(bob);
    assert_eq!(told[0], Told::Legacy(in_chatroom("ada", "last words")));
    assert_eq!(told.last(), Some(&Told::Close(1001)));
}

#[test]
fn a_silent_client_that_goes_is_a_member_no_more() {
    let mut world = World::new(2);
    let bob = named(&mut world, "bob");
    world.calm();
    assert_eq!(world.users("lobby").0, ["bob"]);
    world.hang_up(bob);
    world.calm();
    assert_eq!(world.users("lobby").1, 0);
}

#[test]
fn a_thousand_silent_clients_are_guessed_at_once_on_a_small_stack() {
    let guessed = std::thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
            settings.ring_bytes = 64 * 1024;
            // Their joins do not fill the ring: they are all at the same place in it.
            settings.rooms.presence_events_max = 1;
        });
        let ada = world.user(0, "ada");
        world.join(ada, "lobby");
        let silent: Vec<_> = (0..1_000).map(|n| named(&mut world, &format!("silent{n}"))).collect();
        world.calm();
        let text = "x".repeat(40 * 1024);
        world.talk(ada, "lobby", &text);
        world.calm();
        for client in silent {
            assert_eq!(talks(&mut world, client), [in_chatroom("ada", &text)]);
        }
    });
    guessed.unwrap().join().unwrap();
}
