//! What a member missed: from the ring where it holds all of it, else page by page from the store, and live from there on.

use std::sync::Arc;

use super::{
    connection::{Replay, Session, Socket, Welcoming},
    engine::{Clock, Engine},
    stored::Ticket,
};
use crate::{
    chat::{Conversation, Happening, Joined, Reply, RequestId, RoomName, Seq, SessionId, Talk},
    history::{Ask, LogHead, LogId, LostInterval, Window},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session has been admitted: it is told, and given what it missed.
    pub(super) fn welcome_member(
        &mut self,
        id: SessionId,
        request: RequestId,
        joined: Joined,
        lost: Vec<LostInterval>,
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
            // Nothing of the room may pass before the answer to the join.
            self.hold(id, &joined.room);
            let ask = Ask::MarkOf {
                log: LogId::Room(joined.room.clone()),
                user,
            };
            let number = self.next_reading(id);
            if self.ask_store(ask, Ticket::ReadOf { session: id, number }) {
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
        self.tell_joined(id, request, joined, lost);
    }

    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.connection(id)?.session.as_deref_mut()
    }

    pub(super) fn is_held(&mut self, id: SessionId, room: &RoomName) -> bool {
        self.member(id, room).is_some_and(|member| member.held)
    }

    /// A number for what this session is to be given from the store next.
    pub(super) fn next_reading(&mut self, id: SessionId) -> u32 {
        self.session(id).map_or(0, |session| {
            session.readings = session.readings.wrapping_add(1);
            session.readings
        })
    }

    /// The read position for an answer to a join is known.
    pub(super) fn read_known(&mut self, id: SessionId, number: u32, read: Seq) {
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
        joined.read = read;
        self.tell_joined(id, request, *joined, lost);
    }

    /// A member goes: it is told that it had joined, if that is still to be said, and given no more of what it missed.
    pub(super) fn end_replay(&mut self, id: SessionId, room: &RoomName) {
        let Some(session) = self.session(id) else { return };
        let welcome = session
            .welcomes
            .iter()
            .position(|welcome| welcome.joined.room == *room)
            .map(|at| session.welcomes.remove(at));
        let first = session.replays.first().is_some_and(|replay| replay.room == *room);
        session.replays.retain(|replay| replay.room != *room);
        if let Some(Welcoming {
            request, joined, lost, ..
        }) = welcome
        {
            self.say_joined(id, request, *joined, lost);
        }
        if first {
            self.replay_on(id);
        }
    }

    pub(super) fn say_joined(&mut self, id: SessionId, request: RequestId, joined: Joined, lost: Vec<LostInterval>) {
        let room = joined.room.clone();
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

    pub(super) fn tell_joined(&mut self, id: SessionId, request: RequestId, joined: Joined, lost: Vec<LostInterval>) {
        let (room, after, head) = (joined.room.clone(), joined.from, joined.head.seq);
        let history = joined.history;
        self.say_joined(id, request, joined, lost);
        if after >= head && !self.is_held(id, &room) {
            return;
        }
        self.hold(id, &room);
        let number = self.next_reading(id);
        if let Some(session) = self.session(id) {
            session.replays.push(Replay {
                number,
                room,
                after,
                target: head,
                history,
                asked: None,
                page: limits::HISTORY_PAGE_TALKS,
            });
        }
        // One conversation after the other.
        if self
            .connection(id)
            .and_then(|c| c.session.as_ref())
            .is_some_and(|session| session.replays.len() == 1)
        {
            self.replay_on(id);
        }
    }

    /// Goes on with the replay at hand: from the ring where it holds all, else with a page of the store.
    pub(super) fn replay_on(&mut self, id: SessionId) {
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
            let Some(room) = self.rooms.get(place as usize) else {
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
                    for event in talks {
                        if let Happening::Talk(talk) = &event.happening
                            && talk.seq <= replay.target
                        {
                            let talk = Arc::new(talk.clone());
                            self.reply(
                                id,
                                None,
                                &Reply::Replayed {
                                    room: replay.room.clone(),
                                    talk,
                                },
                            );
                        }
                    }
                    self.replayed_upto(id, upto);
                    continue;
                }
                if !replay.history {
                    let until = from.min(replay.target);
                    self.tell_gap(id, &replay.room, replay.after + 1, until);
                    self.replayed_upto(id, until);
                    continue;
                }
                if replay.asked.is_none() && !self.ask_page(id, &replay, replay.after) {
                    self.tell_gap(id, &replay.room, replay.after + 1, replay.target);
                    self.replayed_upto(id, replay.target);
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

    pub(super) fn replayed_upto(&mut self, id: SessionId, seq: Seq) {
        if let Some(session) = self.connection(id).and_then(|connection| connection.session.as_mut())
            && let Some(first) = session.replays.first_mut()
        {
            first.after = first.after.max(seq);
        }
    }

    pub(super) fn tell_gap(&mut self, id: SessionId, room: &RoomName, from: Seq, to: Seq) {
        let epoch = self
            .room_places
            .get(room)
            .and_then(|place| self.rooms.get(*place as usize))
            .map_or(0, |r| r.epoch);
        let lost = !self.keeps(room);
        let conversation = Conversation::Room(room.clone());
        self.reply(
            id,
            None,
            &Reply::Gap {
                conversation,
                epoch,
                from,
                to,
                lost,
            },
        );
    }

    /// Lets a member read on from its cursor if the ring still has it; else where the next replay is to end.
    pub(super) fn release(&mut self, id: SessionId, name: &RoomName) -> Option<Seq> {
        let place = self.room_places.get(name).copied()?;
        let room = self.rooms.get_mut(place as usize)?;
        let connection = self.connections.get(id.slot as usize)?;
        let membership = connection
            .memberships
            .iter()
            .find(|membership| membership.room == place)?;
        let member = room.members.get_mut(membership.member as usize)?;
        if member.cursor >= room.ring.base() {
            member.held = false;
            return None;
        }
        member.cursor = room.ring.end();
        member.seq = room.ring.head_seq();
        Some(member.seq)
    }

    pub(super) fn replay_done(&mut self, id: SessionId) {
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
    pub(super) fn replay_of(&mut self, id: SessionId, number: u32) -> Option<Replay> {
        let replay = self.session(id)?.replays.first_mut()?;
        if replay.number != number {
            return None;
        }
        let before = replay.clone();
        replay.asked = None;
        Some(before)
    }

    pub(super) fn replay_page(&mut self, id: SessionId, number: u32, head: &LogHead, talks: Vec<Talk>) {
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
            && waited == 0
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
            let conversation = Conversation::Room(room.clone());
            let (from, to) = (replay.after + 1, next - 1);
            self.reply(
                id,
                None,
                &Reply::Gap {
                    conversation,
                    epoch: head.epoch,
                    from,
                    to,
                    lost: true,
                },
            );
        }
        let mut upto = next - 1;
        for talk in talks {
            if talk.seq > replay.target {
                break;
            }
            upto = talk.seq;
            self.reply(
                id,
                None,
                &Reply::Replayed {
                    room: room.clone(),
                    talk: Arc::new(talk),
                },
            );
            if self
                .connection(id)
                .is_none_or(|connection| connection.private_bytes() > limits::PRIVATE_BYTES)
            {
                // The rest is read again when this much has been written.
                break;
            }
        }
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

    pub(super) fn replay_failed(&mut self, id: SessionId, number: u32) {
        let Some(replay) = self.replay_of(id, number) else {
            return;
        };
        if replay.asked == Some(replay.after) {
            self.tell_gap(id, &replay.room, replay.after + 1, replay.target);
            self.replayed_upto(id, replay.target);
        }
        self.replay_on(id);
    }

    /// What waited has been written: a replay may go on.
    pub(super) fn replay_after_write(&mut self, id: SessionId) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session.as_ref()) else {
            return;
        };
        if session.replays.first().is_some_and(|replay| replay.asked.is_none()) {
            self.replay_on(id);
        }
    }
}
