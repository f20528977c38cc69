//! What one member is sent: batches of consecutive events, shared by all members at the same cursor.
//!
//! A write that breaks off leaves the rest of one event with the connection, and the cursor behind that event: what follows
//! stays in the ring, uncopied.

use bytes::{Bytes, BytesMut};

use super::{
    members::Member,
    ring::{Batch, Content, Ring},
};
use crate::{
    chat::local,
    codec::Encoding,
    limits,
    shard::{connection::state::Connection, connection::write::Socket},
};

/// What became of a member's delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It has everything.
    All,
    /// Its socket is full.
    Full,
    /// Its peer is gone.
    Dead,
    /// The ring has dropped events at its cursor.
    Lagged,
}

/// How much members were sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    /// Events, once for each member.
    pub(super) events: u64,
}

/// The batches of the walk at hand.
#[derive(Debug, Default)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    /// Frames that hold the name of their receiver, while they are written; at most [`limits::BATCH_BYTES`] and one event.
    scratch: BytesMut,
}

impl Batches {
    /// Forgets them: the ring is about to change, or another one comes.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// Bytes of the largest one.
    pub(super) fn largest(&self) -> usize {
        self.batches.iter().map(Batch::bytes).max().unwrap_or(0)
    }

    /// Writes to one member what it has not been sent, up to `end`.
    pub(super) fn deliver<S: Socket>(
        &mut self,
        ring: &Ring,
        member: &mut Member,
        connection: &mut Connection<S>,
        end: u64,
        now_ms: u64,
        sent: &mut Sent,
    ) -> Delivered {
        // A connection that is being closed is sent nothing more.
        let Some(encoding) = connection.encoding() else {
            return Delivered::All;
        };
        while member.cursor < end {
            if member.cursor < ring.base() {
                return Delivered::Lagged;
            }
            let batch = batch_for(&mut self.batches, ring, encoding, member.cursor, end);
            let session = connection.session();
            let receiver = session.map_or("", |session| local(session.name.as_str()));
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

/// The batch for a member with this encoding at this cursor: one that another such member was sent, or a new one.
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
