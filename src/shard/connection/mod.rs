//! The connections of a shard: their sockets, dialects, names, queues and deadlines.
//!
//! - `state`: one connection, made of the parts `reader` (its frame reader), `write` (its output queues), `dialect` (how certain
//!   its dialect is), `naming` and `session` (its name and user), `liveness` and `deadlines` (its times), `backpressure` (when it
//!   is not read) and `retry_queue` (messages that a busy owner refused)
//! - `connections`: the table of all connections. Its methods are spread over `flow` (reading), `uncertain` (opening and detecting
//!   the dialect), `reply` (sending), `close` (writing and ending) and `timers` (deadlines)
//! - `wheel`, `pressure`, `service`: the timer wheel, the full sockets, and whether the shard still reads
//! - `notification`: what the rest of the shard must do after a change; `counts`: what the metrics get
//!
//! This module sends nothing to other shards, and knows no rooms, no store and no clock. Work for other parts leaves through
//! [`connections::Connections::poll`], and the engine passes it on.

pub(crate) mod backpressure;
mod close;
pub(crate) mod connections;
pub(crate) mod counts;
mod deadlines;
pub(crate) mod dialect;
mod flow;
mod liveness;
pub(crate) mod naming;
pub(crate) mod notification;
mod pressure;
pub(crate) mod reader;
mod reply;
pub(crate) mod retry_queue;
mod service;
pub(crate) mod session;
pub(crate) mod state;
mod timers;
mod uncertain;
pub(crate) mod wheel;
pub(crate) mod write;
