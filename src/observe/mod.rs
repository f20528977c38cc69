//! What the server lets its operator see: logs, metrics, health. Nothing of the chat depends on what happens here.

mod clock;
mod metrics;
mod reasons;
mod rotate;
mod talklog;

pub use clock::{WallClock, rfc3339, system_clock};
pub use metrics::{
    CONTENT_TYPE, Counters, Described, DialectMetrics, HistoryMetrics, IngressMetrics, LogMetrics, Metrics,
    ShardMetrics, UNDECIDED,
};
pub use reasons::{CloseReason, Decider, Reason, RejectReason};
pub use rotate::{RotatingFile, Rotation, RotationControl};
pub use talklog::{TalkLog, TalkLogThread};
