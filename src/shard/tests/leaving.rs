//! Members that leave before they have read everything, and who comes after them.

use crate::{
    proto::plaza::{self, client_message::Request as Ask},
    shard::testing::{OPEN, World},
};

/// Joins at a position.
fn resume(world: &mut World, client: usize, room: &str, epoch: u64, seq: u64) -> u64 {
    world.ask(
        client,
        Ask::Join(plaza::Join {
            room: room.into(),
            epoch,
            seq,
            last: 0,
        }),
    )
}

/// Joins at the newest messages.
fn join_last(world: &mut World, client: usize, room: &str, last: u32) -> u64 {
    world.ask(
        client,
        Ask::Join(plaza::Join {
            room: room.into(),
            last,
            ..Default::default()
        }),
    )
}

/// A room `tea` on two shards whose second shard has only a member that leaves and does not read: the others there were lost.
fn only_a_blocked_leaver_is_left(world: &mut World) -> usize {
    let [ada, bob, _, eve] = world.members("tea", ["ada", "bob", "una", "eve"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "one");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.hang_up(eve);
    world.check_rings();
    world.calm();
    bob
}

#[test]
fn who_resumes_where_the_last_member_was_lost_beside_a_blocked_leaver_is_replayed_no_hole() {
    let mut world = World::new(2);
    let bob = only_a_blocked_leaver_is_left(&mut world);
    // The shard of bob and eve is told nothing of this one.
    let una = world.user(0, "una");
    world.join(una, "tea");
    world.talk(una, "tea", "two");
    world.calm();
    let tom = world.user(1, "tom");
    let epoch = world.said.borrow()[0].1.epoch;
    resume(&mut world, tom, "tea", epoch, 1);
    world.calm();
    world.talk(una, "tea", "three");
    world.calm();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "gap 2-2", "una: three"]);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob).last().unwrap(), "left tea");
    world.check_rest();
}

#[test]
fn a_new_life_of_a_room_replays_nothing_of_the_one_before() {
    let mut world = World::new(1);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 0);
    world.talk(ada, "tea", "of the first life");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.hang_up(ada);
    world.calm();
    let [eve] = world.members("tea", ["eve"]);
    world.talk(eve, "tea", "of the second life");
    world.calm();
    let tom = world.user(0, "tom");
    join_last(&mut world, tom, "tea", 5);
    world.calm();
    assert_eq!(world.heard(tom), ["welcome", "joined tea", "eve: of the second life"]);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: of the first life", "left tea"]);
    world.check_rest();
}
