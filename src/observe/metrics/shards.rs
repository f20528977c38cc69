//! The metrics of a shard, in one table: field, kind, name, words. The handles and their registration are derived from it.

use std::{borrow::Cow, sync::Arc};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};

use super::{
    handles::{Counters, UNDECIDED},
    table::{Table, counts, each, short_times, sizes},
};
use crate::{chat::ErrorCode, observe::reasons::CloseReason};

macro_rules! shard_metrics {
    (
        by dialect {$($each:ident: $each_type:ty = $each_name:literal, $each_help:literal;)*}
        $($field:ident: $type:ty = $name:literal $(by $label:literal)? $(in $buckets:ident)?, $help:literal;)*
    ) => {
        /// The metrics of one dialect on one shard.
        #[derive(Debug)]
        pub struct DialectMetrics {$(
            pub $each: $each_type,
        )*}

        #[derive(Debug)]
        pub struct ShardMetrics {
            dialects: Box<[DialectMetrics]>,
            $(pub $field: $type,)*
        }

        impl Table {
            pub(super) fn shards(&mut self, shards: usize, dialects: &[&'static str]) -> Box<[Arc<ShardMetrics>]> {
                $(let $each = self.family($each_name, &["shard", "dialect"], Default::default, $each_help);)*
                $(let $field = self.family($name, &["shard" $(, $label)?], shard_metrics!(@make $($buckets)?), $help);)*
                let shard = |number: usize| {
                    let labels = vec![("shard", Cow::from(number.to_string()))];
                    let dialect = |name: &'static str| {
                        let labels = [labels.clone(), vec![("dialect", name.into())]].concat();
                        DialectMetrics { $($each: $each.get_or_create_owned(&labels),)* }
                    };
                    Arc::new(ShardMetrics {
                        dialects: dialects.iter().copied().chain([UNDECIDED]).map(dialect).collect(),
                        $($field: shard_metrics!(@handle $field, labels $(, $label)?),)*
                    })
                };
                (0..shards).map(shard).collect()
            }
        }
    };
    (@make) => { Default::default };
    (@make $buckets:ident) => { $buckets };
    (@handle $family:ident, $labels:ident) => { $family.get_or_create_owned(&$labels) };
    (@handle $family:ident, $labels:ident, $label:literal) => { each(&$family, &$labels, $label) };
}

shard_metrics! {
    by dialect {
        connections: Gauge = "connections", "Open connections.";
        opened: Counter = "connections_opened",
            "Connections opened, counted when the server knows their dialect; `undecided` counts those that closed before.";
        messages: Counter = "messages", "Messages accepted in rooms.";
    }
    closes: Counters<CloseReason> = "connections_closed" by "reason", "Connections closed, by reason.";
    sessions: Gauge = "sessions", "Sessions: connections that have a name.";
    rooms: Gauge = "rooms", "Rooms that the shard owns.";
    members: Gauge = "members", "Memberships of the shard's sessions in rooms.";
    direct_messages: Counter = "direct_messages", "Direct messages accepted.";
    refusals: Counters<ErrorCode> = "refusals" by "code", "Requests refused, by error code; `busy` means too much load.";
    backpressure_pauses: Counter = "backpressure_pauses",
        "Pauses in reading a sender of an older dialect because the server was busy (backpressure).";
    rate_limit_pauses: Counter = "rate_limit_pauses",
        "Pauses in reading a session that sent more than `chat.messages_per_second`.";
    deliveries: Counter = "deliveries", "Events written to members' sockets, counted once per member.";
    gaps: Counter = "gaps", "Gaps sent to members whose cursor fell off the ring.";
    flush_seconds: Histogram = "flush_duration_seconds" in short_times, "Duration of one flush of a room.";
    flush_batch_bytes: Histogram = "flush_batch_bytes" in sizes, "Size of the largest batch that one flush wrote to a member.";
    cursor_lag_events: Histogram = "cursor_lag_events" in counts,
        "Events by which a slow consumer was behind in a room when its full socket had room again.";
    blocked_connections: Gauge = "blocked_connections", "Connections with a full socket.";
    ring_bytes: Gauge = "ring_bytes", "Bytes in the rings of the shard's rooms.";
    waiting_bytes: Gauge = "waiting_bytes", "Bytes of replies and direct messages that wait for full sockets.";
    inbox_messages: Gauge = "inbox_messages", "Messages between shards in the shard's inbox.";
    overflow_messages: Gauge = "overflow_messages",
        "Messages between shards that do not fit into the shard's full inbox and wait at their senders.";
    inflight_bytes: Gauge = "inflight_bytes", "Bytes of events and direct messages in flight to the shard's sessions.";
    received_bytes: Counter = "received_bytes", "Bytes read from clients' sockets.";
    sent_bytes: Counter = "sent_bytes", "Bytes written to clients' sockets.";
}

impl ShardMetrics {
    /// The handles of the dialect with this index in [`crate::codec::DIALECTS`], or those of undecided connections.
    pub fn dialect(&self, index: Option<usize>) -> &DialectMetrics {
        let undecided = self.dialects.len() - 1;
        &self.dialects[index.map_or(undecided, |index| index.min(undecided))]
    }
}
