//! Whose a name is.
//!
//! A name belongs to whoever says it until somebody claims it with a key; from then on it is reserved, in every dialect. Who says a
//! reserved name without its key is refused, or comes under a name like it ([`ReservedName`]). Sessions that were there before
//! the claim get a name like it, too. That takes a moment, so whatever is private to a name asks [`Session::holds`] at the time
//! of telling, and the claim is known before anything behind it is.
//!
//! Without a store nothing is claimed.

use super::{port::StorePort, refusals::reserved};
use crate::{
    chat::{ErrorCode, Refusal, Reply, SessionId, UserName},
    codec::ReservedName,
    history::{Bearer, Claim, NameKey},
    limits,
    shard::{
        bus::directory::Directory,
        connection::session::{Proof, Session},
    },
};

impl Session {
    /// By what right it reads stored messages of its name.
    pub(crate) fn bearer(&self) -> Bearer {
        match self.proof {
            Proof::Key => Bearer::Key,
            Proof::Said | Proof::Assigned => Bearer::Name,
        }
    }

    /// Whether it has this name, by a right that still holds: only then may it hear what is for the name alone.
    pub(crate) fn holds(&self, name: &UserName, store: &StorePort) -> bool {
        self.name == *name && self.holds_its_name(store)
    }

    /// Whether it has its name by a right that still holds.
    pub(crate) fn holds_its_name(&self, store: &StorePort) -> bool {
        self.proof == Proof::Key || !store.is_claimed(&self.name)
    }

    /// Whether the stored direct messages of its name are its to read. A dialect without keys has no inbox of its own.
    pub(crate) fn owns_inbox(&self, is_native: bool, store: &StorePort) -> bool {
        match self.proof {
            Proof::Key => true,
            Proof::Said => is_native && self.holds_its_name(store),
            Proof::Assigned => false,
        }
    }
}

/// What is to be done about a name that a session says.
#[derive(Debug, PartialEq)]
pub(crate) enum Ruling {
    /// The session has this name now; one that was assigned is registered for it already. `notice` says why it has not the name
    /// that it said.
    Take {
        name: UserName,
        proof: Proof,
        notice: Option<Reply>,
    },
    /// The store compares the key, or claims the name with it.
    Ask {
        name: UserName,
        key: NameKey,
    },
    Refuse(Refusal),
}

/// Where names come from: what is claimed, and who is online.
pub(crate) struct Names<'a> {
    pub(crate) store: &'a StorePort,
    pub(crate) directory: &'a Directory,
    pub(crate) random: &'a mut fastrand::Rng,
}

impl Names<'_> {
    /// A session says hello, with or without a name.
    pub(crate) fn hello(
        &mut self,
        id: SessionId,
        name: Option<UserName>,
        key: Option<String>,
        policy: ReservedName,
    ) -> Ruling {
        match name {
            Some(name) => self.rule("hello", (id, None), name, key, policy),
            None => Ruling::take(self.assign_guest(id), Proof::Assigned),
        }
    }

    /// A session wants another name, or claims the one it has.
    pub(crate) fn rename(
        &mut self,
        id: SessionId,
        session: &Session,
        name: UserName,
        key: Option<String>,
        policy: ReservedName,
    ) -> Ruling {
        if session.name == name && key.is_none() {
            return Ruling::take(name, session.proof);
        }
        self.rule("rename", (id, Some(session)), name, key, policy)
    }

    /// `request` is what a refusal calls the request.
    fn rule(
        &mut self,
        request: &'static str,
        (id, session): (SessionId, Option<&Session>),
        name: UserName,
        key: Option<String>,
        policy: ReservedName,
    ) -> Ruling {
        let is_claimed = self.store.is_claimed(&name);
        match key.filter(|_| self.store.is_there()) {
            Some(key) if !is_claimed && key.len() < limits::NAME_KEY_LEAST => Ruling::Refuse(too_short(request, &key)),
            Some(key) => Ruling::Ask {
                name,
                key: NameKey(key),
            },
            None if !is_claimed => Ruling::take(name, Proof::Said),
            None => match policy {
                ReservedName::Refuse => Ruling::Refuse(reserved(&name)),
                ReservedName::Suffix => {
                    let like = self.assign_like(id, &name, session.map(|session| &session.name));
                    let kept = session.filter(|session| session.name == like);
                    Ruling::Take {
                        proof: kept.map_or(Proof::Assigned, |session| session.proof),
                        notice: Some(assigned_instead(&name, &like)),
                        name: like,
                    }
                }
            },
        }
    }

    /// A name for a session whose name somebody else has claimed, and what it is told.
    pub(crate) fn displaced(&mut self, id: SessionId, name: &UserName) -> (UserName, Reply) {
        let like = self.assign_like(id, name, None);
        let notice = assigned_instead(name, &like);
        (like, notice)
    }

    /// A name that nobody else has, registered for this session.
    fn assign_guest(&mut self, id: SessionId) -> UserName {
        for _ in 0..limits::GUEST_NUMBERS {
            let name = self.directory.guest();
            if self.take(id, &name) {
                return name;
            }
        }
        // Others have sat down on the numbers that come next.
        let name = UserName::guest(self.random.u64(1 << 32..1 << 53));
        self.directory.enter(&name, id);
        name
    }

    /// A name like this one that nobody else has, registered for this session; `own` is the name it has and may keep.
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
        !self.store.is_claimed(name) && self.directory.enter_alone(name, id)
    }
}

impl Ruling {
    fn take(name: UserName, proof: Proof) -> Self {
        let notice = None;
        Self::Take { name, proof, notice }
    }
}

/// Whether a session has a name whose key it showed; with the key if it has just claimed the name.
pub(crate) fn judge(
    answer: Result<(UserName, Claim), Refusal>,
    key: Option<String>,
) -> Result<(UserName, Option<String>), Refusal> {
    match answer? {
        (name, Claim::First) => Ok((name, key)),
        (name, Claim::Held) => Ok((name, None)),
        (name, Claim::Other) => Err(reserved(&name)),
    }
}

fn too_short(request: &'static str, key: &str) -> Refusal {
    let (seen, least, most) = (key.len(), limits::NAME_KEY_LEAST, limits::NAME_KEY_BYTES);
    ErrorCode::Invalid.because(format!(
        "{request}.key has {seen} bytes; claim a name with {least} to {most} random ones, or give no key"
    ))
}

fn assigned_instead(name: &UserName, own: &UserName) -> Reply {
    let text = format!("the name {name} is reserved for the holder of its key; you are {own} here");
    Reply::System { text: text.into() }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        chat::{ConnectionSlot, Generation, ShardId},
        history::Ask,
        shard::{
            bus::directory::OwnerKey,
            store::{returned::Returned, ticket::Ticket},
            testing::start_store,
        },
    };

    const KEY: &str = "a key of 32 random bytes, or more";

    fn id(slot: u32) -> SessionId {
        SessionId::new(ShardId(0), ConnectionSlot::new(slot), Generation::FIRST)
    }

    fn name(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn hello(store: &StorePort, directory: &Directory, said: &str, key: Option<&str>, policy: ReservedName) -> Ruling {
        let random = &mut fastrand::Rng::with_seed(1);
        let mut names = Names {
            store,
            directory,
            random,
        };
        names.hello(id(9), Some(name(said)), key.map(str::to_owned), policy)
    }

    #[test]
    fn a_claimed_name_is_for_whoever_shows_its_key() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let (history, outcomes, _dir) = start_store(|head| head + 1);
        let mut store = StorePort::new(ShardId(0), history, Arc::new(|_| true), 8);
        let says = |store: &StorePort, said, key, policy| hello(store, &directory, said, key, policy);
        assert_eq!(
            says(&store, "ada", None, ReservedName::Refuse),
            Ruling::take(name("ada"), Proof::Said)
        );
        let key = NameKey(KEY.to_owned());
        let claims = Ruling::Ask {
            name: name("ada"),
            key: key.clone(),
        };
        assert_eq!(says(&store, "ada", Some(KEY), ReservedName::Refuse), claims);
        let Ruling::Refuse(refusal) = says(&store, "ada", Some("short"), ReservedName::Refuse) else {
            panic!("nothing is claimed with a short key");
        };
        assert_eq!(refusal.code, ErrorCode::Invalid);
        let claim = Ask::Claim { user: name("ada"), key };
        assert!(store.ask(claim, Ticket::Hello(id(1))));
        let outcome = outcomes.recv_timeout(Duration::from_secs(30)).unwrap().pop().unwrap();
        let Returned::Hello { answer, .. } = store.take(outcome) else {
            panic!("a hello asked");
        };
        assert_eq!(
            judge(answer, Some(KEY.to_owned())),
            Ok((name("ada"), Some(KEY.to_owned())))
        );
        // From now on it is reserved, also for a key that is too short to claim with.
        assert!(matches!(
            says(&store, "ada", Some("short"), ReservedName::Refuse),
            Ruling::Ask { .. }
        ));
        assert_eq!(
            says(&store, "ada", None, ReservedName::Refuse),
            Ruling::Refuse(reserved(&name("ada")))
        );
        let Ruling::Take {
            name: like,
            proof,
            notice,
        } = says(&store, "ada", None, ReservedName::Suffix)
        else {
            panic!("it comes under another name");
        };
        assert!(like != name("ada") && proof == Proof::Assigned && notice.is_some());
        assert_eq!(
            directory.sessions(&like, ShardId(0)),
            [id(9)],
            "which nobody else can take"
        );
    }

    #[test]
    fn without_a_store_nothing_is_claimed() {
        let directory = Directory::new(1, OwnerKey::fixed(7), 1);
        let store = StorePort::without_store(ShardId(0));
        let taken = hello(&store, &directory, "ada", Some("short"), ReservedName::Refuse);
        assert_eq!(taken, Ruling::take(name("ada"), Proof::Said));
        assert_eq!(
            judge(Ok((name("ada"), Claim::Other)), None),
            Err(reserved(&name("ada")))
        );
    }
}
