//! Members of plain `/ws` whose dialect is not known yet: they miss nothing, get nothing twice, and a wrong guess is corrected.

use super::super::testing::{OPEN, Received, Speaks, World, masked};
use crate::{
    codec::{Handshake, testing::strings},
    limits,
};

/// A client of plain `/ws` whose handshake has nothing but a user name in a header.
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

/// The chat messages that a client got.
fn talks(world: &mut World, client: usize) -> Vec<Vec<u8>> {
    let received = world.received(client).into_iter();
    received
        .filter_map(|received| match received {
            Received::Legacy(payload) if payload.windows(4).any(|word| word == b"talk") => Some(payload),
            Received::Legacy(_) | Received::Native(_) | Received::Ping | Received::Pong(_) | Received::Close(_) => None,
        })
        .collect()
}

#[test]
fn events_and_direct_messages_wait_for_the_clients_first_message_and_come_in_its_dialect() {
    let mut world = World::new(2);
    let bob = named(&mut world, "bob");
    let ada = world.user(1, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    assert_eq!(world.users("lobby").0, ["ada", "bob"]);
    world.talk(ada, "lobby", "one");
    world.direct(ada, "bob", "two");
    world.talk(ada, "lobby", "three");
    world.pass_ms(1_000);
    assert_eq!(world.received(bob), [], "its dialect is not known");
    world.send_bytes(bob, masked(2, &strings(&["bob", "talk", "I speak"])));
    world.run_until_idle();
    let mut received = talks(&mut world, bob);
    received.sort();
    let mut expected = [
        in_chat_request("ada", "one"),
        in_chat_request("ada→bob", "two"),
        in_chat_request("ada", "three"),
        in_chat_request("bob", "I speak"),
    ];
    expected.sort();
    assert_eq!(received, expected);
}

#[test]
fn a_wrong_guess_is_corrected_for_everything_that_is_not_written_yet() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    world.talk(ada, "lobby", "seen");
    // The hold ends, and Plaza guesses document 002.
    world.pass_ms(2_200);
    assert_eq!(talks(&mut world, bob), [in_chatroom("ada", "seen")]);
    // From now on its socket takes only a part of one frame.
    world.set_room(bob, 5);
    world.talk(ada, "lobby", "torn");
    world.run_until_idle();
    for text in ["first", "second"] {
        world.direct(ada, "bob", text);
        world.talk(ada, "lobby", text);
        world.run_until_idle();
    }
    world.send_bytes(bob, masked(2, &strings(&["bob", "talk", "I speak"])));
    world.run_until_idle();
    world.set_room(bob, OPEN);
    world.run_until_idle();
    let mut received = talks(&mut world, bob);
    assert_eq!(
        received.remove(0),
        in_chatroom("ada", "torn"),
        "a frame that was begun is ended"
    );
    received.sort();
    let mut expected = [
        in_chat_request("ada→bob", "first"),
        in_chat_request("ada→bob", "second"),
        in_chat_request("ada", "first"),
        in_chat_request("ada", "second"),
        in_chat_request("bob", "I speak"),
    ];
    expected.sort();
    assert_eq!(received, expected);
}

#[test]
fn the_waiting_bytes_are_bounded_and_the_dialect_is_guessed_at_the_bound() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.run_until_idle();
    let long = "x".repeat(limits::UNCERTAIN_BYTES / 4);
    for _ in 0..3 {
        world.direct(ada, "bob", &long);
    }
    world.run_until_idle();
    assert_eq!(world.received(bob), []);
    for _ in 0..2 {
        world.direct(ada, "bob", &long);
    }
    world.run_until_idle();
    assert_eq!(talks(&mut world, bob).len(), 5, "before the hold is over");
}

#[test]
fn after_a_right_guess_the_first_message_does_not_repeat_the_list() {
    let mut world = World::new(1);
    let ann = named(&mut world, "ann");
    world.run_until_idle();
    world.send_bytes(ann, masked(2, &in_chat_request("ann", "I speak")));
    let bob = named(&mut world, "bob");
    // The hold ends, and Plaza guesses ann's dialect.
    world.pass_ms(2_200);
    assert!(!world.received(bob).is_empty(), "the list");
    world.pass_ms(2_200);
    let _ = world.received(bob);
    world.send_bytes(bob, masked(2, &in_chat_request("bob", "so do I")));
    world.pass_ms(2_200);
    assert_eq!(
        world.received(bob),
        [Received::Legacy(in_chat_request("bob", "so do I"))]
    );
}

#[test]
fn a_silent_client_gets_events_before_the_ring_drops_them() {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| settings.ring_bytes = 64 * 1024);
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.run_until_idle();
    // The ring has dropped earlier events already.
    let sent: Vec<String> = (0..400).map(|number| format!("{number:03}")).collect();
    let say = |world: &mut World, texts: &[String]| {
        for text in texts {
            world.talk(ada, "lobby", text);
            world.run_until_idle();
        }
    };
    say(&mut world, &sent);
    let (ann, bob) = (named(&mut world, "ann"), named(&mut world, "bob"));
    world.run_until_idle();
    world.send_bytes(ann, masked(2, &in_chatroom("ann", "I speak")));
    world.run_until_idle();
    let _ = talks(&mut world, ann);
    say(&mut world, &sent[..20]);
    assert_eq!(world.received(bob), [], "there is room for more");
    say(&mut world, &sent[20..]);
    // bob gets all of it although the hold has not ended.
    let all = sent.iter().map(|text| in_chatroom("ada", text));
    let heard: Vec<_> = talks(&mut world, bob).into_iter().skip(1).collect();
    assert_eq!(heard, all.clone().collect::<Vec<_>>());
    assert_eq!(talks(&mut world, ann), all.collect::<Vec<_>>());
}

#[test]
fn a_nameless_client_that_sends_after_the_greeting_gets_its_dialect() {
    let mut world = World::new(1);
    let nameless = |world: &mut World| {
        let handshake = Handshake::silent();
        world.open(0, Speaks::Legacy("tutorial"), handshake, None)
    };
    let (tom, kim, lee) = (nameless(&mut world), nameless(&mut world), nameless(&mut world));
    // An empty message shows no dialect.
    world.send_bytes(lee, masked(1, b""));
    world.pass_ms(1_000);
    assert_eq!(world.heard(tom).len(), 1, "the greeting");
    let _ = world.heard(kim);
    world.send_bytes(tom, masked(1, b""));
    world.run_until_idle();
    let _ = (world.received(tom), world.received(lee));
    world.send_bytes(lee, masked(1, &in_chatroom("lee", "here")));
    world.run_until_idle();
    assert_eq!(talks(&mut world, lee), [in_chatroom("guest-1", "here")]);
    world.hang_up(lee);
    world.send_bytes(tom, masked(1, &in_chat_request("tom", "hello")));
    world.send_bytes(kim, masked(1, br#"{"type":"login","content":"kim"}"#));
    world.run_until_idle();
    assert_eq!(world.users("lobby").0, ["kim", "tom"]);
    assert_eq!(talks(&mut world, tom), [in_chat_request("tom", "hello")]);
    // The dialect does not change any more.
    world.send_bytes(tom, masked(1, &in_chat_request("tom", "again")));
    world.send_bytes(kim, masked(1, br#"{"type":"user","content":"hi"}"#));
    world.run_until_idle();
    let heard = talks(&mut world, tom);
    assert_eq!(heard, [in_chat_request("tom", "again"), in_chat_request("kim", "hi")]);
    world.hang_up(tom);
    world.hang_up(kim);
    world.run_until_idle();
}

#[test]
fn a_json_client_has_no_name_until_it_logs_in() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    world.run_until_idle();
    assert_eq!(world.users("lobby").0, ["bob"]);
    world.send_bytes(bob, masked(1, br#"{"type":"login","content":"kim"}"#));
    world.run_until_idle();
    assert_eq!(world.users("lobby").0, ["kim"]);
    let received = world.heard(bob);
    assert!(
        received[0].contains("handshake") || received[1].contains("handshake"),
        "{received:?}"
    );
    world.hang_up(bob);
    world.run_until_idle();
}

#[test]
fn a_drain_delivers_waiting_events_to_a_silent_client() {
    let mut world = World::new(1);
    let bob = named(&mut world, "bob");
    let ada = world.user(0, "ada");
    world.join(ada, "lobby");
    world.talk(ada, "lobby", "last words");
    world.run_until_idle();
    world.turn(0, |engine| engine.handle(crate::shard::bus::message::ToShard::Drain));
    world.run_until_idle();
    let received = world.received(bob);
    assert_eq!(received[0], Received::Legacy(in_chatroom("ada", "last words")));
    assert_eq!(received.last(), Some(&Received::Close(1001)));
}

#[test]
fn a_silent_client_whose_connection_ends_leaves_its_room() {
    let mut world = World::new(2);
    let bob = named(&mut world, "bob");
    world.run_until_idle();
    assert_eq!(world.users("lobby").0, ["bob"]);
    world.hang_up(bob);
    world.run_until_idle();
    assert_eq!(world.users("lobby").1, 0);
}

#[test]
fn a_thousand_silent_clients_can_be_guessed_at_once_on_a_small_stack() {
    let guessed = std::thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
            settings.ring_bytes = 64 * 1024;
            // The ring is large enough for their joins, so they all have the same cursor.
            settings.rooms.presence_events_max = 1;
        });
        let ada = world.user(0, "ada");
        world.join(ada, "lobby");
        let silent: Vec<_> = (0..1_000).map(|n| named(&mut world, &format!("silent{n}"))).collect();
        world.run_until_idle();
        let text = "x".repeat(40 * 1024);
        world.talk(ada, "lobby", &text);
        world.run_until_idle();
        for client in silent {
            assert_eq!(talks(&mut world, client), [in_chatroom("ada", &text)]);
        }
    });
    guessed.unwrap().join().unwrap();
}
