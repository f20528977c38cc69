//! Positions in a conversation, and how a client resumes from one.
//!
//! Every stored message has a number in the current epoch of its log. Numbers increase and may have holes, so a difference of two is not
//! a count. An epoch ends when acknowledged messages are lost (a crash without fsync, a restored backup). The numbers after that belong
//! to a new epoch, and are never compared with the old ones. [`LogHead`] remembers the lost tails, so that each client learns the exact
//! interval that it will never get.

use std::sync::Arc;

/// The number of a message in its conversation: 1 for the first, 0 for "before the first".
pub type Seq = u64;

/// A place in a conversation. Numbers of different epochs are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// Below 2^53, so that a JSON number can represent it.
    pub epoch: u64,
    /// The last message before this place.
    pub seq: Seq,
}

/// Where a joining member starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Only new messages.
    Now,
    /// After this position.
    Position(Position),
    /// This many of the newest messages.
    Last(u32),
}

/// The head of a log. A log has epoch 0 until its first message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogHead {
    /// Below 2^53.
    pub epoch: u64,
    /// The newest message; 0 if there is none.
    pub seq: Seq,
    /// Retention deleted everything below it. `seq + 1` if nothing is stored.
    pub first: Seq,
    /// The lost tails of earlier epochs, oldest first; at most [`crate::limits::HISTORY_LOST_TAILS`].
    pub lost: Arc<[LostTail]>,
}

/// Acknowledged messages that were lost with an epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostTail {
    /// The epoch that ended.
    pub epoch: u64,
    pub from: Seq,
    /// `None` if only a client that saw these messages can know (an unclean end without fsync).
    pub to: Option<Seq>,
}

/// How a client with a position resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoOn {
    /// The client gets the messages after this number, in the epoch of the head.
    pub after: Seq,
    /// Messages that the server no longer has. Each interval becomes one [`super::Reply::Gap`] with `lost`.
    pub lost: Vec<LostInterval>,
}

/// Messages that the server no longer has, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostInterval {
    pub epoch: u64,
    pub from: Seq,
    pub to: Seq,
}

impl LogHead {
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    /// How a client resumes. For [`Since::Last`] the caller has to find the start, because numbers have holes: a head and a count
    /// do not determine it.
    pub fn since(&self, since: Since) -> GoOn {
        match since {
            Since::Now | Since::Last(_) => GoOn {
                after: self.seq,
                lost: Vec::new(),
            },
            Since::Position(position) => self.go_on(position),
        }
    }

    /// How a client resumes that has everything up to `known`.
    ///
    /// Messages that retention deleted count as lost. An epoch never uses a number twice, so in the current epoch the client has
    /// everything up to its position or the head; what it has beyond the head is lost. An epoch that this log never had says nothing
    /// about its messages: the client gets all stored ones.
    pub fn go_on(&self, known: Position) -> GoOn {
        let mut lost = Vec::new();
        let known_here = if known.epoch == self.epoch {
            lost.extend(interval(self.epoch, self.seq.saturating_add(1), known.seq));
            known.seq.min(self.seq)
        } else {
            // Below the first loss since the client's epoch, both epochs have the same messages.
            let mut common = known.seq;
            let mut met = false;
            for tail in self.lost.iter().skip_while(|tail| tail.epoch != known.epoch) {
                met = true;
                common = common.min(tail.from.saturating_sub(1));
                let seen = if tail.epoch == known.epoch { known.seq } else { 0 };
                lost.extend(interval(tail.epoch, tail.from, tail.to.unwrap_or(0).max(seen)));
            }
            if !met {
                common = 0;
                lost.extend(interval(known.epoch, 1, known.seq));
            }
            common.min(self.seq)
        };
        let oldest = self.first.saturating_sub(1);
        lost.extend(interval(self.epoch, known_here.saturating_add(1), oldest));
        GoOn {
            after: known_here.max(oldest),
            lost,
        }
    }
}

/// The interval, unless it is empty.
fn interval(epoch: u64, from: Seq, to: Seq) -> Option<LostInterval> {
    (from <= to).then_some(LostInterval { epoch, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, seq: Seq) -> Position {
        Position { epoch, seq }
    }

    fn lost(epoch: u64, from: Seq, to: Seq) -> LostInterval {
        LostInterval { epoch, from, to }
    }

    #[test]
    fn a_client_goes_on_where_it_was_and_learns_what_retention_took() {
        let head = LogHead {
            epoch: 9,
            seq: 20,
            first: 6,
            lost: Arc::from([]),
        };
        let go = |known| {
            let GoOn { after, lost } = head.go_on(known);
            (after, lost)
        };
        assert_eq!(go(at(9, 20)), (20, vec![]));
        assert_eq!(go(at(9, 5)), (5, vec![]));
        assert_eq!(go(at(9, 2)), (5, vec![lost(9, 3, 5)]));
        // Beyond the head: stored messages are not reported as lost.
        assert_eq!(go(at(9, 23)), (20, vec![lost(9, 21, 23)]));
        // An epoch that this log never had.
        assert_eq!(go(at(4, 3)), (5, vec![lost(4, 1, 3), lost(9, 1, 5)]));
    }

    #[test]
    fn a_client_of_an_earlier_epoch_keeps_the_common_part_and_learns_every_loss_since() {
        let tail = |epoch, from, to| LostTail { epoch, from, to };
        let head = LogHead {
            epoch: 3,
            seq: 30,
            first: 1,
            lost: Arc::from([tail(1, 11, Some(14)), tail(2, 8, Some(12)), tail(7, 25, None)]),
        };
        let go = |known| {
            let GoOn { after, lost } = head.go_on(known);
            (after, lost)
        };
        assert_eq!(go(at(1, 14)), (7, vec![lost(1, 11, 14), lost(2, 8, 12)]));
        assert_eq!(go(at(1, 5)), (5, vec![lost(1, 11, 14), lost(2, 8, 12)]));
        assert_eq!(go(at(2, 9)), (7, vec![lost(2, 8, 12)]));
        assert_eq!(go(at(7, 24)), (24, vec![]));
        assert_eq!(go(at(7, 27)), (24, vec![lost(7, 25, 27)]));
    }
}
