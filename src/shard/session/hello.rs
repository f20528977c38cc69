//! Hellos and renames: applies the rules of names ([`Names`]) to a connection.
//!
//! While the store compares a key, the shard does not read the connection, so the user's next message has the new name. This file
//! sends refusals. It returns a new name to the caller, because the name also changes rooms, directory and inbox.

use crate::{
    chat::{Hello, Refusal, RequestId, SessionId, UserName},
    codec::ReservedName,
    history::{Claim, Query},
    shard::{
        connection::{naming::WaitingHello, write::Socket},
        parts::Parts,
        store::{
            names::{NameDecision, Names, NewName, check_claim},
            refusals,
            ticket::Ticket,
        },
    },
};

impl<S: Socket> Parts<'_, S> {
    fn names(&mut self) -> Names<'_> {
        Names {
            store: self.store,
            directory: self.directory,
            random: self.random,
        }
    }

    /// Handles a hello. Returns the new name, unless the store must compare a key or the hello is refused.
    pub(crate) fn hello(&mut self, id: SessionId, request: RequestId, mut hello: Hello) -> Option<(Hello, NewName)> {
        let policy = self.reserved_name(id)?;
        let (name, key) = (hello.name.take(), hello.key.take());
        match self.names().hello(id, name, key, policy) {
            NameDecision::Take(name) => return Some((hello, name)),
            NameDecision::Ask { name, key } => {
                hello.key = Some(key.0.clone());
                if self.store.ask(Query::Claim { name, key }, Ticket::Hello(id)) {
                    let connection = self.connections.get_mut(id)?;
                    connection.claim(WaitingHello { request, hello });
                } else {
                    self.refuse(id, request, refusals::busy_for_hello());
                }
            }
            NameDecision::Refuse(refusal) => self.refuse(id, request, refusal),
        }
        None
    }

    /// Handles the store's answer about the key of a hello.
    pub(crate) fn hello_checked(
        &mut self,
        id: SessionId,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<(RequestId, Hello, NewName)> {
        let WaitingHello { request, mut hello } = *self.connections.get_mut(id)?.take_claim()?;
        let taken = self.key_checked(id, request, hello.key.take(), answer)?;
        Some((request, hello, taken))
    }

    /// Handles a rename, or the claim of the present name. Returns the new name as [`Parts::hello`] does.
    pub(crate) fn rename(
        &mut self,
        id: SessionId,
        request: RequestId,
        name: UserName,
        key: Option<String>,
    ) -> Option<NewName> {
        let policy = self.reserved_name(id).unwrap_or(ReservedName::Refuse);
        let mut names = Names {
            store: self.store,
            directory: self.directory,
            random: self.random,
        };
        match names.rename(id, self.connections.session(id)?, name, key, policy) {
            NameDecision::Take(name) => return Some(name),
            NameDecision::Ask { name, key } => {
                let ticket = Ticket::Rename {
                    session: id,
                    id: request,
                    key: key.clone(),
                };
                if self.store.ask(Query::Claim { name, key }, ticket) {
                    self.connections.asked(id);
                    self.connections.get_mut(id)?.set_renaming(true);
                } else {
                    self.refuse(id, request, refusals::busy());
                }
            }
            NameDecision::Refuse(refusal) => self.refuse(id, request, refusal),
        }
        None
    }

    /// Handles the store's answer about the key of a hello or a rename. Returns the new name if the key is right.
    pub(crate) fn key_checked(
        &mut self,
        id: SessionId,
        request: RequestId,
        key: Option<String>,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<NewName> {
        check_claim(answer, key)
            .map_err(|refusal| self.refuse(id, request, refusal))
            .ok()
    }

    /// Assigns another name to a session whose name somebody else has claimed.
    pub(crate) fn displaced(&mut self, id: SessionId, name: &UserName) -> NewName {
        self.names().displaced(id, name)
    }

    /// What the dialect of a connection does about reserved names. While the dialect is uncertain, all candidates do the same.
    fn reserved_name(&self, id: SessionId) -> Option<ReservedName> {
        Some(self.connections.profile(id)?.reserved_name)
    }
}
