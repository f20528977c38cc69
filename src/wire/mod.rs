//! The WebSocket protocol (RFC 6455): bytes to messages and control frames, and back.
//!
//! - [`handshake`]: whether a request becomes a WebSocket, and the response if it does not
//! - [`origin`]: which pages may connect
//! - [`reader`]: decodes a client's frames as bytes arrive
//! - [`writer`]: control frames, and the head of every data frame
//!
//! This module never does I/O, reads a clock or knows about the chat. No input from a peer makes it panic, or allocate for bytes that
//! were only announced. It tolerates no violation of the protocol.

pub mod handshake;
mod head;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod masked;
pub mod origin;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod reader;
mod rules;
pub mod writer;

pub use reader::{Flow, FrameReader, Incoming, Message, Progress};
pub use rules::{ReaderLimits, Violation};
pub use writer::{close, close_answer, ping, pong};
