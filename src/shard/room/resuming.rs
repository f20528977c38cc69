//! What happens when a member joins and resumes: the answer to the join, then a replay of the missed messages, then live events.
//! [`super::replay`] decides each step; this file asks the store, writes frames and sends gaps.
//!
//! Invariants:
//! - The answer to a join precedes all events of the room.
//! - A replay leaves at most [`limits::PRIVATE_BYTES`] and one message waiting for a socket.

use std::sync::Arc;

use super::{
    attendance::{PageAsk, PendingJoin},
    replay::{Abandoned, ReplayStep},
    rings::Missed,
    rooms::Rooms,
};
use crate::{
    chat::{
        Admission, Backlog, ChatMessage, Conversation, LostInterval, Position, Reply, RoomName, Seq, SessionId, Since,
    },
    history::{LogId, Query, Window},
    limits,
    shard::{
        connection::{connections::Connections, session::Proof, write::Socket},
        event::room::RoomEvent,
        parts::Parts,
        store::ticket::Ticket,
    },
};

/// The part of a list of messages that was sent to a member.
#[derive(Default)]
struct SentMessages {
    messages: usize,
    last: Option<Seq>,
    /// Whether the rest was not sent because no more bytes may wait for the member's socket.
    is_full: bool,
}

impl Rooms {
    /// Answers the join of a new member and begins its replay. Asks the store first if the member resumes and the room's owner
    /// has not asked already.
    pub(super) fn start_member<S: Socket>(
        &mut self,
        id: SessionId,
        mut admission: Admission,
        parts: &mut Parts<'_, S>,
    ) {
        let backlog = admission.backlog.take();
        self.find_last(&mut admission);
        let joined = &admission.joined;
        let resumes = joined.from < joined.head.seq || admission.last.is_some() || !admission.lost.is_empty();
        let user = parts.connections.session(id).map(|session| session.user().clone());
        let Some(user) = user.filter(|_| joined.history && resumes) else {
            return self.answer_join(id, admission, Vec::new(), parts);
        };
        // The owner asked for the user that the session had then; the session may have been renamed since.
        if let Some(backlog) = backlog.filter(|backlog| backlog.user == user) {
            return self.resume(id, admission, backlog, parts);
        }
        let (number, limit) = self.prepare_resume(id, &admission);
        let since = Since::Position(Position {
            epoch: joined.head.epoch,
            seq: joined.from,
        });
        let ask = Query::Resume {
            log: LogId::Room(joined.room.clone()),
            user,
            since: admission.last.map_or(since, Since::Last),
            upto: joined.head.seq,
            limit,
        };
        if !parts.store.ask(ask, Ticket::Resume { session: id, number }) {
            return self.answer_join(id, admission, Vec::new(), parts);
        }
        let admission = Box::new(admission);
        self.add_pending_join(id, PendingJoin { number, admission });
    }

    /// Handles the answer of the store about a new member; `None` if the store could not answer.
    pub(crate) fn resumed<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        backlog: Option<Backlog>,
        parts: &mut Parts<'_, S>,
    ) {
        let Some(pending_join) = self.take_pending_join(id, number) else {
            return;
        };
        let admission = *pending_join.admission;
        let Some(backlog) = backlog else {
            return self.answer_join(id, admission, Vec::new(), parts);
        };
        if parts
            .connections
            .session(id)
            .is_some_and(|session| *session.user() != backlog.user)
        {
            // The session has another user now, and needs that user's read marker.
            return self.start_member(id, admission, parts);
        }
        self.resume(id, admission, backlog, parts);
    }

    /// Answers a join with what the store read for it.
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
            // The ring has the messages since the admission.
            joined.from = backlog.after.min(joined.head.seq);
        }
        self.answer_join(id, admission, backlog.messages, parts);
    }

    /// Answers a join and begins the replay with the messages that the store has read already.
    fn answer_join<S: Socket>(
        &mut self,
        id: SessionId,
        admission: Admission,
        first: Vec<ChatMessage>,
        parts: &mut Parts<'_, S>,
    ) {
        let joined = admission.joined.clone();
        send_joined(id, admission, parts);
        match self.begin_replay(id, &joined, first) {
            Some((number, messages)) => self.replay_page(id, number, messages, parts),
            None => self.replay_on(id, parts),
        }
    }

    /// Ends the replay of a member that leaves. Answers its join if that is still open, then sends a gap for the messages that it
    /// will not get, so that it sees the following ones in order.
    pub(super) fn end_replay<S: Socket>(&mut self, id: SessionId, room: &RoomName, parts: &mut Parts<'_, S>) {
        let Abandoned {
            pending_join,
            missed,
            was_first,
        } = self.abandon_replay(id, room);
        if let Some(PendingJoin { admission, .. }) = pending_join {
            send_joined(id, *admission, parts);
        }
        if let Some(missed) = missed
            && let Some(policy) = parts.lag_policy(id)
            && let Some(gap) = self.skip_missed(id, room, missed, policy)
        {
            parts.reply(id, None, &gap);
        }
        if was_first {
            self.replay_on(id, parts);
        }
    }

    /// Continues a connection's first replay as far as store and socket allow.
    pub(crate) fn replay_on<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if parts.connections.waits_for_dialect(id) {
            return;
        }
        loop {
            let Some(connection) = parts.connections.get(id) else {
                return;
            };
            if connection.is_closing() || connection.private_bytes() > limits::PRIVATE_BYTES {
                // The replay continues when these bytes are written, so a slow consumer costs one page of memory.
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
                ReplayStep::Skip { upto, missed } => self.leave_gap(id, upto, missed, parts),
                ReplayStep::Ask { ask, .. } if self.ask_page(id, &ask, parts) => return,
                ReplayStep::Ask { target, .. } => self.leave_gap(id, target, Missed::Stored, parts),
                ReplayStep::Live => self.catch_up_or_wait(id, parts),
            }
        }
    }

    /// Asks the store for a page. Returns whether it accepted the question.
    fn ask_page<S: Socket>(&mut self, id: SessionId, page: &PageAsk, parts: &mut Parts<'_, S>) -> bool {
        let ask = Query::Page {
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

    /// Sends the member of the first replay a gap up to this message, or closes it.
    fn leave_gap<S: Socket>(&mut self, id: SessionId, upto: Seq, missed: Missed, parts: &mut Parts<'_, S>) {
        let Some(policy) = parts.lag_policy(id) else { return };
        let lag = self.skip_to(id, upto, missed, policy);
        parts.show_lag(id, lag);
    }

    /// Handles a page of the store for a replay; `None` if the store could not read it.
    pub(crate) fn page_read<S: Socket>(
        &mut self,
        id: SessionId,
        number: u32,
        messages: Option<Vec<ChatMessage>>,
        parts: &mut Parts<'_, S>,
    ) {
        if !self.is_replaying(id, number) {
            return;
        }
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
        let Some(page) = self.take_page(id, number, messages, waited) else {
            return self.replay_on(id, parts);
        };
        if let Some(next) = &page.next {
            // If the store is full, the replay asks again when it needs the page.
            self.ask_page(id, next, parts);
        }
        if let Some(upto) = page.lost_upto {
            self.leave_gap(id, upto, Missed::Lost, parts);
        }
        let sent = send_stored(parts, id, &page.room, page.messages);
        // The store reads the rest again when the waiting bytes are written.
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

    /// Continues the replay of a connection whose waiting bytes are written.
    pub(crate) fn replay_after_write<S: Socket>(&mut self, id: SessionId, parts: &mut Parts<'_, S>) {
        if !self.waits_for_page(id) {
            self.replay_on(id, parts);
        }
    }
}

/// Answers a join.
fn send_joined<S: Socket>(id: SessionId, admission: Admission, parts: &mut Parts<'_, S>) {
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
        .is_some_and(|session| session.proof() == Proof::Assigned)
    {
        // The read marker belongs to whoever had this name before.
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

/// Sends a member messages from the ring, as many as may wait for its socket, in the frames that all members of its encoding
/// share.
fn send_events<S: Socket>(connections: &mut Connections<S>, id: SessionId, events: &[Arc<RoomEvent>]) -> SentMessages {
    let mut sent = SentMessages::default();
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

/// Sends a member messages from the store, as many as may wait for its socket.
fn send_stored<S: Socket>(
    parts: &mut Parts<'_, S>,
    id: SessionId,
    room: &RoomName,
    messages: Vec<ChatMessage>,
) -> SentMessages {
    let mut sent = SentMessages::default();
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

/// Bytes of a frame for a message of some 60 bytes, in the longest of the usual encodings.
const USUAL_FRAME_BYTES: usize = 200;
