//! Requests that are carried out in the order in which they were sent, although a request before them is not done yet.
//!
//! The owner of a room carries out joins, leaves and messages; the session's shard learns the outcome later. Most requests follow
//! them to the owner and stay behind them. Others do not, and wait here: requests that the session's shard decides by membership,
//! questions to the store, which must see what the same session wrote before, and whatever changes whose answers these are.
//! Everything that was sent after a waiting request waits too, and the connection is not read meanwhile: so at most what one
//! message asks for can wait.

use crate::chat::{Command, Conversation, Request, SessionId};
use crate::shard::{
    connection::deferred::Deferred,
    connection::write::Socket,
    engine::{Clock, Engine},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Gives a request back that can be carried out now; keeps one that has to wait.
    pub(crate) fn defer(&mut self, id: SessionId, request: Request) -> Option<Request> {
        let waits = self.must_wait(id, &request.command);
        let connection = self.connection(id)?;
        let session = connection.session_mut()?;
        if session.deferred.is_none() && !waits {
            return Some(request);
        }
        session.deferred.get_or_insert_default().push(request);
        connection.underway += 1;
        None
    }

    /// A request is done: goes on with what waited for it.
    pub(crate) fn go_on_with_deferred(&mut self, id: SessionId) {
        loop {
            let Some(deferred) = self.deferred(id) else { return };
            let Some(request) = deferred.pop() else { break };
            // It counts as under way while it waits; it must not wait for itself.
            self.count_deferred(id, -1);
            if self.must_wait(id, &request.command) {
                self.count_deferred(id, 1);
                if let Some(deferred) = self.deferred(id) {
                    deferred.put_back(request);
                }
                return;
            }
            self.carry_out_request(id, request);
        }
        // Only now: until here nothing that came later may be read.
        if let Some(session) = self.connection(id).and_then(|connection| connection.session_mut()) {
            session.deferred = None;
        }
        self.read_on(id);
    }

    fn count_deferred(&mut self, id: SessionId, change: i32) {
        if let Some(connection) = self.connection(id) {
            connection.underway = connection.underway.saturating_add_signed(change);
        }
    }

    fn deferred(&mut self, id: SessionId) -> Option<&mut Deferred> {
        self.connection(id)?.session_mut()?.deferred.as_deref_mut()
    }

    /// Whether what this command does depends on a request that is under way.
    fn must_wait(&self, id: SessionId, command: &Command) -> bool {
        match command {
            Command::Join { room, .. } => {
                self.rooms.is_joining(id, room) || self.rooms.is_leaving(id, Some(room)) || self.may_have_room_later(id)
            }
            Command::Leave { room } => self.rooms.is_joining(id, room),
            // A question before it must not see what it marks as read.
            Command::Read { conversation, .. } => {
                self.is_joining_in(id, conversation) || self.has_questions(id) || self.has_unanswered(id)
            }
            Command::History { conversation, .. } | Command::Search { conversation, .. } => {
                self.is_joining_in(id, conversation) || self.has_unanswered(id)
            }
            // Marking something as read is a question to the store as well.
            Command::Unread => self.has_unanswered(id) || self.has_questions(id),
            // A room of the list may not be open before its join is done.
            Command::Rooms { .. } => self.rooms.joins(id) > 0,
            // An answer is for the name that asked.
            Command::Rename { .. } => self.has_questions(id),
            // These follow what is under way to the owner of the room, or have nothing to do with it. An exit waits by itself.
            Command::Hello(_)
            | Command::Talk { .. }
            | Command::Direct { .. }
            | Command::Users { .. }
            | Command::SetTopic { .. }
            | Command::Typing { .. }
            | Command::Watch { .. }
            | Command::Ping
            | Command::Exit => false,
        }
    }

    /// Whether the owner of a room or of a pair has not answered a request of this connection, such as one that is being stored.
    fn has_unanswered(&self, id: SessionId) -> bool {
        let Some(connection) = self.connections.get(id) else {
            return false;
        };
        let session = connection.session();
        let deferred = session.and_then(|session| session.deferred.as_ref());
        let here = usize::from(connection.questions) + deferred.map_or(0, |deferred| deferred.count());
        connection.underway as usize > here
    }

    fn has_questions(&self, id: SessionId) -> bool {
        let connection = self.connections.get(id);
        connection.is_some_and(|connection| connection.questions > 0)
    }

    fn is_joining_in(&self, id: SessionId, conversation: &Conversation) -> bool {
        match conversation {
            Conversation::Room(room) => self.rooms.is_joining(id, room),
            Conversation::Peer(_) => false,
        }
    }

    /// Whether a session that is in too many rooms may be in fewer when all that is under way is done.
    fn may_have_room_later(&self, id: SessionId) -> bool {
        self.rooms.count(id) >= self.settings.rooms_per_session
            && (self.rooms.joins(id) > 0 || self.rooms.is_leaving(id, None))
    }
}
