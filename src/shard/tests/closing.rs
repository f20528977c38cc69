//! The operator closes a room while the store has messages of it: what is acknowledged is shown first.

use tokio::sync::oneshot;

use crate::{
    chat::RoomName,
    history::Outcome,
    shard::{
        bus::order::RoomOrder,
        store::ticket::Ticket,
        testing::{World, unanswered},
    },
};

/// Closes the room; how many sessions were in it.
fn close(world: &mut World, room: &str) -> Option<usize> {
    let room = RoomName::parse(room).unwrap();
    let owner = usize::from(world.directory.owner_of(room.as_str()).0);
    let (answer, mut answered) = oneshot::channel();
    world.turn(owner, |engine| {
        engine.administer(RoomOrder::Close { room, answer }.into())
    });
    world.calm();
    answered.try_recv().unwrap()
}

/// What the store says of the next message; nobody has been told yet.
fn stored(world: &mut World) -> Outcome<Ticket> {
    world.calm();
    world.outcome(|ticket| matches!(ticket, Ticket::Message { .. }))
}

/// Users of a stored room, on a shard each.
fn members<const N: usize>(world: &mut World, names: [&str; N]) -> [usize; N] {
    let mut shard = 0;
    let members = names.map(|name| {
        let member = world.user(shard, name);
        shard += 1;
        world.store_answers();
        world.join(member, "tea");
        world.store_answers();
        member
    });
    for member in members {
        world.told(member);
    }
    members
}

#[test]
fn members_of_a_closed_room_see_what_the_store_still_had_and_then_leave() {
    let mut world = World::new(2).kept();
    let [ada, bob] = members(&mut world, ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    let one = stored(&mut world);
    world.talk(ada, "tea", "two");
    let two = stored(&mut world);
    assert_eq!(close(&mut world, "tea"), Some(2));
    // Between the close and its end nothing new is accepted that nobody would see.
    let late = world.talk(bob, "tea", "too late");
    world.calm();
    let heard = world.messages(bob);
    assert!(
        heard
            .iter()
            .any(|told| told["id"] == late && told["error"]["code"] == "not_member"),
        "{heard:?}"
    );
    world.hand(one);
    assert_eq!(world.heard(bob), ["ada: one"]);
    world.hand(two);
    world.store_answers();
    assert_eq!(world.heard(bob), ["ada: two", "left tea"]);
    let mut heard = world.heard(ada);
    // Who leaves first is a matter of shards.
    heard.retain(|told| !told.starts_with("ack ") && told != "went bob");
    assert_eq!(heard, ["ada: one", "ada: two", "left tea"]);
    assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
}

#[test]
fn members_of_a_closed_room_leave_also_when_the_store_fails() {
    let mut world = World::new(2).kept();
    let [ada, bob] = members(&mut world, ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    let one = stored(&mut world);
    assert_eq!(close(&mut world, "tea"), Some(2));
    let Outcome::Committed { append, .. } = one else {
        panic!("{one:?}")
    };
    let why = match unanswered(&Outcome::KeyConflict { append: append.clone() }) {
        Outcome::Unanswered { why, .. } => why,
        other => panic!("{other:?}"),
    };
    world.hand(Outcome::Failed { append, why });
    world.store_answers();
    assert_eq!(world.heard(bob), ["left tea"]);
    assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
}

#[test]
fn a_user_who_joins_a_closed_room_before_the_store_has_answered_sees_each_message_once() {
    let mut world = World::new(2).kept();
    let [ada] = members(&mut world, ["ada"]);
    world.talk(ada, "tea", "one");
    let one = stored(&mut world);
    world.leave(ada, "tea");
    world.calm();
    assert_eq!(close(&mut world, "tea"), Some(0));
    let bob = world.user(1, "bob");
    world.store_answers();
    world.told(bob);
    world.join(bob, "tea");
    world.store_answers();
    let joined = world.messages(bob);
    assert_eq!(joined[0]["joined"]["head"], 0, "{joined:?}");
    world.hand(one);
    assert_eq!(world.heard(bob), ["ada: one"]);
    assert!(world.heard(ada).contains(&"ack 1".to_owned()));
}
