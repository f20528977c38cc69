//! Passes on what the store returns, and asks it what sessions ask.

use std::sync::Arc;

use crate::{
    chat::{Direct, Position, Reply, RequestId, SessionId, Talk},
    history::Outcome,
    shard::{
        connection::write::Socket,
        direct::{event::DirectEvent, fanout::fan_out},
        engine::{Clock, Engine},
        store::{
            queries::{self, Asker, Question},
            refusals,
            returned::{Became, Returned},
            ticket::Ticket,
        },
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// The store says what became of something.
    pub(crate) fn stored(&mut self, outcome: Outcome<Ticket>) {
        match self.store.take(outcome) {
            Returned::Talk { room, said, became } => self.own_rooms(|owner, _| owner.returned(&room, said, became)),
            Returned::Direct {
                to,
                bytes,
                said,
                became,
            } => {
                self.directory.directs.take(self.me, bytes);
                match became {
                    Became::Stored { position, prev, at } => {
                        let (session, id) = (said.session, said.id);
                        let talk = said.numbered(position, prev, at);
                        self.tell_direct(session, id, Direct { to, talk });
                    }
                    Became::Not(reply) => self.answer(said.session, said.id, reply),
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
                session: id,
                id: request,
                conversation,
                answer,
            } => {
                let session = self.connections.session(id);
                if let Some(session) = session {
                    let reply = queries::reply(session, conversation, answer, &self.store);
                    self.reply(id, request, &reply);
                }
                self.connections.question_answered(id);
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

    /// History, search, read and unread: asked of the store, if the session may know.
    pub(crate) fn question(&mut self, id: SessionId, request: RequestId, question: Question) {
        let Some(session) = self.connections.session(id) else {
            return;
        };
        let conversation = question.conversation().cloned();
        let asker = Asker {
            session,
            is_native: self.connections.is_native(id),
            is_member: &|room| self.rooms.is_member(id, room),
        };
        let ask = match question.ask(&asker, &self.store) {
            Ok(ask) => ask,
            Err(refusal) => return self.refuse(id, request, refusal),
        };
        let ticket = Ticket::Question {
            session: id,
            id: request,
            conversation,
        };
        if !self.store.ask(ask, ticket) {
            return self.refuse(id, request, refusals::busy());
        }
        self.connections.question_asked(id);
    }
}
