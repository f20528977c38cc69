//! Members are sent what they missed: does what the replay decides ([`crate::shard::room::replay`]), which is to answer the
//! join, to write messages, to name gaps and to ask the store.

use std::sync::Arc;

use crate::shard::{
    connection::session::{Proof, Session},
    connection::write::Socket,
    engine::{Clock, Engine},
    room::event::RoomEvent,
    room::outcome::{Abandoned, Lag, Missed, PageAsk, PageTaken, ReplayStep, Welcome},
    store::ticket::Ticket,
};
use crate::{
    chat::{
        Admission, Backlog, Conversation, GoodbyeCode, LostInterval, Position, Reply, RoomName, Seq, SessionId, Since,
        Talk,
    },
    history::{Ask, LogId, Window},
    limits,
};

/// What a member was sent of some messages.
#[derive(Default)]
struct Sent {
    messages: usize,
    last: Option<Seq>,
    /// Not all: no more may wait for its socket.
    is_full: bool,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session has been admitted: it is told, and sent what it missed.
    pub(crate) fn welcome_member(&mut self, id: SessionId, mut admission: Admission) {
        let backlog = admission.backlog.take();
        self.rooms.find_last(&mut admission);
        let joined = &admission.joined;
        let resumes = joined.from < joined.head.seq || admission.last.is_some() || !admission.lost.is_empty();
        let user = self.session(id).map(|session| session.name.clone());
        let Some(user) = user.filter(|_| joined.history && resumes) else {
            return self.tell_joined(id, admission, Vec::new());
        };
        // Unless the user has taken another name since.
        if let Some(backlog) = backlog.filter(|backlog| backlog.user == user) {
            return self.resume(id, admission, backlog);
        }
        let (number, limit) = self.rooms.ask_resume(id, &admission);
        let since = Since::Position(Position {
            epoch: joined.head.epoch,
            seq: joined.from,
        });
        let ask = Ask::Resume {
            log: LogId::Room(joined.room.clone()),
            user,
            since: admission.last.map_or(since, Since::Last),
            upto: joined.head.seq,
            limit,
        };
        if !self.store.ask(ask, Ticket::Resume { session: id, number }) {
            return self.tell_joined(id, admission, Vec::new());
        }
        let admission = Box::new(admission);
        self.rooms.await_resume(id, Welcome { number, admission });
    }

    pub(crate) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.connection(id)?.session_mut()
    }

    /// The store has said how far the user has read, or cannot.
    pub(crate) fn resume_known(&mut self, id: SessionId, number: u32, backlog: Option<Backlog>) {
        let Some(welcome) = self.rooms.take_welcome(id, number) else {
            return;
        };
        let admission = *welcome.admission;
        let Some(backlog) = backlog else {
            return self.tell_joined(id, admission, Vec::new());
        };
        if self.session(id).is_some_and(|session| session.name != backlog.user) {
            // The user has taken another name since: that one's read marker is asked for.
            return self.welcome_member(id, admission);
        }
        self.resume(id, admission, backlog);
    }

    /// The store has said what a new member missed.
    fn resume(&mut self, id: SessionId, mut admission: Admission, backlog: Backlog) {
        let joined = &mut admission.joined;
        joined.read = backlog.read;
        if admission.last.take().is_some() {
            // What came since the member was admitted is behind its cursor.
            joined.from = backlog.after.min(joined.head.seq);
        }
        self.tell_joined(id, admission, backlog.talks);
    }

    /// Answers a join and sends what was missed, beginning with what has been read of it.
    fn tell_joined(&mut self, id: SessionId, admission: Admission, first: Vec<Talk>) {
        let joined = admission.joined.clone();
        self.say_joined(id, admission);
        match self.rooms.begin_replay(id, &joined, first) {
            Some((number, talks)) => self.replay_page(id, number, talks),
            None => self.replay_on(id),
        }
    }

    fn say_joined(&mut self, id: SessionId, admission: Admission) {
        let Admission {
            request,
            mut joined,
            lost,
            ..
        } = admission;
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

    /// A member leaves and is sent no more of what it missed. It is told that it had joined, if that is still to be said, and then
    /// what it will not get: no message may pass before the ones before it.
    pub(crate) fn end_replay(&mut self, id: SessionId, room: &RoomName) {
        let Abandoned {
            welcome,
            missed,
            was_first,
        } = self.rooms.abandon_replay(id, room);
        if let Some(Welcome { admission, .. }) = welcome {
            self.say_joined(id, *admission);
        }
        if let Some(missed) = missed
            && let Some(policy) = self.lag_policy(id)
            && let Some(gap) = self.rooms.leave_out(id, room, missed, policy)
        {
            self.reply(id, None, &gap);
        }
        if was_first {
            self.replay_on(id);
        }
    }

    /// Goes on with the first replay of a connection, as far as store and socket allow.
    pub(crate) fn replay_on(&mut self, id: SessionId) {
        if self.connections.waits_for_dialect(id) {
            return;
        }
        loop {
            let Some(connection) = self.connection(id) else { return };
            if connection.private_bytes() > limits::PRIVATE_BYTES {
                // It goes on when this much has been written: a slow consumer costs one page of memory.
                return;
            }
            let is_full = !connection.outgoing().is_empty();
            match self.rooms.replay_step(id, is_full) {
                ReplayStep::Wait => return,
                ReplayStep::Send { events, upto } => {
                    let sent = self.send_events(id, &events);
                    if let Some(upto) = if sent.is_full { sent.last } else { Some(upto) } {
                        self.rooms.replayed_upto(id, upto);
                    }
                }
                ReplayStep::PassOver { upto, missed } => self.pass_over(id, upto, missed),
                ReplayStep::Ask { ask, .. } if self.ask_page(id, &ask) => return,
                ReplayStep::Ask { target, .. } => self.pass_over(id, target, Missed::Stored),
                ReplayStep::Live => {
                    if self.catch_up(id) {
                        self.wait_writable(id);
                    }
                }
            }
        }
    }

    /// Asks the store for a page; whether it took the question.
    fn ask_page(&mut self, id: SessionId, page: &PageAsk) -> bool {
        let ask = Ask::Page {
            log: LogId::Room(page.room.clone()),
            window: Window::After(page.after),
            limit: page.limit,
        };
        let ticket = Ticket::Replay {
            session: id,
            number: page.number,
        };
        let taken = self.store.ask(ask, ticket);
        if taken {
            self.rooms.page_asked(id, page.after);
        }
        taken
    }

    /// The member of the first replay is not sent what it missed up to this message.
    fn pass_over(&mut self, id: SessionId, upto: Seq, missed: Missed) {
        let Some(policy) = self.lag_policy(id) else { return };
        match self.rooms.pass_over(id, upto, missed, policy) {
            Lag::Nothing => {}
            Lag::Gap(gap) => self.reply(id, None, &gap),
            Lag::TooSlow => self.goodbye(id, None, GoodbyeCode::Slow),
        }
    }

    /// The store has read a page for a replay.
    pub(crate) fn replay_page(&mut self, id: SessionId, number: u32, talks: Vec<Talk>) {
        let waited = self.connections.private_bytes(id);
        let page = match self.rooms.take_page(id, number, talks, waited) {
            PageTaken::Unknown => return,
            PageTaken::Again => return self.replay_on(id),
            PageTaken::Page(page) => page,
        };
        if let Some(next) = &page.next {
            // Where it cannot be asked for now, it is asked for in its turn.
            self.ask_page(id, next);
        }
        if let Some(upto) = page.lost_upto {
            self.pass_over(id, upto, Missed::Lost);
        }
        let sent = self.send_stored(id, &page.room, page.talks);
        // The rest is read again when what waits has been written.
        let upto = sent.last.unwrap_or(page.before);
        let bytes = self.connections.private_bytes(id).saturating_sub(waited);
        self.rooms.page_sent(id, upto, sent.messages, bytes);
        self.replay_on(id);
    }

    /// The store could not read a page for a replay.
    pub(crate) fn replay_failed(&mut self, id: SessionId, number: u32) {
        let waited = self.connections.private_bytes(id);
        if let Some(upto) = self.rooms.page_failed(id, number, waited) {
            self.pass_over(id, upto, Missed::Stored);
        }
        self.replay_on(id);
    }

    /// What waited for the socket has been written: a replay may go on.
    pub(crate) fn replay_after_write(&mut self, id: SessionId) {
        if !self.rooms.waits_for_page(id) {
            self.replay_on(id);
        }
    }

    /// Sends a member messages that the ring has, as many as may wait for its socket, in the frames that all members of its
    /// encoding share.
    fn send_events(&mut self, id: SessionId, events: &[Arc<RoomEvent>]) -> Sent {
        let mut sent = Sent::default();
        let Some(connection) = self.connection(id) else {
            return sent;
        };
        connection.show(|encoding, receiver, out| {
            for event in events {
                sent.is_full = out.len() > limits::PRIVATE_BYTES;
                if sent.is_full {
                    break;
                }
                sent.last = event.seq();
                sent.messages += 1;
                event.frames(encoding).append_for(receiver, out);
            }
        });
        self.connections.mark_dirty(id);
        sent
    }

    /// Sends a member messages that the store has read, as many as may wait for its socket.
    fn send_stored(&mut self, id: SessionId, room: &RoomName, talks: Vec<Talk>) -> Sent {
        let mut sent = Sent::default();
        let at = self.now.unix_ms;
        if self.connections.waits_for_dialect(id) {
            return sent;
        }
        let Some(connection) = self.connection(id) else {
            return sent;
        };
        connection.encode(|codec, frames| {
            frames.buffer.reserve(talks.len() * USUAL_FRAME_BYTES);
            for talk in talks {
                sent.is_full = frames.buffer.len() > limits::PRIVATE_BYTES;
                if sent.is_full {
                    break;
                }
                sent.last = Some(talk.seq);
                sent.messages += 1;
                let (room, talk) = (room.clone(), Arc::new(talk));
                codec.encode_at(at, None, &Reply::Replayed { room, talk }, frames);
            }
        });
        self.connections.mark_dirty(id);
        sent
    }
}

/// A message of some 60 bytes with its names and numbers, in the longest of the usual forms.
const USUAL_FRAME_BYTES: usize = 200;
