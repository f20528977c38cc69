//! Read receipts of clients whose dialect has no request for them: the server sends a ping behind a message, and the pong shows
//! that the message arrived.
//!
//! At most one ping is in flight. The next one covers everything that was delivered meanwhile.

use crate::chat::{Seq, UserId};

/// The unacknowledged direct messages of a client that acknowledges with pongs.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// Up to where each conversation was written since the last ping.
    delivered: Vec<(UserId, Seq)>,
    /// What the pong to the ping in flight acknowledges.
    asked: Option<Vec<(UserId, Seq)>>,
    /// Number of pings, which is the payload of the last one.
    count: u32,
}

impl Receipts {
    /// Records a written message. Returns the payload of a ping to send behind it, unless one is in flight.
    pub(crate) fn delivered(&mut self, peer: UserId, seq: Seq) -> Option<[u8; 4]> {
        self.delivered.retain(|(known, _)| *known != peer);
        self.delivered.push((peer, seq));
        if self.asked.is_some() { None } else { self.ask() }
    }

    /// Handles a pong. Returns what it acknowledges, and the payload of the next ping if more was delivered meanwhile.
    pub(crate) fn pong(&mut self, payload: &[u8]) -> (Vec<(UserId, Seq)>, Option<[u8; 4]>) {
        if payload != self.count.to_be_bytes() {
            return (Vec::new(), None);
        }
        (self.asked.take().unwrap_or_default(), self.ask())
    }

    /// Forgets what was delivered. The count of pings continues, so that a late pong acknowledges nothing new.
    pub(crate) fn forget(&mut self) {
        self.delivered.clear();
        self.asked = None;
    }

    fn ask(&mut self) -> Option<[u8; 4]> {
        if self.delivered.is_empty() {
            return None;
        }
        self.count = self.count.wrapping_add(1);
        self.asked = Some(std::mem::take(&mut self.delivered));
        Some(self.count.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::values::user;

    #[test]
    fn one_ping_at_a_time_acknowledges_everything_written_before_it() {
        let (ann, eve) = (user("ann"), user("eve"));
        let mut receipts = Receipts::default();
        let first = receipts.delivered(ann.clone(), 1).unwrap();
        assert_eq!(receipts.delivered(ann.clone(), 2), None);
        assert_eq!(receipts.delivered(eve.clone(), 7), None);
        assert_eq!(receipts.delivered(ann.clone(), 3), None);
        assert_eq!(receipts.pong(b"else"), (Vec::new(), None));
        let (read, second) = receipts.pong(&first);
        assert_eq!(read, [(ann.clone(), 1)]);
        assert_eq!(receipts.pong(&first), (Vec::new(), None), "a pong counts once");
        assert_eq!(receipts.pong(&second.unwrap()), (vec![(eve, 7), (ann, 3)], None));
    }
}
