//! Watches descriptors on tokio's runtime that tokio does not own. The only file with `unsafe`.
//!
//! tokio's own listener would register every accepted socket with the acceptor's runtime, although a shard serves it, and tokio has no
//! type for an epoll set. [`AsyncFd`] can watch a bare listener and a set; this module meets its safety condition.

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
/// If the runtime cannot watch another descriptor.
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
