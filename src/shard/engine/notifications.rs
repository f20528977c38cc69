//! What follows for rooms, direct messages and other shards from what happened to connections.

use crate::{
    chat::{Departure, GoodbyeCode, Reply, RoomName, SessionId, ToSession, UserName},
    limits,
    shard::{
        End,
        bus::message::{RoomCommand, ToOwner, ToShard},
        connection::{
            notification::Notification,
            session::Session,
            write::{Socket, Written},
        },
        engine::{Clock, Engine},
    },
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// Passes on what happened to connections. Called after each call that may have led to something, so that the parts know
    /// of it before anything else happens.
    pub(crate) fn process_notifications(&mut self) {
        while let Some(notification) = self.connections.poll() {
            match notification {
                Notification::Ended(id, session) => self.forget(id, &session),
                Notification::Written(id) => {
                    // Not `serve`, which would call this method again for each connection.
                    let (rooms, inboxes, mut parts) = self.split();
                    rooms.replay_after_write(id, &mut parts);
                    inboxes.written(id, &mut parts);
                    self.read_on(id);
                }
                Notification::Answered(id) => {
                    self.go_on_with_deferred(id);
                    let in_flight = self.connections.get(id).map(|connection| connection.in_flight());
                    if in_flight.is_some_and(|in_flight| in_flight <= limits::REQUESTS_IN_FLIGHT / 2) {
                        self.read_on(id);
                    }
                    self.exit_if_done(id);
                }
                Notification::Due(id) => {
                    self.act(id, None, |rules| rules.retry_refused());
                    self.read_on(id);
                }
                Notification::Stuck(id) => {
                    // The system tells of room when a third of the buffer is free, which a slow reader needs longer for; it
                    // takes bytes before that.
                    self.writable(id);
                    self.connections.cut_stuck(id, self.now);
                }
                Notification::DialectChanged(id) => self.describe(id),
                Notification::DialectShown(id) => {
                    let (rooms, _, mut parts) = self.split();
                    rooms.replay_on(id, &mut parts);
                }
                Notification::GreetingDue(session, peer) => {
                    let owner = self.directory.owner_of(RoomName::lobby().as_str());
                    self.send(owner, ToShard::Owner(ToOwner::Greet { session, peer }));
                }
                Notification::Opened(id, requests) => {
                    for request in requests {
                        self.request(id, request);
                    }
                }
            }
        }
    }

    /// A session is over: rooms and directory forget it, once.
    fn forget(&mut self, id: SessionId, session: &Session) {
        self.inboxes.remove(id);
        for room in self.rooms.remove(id) {
            let leave = RoomCommand::Leave {
                session: id,
                how: Departure::Lost,
                id: None,
            };
            self.command(room, leave);
        }
        if let Some(peer) = session.watched() {
            self.directory.unwatch(peer, id);
        }
        self.directory.exit(session.name(), id);
        self.tell_watchers(session.name());
    }

    /// Whoever watches this user is told, if its last session has ended.
    pub(crate) fn tell_watchers(&mut self, user: &UserName) {
        for session in self.directory.clone().watchers_of_departed(user) {
            let what = ToSession::Tell(Box::new(Reply::PeerWent { user: user.clone() }));
            self.send(session.shard(), ToShard::Session { session, what });
        }
    }

    /// The owners of a member's rooms learn what its dialect shows.
    fn describe(&mut self, id: SessionId) {
        let Some(profile) = self.connections.profile(id) else {
            return;
        };
        let sees_own_going = profile.sees_own_going;
        let Some(speaking) = self.connections.get(id).and_then(|connection| connection.speaking()) else {
            return;
        };
        let lists = speaking.codec().lists();
        for room in self.rooms.rooms_of(id) {
            let describe = RoomCommand::Describe {
                session: id,
                sees_own_going,
                lists,
            };
            self.command(room, describe);
        }
    }

    /// The peer closed its side, or the socket failed.
    pub(crate) fn hung_up(&mut self, id: SessionId) {
        self.cut(id, End::Reset);
    }

    /// A socket has room, which matters if something waits for it.
    pub(crate) fn writable(&mut self, id: SessionId) {
        let blocked = self.connections.get(id).and_then(|connection| connection.blocked_ms());
        let Some(since) = blocked else { return };
        let before = self.connections.counts().bytes_out;
        let full = self.write_on(id);
        // Room for nothing is no room: the time that the socket has been full goes on.
        if full && self.connections.counts().bytes_out == before {
            self.connections.stays_blocked(id, since);
        }
    }

    /// Goes on with what waits for a socket. Whether it is full once more.
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
        if self.serve(|rooms, parts| rooms.catch_up(id, parts)) {
            // The replies are out, whatever the rooms still have for it.
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
