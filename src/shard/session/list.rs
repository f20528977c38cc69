//! The connections of a shard as the operator sees them.

use std::time::Duration;

use crate::{
    chat::{ConnectionSlot, UserId},
    shard::{bus::operator::SessionEntry, connection::connections::Connections, room::rooms::Rooms},
};

/// The first `limit` connections from this slot on that have a dialect; only those of `user`, if there is one.
pub(crate) fn entries<S>(
    connections: &Connections<S>,
    rooms: &Rooms,
    slot: ConnectionSlot,
    user: Option<&UserId>,
    limit: usize,
    now_ms: u64,
) -> Vec<SessionEntry> {
    let since = |then: u64| Duration::from_millis(now_ms.saturating_sub(then));
    let from = connections.iter().skip_while(|(id, _)| id.slot() < slot);
    from.filter_map(|(id, connection)| {
        let speaking = connection.speaking()?;
        let session = connection.session();
        if user.is_some_and(|user| session.is_none_or(|session| session.user() != user)) {
            return None;
        }
        Some(SessionEntry {
            id,
            user: session.map(|session| (session.name().clone(), session.tag())),
            dialect: speaking.dialect.name(),
            peer: speaking.peer,
            rooms: rooms.receiving(id).cloned().collect(),
            connected: since(connection.opened_ms()),
            quiet: since(connection.last_active_ms()),
        })
    })
    .take(limit)
    .collect()
}
