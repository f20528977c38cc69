//! What is wrong with a message of a client.

use crate::chat::{Refusal, RequestId};

/// What is wrong with a message, and what its sender gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An error in the dialect's own words (the codec's `encode` is given `Reply::Error`); the connection goes on.
    Refused(RequestId, Refusal),
    /// The dialect has no words for it: the connection is closed with this code and reason.
    Close(u16, &'static str),
}
