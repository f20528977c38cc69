//! Passes on what the store returns, and asks it what sessions ask.

use std::sync::Arc;

use crate::{
    chat::{Direct, Position, Reply, RequestId, SessionId, Talk},
    history::Outcome,
    shard::{
        connection::write::Socket,
        direct::{event::DirectEvent, fanout::fan_out},
        engine::{Clock, Engine},
        store::{queries, returned::Returned, ticket::Ticket},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// The store says what became of something.
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        match self.store.take(outcome) {
            Returned::Talk { room, said, became } => self.own_rooms(|owner, _| owner.returned(&room, said, became)),
            Returned::Direct {
                session,
                id,
                bytes,
                answer,
            } => {
                self.directory.directs.take(self.me, bytes);
                match answer {
                    Ok(direct) => self.tell_direct(session, id, direct),
                    Err(reply) => self.answer(session, id, reply),
                }
            }
            Returned::Opened { room, answer } => {
                self.own_rooms(|owner, conditions| owner.opened(&room, answer, conditions));
            }
            Returned::Hello { session, answer } => self.hello_judged(session, answer),
            Returned::Rename {
                session,
                id,
                key,
                answer,
            } => self.rename_judged(session, id, key, answer),
            Returned::Question {
                session,
                id,
                conversation,
                answer,
            } => {
                let connections = &mut self.connections;
                queries::answer(connections, &self.store, (session, id), conversation, answer, self.now);
                self.follow();
            }
            Returned::Resume {
                session,
                number,
                backlog,
            } => self.serve(|rooms, parts| rooms.resumed(session, number, backlog, parts)),
            Returned::Replay { session, number, talks } => {
                self.serve(|rooms, parts| rooms.page_read(session, number, talks, parts))
            }
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

    /// A direct message has its number: both users' sessions are told, wherever they are.
    pub(crate) fn tell_direct(&mut self, session: SessionId, id: RequestId, direct: Direct) {
        let Talk { epoch, seq, at, .. } = direct.talk;
        let (position, duplicate) = (Position { epoch, seq }, false);
        self.answer(
            session,
            id,
            Reply::Ack {
                position,
                at,
                duplicate,
            },
        );
        self.stats.directs += 1;
        let direct = Arc::new(DirectEvent::new(direct, self.settings.dialects));
        for (shard, message) in fan_out(&self.directory, &direct, session) {
            self.bus.send(shard, message);
        }
    }
}
