//! The table of metrics: names, labels, descriptions.

use std::{marker::PhantomData, sync::atomic::AtomicU64, time::Instant};

use prometheus_client::{
    metrics::{
        TypedMetric,
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Metric, Registry},
};

use super::handles::{
    Counters, Described, Families, HistoryMetrics, IngressMetrics, Labels, LogMetrics, ProcessMetrics,
};
use crate::{version::VERSION, word_set::Word};

/// Registers metrics and records their descriptions.
pub(super) struct Table {
    pub(super) registry: Registry,
    pub(super) described: Vec<Described>,
}

/// A kind of metric, with its name in the document.
pub(super) trait Kind: Metric + Clone {
    const KIND: &'static str;
}

impl Kind for Counter {
    const KIND: &'static str = "counter";
}

impl Kind for Gauge {
    const KIND: &'static str = "gauge";
}

impl Kind for Histogram {
    const KIND: &'static str = "histogram";
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::with_prefix("plaza"),
            described: Vec::new(),
        }
    }

    fn register(
        &mut self,
        name: &str,
        kind: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: impl Metric,
    ) {
        self.registry.register(name, help.trim_end_matches('.'), metric);
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

    /// A metric without labels.
    fn single<M: Kind>(&mut self, name: &str, metric: M, help: &'static str) -> M {
        self.register(name, M::KIND, &[], help, metric.clone());
        metric
    }

    fn plain<M: Kind + Default>(&mut self, name: &str, help: &'static str) -> M {
        self.single(name, M::default(), help)
    }

    pub(super) fn family<M: Kind + TypedMetric>(
        &mut self,
        name: &str,
        labels: &'static [&'static str],
        make: fn() -> M,
        help: &'static str,
    ) -> Families<M> {
        let family: Families<M> = Family::new_with_constructor(make);
        self.register(name, M::KIND, labels, help, family.clone());
        family
    }

    pub(super) fn ingress(&mut self) -> IngressMetrics {
        let rejects = self.family(
            "handshakes_rejected",
            &["reason"],
            Counter::default,
            "HTTP requests that did not become connections, by reason.",
        );
        IngressMetrics {
            accepted: self.plain("accepted", "Sockets accepted."),
            accept_errors: self.plain("accept_errors", "Accepts that failed."),
            accept_backoffs: self.plain("accept_backoffs",
                "Pauses of the acceptor because there were `plaza_connections_limit` connections, or because descriptors or memory had run out.",
            ),
            connections_limit: self.plain("connections_limit",
                "Connections that the limit of open files allows, without those reserved for health checks, store and logs.",
            ),
            rejects: each(&rejects, &Vec::new(), "reason"),
            detections: self.family("dialects_decided", &["dialect", "by"], Counter::default,
                "Connections whose dialect is known, by what decided it.",
            ),
        }
    }

    pub(super) fn history(&mut self) -> HistoryMetrics {
        HistoryMetrics {
            commit_seconds: self.single("history_commit_duration_seconds", times(), "Duration of one commit."),
            commit_messages: self.single("history_commit_messages", counts(), "Messages in one commit."),
            commit_failures: self.plain(
                "history_commit_failures",
                "Failed commits; the senders got `store_failed`.",
            ),
            queue_messages: self.plain("history_queue_messages", "Messages that wait for their commit."),
            expired_messages: self.plain("history_expired_messages", "Messages deleted by retention."),
            damage: self.plain(
                "history_damage",
                "Times that the store found a damaged or unreadable entry; the server log names it.",
            ),
            disk_bytes: self.plain("history_disk_bytes", "Size of the store on the disk."),
            wal_bytes: self.plain("history_wal_bytes", "Size of the store's write-ahead log."),
            wal_pinned_seconds: self.plain(
                "history_wal_pinned_seconds",
                "Time for which a reader has pinned the write-ahead log, which grows meanwhile.",
            ),
        }
    }

    pub(super) fn logs(&mut self) -> LogMetrics {
        let dropped = self.family(
            "log_lines_dropped",
            &["log"],
            Counter::default,
            "Lines dropped from a log: `server` or `message`.",
        );
        LogMetrics {
            server_dropped: dropped.get_or_create_owned(&vec![("log", "server".into())]),
            message_log_dropped: dropped.get_or_create_owned(&vec![("log", "message".into())]),
            write_errors: self.plain("log_write_errors", "Failed writes to log files."),
        }
    }

    pub(super) fn process(&mut self) -> ProcessMetrics {
        let build = Info::new(vec![("version", VERSION)]);
        self.register(
            "build",
            "info",
            &["version"],
            "The version that is running; always 1.",
            build,
        );
        let uptime_seconds = Gauge::<f64, AtomicU64>::default();
        let help = "Seconds since the process started.";
        self.register("uptime_seconds", Gauge::KIND, &[], help, uptime_seconds.clone());
        ProcessMetrics {
            started: Instant::now(),
            uptime_seconds,
            resident_bytes: self.plain("process_resident_bytes", "Resident memory of the process."),
            open_files: self.plain("process_open_files", "Open file descriptors of the process."),
        }
    }
}

pub(super) fn each<W: Word>(family: &Families<Counter>, labels: &Labels, label: &'static str) -> Counters<W> {
    let counter = |word: &W| {
        let labels = [labels.clone(), vec![(label, word.name().into())]].concat();
        family.get_or_create_owned(&labels)
    };
    Counters {
        counters: W::WORDS.iter().map(counter).collect(),
        of: PhantomData,
    }
}

/// From 4 µs, one room of a few members, to 1 s.
pub(super) fn short_times() -> Histogram {
    Histogram::new(exponential_buckets(4e-6, 4.0, 10))
}

/// From 100 µs, a commit without a sync, to 26 s.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 4.0, 10))
}

/// From 64 bytes, one small frame, to 1 MiB, the default of `flush.ring_bytes`.
pub(super) fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(64.0, 4.0, 8))
}

/// From 1 to 16,384.
pub(super) fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}
