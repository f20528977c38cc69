//! What members missed: from the ring where it has all of it, else page by page from the store; then live events.
//!
//! Nothing here reads the store or writes to a socket. [`Rooms`] says what is to be done next ([`ReplayStep`], [`PageTaken`],
//! [`Lag`]); the engine does it and reports back how far the member has been sent messages.
//!
//! Invariants:
//! - A member with a replay is held: it is sent no live event before the replay has ended.
//! - Every message between the one a member goes on from and its first live event is sent, or named in a gap, in order.
//! - The rooms of a connection are replayed one after the other, and one question to the store is open at a time.

use super::{
    attendance::Attendance,
    members::Hold,
    outcome::{Abandoned, Lag, Missed, Page, PageTaken, ReplayStep, Welcome},
    replays::Replay,
    rings::Durability,
    rooms::Rooms,
};
use crate::{
    chat::{Admission, ChatMessage, Joined, Reply, RoomName, Seq, SessionId},
    codec::LagPolicy,
    limits,
};

impl Rooms {
    fn next_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    pub(super) fn is_held(&mut self, id: SessionId, room: &RoomName) -> bool {
        self.member(id, room).is_some_and(|member| member.hold == Hold::Held)
    }

    fn hold(&mut self, id: SessionId, room: &RoomName) {
        if let Some(member) = self.member(id, room) {
            member.hold = Hold::Held;
        }
    }

    /// The store is to be asked how far the user of a new member has read. The member is held meanwhile: nothing of the room may
    /// pass before the answer to the join. The number of the question, and how many of the first messages are to come with the
    /// answer: none if the ring has them or another room comes first.
    pub(super) fn ask_resume(&mut self, id: SessionId, admission: &Admission) -> (u32, usize) {
        let joined = &admission.joined;
        self.hold(id, &joined.room);
        let others = self
            .attendance
            .get(id)
            .is_none_or(|attendance| attendance.replays.is_some());
        let ring = self.find(&joined.room).and_then(|room| self.rings.get(room));
        let in_ring = admission.last.is_none() && ring.is_some_and(|ring| ring.events().holds_after(joined.from));
        let limit = if others || in_ring { 0 } else { limits::RESUME_MESSAGES };
        (self.next_number(), limit)
    }

    /// Finds where the newest messages begin that a new member asked for, if the ring has them, or if nobody has more.
    pub(super) fn find_last(&self, admission: &mut Admission) {
        let ring = self.find(&admission.joined.room).and_then(|room| self.rings.get(room));
        let (Some(count), Some(ring)) = (admission.last, ring) else {
            return;
        };
        // More may have been said since it joined, which it is shown live.
        let head = admission.joined.head.seq;
        let begin = ring.events().before_last(count as usize, head);
        let begin = begin.or_else(|| match ring.durability {
            Durability::Ephemeral => Some(ring.events().before_all().min(head)),
            // Nobody has said anything yet.
            Durability::Durable => (head == 0).then_some(0),
        });
        if let Some(begin) = begin {
            admission.joined.from = begin;
            admission.last = None;
        }
    }

    /// The answer to a join waits for the store.
    pub(super) fn await_resume(&mut self, id: SessionId, welcome: Welcome) {
        if let Some(attendance) = self.attendance.get_mut(id) {
            attendance.replays.get_or_insert_default().welcomes.push(welcome);
        }
    }

    /// The store has answered: the join that waited for it.
    pub(super) fn take_welcome(&mut self, id: SessionId, number: u32) -> Option<Welcome> {
        let attendance = self.attendance.get_mut(id)?;
        let welcomes = &mut attendance.replays.as_mut()?.welcomes;
        let at = welcomes.iter().position(|welcome| welcome.number == number)?;
        let welcome = welcomes.remove(at);
        attendance.forget_if_done();
        Some(welcome)
    }

    /// A member has been told that it joined, and begins to be sent what it missed: all between `joined.from` and its head. The
    /// first of it may be here. What is to be done is in the next step, or in the page that is given back with its number.
    pub(super) fn begin_replay(
        &mut self,
        id: SessionId,
        joined: &Joined,
        first: Vec<ChatMessage>,
    ) -> Option<(u32, Vec<ChatMessage>)> {
        let (after, target) = (joined.from, joined.head.seq);
        if after >= target && !self.is_held(id, &joined.room) {
            return None;
        }
        self.hold(id, &joined.room);
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

    /// A member leaves: it is sent no more of what it missed.
    pub(super) fn abandon_replay(&mut self, id: SessionId, room: &RoomName) -> Abandoned {
        let mut abandoned = Abandoned {
            welcome: None,
            missed: None,
            was_first: false,
        };
        let Some(attendance) = self.attendance.get_mut(id) else {
            return abandoned;
        };
        let Some(replays) = attendance.replays.as_mut() else {
            return abandoned;
        };
        if let Some(at) = replays.queue.iter().position(|replay| replay.room == *room) {
            abandoned.missed = replays.queue.remove(at).map(|replay| (replay.after, replay.target));
            abandoned.was_first = at == 0;
        }
        if let Some(at) = replays
            .welcomes
            .iter()
            .position(|welcome| welcome.admission.joined.room == *room)
        {
            let welcome = replays.welcomes.remove(at);
            let joined = &welcome.admission.joined;
            abandoned.missed = Some((joined.from, joined.head.seq));
            abandoned.welcome = Some(welcome);
        }
        attendance.forget_if_done();
        abandoned.missed.take_if(|(after, upto)| *after >= *upto);
        abandoned
    }

    /// A member that leaves is not sent the messages after one, up to another. Where its dialect has no words for a gap, it is not
    /// sent either what happened since.
    pub(super) fn leave_out(
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

    /// What the first replay of a connection needs next; `full`: something waits for its socket.
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
                    Durability::Ephemeral => ReplayStep::PassOver {
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
                // Live events would pile up behind what the socket has not taken: it goes on when that is out.
                return ReplayStep::Wait;
            }
            // Everything up to where the cursor began: does the ring still go on from there?
            let (events, members) = ring.parts();
            let Some(member) = members.get_mut(membership.member) else {
                queue.pop_front();
                continue;
            };
            if member.cursor >= events.base() {
                member.hold = Hold::Live;
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

    /// Whether the first replay of a connection waits for a page of the store.
    pub(super) fn waits_for_page(&mut self, id: SessionId) -> bool {
        self.first_replay(id).is_some_and(|replay| replay.asked.is_some())
    }

    /// The store has been asked for this page.
    pub(super) fn page_asked(&mut self, id: SessionId, after: Seq) {
        if let Some(replay) = self.first_replay(id) {
            replay.asked = Some(after);
        }
    }

    /// The member has been sent everything up to this message.
    pub(super) fn replayed_upto(&mut self, id: SessionId, seq: Seq) {
        if let Some(replay) = self.first_replay(id) {
            replay.after = replay.after.max(seq);
        }
    }

    /// The member is not sent what it missed up to this message. One whose dialect has no words for that must be closed if it has
    /// been sent something before: it would see a hole.
    pub(super) fn pass_over(&mut self, id: SessionId, upto: Seq, missed: Missed, policy: LagPolicy) -> Lag {
        let Some(replay) = self.first_replay(id) else {
            return Lag::Nothing;
        };
        let after = replay.after;
        if policy == LagPolicy::Disconnect && after > replay.from {
            return Lag::TooSlow;
        }
        replay.from = upto;
        replay.after = after.max(upto);
        let room = replay.room.clone();
        let ring = self.find(&room).and_then(|room| self.rings.get(room));
        match (policy, ring) {
            (LagPolicy::Gap, Some(ring)) => Lag::Gap(ring.gap(after, upto, missed)),
            (LagPolicy::Gap | LagPolicy::Disconnect, _) => Lag::Nothing,
        }
    }

    /// The store has read a page; so many bytes wait for the socket.
    pub(super) fn take_page(
        &mut self,
        id: SessionId,
        number: u32,
        mut messages: Vec<ChatMessage>,
        waiting_bytes: usize,
    ) -> PageTaken {
        let Some(replay) = self.first_replay(id).filter(|replay| replay.number == number) else {
            return PageTaken::Unknown;
        };
        let (after, target) = (replay.after, replay.target);
        if replay.asked.take() != Some(after) || waiting_bytes > limits::PRIVATE_BYTES {
            // Asked for before it was known where the page before would end, or how slowly it is read.
            return PageTaken::Again;
        }
        let last = messages.last().map(|message| message.seq);
        let next = last.filter(|last| *last < target && waiting_bytes <= limits::PRIVATE_BYTES / 8);
        // Retention may have been faster than the replay.
        let before = messages.first().map_or(target, |message| message.prev).min(target);
        messages.truncate(messages.partition_point(|message| message.seq <= target));
        PageTaken::Page(Page {
            room: replay.room.clone(),
            messages,
            next: next.map(|last| replay.ask_after(last)),
            lost_upto: Some(before).filter(|before| *before > after),
            before,
        })
    }

    /// So many messages of a page have been sent, in so many bytes: the member has everything up to `upto`.
    pub(super) fn page_sent(&mut self, id: SessionId, upto: Seq, messages: usize, bytes: usize) {
        let Some(replay) = self.first_replay(id) else { return };
        replay.after = replay.after.max(upto);
        if let Some(each) = bytes.checked_div(messages) {
            // Half of what may wait, so that a page of longer texts fits as well.
            replay.page = (limits::PRIVATE_BYTES / 2 / each.max(1)).clamp(1, limits::HISTORY_PAGE_MESSAGES);
        }
    }

    /// The store could not read a page that the member needs now: it is not sent what it missed up to this message.
    pub(super) fn page_failed(&mut self, id: SessionId, number: u32, waiting_bytes: usize) -> Option<Seq> {
        let replay = self.first_replay(id).filter(|replay| replay.number == number)?;
        let asked = replay.asked.take();
        Some(replay.target).filter(|_| asked == Some(replay.after) && waiting_bytes <= limits::PRIVATE_BYTES)
    }
}
