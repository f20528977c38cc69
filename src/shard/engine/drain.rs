//! How a shard ends its service: it stops reading, what is in flight arrives, and every connection gets its goodbye.

use crate::shard::{
    connection::write::Socket,
    engine::{Clock, Engine},
};
use crate::{
    chat::{GoodbyeCode, SessionId},
    limits,
};

/// How far a shard is on its way out. It only moves forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// Connections are read.
    #[default]
    Running,
    /// Nothing is read any more; what was sent before is still delivered.
    Quiesced,
    /// Everybody is being sent away. Connections that do not read have until then, milliseconds.
    Draining { until_ms: u64 },
}

impl Service {
    /// Stops reading; whether it was running.
    fn quiesce(&mut self) -> bool {
        let was_running = *self == Self::Running;
        if was_running {
            *self = Self::Quiesced;
        }
        was_running
    }

    /// Whether no connection is read.
    pub(crate) fn is_quiesced(self) -> bool {
        self != Self::Running
    }

    /// While everybody is sent away: until when, milliseconds.
    pub(crate) fn drains_until(self) -> Option<u64> {
        match self {
            Self::Running | Self::Quiesced => None,
            Self::Draining { until_ms } => Some(until_ms),
        }
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Stops reading, once and for all. Whether nothing is in flight from here: every request of this shard's connections has
    /// been answered, and every message to other shards is in their inboxes.
    ///
    /// When all shards have stopped and have said so twice in a row, every message is in the inboxes of all its receivers: an
    /// answer leaves its owner in the same turn as the event, and the second time asks the owner behind that turn.
    pub(crate) fn quiesce(&mut self) -> bool {
        if self.service.quiesce() {
            for connection in self.connections.iter_mut() {
                connection.pause_reading();
            }
        }
        self.bus.is_quiet()
            && self.directs.is_empty()
            && self.connections.iter().all(|(_, connection)| {
                let held = connection.session().is_some_and(|session| session.held.is_some());
                connection.underway == 0 && !held
            })
    }

    /// Says goodbye to everybody; the acceptor turns newcomers away.
    pub(crate) fn drain(&mut self) {
        let until_ms = self.now.ms + limits::LINGER.as_millis() as u64;
        self.service = Service::Draining { until_ms };
        self.deliver_all_directs();
        let ids: Vec<SessionId> = self.connections.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.guess_dialect(id);
            // What is in the rings goes out before the goodbye; a peer that does not read has a moment to begin.
            let blocked = self.connection(id).is_some_and(|connection| connection.blocked());
            if blocked {
                self.watch(id, until_ms);
            } else if self.catch_up(id) {
                self.wait_writable(id);
            } else {
                self.goodbye(id, None, GoodbyeCode::ShuttingDown);
            }
        }
    }
}
