//! From an accepted socket to a connection: the acceptor, the few HTTP routes, the checks of the handshake, the pages.
//!
//! The acceptor passes raw sockets to shards; the handshake runs on the shard that will serve the connection. The result is a
//! socket, the bytes that followed the handshake, and what the handshake says about the client.

mod acceptor;
mod descriptors;
mod forwarded;
mod groups;
mod http;
mod pages;
mod proxy;
mod socket;
mod stage_timer;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

pub(crate) use acceptor::{Acceptor, bind};
pub(crate) use descriptors::Descriptors;
pub(crate) use http::HttpServer;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    codec::{DialectId, action},
    config::{Http, ProxyProtocol},
    observe::Metrics,
};

/// The part of ingress that all shards share.
#[derive(Debug)]
pub(crate) struct Site {
    /// Indexed by their number.
    pub(crate) listeners: Vec<Listener>,
    /// Which requests to trust, and their timeouts; changes while the server runs.
    pub(crate) http: ArcSwap<Http>,
    /// Maps the groups of the dialect `action` to rooms.
    pub(crate) groups: action::ActionSettings,
    /// Whether to serve the pages of the older systems; changes while the server runs.
    pub(crate) legacy_pages: AtomicBool,
    /// True once the server drains.
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) metrics: Arc<Metrics>,
}

/// An address that the server listens on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// The dialect of plain `/ws`, if it is fixed.
    pub(crate) dialect: Option<DialectId>,
    /// Whether connections begin with the PROXY protocol.
    pub(crate) proxy: ProxyProtocol,
    /// Whether only this machine can reach it.
    pub(crate) loopback: bool,
}
