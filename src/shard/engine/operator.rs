//! Carries out requests of the operator. An answer for which nobody waits any more is dropped.

use crate::{
    chat::{GoodbyeCode, Reply, SessionId},
    shard::{
        bus::operator::OperatorRequest,
        connection::write::Socket,
        engine::{Clock, Engine},
        session::list,
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn administer(&mut self, request: OperatorRequest) {
        match request {
            OperatorRequest::Rooms(request) => {
                self.with_owner(|owner, conditions| owner.administer(request, conditions.now_ms));
            }
            OperatorRequest::SayToAll { text, answer } => {
                let all = self.connections.iter();
                let named: Vec<SessionId> = all
                    .filter(|(_, connection)| connection.session().is_some())
                    .map(|(id, _)| id)
                    .collect();
                let _ = answer.send(named.len());
                for id in named {
                    self.reply(id, None, &Reply::System { text: text.clone() });
                }
            }
            OperatorRequest::Sessions {
                slot,
                user,
                limit,
                answer,
            } => {
                let user = user.map(|user| self.directory.user_named(&user));
                let (connections, rooms) = (&self.connections, &self.rooms);
                let entries = list::entries(connections, rooms, slot, user.as_ref(), limit, self.now.ms);
                let _ = answer.send(entries);
            }
            OperatorRequest::Disconnect { session, answer } => {
                let connection = self.connections.get(session);
                let is_there = connection.is_some_and(|connection| !connection.is_closing());
                if is_there {
                    self.goodbye(session, None, GoodbyeCode::Disconnected);
                }
                let _ = answer.send(is_there);
            }
            OperatorRequest::DisconnectUser { user, answer } => {
                let user = self.directory.user_named(&user);
                let sessions = self.directory.sessions(&user, self.me);
                let _ = answer.send(sessions.len());
                for session in sessions {
                    self.goodbye(session, None, GoodbyeCode::Disconnected);
                }
            }
        }
    }
}
