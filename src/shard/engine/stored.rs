//! Passes the store's outcomes to the parts that wait for them.

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
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        match self.store.take(outcome) {
            Returned::Message { room, message, result } => {
                self.with_owner(|owner, _| owner.returned(&room, message, result));
            }
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
                self.with_owner(|owner, conditions| owner.opened(&room, answer, conditions));
            }
            Returned::Hello { session, answer } => {
                let rooms = self.with_presence(|presence| presence.hello_answered(session, answer));
                self.resume_rooms(session, rooms);
                self.read_on(session);
            }
            Returned::Rename {
                session,
                id,
                key,
                answer,
            } => {
                self.with_presence(|presence| presence.rename_answered(session, id, key, answer));
                self.read_on(session);
            }
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
            } => self.with_rooms(|rooms, parts| rooms.resumed(session, number, backlog, parts)),
            Returned::Replay {
                session,
                number,
                messages,
            } => self.with_rooms(|rooms, parts| rooms.page_read(session, number, messages, parts)),
            Returned::Inbox {
                session,
                number,
                answer,
            } => self.with_inboxes(|inboxes, parts| inboxes.answer(session, number, answer, parts)),
            Returned::Nothing => {}
        }
        self.dispatch_local();
    }
}
