//! The name of a connection: none, being claimed, or that of its session.
//!
//! Invariants: a connection has at most one session, and keeps it during a rename; a connection whose hello waits for the store
//! has none. While the store checks a key, the connection is not read, so its next message goes out under the new name.

use crate::{
    chat::{Hello, RequestId},
    shard::connection::session::Session,
};

#[derive(Debug)]
pub(crate) enum Naming {
    Unnamed {
        /// Whether the client has sent a message, such as a hello that was refused.
        spoken: bool,
    },
    /// The store checks the key of a hello.
    Claiming(Box<WaitingHello>),
    Named(Box<Session>),
    /// The store checks the key of a rename.
    Renaming(Box<Session>),
}

/// A hello that waits for the store to check its key.
#[derive(Debug)]
pub(crate) struct WaitingHello {
    pub(crate) request: RequestId,
    pub(crate) hello: Hello,
}

impl Naming {
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Named(session) | Self::Renaming(session) => Some(session),
            Self::Unnamed { .. } | Self::Claiming(_) => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Named(session) | Self::Renaming(session) => Some(session),
            Self::Unnamed { .. } | Self::Claiming(_) => None,
        }
    }

    /// Whether the store is checking a key.
    pub(super) fn asks_store(&self) -> bool {
        matches!(self, Self::Claiming(_) | Self::Renaming(_))
    }

    /// Whether the client has sent no message yet.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Unnamed { spoken: false })
    }

    /// Records that the client has sent a message.
    pub(super) fn note_spoken(&mut self) {
        if let Self::Unnamed { spoken } = self {
            *spoken = true;
        }
    }

    /// Takes the hello that the store has answered.
    pub(super) fn take_claim(&mut self) -> Option<Box<WaitingHello>> {
        match std::mem::replace(self, Self::Unnamed { spoken: true }) {
            Self::Claiming(claim) => Some(claim),
            other => {
                *self = other;
                None
            }
        }
    }

    /// Records whether the store is checking the key of a rename.
    pub(super) fn set_renaming(&mut self, renaming: bool) {
        *self = match std::mem::replace(self, Self::Unnamed { spoken: true }) {
            Self::Named(session) | Self::Renaming(session) if renaming => Self::Renaming(session),
            Self::Named(session) | Self::Renaming(session) => Self::Named(session),
            other => other,
        };
    }

    /// Takes the session, and drops a hello that waits.
    pub(super) fn end(&mut self) -> Option<Box<Session>> {
        match std::mem::replace(self, Self::Unnamed { spoken: true }) {
            Self::Named(session) | Self::Renaming(session) => Some(session),
            Self::Unnamed { .. } | Self::Claiming(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Naming {
        let hello = Hello::default();
        Naming::Claiming(Box::new(WaitingHello { request: None, hello }))
    }

    #[test]
    fn a_waiting_hello_is_taken_once() {
        let mut naming = claim();
        assert!(naming.asks_store() && naming.session().is_none());
        assert!(naming.take_claim().is_some());
        assert!(naming.take_claim().is_none());
        assert!(!naming.asks_store() && !naming.is_silent());
    }

    #[test]
    fn a_connection_without_a_session_cannot_be_renaming() {
        let mut naming = Naming::Unnamed { spoken: false };
        naming.set_renaming(true);
        assert!(naming.is_silent() && !naming.asks_store());
        naming.note_spoken();
        assert!(!naming.is_silent());
    }

    #[test]
    fn an_end_drops_a_waiting_hello() {
        let mut naming = claim();
        assert!(naming.end().is_none());
        assert!(!naming.asks_store());
    }
}
