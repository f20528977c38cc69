//! Joins that wait for the store, and what the session does meanwhile.

use serde_json::{Value, json};

use crate::{
    history::{Answer, Outcome},
    shard::{
        store::ticket::Ticket,
        testing::{Speaks, World, answers, unanswered},
    },
};

/// Two shards and an empty room `tea` with three messages of ada's, of which she has read two.
fn room_with_three_messages() -> World {
    let mut world = World::new(2).with_store();
    let ada = named(&mut world, 0, "ada");
    world.join(ada, "tea");
    world.store_answers();
    for text in ["one", "two", "three"] {
        world.talk(ada, "tea", text);
    }
    world.store_answers();
    world.request(ada, json!({"read": {"room": "tea", "seq": 2}}));
    world.store_answers();
    world.hang_up(ada);
    world.store_answers();
    assert_eq!(world.rooms_in_store(), 0);
    world
}

/// A user whose hello and offline messages are complete.
fn named(world: &mut World, shard: usize, name: &str) -> usize {
    let client = world.user(shard, name);
    world.store_answers();
    world.received(client);
    client
}

/// Joins the room with its newest three messages.
fn join_last_three(world: &mut World, client: usize, room: &str) -> u64 {
    world.request(client, json!({"join": {"room": room, "last": 3}}))
}

fn is_open(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Open { .. })
}

fn is_rename(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Rename { .. })
}

/// The answer to a request.
fn answer(messages: &[Value], id: u64) -> &Value {
    let mut answers = messages.iter().filter(|message| answers(message, id));
    let answer = answers
        .next()
        .unwrap_or_else(|| panic!("no answer to {id}: {messages:?}"));
    assert!(answers.next().is_none(), "two answers to {id}: {messages:?}");
    answer
}

#[test]
fn a_session_renamed_while_its_join_waits_joins_under_the_new_name() {
    for shard in [0, 1] {
        let mut world = room_with_three_messages();
        let (ada, bob) = (named(&mut world, shard, "ada"), named(&mut world, 1 - shard, "bob"));
        world.join(ada, "tea");
        world.run_until_idle();
        world.join(bob, "tea");
        world.rename_with_key(ada, "eve");
        world.run_until_idle();
        world.deliver_first(is_rename);
        assert_eq!(world.heard(ada), ["renamed ada eve"]);
        world.deliver_first(is_open);
        world.store_answers();
        assert_eq!(world.heard(ada)[0], "joined tea");
        let heard = world.heard(bob);
        assert_eq!(heard, ["joined tea", "renamed ada eve"], "on shard {shard}");
        assert_eq!(world.users("tea"), (vec!["bob".into(), "eve".into()], 2));
        world.talk(ada, "tea", "it is me");
        world.store_answers();
        assert_eq!(world.heard(bob), ["eve: it is me"]);
    }
}

#[test]
fn a_session_renamed_while_its_join_waits_does_not_get_the_read_marker_of_the_old_name() {
    // In an open room the session's shard asks for the read marker, otherwise the owner does.
    for room_is_open in [false, true] {
        let mut world = room_with_three_messages();
        if room_is_open {
            let bob = named(&mut world, 1, "bob");
            world.join(bob, "tea");
            world.store_answers();
        }
        let ada = named(&mut world, 0, "ada");
        let join = join_last_three(&mut world, ada, "tea");
        world.run_until_idle();
        world.rename_with_key(ada, "eve");
        world.run_until_idle();
        world.deliver_first(is_rename);
        world.store_answers();
        let heard = world.messages(ada);
        assert_eq!(answer(&heard, join)["joined"]["read"], json!(0), "open: {room_is_open}");
        let texts: Vec<_> = heard
            .iter()
            .filter_map(|message| message["message"]["text"].as_str())
            .collect();
        assert_eq!(texts, ["one", "two", "three"], "open: {room_is_open}");
    }
}

#[test]
fn a_rename_whose_connection_has_ended_does_not_rename_the_next_one_in_its_slot() {
    let mut world = World::new(1).with_store();
    let ada = named(&mut world, 0, "ada");
    world.rename_with_key(ada, "eve");
    world.run_until_idle();
    let renamed = world.outcome(is_rename);
    world.hang_up(ada);
    let tom = world.speaker(0, Speaks::Legacy("chatroom"), "tom");
    assert_eq!(world.id(tom).slot(), world.id(ada).slot(), "it has ada's place");
    world.store_answers();
    world.received(tom);
    world.deliver_outcome(renamed);
    world.store_answers();
    let id = world.id(tom);
    let session = world.engine(tom).connections().get(id).unwrap().session().unwrap();
    assert_eq!(session.name().as_str(), "tom");
    assert_eq!(world.users("lobby").0, ["tom"]);
    assert_eq!(world.heard(tom), Vec::<String>::new());
}

#[test]
fn a_read_marker_that_the_store_cannot_read_is_left_out_and_is_not_zero() {
    for fails in [false, true] {
        let mut world = room_with_three_messages();
        let bob = named(&mut world, 1, "bob");
        world.join(bob, "tea");
        world.store_answers();
        let ada = named(&mut world, 0, "ada");
        let join = join_last_three(&mut world, ada, "tea");
        world.run_until_idle();
        let resumed = world.outcome(|ticket| matches!(ticket, Ticket::Resume { .. }));
        let outcome = if fails { unanswered(&resumed) } else { resumed };
        world.deliver_outcome(outcome);
        world.store_answers();
        let heard = world.messages(ada);
        let joined = &answer(&heard, join)["joined"];
        assert_eq!(joined.get("read"), (!fails).then_some(&json!(2)), "{joined}");
    }
    // A join without a replay does not ask for the marker.
    let mut world = room_with_three_messages();
    let ada = named(&mut world, 0, "ada");
    let join = world.join(ada, "tea");
    world.store_answers();
    let heard = world.messages(ada);
    assert_eq!(answer(&heard, join)["joined"].get("read"), None, "{heard:?}");
    // The store refuses the question.
    let eve = named(&mut world, 1, "eve");
    world.set_store_full(true);
    let join = join_last_three(&mut world, eve, "tea");
    world.run_until_idle();
    let heard = world.messages(eve);
    assert_eq!(answer(&heard, join)["joined"].get("read"), None, "{heard:?}");
    world.set_store_full(false);
}

#[test]
fn resumes_in_an_open_room_read_no_message_from_the_store_that_the_ring_has() {
    let mut world = World::new(2).with_store();
    let [ada, bob] = ["ada", "bob"].map(|name| named(&mut world, usize::from(name == "bob"), name));
    for member in [ada, bob] {
        world.join(member, "tea");
        world.store_answers();
    }
    for _ in 0..21 {
        world.talk(ada, "tea", "hi");
    }
    world.store_answers();
    let returning: Vec<usize> = (0..40)
        .map(|n| named(&mut world, n % 2, &format!("user {n}")))
        .collect();
    for client in &returning {
        world.resume(*client, "tea", 1);
    }
    world.run_until_idle();
    let answers = world.collect();
    let read = answers.iter().map(|outcome| match outcome {
        Outcome::Answered {
            answer: Answer::Resumed { messages, .. },
            ..
        } => messages.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!((answers.len(), read.sum::<usize>()), (40, 0));
    while !world.waiting_outcomes().is_empty() {
        world.deliver_waiting_outcome(0);
    }
    for client in returning {
        let heard = world.messages(client);
        assert_eq!(
            heard.iter().filter(|received| received["message"].is_object()).count(),
            20
        );
    }
}

#[test]
fn a_waiting_join_completes_even_if_the_store_refuses_later_questions() {
    let mut world = room_with_three_messages();
    let (ada, bob) = (named(&mut world, 0, "ada"), named(&mut world, 1, "bob"));
    world.join(ada, "tea");
    world.run_until_idle();
    world.set_store_full(true);
    let busy = |world: &mut World, client, id| {
        world.run_until_idle();
        let messages = world.messages(client);
        let error = &answer(&messages, id)["error"];
        assert_eq!(error["code"], "busy", "{messages:?}");
        assert!(error["retry_after"].as_u64().unwrap() > 0, "{error}");
    };
    let rename = world.rename_with_key(ada, "eve");
    busy(&mut world, ada, rename);
    let elsewhere = world.join(ada, "coffee");
    busy(&mut world, ada, elsewhere);
    let history = world.request(bob, json!({"search": {"room": "tea", "text": "one"}}));
    world.run_until_idle();
    assert_eq!(answer(&world.messages(bob), history)["error"]["code"], "not_member");
    // bob's join is second in the queue. Its question for missed messages comes later, and the store refuses it.
    join_last_three(&mut world, bob, "tea");
    world.run_until_idle();
    assert_eq!(world.heard(bob), Vec::<String>::new());
    world.deliver_first(is_open);
    assert_eq!(world.heard(ada), ["joined tea", "came bob"]);
    assert_eq!(world.heard(bob), ["joined tea"], "which are the last cannot be read");
    world.set_store_full(false);
    world.talk(ada, "tea", "four");
    world.store_answers();
    assert_eq!(world.heard(bob), ["ada: four"]);
    assert_eq!(world.users("tea").0, ["ada", "bob"]);
    let again = world.join(ada, "coffee");
    world.store_answers();
    assert!(answer(&world.messages(ada), again)["joined"].is_object());
}

#[test]
fn if_the_store_cannot_open_a_room_every_waiting_request_gets_one_answer() {
    let mut world = room_with_three_messages();
    let (ada, bob) = (named(&mut world, 0, "ada"), named(&mut world, 1, "bob"));
    let join = world.join(ada, "tea");
    let requests = [
        world.talk(ada, "tea", "hello"),
        world.request(ada, json!({"users": {"room": "tea"}})),
    ];
    world.run_until_idle();
    let other = world.join(bob, "tea");
    let leave = world.leave(bob, "tea");
    world.run_until_idle();
    assert_eq!((world.in_flight(ada), world.in_flight(bob)), (3, 2));
    let opened = world.outcome(is_open);
    world.deliver_outcome(unanswered(&opened));
    let heard = world.messages(ada);
    for id in [join].into_iter().chain(requests) {
        let error = &answer(&heard, id)["error"];
        assert_eq!(error["code"], "store_failed", "{heard:?}");
    }
    let heard = world.messages(bob);
    assert_eq!(answer(&heard, other)["error"]["code"], "store_failed");
    assert_eq!(answer(&heard, leave)["error"]["code"], "not_member");
    assert_eq!((world.in_flight(ada), world.in_flight(bob)), (0, 0));
    assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
    // The next join asks again.
    join_last_three(&mut world, bob, "tea");
    world.store_answers();
    assert_eq!(world.heard(bob), ["joined tea", "ada: one", "ada: two", "ada: three"]);
}

#[test]
fn a_leave_behind_a_waiting_join_gets_both_answers_and_the_session_is_not_in_the_room() {
    for shard in [0, 1] {
        let mut world = room_with_three_messages();
        let ada = named(&mut world, shard, "ada");
        let (join, leave) = (join_last_three(&mut world, ada, "tea"), world.leave(ada, "tea"));
        world.run_until_idle();
        assert_eq!(world.heard(ada), Vec::<String>::new());
        world.deliver_first(is_open);
        world.store_answers();
        let heard = world.messages(ada);
        assert!(answer(&heard, join)["joined"].is_object(), "{heard:?}");
        assert_eq!(heard.last(), Some(answer(&heard, leave)), "nothing comes behind it");
        assert!(answer(&heard, leave)["left"].is_object(), "{heard:?}");
        assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
        let again = world.join(ada, "tea");
        world.store_answers();
        assert!(answer(&world.messages(ada), again)["joined"].is_object());
    }
}

#[test]
fn an_exit_behind_a_waiting_join_gets_its_goodbye_whether_the_room_opens_or_not() {
    for opens in [true, false] {
        let mut world = room_with_three_messages();
        let ada = named(&mut world, 0, "ada");
        world.join(ada, "tea");
        world.exit(ada);
        world.run_until_idle();
        let opened = world.outcome(is_open);
        world.deliver_outcome(if opens { opened } else { unanswered(&opened) });
        world.store_answers();
        let first = if opens { "joined tea" } else { "error store_failed" };
        let heard = world.heard(ada);
        assert_eq!(heard.first().map(String::as_str), Some(first), "{heard:?}");
        assert!(
            heard.ends_with(&["goodbye exit".into(), "close 1000".into()]),
            "{heard:?}"
        );
        assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
        world.hang_up(ada);
    }
}

#[test]
fn a_session_that_ends_while_its_join_waits_is_in_no_room_and_neither_is_the_next_one_in_its_slot() {
    for (shard, opens) in [(0, true), (1, true), (0, false), (1, false)] {
        let mut world = room_with_three_messages();
        let (ada, bob) = (named(&mut world, shard, "ada"), named(&mut world, 0, "bob"));
        join_last_three(&mut world, ada, "tea");
        world.run_until_idle();
        world.join(bob, "tea");
        world.run_until_idle();
        world.hang_up(ada);
        world.run_until_idle();
        let opened = world.outcome(is_open);
        let tom = named(&mut world, shard, "tom");
        assert_eq!(world.id(tom).slot(), world.id(ada).slot(), "it has ada's place");
        world.deliver_outcome(if opens { opened } else { unanswered(&opened) });
        world.store_answers();
        let expected: &[&str] = if opens {
            &["joined tea", "went ada"]
        } else {
            &["error store_failed"]
        };
        assert_eq!(world.heard(bob), expected);
        assert_eq!(world.heard(tom), Vec::<String>::new());
        assert_eq!(world.users("tea").1, u32::from(opens));
        world.hang_up(bob);
        world.run_until_idle();
        assert_eq!(world.rooms_in_store(), 0);
    }
}
