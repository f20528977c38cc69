//! Sockets that are not connections yet.
//!
//! An accepted socket is watched by its shard's poller from the beginning, and until it says something it costs its place here
//! and nothing else: no task, no buffer. Then it is served (`src/ingress/`), which waits for it through [`Arriving`]; what is
//! served has its first bytes before it, so that most handshakes end in the turn in which they began, and a storm of newcomers
//! needs the memory of a few.

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

/// A socket that was accepted, and where.
pub(crate) struct Arrived {
    /// It does not block.
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// The number of the listener it came through.
    pub(crate) listener: usize,
}

/// A newcomer that is being served: reads and writes wait for the poller. Dropping it closes the socket.
pub(crate) struct Arriving {
    stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) listener: usize,
    /// How long it said nothing.
    pub(crate) hesitated: Duration,
    /// Whether the poller tells of room to write; most answers fit, and it is not asked before one does not.
    widened: bool,
    place: Place,
    load: Load,
}

/// All newcomers of a shard.
#[derive(Default)]
pub(crate) struct Arrivals(Rc<RefCell<Slab<Newcomer>>>);

enum Newcomer {
    /// It has said nothing yet.
    Silent(Box<Silent>),
    /// It is served, by whoever waits for these.
    Served(Rc<Bells>),
}

struct Silent {
    arrived: Arrived,
    load: Load,
    since: Instant,
}

/// Who waits for the socket.
#[derive(Default)]
struct Bells {
    readable: Cell<Option<Waker>>,
    writable: Cell<Option<Waker>>,
}

/// A newcomer's place, given back when it goes.
struct Place {
    registry: Rc<Registry>,
    arrivals: Rc<RefCell<Slab<Newcomer>>>,
    key: usize,
    bells: Rc<Bells>,
}

impl Arrivals {
    /// Watches a socket until it says something.
    ///
    /// # Errors
    /// When the system watches no more.
    pub(crate) fn watch(&self, registry: &Registry, mut arrived: Arrived, load: Load) -> io::Result<()> {
        let mut newcomers = self.0.borrow_mut();
        let place = newcomers.vacant_entry();
        registry.add(&mut arrived.stream, Watched::Newcomer(place.key()))?;
        let since = Instant::now();
        place.insert(Newcomer::Silent(Box::new(Silent { arrived, load, since })));
        Ok(())
    }

    /// Passes on what the poller says of the newcomer in this place; gives it out if it is to be served from now on.
    pub(crate) fn ready(&self, registry: &Rc<Registry>, key: usize, ready: Ready) -> Option<Arriving> {
        let mut newcomers = self.0.borrow_mut();
        let newcomer = newcomers.get_mut(key)?;
        match newcomer {
            Newcomer::Served(bells) => {
                let bells = bells.clone();
                drop(newcomers);
                for (rings, bell) in [(ready.readable, &bells.readable), (ready.writable, &bells.writable)] {
                    if rings && let Some(waker) = bell.take() {
                        waker.wake();
                    }
                }
                None
            }
            Newcomer::Silent(_) if !ready.readable => None,
            Newcomer::Silent(_) => {
                let bells = Rc::new(Bells::default());
                let Newcomer::Silent(silent) = std::mem::replace(newcomer, Newcomer::Served(bells.clone())) else {
                    return None;
                };
                let Silent { arrived, load, since } = *silent;
                let Arrived { stream, peer, listener } = arrived;
                let place = Place {
                    registry: registry.clone(),
                    arrivals: self.0.clone(),
                    key,
                    bells,
                };
                Some(Arriving {
                    stream,
                    peer,
                    listener,
                    hesitated: since.elapsed(),
                    widened: false,
                    place,
                    load,
                })
            }
        }
    }

    /// Closes those who have said nothing for so long; how many they were.
    pub(crate) fn give_up(&self, patience: Duration) -> usize {
        let mut newcomers = self.0.borrow_mut();
        let before = newcomers.len();
        newcomers.retain(|_, newcomer| match newcomer {
            Newcomer::Silent(silent) => silent.since.elapsed() < patience,
            Newcomer::Served(_) => true,
        });
        let gone = before - newcomers.len();
        if newcomers.is_empty() {
            // A storm leaves no memory behind.
            newcomers.shrink_to_fit();
        }
        gone
    }
}

impl Arriving {
    /// The socket itself, which is to be watched as something else from now on, and its count.
    pub(crate) fn into_parts(self) -> (TcpStream, Load) {
        let Self { stream, load, .. } = self;
        (stream, load)
    }

    /// Reads what is there, when something is.
    ///
    /// # Errors
    /// As the socket's.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        patiently(&place.bells.readable, context, || stream.read(buffer))
    }

    /// Looks at what is there and leaves it, when something is.
    ///
    /// # Errors
    /// As the socket's.
    pub(crate) fn poll_peek(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        patiently(&place.bells.readable, context, || stream.peek(buffer))
    }

    /// Writes what fits, when something does.
    ///
    /// # Errors
    /// As the socket's.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, place, .. } = self;
        let written = patiently(&place.bells.writable, context, || stream.write_vectored(buffers));
        if written.is_pending() && !self.widened {
            // What has become free meanwhile is told as an event.
            place.registry.widen(stream, Watched::Newcomer(place.key))?;
            self.widened = true;
        }
        written
    }

    /// Shuts our side: the peer sees the end of the stream after what was written.
    pub(crate) fn shut(&self) {
        // A socket that is gone already needs no shutting.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

/// Tries, and asks for the bell where it has to wait. The poller tells edges, and the bell is hung up before the next one can
/// come: both are on this thread.
fn patiently(
    bell: &Cell<Option<Waker>>,
    context: &mut Context<'_>,
    mut attempt: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                bell.set(Some(context.waker().clone()));
                return Poll::Pending;
            }
            other => return Poll::Ready(other),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The place is held for this newcomer alone until now.
        drop(self.arrivals.borrow_mut().try_remove(self.key));
    }
}
