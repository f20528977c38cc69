//! The socket of a connection.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mio::net::TcpStream;
use socket2::SockRef;

use crate::shard::connection::write::Socket;

/// What carries a connection's bytes. `try_write` counts plain bytes, whatever the kind.
pub(crate) struct Transport {
    kind: Kind,
    /// Counts the connection for as long as it lives.
    _load: Load,
}

enum Kind {
    /// TCP as it is.
    Plain(TcpStream),
}

impl Transport {
    /// A transport over a socket.
    pub(crate) fn plain(stream: TcpStream, load: Load) -> Self {
        Self {
            kind: Kind::Plain(stream),
            _load: load,
        }
    }

    /// What the poller watches.
    pub(crate) fn source(&mut self) -> &mut TcpStream {
        match &mut self.kind {
            Kind::Plain(stream) => stream,
        }
    }

    /// Reads what is there without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Plain(stream) => uninterrupted(|| (&mut &*stream).read(buffer)),
        }
    }

    /// Shuts our side: the peer sees the end of the stream after what was written.
    pub(crate) fn shut(&self) {
        match &self.kind {
            // A socket that is gone already needs no shutting.
            Kind::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
        }
    }
}

impl Socket for Transport {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Plain(stream) => uninterrupted(|| (&mut &*stream).write(bytes)),
        }
    }

    fn reset(&self) {
        match &self.kind {
            // If it fails, the close is a polite one: nothing is lost by that.
            Kind::Plain(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
        }
    }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Counts one connection of a shard for as long as it lives.
pub(crate) struct Load(Arc<AtomicUsize>);

impl Load {
    pub(crate) fn new(count: Arc<AtomicUsize>) -> Self {
        Self(count)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
