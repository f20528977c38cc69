//! The cost of a ring: pushing an event while the oldest one drops out, and the batch of a member that is 1, 16 or 64 events behind.
//!
//! `cargo bench --bench log`

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plaza::{
    chat::{ChatMessage, MessageKind, SessionTag, UserId, UserName},
    shard::bench::Ring,
};

/// The capacity of the ring: the default of `flush.ring_bytes`.
const RING_BYTES: usize = 1024 * 1024;

fn talk(seq: u64) -> ChatMessage {
    ChatMessage {
        epoch: 1_234_567,
        seq,
        prev: seq - 1,
        at: 1_700_000_000_000,
        from: UserName::guest(1),
        user: UserId::of_name(&UserName::guest(1)),
        session: SessionTag(42),
        text: "x".repeat(64).into(),
        kind: MessageKind::Text,
        echo: None,
    }
}

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    let (mut ring, mut seq) = (Ring::default(), 0);
    group.throughput(Throughput::Elements(1));
    group.bench_function("push into a full ring", |bencher| {
        bencher.iter(|| {
            seq += 1;
            ring.push(talk(seq), RING_BYTES);
        });
    });
    for behind in [1, 16, 64] {
        group.throughput(Throughput::Elements(behind));
        group.bench_function(BenchmarkId::new("batch", behind), |bencher| {
            bencher.iter(|| black_box(ring.batch(behind)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = log
}
criterion_main!(benches);
