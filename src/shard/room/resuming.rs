//! New members are welcomed and sent what they missed, as the replay decides ([`super::replay`]): the join is answered, messages
//! are written, gaps are named, and the store is asked.
//!
//! Invariants: the answer to a join stands before anything of its room; at most [`limits::PRIVATE_BYTES`] and one message wait
//! for a socket because of a replay.

use std::sync::Arc;

use super::{
    event::RoomEvent,
    outcome::{Abandoned, Lag, Missed, PageAsk, PageTaken, ReplayStep, Welcome},
    rooms::Rooms,
    serving::Parts,
};
use crate::{
    chat::{
        Admission, Backlog, ChatMessage, Conversation, GoodbyeCode, LostInterval, Position, Reply, RoomName, Seq,
        SessionId, Since,
    },
    history::{Ask, LogId, Window},
    limits,
    shard::{
        connection::{connections::Connections, session::Proof, write::Socket},
        store::ticket::Ticket,
    },
};

/// What a member was sent of some messages.
#[derive(Default)]
struct Sent {
    messages: usize,
    last: Option<Seq>,
    /// Not all: no more may wait for its socket.
    is_full: bool,
}

impl Rooms {
    /// A session has been admitted: it is told, and sent what it missed.
    pub(super) fn welcome<S: Socket>(&mut self, id: SessionId, mut admission: Admission, parts: &mut Parts<'_, S>) {
        let backlog = admission.backlog.take();
        self.find_last(&mut admission);
        let joined = &admission.joined;
        let resumes = joined.from < joined.head.seq || admission.last.is_some() || !admission.lost.is_empty();
        let user = parts.connections.session(id).map(|session| session.name.clone());
        let Some(user) = user.filter(|_| joined.history && resumes) else {
            return self.tell_joined(id, admission, Vec::new(), parts);
        };
        // Unless the user has taken another name since.
        if let Some(backlog) = backlog.filter(|backlog| backlog.user == user) {
            return self.resume(id, admission, backlog, parts);
        }
        let (number, limit) = self.ask_resume(id, &admission);
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
        if !parts.store.ask(ask, Ticket::Resume { session: id, number }) {
            return self.tell_joined(id, admission, Vec::new(), parts);
        }
        let admission = Box::new(admission);
        self.await_resume(id, Welcome { number, admission });
    }

    /// The store has said how far the user has read, or cannot.
    pub(crate) fn resumed<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        backlog: Option<Backlog>,
        parts: &mut Parts<'_, S>,
    ) {
        let Some(welcome) = self.take_welcome(id, number) else {
            return;
        };
        let admission = *welcome.admission;
        let Some(backlog) = backlog else {
            return self.tell_joined(id, admission, Vec::new(), parts);
        };
        if parts
            .connections
            .session(id)
            .is_some_and(|session| session.name != backlog.user)
        {
            // The user has taken another name since: that one's read marker is asked for.
            return self.welcome(id, admission, parts);
        }
        self.resume(id, admission, backlog, parts);
    }

    /// The store has said what a new member missed.
    fn resume<S: Socket>(
        &mut self,
        id: SessionId,
        mut admission: Admission,
        backlog: Backlog,
        parts: &mut Parts<'_, S>,
    ) {
        let joined = &mut admission.joined;
        joined.read = backlog.read;
        if admission.last.take().is_some() {
            // What came since the member was admitted is behind its cursor.
            joined.from = backlog.after.min(joined.head.seq);
        }
        self.tell_joined(id, admission, backlog.messages, parts);
    }

    /// Answers a join and sends what was missed, beginning with what has been read of it.
    fn tell_joined<S: Socket>(
        &mut self,
        id: SessionId,
        admission: Admission,
        first: Vec<ChatMessage>,
        parts: &mut Parts<'_, S>,
    ) {
        let joined = admission.joined.clone();
        say_joined(id, admission, parts);
        match self.begin_replay(id, &joined, first) {
            Some((number, messages)) => self.replay_page(id, number, messages, parts),
            None => self.replay_on(id, parts),
        }
    }

    /// A member leaves and is sent no more of what it missed. It is told that it had joined, if that is still to be said, and then
    /// what it will not get: no message may pass before the ones before it.
    pub(super) fn end_replay<S: Socket>(&mut self, id: SessionId, room: &RoomName, parts: &mut Parts<'_, S>) {
        let Abandoned {
            welcome,
            missed,
            was_first,
        } = self.abandon_replay(id, room);
        if let Some(Welcome { admission, .. }) = welcome {
            say_joined(id, *admission, parts);
        }
        if let Some(missed) = missed
            && let Some(policy) = parts.lag_policy(id)
            && let Some(gap) = self.leave_out(id, room, missed, policy)
        {
            parts.reply(id, None, &gap);
        }
        if was_first {
            self.replay_on(id, parts);
        }
    }

    /// Goes on with the first replay of a connection, as far as store and socket allow.
    pub(crate) fn replay_on<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if parts.connections.waits_for_dialect(id) {
            return;
        }
        loop {
            let Some(connection) = parts.connections.get(id) else {
                return;
            };
            if connection.is_closing() || connection.private_bytes() > limits::PRIVATE_BYTES {
                // It goes on when this much has been written: a slow consumer costs one page of memory.
                return;
            }
            let is_full = !connection.outgoing().is_empty();
            match self.replay_step(id, is_full) {
                ReplayStep::Wait => return,
                ReplayStep::Send { events, upto } => {
                    let sent = send_events(parts.connections, id, &events);
                    if let Some(upto) = if sent.is_full { sent.last } else { Some(upto) } {
                        self.replayed_upto(id, upto);
                    }
                }
                ReplayStep::PassOver { upto, missed } => self.leave_gap(id, upto, missed, parts),
                ReplayStep::Ask { ask, .. } if self.ask_page(id, &ask, parts) => return,
                ReplayStep::Ask { target, .. } => self.leave_gap(id, target, Missed::Stored, parts),
                ReplayStep::Live => self.catch_up_or_wait(id, parts),
            }
        }
    }

    /// Asks the store for a page; whether it took the question.
    fn ask_page<S: Socket>(&mut self, id: SessionId, page: &PageAsk, parts: &mut Parts<'_, S>) -> bool {
        let ask = Ask::Page {
            log: LogId::Room(page.room.clone()),
            window: Window::After(page.after),
            limit: page.limit,
        };
        let ticket = Ticket::Replay {
            session: id,
            number: page.number,
        };
        let taken = parts.store.ask(ask, ticket);
        if taken {
            self.page_asked(id, page.after);
        }
        taken
    }

    /// The member of the first replay is not sent what it missed up to this message.
    fn leave_gap<S: Socket>(&mut self, id: SessionId, upto: Seq, missed: Missed, parts: &mut Parts<'_, S>) {
        let Some(policy) = parts.lag_policy(id) else { return };
        match self.pass_over(id, upto, missed, policy) {
            Lag::Nothing => {}
            Lag::Gap(gap) => parts.reply(id, None, &gap),
            Lag::TooSlow => parts.goodbye(id, GoodbyeCode::Slow),
        }
    }

    /// The store has read a page for a replay, or could not.
    pub(crate) fn page_read<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        messages: Option<Vec<ChatMessage>>,
        parts: &mut Parts<'_, S>,
    ) {
        match messages {
            Some(messages) => self.replay_page(id, number, messages, parts),
            None => self.replay_failed(id, number, parts),
        }
    }

    fn replay_page<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        messages: Vec<ChatMessage>,
        parts: &mut Parts<'_, S>,
    ) {
        let waited = parts.connections.private_bytes(id);
        let page = match self.take_page(id, number, messages, waited) {
            PageTaken::Unknown => return,
            PageTaken::Again => return self.replay_on(id, parts),
            PageTaken::Page(page) => page,
        };
        if let Some(next) = &page.next {
            // Where it cannot be asked for now, it is asked for in its turn.
            self.ask_page(id, next, parts);
        }
        if let Some(upto) = page.lost_upto {
            self.leave_gap(id, upto, Missed::Lost, parts);
        }
        let sent = send_stored(parts, id, &page.room, page.messages);
        // The rest is read again when what waits has been written.
        let upto = sent.last.unwrap_or(page.before);
        let bytes = parts.connections.private_bytes(id).saturating_sub(waited);
        self.page_sent(id, upto, sent.messages, bytes);
        self.replay_on(id, parts);
    }

    fn replay_failed<S: Socket>(&mut self, id: SessionId, number: u32, parts: &mut Parts<'_, S>) {
        let waited = parts.connections.private_bytes(id);
        if let Some(upto) = self.page_failed(id, number, waited) {
            self.leave_gap(id, upto, Missed::Stored, parts);
        }
        self.replay_on(id, parts);
    }

    /// What waited for the socket has been written: a replay may go on.
    pub(crate) fn replay_after_write<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if !self.waits_for_page(id) {
            self.replay_on(id, parts);
        }
    }
}

/// Answers a join.
fn say_joined<S: Socket>(id: SessionId, admission: Admission, parts: &mut Parts<'_, S>) {
    let Admission {
        request,
        mut joined,
        lost,
        ..
    } = admission;
    let room = joined.room.clone();
    if parts
        .connections
        .session(id)
        .is_some_and(|session| session.proof == Proof::Assigned)
    {
        // The position is that of somebody who had the name before.
        joined.read = None;
    }
    parts.reply(id, request, &Reply::Joined(Box::new(joined)));
    for LostInterval { epoch, from, to } in lost {
        let conversation = Conversation::Room(room.clone());
        parts.reply(
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
    parts.connections.answered(id);
}

/// Sends a member messages that the ring has, as many as may wait for its socket, in the frames that all members of its
/// encoding share.
fn send_events<S: Socket>(connections: &mut Connections<S>, id: SessionId, events: &[Arc<RoomEvent>]) -> Sent {
    let mut sent = Sent::default();
    let Some(connection) = connections.get_mut(id) else {
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
    connections.mark_dirty(id);
    sent
}

/// Sends a member messages that the store has read, as many as may wait for its socket.
fn send_stored<S: Socket>(
    parts: &mut Parts<'_, S>,
    id: SessionId,
    room: &RoomName,
    messages: Vec<ChatMessage>,
) -> Sent {
    let mut sent = Sent::default();
    let at = parts.now.unix_ms;
    if parts.connections.waits_for_dialect(id) {
        return sent;
    }
    let Some(connection) = parts.connections.get_mut(id) else {
        return sent;
    };
    connection.encode(|codec, frames| {
        frames.buffer.reserve(messages.len() * USUAL_FRAME_BYTES);
        for message in messages {
            sent.is_full = frames.buffer.len() > limits::PRIVATE_BYTES;
            if sent.is_full {
                break;
            }
            sent.last = Some(message.seq);
            sent.messages += 1;
            let (room, message) = (room.clone(), Arc::new(message));
            codec.encode_at(at, None, &Reply::Replayed { room, message }, frames);
        }
    });
    parts.connections.mark_dirty(id);
    sent
}

/// A message of some 60 bytes with its names and numbers, in the longest of the usual forms.
const USUAL_FRAME_BYTES: usize = 200;
