//! One epoll for all sockets of a shard: which of them can be read, and which have room again.
//!
//! A connection costs its place in the kernel's set here and nothing else: a task, its waker and the runtime's own record of
//! a socket would be 512 bytes each (ARCHITECTURE.md, Numbers). The runtime watches the set as a whole, as one descriptor,
//! so that a shard that has nothing to do sleeps in one place.
//!
//! Events are edges (epoll(7)): each is told once, and whoever gets one reads until the socket is empty or remembers that it
//! has not done so.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
    time::Duration,
};

use mio::{Events, Interest, Token, event::Source};
use tokio::io::unix::AsyncFd;

use crate::{chat::ConnectionSlot, limits, readiness};

/// The sockets of one shard.
pub(crate) struct Poller {
    poll: mio::Poll,
    events: Events,
    /// The set itself, watched by this thread's runtime.
    set: AsyncFd<OwnedFd>,
}

/// Adds sockets to a poller's set.
pub(crate) struct Registry(mio::Registry);

/// Whose socket it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The connection's in this slot.
    Connection(ConnectionSlot),
    /// The newcomer's in this place.
    Newcomer(usize),
}

/// What an event says of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Who stands there may be another one by now, who is then looked at for nothing.
    pub(crate) who: Watched,
    /// There is something to read, or an end or an error to learn of.
    pub(crate) readable: bool,
    /// The peer has closed its side, or the socket has failed: no further edge will say so.
    pub(crate) ended: bool,
    /// There is room again after a write that did not fit.
    pub(crate) writable: bool,
}

impl Poller {
    /// An empty set on this thread's runtime.
    ///
    /// # Errors
    /// When the system gives no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        // The descriptor once more: the poll closes its own.
        let set = readiness::watch(poll.registry().as_fd().try_clone_to_owned()?)?;
        let events = Events::with_capacity(limits::SOCKETS_PER_TURN);
        Ok(Self { poll, events, set })
    }

    /// A handle that adds sockets.
    ///
    /// # Errors
    /// When the system gives no descriptor for it.
    pub(crate) fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone().map(Registry)
    }

    /// Ready when there are events, for [`Poller::events`] to give.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub(crate) fn poll_events(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.events.clear();
        loop {
            let mut ready = ready!(self.set.poll_read_ready(context))?;
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let count = self.events.iter().count();
            if count < limits::SOCKETS_PER_TURN {
                ready.clear_ready();
            }
            if count > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What the last [`Poller::poll_events`] found, at most [`limits::SOCKETS_PER_TURN`].
    pub(crate) fn events(&self) -> impl Iterator<Item = Ready> {
        self.events.iter().map(|event| Ready {
            who: Watched::of(event.token()),
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        })
    }
}

impl Registry {
    /// Watches a socket from now on, until it is closed, for something to read. What is there already is told as an event.
    ///
    /// # Errors
    /// When the system takes no more.
    pub(crate) fn add(&self, source: &mut impl Source, who: Watched) -> io::Result<()> {
        self.0.register(source, who.token(), Interest::READABLE)
    }

    /// Watches a socket that was added for room to write as well, as whoever's it is now. What is there already is told again.
    ///
    /// # Errors
    /// When the system does not watch it.
    pub(crate) fn widen(&self, source: &mut impl Source, who: Watched) -> io::Result<()> {
        self.0
            .reregister(source, who.token(), Interest::READABLE | Interest::WRITABLE)
    }
}

impl Watched {
    /// Two numbers in one: the last bit says which.
    fn token(self) -> Token {
        match self {
            Self::Connection(slot) => Token(slot.index() << 1),
            Self::Newcomer(place) => Token(place << 1 | 1),
        }
    }

    fn of(token: Token) -> Self {
        let number = token.0 >> 1;
        if token.0 & 1 == 0 {
            Self::Connection(ConnectionSlot::new(number as u32))
        } else {
            Self::Newcomer(number)
        }
    }
}
