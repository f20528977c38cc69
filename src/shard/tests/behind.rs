//! Devices that are behind: their sessions read the missed direct messages from the store, whatever other devices have read, and
//! even if the store is busy or fails.

use serde_json::{Value, json};

use crate::{
    history::{Answer, LostInterval, Outcome},
    limits,
    shard::{
        store::ticket::Ticket,
        testing::{OPEN, Speaks, World, unanswered},
    },
};

/// A text that exceeds the bound for bytes that wait for a full socket.
const LONG: usize = limits::PRIVATE_BYTES / 4 - 2_048;

fn long(n: usize) -> String {
    format!("{n}{}", "x".repeat(LONG))
}

/// One shard with a store, ann, and a first device of bob's. Also returns bob's key.
fn world() -> (World, usize, usize, String) {
    let mut world = World::without_timeouts(1).with_store();
    let ann = world.user(0, "ann");
    let key = "the key of bob, of 32 bytes or more";
    let bob = device(&mut world, key);
    world.store_answers();
    assert_eq!(world.messages(bob)[0]["welcome"]["key"], key);
    (world, ann, bob, key.to_owned())
}

/// Another device of bob's. The store has not answered its hello.
fn device(world: &mut World, key: &str) -> usize {
    let client = world.connect(0, Speaks::Json, "bob");
    world.request(client, json!({"hello": {"name": "bob", "key": key}}));
    client
}

fn direct(world: &mut World, from: usize, text: &str) {
    world.clock.pass_us(1_500);
    world.direct(from, "bob", text);
    world.store_answers();
}

fn read(world: &mut World, device: usize, peer: &str, seq: u64) {
    world.request(device, json!({"read": {"peer": peer, "seq": seq}}));
    world.store_answers();
}

/// The direct messages and gaps that a device got, as `ann 1` and `gap ann 2-3 lost`.
fn directs_of(world: &mut World, device: usize) -> Vec<String> {
    let received = world.messages(device);
    received
        .iter()
        .filter_map(|received| {
            let (direct, gap) = (&received["direct"], &received["gap"]);
            if direct.is_object() {
                Some(format!("{} {}", text(&direct["from"]), direct["seq"]))
            } else if gap.is_object() {
                let lost = if gap["lost"] == true { " lost" } else { "" };
                Some(format!(
                    "gap {} {}-{}{lost}",
                    text(&gap["peer"]),
                    gap["from"],
                    gap["to"]
                ))
            } else {
                None
            }
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn is_inbox(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Inbox { .. })
}

#[test]
fn a_device_that_skipped_more_conversations_than_it_notes_gets_all_of_them_even_if_another_device_read_them() {
    let (mut world, ann, slow, key) = world();
    let quick = device(&mut world, &key);
    world.store_answers();
    direct(&mut world, ann, "before");
    world.received(slow);
    world.set_room(slow, 0);
    for n in 0..8 {
        direct(&mut world, ann, &long(n));
    }
    let writers = limits::INBOX_LIVE_MESSAGES + limits::CHANGED_CONVERSATIONS + 10;
    for n in 0..writers {
        let name = format!("writer {n:03}");
        world.rename(ann, &name);
        world.store_answers();
        direct(&mut world, ann, "hello");
        read(&mut world, quick, &name, 1);
    }
    read(&mut world, quick, "ann", 9);
    world.set_room(slow, OPEN);
    world.store_answers();
    let mut heard = directs_of(&mut world, slow);
    let of_ann: Vec<String> = (2..=9).map(|seq| format!("ann {seq}")).collect();
    assert_eq!(heard.drain(..8).collect::<Vec<_>>(), of_ann);
    heard.sort();
    let others: Vec<String> = (0..writers).map(|n| format!("writer {n:03} 1")).collect();
    assert_eq!(heard, others);
    // Live messages follow.
    direct(&mut world, ann, "again");
    assert_eq!(directs_of(&mut world, slow), [format!("writer {:03} 2", writers - 1)]);
}

#[test]
fn a_device_that_connects_while_the_store_is_full_gets_its_messages_when_the_store_has_room() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    let late = device(&mut world, &key);
    world.run_until_idle();
    let hello = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)));
    world.set_store_full(true);
    world.deliver_outcome(hello);
    direct(&mut world, ann, "two");
    world.pass_ms(2_000);
    assert!(directs_of(&mut world, late).is_empty());
    world.set_store_full(false);
    world.pass_ms(200);
    world.store_answers();
    assert_eq!(directs_of(&mut world, late), ["ann 1", "ann 2"]);
}

#[test]
fn a_device_gets_what_another_device_reads_during_its_backfill_but_not_what_was_read_before() {
    let (mut world, ann, quick, key) = world();
    for n in 1..=6 {
        direct(&mut world, ann, &long(n));
    }
    read(&mut world, quick, "ann", 2);
    let slow = device(&mut world, &key);
    world.set_room(slow, LONG);
    world.run_until_idle();
    for _ in 0..2 {
        world.deliver_first(|ticket| matches!(ticket, Ticket::Hello(_)) || is_inbox(ticket));
    }
    let page = world.outcome(is_inbox);
    // Sent and read while the page is in flight.
    direct(&mut world, ann, &long(7));
    read(&mut world, quick, "ann", 7);
    world.deliver_outcome(page);
    world.store_answers();
    world.set_room(slow, OPEN);
    world.store_answers();
    assert_eq!(
        directs_of(&mut world, slow),
        ["ann 3", "ann 4", "ann 5", "ann 6", "ann 7"]
    );
}

#[test]
fn messages_that_retention_deletes_during_a_backfill_become_one_lost_gap() {
    let (mut world, ann, _, key) = world();
    for n in 1..=4 {
        direct(&mut world, ann, &format!("{n}"));
    }
    let late = device(&mut world, &key);
    world.run_until_idle();
    for _ in 0..2 {
        world.deliver_first(|ticket| matches!(ticket, Ticket::Hello(_)) || is_inbox(ticket));
    }
    let mut page = world.outcome(is_inbox);
    if let Outcome::Answered {
        answer: Answer::Direct(Some(page)),
        ..
    } = &mut page
    {
        page.messages.drain(..2);
        page.lost.push(LostInterval {
            epoch: page.head.epoch,
            from: 1,
            to: 2,
        });
    }
    world.deliver_outcome(page);
    world.store_answers();
    assert_eq!(directs_of(&mut world, late), ["gap ann 1-2 lost", "ann 3", "ann 4"]);
    direct(&mut world, ann, "5");
    assert_eq!(directs_of(&mut world, late), ["ann 5"]);
}

#[test]
fn a_conversation_that_the_store_cannot_read_becomes_a_gap_and_the_others_follow() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    direct(&mut world, ann, "two");
    world.rename(ann, "carl");
    world.store_answers();
    direct(&mut world, ann, "three");
    let late = device(&mut world, &key);
    world.run_until_idle();
    for _ in 0..3 {
        world.deliver_first(|ticket| matches!(ticket, Ticket::Hello(_)) || is_inbox(ticket));
    }
    // The newest conversation comes first, then ann's.
    let page = world.outcome(is_inbox);
    world.deliver_outcome(unanswered(&page));
    world.store_answers();
    assert_eq!(directs_of(&mut world, late), ["carl 1", "gap ann 1-2"]);
    direct(&mut world, ann, "four");
    assert_eq!(directs_of(&mut world, late), ["carl 2"]);
}

#[test]
fn a_device_is_closed_if_the_store_cannot_list_its_skipped_conversations() {
    let (mut world, ann, slow, _) = world();
    world.set_room(slow, 0);
    for n in 0..8 {
        direct(&mut world, ann, &long(n));
    }
    for n in 0..limits::INBOX_LIVE_MESSAGES {
        world.rename(ann, &format!("writer {n:03}"));
        world.store_answers();
        direct(&mut world, ann, "hello");
    }
    world.set_room(slow, OPEN);
    loop {
        let next = world.outcome(is_inbox);
        let is_listing = matches!(
            &next,
            Outcome::Answered {
                answer: Answer::Changed { .. },
                ..
            }
        );
        if is_listing {
            world.deliver_outcome(unanswered(&next));
            break;
        }
        world.deliver_outcome(next);
    }
    world.store_answers();
    let heard = world.heard(slow);
    assert_eq!(
        heard[heard.len() - 3..],
        ["error store_failed", "goodbye busy", "close 1013"]
    );
}

#[test]
fn a_device_without_a_position_gets_its_unread_messages_even_if_it_skips_live_ones_meanwhile() {
    let (mut world, ann, quick, key) = world();
    for n in 1..=3 {
        direct(&mut world, ann, &long(n));
    }
    let late = device(&mut world, &key);
    world.run_until_idle();
    world.deliver_first(|ticket| matches!(ticket, Ticket::Hello(_)));
    // The question is in flight.
    let found = world.outcome(is_inbox);
    for n in 4..=12 {
        direct(&mut world, ann, &long(n));
    }
    read(&mut world, quick, "ann", 12);
    world.deliver_outcome(found);
    world.store_answers();
    let all: Vec<String> = (1..=12).map(|seq| format!("ann {seq}")).collect();
    assert_eq!(directs_of(&mut world, late), all);
}

#[test]
fn a_rename_ends_a_backfill_and_a_rename_back_begins_with_the_unread_messages() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    let late = device(&mut world, &key);
    world.run_until_idle();
    for _ in 0..2 {
        world.deliver_first(|ticket| matches!(ticket, Ticket::Hello(_)) || is_inbox(ticket));
    }
    let page = world.outcome(is_inbox);
    world.rename_with_key(late, "rob");
    world.run_until_idle();
    world.deliver_first(|ticket| matches!(ticket, Ticket::Rename { .. }));
    world.deliver_outcome(page);
    world.store_answers();
    assert!(directs_of(&mut world, late).is_empty());
    world.request(late, json!({"rename": {"name": "bob", "key": key}}));
    world.store_answers();
    assert_eq!(directs_of(&mut world, late), ["ann 1"]);
}
