//! The addresses of a dialect's sessions, for formats with a field for it and operators who show it. An entry lives as long as its
//! connection.

use std::net::SocketAddr;

use dashmap::DashMap;

use crate::chat::{SessionTag, Talk, Welcome};

/// The addresses of the sessions of one dialect. One entry per connection, for as long as it lives.
#[derive(Debug, Default)]
pub(super) struct Addresses(DashMap<SessionTag, SocketAddr, foldhash::fast::RandomState>);

impl Addresses {
    /// Kept until the program ends: once per server.
    pub(super) fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// From where a message was sent, if in this dialect.
    pub(super) fn of(&self, talk: &Talk) -> Option<SocketAddr> {
        self.0.get(&talk.session).map(|address| *address)
    }
}

/// One connection's entry; it goes with the connection.
#[derive(Debug)]
pub(super) struct Entry {
    addresses: Option<&'static Addresses>,
    session: Option<SessionTag>,
}

impl Entry {
    pub(super) fn new(addresses: Option<&'static Addresses>) -> Self {
        Self {
            addresses,
            session: None,
        }
    }

    /// The session has its tag.
    pub(super) fn welcome(&mut self, welcome: &Welcome) {
        if let Some(addresses) = self.addresses {
            addresses.0.insert(welcome.session, welcome.peer);
            self.session = Some(welcome.session);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let (Some(addresses), Some(session)) = (self.addresses, self.session) {
            addresses.0.remove(&session);
        }
    }
}
