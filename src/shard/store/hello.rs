//! Hellos and renames: the rules of names ([`Names`]) applied to a connection.
//!
//! A session whose key the store has to compare is not read meanwhile, so what it says next is said under its new name. Whoever is
//! refused is told here; whoever has a name is given back to the caller, because a name changes rooms, directory and inbox.

use super::{
    names::{Names, Ruling, judge},
    port::StorePort,
    refusals,
    ticket::Ticket,
};
use crate::{
    chat::{Hello, Refusal, Reply, RequestId, SessionId, UserName},
    codec::ReservedName,
    history::{Ask, Claim, NameKey},
    shard::{
        bus::directory::Directory,
        connection::{connections::Connections, naming::WaitingHello, session::Proof, write::Socket},
        time::Moment,
    },
};

/// A name that a session has now.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) name: UserName,
    pub(crate) proof: Proof,
    /// The key with which it was just claimed.
    pub(crate) key: Option<String>,
    /// Why the session has not the name that it said.
    pub(crate) notice: Option<Reply>,
}

/// The parts of the shard that hellos and renames need.
pub(crate) struct Hellos<'a, S> {
    pub(crate) connections: &'a mut Connections<S>,
    pub(crate) store: &'a mut StorePort,
    pub(crate) directory: &'a Directory,
    pub(crate) random: &'a mut fastrand::Rng,
    pub(crate) now: Moment,
}

impl<S: Socket> Hellos<'_, S> {
    fn names(&mut self) -> Names<'_> {
        Names {
            store: self.store,
            directory: self.directory,
            random: self.random,
        }
    }

    /// A session says hello. Returned if it has a name now.
    pub(crate) fn hello(&mut self, id: SessionId, request: RequestId, mut hello: Hello) -> Option<(Hello, Taken)> {
        let policy = self.reserved_name(id)?;
        let (name, key) = (hello.name.take(), hello.key.take());
        match self.names().hello(id, name, key, policy) {
            Ruling::Take { name, proof, notice } => return Some((hello, Taken::said(name, proof, notice))),
            Ruling::Ask { name, key } => {
                hello.key = Some(key.0.clone());
                if self.store.ask(Ask::Claim { user: name, key }, Ticket::Hello(id)) {
                    let connection = self.connections.get_mut(id)?;
                    connection.claim(WaitingHello { request, hello });
                } else {
                    self.refuse(id, request, refusals::busy_for_hello());
                }
            }
            Ruling::Refuse(refusal) => self.refuse(id, request, refusal),
        }
        None
    }

    /// The store has compared the key of a hello.
    pub(crate) fn hello_judged(
        &mut self,
        id: SessionId,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<(RequestId, Hello, Taken)> {
        let WaitingHello { request, mut hello } = *self.connections.get_mut(id)?.take_claim()?;
        let taken = self.judged(id, request, hello.key.take(), answer)?;
        Some((request, hello, taken))
    }

    /// A session wants another name, or claims the one it has. Returned if it has that now.
    pub(crate) fn rename(
        &mut self,
        id: SessionId,
        request: RequestId,
        name: UserName,
        key: Option<String>,
    ) -> Option<Taken> {
        let policy = self.reserved_name(id).unwrap_or(ReservedName::Refuse);
        let mut names = Names {
            store: self.store,
            directory: self.directory,
            random: self.random,
        };
        match names.rename(id, self.connections.session(id)?, name, key, policy) {
            Ruling::Take { name, proof, notice } => return Some(Taken::said(name, proof, notice)),
            Ruling::Ask { name, key } => {
                let ticket = Ticket::Rename {
                    session: id,
                    id: request,
                    key: key.clone(),
                };
                if self.store.ask(Ask::Claim { user: name, key }, ticket) {
                    self.connections.asked(id);
                    self.connections.get_mut(id)?.set_renaming(true);
                } else {
                    self.refuse(id, request, refusals::busy());
                }
            }
            Ruling::Refuse(refusal) => self.refuse(id, request, refusal),
        }
        None
    }

    /// The store has compared the key of a rename.
    pub(crate) fn rename_judged(
        &mut self,
        id: SessionId,
        request: RequestId,
        NameKey(key): NameKey,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<Taken> {
        self.judged(id, request, Some(key), answer)
    }

    fn judged(
        &mut self,
        id: SessionId,
        request: RequestId,
        key: Option<String>,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<Taken> {
        match judge(answer, key) {
            Ok((name, key)) => Some(Taken {
                name,
                proof: Proof::Key,
                key,
                notice: None,
            }),
            Err(refusal) => {
                self.refuse(id, request, refusal);
                None
            }
        }
    }

    /// Somebody else has claimed the name of a session: the name that it has instead.
    pub(crate) fn displaced(&mut self, id: SessionId, name: &UserName) -> Taken {
        let (like, notice) = self.names().displaced(id, name);
        Taken::said(like, Proof::Assigned, Some(notice))
    }

    fn refuse(&mut self, id: SessionId, request: RequestId, refusal: Refusal) {
        self.connections.reply(id, request, &Reply::Error(refusal), self.now);
    }

    /// What the dialect of a connection does about reserved names. Also where the dialect is not certain: those that it may be treat
    /// names alike.
    fn reserved_name(&self, id: SessionId) -> Option<ReservedName> {
        Some(self.connections.profile(id)?.reserved_name)
    }
}

impl Taken {
    fn said(name: UserName, proof: Proof, notice: Option<Reply>) -> Self {
        let key = None;
        Self {
            name,
            proof,
            key,
            notice,
        }
    }
}
