//! A session: a named user on one connection.
//!
//! Invariants: an exit begins once; at most one typing notice per [`limits::TYPING_EVERY`] passes; while a request is deferred,
//! every later one is deferred behind it.

use std::collections::VecDeque;

use crate::{
    chat::{ClientId, NewMessage, Receiver, Request, RequestId, RoomName, SessionTag, UserId, UserName},
    limits,
    shard::{
        connection::retry_queue::RetryQueue,
        rate_limit::{Gcra, MessageRate},
    },
};

#[derive(Debug)]
pub(crate) struct Session {
    name: UserName,
    /// Inbox, read markers and idempotency keys belong to the user, and not to the name.
    user: UserId,
    tag: SessionTag,
    /// The client, if it identified itself: its idempotency keys belong to it.
    client: Option<Box<ClientId>>,
    /// When the user last sent a message, for the idle kick.
    active_ms: u64,
    typed_ms: u64,
    rate: Gcra,
    /// The request of the user's exit. The session ends after it has left the last room.
    exiting: Option<RequestId>,
    /// Requests that wait for an earlier one, in order.
    #[expect(
        clippy::box_collection,
        reason = "hardly a session ever has one, and the box saves 24 bytes in each"
    )]
    deferred: Option<Box<VecDeque<Request>>>,
    /// The session is notified when this user goes offline.
    watched: Option<Box<UserId>>,
    proof: Proof,
    retries: Option<Box<RetryQueue>>,
}

/// A session's right to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It has shown the key.
    Key,
    /// It took the name while the name was unclaimed.
    Unclaimed,
    /// The server assigned the name. A later session may get the same one, so no stored messages belong to it.
    Assigned,
}

/// The present name of a session, its right to the name, and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) user: UserId,
    pub(crate) name: UserName,
    pub(crate) proof: Proof,
}

impl Named {
    /// The only place where a session gets its user: in open mode the name alone identifies a user.
    pub(crate) fn new(name: UserName, proof: Proof) -> Self {
        let user = UserId::of_name(&name);
        Self { user, name, proof }
    }
}

/// The result of a rename.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) old: UserName,
    /// The user before, if the session has another one now.
    pub(crate) old_user: Option<UserId>,
    /// Whether the session must read its user's inbox from the start, because the user changed, or because an assigned name had
    /// no inbox.
    pub(crate) inbox_is_new: bool,
}

impl Session {
    pub(crate) fn new(named: Named, tag: SessionTag, client: Option<ClientId>, now_ms: u64) -> Self {
        let Named { user, name, proof } = named;
        Self {
            name,
            user,
            tag,
            client: client.map(Box::new),
            active_ms: now_ms,
            typed_ms: 0,
            rate: Gcra::default(),
            exiting: None,
            deferred: None,
            watched: None,
            proof,
            retries: None,
        }
    }

    /// Changes the name, or the right to it.
    pub(crate) fn rename(&mut self, named: Named) -> Renamed {
        let had = std::mem::replace(&mut self.proof, named.proof);
        let old = std::mem::replace(&mut self.name, named.name);
        let old_user = std::mem::replace(&mut self.user, named.user);
        let old_user = (old_user != self.user).then_some(old_user);
        Renamed {
            inbox_is_new: old_user.is_some() || had == Proof::Assigned,
            old,
            old_user,
        }
    }

    pub(crate) fn name(&self) -> &UserName {
        &self.name
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    /// The user as the receiver of a direct message.
    pub(crate) fn receiver(&self) -> Receiver {
        let (user, name) = (self.user.clone(), self.name.clone());
        Receiver { user, name }
    }

    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }

    pub(crate) fn tag(&self) -> SessionTag {
        self.tag
    }

    pub(crate) fn client(&self) -> Option<ClientId> {
        self.client.as_deref().copied()
    }

    pub(crate) fn count_message(&mut self, rate: MessageRate, now_us: u64) {
        self.rate.count(rate, now_us);
    }

    /// When the next message conforms to the rate limit, microseconds.
    pub(crate) fn conforms_at_us(&self, rate: MessageRate) -> u64 {
        self.rate.conforms_at_us(rate)
    }

    /// Records that the user has sent a message.
    pub(crate) fn note_activity(&mut self, now_ms: u64) {
        self.active_ms = now_ms;
    }

    /// When the user last sent a message, milliseconds.
    pub(super) fn last_active_ms(&self) -> u64 {
        self.active_ms
    }

    /// Moves all times forward after a stall of the shard.
    pub(super) fn discount_stall(&mut self, later: impl Fn(&mut u64)) {
        later(&mut self.active_ms);
        if let Some(retries) = &mut self.retries {
            retries.discount_stall(later);
        }
    }

    /// Returns whether a typing notice may pass now, and counts it.
    pub(crate) fn may_type(&mut self, now_ms: u64) -> bool {
        let every_ms = limits::TYPING_EVERY.as_millis() as u64;
        let may = self.typed_ms == 0 || now_ms >= self.typed_ms + every_ms;
        if may {
            self.typed_ms = now_ms;
        }
        may
    }

    /// Watches this user; returns the user that it watched before.
    pub(crate) fn watch(&mut self, user: UserId) -> Option<UserId> {
        self.watched.replace(Box::new(user)).map(|before| *before)
    }

    pub(crate) fn watched(&self) -> Option<&UserId> {
        self.watched.as_deref()
    }

    /// Begins an exit; returns whether it is the first.
    pub(crate) fn exit(&mut self, request: RequestId) -> bool {
        let is_first = self.exiting.is_none();
        self.exiting.get_or_insert(request);
        is_first
    }

    /// The request of the exit, if one has begun.
    pub(crate) fn exiting(&self) -> Option<RequestId> {
        self.exiting
    }

    /// The deferred requests. While this is `Some`, every later request is deferred, even if the queue is empty.
    pub(crate) fn deferred(&self) -> Option<&VecDeque<Request>> {
        self.deferred.as_deref()
    }

    pub(crate) fn defer(&mut self, request: Request) {
        self.deferred.get_or_insert_default().push_back(request);
    }

    pub(crate) fn next_deferred(&mut self) -> Option<Request> {
        self.deferred.as_mut()?.pop_front()
    }

    pub(crate) fn end_deferring(&mut self) {
        self.deferred = None;
    }

    /// The messages that a busy owner refused, while there are any.
    pub(crate) fn retry_queue(&mut self) -> Option<&mut RetryQueue> {
        self.retries.as_deref_mut()
    }

    /// When the refused messages are due again, milliseconds.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.retries.as_ref().map(|retries| retries.retry_ms())
    }

    /// Drops the retry queue, because no refused message is left.
    pub(crate) fn end_retries(&mut self) {
        self.retries = None;
    }

    /// Queues a message that a busy owner refused.
    pub(crate) fn retry_later(&mut self, room: RoomName, message: Box<NewMessage>, now_ms: u64) {
        let retries = self.retries.get_or_insert_with(|| Box::new(RetryQueue::new(now_ms)));
        retries.push_refused(room, message, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, proof: Proof) -> Named {
        Named::new(UserName::parse(name).unwrap(), proof)
    }

    #[test]
    fn a_rename_makes_it_the_session_of_another_user_and_a_claim_of_its_name_does_not() {
        let mut session = Session::new(named("guest-1", Proof::Assigned), SessionTag(1), None, 0);
        let guest = session.user.clone();
        let claimed = session.rename(named("guest-1", Proof::Key));
        assert_eq!((claimed.old_user, claimed.inbox_is_new), (None, true));
        let renamed = session.rename(named("ada", Proof::Unclaimed));
        assert_eq!((renamed.old_user, renamed.inbox_is_new), (Some(guest), true));
        assert_eq!(session.user, named("ada", Proof::Unclaimed).user);
    }

    #[test]
    fn a_session_watches_one_user_at_a_time() {
        let mut session = Session::new(named("ada", Proof::Unclaimed), SessionTag(1), None, 0);
        let [bob, eve] = ["bob", "eve"].map(|name| named(name, Proof::Unclaimed).user);
        assert_eq!(session.watch(bob.clone()), None);
        assert_eq!(session.watch(eve.clone()), Some(bob));
        assert_eq!(session.watched(), Some(&eve));
    }
}
