//! The whole server: starts all parts in order, watches them, and stops them in order.
//!
//! Invariants: the server accepts clients only while every other part runs. When it stops, the listeners close first, then the shards,
//! then the store and the logs, so that it never accepts what it can no longer store. Every thread and task is watched; if a vital one
//! ends, the server ends with one sentence as the reason. This module never handles a message: it only connects the parts.

mod drain;
mod settings;
mod shard_thread;
mod start;
mod store;
mod supervise;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    admin::AdminThread,
    chat::{RoomName, UserName},
    config::Config,
    history::History,
    ingress::{Acceptor, Site},
    observe::{MessageLogThread, Readiness, RotationControl, Watch},
    shard::{Shards, Ticket},
};
pub use settings::log_settings;
use shard_thread::ShardThread;

/// A running server. [`Server::drain`] ends it in order; dropping it ends it at once.
pub struct Server {
    addresses: Vec<SocketAddr>,
    readiness: Arc<Readiness>,
    shards: Arc<Shards>,
    site: Arc<Site>,
    acceptor: Acceptor,
    admin: Option<AdminThread>,
    threads: Vec<ShardThread>,
    message_log: Option<MessageLogThread>,
    message_file: Option<Arc<RotationControl>>,
    history: Option<History<Ticket>>,
    watches: Vec<Watch>,
    drain_timeout: Duration,
}

impl Server {
    /// The bound addresses for clients, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// Connections, including those in their handshake.
    pub fn connections(&self) -> usize {
        self.shards.connections()
    }

    /// Sends a system message to all members of a room. `false`: the owner's inbox is full, and the message was not sent.
    pub fn say_to_room(&self, room: &RoomName, text: &str) -> bool {
        self.shards.say_to_room(room.clone(), text.into())
    }

    /// Sends a system message to all sessions of a user. `false`: an inbox is full, and some sessions do not get it.
    pub fn say_to_user(&self, user: &UserName, text: &str) -> bool {
        self.shards.say_to_user(user, &text.into())
    }

    /// Reopens the message log by name, after another program has moved its file.
    pub fn reopen_logs(&self) {
        if let Some(file) = &self.message_file {
            file.reopen();
        }
    }

    /// Applies the settings that may change while the server runs.
    pub fn reconfigure(&mut self, config: &Config) {
        if let Some(file) = &self.message_file {
            file.set_rotation(settings::rotation(config));
        }
        self.site.http.store(Arc::new(config.http.clone()));
        // Relaxed: no other data depends on it.
        self.site
            .legacy_pages
            .store(config.chat.legacy_pages, Ordering::Relaxed);
        self.shards.settings.message_rate.set(settings::message_rate(config));
        if let Some(history) = &self.history {
            history.set_retention(settings::retention(config));
        }
        self.drain_timeout = config.server.drain_timeout;
    }
}
