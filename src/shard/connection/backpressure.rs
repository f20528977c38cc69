//! Backpressure: the reasons not to read a connection.
//!
//! Invariant: a connection is read only while it is below every limit. So one client can exceed each limit by at most one
//! message.
//!
//! This file does not pause a connection: [`Connection::pause`] finds the reason, and the engine acts on it.

use crate::{
    limits,
    shard::{
        connection::{session::Session, state::Connection},
        rate_limit::MessageRate,
    },
};

/// Why a connection is not read: the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The connection is being closed, or has ended.
    Closing,
    /// Messages that a busy owner refused must be sent again first.
    RetryQueue,
    /// The user has sent `exit`.
    Exiting,
    /// Requests wait for the answer to an earlier one.
    Deferred,
    /// The server is about to drain.
    Quiesced,
    /// The store has not answered a claim of a name.
    Naming,
    /// Too many questions to the store are unanswered.
    Questions,
    /// Too many requests are unanswered.
    Requests,
    /// Too many bytes of replies wait for the socket.
    Replies,
    /// The next message does not conform to the rate limit yet.
    RateLimit,
    /// The shard has too much overflow for other shards.
    Congested,
}

/// The state of the shard on which pauses depend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) quiesced: bool,
    pub(crate) congested: bool,
    /// Bytes of replies and direct messages that may wait for one socket.
    pub(crate) private_most: usize,
    pub(crate) message_rate: Option<MessageRate>,
    pub(crate) now_us: u64,
}

impl<S> Connection<S> {
    /// Why the connection is not to be read now.
    pub(crate) fn pause(&self, load: &Load) -> Option<Pause> {
        let session = self.session();
        let has = |what: fn(&Session) -> bool| session.is_some_and(what);
        let conforms = session.zip(load.message_rate);
        let reasons = [
            (self.is_closing(), Pause::Closing),
            (has(|session| session.retry_ms().is_some()), Pause::RetryQueue),
            (has(|session| session.exiting().is_some()), Pause::Exiting),
            (has(|session| session.deferred().is_some()), Pause::Deferred),
            (load.quiesced, Pause::Quiesced),
            (self.asks_for_name(), Pause::Naming),
            (self.questions >= limits::QUESTIONS_IN_FLIGHT, Pause::Questions),
            (self.in_flight >= limits::REQUESTS_IN_FLIGHT, Pause::Requests),
            (
                self.private_bytes() > load.private_most + limits::PRIVATE_BYTES_MARGIN,
                Pause::Replies,
            ),
            (
                conforms.is_some_and(|(session, rate)| session.conforms_at_us(rate) > load.now_us),
                Pause::RateLimit,
            ),
            (load.congested, Pause::Congested),
        ];
        let first = reasons.into_iter().find(|(holds, _)| *holds);
        first.map(|(_, pause)| pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::Generation,
        codec::Handshake,
        shard::connection::{
            reader::UNDECIDED_LIMITS,
            state::{Phase, Undecided},
        },
        wire::FrameReader,
    };

    #[test]
    fn a_connection_is_read_until_one_limit_is_reached() {
        let undecided = Undecided {
            handshake: Handshake::silent(),
            until_ms: 0,
            if_silent: crate::codec::DialectId::Tutorial,
        };
        let phase = Phase::Detecting(Box::new(undecided));
        let reader = FrameReader::new(UNDECIDED_LIMITS);
        let mut connection = Connection::new((), Generation::FIRST, phase, reader, 0);
        let load = Load {
            quiesced: false,
            congested: true,
            private_most: 0,
            message_rate: None,
            now_us: 0,
        };
        assert_eq!(connection.pause(&load), Some(Pause::Congested));
        let load = Load {
            congested: false,
            ..load
        };
        assert_eq!(connection.pause(&load), None);
        connection.in_flight = limits::REQUESTS_IN_FLIGHT;
        assert_eq!(connection.pause(&load), Some(Pause::Requests));
        connection.questions = limits::QUESTIONS_IN_FLIGHT;
        assert_eq!(connection.pause(&load), Some(Pause::Questions));
        let load = Load { quiesced: true, ..load };
        assert_eq!(connection.pause(&load), Some(Pause::Quiesced));
        *connection.phase_mut() = Phase::Closing {
            until_ms: 0,
            shut: false,
        };
        assert_eq!(connection.pause(&load), Some(Pause::Closing));
    }
}
