//! Reading: from bytes to the requests of one message at a time, and the decision whether to read the next message.
//!
//! Invariants:
//! - After each message, [`Connections::flow`] decides whether reading goes on; the reader keeps the bytes that are not read.
//! - Whatever ends a pause resumes the connection: an answer, a write, a tick of the wheel, or less overflow.
//! - The bounds of the dialect also hold for the first message, which is read before the dialect is known.
//!
//! This file carries out no request: the engine does, between two messages.

use crate::{
    chat::{ErrorCode, Reply, Request, SessionId},
    codec::{Fault, Message},
    shard::{
        End,
        connection::{
            backpressure::{Load, Pause},
            connections::Connections,
            notification::IoRequest,
            reader::{Reading, limits_of},
            write::Socket,
        },
        time::Moment,
    },
    wire::{FrameReader, Progress, Violation},
};

/// A frame reader that has been taken from its connection to read bytes.
#[derive(Debug)]
pub(crate) struct ActiveRead {
    pub(crate) reader: FrameReader,
    /// Whether the dialect was uncertain when the read began.
    undecided: bool,
    /// Whether the read finished a message.
    pub(crate) finished: bool,
}

impl<S: Socket> Connections<S> {
    /// What the runtime does with a connection's socket.
    pub(crate) fn reading(&self, id: SessionId) -> Reading {
        match self.get(id) {
            None => Reading::Over,
            Some(connection) if connection.is_paused() => Reading::Paused,
            Some(connection) if !connection.reader.is_on() => Reading::Discard,
            Some(_) => Reading::On,
        }
    }

    /// Bytes arrived from the socket.
    pub(crate) fn heard(&mut self, id: SessionId, bytes: usize, now: Moment) {
        self.counts().bytes_in += bytes as u64;
        if let Some(connection) = self.get_mut(id) {
            connection.liveness.heard(now.ms);
        }
    }

    /// Takes the reader of a connection.
    ///
    /// # Errors
    /// If it cannot be taken: what the runtime does with the socket.
    pub(crate) fn begin_read(&mut self, id: SessionId) -> Result<ActiveRead, Reading> {
        let connection = self.get_mut(id).ok_or(Reading::Over)?;
        let undecided = connection.speaking().is_none() || connection.is_uncertain();
        let reader = connection.reader.take().ok_or(Reading::Discard)?;
        Ok(ActiveRead {
            reader,
            undecided,
            finished: false,
        })
    }

    /// Puts the reader back after a read with this outcome.
    pub(crate) fn end_read(
        &mut self,
        id: SessionId,
        hand: ActiveRead,
        outcome: Result<Progress, Violation>,
        now: Moment,
    ) -> Reading {
        let ActiveRead {
            mut reader,
            undecided,
            finished,
        } = hand;
        let limits = self.profile(id).map(limits_of);
        let Some(connection) = self.get_mut(id) else {
            return Reading::Over;
        };
        if connection.is_closing() {
            return Reading::Discard;
        }
        if undecided
            && !connection.is_uncertain()
            && let Some(limits) = limits
        {
            reader.set_limits(limits);
        }
        match outcome {
            Ok(Progress::NeedMore | Progress::Closed) => {
                let begins = connection
                    .liveness
                    .note_unfinished(reader.is_unfinished(), finished, now.ms);
                connection.reader.put(reader, false);
                if begins {
                    self.schedule(id, now);
                }
                Reading::On
            }
            Ok(Progress::Paused) => {
                connection.reader.put(reader, true);
                Reading::Paused
            }
            Err(violation) => {
                let end = match violation.code {
                    1007 => End::NotUtf8,
                    1009 => End::TooLarge,
                    _ => End::Violation,
                };
                if end == End::TooLarge {
                    self.explain_too_long(id, now);
                }
                self.close(id, violation.code, &violation.reason, end, now);
                Reading::Discard
            }
        }
    }

    /// Resumes a paused connection if no reason for a pause is left. Returns whether to read: first the bytes in the reader, then
    /// the socket.
    pub(crate) fn resume(&mut self, id: SessionId, congested: bool, now: Moment) -> bool {
        if !self.get(id).is_some_and(|connection| connection.is_paused()) || self.flow(id, congested, now).is_some() {
            return false;
        }
        let Some(connection) = self.get_mut(id) else {
            return false;
        };
        connection.reader.resume();
        connection.restart_silence(now.ms);
        true
    }

    /// The reader has no bytes left: asks the runtime to read the socket.
    pub(crate) fn wake(&mut self, id: SessionId) {
        self.request_io(IoRequest::Read(id));
    }

    /// The reason to pause this connection; arranges that the pause ends. `congested`: the shard has too much overflow.
    pub(crate) fn flow(&mut self, id: SessionId, congested: bool, now: Moment) -> Option<Pause> {
        let load = Load {
            quiesced: self.service().is_quiesced(),
            congested,
            private_most: self.private_most(),
            message_rate: self.settings().message_rate.get(),
            now_us: now.us,
        };
        let Some(connection) = self.get(id) else {
            return Some(Pause::Closing);
        };
        let (pause, was_paused) = (connection.pause(&load), connection.is_paused());
        match pause {
            Some(Pause::RateLimit) => {
                // A tick of the wheel resumes it.
                self.schedule(id, now);
                if !was_paused {
                    self.counts().rate_limited += 1;
                }
            }
            Some(Pause::Congested) => self.note_congested(id),
            _ => {}
        }
        pause
    }

    /// A ping has arrived: queues a pong.
    pub(crate) fn answer_ping(&mut self, id: SessionId, payload: &[u8]) {
        if let Some(connection) = self.get_mut(id) {
            connection.outgoing.pong(payload);
            self.mark_dirty(id);
        }
    }

    /// Decodes a message to its requests, and a fault if it is invalid from some point on. The caller returns the requests' memory
    /// with [`Connections::reuse`].
    pub(crate) fn decode(&mut self, id: SessionId, message: Message<'_>, now: Moment) -> (Vec<Request>, Option<Fault>) {
        let most = self.profile(id).map_or(usize::MAX, |profile| profile.message_bytes);
        let mut requests = std::mem::take(self.request_buffer());
        if message.bytes().len() > most {
            // The reader had no limit yet, because the dialect was unknown.
            self.explain_too_long(id, now);
            self.close(id, 1009, "the message is too long", End::TooLarge, now);
            return (requests, None);
        }
        let speaking = self.get_mut(id).and_then(|connection| connection.speaking_mut());
        let decoded = speaking.map(|speaking| speaking.with_codec(|codec| codec.decode(message, &mut requests)));
        (requests, decoded.and_then(Result::err))
    }

    /// Takes back the memory of requests that have been carried out.
    pub(crate) fn reuse(&mut self, requests: Vec<Request>) {
        *self.request_buffer() = requests;
    }

    /// Sends a legacy client an error before its connection is closed, because its pages show no close code.
    fn explain_too_long(&mut self, id: SessionId, now: Moment) {
        if self.is_native(id) {
            return;
        }
        let Some(most) = self.profile(id).map(|profile| profile.message_bytes) else {
            return;
        };
        let text =
            format!("the message is longer than {most} bytes and was not sent; connect again and send it in parts");
        self.guess_dialect(id, now);
        self.reply(id, None, &Reply::Error(ErrorCode::Invalid.because(text)), now);
        self.encode_pending(id, now);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shard::testing::{FakeSocket, TestClock};

    #[test]
    fn a_congested_connection_is_read_again_when_the_overflow_is_smaller() {
        let mut connections = Connections::for_test();
        let id = connections.open_for_test(Rc::new(FakeSocket::new(TestClock::default())));
        let now = Moment::default();
        let hand = connections.begin_read(id).unwrap();
        assert_eq!(
            connections.begin_read(id).unwrap_err(),
            Reading::Discard,
            "the reader is in use"
        );
        assert_eq!(connections.flow(id, true, now), Some(Pause::Congested));
        assert_eq!(
            connections.end_read(id, hand, Ok(Progress::Paused), now),
            Reading::Paused
        );
        assert_eq!(connections.take_congested(), [id]);
        assert!(!connections.resume(id, true, now), "still congested");
        assert_eq!(connections.take_congested(), [id], "it is in the list again");
        assert!(connections.resume(id, false, now));
        assert_eq!(connections.reading(id), Reading::On);
    }

    #[test]
    fn the_bounds_of_a_dialect_hold_for_the_first_message() {
        let mut connections = Connections::for_test();
        let id = connections.open_for_test(Rc::new(FakeSocket::new(TestClock::default())));
        let most = connections.profile(id).unwrap().message_bytes;
        let long = vec![b' '; most + 1];
        let (requests, fault) = connections.decode(id, Message::Text(&long), Moment::default());
        assert!(requests.is_empty() && fault.is_none());
        assert_eq!(
            connections.counts().ends,
            [(Some(crate::codec::DialectId::Native), End::TooLarge)]
        );
    }
}
