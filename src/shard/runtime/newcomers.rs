//! Newcomers: accepted sockets that are not connections yet.
//!
//! The shard's poller watches a socket from the beginning. Until its first bytes arrive, it costs only its slot here: no task and
//! no buffer. Then `src/ingress/` serves it, and reads and writes through [`Arriving`]. Because the first bytes are already
//! there, most handshakes end in the turn in which they began, so a burst of newcomers needs the memory of only a few at a time.
//! The shard's tick (`thread`) closes a newcomer that sends nothing within `handshake_timeout`.

use std::{
    cell::{Cell, RefCell},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use mio::net::TcpStream;
use slab::Slab;

use crate::shard::{
    runtime::poller::{Ready, Registry, Watched},
    runtime::transport::Load,
};

/// An accepted socket.
pub(crate) struct Arrived {
    /// Non-blocking.
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// The number of its listener.
    pub(crate) listener: usize,
}

/// A newcomer that is being served: its reads and writes wait for the poller. Dropping it closes the socket.
pub(crate) struct Arriving {
    stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: usize,
    /// How long the socket was silent before its first bytes.
    pub(crate) silent_for: Duration,
    /// Whether the poller reports room to write. Most answers fit, so only a partial write asks for it.
    watches_writable: bool,
    place: Place,
    load: Load,
}

/// All newcomers of a shard.
#[derive(Default)]
pub(crate) struct Arrivals(Rc<RefCell<Slab<Newcomer>>>);

enum Newcomer {
    /// No bytes have arrived.
    Silent(Box<Silent>),
    /// A task serves it.
    Served(Rc<Wakers>),
}

struct Silent {
    arrived: Arrived,
    load: Load,
    since: Instant,
}

/// The wakers of the task that serves a newcomer.
#[derive(Default)]
struct Wakers {
    readable: Cell<Option<Waker>>,
    writable: Cell<Option<Waker>>,
}

/// A newcomer's slot, which is freed when this is dropped.
struct Place {
    registry: Rc<Registry>,
    arrivals: Rc<RefCell<Slab<Newcomer>>>,
    key: usize,
    wakers: Rc<Wakers>,
}

impl Arrivals {
    /// Watches a socket until its first bytes arrive.
    ///
    /// # Errors
    /// If the system cannot watch another socket.
    pub(crate) fn watch(&self, registry: &Registry, mut arrived: Arrived, load: Load) -> io::Result<()> {
        let mut newcomers = self.0.borrow_mut();
        let place = newcomers.vacant_entry();
        registry.add(&mut arrived.stream, Watched::Newcomer(place.key()))?;
        let since = Instant::now();
        place.insert(Newcomer::Silent(Box::new(Silent { arrived, load, since })));
        Ok(())
    }

    /// Passes an event to the newcomer in this slot; returns the newcomer if its first bytes have arrived, to be served.
    pub(crate) fn ready(&self, registry: &Rc<Registry>, key: usize, ready: Ready) -> Option<Arriving> {
        let mut newcomers = self.0.borrow_mut();
        let newcomer = newcomers.get_mut(key)?;
        match newcomer {
            Newcomer::Served(wakers) => {
                let wakers = wakers.clone();
                drop(newcomers);
                for (is_ready, waker) in [(ready.readable, &wakers.readable), (ready.writable, &wakers.writable)] {
                    if is_ready && let Some(waker) = waker.take() {
                        waker.wake();
                    }
                }
                None
            }
            Newcomer::Silent(_) if !ready.readable => None,
            Newcomer::Silent(_) => {
                let wakers = Rc::new(Wakers::default());
                let Newcomer::Silent(silent) = std::mem::replace(newcomer, Newcomer::Served(wakers.clone())) else {
                    return None;
                };
                let Silent { arrived, load, since } = *silent;
                let Arrived { stream, peer, listener } = arrived;
                let place = Place {
                    registry: registry.clone(),
                    arrivals: self.0.clone(),
                    key,
                    wakers,
                };
                Some(Arriving {
                    stream,
                    peer,
                    listener,
                    silent_for: since.elapsed(),
                    watches_writable: false,
                    place,
                    load,
                })
            }
        }
    }

    /// Closes newcomers that have been silent for this long; returns their number.
    pub(crate) fn give_up(&self, patience: Duration) -> usize {
        let mut newcomers = self.0.borrow_mut();
        let before = newcomers.len();
        newcomers.retain(|_, newcomer| match newcomer {
            Newcomer::Silent(silent) => silent.since.elapsed() < patience,
            Newcomer::Served(_) => true,
        });
        let closed = before - newcomers.len();
        if newcomers.is_empty() {
            // Frees the memory of a burst.
            newcomers.shrink_to_fit();
        }
        closed
    }
}

impl Arriving {
    /// The socket, which the caller watches as a connection, and its count.
    pub(crate) fn into_parts(self) -> (TcpStream, Load) {
        let Self { stream, load, .. } = self;
        (stream, load)
    }

    /// Reads when there are bytes.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        try_or_wait(&place.wakers.readable, context, || stream.read(buffer))
    }

    /// Peeks when there are bytes.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn poll_peek(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        try_or_wait(&place.wakers.readable, context, || stream.peek(buffer))
    }

    /// Writes as much as fits, when there is room.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        let written = try_or_wait(&place.wakers.writable, context, || stream.write_vectored(buffers));
        if written.is_pending() && !self.watches_writable {
            // If the socket has room by now, an event reports it.
            place.registry.watch_writable(stream, Watched::Newcomer(place.key))?;
            self.watches_writable = true;
        }
        written
    }

    /// Shuts the server's side: the peer sees the end of the stream after the bytes that were written.
    pub(crate) fn shut(&self) {
        // It fails only if the socket has ended already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Tries, and registers the waker if the socket would block. No edge can come between the two steps, because the poller is on this
/// thread.
fn try_or_wait(
    waker: &Cell<Option<Waker>>,
    context: &mut Context<'_>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                waker.set(Some(context.waker().clone()));
                return Poll::Pending;
            }
            other => return Poll::Ready(other),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.arrivals.borrow_mut().try_remove(self.key));
    }
}
