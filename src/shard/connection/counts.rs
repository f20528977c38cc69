//! Counts of a shard's connections, which the metrics get once per tick.

use crate::{
    chat::ErrorCode,
    codec::{DialectId, detect::Why},
    shard::End,
};

/// Counts since the last tick.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Pauses because of the rate limit.
    pub(crate) rate_limited: u64,
    /// Pauses because the owner of a room was busy.
    pub(crate) backpressured: u64,
    pub(crate) refusals: Vec<ErrorCode>,
    /// Connections that ended, with the dialect if it was known.
    pub(crate) ends: Vec<(Option<DialectId>, End)>,
    /// New connections, with the dialect if the handshake shows it.
    pub(crate) opened: Vec<Option<DialectId>>,
    /// Connections whose dialect was detected or corrected: the dialect before and after.
    pub(crate) shown: Vec<(Option<DialectId>, DialectId)>,
    /// Dialects of connections on plain `/ws`, with the evidence.
    pub(crate) detected: Vec<(DialectId, Why)>,
}
