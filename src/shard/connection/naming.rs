//! How a connection comes by its name.
//!
//! Invariants: a connection has at most one session, and keeps it while it is being renamed; a hello that waits for the store
//! excludes a session. While the store is asked for a name, the connection is not read: what it sends next is said under the
//! name that it has then.

use crate::{
    chat::{Hello, RequestId},
    shard::connection::session::Session,
};

/// Where a connection stands with its name.
#[derive(Debug)]
pub(crate) enum Naming {
    /// It has none.
    Unnamed {
        /// Whether it has sent something, if only a hello that was refused.
        spoken: bool,
    },
    /// Its hello waits for the store to compare a key.
    Claiming(Box<WaitingHello>),
    Named(Box<Session>),
    /// A rename waits for the store to compare a key.
    Renaming(Box<Session>),
}

/// A hello that waits for the store to compare its key.
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

    /// Whether the store is being asked for a name.
    pub(super) fn asks_store(&self) -> bool {
        matches!(self, Self::Claiming(_) | Self::Renaming(_))
    }

    /// Whether nothing has been sent yet.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Unnamed { spoken: false })
    }

    /// A message has come.
    pub(super) fn note_spoken(&mut self) {
        if let Self::Unnamed { spoken } = self {
            *spoken = true;
        }
    }

    /// The hello that waited for the store, which has answered.
    pub(super) fn take_claim(&mut self) -> Option<Box<WaitingHello>> {
        match std::mem::replace(self, Self::Unnamed { spoken: true }) {
            Self::Claiming(claim) => Some(claim),
            other => {
                *self = other;
                None
            }
        }
    }

    /// A rename is asked of the store, or has been answered.
    pub(super) fn set_renaming(&mut self, renaming: bool) {
        *self = match std::mem::replace(self, Self::Unnamed { spoken: true }) {
            Self::Named(session) | Self::Renaming(session) if renaming => Self::Renaming(session),
            Self::Named(session) | Self::Renaming(session) => Self::Named(session),
            other => other,
        };
    }

    /// The session is over; what waits for the store is forgotten.
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
    fn a_hello_that_waits_is_taken_once() {
        let mut naming = claim();
        assert!(naming.asks_store() && naming.session().is_none());
        assert!(naming.take_claim().is_some());
        assert!(naming.take_claim().is_none());
        assert!(!naming.asks_store() && !naming.is_silent());
    }

    #[test]
    fn without_a_session_nothing_is_renamed() {
        let mut naming = Naming::Unnamed { spoken: false };
        naming.set_renaming(true);
        assert!(naming.is_silent() && !naming.asks_store());
        naming.note_spoken();
        assert!(!naming.is_silent());
    }

    #[test]
    fn an_end_forgets_what_waits_for_the_store() {
        let mut naming = claim();
        assert!(naming.end().is_none());
        assert!(!naming.asks_store());
    }
}
