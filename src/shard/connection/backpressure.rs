//! Backpressure: why a connection is not read, and messages that a busy owner gave back.
//!
//! Invariants: a connection is read only while everything that its client asked for has a place to wait; so what one client
//! makes the server hold is bounded by one message beyond each limit. Messages that were given back are sent again in the
//! order in which they came, before any that came later.
//!
//! Nothing here sends anything: [`Connection::pause`] and [`HeldBack::retry`] say what holds, and the engine acts on it.

use crate::{
    chat::{RoomName, Utterance},
    limits,
    shard::{connection::state::Connection, rate_limit::MessageRate},
};

/// Why a connection is not read: the first reason of those that hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It is closed, or gone.
    Closing,
    /// A busy owner gave messages back, which go first.
    HeldBack,
    /// The user has said exit.
    Exiting,
    /// Requests wait for the answer to one before them.
    Deferred,
    /// The server is about to drain.
    Quiesced,
    /// The store is asked for its name.
    Naming,
    /// Too many questions to the store are open.
    Questions,
    /// Too many requests are open.
    Requests,
    /// Too many bytes of replies wait for its socket.
    Replies,
    /// Its user has sent more than the rate limit allows.
    RateLimit,
    /// Too much waits for other shards.
    Congested,
}

/// What the shard has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) quiesced: bool,
    pub(crate) congested: bool,
    /// Bytes of replies that may wait for one socket.
    pub(crate) private_most: usize,
    pub(crate) message_rate: Option<MessageRate>,
    pub(crate) now_us: u64,
}

/// Messages to be sent to their owner again.
#[derive(Debug)]
pub(crate) struct HeldBack {
    since_ms: u64,
    retry_ms: u64,
    /// Those that came back, in order.
    returned: Messages,
    /// Those sent since the first came back: they stand behind all that come back.
    later: Messages,
}

type Messages = Vec<(RoomName, Box<Utterance>)>;

/// What is to be done with messages that were given back.
#[derive(Debug)]
pub(crate) enum Retrying {
    NotYet,
    /// They are to be sent again, in this order.
    Again(Messages),
    /// The owners have taken all of them.
    Done,
    /// The owners have been busy for as long as a sender can be made to wait.
    TooLong,
}

impl<S> Connection<S> {
    /// Why it is not to be read now.
    pub(crate) fn pause(&self, load: &Load) -> Option<Pause> {
        let session = self.session();
        let conforms = session.zip(load.message_rate);
        let reasons = [
            (self.is_closing(), Pause::Closing),
            (session.is_some_and(|session| session.held.is_some()), Pause::HeldBack),
            (session.is_some_and(|session| session.exiting.is_some()), Pause::Exiting),
            (
                session.is_some_and(|session| session.deferred.is_some()),
                Pause::Deferred,
            ),
            (load.quiesced, Pause::Quiesced),
            (self.asks_for_name(), Pause::Naming),
            (self.questions >= limits::QUESTIONS_UNDERWAY, Pause::Questions),
            (self.underway >= limits::REQUESTS_UNDERWAY, Pause::Requests),
            (
                self.private_bytes() > load.private_most + limits::PRIVATE_BYTES_BESIDE,
                Pause::Replies,
            ),
            (
                conforms.is_some_and(|(session, rate)| session.rate.conforms_at_us(rate) > load.now_us),
                Pause::RateLimit,
            ),
            (load.congested, Pause::Congested),
        ];
        let first = reasons.into_iter().find(|(holds, _)| *holds);
        first.map(|(_, pause)| pause)
    }
}

impl HeldBack {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            since_ms: now_ms,
            retry_ms: 0,
            returned: Vec::new(),
            later: Vec::new(),
        }
    }

    /// A message came back.
    pub(crate) fn give_back(&mut self, room: RoomName, said: Box<Utterance>, now_ms: u64) {
        self.wait(now_ms);
        self.returned.push((room, said));
    }

    /// A message is sent while others wait: it goes behind them.
    pub(crate) fn push(&mut self, room: RoomName, said: Box<Utterance>) {
        self.later.push((room, said));
    }

    pub(crate) fn retry_ms(&self) -> u64 {
        self.retry_ms
    }

    /// What is to be done now; `in_flight`: some of those sent again have not been answered.
    pub(crate) fn retry(&mut self, now_ms: u64, in_flight: bool) -> Retrying {
        if now_ms < self.retry_ms {
            return Retrying::NotYet;
        }
        if now_ms.saturating_sub(self.since_ms) >= limits::BUSY_PAUSE.as_millis() as u64 {
            return Retrying::TooLong;
        }
        self.wait(now_ms);
        if in_flight {
            return Retrying::NotYet;
        }
        let mut messages = std::mem::take(&mut self.returned);
        messages.append(&mut self.later);
        if messages.is_empty() {
            Retrying::Done
        } else {
            Retrying::Again(messages)
        }
    }

    /// Moves the time since which the sender waits.
    pub(super) fn excuse(&mut self, later: impl FnOnce(&mut u64)) {
        later(&mut self.since_ms);
    }

    fn wait(&mut self, now_ms: u64) {
        self.retry_ms = now_ms + limits::BUSY_RETRY.as_millis() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{ConnectionSlot, Generation, SessionId, SessionTag, ShardId, TalkKind, UserName},
        codec::{Client, Handshake},
        shard::connection::{
            read::UNDECIDED_LIMITS,
            state::{Phase, Undecided},
        },
        wire::FrameReader,
    };

    fn said(text: &str) -> Box<Utterance> {
        Box::new(Utterance {
            session: SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST),
            id: None,
            from: UserName::guest(1),
            tag: SessionTag(1),
            client: None,
            text: text.into(),
            kind: TalkKind::Text,
            key: None,
            echo: None,
        })
    }

    fn texts(retrying: Retrying) -> Vec<String> {
        match retrying {
            Retrying::Again(messages) => messages.iter().map(|(_, said)| said.text.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_are_sent_again_in_the_order_in_which_they_came() {
        let room = RoomName::lobby;
        let mut held = HeldBack::new(1_000);
        held.give_back(room(), said("one"), 1_000);
        held.push(room(), said("three"));
        held.give_back(room(), said("two"), 1_001);
        assert!(matches!(held.retry(1_001, false), Retrying::NotYet));
        let due = held.retry_ms();
        assert!(
            matches!(held.retry(due, true), Retrying::NotYet),
            "some are on their way"
        );
        assert_eq!(texts(held.retry(held.retry_ms(), false)), ["one", "two", "three"]);
        assert!(matches!(held.retry(held.retry_ms(), false), Retrying::Done));
        let long = 1_000 + limits::BUSY_PAUSE.as_millis() as u64;
        assert!(matches!(held.retry(long, false), Retrying::TooLong));
    }

    #[test]
    fn a_connection_is_read_until_one_limit_is_reached() {
        let handshake = Handshake {
            peer: ([127, 0, 0, 1], 1).into(),
            query: Vec::new(),
            login_username: None,
            username: None,
            client: Client::Program,
            listener: 0,
            subprotocol: None,
        };
        let undecided = Undecided {
            handshake,
            until_ms: 0,
            if_silent: "",
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
        connection.underway = limits::REQUESTS_UNDERWAY;
        assert_eq!(connection.pause(&load), Some(Pause::Requests));
        connection.questions = limits::QUESTIONS_UNDERWAY;
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
