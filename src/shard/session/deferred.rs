//! Deferred requests: those that must wait for an earlier request of their session.
//!
//! Invariant: the requests of a session take effect in the order in which it sent them.
//!
//! The owner of a room carries out joins, leaves and messages, and the session's shard gets the outcome later. Most requests follow
//! earlier ones to the owner, which keeps their order. The others are deferred here: requests that the session's shard decides by
//! membership, questions to the store, which must see what the session wrote before, and renames while a question is unanswered.
//! While a request is deferred, so are all later ones, and the connection is not read. So only the requests of one message can be
//! deferred.

use super::rules::{Action, Rules};
use crate::{
    chat::{Command, Conversation, Request, RequestId, SessionId},
    shard::room::rooms::Rooms,
};

/// The unanswered requests of a session.
pub(super) struct InFlight<'a> {
    pub(super) id: SessionId,
    pub(super) rooms: &'a Rooms,
    pub(super) rooms_most: usize,
    /// Whether the store has not answered a question.
    pub(super) questions: bool,
    /// Whether an owner has not answered a request.
    pub(super) unanswered: bool,
}

impl InFlight<'_> {
    /// Whether the effect of this command depends on an unanswered request.
    pub(super) fn must_wait(&self, command: &Command) -> bool {
        let (id, rooms) = (self.id, self.rooms);
        match command {
            Command::Join { room, .. } => {
                rooms.is_joining(id, room) || rooms.is_leaving(id, Some(room)) || self.may_have_room_later()
            }
            Command::Leave { room } => rooms.is_joining(id, room),
            // An earlier question must not see what this marks as read.
            Command::Read { conversation, .. } => self.is_joining_in(conversation) || self.questions || self.unanswered,
            Command::History { conversation, .. } | Command::Search { conversation, .. } => {
                self.is_joining_in(conversation) || self.unanswered
            }
            // Marking something as read is a question to the store as well.
            Command::Unread => self.unanswered || self.questions,
            // A room that is being joined may not be open yet, and would be missing from the list.
            Command::Rooms { .. } => rooms.joins(id) > 0,
            // An answer belongs to the name that asked.
            Command::Rename { .. } => self.questions,
            // These follow unanswered requests to the owner, or do not depend on any. An exit waits by itself.
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

    /// Whether a session at its limit of rooms may be below it after its unanswered requests.
    fn may_have_room_later(&self) -> bool {
        self.rooms.count(self.id) >= self.rooms_most
            && (self.rooms.joins(self.id) > 0 || self.rooms.is_leaving(self.id, None))
    }
}

impl<S> Rules<'_, S> {
    /// Returns a request that can be carried out now; defers one that must wait.
    pub(super) fn defer(&mut self, request: Request) -> Option<Request> {
        let waits = self.in_flight()?.must_wait(&request.command);
        let session = self.connection.session_mut()?;
        if session.deferred().is_none() && !waits {
            return Some(request);
        }
        session.defer(request);
        self.connection.asked(1);
        None
    }

    /// After an answer: the action for the next deferred request, if it need not wait any more. The last action is
    /// [`Action::ReadOn`], because later requests may be read only after that.
    pub(crate) fn next_deferred(&mut self) -> Option<(RequestId, Action)> {
        let deferred = self.connection.session()?.deferred()?;
        let Some(next) = deferred.front() else {
            self.connection.session_mut()?.end_deferring();
            return Some((None, Action::ReadOn));
        };
        if self.in_flight()?.must_wait(&next.command) {
            return None;
        }
        let Request { id, command } = self.connection.session_mut()?.next_deferred()?;
        self.connection.answered();
        Some((id, self.carry_out(id, command)))
    }

    fn in_flight(&self) -> Option<InFlight<'_>> {
        let session = self.connection.session()?;
        let questions = self.connection.questions();
        // Deferred requests count as unanswered, and must not wait for themselves.
        let here = questions + session.deferred().map_or(0, |deferred| deferred.len());
        Some(InFlight {
            id: self.id,
            rooms: self.rooms,
            rooms_most: self.settings.rooms_per_session,
            questions: questions > 0,
            unanswered: self.connection.in_flight() as usize > here,
        })
    }
}
