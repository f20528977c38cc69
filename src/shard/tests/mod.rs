//! Behaviour of several shards together, driven without sockets on a test clock ([`super::testing`]). One file per behaviour.

mod behind;
mod claims;
mod closing;
mod counts;
mod devices;
mod directs;
mod endings;
mod lagging;
mod leaving;
mod lists;
mod model;
mod order;
mod pacing;
mod parked;
mod pressure;
mod rate_limit;
mod rooms;
mod slow_readers;
mod timers;
mod uncertain;

use proptest::prelude::ProptestConfig;

/// Runs a property test `cases` times, or `PLAZA_SEQUENCES` times.
pub(crate) fn config(cases: u32, seed: u64) -> ProptestConfig {
    let sequences = std::env::var("PLAZA_SEQUENCES").ok();
    ProptestConfig {
        cases: sequences.and_then(|count| count.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed),
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}
