//! The output queues of one connection.
//!
//! Invariants:
//! - The order on the wire is: the rest of a torn (partially written) frame, then control frames, then replies and direct messages.
//! - At most one ping and one pong wait.
//! - Bytes leave the queues only when the socket has accepted them, and no frame is written inside another one.
//! - Empty queues cost one word.
//!
//! Events of rooms do not wait here but in the rings, except the rest of a torn one.

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire;

/// The writing side of a connection's socket.
pub(crate) trait Socket {
    /// Writes as much as fits without blocking; returns the number of bytes.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes closing the socket a reset, which drops unsent bytes.
    fn reset(&self);
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The socket is full.
    Full,
    /// The socket has failed.
    Dead,
}

/// The output queues of one connection; `None`: all are empty.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Option<Box<Queues>>);

#[derive(Debug, Default)]
struct Queues {
    /// The rest of a partially written frame, or of the frames of one event.
    torn: Bytes,
    /// Complete control frames.
    control: BytesMut,
    /// Complete frames of replies and direct messages.
    private: BytesMut,
    /// The range of the waiting pong in `control`; the next pong replaces it.
    pong: Option<(u32, u32)>,
    /// Whether a ping waits in `control`.
    ping: bool,
    /// Since when the full socket has accepted no bytes, milliseconds; `None` if it is not full.
    blocked_ms: Option<u64>,
}

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Since when the full socket has accepted no bytes, milliseconds; `None` if it is not full.
    pub(crate) fn blocked_ms(&self) -> Option<u64> {
        self.0.as_ref()?.blocked_ms
    }

    /// Bytes of replies and direct messages that wait.
    pub(crate) fn private_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queues| queues.private.len())
    }

    /// The queue of replies and direct messages, to which callers append complete frames.
    pub(crate) fn private(&mut self) -> &mut BytesMut {
        &mut self.queues().private
    }

    /// Appends a ping to the control frames, unless one waits already.
    pub(crate) fn ping(&mut self) {
        let queues = self.queues();
        if !queues.ping {
            queues.control.extend_from_slice(wire::ping(&[]).as_bytes());
            queues.ping = true;
        }
    }

    /// Appends a pong to the control frames; one that still waits is replaced (RFC 6455 section 5.5.3).
    pub(crate) fn pong(&mut self, payload: &[u8]) {
        let queues = self.queues();
        if let Some((from, to)) = queues.pong.take() {
            let rest = queues.control.split_off(to as usize);
            queues.control.truncate(from as usize);
            queues.control.unsplit(rest);
        }
        let from = queues.control.len();
        queues.control.extend_from_slice(wire::pong(payload).as_bytes());
        queues.pong = Some((from as u32, queues.control.len() as u32));
    }

    /// A write of events filled the socket: keeps the rest of a torn event. It is empty if the write ended between two events.
    pub(crate) fn tear(&mut self, rest: Bytes, now_ms: u64) {
        let queues = self.queues();
        queues.torn = rest;
        queues.blocked_ms = Some(now_ms);
    }

    /// Restores the beginning of the write timeout, after another write wrote nothing.
    pub(crate) fn stays_blocked(&mut self, since_ms: u64) {
        self.queues().blocked_ms = Some(since_ms);
    }

    /// Moves the beginning of the write timeout forward, after a stall of the shard.
    pub(super) fn discount_stall(&mut self, later: impl FnOnce(&mut u64)) {
        if let Some(blocked_ms) = self.0.as_mut().and_then(|queues| queues.blocked_ms.as_mut()) {
            later(blocked_ms);
        }
    }

    /// Writes the queues until they are empty or the socket is full. Adds the number of bytes to `count`.
    pub(crate) fn drain(&mut self, socket: &impl Socket, now_ms: u64, count: &mut u64) -> Written {
        let Some(queues) = self.0.as_mut() else {
            return Written::All;
        };
        loop {
            let bytes: &[u8] = if !queues.torn.is_empty() {
                &queues.torn
            } else if !queues.control.is_empty() {
                &queues.control
            } else if !queues.private.is_empty() {
                &queues.private
            } else {
                self.0 = None;
                return Written::All;
            };
            let (all, written) = match socket.try_write(bytes) {
                Ok(written) => (written == bytes.len(), written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (false, 0),
                Err(_) => return Written::Dead,
            };
            *count += written as u64;
            queues.take(written);
            if !all && (written > 0 || queues.blocked_ms.is_none()) {
                queues.blocked_ms = Some(now_ms);
            }
            if !all {
                return Written::Full;
            }
        }
    }

    fn queues(&mut self) -> &mut Queues {
        self.0.get_or_insert_default()
    }
}

impl Queues {
    /// Removes `written` bytes from the queue that is written next; a partially written frame becomes the torn one.
    fn take(&mut self, written: usize) {
        if written == 0 {
            return;
        }
        if !self.torn.is_empty() {
            self.torn.advance(written);
            return;
        }
        let source = if self.control.is_empty() {
            &mut self.private
        } else {
            self.pong = None;
            self.ping = false;
            &mut self.control
        };
        let boundary = frame_boundary(source, written);
        let mut taken = source.split_to(boundary);
        taken.advance(written);
        self.torn = taken.freeze();
        if source.is_empty() {
            *source = BytesMut::new();
        }
    }
}

/// The first boundary between frames at or after `at`. The frames are the server's own, so they have no mask.
fn frame_boundary(frames: &[u8], at: usize) -> usize {
    let mut boundary = 0;
    while boundary < at {
        let Some(head) = frames.get(boundary..) else { break };
        let length = match head {
            [_, 127, a, b, c, d, e, f, g, h, ..] => 10 + u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize,
            [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
            [_, short, ..] => 2 + usize::from(*short),
            _ => break,
        };
        boundary += length;
    }
    boundary.min(frames.len())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A socket with room for some bytes.
    #[derive(Default)]
    struct Narrow {
        room: Cell<usize>,
        taken: RefCell<Vec<u8>>,
    }

    impl Socket for Narrow {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.room.get());
            if written == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room.set(self.room.get() - written);
            self.taken.borrow_mut().extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn reset(&self) {}
    }

    /// A text frame as the server sends it.
    fn frame(text: &str) -> Vec<u8> {
        [&[0x81, text.len() as u8], text.as_bytes()].concat()
    }

    fn write(outgoing: &mut Outgoing, socket: &Narrow, room: usize, now_ms: u64) -> Written {
        socket.room.set(room);
        outgoing.drain(socket, now_ms, &mut 0)
    }

    #[test]
    fn a_torn_frame_goes_first_then_control_frames_then_replies() {
        let (mut outgoing, socket) = (Outgoing::default(), Narrow::default());
        outgoing.private().extend_from_slice(&frame("one"));
        outgoing.private().extend_from_slice(&frame("two"));
        assert_eq!(write(&mut outgoing, &socket, 3, 5), Written::Full);
        outgoing.ping();
        assert_eq!(write(&mut outgoing, &socket, 100, 6), Written::All);
        let expected = [frame("one"), wire::ping(&[]).as_bytes().to_vec(), frame("two")].concat();
        assert_eq!(*socket.taken.borrow(), expected);
        assert!(outgoing.is_empty());
    }

    #[test]
    fn at_most_one_ping_and_the_newest_pong_wait() {
        let (mut outgoing, socket) = (Outgoing::default(), Narrow::default());
        outgoing.pong(b"first");
        outgoing.ping();
        outgoing.ping();
        outgoing.pong(b"second");
        assert_eq!(write(&mut outgoing, &socket, 100, 0), Written::All);
        let expected = [wire::ping(&[]).as_bytes(), wire::pong(b"second").as_bytes()].concat();
        assert_eq!(*socket.taken.borrow(), expected);
    }

    #[test]
    fn a_socket_is_full_since_it_last_accepted_bytes() {
        let (mut outgoing, socket) = (Outgoing::default(), Narrow::default());
        outgoing.private().extend_from_slice(&frame("hello"));
        assert_eq!(outgoing.blocked_ms(), None);
        assert_eq!(write(&mut outgoing, &socket, 0, 10), Written::Full);
        assert_eq!(write(&mut outgoing, &socket, 0, 20), Written::Full);
        assert_eq!(outgoing.blocked_ms(), Some(10));
        assert_eq!(write(&mut outgoing, &socket, 1, 30), Written::Full);
        assert_eq!(outgoing.blocked_ms(), Some(30));
        assert_eq!(write(&mut outgoing, &socket, 100, 40), Written::All);
        assert_eq!(outgoing.blocked_ms(), None);
    }

    #[test]
    fn the_boundary_of_a_frame_of_any_length_is_found() {
        for length in [0, 125, 126, 70_000] {
            let mut frames = match length {
                0..=125 => vec![0x82, length as u8],
                126..=0xffff => [&[0x82, 126][..], &(length as u16).to_be_bytes()].concat(),
                _ => [&[0x82, 127][..], &(length as u64).to_be_bytes()].concat(),
            };
            frames.resize(frames.len() + length, b'x');
            let first = frames.len();
            frames.extend_from_slice(&frame("next"));
            assert_eq!(frame_boundary(&frames, 1), first, "{length}");
            assert_eq!(frame_boundary(&frames, first), first, "{length}");
            assert_eq!(frame_boundary(&frames, first + 1), frames.len(), "{length}");
        }
    }

    #[test]
    fn empty_queues_cost_one_word() {
        assert_eq!(size_of::<Outgoing>(), 8);
        assert!(size_of::<Queues>() <= 160, "{}", size_of::<Queues>());
    }
}
