//! Handles of metrics: what each part of the server counts.
//!
//! A handle costs one relaxed atomic per update; a histogram costs a lock that only a scrape contends for.

use std::{borrow::Cow, fmt, fs, marker::PhantomData, sync::atomic::AtomicU64, time::Instant};

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};

use crate::{
    chat::ErrorCode,
    codec::detect::Why,
    observe::reasons::{CloseReason, Reason, RejectReason},
};

/// What one shard counts.
#[derive(Debug)]
pub struct ShardMetrics {
    pub(super) dialects: Box<[DialectMetrics]>,
    /// Sessions, which are named connections.
    pub sessions: Gauge,
    /// Rooms that this shard owns.
    pub rooms: Gauge,
    /// Memberships of this shard's sessions.
    pub members: Gauge,
    /// Frames of events given to members' sockets.
    pub deliveries: Counter,
    /// Direct messages accepted.
    pub direct_messages: Counter,
    /// Requests refused, by code.
    pub refusals: Counters<ErrorCode>,
    /// Pauses in reading a sender of an older dialect because the server was busy.
    pub backpressure_pauses: Counter,
    /// Pauses in reading a session because of its rate limit.
    pub rate_limit_pauses: Counter,
    /// Connections ended, by reason.
    pub closes: Counters<CloseReason>,
    /// Gaps sent to members whose cursor fell off the ring.
    pub gaps: Counter,
    /// How long one flush of a room took, in seconds.
    pub flush_seconds: Histogram,
    /// Bytes of the largest batch that one flush wrote to a member.
    pub flush_batch_bytes: Histogram,
    /// How many events a slow consumer was behind in a room when its socket had room again.
    pub cursor_lag_events: Histogram,
    /// Connections whose socket is full.
    pub blocked_connections: Gauge,
    /// Bytes in the rings of this shard.
    pub ring_bytes: Gauge,
    /// Bytes that wait for full sockets.
    pub waiting_bytes: Gauge,
    /// Messages in this shard's inbox.
    pub inbox_messages: Gauge,
    /// Messages that do not fit this shard's full inbox and wait at their senders.
    pub overflow_messages: Gauge,
    /// In-flight bytes of events and direct messages to this shard's sessions.
    pub inflight_bytes: Gauge,
    /// Bytes read from sockets.
    pub received_bytes: Counter,
    /// Bytes written to sockets.
    pub sent_bytes: Counter,
}

/// What one shard counts of one dialect.
#[derive(Debug)]
pub struct DialectMetrics {
    /// Open connections.
    pub connections: Gauge,
    /// Connections opened, counted when their dialect is known or they end.
    pub opened: Counter,
    /// Messages accepted in rooms.
    pub messages: Counter,
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
    /// Connections that the limit of open files allows.
    pub connections_limit: Gauge,
    /// Requests that did not become connections, by reason.
    pub rejects: Counters<RejectReason>,
    pub(super) detections: Family<Labels, Counter>,
}

/// The store.
#[derive(Debug)]
pub struct HistoryMetrics {
    /// How long one commit took, in seconds.
    pub commit_seconds: Histogram,
    /// Messages in one commit.
    pub commit_messages: Histogram,
    /// Commits that failed.
    pub commit_failures: Counter,
    /// Messages that wait for their commit.
    pub queue_messages: Gauge,
    /// Messages deleted by retention.
    pub expired_messages: Counter,
    /// Times that something stored was found damaged.
    pub damage: Counter,
    /// Bytes of the store on the disk.
    pub disk_bytes: Gauge,
    /// Bytes of its write-ahead log.
    pub wal_bytes: Gauge,
    /// How long a reader has pinned the write-ahead log, so that it grows.
    pub wal_pinned_seconds: Gauge,
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
    /// As scraped.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is.
    pub help: &'static str,
}

pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

impl ShardMetrics {
    /// The handles of the dialect with this index in [`crate::codec::DIALECTS`], or those of undecided connections.
    pub fn dialect(&self, index: Option<usize>) -> &DialectMetrics {
        let undecided = self.dialects.len() - 1;
        &self.dialects[index.map_or(undecided, |index| index.min(undecided))]
    }
}

impl IngressMetrics {
    /// Counts what decided the dialect of a connection.
    pub fn decided(&self, dialect: &'static str, by: Why) {
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

/// The dialect of a connection that has not shown which it speaks.
pub const UNDECIDED: &str = "undecided";
