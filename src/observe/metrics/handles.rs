//! Handles of metrics: what each part of the server counts.
//!
//! A handle costs one relaxed atomic per update; a histogram costs a lock that only a scrape contends for. The help text of a metric
//! (`shards.rs`, `table.rs`), which is also its line in `docs/metrics.md`, says what it counts.

use std::{borrow::Cow, fmt, fs, marker::PhantomData, sync::atomic::AtomicU64, time::Instant};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

use crate::{codec::detect::Why, observe::reasons::RejectReason, word_set::Word};

#[derive(Debug)]
pub struct IngressMetrics {
    pub accepted: Counter,
    pub accept_errors: Counter,
    pub accept_backoffs: Counter,
    pub connections_limit: Gauge,
    pub rejects: Counters<RejectReason>,
    pub(super) detections: Families<Counter>,
}

#[derive(Debug)]
pub struct HistoryMetrics {
    pub commit_seconds: Histogram,
    pub commit_messages: Histogram,
    pub commit_failures: Counter,
    pub queue_messages: Gauge,
    pub expired_messages: Counter,
    pub damage: Counter,
    pub disk_bytes: Gauge,
    pub wal_bytes: Gauge,
    pub wal_pinned_seconds: Gauge,
}

#[derive(Debug)]
pub struct LogMetrics {
    pub server_dropped: Counter,
    pub message_log_dropped: Counter,
    pub write_errors: Counter,
}

#[derive(Debug)]
pub(super) struct ProcessMetrics {
    pub(super) started: Instant,
    pub(super) uptime_seconds: Gauge<f64, AtomicU64>,
    pub(super) resident_bytes: Gauge,
    pub(super) open_files: Gauge,
}

/// One counter per word of a closed set.
pub struct Counters<R> {
    pub(super) counters: Box<[Counter]>,
    pub(super) of: PhantomData<fn(R)>,
}

/// One metric, as `docs/metrics.md` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;
pub(super) type Families<M> = Family<Labels, M, fn() -> M>;

impl IngressMetrics {
    pub fn decided(&self, dialect: &'static str, by: Why) {
        let labels = vec![("dialect", dialect.into()), ("by", by.name().into())];
        self.detections.get_or_create_owned(&labels).inc();
    }
}

impl<W: Word> Counters<W> {
    pub fn of(&self, word: W) -> &Counter {
        &self.counters[word.index()]
    }
}

impl<R> fmt::Debug for Counters<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(Counter::get)).finish()
    }
}

impl ProcessMetrics {
    pub(super) fn measure(&self) {
        self.uptime_seconds.set(self.started.elapsed().as_secs_f64());
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is this directory.
            self.open_files
                .set(i64::try_from(files.count()).unwrap_or(i64::MAX) - 1);
        }
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The label of connections with an unknown dialect.
pub const UNDECIDED: &str = "undecided";
