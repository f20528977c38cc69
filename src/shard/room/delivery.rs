//! Writes batches of consecutive events to one member at a time. Members with the same cursor and encoding share a batch.
//!
//! Invariant: after a partial write the connection holds the rest of one event, and the cursor points behind that event. Later
//! events stay in the ring and are not copied.

use bytes::{Bytes, BytesMut};

use super::{
    members::Member,
    ring::{Batch, Content, Ring},
};
use crate::{
    chat::{SessionId, local},
    codec::Encoding,
    limits,
    shard::{connection::state::Connection, connection::write::Socket, ids::RoomSlot},
};

/// The result of a delivery to one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The member has all events.
    All,
    /// Its socket is full.
    Full,
    /// Its socket failed.
    Dead,
    /// The ring no longer has the event at its cursor.
    Lagged,
}

/// Why a walk could not deliver everything to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryFailure {
    /// Its socket is full.
    Full(SessionId),
    /// Its socket failed.
    Dead(SessionId),
    /// It is a slow consumer: the ring no longer has the event at its cursor.
    Lagged(SessionId, RoomSlot),
}

/// How much was written to members.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// Deliveries: events times the members that got them.
    pub(super) events: u64,
}

/// The batches of the current walk.
#[derive(Debug, Default)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    /// Reused for frames that contain the receiver's name; at most [`limits::BATCH_BYTES`] and one event.
    scratch: BytesMut,
}

impl Batches {
    /// Call it before the ring changes and before a walk over another ring.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// Bytes of the largest batch.
    pub(super) fn largest(&self) -> usize {
        self.batches.iter().map(Batch::bytes).max().unwrap_or(0)
    }

    /// Writes to one member the events from its cursor to `end`.
    pub(super) fn deliver<S: Socket>(
        &mut self,
        ring: &Ring,
        member: &mut Member,
        connection: &mut Connection<S>,
        end: u64,
        now_ms: u64,
        sent: &mut Sent,
    ) -> Delivered {
        // The connection is being closed and gets nothing more.
        let Some(encoding) = connection.encoding() else {
            return Delivered::All;
        };
        while member.cursor < end {
            if member.cursor < ring.base() {
                return Delivered::Lagged;
            }
            let batch = batch_for(&mut self.batches, ring, encoding, member.cursor, end);
            let session = connection.session();
            let receiver = session.map_or("", |session| local(session.name().as_str()));
            let bytes: &[u8] = match &batch.content {
                Content::Shared(bytes) => bytes,
                Content::Addressed { .. } => {
                    ring.assemble(batch, receiver, &mut self.scratch);
                    &self.scratch
                }
            };
            let written = if bytes.is_empty() {
                Ok(0)
            } else {
                connection.try_write(bytes)
            };
            match written {
                Ok(written) if written == bytes.len() => {
                    sent.bytes += written as u64;
                    sent.events += batch.upto - member.cursor;
                    member.cursor = batch.upto;
                    member.seq = batch.seq;
                }
                Ok(written) => {
                    sent.bytes += written as u64;
                    let (cursor, torn) = match &batch.content {
                        Content::Shared(_) => ring.tear(encoding, member.cursor, written),
                        Content::Addressed { .. } => {
                            let (cursor, left) = ring.tear_for(encoding, receiver, member.cursor, written);
                            let torn = bytes.get(written..written + left).unwrap_or_default();
                            (cursor, Bytes::copy_from_slice(torn))
                        }
                    };
                    sent.events += cursor - member.cursor;
                    member.cursor = cursor;
                    member.seq = ring.seq_before(cursor);
                    connection.tear(torn, now_ms);
                    return Delivered::Full;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    connection.tear(Bytes::new(), now_ms);
                    return Delivered::Full;
                }
                Err(_) => return Delivered::Dead,
            }
        }
        Delivered::All
    }
}

/// The batch for members with this encoding at this cursor; made for the first of them.
fn batch_for<'a>(batches: &'a mut Vec<Batch>, ring: &Ring, encoding: Encoding, cursor: u64, end: u64) -> &'a Batch {
    let known = batches
        .iter()
        .position(|batch| batch.encoding == encoding && batch.from == cursor);
    let place = match known {
        Some(place) => place,
        None => {
            if batches.len() >= limits::BATCHES_PER_FLUSH {
                batches.pop();
            }
            batches.push(ring.batch(encoding, cursor, end));
            batches.len() - 1
        }
    };
    &batches[place]
}
