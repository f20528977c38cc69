//! How a room numbers its messages, and how a returning client resumes.

use crate::chat::{GoOn, LogHead, Position, Since};

#[derive(Debug)]
pub(super) enum Log {
    /// The room numbers its messages, in an epoch that ends with the room. Only the rings of the shards have recent ones.
    Ephemeral(Position),
    /// The store numbers and stores them. Boxed, because most rooms of a large server are ephemeral.
    Durable(Box<LogHead>),
}

impl Log {
    /// The newest message.
    pub(super) fn head(&self) -> Position {
        match self {
            Self::Ephemeral(head) => *head,
            Self::Durable(head) => head.position(),
        }
    }

    /// Records the number of a new message.
    pub(super) fn advance(&mut self, to: Position) {
        match self {
            Self::Ephemeral(head) => *head = to,
            Self::Durable(head) => {
                head.epoch = to.epoch;
                head.seq = to.seq;
                head.first = head.first.max(1);
            }
        }
    }

    /// Where a replay begins, and what can never be replayed.
    pub(super) fn since(&self, since: Since) -> GoOn {
        match self {
            Self::Durable(head) => head.since(since),
            Self::Ephemeral(head) => GoOn {
                after: match since {
                    Since::Position(known) if known.epoch == head.epoch => known.seq.min(head.seq),
                    // Numbers of another epoch are not comparable.
                    Since::Now | Since::Position(_) | Since::Last(_) => head.seq,
                },
                lost: Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_ephemeral_room_only_positions_of_its_epoch_are_replayed_from() {
        let log = Log::Ephemeral(Position { epoch: 5, seq: 10 });
        let after = |since| {
            let GoOn { after, lost } = log.since(since);
            assert_eq!(lost, []);
            after
        };
        assert_eq!(after(Since::Now), 10);
        assert_eq!(
            after(Since::Last(3)),
            10,
            "only who has the messages knows where they begin"
        );
        assert_eq!(after(Since::Position(Position { epoch: 5, seq: 4 })), 4);
        assert_eq!(after(Since::Position(Position { epoch: 5, seq: 14 })), 10);
        assert_eq!(after(Since::Position(Position { epoch: 4, seq: 4 })), 10);
    }

    #[test]
    fn the_first_message_of_a_durable_room_begins_its_epoch() {
        let mut log = Log::Durable(Box::default());
        log.advance(Position { epoch: 9, seq: 1 });
        let head = LogHead {
            epoch: 9,
            seq: 1,
            first: 1,
            ..LogHead::default()
        };
        assert!(matches!(log, Log::Durable(now) if *now == head));
    }
}
