//! What a frame reader allows, and how a client violated it.

use std::borrow::Cow;

/// Bounds on the memory of a reader, and whether texts must be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Longest message in bytes, over all its fragments; a longer one is refused by its declared length.
    pub message_bytes: usize,
    /// Most fragments in one message.
    pub fragments: usize,
    /// Whether a text message must be UTF-8 (else it ends the stream with 1007).
    pub text_is_utf8: bool,
}

/// How a client broke the protocol: what to put into the close frame. The stream has ended with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// 1002 (protocol error), 1007 (not UTF-8) or 1009 (too big).
    pub code: u16,
    /// One sentence, short enough for a close frame.
    pub reason: Cow<'static, str>,
}

impl Violation {
    pub(super) fn protocol(reason: &'static str) -> Violation {
        Violation {
            code: 1002,
            reason: Cow::Borrowed(reason),
        }
    }

    pub(super) fn not_utf8(reason: &'static str) -> Violation {
        Violation {
            code: 1007,
            reason: Cow::Borrowed(reason),
        }
    }

    pub(super) fn too_big(reason: Cow<'static, str>) -> Violation {
        Violation { code: 1009, reason }
    }
}
