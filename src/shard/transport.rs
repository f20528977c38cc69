//! The socket of a connection.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::SockRef;
use tokio::io::unix::AsyncFd;

use super::connection::Socket;
use crate::readiness;

/// What carries a connection's bytes. `try_write` counts plain bytes, whatever the kind.
pub(crate) enum Transport {
    /// TCP as it is.
    Plain(AsyncFd<TcpStream>),
}

impl Transport {
    /// A transport on this thread's runtime.
    ///
    /// # Errors
    /// When the socket cannot be made non-blocking or registered.
    pub(crate) fn plain(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        readiness::watch(stream).map(Self::Plain)
    }

    /// Reads what is there. A read that does not fill the buffer has emptied the socket, so readiness is cleared without
    /// asking the kernel again (epoll is edge-triggered here; see epoll(7)).
    pub(crate) fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => loop {
                let mut ready = ready!(stream.poll_read_ready(context))?;
                match stream.get_ref().read(buffer) {
                    Ok(read) => {
                        if 0 < read && read < buffer.len() {
                            ready.clear_ready();
                        }
                        return Poll::Ready(Ok(read));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
        }
    }

    /// Calls `write` each time the socket has room, until it says that it is done (`false`: not blocked any more).
    pub(crate) async fn each_writable(&self, mut write: impl FnMut() -> bool) {
        match self {
            Self::Plain(stream) => loop {
                let Ok(mut ready) = stream.writable().await else { return };
                if !write() {
                    return;
                }
                ready.clear_ready();
            },
        }
    }

    /// Shuts our side: the peer sees the end of the stream after what was written.
    pub(crate) fn shut(&self) {
        match self {
            // A socket that is gone already needs no shutting.
            Self::Plain(stream) => drop(stream.get_ref().shutdown(Shutdown::Write)),
        }
    }
}

impl Socket for Transport {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => loop {
                match stream.get_ref().write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
        }
    }

    fn reset(&self) {
        match self {
            // If it fails, the close is a polite one: nothing is lost by that.
            Self::Plain(stream) => drop(SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO))),
        }
    }
}
