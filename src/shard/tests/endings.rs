//! How members go: leaving, exit, closes, and what they are given before.

use crate::shard::testing::{OPEN, Speaks, World};

#[test]
fn members_hear_what_is_said_between_their_coming_and_their_going() {
    let mut world = World::new(3);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    world.calm();
    let eve = world.speaker(2, Speaks::Protobuf, "eve");
    world.join(eve, "tea");
    world.calm();
    world.talk(bob, "tea", "two");
    world.calm();
    world.leave(eve, "tea");
    world.calm();
    world.talk(ada, "tea", "three");
    world.calm();
    assert_eq!(
        world.heard(ada),
        [
            "ack 1",
            "ada: one",
            "came eve",
            "bob: two",
            "went eve",
            "ack 3",
            "ada: three"
        ]
    );
    assert_eq!(world.heard(eve), ["welcome", "joined tea", "bob: two", "left tea"]);
    assert_eq!(world.users("tea"), (vec!["ada".into(), "bob".into()], 2));
    world.check_rest();
}

#[test]
fn a_member_that_leaves_while_its_socket_is_full_gets_what_was_said_before_and_then_the_answer() {
    let mut world = World::new(2);
    let [ada, bob] = world.members("tea", ["ada", "bob"]);
    world.set_room(bob, 10);
    world.talk(ada, "tea", "before");
    world.calm();
    world.leave(bob, "tea");
    world.calm();
    world.talk(ada, "tea", "after");
    world.calm();
    assert_eq!(world.users("tea").0, ["ada"]);
    world.set_room(bob, 7);
    world.set_room(bob, OPEN);
    world.calm();
    assert_eq!(world.heard(bob), ["ada: before", "left tea"]);
    world.check_rest();
}
