//! Lists that are sent because they have changed: to those who want them, and at no cost to the others.

use super::super::testing::{Speaks, Told, World};

fn lists(world: &mut World, client: usize) -> usize {
    let told = world.told(client).into_iter();
    told.filter(|told| matches!(told, Told::Legacy(payload) if payload.windows(8).any(|word| word == b"userlist")))
        .count()
}

#[test]
fn a_list_that_has_changed_is_written_to_those_who_want_it_and_to_nobody_else() {
    let mut world = World::new(2);
    let wants: Vec<usize> = (0..3)
        .map(|n| world.speaker(n % 2, Speaks::Legacy("chat-request"), &format!("wants {n}")))
        .collect();
    // Its handshake is a page's.
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
    world.told(page);
    let writes = |world: &World| [page, others[0], others[1]].map(|client| world.writes(client));
    let before = writes(&world);
    let eve = world.user(0, "eve");
    world.join(eve, "lobby");
    world.pass_ms(3_000);
    for client in &wants {
        assert_eq!(lists(&mut world, *client), 1);
    }
    // The native members were told of her coming, and the page of nothing.
    let after = writes(&world);
    assert_eq!(after, [before[0], before[1] + 1, before[2] + 1]);
}
