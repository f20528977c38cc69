//! Claims of names that other sessions have: from that moment on, these sessions get nothing that is private to the name.

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
    world.received(client);
    client
}

/// Sends a hello with a key. The claim is committed when the outcome of the store is there.
fn claim(world: &mut World, shard: usize, name: &str) -> usize {
    let client = world.connect(shard, Speaks::Json, "");
    world.request(client, json!({"hello": {"name": name, "key": KEY}}));
    client
}

fn is_claim(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Hello(_))
}

#[test]
fn between_a_claim_and_the_renaming_other_sessions_of_the_name_get_no_direct_message_and_no_typing() {
    let mut world = World::new(2).with_store();
    let [stale, bob] = [user(&mut world, 0, "ann"), user(&mut world, 1, "bob")];
    world.direct(bob, "ann", "before");
    world.store_answers();
    assert_eq!(world.heard(stale), ["bob: before"]);
    let ann = claim(&mut world, 1, "ann");
    // The claim is committed, and no shard has its outcome yet.
    let claimed = world.outcome(is_claim);
    world.direct(bob, "ann", "behind the claim");
    world.request(bob, json!({"typing": {"to": "ann"}}));
    world.store_answers();
    assert_eq!(world.heard(stale), [""; 0]);
    world.deliver_outcome(claimed);
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
fn an_answer_of_the_store_behind_a_claim_does_not_reach_other_sessions_of_the_name() {
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
        let mut world = World::new(2).with_store();
        let [stale, bob] = [user(&mut world, 0, "ann"), user(&mut world, 1, "bob")];
        world.direct(bob, "ann", "psst");
        world.store_answers();
        world.received(stale);
        world.request(stale, ask.clone());
        let answer = world.outcome(|ticket| matches!(ticket, Ticket::Question { .. }));
        claim(&mut world, 1, "ann");
        let claimed = world.outcome(is_claim);
        if renamed {
            world.deliver_outcome(claimed);
            world.store_answers();
            world.received(stale);
            world.deliver_outcome(answer);
        } else {
            world.deliver_outcome(answer);
            assert_eq!(world.heard(stale), ["error name_reserved"], "{ask:?}");
            world.deliver_outcome(claimed);
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
fn many_sessions_of_a_claimed_name_are_renamed_a_bounded_number_per_turn() {
    let mut world = World::new(2).with_store();
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
fn a_claim_is_valid_even_if_its_connection_has_ended() {
    let mut world = World::new(2).with_store();
    let stale = user(&mut world, 0, "ann");
    let ann = claim(&mut world, 1, "ann");
    let claimed = world.outcome(is_claim);
    world.hang_up(ann);
    world.deliver_outcome(claimed);
    world.store_answers();
    assert_eq!(world.heard(stale), ["renamed ann ann~2", "system"]);
}

#[test]
fn the_server_never_assigns_a_name_that_somebody_has() {
    let mut world = World::new(2).with_store();
    claim(&mut world, 0, "guest-2");
    claim(&mut world, 0, "ann");
    claim(&mut world, 0, "ann~2");
    world.store_answers();
    user(&mut world, 0, "guest-3");
    user(&mut world, 1, "ann~3");
    let guests: Vec<String> = (0..2)
        .map(|_| {
            let guest = world.connect(1, Speaks::Json, "");
            world.request(guest, json!({"hello": {}}));
            let received = world.messages(guest);
            received[0]["welcome"]["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(guests, ["guest-1", "guest-4"]);
    world.connect(0, Speaks::Legacy("chatroom"), "ann");
    world.store_answers();
    assert_eq!(world.users("lobby").0, ["ann~4"]);
}

#[test]
fn a_session_with_an_assigned_name_cannot_read_the_stored_messages_of_that_name() {
    let mut world = World::new(1).with_store();
    let bob = user(&mut world, 0, "bob");
    world.direct(bob, "guest-1", "for an earlier guest");
    world.store_answers();
    let guest = world.connect(0, Speaks::Json, "");
    world.request(guest, json!({"hello": {}}));
    world.request(guest, json!({"unread": {}}));
    world.direct(bob, "guest-1", "hello");
    world.store_answers();
    let received = world.messages(guest);
    let texts: Vec<_> = received
        .iter()
        .filter_map(|received| received["direct"]["text"].as_str())
        .collect();
    assert_eq!(texts, ["hello"]);
    assert!(
        received
            .iter()
            .any(|received| received["error"]["code"] == json!("name_reserved")),
        "{received:?}"
    );
}

#[test]
fn a_session_that_claims_its_assigned_name_gets_the_stored_messages_of_the_name() {
    let mut world = World::new(2).with_store();
    let bob = user(&mut world, 0, "bob");
    world.direct(bob, "guest-1", "psst");
    world.store_answers();
    let guest = user(&mut world, 1, "");
    let rename = |key: &str| json!({"rename": {"name": "guest-1", "key": key}});
    for (key, heard) in [
        (KEY, &["renamed guest-1 guest-1", "bob: psst"][..]),
        (KEY, &["renamed guest-1 guest-1"]),
        // The client takes this answer to mean that its key belongs to the name.
        ("another key than that of the name", &["error name_reserved"]),
    ] {
        world.request(guest, rename(key));
        world.store_answers();
        assert_eq!(world.heard(guest), heard);
    }
    world.direct(bob, "guest-1", "hello");
    world.store_answers();
    assert_eq!(world.heard(guest), ["bob: hello"]);
}

#[test]
fn a_session_with_an_assigned_name_does_not_see_the_read_marker_of_an_earlier_user_of_that_name() {
    let mut world = World::new(1).with_store();
    let bob = user(&mut world, 0, "bob");
    world.join(bob, "tea");
    world.talk(bob, "tea", "hi");
    world.store_answers();
    let read = |world: &mut World, name: &str| {
        let client = user(world, 0, name);
        world.request(client, json!({"join": {"room": "tea", "last": 1}}));
        world.request(client, json!({"read": {"room": "tea", "seq": 1}}));
        world.store_answers();
        assert_eq!(world.users("tea").0, ["bob", "guest-1"]);
        let received = world.messages(client);
        world.hang_up(client);
        world.store_answers();
        let joined = received.iter().find(|received| received["joined"].is_object());
        joined.unwrap()["joined"]["read"].clone()
    };
    assert_eq!(read(&mut world, "guest-1"), json!(0));
    assert_eq!(read(&mut world, ""), json!(null));
    assert_eq!(read(&mut world, "guest-1"), json!(1));
}
