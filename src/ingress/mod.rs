//! The way in: one acceptor, HTTP with its few routes, the checks of the handshake, the pages.
//!
//! The acceptor hands raw sockets to shards; the handshake runs on the shard that will serve the connection. What leaves here
//! is a socket, the bytes that came behind its handshake, and what the client said of itself.

mod acceptor;
mod http;
mod pages;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use acceptor::{Acceptor, bind};
pub(crate) use http::Doorman;

use crate::{
    config::{Http, ProxyProtocol},
    observe::Metrics,
};

/// What the way in needs to know.
#[derive(Debug)]
pub(crate) struct Site {
    /// In the order of their numbers.
    pub(crate) listeners: Vec<Listener>,
    /// Further origins whose pages may connect.
    pub(crate) origins: Vec<String>,
    pub(crate) http: Http,
    pub(crate) handshake_timeout: Duration,
    pub(crate) legacy_pages: bool,
    pub(crate) metrics: Arc<Metrics>,
}

/// An address that is listened on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// What plain `/ws` means here, if that is fixed: the number of a dialect.
    pub(crate) dialect: Option<usize>,
    /// Whether connections begin with the PROXY protocol.
    pub(crate) proxy: ProxyProtocol,
    /// Whether only this machine reaches it.
    pub(crate) loopback: bool,
}
