//! The parts of a shard that rooms, direct messages and names share: its connections, its store, the directory, a random
//! generator and the time.
//!
//! The engine lends them for one call. Methods that only one user needs are in its file: [`super::room::serving`],
//! [`super::direct::inboxes`] and [`super::session::hello`].
//!
//! Nothing here sends to other shards. If a reply, a goodbye or a write changes a connection, the engine learns of it from
//! [`Connections::poll`].

use crate::{
    chat::{GoodbyeCode, Refusal, Reply, RequestId, SessionId},
    codec::LagPolicy,
    shard::{
        bus::directory::Directory,
        connection::{connections::Connections, write::Socket},
        store::port::StorePort,
        time::{Clock, Moment},
    },
};

pub(crate) struct Parts<'a, S> {
    pub(crate) connections: &'a mut Connections<S>,
    pub(crate) store: &'a mut StorePort,
    pub(crate) directory: &'a Directory,
    pub(crate) random: &'a mut fastrand::Rng,
    /// Measures the cost of flushes.
    pub(crate) clock: &'a dyn Clock,
    pub(crate) now: Moment,
}

impl<S: Socket> Parts<'_, S> {
    pub(crate) fn reply(&mut self, id: SessionId, request: RequestId, reply: &Reply) {
        self.connections.reply(id, request, reply, self.now);
    }

    pub(crate) fn refuse(&mut self, id: SessionId, request: RequestId, refusal: Refusal) {
        self.reply(id, request, &Reply::Error(refusal));
    }

    pub(crate) fn goodbye(&mut self, id: SessionId, code: GoodbyeCode) {
        self.connections.goodbye(id, None, code, self.now);
    }

    /// How a connection's dialect shows missed messages; `None` if the connection has ended or is closing.
    pub(crate) fn lag_policy(&self, id: SessionId) -> Option<LagPolicy> {
        self.connections.profile(id).map(|profile| profile.lag)
    }
}
