//! Carries out what is decided about names ([`crate::shard::store::names`]): sessions enter and are renamed, and every shard learns
//! of a claim.

use crate::shard::{
    bus::message::ToShard,
    connection::{naming::WaitingHello, session::Proof, write::Socket},
    engine::{Clock, Engine},
    store::{
        names::{Names, Ruling, judge},
        refusals,
        ticket::Ticket,
    },
};
use crate::{
    chat::{Hello, Refusal, RequestId, SessionId, ShardId, UserName},
    codec::ReservedName,
    history::{Ask, Claim, NameKey},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    fn names(&mut self) -> Names<'_> {
        Names {
            store: &self.store,
            directory: &self.directory,
            random: &mut self.random,
        }
    }

    /// A session says its name.
    pub(crate) fn hello(&mut self, id: SessionId, request: RequestId, mut hello: Hello) {
        let Some(policy) = self.reserved_name(id) else { return };
        let (name, key) = (hello.name.take(), hello.key.take());
        match self.names().hello(id, name, key, policy) {
            Ruling::Take { name, proof, notice } => {
                self.enter(id, request, hello, name, proof);
                if let Some(notice) = notice {
                    self.reply(id, None, &notice);
                }
            }
            Ruling::Ask { name, key } => {
                hello.key = Some(key.0.clone());
                if !self.store.ask(Ask::Claim { user: name, key }, Ticket::Hello(id)) {
                    return self.refuse(id, request, refusals::busy_for_hello());
                }
                if let Some(connection) = self.connection(id) {
                    connection.claim(WaitingHello { request, hello });
                }
            }
            Ruling::Refuse(refusal) => self.refuse(id, request, refusal),
        }
    }

    /// The store has compared the key of a hello.
    pub(super) fn hello_judged(&mut self, id: SessionId, answer: Result<(UserName, Claim), Refusal>) {
        // Also when the session has gone meanwhile: the name is claimed.
        self.tell_claim(&answer);
        let Some(claiming) = self.connection(id).and_then(|connection| connection.take_claim()) else {
            return;
        };
        let WaitingHello { request, mut hello } = *claiming;
        match judge(answer, hello.key.take()) {
            Ok((name, key)) => {
                hello.key = key;
                self.enter(id, request, hello, name, Proof::Key);
            }
            Err(refusal) => self.refuse(id, request, refusal),
        }
        self.read_on(id);
    }

    /// A session wants another name, or claims the one it has.
    pub(crate) fn rename_request(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        let policy = self.reserved_name(id).unwrap_or(ReservedName::Refuse);
        let Some(session) = self.connections.session(id) else {
            return;
        };
        let mut names = Names {
            store: &self.store,
            directory: &self.directory,
            random: &mut self.random,
        };
        match names.rename(id, session, name, key, policy) {
            Ruling::Take { name, proof, notice } => {
                self.rename(id, request, name, proof, None);
                if let Some(notice) = notice {
                    self.reply(id, None, &notice);
                }
            }
            Ruling::Ask { name, key } => {
                let ticket = Ticket::Rename {
                    session: id,
                    id: request,
                    key: key.clone(),
                };
                if !self.store.ask(Ask::Claim { user: name, key }, ticket) {
                    return self.refuse(id, request, refusals::busy());
                }
                self.connections.asked(id);
                if let Some(connection) = self.connection(id) {
                    // What is said next is said under the new name.
                    connection.set_renaming(true);
                }
            }
            Ruling::Refuse(refusal) => self.refuse(id, request, refusal),
        }
    }

    /// The store has compared the key of a rename: it is answered, and the connection is read on.
    pub(super) fn rename_judged(
        &mut self,
        id: SessionId,
        request: RequestId,
        key: NameKey,
        answer: Result<(UserName, Claim), Refusal>,
    ) {
        self.tell_claim(&answer);
        match judge(answer, Some(key.0)) {
            Ok((name, key)) => self.rename(id, request, name, Proof::Key, key),
            Err(refusal) => self.refuse(id, request, refusal),
        }
        if let Some(connection) = self.connection(id) {
            connection.set_renaming(false);
        }
        self.answered(id);
        self.read_on(id);
    }

    /// What this connection's dialect does about reserved names. Also where the dialect is not certain: those that it may be treat
    /// names alike.
    fn reserved_name(&self, id: SessionId) -> Option<ReservedName> {
        Some(self.connections.profile(id)?.reserved_name)
    }

    /// Every shard looks whether it has sessions of a name that has just been claimed. All of them: a session may be about to come.
    fn tell_claim(&mut self, answer: &Result<(UserName, Claim), Refusal>) {
        let Ok((name, Claim::First)) = answer else { return };
        for shard in 0..self.directory.shards() {
            self.send(ShardId(shard as u16), ToShard::Claimed { name: name.clone() });
        }
    }

    /// Somebody has claimed this name: sessions here that have not shown its key get a name like it.
    pub(crate) fn displace(&mut self, name: UserName) {
        let mut strangers = self.directory.sessions(&name, self.me);
        strangers.retain(|id| !self.holds_name(*id, &name));
        for id in strangers.iter().take(limits::DISPLACED_PER_TURN) {
            let (like, notice) = self.names().displaced(*id, &name);
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

    /// Whether the session has this name, by a right that still holds: only then may it hear what is for the name alone.
    pub(crate) fn holds_name(&self, id: SessionId, name: &UserName) -> bool {
        let session = self.connections.session(id);
        session.is_some_and(|session| session.holds(name, &self.store))
    }

    /// The sessions on this shard that may hear what is for this name alone.
    pub(crate) fn holders(&self, name: &UserName) -> Vec<SessionId> {
        let mut sessions = self.directory.sessions(name, self.me);
        sessions.retain(|session| self.holds_name(*session, name));
        sessions
    }
}
