//! The numbers of direct conversations that no store keeps.

use std::collections::VecDeque;

use crate::{
    chat::{Position, UserName},
    limits,
};

/// Positions of the direct conversations whose home is one shard; the oldest are forgotten, and start a new epoch when they
/// are spoken in again.
#[derive(Debug)]
pub(crate) struct Pairs {
    known: foldhash::HashMap<(UserName, UserName), Position>,
    order: VecDeque<(UserName, UserName)>,
    random: fastrand::Rng,
}

impl Pairs {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            known: Default::default(),
            order: VecDeque::new(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The next number in the conversation of these two.
    pub(crate) fn next(&mut self, one: &UserName, other: &UserName) -> Position {
        let pair = if one <= other {
            (one.clone(), other.clone())
        } else {
            (other.clone(), one.clone())
        };
        if let Some(position) = self.known.get_mut(&pair) {
            position.seq += 1;
            return *position;
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
        position
    }
}
