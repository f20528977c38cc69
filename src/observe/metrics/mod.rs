//! What the server counts and measures, for `/metrics`.
//!
//! Each part fetches its handles once. Each shard has its own and updates them per flush or per batch, never per delivery.
//! `docs/metrics.md` lists all metrics; a test compares it with the table.

mod handles;
mod shards;
mod table;

use std::{
    fmt::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{encoding::text::encode, metrics::counter::Counter, registry::Registry};

use super::reasons::{CloseReason, RejectReason};
use crate::{chat::ErrorCode, codec::detect::Why, word_set::Word};
use handles::ProcessMetrics;
pub use handles::{Counters, Described, HistoryMetrics, IngressMetrics, LogMetrics, UNDECIDED};
pub use shards::{DialectMetrics, ShardMetrics};
use table::Table;

#[derive(Debug)]
pub struct Metrics {
    /// One per shard, in their order.
    pub shards: Box<[Arc<ShardMetrics>]>,
    pub ingress: IngressMetrics,
    pub history: HistoryMetrics,
    pub logs: LogMetrics,
    process: ProcessMetrics,
    hooks: Mutex<Vec<Hook>>,
    registry: Registry,
    described: Vec<Described>,
}

struct Hook(Box<dyn FnMut(&Metrics) + Send>);

impl Metrics {
    /// Metrics for this number of shards. The dialects are those of [`crate::codec::DIALECTS`], in that order.
    pub fn new(shards: usize, dialects: &[&'static str]) -> Arc<Self> {
        let mut table = Table::new();
        let shards = table.shards(shards, dialects);
        let ingress = table.ingress();
        let history = table.history();
        let logs = table.logs();
        let process = table.process();
        Arc::new(Self {
            shards,
            ingress,
            history,
            logs,
            process,
            hooks: Mutex::default(),
            registry: table.registry,
            described: table.described,
        })
    }

    /// Registers a function that runs before each scrape, for values that are cheaper to query than to keep up to date. It must be quick
    /// and must not call `before_scrape`.
    pub fn before_scrape(&self, measure: impl FnMut(&Self) + Send + 'static) {
        self.hooks().push(Hook(Box::new(measure)));
    }

    /// Registers a counter that each scrape raises to `total`, which never decreases.
    pub fn follow_total(&self, counter: Counter, total: impl Fn() -> u64 + Send + 'static) {
        self.before_scrape(move |_| {
            counter.inc_by(total().saturating_sub(counter.get()));
        });
    }

    /// All metrics in the OpenMetrics text format ([`CONTENT_TYPE`]).
    pub fn render(&self) -> Result<String, fmt::Error> {
        self.process.measure();
        for hook in &mut *self.hooks() {
            (hook.0)(self);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// All metrics, in the order of registration.
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    fn hooks(&self) -> MutexGuard<'_, Vec<Hook>> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `docs/metrics.md`.
    pub fn document(&self) -> String {
        let mut text = DOCUMENT_HEAD.to_owned();
        for metric in &self.described {
            let labels = metric
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect::<Vec<_>>()
                .join(", ");
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| `{}` | {} | {labels} | {} |",
                metric.name, metric.kind, metric.help
            );
        }
        text.push_str("\n## The values of `reason`, `code` and `by`\n\n");
        words::<CloseReason>(&mut text, "plaza_connections_closed_total");
        words::<RejectReason>(&mut text, "plaza_handshakes_rejected_total");
        words::<ErrorCode>(&mut text, "plaza_refusals_total");
        words::<Why>(&mut text, "plaza_dialects_decided_total");
        text
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

fn words<W: Word>(text: &mut String, metric: &str) {
    let names = W::WORDS
        .iter()
        .map(|word| format!("`{}`", word.name()))
        .collect::<Vec<_>>()
        .join(", ");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "- `{metric}`: {names}");
}

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const DOCUMENT_HEAD: &str = "\
# Metrics

`/metrics` on the admin listener serves the OpenMetrics text format. Each shard updates its own metrics, once per flush or batch.
`shard` counts from 0. `dialect` is the name in `/ws/<dialect>`, or `undecided` until the server knows it.

| name | kind | labels | meaning |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;

    fn metrics() -> Arc<Metrics> {
        Metrics::new(2, &["plaza", "tutorial"])
    }

    #[test]
    fn what_is_counted_is_scraped() {
        let metrics = metrics();
        let shard = &metrics.shards[1];
        shard.dialect(Some(1)).connections.set(7);
        shard.dialect(None).opened.inc();
        shard.closes.of(CloseReason::SlowConsumer).inc_by(3);
        shard.refusals.of(ErrorCode::Busy).inc();
        shard.flush_seconds.observe(0.001);
        metrics.ingress.rejects.of(RejectReason::Origin).inc();
        metrics.ingress.decided("tutorial", Why::Silence);
        let text = metrics.render().unwrap();
        for line in [
            "plaza_connections{shard=\"1\",dialect=\"tutorial\"} 7",
            "plaza_connections_opened_total{shard=\"1\",dialect=\"undecided\"} 1",
            "plaza_connections_closed_total{shard=\"1\",reason=\"slow_consumer\"} 3",
            "plaza_connections_closed_total{shard=\"0\",reason=\"slow_consumer\"} 0",
            "plaza_refusals_total{shard=\"1\",code=\"busy\"} 1",
            "plaza_flush_duration_seconds_count{shard=\"1\"} 1",
            "plaza_handshakes_rejected_total{reason=\"origin\"} 1",
            "plaza_dialects_decided_total{dialect=\"tutorial\",by=\"silence\"} 1",
        ] {
            assert!(text.lines().any(|scraped| scraped == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_measured_when_scraped() {
        let metrics = metrics();
        metrics.render().unwrap();
        assert!(metrics.process.resident_bytes.get() > 1 << 20);
        assert!(metrics.process.open_files.get() >= 3);
    }

    #[test]
    fn a_total_kept_elsewhere_is_followed() {
        let metrics = metrics();
        let total = Arc::new(AtomicU64::new(3));
        let shown = total.clone();
        metrics.follow_total(metrics.logs.server_dropped.clone(), move || {
            shown.load(Ordering::Relaxed)
        });
        assert!(
            metrics
                .render()
                .unwrap()
                .contains("plaza_log_lines_dropped_total{log=\"server\"} 3\n")
        );
        total.store(5, Ordering::Relaxed);
        assert!(
            metrics
                .render()
                .unwrap()
                .contains("plaza_log_lines_dropped_total{log=\"server\"} 5\n")
        );
    }

    #[test]
    fn every_scraped_family_is_described_and_every_described_one_is_scraped() {
        let metrics = metrics();
        metrics.ingress.decided("tutorial", Why::Silence);
        let text = metrics.render().unwrap();
        let scraped: Vec<(String, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), kind),
                _ => (name.to_owned(), kind),
            })
            .collect();
        let mut described: Vec<_> = metrics
            .described()
            .iter()
            .map(|metric| (metric.name.clone(), metric.kind))
            .collect();
        let mut scraped = scraped;
        described.sort();
        scraped.sort();
        assert_eq!(scraped, described);
    }

    #[test]
    fn the_document_lists_them_all() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let document = metrics().document();
        if std::env::var_os("WRITE_DOCS").is_some() {
            fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            fs::write(path, &document).unwrap();
        }
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == document,
            "docs/metrics.md differs from the code; run the tests once with WRITE_DOCS=1"
        );
    }
}
