//! The ring: the recent events of one room on one shard. Members are cursors into it ([`super::members`]).
//!
//! Invariants:
//! - Indices count from the first event of the ring and are never reused.
//! - The ring drops an event only after a flush has offered it to all members, and never drops the newest event to save memory.
//! - `bytes` and `waiting_bytes` are sums over the events.
//!
//! The ring never copies an event for a member, except a frame that contains the member's name.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::shard::event::{Encoded, room::RoomEvent};
use crate::{chat::Seq, codec::Encoding, limits::BATCH_BYTES};

#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<Slot>,
    base: u64,
    bytes: usize,
    /// Number of the last message before the first event.
    base_seq: Seq,
    /// Number of events since the last flush began.
    pub(crate) fresh: usize,
    /// A flush has offered the events before this index to all members.
    offered: u64,
    /// Bytes of the events from `offered` on.
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    event: Arc<RoomEvent>,
    /// Number of this message, or of the last one before it.
    seq: Seq,
    at_ms: u64,
    weight: u32,
}

/// Consecutive events in one encoding.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) encoding: Encoding,
    pub(crate) from: u64,
    /// Index behind its last event.
    pub(crate) upto: u64,
    /// Number of the last message before `upto`.
    pub(crate) seq: Seq,
    pub(crate) content: Content,
}

/// The bytes of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// The same for every member.
    Shared(Bytes),
    /// The frames contain the receiver's name, so [`Ring::assemble`] makes them for each member. `common_bytes` counts the bytes
    /// that are the same for all.
    Addressed { common_bytes: usize },
}

impl Batch {
    /// Its length; if it is made for each member, without names and frame heads.
    pub(crate) fn bytes(&self) -> usize {
        match &self.content {
            Content::Shared(bytes) => bytes.len(),
            Content::Addressed { common_bytes } => *common_bytes,
        }
    }
}

impl Ring {
    /// An empty ring for the events after this message.
    pub(crate) fn after(seq: Seq) -> Self {
        Self {
            base_seq: seq,
            ..Self::default()
        }
    }

    /// Index of the next event to come.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    /// Index of the oldest event.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of all events.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the last message before the event with this index.
    pub(crate) fn seq_before(&self, index: u64) -> Seq {
        match index.checked_sub(self.base + 1) {
            None => self.base_seq,
            Some(offset) => self.events.get(offset as usize).map_or(self.base_seq, |slot| slot.seq),
        }
    }

    /// Number of the newest message.
    pub(crate) fn head_seq(&self) -> Seq {
        self.events.back().map_or(self.base_seq, |slot| slot.seq)
    }

    /// Appends an event, and returns the bytes that it takes.
    pub(crate) fn push(&mut self, event: Arc<RoomEvent>, at_ms: u64) -> usize {
        let seq = event.seq().unwrap_or_else(|| self.head_seq());
        let weight = event.weight();
        self.bytes += weight;
        self.waiting_bytes += weight;
        self.fresh += 1;
        self.events.push_back(Slot {
            event,
            seq,
            at_ms,
            weight: weight as u32,
        });
        weight
    }

    /// Bytes of the events from this cursor on.
    pub(crate) fn bytes_after(&self, cursor: u64) -> usize {
        let had = cursor.saturating_sub(self.base) as usize;
        self.events.iter().skip(had).map(|slot| slot.weight as usize).sum()
    }

    /// Bytes of the events that no flush has offered to all members yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Records that a flush has offered the events before `upto` to all members.
    pub(crate) fn offered(&mut self, upto: u64) {
        self.offered = self.offered.max(upto);
        let known = self.offered.saturating_sub(self.base) as usize;
        self.waiting_bytes = self.events.iter().skip(known).map(|slot| slot.weight as usize).sum();
    }

    /// Drops offered events, oldest first, until at most `bytes` are left. Returns the freed bytes.
    pub(crate) fn trim_to(&mut self, bytes: usize) -> usize {
        let before = self.bytes;
        while self.bytes > bytes && self.events.len() > 1 && self.base < self.offered {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops offered events older than `at_ms`. Returns the freed bytes.
    pub(crate) fn forget_before(&mut self, at_ms: u64) -> usize {
        self.drop_while(|slot| slot.at_ms < at_ms)
    }

    /// Drops the events before the first message, such as joins: a resume needs only messages, and each event holds the frames of
    /// several encodings. Call it only when all members have these events. Returns the freed bytes.
    pub(crate) fn forget_notices(&mut self) -> usize {
        self.drop_while(|slot| slot.event.seq().is_none())
    }

    fn drop_while(&mut self, may_drop: impl Fn(&Slot) -> bool) -> usize {
        let before = self.bytes;
        while self.base < self.offered && self.events.front().is_some_and(&may_drop) {
            self.drop_oldest();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        before - self.bytes
    }

    fn drop_oldest(&mut self) {
        if let Some(slot) = self.events.pop_front() {
            self.base += 1;
            self.base_seq = slot.seq;
            self.bytes -= slot.weight as usize;
        }
    }

    /// The events from `cursor` on, at most up to `end`, in this encoding. The bytes of a single event are shared, not copied.
    pub(crate) fn batch(&self, encoding: Encoding, cursor: u64, end: u64) -> Batch {
        let first = cursor.saturating_sub(self.base) as usize;
        let most = end.saturating_sub(cursor) as usize;
        let mut total = 0;
        let mut count = 0;
        let mut lone: Option<&Bytes> = None;
        let mut addressed = false;
        for slot in self.events.iter().skip(first).take(most) {
            let frames = slot.event.frames(encoding);
            if count > 0 && total + frames.common_bytes() > BATCH_BYTES {
                break;
            }
            match frames {
                Encoded::Shared(frames) if !frames.is_empty() => lone = Some(frames),
                Encoded::Shared(_) => {}
                Encoded::Addressed { .. } => addressed = true,
            }
            total += frames.common_bytes();
            count += 1;
        }
        let content = match lone {
            _ if addressed => Content::Addressed { common_bytes: total },
            None => Content::Shared(Bytes::new()),
            Some(frames) if frames.len() == total => Content::Shared(frames.clone()),
            Some(_) => {
                let mut buffer = BytesMut::with_capacity(total);
                for slot in self.events.iter().skip(first).take(count) {
                    slot.event.frames(encoding).append_for("", &mut buffer);
                }
                Content::Shared(buffer.freeze())
            }
        };
        let upto = cursor + count as u64;
        Batch {
            encoding,
            from: cursor,
            upto,
            seq: self.seq_before(upto),
            content,
        }
    }

    /// Replaces `out` with the bytes of a batch for one member.
    pub(crate) fn assemble(&self, batch: &Batch, receiver: &str, out: &mut BytesMut) {
        out.clear();
        let first = batch.from.saturating_sub(self.base) as usize;
        let count = batch.upto.saturating_sub(batch.from) as usize;
        for slot in self.events.iter().skip(first).take(count) {
            slot.event.frames(batch.encoding).append_for(receiver, out);
        }
    }

    /// After a write of `written` bytes of the batch at `cursor` to this receiver: the index behind the event in which the write
    /// stopped, and how many bytes of that event are unwritten.
    pub(crate) fn tear_for(&self, encoding: Encoding, receiver: &str, cursor: u64, written: usize) -> (u64, usize) {
        let mut left = written;
        let mut index = cursor;
        let first = cursor.saturating_sub(self.base) as usize;
        for slot in self.events.iter().skip(first) {
            if left == 0 {
                break;
            }
            index += 1;
            let bytes = slot.event.frames(encoding).bytes_for(receiver);
            if left < bytes {
                return (index, bytes - left);
            }
            left -= bytes;
        }
        (index, 0)
    }

    /// After a write of `written` bytes of the shared batch at `cursor`: the index behind the event in which the write stopped,
    /// and the rest of that event.
    pub(crate) fn tear(&self, encoding: Encoding, cursor: u64, written: usize) -> (u64, Bytes) {
        let mut left = written;
        let mut index = cursor;
        let first = cursor.saturating_sub(self.base) as usize;
        for slot in self.events.iter().skip(first) {
            // A shared batch has no other frames.
            let Encoded::Shared(frames) = slot.event.frames(encoding) else {
                break;
            };
            if left < frames.len() {
                return if left == 0 {
                    (index, Bytes::new())
                } else {
                    (index + 1, frames.slice(left..))
                };
            }
            left -= frames.len();
            index += 1;
            if left == 0 {
                return (index, Bytes::new());
            }
        }
        (index, Bytes::new())
    }

    /// Whether the ring still has all messages after `seq`.
    pub(crate) fn holds_after(&self, seq: Seq) -> bool {
        self.base_seq <= seq
    }

    /// The number before the oldest of the newest `count` messages up to `upto`; `None` if the ring has fewer.
    pub(crate) fn before_last(&self, count: usize, upto: Seq) -> Option<Seq> {
        let Some(others) = count.checked_sub(1) else {
            return Some(upto);
        };
        let newest_first = self.events.iter().rev().skip_while(|slot| slot.seq > upto);
        newest_first.filter_map(|slot| slot.event.prev()).nth(others)
    }

    /// The number before the oldest message in the ring.
    pub(crate) fn before_all(&self) -> Seq {
        self.base_seq
    }

    /// At most `most` messages after `seq`, oldest first. The returned number says where they begin: after `seq`, or after a
    /// later number if the ring has dropped some.
    pub(crate) fn messages_after(&self, seq: Seq, most: usize) -> (Seq, Vec<Arc<RoomEvent>>) {
        let first = self.events.partition_point(|slot| slot.seq <= seq);
        let messages = self
            .events
            .range(first..)
            .filter(|slot| slot.event.seq().is_some())
            .take(most)
            .map(|slot| slot.event.clone())
            .collect();
        (seq.max(self.base_seq), messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::{Happening, RoomName},
        codec::Dialects,
        shard::testing::values,
    };

    fn message(prev: Seq, seq: Seq) -> Arc<RoomEvent> {
        let (room, happening) = (RoomName::lobby(), Happening::Message(values::message("ada", prev, seq)));
        Arc::new(RoomEvent::new(room, happening, None, 0, Dialects::default()))
    }

    #[test]
    fn before_last_counts_messages_and_not_numbers() {
        let mut ring = Ring::after(0);
        for (prev, seq) in [(0, 3), (3, 4), (4, 9), (9, 10)] {
            ring.push(message(prev, seq), 0);
        }
        let before = |count| ring.before_last(count, 9);
        assert_eq!([0, 1, 2, 3, 4].map(before), [Some(9), Some(4), Some(3), Some(0), None]);
        assert_eq!(ring.before_last(1, 10), Some(9));
    }
}
