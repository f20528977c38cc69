//! The limits of a frame reader, and violations of the protocol.

use std::borrow::Cow;

/// Bounds on the memory of a reader, and whether texts must be UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// The longest message in bytes, over all its fragments. A longer one is refused by its declared length.
    pub message_bytes: usize,
    /// Most fragments in one message.
    pub fragments: usize,
    /// Whether a text message must be UTF-8 (otherwise 1007).
    pub text_is_utf8: bool,
}

/// A violation of the protocol, which ends the stream, as the content of a close frame.
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
