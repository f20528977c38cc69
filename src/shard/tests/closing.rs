//! The operator closes a room while the store has messages of it: members see every acknowledged message before they leave.

use tokio::sync::oneshot;

use crate::{
    chat::RoomName,
    history::Outcome,
    shard::{
        bus::operator::OperatorRoomRequest,
        store::ticket::Ticket,
        testing::{World, unanswered},
    },
};

/// Closes the room. Returns the number of its sessions.
fn close(world: &mut World, room: &str) -> Option<usize> {
    let room = RoomName::parse(room).unwrap();
    let owner = usize::from(world.directory.owner_of(room.as_str()).0);
    let (answer, mut answered) = oneshot::channel();
    world.turn(owner, |engine| {
        engine.administer(OperatorRoomRequest::Close { room, answer }.into())
    });
    world.run_until_idle();
    answered.try_recv().unwrap()
}

/// The store's outcome for the next message, which no shard has yet.
fn stored(world: &mut World) -> Outcome<Ticket> {
    world.run_until_idle();
    world.outcome(|ticket| matches!(ticket, Ticket::Message { .. }))
}

/// Members of a durable room, each on its own shard.
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
        world.received(member);
    }
    members
}

#[test]
fn members_of_a_closed_room_see_the_messages_in_flight_in_the_store_and_then_leave() {
    let mut world = World::new(2).with_store();
    let [ada, bob] = members(&mut world, ["ada", "bob"]);
    world.talk(ada, "tea", "one");
    let one = stored(&mut world);
    world.talk(ada, "tea", "two");
    let two = stored(&mut world);
    assert_eq!(close(&mut world, "tea"), Some(2));
    // From the close on, the room accepts no message.
    let late = world.talk(bob, "tea", "too late");
    world.run_until_idle();
    let heard = world.messages(bob);
    assert!(
        heard
            .iter()
            .any(|received| received["id"] == late && received["error"]["code"] == "not_member"),
        "{heard:?}"
    );
    world.deliver_outcome(one);
    assert_eq!(world.heard(bob), ["ada: one"]);
    world.deliver_outcome(two);
    world.store_answers();
    assert_eq!(world.heard(bob), ["ada: two", "left tea"]);
    let mut heard = world.heard(ada);
    // The order depends on the shards.
    heard.retain(|received| !received.starts_with("ack ") && received != "went bob");
    assert_eq!(heard, ["ada: one", "ada: two", "left tea"]);
    assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
}

#[test]
fn members_of_a_closed_room_leave_even_if_the_store_fails() {
    let mut world = World::new(2).with_store();
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
    world.deliver_outcome(Outcome::Failed { append, why });
    world.store_answers();
    assert_eq!(world.heard(bob), ["left tea"]);
    assert_eq!((world.users("tea").1, world.rooms_in_store()), (0, 0));
}

#[test]
fn a_user_who_joins_a_closed_room_before_the_store_answers_sees_each_message_once() {
    let mut world = World::new(2).with_store();
    let [ada] = members(&mut world, ["ada"]);
    world.talk(ada, "tea", "one");
    let one = stored(&mut world);
    world.leave(ada, "tea");
    world.run_until_idle();
    assert_eq!(close(&mut world, "tea"), Some(0));
    let bob = world.user(1, "bob");
    world.store_answers();
    world.received(bob);
    world.join(bob, "tea");
    world.store_answers();
    let joined = world.messages(bob);
    assert_eq!(joined[0]["joined"]["head"], 0, "{joined:?}");
    world.deliver_outcome(one);
    assert_eq!(world.heard(bob), ["ada: one"]);
    assert!(world.heard(ada).contains(&"ack 1".to_owned()));
}
