//! What a member missed: from the ring where it holds all of it, else page by page from the store, and live from there on.

use std::sync::Arc;

use crate::shard::{
    bus::message::Resumed,
    connection::state::{Phase, Replay, Session, Socket, Welcoming},
    engine::{Clock, Engine},
    store::names::Proof,
    store::port::Ticket,
};
use crate::{
    chat::{
        Conversation, GoodbyeCode, Happening, Joined, Position, Reply, RequestId, RoomName, Seq, SessionId, Since, Talk,
    },
    codec::{Frames, LagPolicy},
    history::{Ask, LogHead, LogId, LostInterval, Window},
    limits,
};

/// How many of some talks a member was given, and which was the last.
enum Given {
    All(Option<Seq>),
    /// More may not wait for its socket.
    Some(Option<Seq>),
}

/// Whether the server still has what a member is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// As long as the room is durable.
    Stored,
    Lost,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session has been admitted: it is told, and given what it missed.
    pub(crate) fn welcome_member(
        &mut self,
        id: SessionId,
        request: RequestId,
        mut joined: Joined,
        lost: Vec<LostInterval>,
        resumed: Option<Box<Resumed>>,
    ) {
        let resumes = joined.from < joined.head.seq || !lost.is_empty();
        let user = self
            .connection(id)
            .and_then(|c| c.session.as_ref())
            .map(|session| session.name.clone());
        if joined.history
            && resumes
            && let Some(user) = user
        {
            // Unless the user has taken another name since.
            if let Some(resumed) = resumed.filter(|resumed| resumed.read.user == user) {
                joined.read = resumed.read.seq;
                return self.tell_joined(id, request, joined, lost, Some((resumed.head, resumed.talks)));
            }
            // Nothing of the room may pass before the answer to the join.
            self.hold(id, &joined.room);
            let ask = Ask::Resume {
                log: LogId::Room(joined.room.clone()),
                user,
                since: Since::Position(Position {
                    epoch: joined.head.epoch,
                    seq: joined.from,
                }),
                limit: self.resume_limit(id, &joined),
            };
            let number = self.next_reading(id);
            if self.ask_store(ask, Ticket::Resume { session: id, number }) {
                if let Some(session) = self.session(id) {
                    session.welcomes.push(Welcoming {
                        number,
                        request,
                        joined: Box::new(joined),
                        lost,
                    });
                }
                return;
            }
        }
        self.tell_joined(id, request, joined, lost, None);
    }

    /// How many of the talks that a member missed are to come with its read position: none where the ring has them, or where
    /// another room comes first.
    fn resume_limit(&mut self, id: SessionId, joined: &Joined) -> usize {
        let waits = self
            .session(id)
            .is_none_or(|session| !session.replays.is_empty() || !session.welcomes.is_empty());
        let in_ring = self
            .room_places
            .get(&joined.room)
            .and_then(|place| self.rooms.get(place.index()))
            .is_some_and(|room| room.ring.holds_after(joined.from));
        if waits || in_ring { 0 } else { limits::RESUME_TALKS }
    }

    pub(crate) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.connection(id)?.session.as_deref_mut()
    }

    pub(crate) fn is_held(&mut self, id: SessionId, room: &RoomName) -> bool {
        self.member(id, room).is_some_and(|member| member.held)
    }

    /// A number for what this session is to be given from the store next.
    pub(crate) fn next_reading(&mut self, id: SessionId) -> u32 {
        self.session(id).map_or(0, |session| {
            session.readings = session.readings.wrapping_add(1);
            session.readings
        })
    }

    /// The read position for an answer to a join is known, or that it cannot be had.
    pub(crate) fn resume_known(&mut self, id: SessionId, number: u32, resumed: Option<Resumed>) {
        let Some(session) = self.session(id) else { return };
        let Some(at) = session.welcomes.iter().position(|welcome| welcome.number == number) else {
            return;
        };
        let Welcoming {
            request,
            mut joined,
            lost,
            ..
        } = session.welcomes.remove(at);
        if resumed
            .as_ref()
            .is_some_and(|resumed| resumed.read.user != session.name)
        {
            // The user has taken another name since: that one's position is asked for.
            return self.welcome_member(id, request, *joined, lost, None);
        }
        let first = resumed.map(|Resumed { read, head, talks }| {
            joined.read = read.seq;
            (head, talks)
        });
        self.tell_joined(id, request, *joined, lost, first);
    }

    /// A member goes and is given no more of what it missed. It is told that it had joined, if that is still to be said, and then
    /// what it will not get: no message may pass before the ones before it.
    pub(crate) fn end_replay(&mut self, id: SessionId, room: &RoomName) {
        let Some(session) = self.session(id) else { return };
        let welcome = session
            .welcomes
            .iter()
            .position(|welcome| welcome.joined.room == *room)
            .map(|at| session.welcomes.remove(at));
        let at = session.replays.iter().position(|replay| replay.room == *room);
        let replay = at.map(|at| session.replays.remove(at));
        let mut missed = replay.map(|replay| (replay.after, replay.target));
        if let Some(Welcoming {
            request, joined, lost, ..
        }) = welcome
        {
            missed = Some((joined.from, joined.head.seq));
            self.say_joined(id, request, *joined, lost);
        }
        if let Some((after, upto)) = missed
            && after < upto
        {
            self.leave_out(id, room, after, upto);
        }
        if at == Some(0) {
            self.replay_on(id);
        }
    }

    /// A member that goes is not given what it missed after this message, up to the other. Where its dialect has no words for a
    /// gap, it is not shown either what happened since.
    fn leave_out(&mut self, id: SessionId, name: &RoomName, after: Seq, upto: Seq) {
        let Some(dialect) = self.dialect(id) else { return };
        match self.profiles[usize::from(dialect)].lag {
            LagPolicy::Gap => self.tell_gap(id, name, after, upto, Missed::Stored),
            LagPolicy::Disconnect => {
                self.skip_to_end(id, name);
            }
        }
    }

    pub(crate) fn say_joined(
        &mut self,
        id: SessionId,
        request: RequestId,
        mut joined: Joined,
        lost: Vec<LostInterval>,
    ) {
        let room = joined.room.clone();
        if self.session(id).is_some_and(|session| session.proof == Proof::Assigned) {
            // The position is that of somebody who had the name before.
            joined.read = None;
        }
        self.reply(id, request, &Reply::Joined(Box::new(joined)));
        for LostInterval { epoch, from, to } in lost {
            let conversation = Conversation::Room(room.clone());
            self.reply(
                id,
                None,
                &Reply::Gap {
                    conversation,
                    epoch,
                    from,
                    to,
                    lost: true,
                },
            );
        }
        self.answered(id);
    }

    /// Answers a join and gives what was missed, beginning with what has been read of it.
    fn tell_joined(
        &mut self,
        id: SessionId,
        request: RequestId,
        joined: Joined,
        lost: Vec<LostInterval>,
        first: Option<(LogHead, Vec<Talk>)>,
    ) {
        let (room, after, head) = (joined.room.clone(), joined.from, joined.head.seq);
        let history = joined.history;
        self.say_joined(id, request, joined, lost);
        if after >= head && !self.is_held(id, &room) {
            return;
        }
        self.hold(id, &room);
        let number = self.next_reading(id);
        let first = first.filter(|(_, talks)| !talks.is_empty());
        let Some(session) = self.session(id) else { return };
        // One conversation after the other.
        let alone = session.replays.is_empty();
        session.replays.push(Replay {
            number,
            room,
            from: after,
            after,
            target: head,
            history,
            asked: first.as_ref().filter(|_| alone).map(|_| after),
            page: limits::HISTORY_PAGE_TALKS,
        });
        match first {
            Some((_, talks)) if alone => self.replay_page(id, number, talks),
            _ if alone => self.replay_on(id),
            _ => {}
        }
    }

    /// Goes on with the replay at hand: from the ring where it holds all, else with a page of the store.
    pub(crate) fn replay_on(&mut self, id: SessionId) {
        if self.waits_for_dialect(id) {
            return;
        }
        loop {
            let Some(connection) = self.connection(id) else { return };
            if connection.private_bytes() > limits::PRIVATE_BYTES {
                // It goes on when this much has been written: a slow reader costs one page of memory.
                return;
            }
            let connection_waits = connection.outgoing.is_some();
            let Some(replay) = connection
                .session
                .as_ref()
                .and_then(|session| session.replays.first().cloned())
            else {
                return;
            };
            let Some(place) = self.room_places.get(&replay.room).copied() else {
                return self.replay_done(id);
            };
            let Some(room) = self.rooms.get(place.index()) else {
                return self.replay_done(id);
            };
            if replay.after < replay.target {
                let (from, talks) = room.ring.talks_after(replay.after, limits::REPLAY_TALKS);
                if from <= replay.after {
                    let upto = match talks.last().map(|event| &event.happening) {
                        Some(Happening::Talk(last)) if talks.len() == limits::REPLAY_TALKS => {
                            last.seq.min(replay.target)
                        }
                        _ => replay.target,
                    };
                    let missed = talks.iter().filter_map(|event| match &event.happening {
                        Happening::Talk(talk) if talk.seq <= replay.target => Some(Arc::new(talk.clone())),
                        _ => None,
                    });
                    let upto = match self.give(id, &replay.room, missed) {
                        Given::All(_) => upto,
                        Given::Some(last) => last.unwrap_or(replay.after),
                    };
                    self.replayed_upto(id, upto);
                    continue;
                }
                if !replay.history {
                    self.pass_over(id, &replay, from.min(replay.target), Missed::Lost);
                    continue;
                }
                if replay.asked.is_none() && !self.ask_page(id, &replay, replay.after) {
                    self.pass_over(id, &replay, replay.target, Missed::Stored);
                    continue;
                }
                return;
            }
            if connection_waits {
                // Live events would pile up behind what the socket has not taken: it goes on when that is out.
                return;
            }
            // Everything up to where the cursor began: does the ring still go on from there?
            let Some(target) = self.release(id, &replay.room) else {
                // At once, before the ring can move on.
                if self.catch_up(id) {
                    self.wait_writable(id);
                }
                return self.replay_done(id);
            };
            if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
                && let Some(first) = session.replays.first_mut()
            {
                first.target = target;
            }
        }
    }

    /// Gives a member talks that it missed, as many as may wait for its socket.
    fn give(&mut self, id: SessionId, room: &RoomName, talks: impl Iterator<Item = Arc<Talk>>) -> Given {
        let at = self.now.unix_ms;
        if self.waits_for_dialect(id) {
            return Given::Some(None);
        }
        let Some(connection) = self.connection(id) else {
            return Given::Some(None);
        };
        let mut frames = Frames {
            buffer: std::mem::take(connection.outgoing().private()),
            addressed: None,
        };
        let most = talks.size_hint().1.unwrap_or(0).min(limits::HISTORY_PAGE_TALKS);
        frames.buffer.reserve(most * USUAL_FRAME_BYTES);
        let (mut last, mut fits) = (None, true);
        for talk in talks {
            fits = frames.buffer.len() <= limits::PRIVATE_BYTES;
            if !fits {
                break;
            }
            last = Some(talk.seq);
            // Whoever has been told goodbye is told nothing more.
            if let Phase::Open(speaking) = &mut connection.phase {
                let room = room.clone();
                speaking
                    .codec
                    .encode_at(at, None, &Reply::Replayed { room, talk }, &mut frames);
            }
        }
        *connection.outgoing().private() = frames.buffer;
        self.follow_encoding(id);
        self.mark_dirty(id);
        if fits { Given::All(last) } else { Given::Some(last) }
    }

    /// Asks the store for the page after this; whether it took the question.
    fn ask_page(&mut self, id: SessionId, replay: &Replay, after: Seq) -> bool {
        let ask = Ask::Page {
            log: LogId::Room(replay.room.clone()),
            window: Window::After(after),
            limit: replay.page,
        };
        let ticket = Ticket::Replay {
            session: id,
            number: replay.number,
        };
        let taken = self.ask_store(ask, ticket);
        if taken && let Some(first) = self.session(id).and_then(|session| session.replays.first_mut()) {
            first.asked = Some(after);
        }
        taken
    }

    pub(crate) fn replayed_upto(&mut self, id: SessionId, seq: Seq) {
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
            && let Some(first) = session.replays.first_mut()
        {
            first.after = first.after.max(seq);
        }
    }

    /// The member at hand is not given what it missed up to this message, and is told so. One whose dialect has no words for that
    /// is sent away if it has been given something before: it would see a hole.
    fn pass_over(&mut self, id: SessionId, replay: &Replay, upto: Seq, missed: Missed) {
        let Some(dialect) = self.dialect(id) else { return };
        match self.profiles[usize::from(dialect)].lag {
            LagPolicy::Gap => self.tell_gap(id, &replay.room, replay.after, upto, missed),
            LagPolicy::Disconnect if replay.after > replay.from => {
                return self.goodbye(id, None, GoodbyeCode::Slow);
            }
            LagPolicy::Disconnect => {}
        }
        if let Some(first) = self.session(id).and_then(|session| session.replays.first_mut()) {
            first.from = upto;
        }
        self.replayed_upto(id, upto);
    }

    /// A member is told that it is not given what stands after the first of these messages, up to the other.
    fn tell_gap(&mut self, id: SessionId, name: &RoomName, after: Seq, upto: Seq, missed: Missed) {
        let place = self.room_places.get(name);
        let Some(room) = place.and_then(|place| self.rooms.get(place.index())) else {
            return;
        };
        let gap = Reply::Gap {
            conversation: Conversation::Room(name.clone()),
            epoch: room.epoch,
            from: after + 1,
            to: upto,
            lost: missed == Missed::Lost || !room.history,
        };
        self.reply(id, None, &gap);
    }

    /// Lets a member read on from its cursor if the ring still has it; else where the next replay is to end.
    pub(crate) fn release(&mut self, id: SessionId, name: &RoomName) -> Option<Seq> {
        let place = self.room_places.get(name).copied()?;
        let room = self.rooms.get_mut(place.index())?;
        let connection = self.connections.get(id)?;
        let membership = connection
            .memberships
            .iter()
            .find(|membership| membership.room == place)?;
        let member = room.members.get_mut(membership.member.index())?;
        if member.cursor >= room.ring.base() {
            member.held = false;
            return None;
        }
        self.skip_to_end(id, name)
    }

    /// A member is not shown what the ring holds now; the newest of it.
    fn skip_to_end(&mut self, id: SessionId, name: &RoomName) -> Option<Seq> {
        let place = self.room_places.get(name).copied()?;
        let ring = &self.rooms.get(place.index())?.ring;
        let (end, seq) = (ring.end(), ring.head_seq());
        let member = self.member(id, name)?;
        member.cursor = end;
        member.seq = seq;
        Some(seq)
    }

    pub(crate) fn replay_done(&mut self, id: SessionId) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut()) else {
            return;
        };
        if !session.replays.is_empty() {
            session.replays.remove(0);
        }
        if !session.replays.is_empty() {
            self.replay_on(id);
        }
    }

    /// The replay at hand, if it is the one that asked, as it was before its answer came.
    pub(crate) fn replay_of(&mut self, id: SessionId, number: u32) -> Option<Replay> {
        let replay = self.session(id)?.replays.first_mut()?;
        if replay.number != number {
            return None;
        }
        let before = replay.clone();
        replay.asked = None;
        Some(before)
    }

    pub(crate) fn replay_page(&mut self, id: SessionId, number: u32, talks: Vec<Talk>) {
        let Some(replay) = self.replay_of(id, number) else {
            return;
        };
        let waited = self.connection(id).map_or(0, |connection| connection.private_bytes());
        if replay.asked != Some(replay.after) || waited > limits::PRIVATE_BYTES {
            // Asked for before it was known where the page before would end, or how slowly it is read.
            return self.replay_on(id);
        }
        if let Some(last) = talks.last().map(|talk| talk.seq)
            && last < replay.target
            && waited <= limits::PRIVATE_BYTES / 8
        {
            // Read while this one is being written. Where it cannot be asked for now, it is asked for in its turn.
            self.ask_page(id, &replay, last);
        }
        let count = talks.len();
        let room = &replay.room;
        // Retention may have been faster than the replay.
        let next = talks
            .first()
            .map_or(replay.target + 1, |talk| talk.seq)
            .min(replay.target + 1);
        if next > replay.after + 1 {
            self.pass_over(id, &replay, next - 1, Missed::Lost);
        }
        let talks = talks.into_iter().take_while(|talk| talk.seq <= replay.target);
        // The rest is read again when what waits has been written.
        let upto = match self.give(id, room, talks.map(Arc::new)) {
            Given::All(last) | Given::Some(last) => last.unwrap_or(next - 1),
        };
        self.replayed_upto(id, upto);
        let written = self.connection(id).map_or(0, |connection| connection.private_bytes());
        let given = usize::try_from(upto.saturating_sub(replay.after))
            .unwrap_or(count)
            .min(count);
        if let Some(first) = self.session(id).and_then(|session| session.replays.first_mut())
            && let Some(each) = written.saturating_sub(waited).checked_div(given)
        {
            // Half of what may wait, so that one of longer texts fits as well.
            first.page = (limits::PRIVATE_BYTES / 2 / each.max(1)).clamp(1, limits::HISTORY_PAGE_TALKS);
        }
        self.replay_on(id);
    }

    pub(crate) fn replay_failed(&mut self, id: SessionId, number: u32) {
        let Some(replay) = self.replay_of(id, number) else {
            return;
        };
        if replay.asked == Some(replay.after) {
            self.pass_over(id, &replay, replay.target, Missed::Stored);
        }
        self.replay_on(id);
    }

    /// What waited has been written: a replay may go on.
    pub(crate) fn replay_after_write(&mut self, id: SessionId) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_ref()) else {
            return;
        };
        if session.replays.first().is_some_and(|replay| replay.asked.is_none()) {
            self.replay_on(id);
        }
    }
}

/// A talk of some 60 bytes with its names and numbers, in the longest of the usual forms.
const USUAL_FRAME_BYTES: usize = 200;
