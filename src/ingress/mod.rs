//! The way in: one acceptor, HTTP with its few routes, the checks of the handshake, the pages.
//!
//! The acceptor hands raw sockets to shards; the handshake runs on the shard that will serve the connection. What leaves here
//! is a socket, the bytes that came behind its handshake, and what the client said of itself.

mod acceptor;
mod descriptors;
mod forwarded;
mod groups;
mod http;
mod pages;
mod patience;
mod proxy;
mod socket;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

pub(crate) use acceptor::{Acceptor, bind};
pub(crate) use descriptors::Descriptors;
pub(crate) use http::Doorman;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    codec::action,
    config::{Http, ProxyProtocol},
    observe::Metrics,
};

/// What the way in needs to know.
#[derive(Debug)]
pub(crate) struct Site {
    /// In the order of their numbers.
    pub(crate) listeners: Vec<Listener>,
    /// What is believed of a request, and how long it may take; changes while the server runs.
    pub(crate) http: ArcSwap<Http>,
    /// Which group of the dialect `action` is which room.
    pub(crate) groups: action::Settings,
    /// Whether the older systems' pages are served; changes while the server runs.
    pub(crate) legacy_pages: AtomicBool,
    /// Turns true when the server begins to stop.
    pub(crate) draining: watch::Sender<bool>,
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
