//! What the server lets its operator see: logs, metrics, health. Nothing of the chat depends on what happens here.

mod metrics;
mod reasons;

pub use metrics::{
    CONTENT_TYPE, Counters, Described, DialectMetrics, HistoryMetrics, IngressMetrics, LogMetrics, Metrics,
    ShardMetrics, UNDECIDED,
};
pub use reasons::{CloseReason, Decider, Reason, RejectReason};
