//! The numbers of direct conversations that no store keeps.
//!
//! The newest [`limits::PAIRS_REMEMBERED`] conversations are remembered. One that was forgotten begins a new epoch.

use std::collections::VecDeque;

use crate::{
    chat::{Position, Seq, UserName},
    limits,
};

/// The newest position of each direct conversation.
#[derive(Debug)]
pub(super) struct Pairs {
    known: foldhash::HashMap<(UserName, UserName), Position>,
    order: VecDeque<(UserName, UserName)>,
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

    /// The next number in the conversation of these two, and the one before it.
    pub(super) fn next(&mut self, one: &UserName, other: &UserName) -> (Position, Seq) {
        let pair = if one <= other {
            (one.clone(), other.clone())
        } else {
            (other.clone(), one.clone())
        };
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

    #[test]
    fn both_users_share_one_row_of_numbers_and_others_have_their_own() {
        let user = |name| UserName::parse(name).unwrap();
        let (ada, bob, cyd) = (user("ada"), user("bob"), user("cyd"));
        let mut pairs = Pairs::new(7);
        let (first, prev) = pairs.next(&ada, &bob);
        assert_eq!((first.seq, prev), (1, 0));
        assert_eq!(pairs.next(&bob, &ada), (Position { seq: 2, ..first }, 1));
        let (other, prev) = pairs.next(&ada, &cyd);
        assert_eq!((other.seq, prev), (1, 0));
        assert_ne!(other.epoch, first.epoch);
    }
}
