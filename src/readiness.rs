//! Sockets of the standard library, watched by the runtime: the one file with `unsafe` in it.
//!
//! tokio's own `TcpStream` cannot say that a short read has emptied the socket, which costs a system call per read, and its
//! listener registers every accepted socket with the acceptor's own poll. [`AsyncFd`] does neither, and asks in return for the
//! promise that is made here.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use tokio::io::unix::AsyncFd;

/// A socket that owns its descriptor, returns the same one for all its life, and closes it only when it is dropped.
pub(crate) trait OwnedSocket: AsRawFd + private::Sealed {}

impl OwnedSocket for TcpStream {}
impl OwnedSocket for TcpListener {}

/// Watches a non-blocking socket for reading and writing on this thread's runtime.
///
/// # Errors
/// When the runtime's poll cannot take one more.
#[allow(unsafe_code)]
pub(crate) fn watch<T: OwnedSocket>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `register` asks that the descriptor stays open and the same until the value is dropped. The only types that can
    // get here are `TcpStream` and `TcpListener`, which own their descriptor, and shared references to them (all that
    // `AsyncFd::get_ref` gives, and nothing here uses `get_mut` or `into_inner`) can neither close nor exchange it.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

mod private {
    /// Keeps other types out.
    pub(crate) trait Sealed {}
    impl Sealed for std::net::TcpStream {}
    impl Sealed for std::net::TcpListener {}
}
