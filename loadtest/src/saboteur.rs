//! Deliberate faults, to show that the audit can fail: made by the floor itself, or by a proxy in front of a real server.
//!
//! The proxy reads the server's frames, counts those with a message over all members, and drops, duplicates, swaps, tears or changes one in
//! *n*. Everything else passes unchanged.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    frame::{self, From, Opcode, Scan},
    limits, marker,
};

/// The rates of faults, counted in deliveries over all members.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Sabotage {
    /// Drops one delivery in this many.
    #[arg(long)]
    pub drop_one_in: Option<u64>,
    /// Duplicates one delivery in this many.
    #[arg(long)]
    pub duplicate_one_in: Option<u64>,
    /// Swaps one delivery in this many with the next one.
    #[arg(long)]
    pub swap_one_in: Option<u64>,
    /// Sends only half the bytes of one delivery in this many.
    #[arg(long)]
    pub tear_one_in: Option<u64>,
    /// Changes the last byte of one delivery in this many.
    #[arg(long)]
    pub flip_one_in: Option<u64>,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Right,
    Drop,
    Twice,
    Swap,
    Tear,
    Flip,
}

impl Sabotage {
    /// The fault for the delivery with this number, counted from 1.
    pub fn deed(&self, number: u64) -> Deed {
        let hit = |one_in: Option<u64>| one_in.is_some_and(|count| number.is_multiple_of(count.max(1)));
        [
            (self.drop_one_in, Deed::Drop),
            (self.duplicate_one_in, Deed::Twice),
            (self.swap_one_in, Deed::Swap),
            (self.tear_one_in, Deed::Tear),
            (self.flip_one_in, Deed::Flip),
        ]
        .into_iter()
        .find_map(|(one_in, deed)| hit(one_in).then_some(deed))
        .unwrap_or(Deed::Right)
    }
}

/// Changes the last byte of a frame, which stays a valid frame.
pub fn flip(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}

/// Runs the proxy in front of a server until the process ends.
pub async fn stand_before(listener: TcpListener, server: SocketAddr, sabotage: Sabotage) -> io::Result<()> {
    let deliveries = Arc::new(AtomicU64::new(0));
    loop {
        let (client, _) = listener.accept().await?;
        let deliveries = Arc::clone(&deliveries);
        tokio::spawn(async move {
            // The end of one side ends the other: both halves are dropped here.
            let Ok(server) = TcpStream::connect(server).await else {
                return;
            };
            // If the system refuses, the proxy is only slower.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                _ = tamper(from_server, to_client, sabotage, &deliveries) => {}
            }
        });
    }
}

async fn tamper(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    sabotage: Sabotage,
    deliveries: &AtomicU64,
) -> io::Result<()> {
    let (mut inbox, mut out) = (Vec::new(), Vec::new());
    let (mut upgraded, mut held) = (false, None::<Vec<u8>>);
    loop {
        if from.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        if !upgraded {
            let Some(end) = memchr::memmem::find(&inbox, b"\r\n\r\n") else {
                if inbox.len() > limits::RESPONSE_HEAD_BYTES {
                    return Ok(());
                }
                continue;
            };
            used = end + 4;
            out.extend_from_slice(inbox.get(..used).unwrap_or_default());
            upgraded = true;
        }
        while let Some(rest) = inbox.get(used..)
            && let Scan::Frame(found) = frame::scan(rest, From::Server)
        {
            let bytes = rest.get(..found.payload.end).unwrap_or_default();
            let payload = rest.get(found.payload.clone()).unwrap_or_default();
            let is_talk = matches!(found.opcode, Opcode::Text | Opcode::Binary) && marker::find(payload).is_some();
            let number = || deliveries.fetch_add(1, Relaxed) + 1;
            let deed = if is_talk { sabotage.deed(number()) } else { Deed::Right };
            match deed {
                Deed::Drop => {}
                Deed::Twice => out.extend_from_slice(&[bytes, bytes].concat()),
                Deed::Swap if held.is_none() => held = Some(bytes.to_vec()),
                Deed::Tear => out.extend_from_slice(bytes.get(..bytes.len() / 2).unwrap_or_default()),
                Deed::Flip => {
                    out.extend_from_slice(bytes);
                    flip(&mut out);
                }
                Deed::Swap | Deed::Right => {
                    out.extend_from_slice(bytes);
                    if is_talk {
                        out.append(&mut held.take().unwrap_or_default());
                    }
                }
            }
            used += found.payload.end;
        }
        inbox.drain(..used);
        to.write_all(&out).await?;
        out.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deed_in_so_many_is_done() {
        let sabotage = Sabotage {
            drop_one_in: Some(4),
            flip_one_in: Some(3),
            ..Sabotage::default()
        };
        use Deed::{Drop, Flip, Right};
        let deeds = [1, 2, 3, 4, 5, 6].map(|number| sabotage.deed(number));
        assert_eq!(deeds, [Right, Right, Flip, Drop, Right, Flip]);
    }
}
