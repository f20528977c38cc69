//! What the rest of the shard has to learn of its clients, and what their sockets need of the outside.

use std::net::SocketAddr;

use crate::{
    chat::{Request, SessionId},
    shard::connection::session::Session,
};

/// What followed from something that was done to a connection. [`Connections::poll`](super::connections::Connections::poll)
/// gives it out in the order in which it happened; the connection may be gone by then.
#[derive(Debug)]
pub(crate) enum Happened {
    /// The session is over: its rooms and the directory have to forget it.
    Ended(SessionId, Box<Session>),
    /// Everything that waited for the socket is written: there is room for what waits elsewhere.
    Written(SessionId),
    /// A request was answered, and something of the connection waits for that.
    Answered(SessionId),
    /// Its deadline came: messages that were given back may be sent again, and it may be read on.
    Due(SessionId),
    /// Its socket has taken nothing for as long as it may, as far as the poller has told.
    Stuck(SessionId),
    /// The owners of its rooms have to know what its dialect shows.
    Described(SessionId),
    /// What waited for its dialect is written, or waits in order: its rooms may go on.
    Shown(SessionId),
    /// The owner of the lobby has to greet it, with the list of users.
    Greeted(SessionId, SocketAddr),
    /// Its handshake amounts to these requests.
    Opened(SessionId, Vec<Request>),
}

/// What a connection needs of the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// It is to be read again.
    Wake(SessionId),
    /// Our side of it is to be shut.
    Shut(SessionId),
}
