//! Whose a name is.
//!
//! A name belongs to whoever says it until somebody claims it with a key; from then on it is reserved, in every dialect. Who says a
//! reserved name without its key is refused, or comes under a name like it ([`ReservedName`]). Sessions that were there before
//! the claim get a name like it, too. That takes a moment, so whatever is private to a name asks [`Engine::holds_name`] at
//! the time of telling, and the claim is known before anything behind it is.
//!
//! Without a store nothing is claimed.

use crate::shard::{
    bus::message::ToShard,
    connection::{
        naming::WaitingHello,
        session::{Proof, Session},
        write::Socket,
    },
    engine::{Clock, Engine},
    store::port::Ticket,
};
use crate::{
    chat::{ErrorCode, Hello, Refusal, Reply, RequestId, SessionId, ShardId, UserName},
    codec::ReservedName,
    history::{Ask, Bearer, Claim, NameKey},
    limits,
};

/// What is to be done with a name that somebody says.
enum Saying {
    /// Nobody has claimed it.
    Free,
    /// The store compares this key, or claims the name with it.
    Shown(NameKey),
    /// It is somebody else's.
    Reserved,
}

impl Session {
    /// By what right it reads stored messages of its name.
    pub(crate) fn bearer(&self) -> Bearer {
        match self.proof {
            Proof::Key => Bearer::Key,
            Proof::Said | Proof::Assigned => Bearer::Name,
        }
    }
}

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session says its name.
    pub(crate) fn hello(&mut self, id: SessionId, request: RequestId, mut hello: Hello) {
        let Some(connection) = self.connection(id) else { return };
        if connection.speaking().is_none() {
            return;
        }
        let Some(name) = hello.name.take() else {
            let name = self.assign_guest(id);
            return self.enter(id, request, hello, name, Proof::Assigned);
        };
        match self.saying("hello", &name, hello.key.take()) {
            Err(refusal) => self.refuse(id, request, refusal),
            Ok(Saying::Free) => self.enter(id, request, hello, name, Proof::Said),
            Ok(Saying::Reserved) => match self.reserved_name(id) {
                ReservedName::Refuse => self.refuse(id, request, reserved(&name)),
                ReservedName::Suffix => {
                    let own = self.assign_like(id, &name, None);
                    let notice = assigned_instead(&name, &own);
                    self.enter(id, request, hello, own, Proof::Assigned);
                    self.reply(id, None, &notice);
                }
            },
            Ok(Saying::Shown(key)) => {
                hello.key = Some(key.0.clone());
                let ask = Ask::Claim { user: name, key };
                if !self.ask_store(ask, Ticket::Hello(id)) {
                    let refusal =
                        ErrorCode::Busy.because("the store has as much to do as it may hold; say hello again");
                    return self.refuse(id, request, refusal.retry_after(limits::BUSY_RETRY));
                }
                if let Some(connection) = self.connection(id) {
                    connection.claim(WaitingHello { request, hello });
                }
            }
        }
    }

    /// The store has compared the key of a hello.
    pub(crate) fn claimed(&mut self, id: SessionId, name: UserName, claim: Claim) {
        // Also when the session has gone meanwhile: the name is claimed.
        self.tell_claim(&name, claim);
        let Some(claiming) = self.connection(id).and_then(|connection| connection.take_claim()) else {
            return;
        };
        let WaitingHello { request, mut hello } = *claiming;
        match claim {
            Claim::First => self.enter(id, request, hello, name, Proof::Key),
            Claim::Held => {
                hello.key = None;
                self.enter(id, request, hello, name, Proof::Key);
            }
            Claim::Other => self.refuse(id, request, reserved(&name)),
        }
        self.read_on(id);
    }

    pub(crate) fn hello_failed(&mut self, id: SessionId, refusal: Refusal) {
        let Some(claiming) = self.connection(id).and_then(|connection| connection.take_claim()) else {
            return;
        };
        self.refuse(id, claiming.request, refusal);
        self.read_on(id);
    }

    /// A session wants another name, or claims the one it has.
    pub(crate) fn rename_request(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        let Some(session) = self.connection(id).and_then(|connection| connection.session()) else {
            return;
        };
        let (own, proof) = (session.name.clone(), session.proof);
        if own == name && key.is_none() {
            return self.rename(id, request, name, proof, None);
        }
        match self.saying("rename", &name, key) {
            Err(refusal) => self.refuse(id, request, refusal),
            Ok(Saying::Free) => self.rename(id, request, name, Proof::Said, None),
            Ok(Saying::Reserved) => match self.reserved_name(id) {
                ReservedName::Refuse => self.refuse(id, request, reserved(&name)),
                ReservedName::Suffix => {
                    let like = self.assign_like(id, &name, Some(&own));
                    let notice = assigned_instead(&name, &like);
                    let proof = if like == own { proof } else { Proof::Assigned };
                    self.rename(id, request, like, proof, None);
                    self.reply(id, None, &notice);
                }
            },
            Ok(Saying::Shown(key)) => self.ask_rename(id, request, name, key),
        }
    }

    fn ask_rename(&mut self, id: SessionId, request: RequestId, name: UserName, key: NameKey) {
        let ticket = Ticket::Rename {
            session: id,
            id: request,
            key: key.clone(),
        };
        if self.ask_store(Ask::Claim { user: name, key }, ticket) {
            if let Some(connection) = self.connection(id) {
                connection.underway += 1;
                // What is said next is said under the new name.
                connection.set_renaming(true);
            }
        } else {
            let refusal = ErrorCode::Busy.because("the store has as much to do as it may hold; try again");
            self.refuse(id, request, refusal.retry_after(limits::BUSY_RETRY));
        }
    }

    /// The store has compared the key of a rename.
    pub(crate) fn rename_claimed(
        &mut self,
        id: SessionId,
        request: RequestId,
        name: UserName,
        key: NameKey,
        claim: Claim,
    ) {
        self.tell_claim(&name, claim);
        match claim {
            Claim::First => self.rename(id, request, name, Proof::Key, Some(key.0)),
            Claim::Held => self.rename(id, request, name, Proof::Key, None),
            Claim::Other => self.refuse(id, request, reserved(&name)),
        }
        self.renaming_ended(id);
    }

    /// A rename has been answered: the connection is read on.
    pub(crate) fn renaming_ended(&mut self, id: SessionId) {
        if let Some(connection) = self.connection(id) {
            connection.set_renaming(false);
        }
        self.answered(id);
        self.read_on(id);
    }

    /// What is to be done with a name, said in this request with this key.
    fn saying(&self, request: &'static str, name: &UserName, key: Option<String>) -> Result<Saying, Refusal> {
        if self.store.is_none() {
            return Ok(Saying::Free);
        }
        let claimed = self.is_claimed(name);
        match key {
            None if claimed => Ok(Saying::Reserved),
            None => Ok(Saying::Free),
            Some(key) if !claimed && key.len() < limits::NAME_KEY_LEAST => {
                let (seen, least, most) = (key.len(), limits::NAME_KEY_LEAST, limits::NAME_KEY_BYTES);
                Err(ErrorCode::Invalid.because(format!(
                    "{request}.key has {seen} bytes; claim a name with {least} to {most} random ones, or give no key"
                )))
            }
            Some(key) => Ok(Saying::Shown(NameKey(key))),
        }
    }

    fn is_claimed(&self, name: &UserName) -> bool {
        let store = self.store.as_ref();
        store.is_some_and(|store| store.history.claims().has(name))
    }

    fn reserved_name(&self, id: SessionId) -> ReservedName {
        // Also where the dialect is not certain: those that it may be treat names alike.
        let profile = self.connections.profile(id);
        profile.map_or(ReservedName::Refuse, |profile| profile.reserved_name)
    }

    // ---------------------------------------------------------------- what is private to a name

    /// Whether the session has this name, by a right that still holds: only then may it hear what is for the name alone.
    pub(crate) fn holds_name(&self, id: SessionId, name: &UserName) -> bool {
        let connection = self.connections.get(id);
        let session = connection.and_then(|connection| connection.session());
        session.is_some_and(|session| session.name == *name && (session.proof == Proof::Key || !self.is_claimed(name)))
    }

    /// Whether the session has its name by a right that still holds.
    pub(crate) fn holds_own_name(&self, id: SessionId) -> bool {
        let connection = self.connections.get(id);
        let session = connection.and_then(|connection| connection.session());
        session.is_some_and(|session| self.holds_name(id, &session.name))
    }

    /// The sessions on this shard that may hear what is for this name alone.
    pub(crate) fn holders(&self, name: &UserName) -> Vec<SessionId> {
        let mut sessions = self.directory.sessions(name, self.me);
        sessions.retain(|session| self.holds_name(*session, name));
        sessions
    }

    /// Whether the stored direct messages of its name are a session's to read.
    pub(crate) fn owns_inbox(&self, id: SessionId) -> bool {
        let connection = self.connections.get(id);
        let session = connection.and_then(|connection| connection.session());
        session.is_some_and(|session| match session.proof {
            Proof::Key => true,
            Proof::Said => self.connections.is_native(id) && self.holds_name(id, &session.name),
            Proof::Assigned => false,
        })
    }

    // ---------------------------------------------------------------- names that the server chooses

    /// A name that nobody else has, registered for this session.
    fn assign_guest(&mut self, id: SessionId) -> UserName {
        for _ in 0..limits::GUEST_NUMBERS {
            let name = self.directory.guest();
            if self.take_name(id, &name) {
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
            if own == Some(&like) || self.take_name(id, &like) {
                return like;
            }
        }
        self.assign_guest(id)
    }

    fn take_name(&self, id: SessionId, name: &UserName) -> bool {
        !self.is_claimed(name) && self.directory.enter_alone(name, id)
    }

    // ---------------------------------------------------------------- sessions whose name somebody claims

    /// Every shard looks whether it has sessions of a name that has just been claimed. All of them: a session may be about to come.
    fn tell_claim(&mut self, name: &UserName, claim: Claim) {
        match claim {
            Claim::First => {}
            Claim::Held | Claim::Other => return,
        }
        for shard in 0..self.directory.shards() {
            self.send(ShardId(shard as u16), ToShard::Claimed { name: name.clone() });
        }
    }

    /// Somebody has claimed this name: sessions here that have not shown its key get a name like it.
    pub(crate) fn displace(&mut self, name: UserName) {
        let mut strangers = self.directory.sessions(&name, self.me);
        strangers.retain(|id| !self.holds_name(*id, &name));
        for id in strangers.iter().take(limits::DISPLACED_PER_TURN) {
            let like = self.assign_like(*id, &name, None);
            let notice = assigned_instead(&name, &like);
            self.rename(*id, None, like, Proof::Assigned, None);
            self.reply(*id, None, &notice);
        }
        if strangers.len() > limits::DISPLACED_PER_TURN {
            self.displacing.push(name);
        }
    }

    /// Goes on with names of which more sessions were here than are renamed in one turn.
    pub(crate) fn displace_more(&mut self) {
        for name in std::mem::take(&mut self.displacing) {
            self.displace(name);
        }
    }
}

/// What somebody is told who says a reserved name without its key.
fn reserved(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "{name} is reserved for the holder of its key; give that key, or take another name"
    ))
}

/// What a session is told that asks for stored messages which are not its own.
pub(crate) fn not_yours(name: &UserName) -> Refusal {
    ErrorCode::NameReserved.because(format!(
        "stored direct messages of {name} are not for this session, which was given that name or does not have its key; say hello \
         under a name of your own"
    ))
}

fn assigned_instead(name: &UserName, own: &UserName) -> Reply {
    let text = format!("the name {name} is reserved for the holder of its key; you are {own} here");
    Reply::System { text: text.into() }
}
