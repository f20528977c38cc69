//! Lists of all rooms, assembled from one part of each shard for a session of this shard.
//!
//! Each shard answers once. When the last part comes, the list is sorted, cut to its limit, and sent.

use slab::Slab;

use crate::chat::{Reply, RequestId, RoomEntry, SessionId};

#[derive(Debug, Default)]
pub(crate) struct Listings {
    lists: Slab<Listing>,
}

#[derive(Debug)]
struct Listing {
    session: SessionId,
    id: RequestId,
    limit: usize,
    /// Number of shards that have not answered.
    missing: usize,
    rooms: Vec<RoomEntry>,
}

impl Listings {
    /// Begins a list and returns its number, which the parts carry.
    pub(crate) fn begin(&mut self, session: SessionId, id: RequestId, limit: usize, shards: usize) -> u32 {
        let listing = Listing {
            session,
            id,
            limit,
            missing: shards,
            rooms: Vec::new(),
        };
        self.lists.insert(listing) as u32
    }

    /// Adds one shard's part of a list. Returns the answer to the request if it was the last part.
    pub(crate) fn add(&mut self, number: u32, rooms: Vec<RoomEntry>) -> Option<(SessionId, RequestId, Reply)> {
        let listing = self.lists.get_mut(number as usize)?;
        listing.rooms.extend(rooms);
        listing.missing -= 1;
        if listing.missing > 0 {
            return None;
        }
        let Listing {
            session,
            id,
            limit,
            mut rooms,
            ..
        } = self.lists.remove(number as usize);
        rooms.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let more = rooms.len() > limit;
        rooms.truncate(limit);
        let last = rooms.last().filter(|_| more);
        let next = last.map(|room| room.name.clone());
        Some((session, id, Reply::RoomPage { rooms, next }))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{chat::RoomName, shard::testing::values};

    #[test]
    fn the_last_part_completes_a_list_which_is_sorted_and_cut() {
        let session = values::session(3);
        let room = |name: &str| RoomEntry {
            name: RoomName::parse(name).unwrap(),
            topic: Arc::from(""),
            online: 1,
        };
        let mut listings = Listings::default();
        let number = listings.begin(session, None, 2, 2);
        assert!(listings.add(number, vec![room("c"), room("d")]).is_none());
        let (to, _, reply) = listings.add(number, vec![room("a")]).unwrap();
        let rooms = vec![room("a"), room("c")];
        let next = Some(RoomName::parse("c").unwrap());
        assert_eq!((to, reply), (session, Reply::RoomPage { rooms, next }));
        assert!(listings.is_empty());
    }
}
