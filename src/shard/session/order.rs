//! Requests are carried out in the order in which they were sent, although a request before them is not done yet.
//!
//! The owner of a room carries out joins, leaves and messages; the session's shard learns the outcome later. Most requests follow
//! them to the owner and stay behind them. Others do not, and wait here: requests that the session's shard decides by membership,
//! questions to the store, which must see what the same session wrote before, and whatever changes whose answers these are.
//! Everything that was sent after a waiting request waits too, and the connection is not read meanwhile: so at most what one
//! message asks for can wait.

use super::rules::{Action, Rules};
use crate::{
    chat::{Command, Conversation, Request, RequestId, SessionId},
    shard::room::rooms::Rooms,
};

/// What of a session is under way.
pub(super) struct UnderWay<'a> {
    pub(super) id: SessionId,
    pub(super) rooms: &'a Rooms,
    pub(super) rooms_most: usize,
    /// The store has not answered a question.
    pub(super) questions: bool,
    /// The owner of a room or of a pair has not answered a request, such as one that is being stored.
    pub(super) unanswered: bool,
}

impl UnderWay<'_> {
    /// Whether what this command does depends on a request that is under way.
    pub(super) fn holds_up(&self, command: &Command) -> bool {
        let (id, rooms) = (self.id, self.rooms);
        match command {
            Command::Join { room, .. } => {
                rooms.is_joining(id, room) || rooms.is_leaving(id, Some(room)) || self.may_have_room_later()
            }
            Command::Leave { room } => rooms.is_joining(id, room),
            // A question before it must not see what it marks as read.
            Command::Read { conversation, .. } => self.is_joining_in(conversation) || self.questions || self.unanswered,
            Command::History { conversation, .. } | Command::Search { conversation, .. } => {
                self.is_joining_in(conversation) || self.unanswered
            }
            // Marking something as read is a question to the store as well.
            Command::Unread => self.unanswered || self.questions,
            // A room of the list may not be open before its join is done.
            Command::Rooms { .. } => rooms.joins(id) > 0,
            // An answer is for the name that asked.
            Command::Rename { .. } => self.questions,
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

    fn is_joining_in(&self, conversation: &Conversation) -> bool {
        match conversation {
            Conversation::Room(room) => self.rooms.is_joining(self.id, room),
            Conversation::Peer(_) => false,
        }
    }

    /// Whether a session that is in too many rooms may be in fewer when all that is under way is done.
    fn may_have_room_later(&self) -> bool {
        self.rooms.count(self.id) >= self.rooms_most
            && (self.rooms.joins(self.id) > 0 || self.rooms.is_leaving(self.id, None))
    }
}

impl<S> Rules<'_, S> {
    /// Gives a request of a named session back that can be carried out now; keeps one that has to wait.
    pub(super) fn defer(&mut self, request: Request) -> Option<Request> {
        let waits = self.in_flight()?.holds_up(&request.command);
        let session = self.connection.session_mut()?;
        if session.deferred().is_none() && !waits {
            return Some(request);
        }
        session.defer(request);
        self.connection.asked(1);
        None
    }

    /// A request is done: what the next one leads to that waited for it, if it need not wait any more. Behind the last one
    /// comes [`Action::ReadOn`]: until there nothing that was sent later may be read.
    pub(crate) fn next_deferred(&mut self) -> Option<(RequestId, Action)> {
        let deferred = self.connection.session()?.deferred()?;
        let Some(next) = deferred.front() else {
            self.connection.session_mut()?.end_deferring();
            return Some((None, Action::ReadOn));
        };
        if self.in_flight()?.holds_up(&next.command) {
            return None;
        }
        let Request { id, command } = self.connection.session_mut()?.next_deferred()?;
        self.connection.answered();
        Some((id, self.carry_out(id, command)))
    }

    fn in_flight(&self) -> Option<UnderWay<'_>> {
        let session = self.connection.session()?;
        let questions = self.connection.questions();
        // Those that wait here count as under way, and none waits for itself.
        let here = questions + session.deferred().map_or(0, |deferred| deferred.len());
        Some(UnderWay {
            id: self.id,
            rooms: self.rooms,
            rooms_most: self.settings.rooms_per_session,
            questions: questions > 0,
            unanswered: self.connection.in_flight() as usize > here,
        })
    }
}
