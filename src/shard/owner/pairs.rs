//! The numbers of direct messages on a server without a store.
//!
//! The owner of a pair numbers all its messages, so `prev` is always the last number that it assigned, and counting up by one is
//! enough. Clients rely only on `prev`, never on numbers without holes.
//!
//! The table holds the [`limits::PAIRS_REMEMBERED`] conversations that began last. A forgotten conversation continues in a new
//! epoch, at 1: clients see a new conversation, not a gap.

use std::collections::VecDeque;

use crate::{
    chat::{Position, Seq},
    history::UserPair,
    limits,
};

#[derive(Debug)]
pub(super) struct Pairs {
    /// The newest position of each conversation.
    known: foldhash::HashMap<UserPair, Position>,
    order: VecDeque<UserPair>,
    random: fastrand::Rng,
}

impl Pairs {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            known: Default::default(),
            order: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The next position in the conversation of these two users, and the number before it.
    pub(super) fn next(&mut self, pair: UserPair) -> (Position, Seq) {
        if let Some(position) = self.known.get_mut(&pair) {
            let prev = position.seq;
            position.seq = prev + 1;
            return (*position, prev);
        }
        if self.order.len() >= limits::PAIRS_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let position = Position {
            epoch: self.random.u64(1..limits::EPOCH_END),
            seq: 1,
        };
        self.order.push_back(pair.clone());
        self.known.insert(pair, position);
        (position, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::values::user;

    #[test]
    fn both_users_of_a_pair_share_one_sequence_of_numbers() {
        let pair = |one, other| UserPair::of(user(one), user(other));
        let mut pairs = Pairs::new(7);
        let (first, prev) = pairs.next(pair("ada", "bob"));
        assert_eq!((first.seq, prev), (1, 0));
        assert_eq!(pairs.next(pair("bob", "ada")), (Position { seq: 2, ..first }, 1));
        let (other, prev) = pairs.next(pair("ada", "cyd"));
        assert_eq!((other.seq, prev), (1, 0));
        assert_ne!(other.epoch, first.epoch);
    }
}
