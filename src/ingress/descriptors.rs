//! Divides the limit of open files among clients, the admin listener and the rest of the server.
//!
//! Invariant: clients never take the last descriptors. Without a free one, health checks fail and a supervisor restarts the server;
//! the store fails, because it opens files as it needs them; and logs cannot begin a new file.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::limits;

/// The shares of the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Connections of clients, those in their handshake included.
    pub(crate) connections: usize,
    /// Connections to the admin listener.
    pub(crate) admin: usize,
}

impl Descriptors {
    /// The shares of this process, with this many shards and listeners.
    pub(crate) fn of_process(shards: usize, listeners: usize) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        Self::shared_out(limit, open.max(own(shards, listeners)))
    }

    fn shared_out(limit: usize, open: usize) -> Self {
        // Even with a tiny limit the server serves some clients.
        let reserved = limits::DESCRIPTORS_RESERVED.min(limit / 4);
        Self {
            connections: limit.saturating_sub(open).saturating_sub(reserved).max(1),
            admin: (reserved * 2 / 3).clamp(1, limits::ADMIN_CONNECTIONS),
        }
    }
}

/// Descriptors of the server itself. Counting the open ones at the start would miss some: new threads open theirs later, and the store
/// opens some with its first query.
fn own(shards: usize, listeners: usize) -> usize {
    limits::DESCRIPTORS_OWN + limits::DESCRIPTORS_OF_SHARD * shards + listeners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_health_store_and_logs() {
        let shared = Descriptors::shared_out(1024, 40);
        assert_eq!((shared.connections, shared.admin), (1024 - 40 - 96, 64));
        let small = Descriptors::shared_out(100, 40);
        assert_eq!((small.connections, small.admin), (35, 16));
        assert_eq!(Descriptors::shared_out(10, 40).connections, 1);
        assert!(Descriptors::shared_out(usize::MAX, 40).connections > 1 << 40);
    }
}
