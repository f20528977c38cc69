//! RFC 6455. Pure: bytes in, messages and control frames out, and the other way round.
//!
//! - [`handshake`]: whether a request becomes a WebSocket, and if not, what it is answered
//! - [`origin`]: which pages may connect
//! - [`reader`]: bytes as they come off the socket → messages and control frames, strictly
//! - [`writer`]: control frames, and the head of every frame that is sent
//!
//! Nothing here does I/O, reads a clock or knows of the chat. Nothing here panics on what a peer sends, allocates for
//! bytes that a peer only promised, or forgives a break of the protocol.

pub mod handshake;
mod head;
pub mod origin;
#[cfg(any(test, fuzzing))]
pub mod properties;
pub mod reader;
mod rules;
pub mod writer;

pub use reader::{Flow, FrameReader, Incoming, Message, Progress};
pub use rules::{ReaderLimits, Violation};
pub use writer::{close, close_answer, ping, pong};
