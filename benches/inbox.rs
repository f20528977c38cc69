//! The cost of a message between shards: pushed and popped on one core, through a sender that keeps order while the inbox is full, and
//! between two threads.
//!
//! `cargo bench --bench inbox`

use std::{hint::black_box, thread, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plaza::shard::bench::Inboxes;

/// Messages of one round: a full batch of a turn.
const MESSAGES: u64 = 256;
/// Messages between threads.
const STREAM: u64 = 100_000;

fn inbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inbox");
    group.throughput(Throughput::Elements(MESSAGES));
    let inboxes = Inboxes::new(2);
    group.bench_function("push and pop, one thread", |bencher| {
        bencher.iter(|| {
            for message in 0..MESSAGES {
                assert!(inboxes.push(0, black_box(message)));
            }
            while let Some(message) = inboxes.pop(0) {
                black_box(message);
            }
        });
    });
    let mut outbox = inboxes.outbox(1);
    group.bench_function("outbox and pop, one thread", |bencher| {
        bencher.iter(|| {
            for message in 0..MESSAGES {
                outbox.send(0, black_box(message));
            }
            while let Some(message) = inboxes.pop(0) {
                black_box(message);
            }
        });
    });
    group.throughput(Throughput::Elements(STREAM));
    group.bench_function("two threads", |bencher| {
        bencher.iter(|| {
            let inboxes = Inboxes::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut outbox = inboxes.outbox(1);
                    for message in 0..STREAM {
                        outbox.send(0, message);
                    }
                    while outbox.retry() > 0 {
                        thread::yield_now();
                    }
                });
                let mut wanted = 0;
                while wanted < STREAM {
                    match inboxes.pop(0) {
                        // In order and without a hole; otherwise the result means nothing.
                        Some(message) => {
                            assert_eq!(message, wanted);
                            wanted += 1;
                        }
                        None => thread::yield_now(),
                    }
                }
            });
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = inbox
}
criterion_main!(benches);
