//! Observability: logs, metrics, health.
//!
//! Invariant: the chat never waits for these, and behaves the same whether they work or not.

mod alive;
mod clock;
mod health;
mod logs;
mod message_log;
mod metrics;
mod reasons;
mod rotate;

pub use alive::{Alive, Need, Watch};
pub(crate) use clock::Ageing;
pub use clock::{Clocks, rfc3339};
pub use health::{Failures, Readiness, ServerPhase};
pub(crate) use logs::log_files_fix;
pub use logs::{LogFormat, LogSettings, Logs};
pub use message_log::{MessageLog, MessageLogThread};
pub use metrics::{
    CONTENT_TYPE, Counters, Described, DialectMetrics, HistoryMetrics, IngressMetrics, LogMetrics, Metrics,
    ShardMetrics, UNDECIDED,
};
pub use reasons::{CloseReason, RejectReason};
pub use rotate::{RotatingFile, Rotation, RotationControl};
