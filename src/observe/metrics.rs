//! What the server counts and measures, for `/metrics`.
//!
//! A handle is fetched once and kept; what it costs then is one relaxed atomic (or, for a histogram, a lock that only a
//! scrape ever contends for). Shards have handles of their own and update them per flush or per batch, never per delivery.
//! `docs/metrics.md` lists all of them; a test keeps it equal.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    fs,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use super::reasons::{CloseReason, Decider, Reason, RejectReason};
use crate::{chat::ErrorCode, config::cli::VERSION};

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    /// One per shard, in their order.
    pub shards: Box<[Arc<ShardMetrics>]>,
    /// The way in.
    pub ingress: IngressMetrics,
    /// The store.
    pub history: HistoryMetrics,
    /// The logs.
    pub logs: LogMetrics,
    process: ProcessMetrics,
    registry: Registry,
    described: Vec<Described>,
}

/// What one shard counts.
#[derive(Debug)]
pub struct ShardMetrics {
    dialects: Box<[DialectMetrics]>,
    /// Sessions, which are named connections.
    pub sessions: Gauge,
    /// Rooms that have their home on this shard.
    pub rooms: Gauge,
    /// Memberships of this shard's sessions.
    pub members: Gauge,
    /// Frames of events given to members' sockets.
    pub deliveries: Counter,
    /// Direct messages accepted.
    pub directs: Counter,
    /// Requests refused, by code.
    pub refusals: Counters<ErrorCode>,
    /// Senders of older dialects that were not read for a while because the server was busy.
    pub paused_senders: Counter,
    /// Connections ended, by reason.
    pub closes: Counters<CloseReason>,
    /// Gaps that members were told.
    pub gaps: Counter,
    /// How long one flush of a room took, in seconds.
    pub flush_seconds: Histogram,
    /// How many bytes one flush had for a member at its cursor.
    pub flush_batch_bytes: Histogram,
    /// How many events the slowest member was behind when a flush began.
    pub cursor_lag_events: Histogram,
    /// Members whose socket is full.
    pub blocked_members: Gauge,
    /// Bytes in the rings of this shard.
    pub ring_bytes: Gauge,
    /// Messages in this shard's inbox.
    pub inbox_messages: Gauge,
    /// Messages that other shards keep because this shard's inbox is full, as this shard's own waiting ones.
    pub overflow_messages: Gauge,
    /// Bytes of events on the way to this shard.
    pub inflight_bytes: Gauge,
    /// Bytes read from sockets.
    pub received_bytes: Counter,
    /// Bytes written to sockets.
    pub sent_bytes: Counter,
}

/// What one shard counts of one dialect.
#[derive(Debug)]
pub struct DialectMetrics {
    /// Connections there are.
    pub connections: Gauge,
    /// Connections there have been.
    pub opened: Counter,
    /// Talks accepted.
    pub talks: Counter,
}

/// The acceptor and the handshakes.
#[derive(Debug)]
pub struct IngressMetrics {
    /// Sockets accepted.
    pub accepted: Counter,
    /// Accepts that failed.
    pub accept_errors: Counter,
    /// Times that the acceptor waited because descriptors or memory had run out.
    pub accept_backoffs: Counter,
    /// Requests that did not become connections, by reason.
    pub rejects: Counters<RejectReason>,
    detections: Family<Labels, Counter>,
}

/// The store.
#[derive(Debug)]
pub struct HistoryMetrics {
    /// How long one commit took, in seconds.
    pub commit_seconds: Histogram,
    /// Talks in one commit.
    pub commit_talks: Histogram,
    /// Commits that failed.
    pub commit_failures: Counter,
    /// How long one page took to read, in seconds.
    pub read_seconds: Histogram,
    /// Talks that wait for their commit.
    pub queue_talks: Gauge,
    /// Talks deleted by retention.
    pub expired_talks: Counter,
    /// Bytes of the store on the disk.
    pub disk_bytes: Gauge,
}

/// The logs.
#[derive(Debug)]
pub struct LogMetrics {
    /// Lines that never reached the server log.
    pub server_dropped: Counter,
    /// Lines that never reached the talk log.
    pub talk_dropped: Counter,
    /// Failed writes of log files.
    pub write_errors: Counter,
}

#[derive(Debug)]
struct ProcessMetrics {
    started: Instant,
    uptime_seconds: Gauge<f64, AtomicU64>,
    resident_bytes: Gauge,
    open_files: Gauge,
}

/// A counter for each word of a closed set.
pub struct Counters<R> {
    counters: Box<[Counter]>,
    of: PhantomData<fn(R)>,
}

/// One metric, as `docs/metrics.md` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// As scraped.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

type Labels = Vec<(&'static str, Cow<'static, str>)>;

impl Metrics {
    /// Metrics for so many shards. The dialects are those of [`crate::codec::DIALECTS`], in that order.
    pub fn new(shards: usize, dialects: &[&'static str]) -> Arc<Self> {
        let mut table = Builder {
            registry: Registry::with_prefix("plaza"),
            described: Vec::new(),
        };
        let shards = shard_metrics(&mut table, shards, dialects);
        let ingress = ingress_metrics(&mut table);
        let history = history_metrics(&mut table);
        let logs = log_metrics(&mut table);
        let process = process_metrics(&mut table);
        Arc::new(Self {
            shards,
            ingress,
            history,
            logs,
            process,
            registry: table.registry,
            described: table.described,
        })
    }

    /// Everything in the OpenMetrics text format, [`CONTENT_TYPE`].
    pub fn render(&self) -> Result<String, fmt::Error> {
        self.process.measure();
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Every metric, in the order of registration.
    pub fn described(&self) -> &[Described] {
        &self.described
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
        words::<Decider>(&mut text, "plaza_dialects_decided_total");
        text
    }
}

impl ShardMetrics {
    /// The handles of the dialect at this place of [`crate::codec::DIALECTS`], or those of the undecided.
    pub fn dialect(&self, index: Option<usize>) -> &DialectMetrics {
        let undecided = self.dialects.len() - 1;
        &self.dialects[index.map_or(undecided, |index| index.min(undecided))]
    }
}

impl IngressMetrics {
    /// Counts what decided that a connection speaks this dialect.
    pub fn decided(&self, dialect: &'static str, by: Decider) {
        let labels = vec![("dialect", dialect.into()), ("by", by.name().into())];
        self.detections.get_or_create_owned(&labels).inc();
    }
}

impl<R: Reason> Counters<R> {
    /// The counter of this word.
    pub fn of(&self, word: R) -> &Counter {
        &self.counters[word.index()]
    }
}

impl<R> fmt::Debug for Counters<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counters.iter().map(Counter::get)).finish()
    }
}

impl ProcessMetrics {
    fn measure(&self) {
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

struct Builder {
    registry: Registry,
    described: Vec<Described>,
}

impl Builder {
    fn describe(&mut self, name: &str, kind: &'static str, labels: &'static [&'static str], help: &'static str) {
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        self.described.push(Described {
            name: format!("plaza_{name}{suffix}"),
            kind,
            labels,
            help,
        });
    }

    fn counters(&mut self, name: &str, labels: &'static [&'static str], help: &'static str) -> Family<Labels, Counter> {
        let family = Family::default();
        self.registry.register(name, help.trim_end_matches('.'), family.clone());
        self.describe(name, "counter", labels, help);
        family
    }

    fn counter(&mut self, name: &str, help: &'static str) -> Counter {
        let counter = Counter::default();
        self.registry
            .register(name, help.trim_end_matches('.'), counter.clone());
        self.describe(name, "counter", &[], help);
        counter
    }

    fn gauges(&mut self, name: &str, labels: &'static [&'static str], help: &'static str) -> Family<Labels, Gauge> {
        let family = Family::default();
        self.registry.register(name, help.trim_end_matches('.'), family.clone());
        self.describe(name, "gauge", labels, help);
        family
    }

    fn gauge(&mut self, name: &str, help: &'static str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help.trim_end_matches('.'), gauge.clone());
        self.describe(name, "gauge", &[], help);
        gauge
    }

    fn histograms(
        &mut self,
        name: &str,
        make: fn() -> Histogram,
        help: &'static str,
    ) -> Family<Labels, Histogram, fn() -> Histogram> {
        let family = Family::new_with_constructor(make);
        self.registry.register(name, help.trim_end_matches('.'), family.clone());
        self.describe(name, "histogram", &["shard"], help);
        family
    }

    fn histogram(&mut self, name: &str, make: fn() -> Histogram, help: &'static str) -> Histogram {
        let histogram = make();
        self.registry
            .register(name, help.trim_end_matches('.'), histogram.clone());
        self.describe(name, "histogram", &[], help);
        histogram
    }
}

fn shard_metrics(table: &mut Builder, shards: usize, dialects: &[&'static str]) -> Box<[Arc<ShardMetrics>]> {
    const SHARD: &[&str] = &["shard"];
    const DIALECT: &[&str] = &["shard", "dialect"];
    let connections = table.gauges("connections", DIALECT, "Connections there are.");
    let opened = table.counters("connections_opened", DIALECT, "Connections there have been.");
    let closed = table.counters(
        "connections_closed",
        &["shard", "reason"],
        "Connections ended, by reason.",
    );
    let sessions = table.gauges("sessions", SHARD, "Sessions, which are named connections.");
    let rooms = table.gauges("rooms", SHARD, "Rooms that have their home on the shard.");
    let members = table.gauges("members", SHARD, "Memberships of the shard's sessions in rooms.");
    let talks = table.counters("talks", DIALECT, "Talks accepted.");
    let directs = table.counters("directs", SHARD, "Direct messages accepted.");
    let refusals = table.counters(
        "refusals",
        &["shard", "code"],
        "Requests refused, by code; `busy` is load.",
    );
    let paused = table.counters(
        "paused_senders",
        SHARD,
        "Times that a sender of an older dialect was not read for a while because the server was busy.",
    );
    let deliveries = table.counters("deliveries", SHARD, "Frames of events given to members' sockets.");
    let gaps = table.counters(
        "gaps",
        SHARD,
        "Gaps that members were told because their cursor fell off the ring.",
    );
    let flush = table.histograms(
        "flush_duration_seconds",
        short_times,
        "How long one flush of a room took.",
    );
    let batch = table.histograms(
        "flush_batch_bytes",
        sizes,
        "Bytes of the largest batch that one flush wrote to a member.",
    );
    let lag = table.histograms(
        "cursor_lag_events",
        counts,
        "How many events the slowest member was behind when a flush began.",
    );
    let blocked = table.gauges("blocked_members", SHARD, "Members whose socket is full.");
    let rings = table.gauges("ring_bytes", SHARD, "Bytes in the rings of the shard's rooms.");
    let inbox = table.gauges("inbox_messages", SHARD, "Messages in the shard's inbox.");
    let overflow = table.gauges(
        "overflow_messages",
        SHARD,
        "Messages that the shard keeps because another's inbox is full.",
    );
    let inflight = table.gauges("inflight_bytes", SHARD, "Bytes of events on the way to the shard.");
    let received = table.counters("received_bytes", SHARD, "Bytes read from clients' sockets.");
    let sent = table.counters("sent_bytes", SHARD, "Bytes written to clients' sockets.");

    let shard = |number: usize| {
        let label = || vec![("shard", Cow::from(number.to_string()))];
        let dialect = |name: &'static str| {
            let labels = [label(), vec![("dialect", name.into())]].concat();
            DialectMetrics {
                connections: connections.get_or_create_owned(&labels),
                opened: opened.get_or_create_owned(&labels),
                talks: talks.get_or_create_owned(&labels),
            }
        };
        Arc::new(ShardMetrics {
            dialects: dialects.iter().copied().chain([UNDECIDED]).map(dialect).collect(),
            sessions: sessions.get_or_create_owned(&label()),
            rooms: rooms.get_or_create_owned(&label()),
            members: members.get_or_create_owned(&label()),
            deliveries: deliveries.get_or_create_owned(&label()),
            directs: directs.get_or_create_owned(&label()),
            refusals: each(&refusals, &label(), "code"),
            paused_senders: paused.get_or_create_owned(&label()),
            closes: each(&closed, &label(), "reason"),
            gaps: gaps.get_or_create_owned(&label()),
            flush_seconds: flush.get_or_create_owned(&label()),
            flush_batch_bytes: batch.get_or_create_owned(&label()),
            cursor_lag_events: lag.get_or_create_owned(&label()),
            blocked_members: blocked.get_or_create_owned(&label()),
            ring_bytes: rings.get_or_create_owned(&label()),
            inbox_messages: inbox.get_or_create_owned(&label()),
            overflow_messages: overflow.get_or_create_owned(&label()),
            inflight_bytes: inflight.get_or_create_owned(&label()),
            received_bytes: received.get_or_create_owned(&label()),
            sent_bytes: sent.get_or_create_owned(&label()),
        })
    };
    (0..shards).map(shard).collect()
}

fn ingress_metrics(table: &mut Builder) -> IngressMetrics {
    let rejects = table.counters(
        "handshakes_rejected",
        &["reason"],
        "Requests that did not become connections, by reason.",
    );
    IngressMetrics {
        accepted: table.counter("accepted", "Sockets accepted."),
        accept_errors: table.counter("accept_errors", "Accepts that failed."),
        accept_backoffs: table.counter(
            "accept_backoffs",
            "Times that the acceptor waited because descriptors or memory had run out.",
        ),
        rejects: each(&rejects, &Vec::new(), "reason"),
        detections: table.counters(
            "dialects_decided",
            &["dialect", "by"],
            "Connections whose dialect was decided, by what decided it.",
        ),
    }
}

fn history_metrics(table: &mut Builder) -> HistoryMetrics {
    HistoryMetrics {
        commit_seconds: table.histogram("history_commit_duration_seconds", times, "How long one commit took."),
        commit_talks: table.histogram("history_commit_talks", counts, "Talks in one commit."),
        commit_failures: table.counter(
            "history_commit_failures",
            "Commits that failed; their senders were told.",
        ),
        read_seconds: table.histogram(
            "history_read_duration_seconds",
            times,
            "How long one page took to read.",
        ),
        queue_talks: table.gauge("history_queue_talks", "Talks that wait for their commit."),
        expired_talks: table.counter("history_expired_talks", "Talks deleted by retention."),
        disk_bytes: table.gauge("history_disk_bytes", "Bytes of the store on the disk."),
    }
}

fn log_metrics(table: &mut Builder) -> LogMetrics {
    let dropped = table.counters(
        "log_lines_dropped",
        &["log"],
        "Lines that never reached the server log or the talk log.",
    );
    LogMetrics {
        server_dropped: dropped.get_or_create_owned(&vec![("log", "server".into())]),
        talk_dropped: dropped.get_or_create_owned(&vec![("log", "talk".into())]),
        write_errors: table.counter("log_write_errors", "Writes of log files that failed."),
    }
}

fn process_metrics(table: &mut Builder) -> ProcessMetrics {
    let build = Info::new(vec![("version", VERSION)]);
    table.registry.register("build", "What is running", build);
    table.describe("build", "info", &["version"], "What is running; always 1.");
    let uptime_seconds = Gauge::<f64, AtomicU64>::default();
    table.registry.register(
        "uptime_seconds",
        "Seconds since the process started",
        uptime_seconds.clone(),
    );
    table.describe("uptime_seconds", "gauge", &[], "Seconds since the process started.");
    ProcessMetrics {
        started: Instant::now(),
        uptime_seconds,
        resident_bytes: table.gauge("process_resident_bytes", "Memory of the process that is in RAM."),
        open_files: table.gauge("process_open_files", "Open descriptors of the process."),
    }
}

fn each<R: Reason>(family: &Family<Labels, Counter>, labels: &Labels, label: &'static str) -> Counters<R> {
    let counter = |word: &R| {
        let labels = [labels.clone(), vec![(label, word.name().into())]].concat();
        family.get_or_create_owned(&labels)
    };
    Counters {
        counters: R::ALL.iter().map(counter).collect(),
        of: PhantomData,
    }
}

/// From 4 µs, one room of a few members, to 1 s.
fn short_times() -> Histogram {
    Histogram::new(exponential_buckets(4e-6, 4.0, 10))
}

/// From 100 µs, a commit without a sync, to 26 s.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 4.0, 10))
}

/// From one small frame to the largest ring of the default.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(64.0, 4.0, 8))
}

/// From 1 to 16,384.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn words<R: Reason>(text: &mut String, metric: &str) {
    let names = R::ALL
        .iter()
        .map(|word| format!("`{}`", word.name()))
        .collect::<Vec<_>>()
        .join(", ");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "- `{metric}`: {names}");
}

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The dialect of a connection that has not shown which it speaks.
pub const UNDECIDED: &str = "undecided";
const DOCUMENT_HEAD: &str = "\
# Metrics

`/metrics` on the admin listener, in the OpenMetrics text format. Counters of a shard are written by that shard alone, once per
flush or batch. `shard` is its number from 0; `dialect` is as in `/ws/<dialect>`, or `undecided` before the client has shown
which it speaks.

| name | kind | labels | what it is |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
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
        shard.closes.of(CloseReason::SlowReader).inc_by(3);
        shard.refusals.of(ErrorCode::Busy).inc();
        shard.flush_seconds.observe(0.001);
        metrics.ingress.rejects.of(RejectReason::Origin).inc();
        metrics.ingress.decided("tutorial", Decider::Silence);
        let text = metrics.render().unwrap();
        for line in [
            "plaza_connections{shard=\"1\",dialect=\"tutorial\"} 7",
            "plaza_connections_opened_total{shard=\"1\",dialect=\"undecided\"} 1",
            "plaza_connections_closed_total{shard=\"1\",reason=\"slow_reader\"} 3",
            "plaza_connections_closed_total{shard=\"0\",reason=\"slow_reader\"} 0",
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
    fn every_scraped_family_is_described_and_every_described_one_is_scraped() {
        let metrics = metrics();
        metrics.ingress.decided("tutorial", Decider::Silence);
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
            "docs/metrics.md is not what the code says; run the tests once with WRITE_DOCS=1"
        );
    }
}
