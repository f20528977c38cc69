//! The way in: one acceptor, HTTP with its few routes, the checks of the handshake, the pages.
//!
//! The acceptor hands raw sockets to shards; the handshake runs on the shard that will serve the connection. What leaves here
//! is a socket, the bytes that came behind its handshake, and what the client said of itself.

mod acceptor;
mod groups;
mod http;
mod pages;
mod proxy;
mod socket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use acceptor::{Acceptor, bind};
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
    pub(crate) believed: ArcSwap<Believed>,
    pub(crate) handshake_timeout: Duration,
    /// Which group of the dialect `action` is which room.
    pub(crate) groups: action::Settings,
    pub(crate) legacy_pages: bool,
    /// Turns true when the server begins to stop.
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Whom the way in believes; changes while the server runs.
#[derive(Debug)]
pub(crate) struct Believed {
    /// Further origins whose pages may connect.
    pub(crate) origins: Vec<String>,
    /// Which proxies are trusted.
    pub(crate) http: Http,
}

impl Believed {
    /// As the settings say.
    pub(crate) fn new(http: &Http) -> Self {
        Self {
            origins: http
                .allowed_origins
                .iter()
                .map(|origin| origin.as_str().to_owned())
                .collect(),
            http: http.clone(),
        }
    }
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
