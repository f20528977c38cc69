//! The audit: checks that every member gets every message of its room, once, whole, in one order.
//!
//! Each room has a log: its messages in the order in which any member saw them first. Each member has a place in that log. A message at
//! the member's place is right; any other is skipped (lost, unless it arrives later), repeated or out of order. The counts are exact. A
//! member without faults costs one comparison per message and no memory.

use std::{collections::HashMap, ops::Range};

use crate::marker::Marker;

/// A message in the order of its room.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole message as the first member got it: all others must get the same bytes.
    pub payload: Box<[u8]>,
    pub marker: Marker,
    /// The number that the server gave it: native dialects only.
    pub server_seq: Option<u64>,
    /// A later message of the same sender precedes this one.
    behind: bool,
}

impl Entry {
    pub fn is_behind(&self) -> bool {
        self.behind
    }
}

/// The messages of one room in the order in which any member first saw them.
#[derive(Debug, Default)]
pub struct RoomLog {
    entries: Vec<Entry>,
    places: HashMap<(u32, u32), u32>,
    newest: HashMap<u32, u32>,
    /// Messages that were sent into this room.
    pub sent: u64,
    /// Others also send into this room, so that its numbers have holes.
    pub foreign: bool,
}

impl RoomLog {
    #[inline]
    pub fn get(&self, place: u32) -> Option<&Entry> {
        self.entries.get(place as usize)
    }

    pub fn range(&self, places: Range<u32>) -> &[Entry] {
        self.entries
            .get(places.start as usize..places.end as usize)
            .unwrap_or_default()
    }

    /// Messages that any member has seen.
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records the server's number of the message at a place. Returns whether `prev` is the number of the message before it.
    pub fn note_server_seq(&mut self, place: u32, seq: u64, prev: u64) -> bool {
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.server_seq = Some(seq);
        }
        let before = place.checked_sub(1).and_then(|before| self.get(before)?.server_seq);
        self.foreign || before.is_none_or(|before| before == prev)
    }

    pub fn knows(&self, marker: Marker) -> bool {
        self.places.contains_key(&(marker.sender, marker.seq))
    }

    fn place_of(&mut self, marker: Marker, payload: &[u8], faults: &mut Faults) -> u32 {
        if let Some(&place) = self.places.get(&(marker.sender, marker.seq)) {
            if self.get(place).is_some_and(|entry| *entry.payload != *payload) {
                faults.torn += 1;
            }
            return place;
        }
        let place = self.len();
        self.places.insert((marker.sender, marker.seq), place);
        let newest = self.newest.entry(marker.sender).or_insert(marker.seq);
        let behind = *newest > marker.seq;
        *newest = (*newest).max(marker.seq);
        self.entries.push(Entry {
            payload: payload.into(),
            marker,
            server_seq: None,
            behind,
        });
        place
    }
}

/// The audit of one member.
#[derive(Debug, Default)]
pub struct View {
    /// The next place that it should see. `None`: it has seen nothing yet, and begins with the next message that arrives.
    pub place: Option<u32>,
    /// Skipped places, ascending.
    missing: Vec<Range<u32>>,
}

/// The verdict about a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    InOrder(u32),
    /// After messages that should follow it.
    Late(u32),
    Again,
}

/// The faults of all members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Messages that a member received more than once.
    pub duplicated: u64,
    /// Messages after a later one of the same sender.
    pub reordered: u64,
    /// Messages at another place than at other members. Includes `reordered` only in part.
    pub disagreed: u64,
    /// Invalid frames, and messages that differ from the sent bytes or between members.
    pub torn: u64,
    /// Messages whose `prev` (native protocol) is not the message before them.
    pub misnumbered: u64,
}

impl View {
    /// A member that joined before the first message.
    pub fn from_start() -> Self {
        Self {
            place: Some(0),
            missing: Vec::new(),
        }
    }

    pub fn see(&mut self, log: &mut RoomLog, marker: Marker, payload: &[u8], faults: &mut Faults) -> Seen {
        let place = log.place_of(marker, payload, faults);
        let next = *self.place.get_or_insert(place);
        if place >= next {
            if place > next {
                self.missing.push(next..place);
            }
            self.place = Some(place + 1);
            if log.get(place).is_some_and(Entry::is_behind) && self.saw_later(log, 0..place, marker) {
                faults.reordered += 1;
            }
            return Seen::InOrder(place);
        }
        if !self.take_missing(place) {
            faults.duplicated += 1;
            return Seen::Again;
        }
        faults.disagreed += 1;
        if self.saw_later(log, place + 1..next, marker) {
            faults.reordered += 1;
        }
        Seen::Late(place)
    }

    /// The skipped places, and those that it has not reached, up to `end`.
    pub fn unseen(&self, end: u32) -> u64 {
        let skipped: u64 = self
            .missing
            .iter()
            .map(|range| u64::from(range.end - range.start))
            .sum();
        skipped + u64::from(end.saturating_sub(self.place.unwrap_or(end)))
    }

    pub fn missing(&self) -> &[Range<u32>] {
        &self.missing
    }

    /// Whether it has seen, at these places, a later message of this sender.
    fn saw_later(&self, log: &RoomLog, mut places: Range<u32>, marker: Marker) -> bool {
        places.any(|place| {
            let later = |entry: &Entry| entry.marker.sender == marker.sender && entry.marker.seq > marker.seq;
            log.get(place).is_some_and(later) && !self.misses(place)
        })
    }

    fn misses(&self, place: u32) -> bool {
        self.missing.iter().any(|range| range.contains(&place))
    }

    fn take_missing(&mut self, place: u32) -> bool {
        let Some(index) = self.missing.iter().position(|range| range.contains(&place)) else {
            return false;
        };
        let range = self.missing.remove(index);
        for part in [place + 1..range.end, range.start..place] {
            if !part.is_empty() {
                self.missing.insert(index, part);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn talk(sender: u32, seq: u32) -> (Marker, [u8; 32]) {
        let marker = Marker { sender, seq, at_ns: 0 };
        (marker, marker.bytes())
    }

    /// Shows these messages to two members in the given orders; returns the losses of the second one, and all faults. `b1` is the
    /// second message of the sender `b`.
    fn story(first: &str, second: &str) -> (u64, Faults) {
        let (mut log, mut faults) = (RoomLog::default(), Faults::default());
        let mut views = [View::from_start(), View::from_start()];
        for (view, talks) in views.iter_mut().zip([first, second]) {
            for word in talks.split(' ') {
                let (sender, seq) = word.split_at(1);
                let (marker, bytes) = talk(u32::from(sender.as_bytes()[0]), seq.parse().unwrap());
                view.see(&mut log, marker, &bytes, &mut faults);
            }
        }
        (views[1].unseen(log.len()), faults)
    }

    #[test]
    fn what_two_members_see_differently_is_counted_by_its_kind() {
        let none = Faults::default();
        let (mut duplicated, mut reordered, mut disagreed) = (none, none, none);
        duplicated.duplicated = 2;
        disagreed.disagreed = 1;
        (reordered.reordered, reordered.disagreed) = (1, 1);
        for (what, first, second, lost, faults) in [
            ("agreement", "a0 b0 a1", "a0 b0 a1", 0, none),
            ("dropped in the middle", "a0 a1 a2", "a0 a2", 1, none),
            ("dropped at the end", "a0 a1 a2", "a0", 2, none),
            ("repeated", "a0 a1", "a0 a0 a1 a0", 0, duplicated),
            ("swapped, of one sender", "a0 a1", "a1 a0", 0, reordered),
            // The member that saw the wrong order first is the one at fault, and the other one then disagrees.
            ("swapped at the first member", "a1 a0", "a0 a1", 0, reordered),
            ("swapped, of two senders", "a0 b0", "b0 a0", 0, disagreed),
        ] {
            assert_eq!(story(first, second), (lost, faults), "{what}");
        }
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one hole is what is meant")]
    fn a_member_that_comes_later_begins_with_what_it_sees_first() {
        let (mut log, mut faults) = (RoomLog::default(), Faults::default());
        let (mut old, mut new) = (View::from_start(), View::default());
        for seq in 0..5 {
            let (marker, bytes) = talk(1, seq);
            old.see(&mut log, marker, &bytes, &mut faults);
            if seq >= 2 && seq != 3 {
                new.see(&mut log, marker, &bytes, &mut faults);
            }
        }
        assert_eq!((new.unseen(log.len()), new.missing()), (1, &[3..4][..]));
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn a_message_with_other_bytes_than_another_member_got_is_torn() {
        let (mut log, mut faults) = (RoomLog::default(), Faults::default());
        let (marker, _) = talk(1, 0);
        View::from_start().see(&mut log, marker, b"ann: text", &mut faults);
        View::from_start().see(&mut log, marker, b"ann: text", &mut faults);
        assert_eq!(faults.torn, 0);
        View::from_start().see(&mut log, marker, b"ben: text", &mut faults);
        assert_eq!(faults.torn, 1);
    }

    #[test]
    fn a_predecessor_is_the_message_before_unless_others_write_too() {
        let (mut log, mut faults) = (RoomLog::default(), Faults::default());
        for seq in 0..3 {
            let (marker, bytes) = talk(1, seq);
            View::default().see(&mut log, marker, &bytes, &mut faults);
        }
        assert!(log.note_server_seq(0, 7, 6));
        assert!(log.note_server_seq(1, 9, 7));
        assert!(!log.note_server_seq(2, 10, 8));
        log.foreign = true;
        assert!(log.note_server_seq(2, 10, 8));
    }

    #[test]
    fn late_messages_leave_the_right_holes() {
        let (mut log, mut faults) = (RoomLog::default(), Faults::default());
        let mut view = View::from_start();
        for seq in 0..6 {
            let (marker, bytes) = talk(seq, 0);
            log.place_of(marker, &bytes, &mut faults);
        }
        for sender in [5, 2] {
            let (marker, bytes) = talk(sender, 0);
            view.see(&mut log, marker, &bytes, &mut faults);
        }
        assert_eq!(view.missing(), &[0..2, 3..5]);
        assert_eq!(view.unseen(log.len()), 4);
    }
}
