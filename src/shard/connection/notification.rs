//! Notifications of connections to the rest of the shard, and requests of connections to the runtime.

use std::net::SocketAddr;

use crate::{
    chat::{Request, SessionId},
    shard::connection::session::Session,
};

/// A change of a connection after which other parts must act. [`Connections::poll`](super::connections::Connections::poll) returns
/// them in order; the connection may have ended by then.
#[derive(Debug)]
pub(crate) enum Notification {
    /// The session has ended: its rooms and the directory must remove it.
    Ended(SessionId, Box<Session>),
    /// All queues are written: replays and offline messages may continue.
    Written(SessionId),
    /// A request was answered while the connection was paused, exiting, or had deferred requests.
    Answered(SessionId),
    /// A deadline has passed: refused messages may be sent again, and the connection may be read.
    Due(SessionId),
    /// The full socket has accepted no bytes for `write_timeout`. It may have room that the poller has not reported.
    Stuck(SessionId),
    /// The owners of the member's rooms must know its dialect.
    DialectChanged(SessionId),
    /// Everything that waited for the dialect is encoded: its rooms may send events.
    DialectShown(SessionId),
    /// The owner of the lobby must greet the client, with the list of users.
    GreetingDue(SessionId, SocketAddr),
    /// The handshake contains these requests.
    Opened(SessionId, Vec<Request>),
}

/// A request to the runtime about a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IoRequest {
    /// Read the socket again.
    Read(SessionId),
    /// Shut the server's side of the socket.
    Shut(SessionId),
}
