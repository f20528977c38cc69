//! Read markers of clients whose dialect has no words for "read": the pong to a ping sent behind a message says that it
//! arrived.

use crate::shard::{
    connection::write::Socket,
    engine::{Clock, Engine},
    store::port::Ticket,
};
use crate::{
    chat::{Seq, SessionId, UserName},
    history::{Ask, LogId, UserPair},
    wire,
};

/// Direct messages on their way to a client that acknowledges with pongs.
#[derive(Debug, Default)]
pub(crate) struct Acknowledging {
    /// Written and not asked about: up to which, by the other one.
    delivered: Vec<(UserName, Seq)>,
    /// What the pong to the last ping acknowledges.
    asked: Option<Vec<(UserName, Seq)>>,
    /// Counts the pings: the payload of the last one.
    count: u32,
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Where the dialect has no words for "read", the pong to a ping sent behind a message says that it arrived.
    pub(crate) fn note_delivered(&mut self, id: SessionId, peer: UserName, seq: Seq) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(speaking) = connection.speaking() else {
            return;
        };
        if !self.settings.dialects[usize::from(speaking.dialect)]
            .profile()
            .mail_by_name
        {
            return;
        }
        let Some(session) = connection.session_mut() else {
            return;
        };
        let acknowledging = session.acknowledging.get_or_insert_default();
        acknowledging.delivered.retain(|(known, _)| *known != peer);
        acknowledging.delivered.push((peer, seq));
        if acknowledging.asked.is_none() {
            self.ask_pong(id);
        }
    }

    /// Sends a ping whose pong acknowledges what has been delivered so far.
    fn ask_pong(&mut self, id: SessionId) {
        let Some(connection) = self.connection(id) else { return };
        let Some(session) = connection.session_mut() else {
            return;
        };
        let Some(acknowledging) = session.acknowledging.as_mut() else {
            return;
        };
        if acknowledging.delivered.is_empty() {
            session.acknowledging = None;
            return;
        }
        acknowledging.count = acknowledging.count.wrapping_add(1);
        let payload = acknowledging.count.to_be_bytes();
        acknowledging.asked = Some(std::mem::take(&mut acknowledging.delivered));
        // Behind the messages, not before them: it is queued where they are.
        connection
            .outgoing_mut()
            .private()
            .extend_from_slice(wire::ping(&payload).as_bytes());
        self.mark_dirty(id);
    }

    pub(crate) fn pong(&mut self, id: SessionId, payload: &[u8]) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session_mut()) else {
            return;
        };
        let (user, bearer) = (session.name.clone(), session.bearer());
        let Some(acknowledging) = session.acknowledging.as_mut() else {
            return;
        };
        if payload != acknowledging.count.to_be_bytes() {
            return;
        }
        for (peer, seq) in acknowledging.asked.take().unwrap_or_default() {
            let ask = Ask::Mark {
                log: LogId::Pair(UserPair::of(&user, &peer)),
                user: user.clone(),
                seq,
                bearer,
            };
            // If the store is too busy the messages come once more, with the same ids.
            self.ask_store(ask, Ticket::Silent(id.shard()));
        }
        self.ask_pong(id);
    }
}
