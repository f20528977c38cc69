//! The users of a room, in the order of names and of arrival.

use std::sync::Arc;

use crate::{
    chat::{ListOrder, UserName},
    limits,
};

/// The users of a room in the order of names, each with its number of sessions and its arrival. A sorted vector while it is small, as in
/// most rooms, and a tree above [`limits::ROSTER_VECTOR`].
#[derive(Debug)]
pub(super) enum Roster {
    Few(Vec<(UserName, Seat)>),
    Many(std::collections::BTreeMap<UserName, Seat>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    sessions: u32,
    /// Increases from user to user.
    arrival: u32,
}

impl Default for Roster {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(users) => users.len(),
            Self::Many(users) => users.len(),
        }
    }

    /// Adds a session. Returns whether it is the user's first.
    pub(super) fn add(&mut self, user: &UserName, arrival: u32) -> bool {
        if let Self::Few(users) = self
            && users.len() >= limits::ROSTER_VECTOR
        {
            *self = Self::Many(std::mem::take(users).into_iter().collect());
        }
        match self {
            Self::Few(users) => match users.binary_search_by(|(name, _)| name.cmp(user)) {
                Ok(at) => {
                    users[at].1.sessions += 1;
                    false
                }
                Err(at) => {
                    users.reserve_exact(1);
                    users.insert(at, (user.clone(), Seat { sessions: 1, arrival }));
                    true
                }
            },
            Self::Many(users) => {
                let seat = users.entry(user.clone()).or_insert(Seat { sessions: 0, arrival });
                seat.sessions += 1;
                seat.sessions == 1
            }
        }
    }

    /// Removes a session. If it was the user's last one, returns the arrival.
    pub(super) fn remove(&mut self, user: &UserName) -> Option<u32> {
        let seat = match self {
            Self::Few(users) => {
                let at = users.binary_search_by(|(name, _)| name.cmp(user)).ok()?;
                let seat = &mut users[at].1;
                seat.sessions -= 1;
                let seat = *seat;
                if seat.sessions == 0 {
                    users.remove(at);
                }
                seat
            }
            Self::Many(users) => {
                let seat = users.get_mut(user)?;
                seat.sessions -= 1;
                let seat = *seat;
                if seat.sessions == 0 {
                    users.remove(user);
                }
                seat
            }
        };
        (seat.sessions == 0).then_some(seat.arrival)
    }

    /// The first `limit` users in this order.
    pub(super) fn ordered(&self, order: ListOrder, limit: usize) -> Arc<[UserName]> {
        match (self, order) {
            (Self::Few(users), ListOrder::Name) => users.iter().take(limit).map(|(name, _)| name.clone()).collect(),
            (Self::Many(users), ListOrder::Name) => users.keys().take(limit).cloned().collect(),
            (Self::Few(users), ListOrder::Arrival) => {
                first_come(users.iter().map(|(name, seat)| (seat.arrival, name)), limit)
            }
            (Self::Many(users), ListOrder::Arrival) => {
                first_come(users.iter().map(|(name, seat)| (seat.arrival, name)), limit)
            }
        }
    }

    /// Up to `limit` users after this name, and whether there are more.
    pub(super) fn after(&self, after: Option<&str>, limit: usize) -> (Arc<[UserName]>, bool) {
        let mut names: Vec<UserName> = match self {
            Self::Few(users) => {
                let start = after.map_or(0, |after| users.partition_point(|(name, _)| name.as_str() <= after));
                users[start..]
                    .iter()
                    .take(limit + 1)
                    .map(|(name, _)| name.clone())
                    .collect()
            }
            Self::Many(users) => {
                use std::ops::Bound;
                let start = after.map_or(Bound::Unbounded, Bound::Excluded);
                users
                    .range::<str, _>((start, Bound::Unbounded))
                    .take(limit + 1)
                    .map(|(name, _)| name.clone())
                    .collect()
            }
        };
        let more = names.len() > limit;
        names.truncate(limit);
        (names.into(), more)
    }
}

/// The first `limit` of these users by their arrival. Selects before it sorts: a room of 10,000 is cut at 500.
fn first_come<'a>(users: impl Iterator<Item = (u32, &'a UserName)>, limit: usize) -> Arc<[UserName]> {
    let mut users: Vec<(u32, &UserName)> = users.collect();
    if limit == 0 {
        return Arc::from([]);
    }
    if users.len() > limit {
        users.select_nth_unstable(limit - 1);
        users.truncate(limit);
    }
    users.sort_unstable();
    users.into_iter().map(|(_, name)| name.clone()).collect()
}
