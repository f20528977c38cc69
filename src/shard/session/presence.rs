//! Sessions that enter, change their name or dialect, or end; and what owners, watchers and other shards must know of that.
//!
//! Invariants:
//! - A session is in the directory under its present user. It is added before its inbox is read, so a message that comes in
//!   between reaches it live or from the inbox.
//! - After a claim of a name, each shard gives other sessions with this name a similar one.
//!
//! Sends nothing to other shards: [`Presence::messages`] collects the messages, and the engine sends them.

use crate::{
    chat::{
        Conversation, Departure, Hello, Position, Refusal, Reply, RequestId, RoomName, SessionId, ShardId, ToSession,
        UserId, UserName, Welcome,
    },
    history::{Claim, NameKey},
    limits,
    shard::{
        bus::message::{RoomCommand, ToOwner, ToShard},
        connection::{
            session::{Named, Proof, Session},
            write::Socket,
        },
        direct::inboxes::DirectInboxes,
        parts::Parts,
        room::rooms::Rooms,
        store::names::NewName,
    },
};

/// The parts of the shard that know a session.
pub(crate) struct Presence<'a, S> {
    pub(crate) rooms: &'a mut Rooms,
    pub(crate) inboxes: &'a mut DirectInboxes,
    pub(crate) parts: Parts<'a, S>,
    /// To be sent, in order.
    pub(crate) messages: Vec<(ShardId, ToShard)>,
}

impl<S: Socket> Presence<'_, S> {
    /// A connection has sent a hello. Returns the rooms that its new session resumes, with the client's positions.
    pub(crate) fn hello(
        &mut self,
        id: SessionId,
        request: RequestId,
        hello: Hello,
    ) -> Option<Vec<(RoomName, Position)>> {
        let (hello, name) = self.parts.hello(id, request, hello)?;
        self.enter(id, request, hello, name)
    }

    /// The store has compared the key of a hello. Returns the same as [`Self::hello`].
    pub(crate) fn hello_answered(
        &mut self,
        id: SessionId,
        answer: Result<(UserName, Claim), Refusal>,
    ) -> Option<Vec<(RoomName, Position)>> {
        // Even if the connection has ended: the name is claimed.
        self.announce_claim(&answer);
        let (request, hello, name) = self.parts.hello_checked(id, answer)?;
        self.enter(id, request, hello, name)
    }

    /// A session wants another name, or claims the one it has.
    pub(crate) fn rename(&mut self, id: SessionId, request: RequestId, name: UserName, key: Option<String>) {
        if let Some(name) = self.parts.rename(id, request, name, key) {
            self.change_name(id, request, name);
        }
    }

    /// The store has compared the key of a rename.
    pub(crate) fn rename_answered(
        &mut self,
        id: SessionId,
        request: RequestId,
        NameKey(key): NameKey,
        answer: Result<(UserName, Claim), Refusal>,
    ) {
        self.announce_claim(&answer);
        if let Some(name) = self.parts.key_checked(id, request, Some(key), answer) {
            self.change_name(id, request, name);
        }
        if let Some(connection) = self.parts.connections.get_mut(id) {
            connection.set_renaming(false);
        }
        self.parts.connections.answered(id);
    }

    /// A session has claimed this name: gives other sessions of this shard a similar one, at most [`limits::DISPLACED_PER_TURN`].
    /// Returns whether some are left.
    pub(crate) fn displace(&mut self, name: &UserName) -> bool {
        let user = self.parts.directory.user_named(name);
        let mut others = self.sessions(&user);
        others.retain(|id| !self.holds(*id, &user));
        for id in others.iter().take(limits::DISPLACED_PER_TURN) {
            let new = self.parts.displaced(*id, name);
            self.change_name(*id, None, new);
        }
        others.len() > limits::DISPLACED_PER_TURN
    }

    /// Sends a reply to the sessions of this shard that hold this user's name.
    pub(crate) fn reply_to_holders(&mut self, user: &UserId, reply: &Reply) {
        for id in self.sessions(user) {
            if self.holds(id, user) {
                self.parts.reply(id, None, reply);
            }
        }
    }

    /// The dialect of a member was detected or corrected.
    pub(crate) fn dialect_changed(&mut self, id: SessionId) {
        let connections = &self.parts.connections;
        let speaking = connections.get(id).and_then(|connection| connection.speaking());
        let Some((profile, speaking)) = connections.profile(id).zip(speaking) else {
            return;
        };
        let (sees_own_leave, lists) = (profile.sees_own_leave, speaking.codec().lists());
        for room in self.rooms.rooms_of(id) {
            let describe = RoomCommand::Describe {
                session: id,
                sees_own_leave,
                lists,
            };
            self.send_to_owner(room, describe);
        }
    }

    /// A session has ended.
    pub(crate) fn ended(&mut self, id: SessionId, session: &Session) {
        self.inboxes.remove(id);
        for room in self.rooms.remove(id) {
            let leave = RoomCommand::Leave {
                session: id,
                how: Departure::Disconnected,
                id: None,
            };
            self.send_to_owner(room, leave);
        }
        if let Some(peer) = session.watched() {
            self.parts.directory.unwatch(peer, id);
        }
        self.parts.directory.exit(session.user(), id);
        self.notify_watchers(session.user(), session.name());
    }

    /// Gives a connection its session and welcomes it.
    fn enter(
        &mut self,
        id: SessionId,
        request: RequestId,
        hello: Hello,
        new: NewName,
    ) -> Option<Vec<(RoomName, Position)>> {
        let Parts {
            connections,
            directory,
            now,
            ..
        } = &mut self.parts;
        let heartbeat = connections.profile(id)?.ping_every;
        let connection = connections.get_mut(id)?;
        let peer = connection.speaking()?.peer;
        let tag = directory.tag();
        let welcome = Welcome {
            session: tag,
            name: new.named.name.clone(),
            key: new.key,
            heartbeat,
            at: now.unix_ms,
            peer,
        };
        connection.enter(Session::new(new.named.clone(), tag, hello.client, now.ms));
        self.register(id, &new.named);
        self.parts.reply(id, request, &Reply::Welcome(Box::new(welcome)));
        let mut rooms = Vec::new();
        let mut peers = Vec::new();
        for resume in hello.resume {
            match resume.conversation {
                Conversation::Room(room) => rooms.push((room, resume.position)),
                Conversation::Peer(peer) => peers.push((self.parts.directory.user_named(&peer), resume.position)),
            }
        }
        self.inboxes.begin(id, peers, &mut self.parts);
        self.parts.connections.schedule(id, self.parts.now);
        self.send_notice(id, new.notice);
        Some(rooms)
    }

    fn change_name(&mut self, id: SessionId, request: RequestId, new: NewName) {
        // The connection may have ended while the store compared the key.
        let connection = self.parts.connections.get_mut(id);
        let Some(session) = connection.and_then(|connection| connection.session_mut()) else {
            return;
        };
        let tag = session.tag();
        let renamed = session.rename(new.named.clone());
        if let Some(old_user) = &renamed.old_user {
            self.inboxes.renamed(id);
            self.parts.directory.exit(old_user, id);
            self.register(id, &new.named);
            self.notify_watchers(old_user, &renamed.old);
        }
        let name = new.named.name;
        if renamed.old != name {
            for room in self.rooms.rooms_of(id) {
                let (session, name) = (id, name.clone());
                self.send_to_owner(room, RoomCommand::Rename { session, name });
            }
        }
        let reply = Reply::Renamed {
            old: renamed.old,
            new: name,
            session: tag,
            key: new.key,
        };
        self.parts.reply(id, request, &reply);
        if renamed.inbox_is_new {
            self.inboxes.begin(id, Vec::new(), &mut self.parts);
        }
        self.send_notice(id, new.notice);
    }

    /// Adds a session to the directory, unless the server assigned the name: then [`crate::shard::store::names`] has added it
    /// already.
    fn register(&self, id: SessionId, named: &Named) {
        if named.proof != Proof::Assigned {
            self.parts.directory.enter(&named.user, id);
        }
    }

    fn send_notice(&mut self, id: SessionId, notice: Option<Reply>) {
        if let Some(notice) = notice {
            self.parts.reply(id, None, &notice);
        }
    }

    /// Lets every shard displace sessions after the first claim of a name. All shards, because a session may be about to enter.
    fn announce_claim(&mut self, answer: &Result<(UserName, Claim), Refusal>) {
        let Ok((name, Claim::New)) = answer else { return };
        for shard in 0..self.parts.directory.shards() {
            let claimed = ToShard::Claimed { name: name.clone() };
            self.messages.push((ShardId(shard as u16), claimed));
        }
    }

    fn notify_watchers(&mut self, user: &UserId, name: &UserName) {
        for session in self.parts.directory.watchers_of_departed(user) {
            let what = ToSession::Event(Box::new(Reply::PeerLeft { user: name.clone() }));
            self.messages
                .push((session.shard(), ToShard::Session { session, what }));
        }
    }

    fn send_to_owner(&mut self, room: RoomName, command: RoomCommand) {
        let owner = self.parts.directory.owner_of(room.as_str());
        self.messages
            .push((owner, ToShard::Owner(ToOwner::Room { room, command })));
    }

    /// Whether it is a session of this user, by a right that still holds.
    fn holds(&self, id: SessionId, user: &UserId) -> bool {
        let session = self.parts.connections.session(id);
        session.is_some_and(|session| session.holds(user, self.parts.store))
    }

    /// The sessions of this user on this shard.
    fn sessions(&self, user: &UserId) -> Vec<SessionId> {
        let shard = self.parts.connections.shard();
        self.parts.directory.sessions(user, shard)
    }
}
