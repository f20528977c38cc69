//! Devices that are behind: what they missed is read from the store, whatever other devices have read, whatever the store
//! cannot read, and however busy it is.

use serde_json::{Value, json};

use crate::{
    history::{Answer, LostInterval, Outcome},
    limits,
    shard::{
        store::ticket::Ticket,
        testing::{OPEN, Speaks, World, unanswered},
    },
};

/// Too long for a socket that takes nothing and for what may wait for it.
const LONG: usize = limits::PRIVATE_BYTES / 4 - 2_048;

fn long(n: usize) -> String {
    format!("{n}{}", "x".repeat(LONG))
}

/// A world of one shard whose store keeps everything, with ann and a first device of bob's; bob's key.
fn world() -> (World, usize, usize, String) {
    let mut world = World::with(1, limits::INBOX_MESSAGES, |settings| {
        settings.dead_after = std::time::Duration::from_secs(1_000_000);
        settings.write_timeout = std::time::Duration::from_secs(1_000_000);
    })
    .kept();
    let ann = world.user(0, "ann");
    let key = "the key of bob, of 32 bytes or more";
    let bob = device(&mut world, key);
    world.store_answers();
    assert_eq!(world.messages(bob)[0]["welcome"]["key"], key);
    (world, ann, bob, key.to_owned())
}

/// Another device of bob's, whose hello the store has not answered.
fn device(world: &mut World, key: &str) -> usize {
    let client = world.connect(0, Speaks::Json, "bob");
    world.ask(client, json!({"hello": {"name": "bob", "key": key}}));
    client
}

fn direct(world: &mut World, from: usize, text: &str) {
    world.clock.pass_us(1_500);
    world.direct(from, "bob", text);
    world.store_answers();
}

fn read(world: &mut World, device: usize, peer: &str, seq: u64) {
    world.ask(device, json!({"read": {"peer": peer, "seq": seq}}));
    world.store_answers();
}

/// `ann 1`, `gap ann 2-3 lost`: what a device was given and told of its conversations.
fn given(world: &mut World, device: usize) -> Vec<String> {
    let told = world.messages(device);
    told.iter()
        .filter_map(|told| {
            let (direct, gap) = (&told["direct"], &told["gap"]);
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

fn is_mail(ticket: &Ticket) -> bool {
    matches!(ticket, Ticket::Inbox { .. })
}

#[test]
fn a_device_behind_in_more_conversations_than_are_noted_is_given_all_of_them_though_another_has_read_them() {
    let (mut world, ann, slow, key) = world();
    let quick = device(&mut world, &key);
    world.store_answers();
    direct(&mut world, ann, "before");
    world.told(slow);
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
    let mut heard = given(&mut world, slow);
    let of_ann: Vec<String> = (2..=9).map(|seq| format!("ann {seq}")).collect();
    assert_eq!(heard.drain(..8).collect::<Vec<_>>(), of_ann);
    heard.sort();
    let others: Vec<String> = (0..writers).map(|n| format!("writer {n:03} 1")).collect();
    assert_eq!(heard, others);
    // It goes on live.
    direct(&mut world, ann, "again");
    assert_eq!(given(&mut world, slow), [format!("writer {:03} 2", writers - 1)]);
}

#[test]
fn a_device_that_comes_while_the_store_takes_no_questions_is_given_what_waited_when_it_does() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    let late = device(&mut world, &key);
    world.calm();
    let hello = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)));
    world.fill_store();
    world.hand(hello);
    direct(&mut world, ann, "two");
    world.pass_ms(2_000);
    assert!(given(&mut world, late).is_empty());
    world.drain_store();
    world.pass_ms(200);
    world.store_answers();
    assert_eq!(given(&mut world, late), ["ann 1", "ann 2"]);
}

#[test]
fn what_another_device_reads_amid_a_page_is_given_all_the_same_and_what_was_read_before_is_not() {
    let (mut world, ann, quick, key) = world();
    for n in 1..=6 {
        direct(&mut world, ann, &long(n));
    }
    read(&mut world, quick, "ann", 2);
    let slow = device(&mut world, &key);
    world.set_room(slow, LONG);
    world.calm();
    for _ in 0..2 {
        let next = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)) || is_mail(ticket));
        world.hand(next);
    }
    let page = world.outcome(is_mail);
    // Said and read while the page is on its way.
    direct(&mut world, ann, &long(7));
    read(&mut world, quick, "ann", 7);
    world.hand(page);
    world.store_answers();
    world.set_room(slow, OPEN);
    world.store_answers();
    assert_eq!(given(&mut world, slow), ["ann 3", "ann 4", "ann 5", "ann 6", "ann 7"]);
}

#[test]
fn what_retention_deletes_amid_the_pages_is_told_as_lost_once_and_the_rest_is_given() {
    let (mut world, ann, _, key) = world();
    for n in 1..=4 {
        direct(&mut world, ann, &format!("{n}"));
    }
    let late = device(&mut world, &key);
    world.calm();
    for _ in 0..2 {
        let next = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)) || is_mail(ticket));
        world.hand(next);
    }
    let mut page = world.outcome(is_mail);
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
    world.hand(page);
    world.store_answers();
    assert_eq!(given(&mut world, late), ["gap ann 1-2 lost", "ann 3", "ann 4"]);
    direct(&mut world, ann, "5");
    assert_eq!(given(&mut world, late), ["ann 5"]);
}

#[test]
fn a_conversation_that_cannot_be_read_now_is_a_gap_and_the_others_are_given() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    direct(&mut world, ann, "two");
    world.rename(ann, "carl");
    world.store_answers();
    direct(&mut world, ann, "three");
    let late = device(&mut world, &key);
    world.calm();
    for _ in 0..3 {
        let next = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)) || is_mail(ticket));
        world.hand(next);
    }
    // The newest comes first; then ann's.
    let page = world.outcome(is_mail);
    world.hand(unanswered(&page));
    world.store_answers();
    assert_eq!(given(&mut world, late), ["carl 1", "gap ann 1-2"]);
    direct(&mut world, ann, "four");
    assert_eq!(given(&mut world, late), ["carl 2"]);
}

#[test]
fn a_device_whose_left_messages_cannot_be_looked_for_is_sent_away_to_come_back() {
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
        let next = world.outcome(is_mail);
        let is_listing = matches!(
            &next,
            Outcome::Answered {
                answer: Answer::Changed { .. },
                ..
            }
        );
        if is_listing {
            world.hand(unanswered(&next));
            break;
        }
        world.hand(next);
    }
    world.store_answers();
    let heard = world.heard(slow);
    assert_eq!(
        heard[heard.len() - 3..],
        ["error store_failed", "goodbye busy", "close 1013"]
    );
}

#[test]
fn a_device_without_a_position_is_given_what_waited_though_live_messages_were_left_to_the_store_meanwhile() {
    let (mut world, ann, quick, key) = world();
    for n in 1..=3 {
        direct(&mut world, ann, &long(n));
    }
    let late = device(&mut world, &key);
    world.calm();
    let hello = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)));
    world.hand(hello);
    // Looked for, and not answered yet.
    let found = world.outcome(is_mail);
    for n in 4..=12 {
        direct(&mut world, ann, &long(n));
    }
    read(&mut world, quick, "ann", 12);
    world.hand(found);
    world.store_answers();
    let all: Vec<String> = (1..=12).map(|seq| format!("ann {seq}")).collect();
    assert_eq!(given(&mut world, late), all);
}

#[test]
fn a_rename_amid_the_pages_ends_them_and_the_way_back_begins_with_what_is_unread() {
    let (mut world, ann, _, key) = world();
    direct(&mut world, ann, "one");
    let late = device(&mut world, &key);
    world.calm();
    for _ in 0..2 {
        let next = world.outcome(|ticket| matches!(ticket, Ticket::Hello(_)) || is_mail(ticket));
        world.hand(next);
    }
    let page = world.outcome(is_mail);
    world.rename_with_key(late, "rob");
    world.calm();
    let renamed = world.outcome(|ticket| matches!(ticket, Ticket::Rename { .. }));
    world.hand(renamed);
    world.hand(page);
    world.store_answers();
    assert!(given(&mut world, late).is_empty());
    world.ask(late, json!({"rename": {"name": "bob", "key": key}}));
    world.store_answers();
    assert_eq!(given(&mut world, late), ["ann 1"]);
}
