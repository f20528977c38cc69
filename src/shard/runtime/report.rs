//! Adds a shard's counts to the metrics, once per tick.

use std::sync::Arc;

use crate::shard::{
    End,
    connection::counts::ConnectionCounts,
    engine::{Counts, Gauges},
    room::counts::RoomCounts,
    runtime::thread::Report,
};
use crate::{
    chat::ShardId,
    observe::{CloseReason, Metrics, ShardMetrics},
};

#[derive(Debug)]
pub(crate) struct Reporter {
    metrics: Arc<Metrics>,
    shard: Arc<ShardMetrics>,
}

impl Reporter {
    pub(crate) fn new(metrics: Arc<Metrics>, number: usize) -> Self {
        let shard = metrics.shards[number].clone();
        Self { metrics, shard }
    }
}

impl Report for Reporter {
    fn report(&self, _: ShardId, counts: Counts<'_>, now: &Gauges) {
        // No `..` here, so that a new count does not compile until it is reported.
        let Counts {
            rooms,
            connections,
            directs,
        } = counts;
        let RoomCounts {
            messages,
            deliveries,
            gaps,
            flushes,
            lags,
        } = rooms;
        let ConnectionCounts {
            bytes_in,
            bytes_out,
            rate_limited,
            backpressured,
            refusals,
            ends,
            opened,
            shown,
            detected,
        } = connections;
        let shard = &self.shard;
        for (dialect, count) in messages.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            shard.dialect(Some(dialect)).messages.inc_by(std::mem::take(count));
        }
        shard.deliveries.inc_by(std::mem::take(deliveries));
        shard.received_bytes.inc_by(std::mem::take(bytes_in));
        shard.sent_bytes.inc_by(std::mem::take(bytes_out));
        shard.direct_messages.inc_by(std::mem::take(directs));
        shard.rate_limit_pauses.inc_by(std::mem::take(rate_limited));
        shard.backpressure_pauses.inc_by(std::mem::take(backpressured));
        for code in refusals.drain(..) {
            shard.refusals.of(code).inc();
        }
        shard.gaps.inc_by(std::mem::take(gaps));
        for (cost_us, largest) in flushes.drain(..) {
            shard.flush_seconds.observe(cost_us as f64 / 1e6);
            shard.flush_batch_bytes.observe(largest as f64);
        }
        for lag in lags.drain(..) {
            shard.cursor_lag_events.observe(lag as f64);
        }
        for (dialect, end) in ends.drain(..) {
            shard.closes.of(reason(end)).inc();
            let handles = shard.dialect(dialect.map(usize::from));
            handles.connections.dec();
            if dialect.is_none() {
                handles.opened.inc();
            }
        }
        for dialect in opened.drain(..) {
            let handles = shard.dialect(dialect.map(usize::from));
            handles.connections.inc();
            if dialect.is_some() {
                handles.opened.inc();
            }
        }
        for (before, dialect) in shown.drain(..) {
            let handles = shard.dialect(Some(usize::from(dialect)));
            handles.connections.inc();
            shard.dialect(before.map(usize::from)).connections.dec();
            if before.is_none() {
                handles.opened.inc();
            }
        }
        for (dialect, why) in detected.drain(..) {
            self.metrics.ingress.decided(dialect.name(), why);
        }
        shard.rooms.set(now.rooms as i64);
        shard.members.set(now.members as i64);
        shard.blocked_connections.set(now.blocked as i64);
        shard.inflight_bytes.set(now.inflight_bytes as i64);
        shard.sessions.set(now.sessions as i64);
        shard.ring_bytes.set(now.ring_bytes as i64);
        shard.waiting_bytes.set(now.waiting_bytes as i64);
        shard.inbox_messages.set(now.inbox as i64);
        shard.overflow_messages.set(now.overflow as i64);
    }
}

/// The label of an end in the metrics.
const fn reason(end: End) -> CloseReason {
    match end {
        End::Peer => CloseReason::ClosedByClient,
        End::Exit => CloseReason::Exit,
        End::Violation => CloseReason::ProtocolError,
        End::NotUtf8 => CloseReason::NotUtf8,
        End::TooLarge => CloseReason::TooLarge,
        End::Unfinished => CloseReason::Unfinished,
        End::Refused => CloseReason::Malformed,
        End::Timeout => CloseReason::Dead,
        End::Idle => CloseReason::Idle,
        End::WriteTimeout => CloseReason::WriteTimeout,
        End::Slow | End::Overrun => CloseReason::SlowConsumer,
        End::Busy => CloseReason::BusyTooLong,
        End::Draining => CloseReason::Drain,
        End::Disconnected => CloseReason::Kicked,
        End::Reset | End::Lingered => CloseReason::Vanished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DIALECTS, DialectId};

    #[test]
    fn a_connection_is_undecided_until_its_dialect_is_found() {
        let metrics = Metrics::new(1, &DIALECTS.map(DialectId::name));
        let reporter = Reporter::new(metrics.clone(), 0);
        let mut counts = ConnectionCounts::default();
        let tutorial = DialectId::Tutorial;
        let mut open = |change: fn(&mut ConnectionCounts)| {
            change(&mut counts);
            let counts = Counts {
                connections: &mut counts,
                rooms: &mut RoomCounts::default(),
                directs: &mut 0,
            };
            reporter.report(ShardId(0), counts, &Gauges::default());
            [None, Some(tutorial)].map(|dialect| {
                let handles = metrics.shards[0].dialect(dialect.map(usize::from));
                (handles.connections.get(), handles.opened.get())
            })
        };
        assert_eq!(open(|counts| counts.opened.extend([None, None])), [(2, 0), (0, 0)]);
        assert_eq!(
            open(|counts| counts.shown.push((None, DialectId::Tutorial))),
            [(1, 0), (1, 1)]
        );
        let ended = open(|counts| {
            counts
                .ends
                .extend([(None, End::Peer), (Some(DialectId::Tutorial), End::Peer)]);
        });
        assert_eq!(ended, [(0, 1), (0, 1)], "one ended before");
    }
}
