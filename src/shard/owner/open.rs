//! Rooms that are opened at the place where their log stands: what is for one waits until the store has said where that is.

use crate::shard::{
    bus::message::ToHome,
    connection::write::Socket,
    engine::{Clock, Engine},
    store::port::{Ticket, busy_store},
};
use crate::{
    chat::{Backlog, Effect, ErrorCode, LogHead, Refusal, Reply, RoomName, Since},
    history::{Ask, LogId},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Parks what is for a room that has to be opened first; gives back what need not wait.
    pub(crate) fn park(&mut self, message: ToHome) -> Option<ToHome> {
        let Some(room) = message.room().filter(|room| !self.home.knows(room)).cloned() else {
            return Some(message);
        };
        let Some(store) = self.store.as_mut() else {
            return Some(message);
        };
        if let Some(waiting) = store.opening.get_mut(&room) {
            waiting.push(message);
            return None;
        }
        let log = LogId::Room(room.clone());
        let ask = match &message {
            ToHome::Join { since: Since::Now, .. } => Ask::Head(log),
            ToHome::Join { arrival, since, .. } => Ask::Resume {
                log,
                user: arrival.user.clone(),
                since: *since,
                limit: limits::RESUME_TALKS,
            },
            _ => return Some(message),
        };
        if !self.keeps(&room) {
            return Some(message);
        }
        let ticket = Ticket::Open {
            home: self.me,
            room: room.clone(),
        };
        let asked = self.ask_store(ask, ticket);
        match (asked, self.store.as_mut()) {
            (true, Some(store)) => {
                store.opening.insert(room, vec![message]);
            }
            (false, _) | (true, None) => self.refuse_parked(message, busy_store()),
        }
        None
    }

    /// A room is open. Whoever asked for it stands first in line; this is what the store said of it.
    pub(crate) fn opened(&mut self, room: &RoomName, head: LogHead, mut backlog: Option<Backlog>) {
        self.home.open_stored(room, head);
        let Some(store) = &mut self.store else { return };
        let parked = store.opening.remove(room).unwrap_or_default();
        for message in parked {
            self.at_home(message, backlog.take());
        }
    }

    pub(crate) fn refuse_parked(&mut self, message: ToHome, refusal: Refusal) {
        match message {
            ToHome::Join { room, arrival, id, .. } => {
                self.carry_out([Effect::refuse_join(arrival.session, id, &room, refusal)]);
            }
            // Its join, which stood before it, has been refused.
            ToHome::Leave { room, session, id, .. } if id.is_some() => {
                let refusal = ErrorCode::NotMember.because(format!("this session is not in the room {room}"));
                self.answer(session, id, Reply::Error(refusal));
            }
            ToHome::Leave { room, session, id, .. } => {
                self.carry_out([Effect::dismiss(session, id, &room)]);
            }
            ToHome::Talk { said, .. } => self.answer(said.session, said.id, Reply::Error(refusal)),
            ToHome::SetTopic { session, id, .. } | ToHome::Users { session, id, .. } => {
                self.answer(session, id, Reply::Error(refusal));
            }
            ToHome::Rename { .. }
            | ToHome::Describe { .. }
            | ToHome::Typing { .. }
            | ToHome::System { .. }
            | ToHome::Greet { .. }
            | ToHome::Rooms { .. }
            | ToHome::Direct { .. } => {}
        }
    }
}
