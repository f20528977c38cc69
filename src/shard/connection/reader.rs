//! The frame reader of a connection, and whether it reads.
//!
//! Invariants: a reader that is in use cannot be taken again, so the handling of a message never reads the next one; after the
//! end nothing is read. A pause stores no reason, because reasons change: [`Connection::pause`](super::state::Connection::pause)
//! finds the current one.

use crate::{
    codec::Profile,
    limits,
    wire::{FrameReader, ReaderLimits},
};

#[derive(Debug)]
pub(super) enum Reader {
    On(FrameReader),
    Paused(FrameReader),
    /// The reader has been taken and reads bytes.
    InUse,
    /// The connection is being closed, and further bytes are discarded.
    Over,
}

/// What the runtime must do with a connection's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Read.
    On,
    /// Wait for an [`IoRequest::Read`](super::notification::IoRequest::Read).
    Paused,
    /// Read and discard until the peer closes.
    Discard,
    /// The connection has ended.
    Over,
}

impl Reader {
    /// Takes the reader, unless it is in use or the connection is closed.
    pub(super) fn take(&mut self) -> Option<FrameReader> {
        match std::mem::replace(self, Self::InUse) {
            Self::On(reader) | Self::Paused(reader) => Some(reader),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Puts back the reader that was taken, unless the connection was closed meanwhile.
    pub(super) fn put(&mut self, reader: FrameReader, paused: bool) {
        if let Self::InUse = self {
            *self = if paused { Self::Paused(reader) } else { Self::On(reader) };
        }
    }

    pub(super) fn pause(&mut self) {
        if let Some(reader) = self.take() {
            self.put(reader, true);
        }
    }

    pub(super) fn resume(&mut self) {
        if let Some(reader) = self.take() {
            self.put(reader, false);
        }
    }

    pub(super) fn end(&mut self) {
        *self = Self::Over;
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self, Self::Paused(_))
    }

    pub(super) fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    #[cfg(test)]
    pub(super) fn buffered_bytes(&self) -> usize {
        match self {
            Self::On(reader) | Self::Paused(reader) => reader.buffered_bytes(),
            Self::InUse | Self::Over => 0,
        }
    }

    /// Sets the limits of a detected dialect. A reader in use gets them when it is put back.
    pub(super) fn set_limits(&mut self, to: ReaderLimits) {
        match self {
            Self::On(reader) | Self::Paused(reader) => reader.set_limits(to),
            Self::InUse | Self::Over => {}
        }
    }
}

/// The reader's limits for a dialect.
pub(crate) fn limits_of(profile: &Profile) -> ReaderLimits {
    ReaderLimits {
        message_bytes: profile.message_bytes,
        fragments: limits::MESSAGE_FRAGMENTS,
        text_is_utf8: profile.text_is_utf8,
    }
}

/// The reader's limits while the dialect is unknown. It may be any dialect but the native one.
pub(crate) const UNDECIDED_LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: limits::NATIVE_MESSAGE_BYTES,
    fragments: limits::MESSAGE_FRAGMENTS,
    text_is_utf8: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_taken_once_and_is_not_put_back_after_the_end() {
        let mut reader = Reader::On(FrameReader::new(UNDECIDED_LIMITS));
        let taken = reader.take().unwrap();
        assert!(reader.take().is_none(), "it is in use");
        reader.pause();
        assert!(!reader.is_paused(), "there is nothing to pause");
        reader.put(taken, true);
        assert!(reader.is_paused() && !reader.is_on());
        reader.resume();
        assert!(reader.is_on());
        let taken = reader.take().unwrap();
        reader.end();
        reader.put(taken, false);
        assert!(reader.take().is_none() && !reader.is_on());
    }
}
