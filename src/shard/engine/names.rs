//! Has sessions enter and renamed as the rules of names decide ([`crate::shard::store::hello`]), and tells every shard of a claim.

use crate::shard::{
    bus::message::ToShard,
    connection::write::Socket,
    engine::{Clock, Engine},
};
use crate::{
    chat::{Hello, Refusal, Reply, RequestId, SessionId, ShardId, UserName},
    history::{Claim, NameKey},
    limits,
};

impl<S: Socket, C: Clock> Engine<S, C> {
    /// A session says its name.
    pub(crate) fn hello(&mut self, id: SessionId, request: RequestId, hello: Hello) {
        if let Some((hello, taken)) = self.with_parts(|parts| parts.hello(id, request, hello)) {
            self.enter(id, request, hello, taken);
        }
    }

    /// The store has compared the key of a hello.
    pub(super) fn hello_checked(&mut self, id: SessionId, answer: Result<(UserName, Claim), Refusal>) {
        // Also when the session has gone meanwhile: the name is claimed.
        self.announce_claim(&answer);
        if let Some((request, hello, taken)) = self.with_parts(|parts| parts.hello_checked(id, answer)) {
            self.enter(id, request, hello, taken);
        }
        self.read_on(id);
    }

    /// A session wants another name, or claims the one it has.
    pub(crate) fn rename_request(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        if let Some(taken) = self.with_parts(|parts| parts.rename(id, request, name, key)) {
            self.rename(id, request, taken);
        }
    }

    /// The store has compared the key of a rename: it is answered, and the connection is read on.
    pub(super) fn rename_checked(
        &mut self,
        id: SessionId,
        request: RequestId,
        NameKey(key): NameKey,
        answer: Result<(UserName, Claim), Refusal>,
    ) {
        self.announce_claim(&answer);
        if let Some(taken) = self.with_parts(|parts| parts.key_checked(id, request, Some(key), answer)) {
            self.rename(id, request, taken);
        }
        if let Some(connection) = self.connection(id) {
            connection.set_renaming(false);
        }
        self.answered(id);
        self.read_on(id);
    }

    /// Every shard looks whether it has sessions of a name that has just been claimed. All of them: a session may be about to come.
    fn announce_claim(&mut self, answer: &Result<(UserName, Claim), Refusal>) {
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
            let taken = self.with_parts(|parts| parts.displaced(*id, &name));
            self.rename(*id, None, taken);
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
    fn holds_name(&self, id: SessionId, name: &UserName) -> bool {
        let session = self.connections.session(id);
        session.is_some_and(|session| session.holds(name, &self.store))
    }

    /// Tells the sessions here that may hear what is for this name alone.
    pub(crate) fn reply_to_holders(&mut self, name: &UserName, reply: &Reply) {
        for session in self.directory.sessions(name, self.me) {
            if self.holds_name(session, name) {
                self.reply(session, None, reply);
            }
        }
    }
}
