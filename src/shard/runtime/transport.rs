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

/// A connection's transport.
pub(crate) struct Transport {
    stream: TcpStream,
    _load: Load,
}

impl Transport {
    pub(crate) fn new(stream: TcpStream, load: Load) -> Self {
        Self { stream, _load: load }
    }

    /// The source that the poller watches.
    pub(crate) fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads without blocking.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| (&self.stream).read(buffer))
    }

    /// Shuts the server's side: the peer sees the end of the stream after the bytes that were written.
    pub(crate) fn shut(&self) {
        // It fails only if the socket has ended already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Socket for Transport {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| (&self.stream).write(bytes))
    }

    fn reset(&self) {
        // If it fails, the close is no reset, which loses nothing.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
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

/// Counts one connection of a shard until it is dropped.
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
