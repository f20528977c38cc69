//! Watches descriptors that tokio does not own on its runtime: the only file with `unsafe` in it.
//!
//! tokio's listener registers every accepted socket with the acceptor's own poll, and its types for sockets know no set of
//! sockets. [`AsyncFd`] takes both; its safety condition is met here.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use mio::net::TcpListener;
use tokio::io::unix::AsyncFd;

/// A value that owns its descriptor, returns the same one for all its life, and closes it only when dropped.
pub(crate) trait Owner: AsRawFd + private::Sealed {}

impl Owner for TcpListener {}
impl Owner for OwnedFd {}

/// Watches a non-blocking socket, or a set of sockets, on this thread's runtime.
///
/// # Errors
/// When the runtime's poll cannot take one more.
#[allow(unsafe_code)]
pub(crate) fn watch<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: `register` asks that the descriptor stays open and the same until the value is dropped. The only types that can
    // get here are `TcpListener` and `OwnedFd`, which own their descriptor, and shared references to them (all that
    // `AsyncFd::get_ref` gives, and nothing here uses `get_mut` or `into_inner`) can neither close nor exchange it.
    unsafe { AsyncFd::register(owner) }.map_err(io::Error::from)
}

mod private {
    /// Keeps other types out.
    pub(crate) trait Sealed {}
    impl Sealed for mio::net::TcpListener {}
    impl Sealed for std::os::fd::OwnedFd {}
}
