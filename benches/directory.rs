//! The cost of the directory of online users, with 15,000 users on two shards: a look-up, and a session that enters and exits.
//!
//! `cargo bench --bench directory`

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plaza::{
    chat::{ConnectionSlot, Generation, SessionId, ShardId, UserId, UserName},
    shard::bench::Directory,
};

const USERS: u32 = 15_000;

fn session(number: u32) -> SessionId {
    let shard = ShardId((number % 2) as u16);
    SessionId::new(shard, ConnectionSlot::new(number), Generation::FIRST)
}

fn directory(criterion: &mut Criterion) {
    let directory = Directory::new(2);
    let user = |number: u32| UserId::of_name(&UserName::guest(u64::from(number)));
    let users: Vec<UserId> = (0..USERS).map(user).collect();
    for (number, user) in users.iter().enumerate() {
        directory.enter(user, session(number as u32));
    }
    let mut group = criterion.benchmark_group("directory");
    group.throughput(Throughput::Elements(1));
    let mut next = users.iter().cycle();
    group.bench_function("look up a user", |bencher| {
        bencher.iter(|| {
            next.next()
                .map(|user| assert_eq!(directory.shards_of(black_box(user)), 1))
        });
    });
    group.bench_function("owner of a room", |bencher| {
        bencher.iter(|| directory.owner_of(black_box("lobby")))
    });
    let newcomer = user(USERS + 1);
    group.bench_function("enter and exit", |bencher| {
        bencher.iter(|| {
            directory.enter(black_box(&newcomer), session(USERS));
            directory.exit(black_box(&newcomer), session(USERS));
        });
    });
    let second = session(USERS + 2);
    group.bench_function("enter and exit, second session", |bencher| {
        bencher.iter(|| {
            directory.enter(black_box(&users[0]), second);
            directory.exit(black_box(&users[0]), second);
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = directory
}
criterion_main!(benches);
