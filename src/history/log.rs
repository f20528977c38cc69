//! Logs: what the store numbers on its own.

use std::fmt;

use crate::chat::{RoomName, UserId};

/// What is numbered on its own: a room, or the direct conversation of two users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogId {
    Room(RoomName),
    Pair(UserPair),
}

/// Two users, whichever of them speaks; both may be the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserPair {
    low: UserId,
    high: UserId,
}

impl UserPair {
    /// The pair of these two, in either order.
    pub fn of(one: UserId, other: UserId) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self { low, high }
    }

    /// The two, in their order.
    pub fn ids(&self) -> [&UserId; 2] {
        [&self.low, &self.high]
    }

    /// Who talks with `user`: the other one, or `user` itself where both are the same; `None` for a stranger.
    pub fn peer_of(&self, user: &UserId) -> Option<&UserId> {
        if *user == self.low {
            Some(&self.high)
        } else if *user == self.high {
            Some(&self.low)
        } else {
            None
        }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room {room:?}"),
            Self::Pair(pair) => write!(f, "direct {:?} and {:?}", pair.low.stored(), pair.high.stored()),
        }
    }
}
