//! The addresses of a dialect's sessions, for formats with such a field, if the operator shows them. An entry lives as long as its
//! connection.

use std::net::SocketAddr;

use dashmap::DashMap;

use crate::chat::{ChatMessage, SessionTag, Welcome};

#[derive(Debug, Default)]
pub(super) struct Addresses(DashMap<SessionTag, SocketAddr, foldhash::fast::RandomState>);

impl Addresses {
    /// Leaked once per server.
    pub(super) fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }

    /// The address of a message's sender, if the sender uses this dialect.
    pub(super) fn of(&self, message: &ChatMessage) -> Option<SocketAddr> {
        self.0.get(&message.session).map(|address| *address)
    }
}

/// The entry of one connection. Dropping it removes the entry.
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

    /// Sets the tag of the session.
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
