//! Names that somebody claims while others have them: nothing that is for the name alone reaches those, at no moment.

use std::collections::BTreeSet;

use serde_json::json;

use crate::shard::{
    store::ticket::Ticket,
    testing::{Speaks, World},
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn user(world: &mut World, shard: usize, name: &str) -> usize {
    let client = world.user(shard, name);
    world.store_answers();
    world.told(client);
    client
}

/// Says hello with a key; the store has committed the claim when its outcome is there.
fn claim(world: &mut World, shard: usize, name: &str) -> usize {
    let client = world.connect(shard, Speaks::Json, "");
    world.ask(client, json!({"hello": {"name": name, "key": KEY}}));
    client
}

fn is_claim(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Hello(_))
}

#[test]
fn between_a_claim_and_the_renaming_no_direct_message_and_no_typing_reaches_those_who_said_the_name() {
    let mut world = World::new(2).kept();
    let [stale, bob] = [user(&mut world, 0, "ann"), user(&mut world, 1, "bob")];
    world.direct(bob, "ann", "before");
    world.store_answers();
    assert_eq!(world.heard(stale), ["bob: before"]);
    let ann = claim(&mut world, 1, "ann");
    // Committed, and no shard knows of it.
    let claimed = world.outcome(is_claim);
    world.direct(bob, "ann", "behind the claim");
    world.ask(bob, json!({"typing": {"to": "ann"}}));
    world.store_answers();
    assert_eq!(world.heard(stale), [""; 0]);
    world.hand(claimed);
    world.store_answers();
    assert_eq!(world.heard(stale), ["renamed ann ann~2", "system"]);
    assert_eq!(world.heard(ann), ["welcome", "bob: before", "bob: behind the claim"]);
    world.direct(bob, "ann~2", "to the other");
    world.direct(bob, "ann", "to ann");
    world.store_answers();
    assert_eq!(world.heard(stale), ["bob: to the other"]);
    assert_eq!(world.heard(ann), ["bob: to ann"]);
}

#[test]
fn an_answer_of_the_store_that_comes_behind_a_claim_is_not_for_those_who_said_the_name() {
    let asks = [
        json!({"history": {"peer": "bob"}}),
        json!({"search": {"peer": "bob", "text": "psst"}}),
        json!({"read": {"peer": "bob", "seq": 1}}),
        json!({"unread": {}}),
    ];
    for (renamed, ask) in [false, true]
        .into_iter()
        .flat_map(|renamed| asks.clone().map(|ask| (renamed, ask)))
    {
        let mut world = World::new(2).kept();
        let [stale, bob] = [user(&mut world, 0, "ann"), user(&mut world, 1, "bob")];
        world.direct(bob, "ann", "psst");
        world.store_answers();
        world.told(stale);
        world.ask(stale, ask.clone());
        let answer = world.outcome(|ticket| matches!(ticket, Ticket::Question { .. }));
        claim(&mut world, 1, "ann");
        let claimed = world.outcome(is_claim);
        if renamed {
            world.hand(claimed);
            world.store_answers();
            world.told(stale);
            world.hand(answer);
        } else {
            world.hand(answer);
            assert_eq!(world.heard(stale), ["error name_reserved"], "{ask:?}");
            world.hand(claimed);
        }
        world.store_answers();
        let heard = world.heard(stale);
        assert!(!heard.iter().any(|heard| heard.contains("psst")), "{ask:?}: {heard:?}");
        assert_eq!(
            renamed,
            heard.contains(&"error name_reserved".to_owned()),
            "{ask:?}: {heard:?}"
        );
    }
}

#[test]
fn of_many_sessions_of_a_claimed_name_each_gets_a_name_of_its_own_in_bounded_steps() {
    let mut world = World::new(2).kept();
    let count = crate::limits::DISPLACED_PER_TURN + 20;
    let toms: Vec<usize> = (0..count)
        .map(|_| world.connect(0, Speaks::Legacy("chatroom"), "tom"))
        .collect();
    world.store_answers();
    let there = |world: &mut World| world.users("lobby").0.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(there(&mut world).len(), 1);
    let tom = claim(&mut world, 1, "tom");
    world.store_answers();
    assert!(
        there(&mut world).contains("tom"),
        "those that are left are renamed later"
    );
    world.pass_ms(2 * crate::limits::WHEEL_TICK_MS);
    let names = there(&mut world);
    assert_eq!(names.len(), count);
    assert!(!names.contains("tom") && names.contains("tom~2"), "{names:?}");
    assert!(world.heard(tom).contains(&"welcome".to_owned()));
    for tom in toms {
        world.hang_up(tom);
    }
    world.store_answers();
}

#[test]
fn a_claim_counts_though_the_connection_that_made_it_is_gone() {
    let mut world = World::new(2).kept();
    let stale = user(&mut world, 0, "ann");
    let ann = claim(&mut world, 1, "ann");
    let claimed = world.outcome(is_claim);
    world.hang_up(ann);
    world.hand(claimed);
    world.store_answers();
    assert_eq!(world.heard(stale), ["renamed ann ann~2", "system"]);
}

#[test]
fn a_name_that_the_server_chooses_is_never_somebodys() {
    let mut world = World::new(2).kept();
    claim(&mut world, 0, "guest-2");
    claim(&mut world, 0, "ann");
    claim(&mut world, 0, "ann~2");
    world.store_answers();
    user(&mut world, 0, "guest-3");
    user(&mut world, 1, "ann~3");
    let guests: Vec<String> = (0..2)
        .map(|_| {
            let guest = world.connect(1, Speaks::Json, "");
            world.ask(guest, json!({"hello": {}}));
            let told = world.messages(guest);
            told[0]["welcome"]["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(guests, ["guest-1", "guest-4"]);
    world.connect(0, Speaks::Legacy("chatroom"), "ann");
    world.store_answers();
    assert_eq!(world.users("lobby").0, ["ann~4"]);
}

#[test]
fn a_session_that_was_given_its_name_reads_nothing_that_is_stored_for_the_name() {
    let mut world = World::new(1).kept();
    let bob = user(&mut world, 0, "bob");
    world.direct(bob, "guest-1", "for an earlier guest");
    world.store_answers();
    let guest = world.connect(0, Speaks::Json, "");
    world.ask(guest, json!({"hello": {}}));
    world.ask(guest, json!({"unread": {}}));
    world.direct(bob, "guest-1", "hello");
    world.store_answers();
    let told = world.messages(guest);
    let texts: Vec<_> = told.iter().filter_map(|told| told["direct"]["text"].as_str()).collect();
    assert_eq!(texts, ["hello"]);
    assert!(
        told.iter().any(|told| told["error"]["code"] == json!("name_reserved")),
        "{told:?}"
    );
}

#[test]
fn who_claims_the_name_that_the_server_chose_is_given_what_is_stored_for_it() {
    let mut world = World::new(2).kept();
    let bob = user(&mut world, 0, "bob");
    world.direct(bob, "guest-1", "psst");
    world.store_answers();
    let guest = user(&mut world, 1, "");
    let rename = |key: &str| json!({"rename": {"name": "guest-1", "key": key}});
    for (key, heard) in [
        (KEY, &["renamed guest-1 guest-1", "bob: psst"][..]),
        (KEY, &["renamed guest-1 guest-1"]),
        // Who is told that it has the name takes this key for the name's.
        ("another key than that of the name", &["error name_reserved"]),
    ] {
        world.ask(guest, rename(key));
        world.store_answers();
        assert_eq!(world.heard(guest), heard);
    }
    world.direct(bob, "guest-1", "hello");
    world.store_answers();
    assert_eq!(world.heard(guest), ["bob: hello"]);
}

#[test]
fn a_session_that_was_given_its_name_is_not_told_how_far_an_earlier_one_of_that_name_has_read() {
    let mut world = World::new(1).kept();
    let bob = user(&mut world, 0, "bob");
    world.join(bob, "tea");
    world.talk(bob, "tea", "hi");
    world.store_answers();
    let read = |world: &mut World, name: &str| {
        let client = user(world, 0, name);
        world.ask(client, json!({"join": {"room": "tea", "last": 1}}));
        world.ask(client, json!({"read": {"room": "tea", "seq": 1}}));
        world.store_answers();
        assert_eq!(world.users("tea").0, ["bob", "guest-1"]);
        let told = world.messages(client);
        world.hang_up(client);
        world.store_answers();
        let joined = told.iter().find(|told| told["joined"].is_object());
        joined.unwrap()["joined"]["read"].clone()
    };
    assert_eq!(read(&mut world, "guest-1"), json!(0));
    assert_eq!(read(&mut world, ""), json!(null));
    assert_eq!(read(&mut world, "guest-1"), json!(1));
}
