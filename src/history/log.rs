//! Logs: the conversations that are numbered separately.

use std::fmt;

use crate::chat::{RoomName, UserId};

/// A conversation with its own numbers: a room, or the direct messages of two users.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogId {
    Room(RoomName),
    Pair(UserPair),
}

/// Two users, in either order; both may be the same.
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

    pub fn ids(&self) -> [&UserId; 2] {
        [&self.low, &self.high]
    }

    /// The other user of the pair, or `user` itself if both are the same; `None` if `user` is not in the pair.
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
