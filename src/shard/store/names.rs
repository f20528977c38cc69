//! The rules of names: who may use one, and who may read what is private to its user.
//!
//! Anybody may use a name until somebody claims it with a key. From then on it is reserved, in every dialect. A session that
//! wants a reserved name without its key is refused, or gets the name with a number ([`ReservedName`]). Sessions that had the
//! name before the claim get a number too.
//!
//! Invariant: code that sends private data checks [`Session::holds`] at the moment of sending, because those sessions are not
//! renamed at once. A claim is in memory, for all shards, before it is committed.
//!
//! Without a store no name can be claimed.

use super::{port::StorePort, refusals::reserved};
use crate::{
    chat::{ErrorCode, Refusal, Reply, SessionId, UserId, UserName},
    codec::ReservedName,
    history::{Claim, Credential, NameKey},
    limits,
    shard::{
        bus::directory::Directory,
        connection::session::{Named, Proof, Session},
    },
};

impl Session {
    /// The right by which the session reads stored messages of its user.
    pub(crate) fn credential(&self) -> Credential {
        match self.proof() {
            Proof::Key => Credential::Key,
            Proof::Unclaimed | Proof::Assigned => Credential::Name,
        }
    }

    /// Whether it is a session of this user by a right that is still valid, and so may get what is private to the user.
    pub(crate) fn holds(&self, user: &UserId, store: &StorePort) -> bool {
        self.user() == user && self.holds_its_name(store)
    }

    /// Whether the session has its name by a right that is still valid.
    pub(crate) fn holds_its_name(&self, store: &StorePort) -> bool {
        self.proof() == Proof::Key || !store.is_claimed(self.name())
    }

    /// Whether the session may read the stored direct messages of its user. A session without a key may do so only in the native
    /// dialect.
    pub(crate) fn owns_inbox(&self, is_native: bool, store: &StorePort) -> bool {
        match self.proof() {
            Proof::Key => true,
            Proof::Unclaimed => is_native && self.holds_its_name(store),
            Proof::Assigned => false,
        }
    }
}

/// The decision about a name that a session wants.
#[derive(Debug, PartialEq)]
pub(crate) enum NameDecision {
    /// The session gets this name. An assigned one is already registered for it.
    Take(NewName),
    /// The store must compare the key, or claim the name with it.
    Ask {
        name: UserName,
        key: NameKey,
    },
    Refuse(Refusal),
}

/// The new name of a session.
#[derive(Debug, PartialEq)]
pub(crate) struct NewName {
    pub(crate) named: Named,
    /// The key, if the session has just claimed the name with it.
    pub(crate) key: Option<String>,
    /// Tells the user why the name differs from the requested one.
    pub(crate) notice: Option<Reply>,
}

/// What decides about names: the claims in the store, and the users online.
pub(crate) struct Names<'a> {
    pub(crate) store: &'a StorePort,
    pub(crate) directory: &'a Directory,
    pub(crate) random: &'a mut fastrand::Rng,
}

impl Names<'_> {
    /// Decides about a hello, with or without a name.
    pub(crate) fn hello(
        &mut self,
        id: SessionId,
        name: Option<UserName>,
        key: Option<String>,
        policy: ReservedName,
    ) -> NameDecision {
        match name {
            Some(name) => self.rule("hello", (id, None), name, key, policy),
            None => NameDecision::Take(NewName::new(self.assign_guest(id), Proof::Assigned)),
        }
    }

    /// Decides about a rename, or the claim of the present name.
    pub(crate) fn rename(
        &mut self,
        id: SessionId,
        session: &Session,
        name: UserName,
        key: Option<String>,
        policy: ReservedName,
    ) -> NameDecision {
        if *session.name() == name && key.is_none() {
            return NameDecision::Take(NewName::new(name, session.proof()));
        }
        self.rule("rename", (id, Some(session)), name, key, policy)
    }

    /// `request` is the name of the request in refusals.
    fn rule(
        &mut self,
        request: &'static str,
        (id, session): (SessionId, Option<&Session>),
        name: UserName,
        key: Option<String>,
        policy: ReservedName,
    ) -> NameDecision {
        let is_claimed = self.store.is_claimed(&name);
        match key.filter(|_| self.store.is_there()) {
            Some(key) if !is_claimed && key.len() < limits::NAME_KEY_LEAST => {
                NameDecision::Refuse(too_short(request, &key))
            }
            Some(key) => NameDecision::Ask {
                name,
                key: NameKey(key),
            },
            None if !is_claimed => NameDecision::Take(NewName::new(name, Proof::Unclaimed)),
            None => match policy {
                ReservedName::Refuse => NameDecision::Refuse(reserved(&name)),
                ReservedName::Suffix => {
                    let like = self.assign_like(id, &name, session.map(|session| session.name()));
                    let present = session.filter(|session| *session.name() == like);
                    let proof = present.map_or(Proof::Assigned, Session::proof);
                    NameDecision::Take(NewName::instead_of(&name, like, proof))
                }
            },
        }
    }

    /// A name for a session whose name somebody else has claimed.
    pub(crate) fn displaced(&mut self, id: SessionId, name: &UserName) -> NewName {
        NewName::instead_of(name, self.assign_like(id, name, None), Proof::Assigned)
    }

    /// A free guest name, registered for this session.
    fn assign_guest(&mut self, id: SessionId) -> UserName {
        for _ in 0..limits::GUEST_NUMBERS {
            let name = self.directory.guest();
            if self.take(id, &name) {
                return name;
            }
        }
        // The next guest names are all taken, so a random number is used.
        let name = UserName::guest(self.random.u64(1 << 32..1 << 53));
        self.directory.enter(&self.directory.user_named(&name), id);
        name
    }

    /// A free variant of this name, with a number, registered for this session. The session may keep its present name `own` if
    /// that is a variant.
    fn assign_like(&mut self, id: SessionId, name: &UserName, own: Option<&UserName>) -> UserName {
        for number in 2..=limits::NAME_SUFFIXES {
            let like = name.numbered(number);
            if own == Some(&like) || self.take(id, &like) {
                return like;
            }
        }
        self.assign_guest(id)
    }

    fn take(&self, id: SessionId, name: &UserName) -> bool {
        !self.store.is_claimed(name) && self.directory.enter_unique(&self.directory.user_named(name), id)
    }
}

impl NewName {
    fn new(name: UserName, proof: Proof) -> Self {
        let (key, notice) = (None, None);
        let named = Named::new(name, proof);
        Self { named, key, notice }
    }

    fn instead_of(wanted: &UserName, name: UserName, proof: Proof) -> Self {
        let text = format!("the name {wanted} is reserved for the holder of its key; you are {name} here");
        let notice = Some(Reply::System { text: text.into() });
        Self {
            notice,
            ..Self::new(name, proof)
        }
    }
}

/// The name of a session that showed a key, or a refusal if the key is wrong.
pub(crate) fn check_claim(answer: Result<(UserName, Claim), Refusal>, key: Option<String>) -> Result<NewName, Refusal> {
    let (name, claim) = answer?;
    let key = match claim {
        Claim::New => key,
        Claim::Matches => None,
        Claim::Differs => return Err(reserved(&name)),
    };
    Ok(NewName {
        key,
        ..NewName::new(name, Proof::Key)
    })
}

fn too_short(request: &'static str, key: &str) -> Refusal {
    let (seen, least, most) = (key.len(), limits::NAME_KEY_LEAST, limits::NAME_KEY_BYTES);
    ErrorCode::Invalid.because(format!(
        "{request}.key has {seen} bytes; claim a name with {least} to {most} random ones, or give no key"
    ))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        chat::ShardId,
        history::Query,
        shard::{
            bus::directory::OwnerKey,
            store::{returned::Returned, ticket::Ticket},
            testing::{
                start_store,
                values::{name, session},
            },
        },
    };

    const KEY: &str = "a key of 32 random bytes, or more";

    fn hello(
        store: &StorePort,
        directory: &Directory,
        said: &str,
        key: Option<&str>,
        policy: ReservedName,
    ) -> NameDecision {
        let random = &mut fastrand::Rng::with_seed(1);
        let mut names = Names {
            store,
            directory,
            random,
        };
        names.hello(session(9), Some(name(said)), key.map(str::to_owned), policy)
    }

    #[test]
    fn only_sessions_with_the_key_get_a_claimed_name() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let (history, outcomes, _dir) = start_store(|head| head + 1);
        let mut store = StorePort::new(ShardId(0), history, Arc::new(|_| true), 8);
        let says = |store: &StorePort, said, key, policy| hello(store, &directory, said, key, policy);
        assert_eq!(
            says(&store, "ada", None, ReservedName::Refuse),
            NameDecision::Take(NewName::new(name("ada"), Proof::Unclaimed))
        );
        let key = NameKey(KEY.to_owned());
        let claims = NameDecision::Ask {
            name: name("ada"),
            key: key.clone(),
        };
        assert_eq!(says(&store, "ada", Some(KEY), ReservedName::Refuse), claims);
        let NameDecision::Refuse(refusal) = says(&store, "ada", Some("short"), ReservedName::Refuse) else {
            panic!("nothing is claimed with a short key");
        };
        assert_eq!(refusal.code, ErrorCode::Invalid);
        let claim = Query::Claim { name: name("ada"), key };
        assert!(store.ask(claim, Ticket::Hello(session(1))));
        let outcome = outcomes.recv_timeout(Duration::from_secs(30)).unwrap().pop().unwrap();
        let Returned::Hello { answer, .. } = store.take(outcome) else {
            panic!("a hello asked");
        };
        let claimed = check_claim(answer, Some(KEY.to_owned())).unwrap();
        assert_eq!((claimed.named.name, claimed.named.proof), (name("ada"), Proof::Key));
        assert_eq!(claimed.key.as_deref(), Some(KEY));
        // Now the name is reserved; a key that is too short for a claim is compared too.
        assert!(matches!(
            says(&store, "ada", Some("short"), ReservedName::Refuse),
            NameDecision::Ask { .. }
        ));
        assert_eq!(
            says(&store, "ada", None, ReservedName::Refuse),
            NameDecision::Refuse(reserved(&name("ada")))
        );
        let NameDecision::Take(like) = says(&store, "ada", None, ReservedName::Suffix) else {
            panic!("it comes under another name");
        };
        assert!(like.named.name != name("ada") && like.named.proof == Proof::Assigned && like.notice.is_some());
        assert_eq!(
            directory.sessions(&like.named.user, ShardId(0)),
            [session(9)],
            "which nobody else can take"
        );
    }

    #[test]
    fn without_a_store_nothing_is_claimed() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let store = StorePort::without_store(ShardId(0));
        let taken = hello(&store, &directory, "ada", Some("short"), ReservedName::Refuse);
        assert_eq!(taken, NameDecision::Take(NewName::new(name("ada"), Proof::Unclaimed)));
        assert_eq!(
            check_claim(Ok((name("ada"), Claim::Differs)), None),
            Err(reserved(&name("ada")))
        );
    }
}
