//! Changed lists of users: sent to the clients whose dialect wants them, at no cost to the others.

use super::super::testing::{Received, Speaks, World};

fn lists(world: &mut World, client: usize) -> usize {
    let received = world.received(client).into_iter();
    received.filter(|received| matches!(received, Received::Legacy(payload) if payload.windows(8).any(|word| word == b"userlist")))
        .count()
}

#[test]
fn a_changed_list_goes_only_to_clients_whose_dialect_wants_it() {
    let mut world = World::new(2);
    let wants: Vec<usize> = (0..3)
        .map(|n| world.speaker(n % 2, Speaks::Legacy("chat-request"), &format!("wants {n}")))
        .collect();
    // Its handshake is that of a browser page.
    let page = world.speaker(0, Speaks::Legacy("communication"), "page");
    let others = ["ada", "bob"].map(|name| {
        let other = world.user(1, name);
        world.join(other, "lobby");
        other
    });
    world.pass_ms(3_000);
    for client in &wants {
        assert!(lists(&mut world, *client) > 0);
    }
    world.received(page);
    let writes = |world: &World| [page, others[0], others[1]].map(|client| world.writes(client));
    let before = writes(&world);
    let eve = world.user(0, "eve");
    world.join(eve, "lobby");
    world.pass_ms(3_000);
    for client in &wants {
        assert_eq!(lists(&mut world, *client), 1);
    }
    // The native members got her join, and the page nothing.
    let after = writes(&world);
    assert_eq!(after, [before[0], before[1] + 1, before[2] + 1]);
}
