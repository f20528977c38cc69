//! The frame reader of a connection, and whether it may be used.
//!
//! Invariants: a reader is in one place at a time, so that a message is not read inside another one of the same connection;
//! and after the end nothing is read. Why a paused reader does not go on is not remembered, since the reasons change
//! meanwhile: [`Connection::pause`](super::state::Connection::pause) finds the one that holds now.

use crate::{
    codec::Profile,
    limits,
    wire::{FrameReader, ReaderLimits},
};

#[derive(Debug)]
pub(super) enum Reader {
    /// The socket is read.
    On(FrameReader),
    /// The socket is not read until there is room again.
    Paused(FrameReader),
    /// Bytes are being read at this moment.
    InHand,
    /// The connection is closed: what comes is thrown away.
    Over,
}

/// What a reader of a socket is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Read on.
    On,
    /// Wait until the engine wakes the connection.
    Paused,
    /// Read on and throw it away, until the peer closes.
    Discard,
    /// The connection is over.
    Over,
}

impl Reader {
    /// Takes the reader to read bytes with it.
    pub(super) fn take(&mut self) -> Option<FrameReader> {
        match std::mem::replace(self, Self::InHand) {
            Self::On(reader) | Self::Paused(reader) => Some(reader),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Puts back the reader that was taken, unless the connection was closed meanwhile.
    pub(super) fn put(&mut self, reader: FrameReader, paused: bool) {
        if let Self::InHand = self {
            *self = if paused { Self::Paused(reader) } else { Self::On(reader) };
        }
    }

    /// Stops reading the socket.
    pub(super) fn pause(&mut self) {
        if let Some(reader) = self.take() {
            self.put(reader, true);
        }
    }

    /// Reads the socket again.
    pub(super) fn resume(&mut self) {
        if let Some(reader) = self.take() {
            self.put(reader, false);
        }
    }

    /// The connection is closed.
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
            Self::InHand | Self::Over => 0,
        }
    }

    /// The dialect is known from here on. A reader that is in hand is told when it is put back.
    pub(super) fn set_limits(&mut self, to: ReaderLimits) {
        match self {
            Self::On(reader) | Self::Paused(reader) => reader.set_limits(to),
            Self::InHand | Self::Over => {}
        }
    }
}

/// How the messages of a dialect are read.
pub(crate) fn limits_of(profile: &Profile) -> ReaderLimits {
    ReaderLimits {
        message_bytes: profile.message_bytes,
        fragments: limits::MESSAGE_FRAGMENTS,
        text_is_utf8: profile.text_is_utf8,
    }
}

/// How messages of an undecided connection are read: it may be any dialect but Plaza's own.
pub(crate) const UNDECIDED_LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: limits::NATIVE_MESSAGE_BYTES,
    fragments: limits::MESSAGE_FRAGMENTS,
    text_is_utf8: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_in_one_place_and_is_not_put_back_after_the_end() {
        let mut reader = Reader::On(FrameReader::new(UNDECIDED_LIMITS));
        let taken = reader.take().expect("it is read");
        assert!(reader.take().is_none(), "a message is not read inside another one");
        reader.pause();
        assert!(!reader.is_paused(), "there is nothing to pause");
        reader.put(taken, true);
        assert!(reader.is_paused() && !reader.is_on());
        reader.resume();
        assert!(reader.is_on());
        let taken = reader.take().expect("it is read");
        reader.end();
        reader.put(taken, false);
        assert!(reader.take().is_none() && !reader.is_on());
    }
}
