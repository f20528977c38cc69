//! What the engine has its connections do; what follows is passed on at once.

use crate::chat::{GoodbyeCode, Reply, RequestId, SessionId};
use crate::shard::{
    End,
    connection::write::Socket,
    engine::{Clock, Engine},
};

impl<S: Socket, C: Clock> Engine<S, C> {
    pub(crate) fn answered(&mut self, id: SessionId) {
        self.connections.answered(id);
        self.process_notifications();
    }

    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        self.connections.reply(id, request, reply, self.now);
        self.process_notifications();
    }

    pub(crate) fn goodbye(&mut self, id: SessionId, request: RequestId, code: GoodbyeCode) {
        self.connections.goodbye(id, request, code, self.now);
        self.process_notifications();
    }

    pub(crate) fn cut(&mut self, id: SessionId, end: End) {
        self.connections.cut(id, end);
        self.process_notifications();
    }

    pub(crate) fn write(&mut self, id: SessionId) {
        self.connections.write(id, self.now);
        self.process_notifications();
    }

    pub(crate) fn guess_dialect(&mut self, id: SessionId) {
        self.connections.guess_dialect(id, self.now);
        self.process_notifications();
    }

    pub(crate) fn schedule(&mut self, id: SessionId) {
        self.connections.schedule(id, self.now);
    }
}
