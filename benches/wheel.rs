//! The cost of the timer wheel: an entry inserted and removed among 15,000 others, and a tick without due entries.
//!
//! `cargo bench --bench wheel`

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plaza::shard::bench::Wheel;

const ENTRIES: u64 = 15_000;
/// The interval of the pings that the entries stand for.
const PING_MS: u64 = 25_000;

fn wheel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel");
    // One ping interval of 15,000 connections: each entry is due once and is inserted again.
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("15,000 connections for 25 s", |bencher| {
        let mut wheel = Wheel::default();
        let mut now = 0;
        for entry in 0..ENTRIES {
            wheel.put(entry * PING_MS / ENTRIES, entry);
        }
        let mut due = Vec::new();
        bencher.iter(|| {
            let end = now + PING_MS;
            while now < end {
                now += 100;
                wheel.expire(now, |entry| due.push(entry));
                for entry in due.drain(..) {
                    wheel.put(now + PING_MS, black_box(entry));
                }
            }
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("a tick without work", |bencher| {
        let mut wheel = Wheel::default();
        let mut now = 0;
        bencher.iter(|| {
            now += 100;
            wheel.expire(now, |entry| {
                black_box(entry);
            });
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    targets = wheel
}
criterion_main!(benches);
