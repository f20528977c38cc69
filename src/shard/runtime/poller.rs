//! The epoll set of a shard's sockets: it reports which are readable, and which are writable again after a partial write.
//!
//! A connection costs only its entry in the kernel's set; a task, its waker and the runtime's own record of a socket would be 512
//! bytes each (ARCHITECTURE.md, Decisions). The runtime watches the whole set as one descriptor, so an idle shard sleeps in one place.
//!
//! Events are edge-triggered (epoll(7)): each is reported once. The receiver of an event must read until the socket is empty, or
//! remember that it has not.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
    time::Duration,
};

use mio::{Events, Interest, Token, event::Source};
use tokio::io::unix::AsyncFd;

use crate::{chat::ConnectionSlot, limits, readiness};

pub(crate) struct Poller {
    poll: mio::Poll,
    events: Events,
    /// The descriptor of the set, which this thread's runtime watches.
    set: AsyncFd<OwnedFd>,
}

/// Adds sockets to a poller's set.
pub(crate) struct Registry(mio::Registry);

/// The slot whose socket is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Connection(ConnectionSlot),
    Newcomer(usize),
}

/// An event of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The slot may belong to a later socket by now. To read or write that one is harmless.
    pub(crate) slot: Watched,
    /// There are bytes to read, or the end of the stream, or an error.
    pub(crate) readable: bool,
    /// The peer has closed its side, or the socket has failed. No further edge will report it.
    pub(crate) ended: bool,
    /// There is room again after a partial write.
    pub(crate) writable: bool,
}

impl Poller {
    /// An empty set on this thread's runtime.
    ///
    /// # Errors
    /// When the system has no descriptor for it.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        // A duplicate of the descriptor, because the poll closes its own.
        let set = readiness::watch(poll.registry().as_fd().try_clone_to_owned()?)?;
        let events = Events::with_capacity(limits::SOCKETS_PER_TURN);
        Ok(Self { poll, events, set })
    }

    /// A handle that adds sockets.
    ///
    /// # Errors
    /// When the system has no descriptor for it.
    pub(crate) fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone().map(Registry)
    }

    /// Ready when there are events, which [`Poller::events`] then returns.
    ///
    /// # Errors
    /// Those of epoll.
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

    /// The events of the last [`Poller::poll_events`], at most [`limits::SOCKETS_PER_TURN`].
    pub(crate) fn events(&self) -> impl Iterator<Item = Ready> {
        self.events.iter().map(|event| Ready {
            slot: Watched::of(event.token()),
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        })
    }
}

impl Registry {
    /// Watches a socket until it is closed, for bytes to read. If there are some already, an event reports them.
    ///
    /// # Errors
    /// If the system cannot watch another socket.
    pub(crate) fn add(&self, source: &mut impl Source, slot: Watched) -> io::Result<()> {
        self.0.register(source, slot.token(), Interest::READABLE)
    }

    /// Watches an added socket also for room to write, under this slot. The current state is reported again.
    ///
    /// # Errors
    /// When the system does not watch it.
    pub(crate) fn watch_writable(&self, source: &mut impl Source, slot: Watched) -> io::Result<()> {
        self.0
            .reregister(source, slot.token(), Interest::READABLE | Interest::WRITABLE)
    }
}

impl Watched {
    /// The last bit of the token is the kind.
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
