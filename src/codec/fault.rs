//! Faults of messages that cannot be decoded.

use crate::chat::{Refusal, RequestId};

/// The answer to a message that cannot be decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An error, which the codec encodes as `Reply::Error`; the connection stays open.
    Refused(RequestId, Refusal),
    /// A close with this code and reason, because the format has no errors.
    Close(u16, &'static str),
}
