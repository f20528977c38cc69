//! The table of metrics: names, labels, words of explanation.

use std::{
    borrow::Cow,
    marker::PhantomData,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use super::handles::{
    Counters, Described, DialectMetrics, HistoryMetrics, IngressMetrics, Labels, LogMetrics, ProcessMetrics,
    ShardMetrics, UNDECIDED,
};
use crate::{observe::reasons::Reason, version::VERSION};

/// Registers metrics and notes what each one is.
pub(super) struct Table {
    pub(super) registry: Registry,
    pub(super) described: Vec<Described>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::with_prefix("plaza"),
            described: Vec::new(),
        }
    }

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

    pub(super) fn shards(&mut self, shards: usize, dialects: &[&'static str]) -> Box<[Arc<ShardMetrics>]> {
        const SHARD: &[&str] = &["shard"];
        const DIALECT: &[&str] = &["shard", "dialect"];
        let connections = self.gauges("connections", DIALECT, "Open connections.");
        let opened = self.counters("connections_opened", DIALECT, "Connections opened, counted when the server knows their dialect; `undecided` counts those that ended before.");
        let closed = self.counters(
            "connections_closed",
            &["shard", "reason"],
            "Connections closed, by reason.",
        );
        let sessions = self.gauges("sessions", SHARD, "Sessions: connections that have a name.");
        let rooms = self.gauges("rooms", SHARD, "Rooms that the shard owns.");
        let members = self.gauges("members", SHARD, "Memberships of the shard's sessions in rooms.");
        let messages = self.counters("messages", DIALECT, "Messages accepted in rooms.");
        let direct_messages = self.counters("direct_messages", SHARD, "Direct messages accepted.");
        let refusals = self.counters(
            "refusals",
            &["shard", "code"],
            "Requests refused, by error code; `busy` means load.",
        );
        let backpressure_pauses = self.counters(
            "backpressure_pauses",
            SHARD,
            "Pauses in reading a sender of an older dialect because the server was busy (backpressure).",
        );
        let rate_limit_pauses = self.counters(
            "rate_limit_pauses",
            SHARD,
            "Pauses in reading a session that sent more than `chat.messages_per_second`.",
        );
        let deliveries = self.counters(
            "deliveries",
            SHARD,
            "Events written to members' sockets, counted once per member.",
        );
        let gaps = self.counters("gaps", SHARD, "Gaps sent to members whose cursor fell off the ring.");
        let flush = self.histograms(
            "flush_duration_seconds",
            short_times,
            "Duration of one flush of a room.",
        );
        let batch = self.histograms(
            "flush_batch_bytes",
            sizes,
            "Size of the largest batch that one flush wrote to a member.",
        );
        let lag = self.histograms(
            "cursor_lag_events",
            counts,
            "Events by which a slow consumer was behind in a room when its full socket had room again.",
        );
        let blocked = self.gauges("blocked_connections", SHARD, "Connections with a full socket.");
        let rings = self.gauges("ring_bytes", SHARD, "Bytes in the rings of the shard's rooms.");
        let waiting = self.gauges(
            "waiting_bytes",
            SHARD,
            "Bytes of replies and direct messages that wait for full sockets.",
        );
        let inbox = self.gauges("inbox_messages", SHARD, "Messages between shards in the shard's inbox.");
        let overflow = self.gauges(
            "overflow_messages",
            SHARD,
            "Messages between shards that do not fit into the shard's full inbox and wait at their senders.",
        );
        let inflight = self.gauges(
            "inflight_bytes",
            SHARD,
            "Bytes of events and direct messages in flight to the shard's sessions.",
        );
        let received = self.counters("received_bytes", SHARD, "Bytes read from clients' sockets.");
        let sent = self.counters("sent_bytes", SHARD, "Bytes written to clients' sockets.");

        let shard = |number: usize| {
            let label = || vec![("shard", Cow::from(number.to_string()))];
            let dialect = |name: &'static str| {
                let labels = [label(), vec![("dialect", name.into())]].concat();
                DialectMetrics {
                    connections: connections.get_or_create_owned(&labels),
                    opened: opened.get_or_create_owned(&labels),
                    messages: messages.get_or_create_owned(&labels),
                }
            };
            Arc::new(ShardMetrics {
                dialects: dialects.iter().copied().chain([UNDECIDED]).map(dialect).collect(),
                sessions: sessions.get_or_create_owned(&label()),
                rooms: rooms.get_or_create_owned(&label()),
                members: members.get_or_create_owned(&label()),
                deliveries: deliveries.get_or_create_owned(&label()),
                direct_messages: direct_messages.get_or_create_owned(&label()),
                refusals: each(&refusals, &label(), "code"),
                backpressure_pauses: backpressure_pauses.get_or_create_owned(&label()),
                rate_limit_pauses: rate_limit_pauses.get_or_create_owned(&label()),
                closes: each(&closed, &label(), "reason"),
                gaps: gaps.get_or_create_owned(&label()),
                flush_seconds: flush.get_or_create_owned(&label()),
                flush_batch_bytes: batch.get_or_create_owned(&label()),
                cursor_lag_events: lag.get_or_create_owned(&label()),
                blocked_connections: blocked.get_or_create_owned(&label()),
                ring_bytes: rings.get_or_create_owned(&label()),
                waiting_bytes: waiting.get_or_create_owned(&label()),
                inbox_messages: inbox.get_or_create_owned(&label()),
                overflow_messages: overflow.get_or_create_owned(&label()),
                inflight_bytes: inflight.get_or_create_owned(&label()),
                received_bytes: received.get_or_create_owned(&label()),
                sent_bytes: sent.get_or_create_owned(&label()),
            })
        };
        (0..shards).map(shard).collect()
    }

    pub(super) fn ingress(&mut self) -> IngressMetrics {
        let rejects = self.counters(
            "handshakes_rejected",
            &["reason"],
            "HTTP requests that did not become connections, by reason.",
        );
        IngressMetrics {
            accepted: self.counter("accepted", "Sockets accepted."),
            accept_errors: self.counter("accept_errors", "Accepts that failed."),
            accept_backoffs: self.counter(
                "accept_backoffs",
                "Pauses of the acceptor because there were `plaza_connections_limit` connections, or because descriptors or memory had run out.",
            ),
            connections_limit: self.gauge(
                "connections_limit",
                "Connections that the limit of open files allows, without those reserved for health checks, store and logs.",
            ),
            rejects: each(&rejects, &Vec::new(), "reason"),
            detections: self.counters(
                "dialects_decided",
                &["dialect", "by"],
                "Connections whose dialect is known, by what decided it.",
            ),
        }
    }

    pub(super) fn history(&mut self) -> HistoryMetrics {
        HistoryMetrics {
            commit_seconds: self.histogram("history_commit_duration_seconds", times, "Duration of one commit."),
            commit_messages: self.histogram("history_commit_messages", counts, "Messages in one commit."),
            commit_failures: self.counter(
                "history_commit_failures",
                "Failed commits; the senders got `store_failed`.",
            ),
            queue_messages: self.gauge("history_queue_messages", "Messages that wait for their commit."),
            expired_messages: self.counter("history_expired_messages", "Messages deleted by retention."),
            damage: self.counter(
                "history_damage",
                "Times that the store found a damaged or unreadable entry; the server log names it.",
            ),
            disk_bytes: self.gauge("history_disk_bytes", "Size of the store on the disk."),
            wal_bytes: self.gauge("history_wal_bytes", "Size of the store's write-ahead log."),
            wal_pinned_seconds: self.gauge(
                "history_wal_pinned_seconds",
                "Time for which a reader has prevented the reuse of the write-ahead log, which grows meanwhile.",
            ),
        }
    }

    pub(super) fn logs(&mut self) -> LogMetrics {
        let dropped = self.counters(
            "log_lines_dropped",
            &["log"],
            "Lines dropped from the server log or the talk log.",
        );
        LogMetrics {
            server_dropped: dropped.get_or_create_owned(&vec![("log", "server".into())]),
            talk_dropped: dropped.get_or_create_owned(&vec![("log", "talk".into())]),
            write_errors: self.counter("log_write_errors", "Failed writes to log files."),
        }
    }

    pub(super) fn process(&mut self) -> ProcessMetrics {
        let build = Info::new(vec![("version", VERSION)]);
        self.registry.register("build", "What is running", build);
        self.describe("build", "info", &["version"], "What is running; always 1.");
        let uptime_seconds = Gauge::<f64, AtomicU64>::default();
        self.registry.register(
            "uptime_seconds",
            "Seconds since the process started",
            uptime_seconds.clone(),
        );
        self.describe("uptime_seconds", "gauge", &[], "Seconds since the process started.");
        ProcessMetrics {
            started: Instant::now(),
            uptime_seconds,
            resident_bytes: self.gauge("process_resident_bytes", "Resident memory of the process."),
            open_files: self.gauge("process_open_files", "Open file descriptors of the process."),
        }
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
