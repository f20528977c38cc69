//! Starts the store with the server's settings and reports its metrics.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus_client::metrics::counter::Counter;

use super::settings;
use crate::{
    config::Config,
    history::History,
    observe::Metrics,
    shard::{Shards, Ticket},
};

/// Opens the store; `None` if everything is in memory.
pub(super) fn start(
    config: &Config,
    shards: &Arc<Shards>,
    metrics: &Metrics,
) -> Result<Option<History<Ticket>>, String> {
    if config.server.memory {
        return Ok(None);
    }
    let deliver = shards.clone();
    let history = History::start(
        settings::store(config),
        Arc::new(move |outcomes| deliver.deliver(outcomes)),
    )
    .map_err(|fault| fault.to_string())?;
    measure(&history, metrics);
    Ok(Some(history))
}

fn measure(history: &History<Ticket>, metrics: &Metrics) {
    let (seconds, messages) = (
        metrics.history.commit_seconds.clone(),
        metrics.history.commit_messages.clone(),
    );
    let observed = history.stats().on_commit.set(Box::new(move |count, took| {
        seconds.observe(took.as_secs_f64());
        messages.observe(count as f64);
    }));
    debug_assert!(observed.is_ok(), "nobody else observes a store that has just started");
    let scraped = history.clone();
    metrics.before_scrape(move |metrics| {
        let stats = scraped.stats();
        let metrics = &metrics.history;
        metrics.queue_messages.set(scraped.queue_depth() as i64);
        metrics.disk_bytes.set(stats.disk_bytes.load(Ordering::Relaxed) as i64);
        metrics.wal_bytes.set(stats.wal_bytes.load(Ordering::Relaxed) as i64);
        metrics
            .wal_pinned_seconds
            .set(stats.wal_held_seconds.load(Ordering::Relaxed) as i64);
        follow(&metrics.expired_messages, &stats.retired);
        follow(&metrics.commit_failures, &stats.failed_commits);
        follow(&metrics.damage, &stats.damage);
    });
}

/// Raises a counter to a total, which never decreases.
fn follow(counter: &Counter, total: &AtomicU64) {
    counter.inc_by(total.load(Ordering::Relaxed).saturating_sub(counter.get()));
}
