//! Passes on what the store returns, and asks it what sessions ask.

use crate::{
    chat::Effect,
    history::Outcome,
    shard::{
        connection::write::Socket,
        engine::{Clock, Engine},
        store::{queries, returned::Returned, ticket::Ticket},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Handles an outcome of the store.
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        match self.store.take(outcome) {
            Returned::Message { room, message, result } => self.own(|owner, _| owner.returned(&room, message, result)),
            Returned::Direct {
                session,
                id,
                bytes,
                answer,
            } => {
                self.directory.directs.take(self.me, bytes);
                match answer {
                    Ok(direct) => self.carry_out(Effect::direct(session, id, direct)),
                    Err(reply) => self.carry_out([Effect::answer(session, id, reply)]),
                }
            }
            Returned::Opened { room, answer } => {
                self.own(|owner, conditions| owner.opened(&room, answer, conditions));
            }
            Returned::Hello { session, answer } => self.hello_checked(session, answer),
            Returned::Rename {
                session,
                id,
                key,
                answer,
            } => self.rename_checked(session, id, key, answer),
            Returned::Question {
                session,
                id,
                conversation,
                answer,
            } => {
                let connections = &mut self.connections;
                queries::answer(connections, &self.store, (session, id), conversation, answer, self.now);
                self.process_notifications();
            }
            Returned::Resume {
                session,
                number,
                backlog,
            } => self.serve(|rooms, parts| rooms.resumed(session, number, backlog, parts)),
            Returned::Replay {
                session,
                number,
                messages,
            } => self.serve(|rooms, parts| rooms.page_read(session, number, messages, parts)),
            Returned::Inbox {
                session,
                number,
                answer,
            } => self.with_inboxes(|inboxes, parts| inboxes.answer(session, number, answer, parts)),
            Returned::Nothing => {}
        }
        while let Some(message) = self.bus.next_local() {
            self.take(message);
        }
    }
}
