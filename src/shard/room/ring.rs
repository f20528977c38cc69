//! The ring: one shard's recent events of one room, which members read by cursors ([`super::members`]).
//!
//! Invariants:
//! - An index counts from the first event of the ring's life and is never used again.
//! - An event that some member that reads has not been offered is not dropped; nor is the newest one.
//! - `bytes` and `waiting_bytes` are sums over the events.
//!
//! The ring encodes an event once per encoding and never copies one for a member, except a frame that holds the member's name.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};

use crate::shard::{frames::Encoded, room::event::RoomEvent};
use crate::{chat::Seq, codec::Encoding, limits::BATCH_BYTES};

#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<Slot>,
    base: u64,
    bytes: usize,
    /// The last message before the first event.
    base_seq: Seq,
    /// Events since the last flush began.
    pub(crate) fresh: usize,
    /// Every member that reads has been offered the events before this index.
    offered: u64,
    /// Bytes of the events from there on.
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    event: Arc<RoomEvent>,
    /// The last message at or before this event.
    seq: Seq,
    at_ms: u64,
    weight: u32,
}

/// Consecutive events in one encoding.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) encoding: Encoding,
    pub(crate) from: u64,
    /// The first event that is not in it.
    pub(crate) upto: u64,
    /// The last message before `upto`.
    pub(crate) seq: Seq,
    pub(crate) content: Content,
}

/// The bytes of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// The same for every member.
    Shared(Bytes),
    /// They hold the receiver's name: [`Ring::assemble`] makes them for each member. `common_bytes` counts what does not differ
    /// from member to member.
    Addressed { common_bytes: usize },
}

impl Batch {
    /// Its length; without names and heads if it is made for each member.
    pub(crate) fn bytes(&self) -> usize {
        match &self.content {
            Content::Shared(bytes) => bytes.len(),
            Content::Addressed { common_bytes } => *common_bytes,
        }
    }
}

impl Ring {
    /// An empty ring for what comes after this message.
    pub(crate) fn after(seq: Seq) -> Self {
        Self {
            base_seq: seq,
            ..Self::default()
        }
    }

    /// The index that the next event will have.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.events.len() as u64
    }

    /// The first index that is still here.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Memory of the events, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last message before the event with this index.
    pub(crate) fn seq_before(&self, index: u64) -> Seq {
        match index.checked_sub(self.base + 1) {
            None => self.base_seq,
            Some(offset) => self.events.get(offset as usize).map_or(self.base_seq, |slot| slot.seq),
        }
    }

    /// The newest message.
    pub(crate) fn head_seq(&self) -> Seq {
        self.events.back().map_or(self.base_seq, |slot| slot.seq)
    }

    /// Appends an event; how many bytes it added.
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

    /// Bytes of the events that have not been offered to every member yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Every member that reads has been offered what stands before `upto`.
    pub(crate) fn offered(&mut self, upto: u64) {
        self.offered = self.offered.max(upto);
        let known = self.offered.saturating_sub(self.base) as usize;
        self.waiting_bytes = self.events.iter().skip(known).map(|slot| slot.weight as usize).sum();
    }

    /// Drops the oldest events that may be dropped until at most `bytes` are left; how many bytes that freed.
    pub(crate) fn trim_to(&mut self, bytes: usize) -> usize {
        let before = self.bytes;
        while self.bytes > bytes && self.events.len() > 1 && self.base < self.offered {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops events older than `at_ms`; how many bytes that freed.
    pub(crate) fn forget_before(&mut self, at_ms: u64) -> usize {
        let before = self.bytes;
        while self.base < self.offered && self.events.front().is_some_and(|slot| slot.at_ms < at_ms) {
            self.drop_oldest();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        before - self.bytes
    }

    /// Drops the events before the first message, once every member has been sent them: a returning user asks for messages only,
    /// and an event has room for the frames of all encodings. How many bytes that freed.
    pub(crate) fn forget_notices(&mut self) -> usize {
        let before = self.bytes;
        let is_notice = |slot: &Slot| slot.event.seq().is_none();
        while self.base < self.offered && self.events.front().is_some_and(is_notice) {
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

    /// The events from `cursor` on, at most up to `end`, in this encoding; one event is not copied.
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

    /// Puts the bytes of a batch for one member into `out`, which is emptied first.
    pub(crate) fn assemble(&self, batch: &Batch, receiver: &str, out: &mut BytesMut) {
        out.clear();
        let first = batch.from.saturating_sub(self.base) as usize;
        let count = batch.upto.saturating_sub(batch.from) as usize;
        for slot in self.events.iter().skip(first).take(count) {
            slot.event.frames(batch.encoding).append_for(receiver, out);
        }
    }

    /// After `written` bytes of the batch at `cursor` went out to this receiver: the cursor behind the event in which the write
    /// stopped, and how many bytes of that event are left.
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

    /// After `written` bytes of the batch at `cursor` went out: the cursor behind the event in which the write stopped, and the
    /// rest of that event.
    pub(crate) fn tear(&self, encoding: Encoding, cursor: u64, written: usize) -> (u64, Bytes) {
        let mut left = written;
        let mut index = cursor;
        let first = cursor.saturating_sub(self.base) as usize;
        for slot in self.events.iter().skip(first) {
            // A batch that is the same for all has no others.
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

    /// Whether all messages after `seq` are still here.
    pub(crate) fn holds_after(&self, seq: Seq) -> bool {
        self.base_seq <= seq
    }

    /// The number before the newest `count` messages up to `upto`; `None`: some of them are gone, or never were.
    pub(crate) fn before_last(&self, count: usize, upto: Seq) -> Option<Seq> {
        let Some(others) = count.checked_sub(1) else {
            return Some(upto);
        };
        let newest_first = self.events.iter().rev().skip_while(|slot| slot.seq > upto);
        newest_first.filter_map(|slot| slot.event.prev()).nth(others)
    }

    /// The number before the oldest message that is still here.
    pub(crate) fn before_all(&self) -> Seq {
        self.base_seq
    }

    /// Some of the messages after `seq` that are still here, oldest first, and after which one they begin: `seq`, unless some are
    /// gone.
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
    use crate::chat::{ChatMessage, Happening, MessageKind, RoomName, SessionTag, UserName};

    fn message(prev: Seq, seq: Seq) -> Arc<RoomEvent> {
        let message = ChatMessage {
            epoch: 1,
            seq,
            prev,
            at: 0,
            from: UserName::guest(1),
            session: SessionTag(1),
            text: "hello".into(),
            kind: MessageKind::Text,
            echo: None,
        };
        Arc::new(RoomEvent::new(RoomName::lobby(), Happening::Message(message), None, 0))
    }

    #[test]
    fn the_newest_messages_up_to_one_are_counted_whatever_their_numbers() {
        let mut ring = Ring::after(0);
        for (prev, seq) in [(0, 3), (3, 4), (4, 9), (9, 10)] {
            ring.push(message(prev, seq), 0);
        }
        let before = |count| ring.before_last(count, 9);
        assert_eq!([0, 1, 2, 3, 4].map(before), [Some(9), Some(4), Some(3), Some(0), None]);
        assert_eq!(ring.before_last(1, 10), Some(9));
    }
}
