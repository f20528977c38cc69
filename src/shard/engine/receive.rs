//! Receiving bytes: the engine carries out the requests of one message before it reads the next.

use crate::shard::{
    connection::{reader::Reading, write::Socket},
    engine::{Clock, Engine},
};
use crate::{
    chat::SessionId,
    codec::{DialectId, Handshake, Message},
    shard::End,
    wire::{self, Flow, FrameReader, Incoming, Progress},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Opens a connection whose handshake is complete.
    pub(crate) fn open(&mut self, socket: S, handshake: Handshake, dialect: Option<DialectId>) -> SessionId {
        let id = self.connections.open(socket, handshake, dialect, self.now);
        self.process_notifications();
        id
    }

    /// Bytes arrived from the socket; the reader unmasks them in place.
    pub(crate) fn receive(&mut self, id: SessionId, bytes: &mut [u8]) -> Reading {
        self.connections.heard(id, bytes.len(), self.now);
        self.read(id, |reader, sink| reader.read(bytes, sink))
    }

    /// Resumes a paused connection if no reason for a pause is left. It runs wherever a reason for a pause ends.
    pub(crate) fn read_on(&mut self, id: SessionId) {
        if !self.connections.resume(id, self.is_congested(), self.now) {
            return;
        }
        if self.read(id, |reader, sink| reader.resume(sink)) != Reading::Paused {
            self.connections.wake(id);
        }
    }

    fn read(
        &mut self,
        id: SessionId,
        step: impl FnOnce(&mut FrameReader, &mut dyn FnMut(Incoming<'_>) -> Flow) -> Result<Progress, wire::Violation>,
    ) -> Reading {
        let mut read = match self.connections.begin_read(id) {
            Ok(read) => read,
            Err(reading) => return reading,
        };
        let finished = &mut read.finished;
        let outcome = step(&mut read.reader, &mut |incoming| {
            *finished |= matches!(incoming, Incoming::Message(_));
            self.incoming(id, incoming);
            match self.connections.flow(id, self.is_congested(), self.now) {
                None => Flow::Go,
                Some(_) => Flow::Pause,
            }
        });
        let reading = self.connections.end_read(id, read, outcome, self.now);
        self.process_notifications();
        reading
    }

    fn incoming(&mut self, id: SessionId, incoming: Incoming<'_>) {
        match incoming {
            Incoming::Message(message) => self.message(id, message),
            Incoming::Ping(payload) => self.connections.answer_ping(id, payload),
            Incoming::Pong(payload) => self.with_inboxes(|inboxes, parts| inboxes.pong(id, payload, parts)),
            Incoming::Close { code, .. } => {
                let answer = wire::close_answer(code);
                self.connections.close_with(id, answer.as_bytes(), End::Peer, self.now);
                self.process_notifications();
            }
        }
    }

    fn message(&mut self, id: SessionId, message: Message<'_>) {
        self.connections.note_message(id, message, self.now);
        self.process_notifications();
        let (mut requests, fault) = self.connections.decode(id, message, self.now);
        for request in requests.drain(..) {
            self.request(id, request);
        }
        self.connections.reuse(requests);
        if let Some(fault) = fault {
            self.connections.fault(id, fault, self.now);
        }
        self.process_notifications();
    }

    /// Whether the shard has too many unsent messages to read more.
    fn is_congested(&self) -> bool {
        self.bus.is_congested() || self.bus.is_busy_with_itself()
    }
}
