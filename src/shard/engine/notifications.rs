//! Passes the notifications of connections on to the other parts, and continues with sockets that became writable.

use crate::{
    chat::{GoodbyeCode, RoomName, SessionId},
    limits,
    shard::{
        End,
        bus::message::{ToOwner, ToShard},
        connection::{
            notification::Notification,
            write::{Socket, Written},
        },
        engine::{Clock, Engine},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Processes all notifications. It runs after each call that may cause some, so that the parts know of a change before anything
    /// else happens.
    pub(crate) fn process_notifications(&mut self) {
        while let Some(notification) = self.connections.poll() {
            match notification {
                Notification::Ended(id, session) => self.with_presence_only(|presence| presence.ended(id, &session)),
                Notification::Written(id) => {
                    // Not `with_rooms`, which would call this method again for each connection.
                    let (rooms, inboxes, mut parts) = self.split();
                    rooms.replay_after_write(id, &mut parts);
                    inboxes.written(id, &mut parts);
                    self.read_on(id);
                }
                Notification::Answered(id) => {
                    self.continue_deferred(id);
                    let in_flight = self.connections.get(id).map(|connection| connection.in_flight());
                    if in_flight.is_some_and(|in_flight| in_flight <= limits::REQUESTS_IN_FLIGHT / 2) {
                        self.read_on(id);
                    }
                    self.exit_if_done(id);
                }
                Notification::Due(id) => {
                    self.with_rules(id, None, |rules| rules.retry_refused());
                    self.read_on(id);
                }
                Notification::Stuck(id) => {
                    // The kernel reports room only when a third of the buffer is free, which may take a slow reader longer than
                    // the timeout. A write can succeed before that.
                    self.writable(id);
                    self.connections.cut_stuck(id, self.now);
                }
                Notification::DialectChanged(id) => self.with_presence_only(|presence| presence.dialect_changed(id)),
                Notification::DialectShown(id) => {
                    let (rooms, _, mut parts) = self.split();
                    rooms.replay_on(id, &mut parts);
                }
                Notification::GreetingDue(session, peer) => {
                    let owner = self.directory.owner_of(RoomName::lobby().as_str());
                    self.bus.send(owner, ToShard::Owner(ToOwner::Greet { session, peer }));
                }
                Notification::Opened(id, requests) => {
                    for request in requests {
                        self.request(id, request);
                    }
                }
            }
        }
    }

    /// The peer closed its side, or the socket failed.
    pub(crate) fn hung_up(&mut self, id: SessionId) {
        self.cut(id, End::Reset);
    }

    /// A socket has room again: writes what waits for it.
    pub(crate) fn writable(&mut self, id: SessionId) {
        let blocked = self.connections.get(id).and_then(|connection| connection.blocked_ms());
        let Some(since) = blocked else { return };
        let before = self.connections.counts().bytes_out;
        let full = self.write_on(id);
        // A write of no bytes does not restart the write timeout.
        if full && self.connections.counts().bytes_out == before {
            self.connections.stays_blocked(id, since);
        }
    }

    /// Writes the queues of a connection, and then the events of its rooms. Returns whether the socket is full again.
    fn write_on(&mut self, id: SessionId) -> bool {
        match self.connections.drain(id, self.now) {
            Written::All => {}
            Written::Full => return true,
            Written::Dead => {
                self.process_notifications();
                return false;
            }
        }
        self.rooms.count_lags(id);
        if self.with_rooms(|rooms, parts| rooms.catch_up(id, parts)) {
            // The replies are written, although events of its rooms are left.
            self.with_inboxes(|inboxes, parts| inboxes.written(id, parts));
            self.read_on(id);
            return true;
        }
        if self.connections.is_draining() {
            self.goodbye(id, None, GoodbyeCode::ShuttingDown);
        }
        self.connections.written(id, self.now);
        self.process_notifications();
        false
    }
}
