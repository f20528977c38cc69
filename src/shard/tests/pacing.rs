//! Write coalescing in a room of 1,000 members, whose writes cost 3 µs each, under three loads.

use crate::shard::testing::World;

/// A quarter of the members with four times the cost per write, so that the test is faster and the flushes cost the same.
const MEMBERS: usize = 250;
const WRITE_US: u64 = 12;

fn hall(pace: f32) -> (World, Vec<usize>) {
    let mut world = World::with(1, 8_192, |settings| settings.pace = pace);
    let members: Vec<usize> = (0..MEMBERS).map(|n| world.user(0, &format!("user {n}"))).collect();
    for member in &members {
        // The joins are not measured.
        world.join(*member, "hall");
    }
    world.run_until_idle();
    for member in &members {
        world.received(*member);
        world.write_cost_us(*member, WRITE_US);
    }
    // The pacer forgets the rates of the joins after a pause.
    world.clock.pass_us(1_000_000);
    (world, members)
}

/// Flushes what is due, or lets time pass until a flush is due, but no longer than `until`.
fn run_until(world: &mut World, until: u64) {
    while !world.flush(0) {
        let now = crate::shard::engine::Clock::micros(&world.clock);
        let due = world.engines[0].flush_due().unwrap_or(u64::MAX).min(until);
        if due <= now {
            return;
        }
        world.clock.pass_us(due - now);
    }
}

fn now(world: &World) -> u64 {
    crate::shard::engine::Clock::micros(&world.clock)
}

/// Messages per second of a closed loop: each sender sends the next message when it gets its last one.
fn closed_loop(pace: f32, in_flight: usize) -> usize {
    let (mut world, members) = hall(pace);
    let talker = members[MEMBERS / 2];
    let end = now(&world) + 1_000_000;
    for _ in 0..in_flight {
        world.talk(talker, "hall", "hello");
    }
    let mut heard = 0;
    while now(&world) < end {
        run_until(&mut world, end);
        let echoes = world
            .messages(talker)
            .iter()
            .filter(|received| received["message"].is_object())
            .count();
        heard += echoes;
        for _ in 0..echoes {
            // The round trip.
            world.clock.pass_us(20);
            world.talk(talker, "hall", "hello");
        }
    }
    world.ends_midway();
    heard
}

#[test]
fn a_closed_loop_is_not_slowed() {
    for in_flight in [1, 16] {
        let (paced, free) = (closed_loop(2.0, in_flight), closed_loop(0.0, in_flight));
        assert!(
            paced as f64 >= free as f64 * 0.85,
            "{in_flight} in flight: {paced} messages with delays, {free} without"
        );
    }
}

#[test]
fn a_thousand_messages_per_second_coalesce() {
    let (mut world, members) = hall(2.0);
    let before: usize = members.iter().map(|member| world.writes(*member)).sum();
    let mut next = now(&world);
    let (mut sent, mut longest) = (0, 0);
    while sent < 1_000 {
        // The shard reads everything that came during a flush before the next one.
        while next <= now(&world) {
            longest = longest.max(now(&world) - next);
            world.talk(members[0], "hall", "hello");
            sent += 1;
            next += 1_000;
        }
        if !world.flush(0) {
            let due = world.engines[0].flush_due().unwrap_or(u64::MAX).min(next);
            let wait = due.saturating_sub(now(&world));
            world.clock.pass_us(wait);
        }
    }
    world.run_until_idle();
    let after: usize = members.iter().map(|member| world.writes(*member)).sum();
    let per_write = (sent * MEMBERS) as f64 / (after - before) as f64;
    assert!(per_write > 5.0, "{per_write:.1} messages per write");
    assert!(longest < 20_000, "a flush held the shard up for {longest} µs");
    assert_eq!(world.messages(members[1]).len(), sent);
}

#[test]
fn a_message_after_a_quiet_period_is_flushed_at_once() {
    let (mut world, members) = hall(2.0);
    world.talk(members[0], "hall", "hello");
    // A flush yields between steps.
    let sent = now(&world);
    while world.engines[0].flush_due() == Some(0) {
        world.flush(0);
    }
    assert_eq!(now(&world) - sent, MEMBERS as u64 * WRITE_US);

    assert_eq!(world.messages(members[MEMBERS - 1]).len(), 1);
}
