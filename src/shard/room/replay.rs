//! Decides what a replay sends next: messages from the ring if the ring has them all, otherwise pages from the store; then live
//! events.
//!
//! Nothing here reads the store or writes to a socket. The results ([`ReplayStep`], [`ReplayPage`], [`Lag`]) say what to do;
//! [`super::resuming`] does it, and reports how far the member has the messages.
//!
//! Invariants:
//! - A member with a replay is pending: it gets no live event before the replay has ended.
//! - A member gets every message between its position and its first live event, in order, or a gap that names it.
//! - A connection has at most one replay in progress, and that has at most one open question to the store.

use std::sync::Arc;

use super::{
    attendance::{Attendance, PageAsk, PendingJoin, Replay},
    members::Feed,
    rings::{Durability, Lag, Missed},
    rooms::Rooms,
};
use crate::{
    chat::{Admission, ChatMessage, Joined, Reply, RoomName, Seq, SessionId},
    codec::LagPolicy,
    limits,
    shard::event::room::RoomEvent,
};

/// The next step of a replay.
#[derive(Debug)]
pub(crate) enum ReplayStep {
    /// Nothing to do: there is no replay, or it waits for the store or the socket.
    Wait,
    /// Send these messages. After them, the member has everything up to `upto`.
    Send { events: Vec<Arc<RoomEvent>>, upto: Seq },
    /// Call [`Rooms::skip_to`].
    Skip { upto: Seq, missed: Missed },
    /// Ask the store, then call [`Rooms::page_asked`]. If the store is full, skip the messages up to `target`.
    Ask { ask: PageAsk, target: Seq },
    /// The replay has ended and the member is live. It must catch up at once, before the ring drops its events.
    Live,
}

/// A page to send.
#[derive(Debug)]
pub(crate) struct ReplayPage {
    pub(crate) room: RoomName,
    pub(crate) messages: Vec<ChatMessage>,
    /// The page after this one, which the store reads while this one is encoded.
    pub(crate) next: Option<PageAsk>,
    /// The store no longer has the messages up to this one.
    pub(crate) lost_upto: Option<Seq>,
    /// The number before its first message. If none of its messages is sent, the member has everything up to this number.
    pub(crate) before: Seq,
}

/// What a leaving member does not get any more.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    /// Its join, if that is not answered yet.
    pub(crate) pending_join: Option<PendingJoin>,
    /// The missed messages: after the first number, up to the second.
    pub(crate) missed: Option<(Seq, Seq)>,
    /// Whether its replay was the first in the queue, so that the next one can begin.
    pub(crate) was_first: bool,
}

impl Rooms {
    fn next_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    pub(super) fn is_pending(&mut self, id: SessionId, room: &RoomName) -> bool {
        self.member(id, room).is_some_and(|member| member.feed == Feed::Pending)
    }

    fn suspend_feed(&mut self, id: SessionId, room: &RoomName) {
        if let Some(member) = self.member(id, room) {
            member.feed = Feed::Pending;
        }
    }

    /// Prepares the question to the store about a new member: the user's read marker and its first missed messages. Until the
    /// answer comes the member is pending, because the answer to its join must precede all events of the room. Returns the number
    /// of the question and a limit for the messages: 0 if the ring has them, or if another room is replayed first.
    pub(super) fn prepare_resume(&mut self, id: SessionId, admission: &Admission) -> (u32, usize) {
        let joined = &admission.joined;
        self.suspend_feed(id, &joined.room);
        let others = self
            .attendance
            .get(id)
            .is_none_or(|attendance| attendance.replays.is_some());
        let ring = self.find(&joined.room).and_then(|room| self.rings.get(room));
        let in_ring = admission.last.is_none() && ring.is_some_and(|ring| ring.events().holds_after(joined.from));
        let limit = if others || in_ring { 0 } else { limits::RESUME_MESSAGES };
        (self.next_number(), limit)
    }

    /// Finds the beginning of the newest messages that a new member asked for, if the ring has them or the store has no others.
    pub(super) fn find_last(&self, admission: &mut Admission) {
        let ring = self.find(&admission.joined.room).and_then(|room| self.rings.get(room));
        let (Some(count), Some(ring)) = (admission.last, ring) else {
            return;
        };
        // The member gets messages behind `head` as live events.
        let head = admission.joined.head.seq;
        let begin = ring.events().before_last(count as usize, head);
        let begin = begin.or_else(|| match ring.durability {
            Durability::Ephemeral => Some(ring.events().before_all().min(head)),
            // The room has no message yet.
            Durability::Durable => (head == 0).then_some(0),
        });
        if let Some(begin) = begin {
            admission.joined.from = begin;
            admission.last = None;
        }
    }

    /// Adds a join whose answer waits for the store.
    pub(super) fn add_pending_join(&mut self, id: SessionId, pending_join: PendingJoin) {
        if let Some(attendance) = self.attendance.get_mut(id) {
            attendance
                .replays
                .get_or_insert_default()
                .pending_joins
                .push(pending_join);
        }
    }

    /// Takes the join that waited for this answer of the store.
    pub(super) fn take_pending_join(&mut self, id: SessionId, number: u32) -> Option<PendingJoin> {
        let attendance = self.attendance.get_mut(id)?;
        let pending_joins = &mut attendance.replays.as_mut()?.pending_joins;
        let at = pending_joins
            .iter()
            .position(|pending_join| pending_join.number == number)?;
        let pending_join = pending_joins.remove(at);
        attendance.forget_if_done();
        Some(pending_join)
    }

    /// Begins the replay of a member whose join was answered: the messages after `joined.from` up to its head. `first` holds the
    /// first of them if the store has read some. Returns them, with the number of the replay, if they can be sent as its first
    /// page.
    pub(super) fn begin_replay(
        &mut self,
        id: SessionId,
        joined: &Joined,
        first: Vec<ChatMessage>,
    ) -> Option<(u32, Vec<ChatMessage>)> {
        let (after, target) = (joined.from, joined.head.seq);
        if after >= target && !self.is_pending(id, &joined.room) {
            return None;
        }
        self.suspend_feed(id, &joined.room);
        let number = self.next_number();
        let queue = &mut self.attendance.get_mut(id)?.replays.get_or_insert_default().queue;
        let first = Some(first).filter(|first| queue.is_empty() && !first.is_empty());
        queue.push_back(Replay {
            number,
            room: joined.room.clone(),
            from: after,
            after,
            target,
            durability: Durability::of(joined),
            asked: first.as_ref().map(|_| after),
            page: limits::HISTORY_PAGE_MESSAGES,
        });
        first.map(|first| (number, first))
    }

    /// Ends the replay of a member that leaves.
    pub(super) fn abandon_replay(&mut self, id: SessionId, room: &RoomName) -> Abandoned {
        let mut abandoned = Abandoned::default();
        let Some(attendance) = self.attendance.get_mut(id) else {
            return abandoned;
        };
        let Some(replays) = &mut attendance.replays else {
            return abandoned;
        };
        if let Some(at) = replays.queue.iter().position(|replay| replay.room == *room) {
            abandoned.missed = replays.queue.remove(at).map(|replay| (replay.after, replay.target));
            abandoned.was_first = at == 0;
        }
        let mut joins = replays.pending_joins.iter();
        if let Some(at) = joins.position(|join| join.admission.joined.room == *room) {
            let pending_join = replays.pending_joins.remove(at);
            let joined = &pending_join.admission.joined;
            abandoned.missed = Some((joined.from, joined.head.seq));
            abandoned.pending_join = Some(pending_join);
        }
        attendance.forget_if_done();
        abandoned.missed.take_if(|(after, upto)| *after >= *upto);
        abandoned
    }

    /// Skips the messages that a leaving member missed, and returns the gap that says so. If its dialect has no gap event, skips
    /// the later events too, so that the member sees no hole.
    pub(super) fn skip_missed(
        &mut self,
        id: SessionId,
        room: &RoomName,
        (after, upto): (Seq, Seq),
        policy: LagPolicy,
    ) -> Option<Reply> {
        let membership = self.membership_at(id, self.find(room)?)?;
        let ring = self.rings.get_mut(membership.room)?;
        match policy {
            LagPolicy::Gap => Some(ring.gap(after, upto, Missed::Stored)),
            LagPolicy::Disconnect => {
                ring.skip_to_end(membership.member);
                None
            }
        }
    }

    /// The next step of a connection's first replay. With `full`, the connection has bytes that its socket has not accepted.
    pub(super) fn replay_step(&mut self, id: SessionId, full: bool) -> ReplayStep {
        let Some(attendance) = self.attendance.get_mut(id) else {
            return ReplayStep::Wait;
        };
        loop {
            attendance.forget_if_done();
            let Attendance { rooms, replays, .. } = &mut *attendance;
            let Some(queue) = replays.as_mut().map(|replays| &mut replays.queue) else {
                return ReplayStep::Wait;
            };
            let Some(replay) = queue.front_mut() else {
                return ReplayStep::Wait;
            };
            let slot = self.by_name.get(&replay.room).copied();
            let membership = rooms.iter().find(|membership| Some(membership.room) == slot);
            let Some((membership, ring)) = membership.and_then(|membership| {
                let ring = self.rings.get_mut(membership.room);
                ring.map(|ring| (membership, ring))
            }) else {
                queue.pop_front();
                continue;
            };
            if replay.after < replay.target {
                let (from, mut events) = ring.events().messages_after(replay.after, limits::REPLAY_MESSAGES);
                if from <= replay.after {
                    let last = events.last().and_then(|event| event.seq());
                    let upto = match last {
                        Some(last) if events.len() == limits::REPLAY_MESSAGES => last.min(replay.target),
                        Some(_) | None => replay.target,
                    };
                    events.retain(|event| event.seq().is_some_and(|seq| seq <= replay.target));
                    return ReplayStep::Send { events, upto };
                }
                let target = replay.target;
                return match replay.durability {
                    Durability::Ephemeral => ReplayStep::Skip {
                        upto: from.min(target),
                        missed: Missed::Lost,
                    },
                    Durability::Durable if replay.asked.is_some() => ReplayStep::Wait,
                    Durability::Durable => ReplayStep::Ask {
                        ask: replay.ask_after(replay.after),
                        target,
                    },
                };
            }
            if full {
                // Live events would pile up behind these bytes. The replay continues when they are written.
                return ReplayStep::Wait;
            }
            // The member has everything up to its cursor. It can go live if the ring still has the event there.
            let (events, members) = ring.parts();
            let Some(member) = members.get_mut(membership.member) else {
                queue.pop_front();
                continue;
            };
            if member.cursor >= events.base() {
                member.feed = Feed::Live;
                queue.pop_front();
                attendance.forget_if_done();
                return ReplayStep::Live;
            }
            replay.target = ring.skip_to_end(membership.member);
        }
    }

    fn first_replay(&mut self, id: SessionId) -> Option<&mut Replay> {
        self.attendance.get_mut(id)?.replays.as_mut()?.queue.front_mut()
    }

    /// Whether the first replay of a connection has this number. A page for another replay is too late.
    pub(super) fn is_replaying(&mut self, id: SessionId, number: u32) -> bool {
        self.first_replay(id).is_some_and(|replay| replay.number == number)
    }

    /// Whether the first replay of a connection waits for a page of the store.
    pub(super) fn waits_for_page(&mut self, id: SessionId) -> bool {
        self.first_replay(id).is_some_and(|replay| replay.asked.is_some())
    }

    /// Records that the store was asked for this page.
    pub(super) fn page_asked(&mut self, id: SessionId, after: Seq) {
        if let Some(replay) = self.first_replay(id) {
            replay.asked = Some(after);
        }
    }

    /// Records that the member has everything up to this message.
    pub(super) fn replayed_upto(&mut self, id: SessionId, seq: Seq) {
        if let Some(replay) = self.first_replay(id) {
            replay.after = replay.after.max(seq);
        }
    }

    /// Skips the missed messages up to this one. If the dialect has no gap event and the replay has sent messages already, the
    /// member must be closed, because it would see a hole.
    pub(super) fn skip_to(&mut self, id: SessionId, upto: Seq, missed: Missed, policy: LagPolicy) -> Option<Lag> {
        let replay = self.first_replay(id)?;
        let after = replay.after;
        if policy == LagPolicy::Disconnect && after > replay.from {
            return Some(Lag::TooSlow);
        }
        replay.from = upto;
        replay.after = after.max(upto);
        let room = replay.room.clone();
        let ring = self.find(&room).and_then(|room| self.rings.get(room))?;
        (policy == LagPolicy::Gap).then(|| Lag::Gap(ring.gap(after, upto, missed)))
    }

    /// Takes a page of the store while `waiting_bytes` wait for the socket; `None` if it is of no use.
    pub(super) fn take_page(
        &mut self,
        id: SessionId,
        number: u32,
        mut messages: Vec<ChatMessage>,
        waiting_bytes: usize,
    ) -> Option<ReplayPage> {
        let replay = self.first_replay(id).filter(|replay| replay.number == number)?;
        let (after, target) = (replay.after, replay.target);
        if replay.asked.take() != Some(after) || waiting_bytes > limits::PRIVATE_BYTES {
            // The page before this one ended at another message than expected, so this one does not follow it; or the client
            // reads slowly.
            return None;
        }
        let last = messages.last().map(|message| message.seq);
        let next = last.filter(|last| *last < target && waiting_bytes <= limits::PRIVATE_BYTES / 8);
        // Retention may have deleted messages since the replay began.
        let before = messages.first().map_or(target, |message| message.prev).min(target);
        messages.truncate(messages.partition_point(|message| message.seq <= target));
        Some(ReplayPage {
            room: replay.room.clone(),
            messages,
            next: next.map(|last| replay.ask_after(last)),
            lost_upto: Some(before).filter(|before| *before > after),
            before,
        })
    }

    /// Records that `messages` of a page were sent, in `bytes`: the member has everything up to `upto`.
    pub(super) fn page_sent(&mut self, id: SessionId, upto: Seq, messages: usize, bytes: usize) {
        let Some(replay) = self.first_replay(id) else { return };
        replay.after = replay.after.max(upto);
        if let Some(each) = bytes.checked_div(messages) {
            // A page may fill half of the bound, so that a page of longer texts still fits.
            replay.page = (limits::PRIVATE_BYTES / 2 / each.max(1)).clamp(1, limits::HISTORY_PAGE_MESSAGES);
        }
    }

    /// Handles a page that the store could not read. If the member needs it now, returns the number up to which to skip.
    pub(super) fn page_failed(&mut self, id: SessionId, number: u32, waiting_bytes: usize) -> Option<Seq> {
        let replay = self.first_replay(id).filter(|replay| replay.number == number)?;
        let asked = replay.asked.take();
        Some(replay.target).filter(|_| asked == Some(replay.after) && waiting_bytes <= limits::PRIVATE_BYTES)
    }
}
