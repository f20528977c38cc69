//! Joins that wait for the store: what the session does meanwhile, and what becomes of it.

use serde_json::{Value, json};

use crate::{
    history::{Answer, Outcome},
    shard::{
        store::ticket::Ticket,
        testing::{Speaks, World, answers, unanswered},
    },
};

/// A world of two shards, with a room `tea` in which ada said three things and read two; nobody is in it.
fn told_room() -> World {
    let mut world = World::new(2).kept();
    let ada = named(&mut world, 0, "ada");
    world.join(ada, "tea");
    world.store_answers();
    for text in ["one", "two", "three"] {
        world.talk(ada, "tea", text);
    }
    world.store_answers();
    world.ask(ada, json!({"read": {"room": "tea", "seq": 2}}));
    world.store_answers();
    world.hang_up(ada);
    world.store_answers();
    assert_eq!(world.rooms_in_store(), 0);
    world
}

/// A user that is welcome and has its mail.
fn named(world: &mut World, shard: usize, name: &str) -> usize {
    let client = world.user(shard, name);
    world.store_answers();
    world.told(client);
    client
}

/// Joins the room at its last three talks.
fn come_back(world: &mut World, client: usize, room: &str) -> u64 {
    world.ask(client, json!({"join": {"room": room, "last": 3}}))
}

fn open(world: &mut World) -> Outcome<Ticket> {
    world.outcome(|ticket| matches!(ticket, Ticket::Open { .. }))
}

fn renaming(world: &mut World) -> Outcome<Ticket> {
    world.outcome(|ticket| matches!(ticket, Ticket::Rename { .. }))
}

/// What a client heard, with its answers to requests by their numbers.
fn answer(messages: &[Value], id: u64) -> &Value {
    let mut answers = messages.iter().filter(|message| answers(message, id));
    let answer = answers
        .next()
        .unwrap_or_else(|| panic!("no answer to {id}: {messages:?}"));
    assert!(answers.next().is_none(), "two answers to {id}: {messages:?}");
    answer
}

#[test]
fn who_is_renamed_while_its_join_waits_is_in_the_room_under_the_new_name() {
    for shard in [0, 1] {
        let mut world = told_room();
        let (ada, bob) = (named(&mut world, shard, "ada"), named(&mut world, 1 - shard, "bob"));
        world.join(ada, "tea");
        world.calm();
        world.join(bob, "tea");
        world.rename_with_key(ada, "eve");
        world.calm();
        let renamed = renaming(&mut world);
        world.hand(renamed);
        assert_eq!(world.heard(ada), ["renamed ada eve"]);
        let opened = open(&mut world);
        world.hand(opened);
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
fn who_is_renamed_while_its_join_waits_is_not_told_how_far_the_old_name_had_read() {
    // With and without somebody in the room: the question for the read marker is the owner's or the shard's own.
    for inhabited in [false, true] {
        let mut world = told_room();
        if inhabited {
            let bob = named(&mut world, 1, "bob");
            world.join(bob, "tea");
            world.store_answers();
        }
        let ada = named(&mut world, 0, "ada");
        let join = come_back(&mut world, ada, "tea");
        world.calm();
        world.rename_with_key(ada, "eve");
        world.calm();
        let renamed = renaming(&mut world);
        world.hand(renamed);
        world.store_answers();
        let heard = world.messages(ada);
        assert_eq!(
            answer(&heard, join)["joined"]["read"],
            json!(0),
            "inhabited: {inhabited}"
        );
        let texts: Vec<_> = heard
            .iter()
            .filter_map(|message| message["message"]["text"].as_str())
            .collect();
        assert_eq!(texts, ["one", "two", "three"], "inhabited: {inhabited}");
    }
}

#[test]
fn a_rename_whose_connection_is_gone_does_not_rename_who_came_into_its_place() {
    let mut world = World::new(1).kept();
    let ada = named(&mut world, 0, "ada");
    world.rename_with_key(ada, "eve");
    world.calm();
    let renamed = renaming(&mut world);
    world.hang_up(ada);
    let tom = world.speaker(0, Speaks::Legacy("chatroom"), "tom");
    assert_eq!(world.id(tom).slot(), world.id(ada).slot(), "it has ada's place");
    world.store_answers();
    world.told(tom);
    world.hand(renamed);
    world.store_answers();
    let id = world.id(tom);
    let session = world.engine(tom).connections().get(id).unwrap().session().unwrap();
    assert_eq!(session.name.as_str(), "tom");
    assert_eq!(world.users("lobby").0, ["tom"]);
    assert_eq!(world.heard(tom), Vec::<String>::new());
}

#[test]
fn a_read_marker_that_the_store_cannot_tell_is_left_out_and_not_told_as_nothing_read() {
    // With and without somebody in the room: the question for the read marker is the owner's or the shard's own.
    for fails in [false, true] {
        let mut world = told_room();
        let bob = named(&mut world, 1, "bob");
        world.join(bob, "tea");
        world.store_answers();
        let ada = named(&mut world, 0, "ada");
        let join = come_back(&mut world, ada, "tea");
        world.calm();
        let resumed = world.outcome(|ticket| matches!(ticket, Ticket::Resume { .. }));
        let outcome = if fails { unanswered(&resumed) } else { resumed };
        world.hand(outcome);
        world.store_answers();
        let heard = world.messages(ada);
        let joined = &answer(&heard, join)["joined"];
        assert_eq!(joined.get("read"), (!fails).then_some(&json!(2)), "{joined}");
    }
    // Nor where nobody asked: nothing is replayed.
    let mut world = told_room();
    let ada = named(&mut world, 0, "ada");
    let join = world.join(ada, "tea");
    world.store_answers();
    let heard = world.messages(ada);
    assert_eq!(answer(&heard, join)["joined"].get("read"), None, "{heard:?}");
    // And where the store takes no question.
    let eve = named(&mut world, 1, "eve");
    world.fill_store();
    let join = come_back(&mut world, eve, "tea");
    world.calm();
    let heard = world.messages(eve);
    assert_eq!(answer(&heard, join)["joined"].get("read"), None, "{heard:?}");
    world.drain_store();
}

#[test]
fn sessions_that_return_to_an_open_room_read_no_message_in_the_store_that_the_ring_of_their_shard_has() {
    let mut world = World::new(2).kept();
    let [ada, bob] = ["ada", "bob"].map(|name| named(&mut world, usize::from(name == "bob"), name));
    for member in [ada, bob] {
        world.join(member, "tea");
        world.store_answers();
    }
    for _ in 0..21 {
        world.talk(ada, "tea", "hi");
    }
    world.store_answers();
    let heard = world.messages(bob);
    let epoch = heard.iter().find_map(|told| told["message"]["epoch"].as_u64()).unwrap();
    let returning: Vec<usize> = (0..40)
        .map(|n| named(&mut world, n % 2, &format!("user {n}")))
        .collect();
    for client in &returning {
        super::leaving::resume(&mut world, *client, "tea", epoch, 1);
    }
    world.calm();
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
        world.hand_waiting(0);
    }
    for client in returning {
        let heard = world.messages(client);
        assert_eq!(heard.iter().filter(|told| told["message"].is_object()).count(), 20);
    }
}

#[test]
fn a_join_that_waits_is_not_disturbed_by_a_store_that_takes_no_more() {
    let mut world = told_room();
    let (ada, bob) = (named(&mut world, 0, "ada"), named(&mut world, 1, "bob"));
    world.join(ada, "tea");
    world.calm();
    world.fill_store();
    let busy = |world: &mut World, client, id| {
        world.calm();
        let messages = world.messages(client);
        let error = &answer(&messages, id)["error"];
        assert_eq!(error["code"], "busy", "{messages:?}");
        assert!(error["retry_after"].as_u64().unwrap() > 0, "{error}");
    };
    let rename = world.rename_with_key(ada, "eve");
    busy(&mut world, ada, rename);
    let elsewhere = world.join(ada, "coffee");
    busy(&mut world, ada, elsewhere);
    let history = world.ask(bob, json!({"search": {"room": "tea", "text": "one"}}));
    world.calm();
    assert_eq!(answer(&world.messages(bob), history)["error"]["code"], "not_member");
    // Second in line: it asks the store nothing now, and cannot ask for what it missed later.
    come_back(&mut world, bob, "tea");
    world.calm();
    assert_eq!(world.heard(bob), Vec::<String>::new());
    let opened = open(&mut world);
    world.hand(opened);
    assert_eq!(world.heard(ada), ["joined tea", "came bob"]);
    assert_eq!(world.heard(bob), ["joined tea"], "which are the last cannot be read");
    world.drain_store();
    world.talk(ada, "tea", "four");
    world.store_answers();
    assert_eq!(world.heard(bob), ["ada: four"]);
    assert_eq!(world.users("tea").0, ["ada", "bob"]);
    let again = world.join(ada, "coffee");
    world.store_answers();
    assert!(answer(&world.messages(ada), again)["joined"].is_object());
}

#[test]
fn a_room_that_the_store_cannot_open_answers_every_request_that_waited_for_it_once() {
    let mut world = told_room();
    let (ada, bob) = (named(&mut world, 0, "ada"), named(&mut world, 1, "bob"));
    let join = world.join(ada, "tea");
    let requests = [
        world.talk(ada, "tea", "hello"),
        world.ask(ada, json!({"users": {"room": "tea"}})),
    ];
    world.calm();
    let other = world.join(bob, "tea");
    let leave = world.leave(bob, "tea");
    world.calm();
    assert_eq!((world.in_flight(ada), world.in_flight(bob)), (3, 2));
    let opened = open(&mut world);
    world.hand(unanswered(&opened));
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
    // The next who comes asks again.
    come_back(&mut world, bob, "tea");
    world.store_answers();
    assert_eq!(world.heard(bob), ["joined tea", "ada: one", "ada: two", "ada: three"]);
}

#[test]
fn who_leaves_while_its_join_waits_is_told_both_and_is_not_in_the_room() {
    for shard in [0, 1] {
        let mut world = told_room();
        let ada = named(&mut world, shard, "ada");
        let (join, leave) = (come_back(&mut world, ada, "tea"), world.leave(ada, "tea"));
        world.calm();
        assert_eq!(world.heard(ada), Vec::<String>::new());
        let opened = open(&mut world);
        world.hand(opened);
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
fn who_exits_while_its_join_waits_is_told_goodbye_whether_the_room_opens_or_not() {
    for opens in [true, false] {
        let mut world = told_room();
        let ada = named(&mut world, 0, "ada");
        world.join(ada, "tea");
        world.exit(ada);
        world.calm();
        let opened = open(&mut world);
        world.hand(if opens { opened } else { unanswered(&opened) });
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
fn who_vanishes_while_its_join_waits_is_in_no_room_and_nobody_comes_in_its_place() {
    for (shard, opens) in [(0, true), (1, true), (0, false), (1, false)] {
        let mut world = told_room();
        let (ada, bob) = (named(&mut world, shard, "ada"), named(&mut world, 0, "bob"));
        come_back(&mut world, ada, "tea");
        world.calm();
        world.join(bob, "tea");
        world.calm();
        world.hang_up(ada);
        world.calm();
        let opened = open(&mut world);
        let tom = named(&mut world, shard, "tom");
        assert_eq!(world.id(tom).slot(), world.id(ada).slot(), "it has ada's place");
        world.hand(if opens { opened } else { unanswered(&opened) });
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
        world.calm();
        assert_eq!(world.rooms_in_store(), 0);
    }
}
