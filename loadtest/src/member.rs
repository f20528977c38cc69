//! One member on tokio for the goose scenarios: connects, sends messages, and measures the time of their echoes.
//!
//! A separate task reads, so that pings get answers and nothing accumulates while the user thinks, and so that the time of an echo is its
//! arrival.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use plaza_client::RawSocket;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    dialect::Dialect,
    frame::Opcode,
    limits,
    marker::{self, MARKER_BYTES, Marker},
};

/// Set in the sender of a message that listeners measure.
pub const ANNOUNCEMENT: u32 = 1 << 23;

#[derive(Debug)]
pub struct Member {
    dialect: Dialect,
    name: String,
    room: String,
    sender: u32,
    seq: u32,
    socket: Arc<RawSocket>,
    heard: mpsc::Receiver<Heard>,
    reader: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Heard {
    Ready,
    Own(u32, Instant),
    Announcement(Duration),
}

impl Member {
    /// Connects and enters the room. `path`: `None` for the dialect's own.
    pub async fn enter(
        address: SocketAddr,
        path: Option<&str>,
        dialect: Dialect,
        name: &str,
        room: &str,
    ) -> Result<Self, String> {
        let entering = Self::enter_unbounded(address, path, dialect, name, room);
        timeout(limits::MEMBER_TIME, entering)
            .await
            .map_err(|_| "could not enter the room in time".to_owned())?
    }

    async fn enter_unbounded(
        address: SocketAddr,
        path: Option<&str>,
        dialect: Dialect,
        name: &str,
        room: &str,
    ) -> Result<Self, String> {
        let path = path.map_or_else(|| dialect.path(room), str::to_owned);
        let socket = dialect.client(address, &path, name).connect().await;
        let socket = Arc::new(socket.map_err(|error| error.to_string())?);
        let (events, heard) = mpsc::channel(limits::HEARD_AT_ONCE);
        let sender = fastrand::u32(..ANNOUNCEMENT);
        let reader = Reader {
            dialect,
            sender,
            events,
            socket: Arc::clone(&socket),
        };
        let reader = tokio::spawn(reader.run());
        let (name, room) = (name.to_owned(), room.to_owned());
        let mut member = Self {
            dialect,
            name,
            room,
            sender,
            seq: 0,
            socket,
            heard,
            reader,
        };
        let opening = dialect.opening(&member.name, &member.room);
        if opening.is_empty() {
            return Ok(member);
        }
        for message in opening {
            member.send(&message).await?;
        }
        loop {
            match member.heard.recv().await {
                Some(Heard::Ready) => return Ok(member),
                Some(Heard::Own(..) | Heard::Announcement(_)) => {}
                None => return Err("the server ended the connection before the room was entered".to_owned()),
            }
        }
    }

    /// Sends a message of this size and waits for its echo; returns the time that took.
    pub async fn talk(&mut self, text_bytes: usize) -> Result<Duration, String> {
        self.say(self.sender, text_bytes).await
    }

    /// Like [`Member::talk`], and every listener measures it.
    pub async fn announce(&mut self, text_bytes: usize) -> Result<Duration, String> {
        self.say(self.sender | ANNOUNCEMENT, text_bytes).await
    }

    /// Waits for an announcement; returns its latency. `None`: none arrived in this time.
    pub async fn listen(&mut self, patience: Duration) -> Result<Option<Duration>, String> {
        let hearing = async {
            loop {
                match self.heard.recv().await {
                    Some(Heard::Announcement(age)) => return Ok(age),
                    Some(Heard::Ready | Heard::Own(..)) => {}
                    None => return Err("the server ended the connection".to_owned()),
                }
            }
        };
        timeout(patience, hearing).await.ok().transpose()
    }

    async fn say(&mut self, sender: u32, text_bytes: usize) -> Result<Duration, String> {
        let started = Instant::now();
        let marker = Marker {
            sender,
            seq: self.seq,
            at_ns: clock_ns(),
        };
        self.seq += 1;
        let mut message = Vec::new();
        self.dialect
            .talk(&mut message, &self.name, &self.room, &marker.text(text_bytes));
        self.send(&message).await?;
        let echo = async {
            loop {
                match self.heard.recv().await {
                    Some(Heard::Own(seq, at)) if seq == marker.seq => return Ok(at.duration_since(started)),
                    Some(Heard::Own(..) | Heard::Ready | Heard::Announcement(_)) => {}
                    None => return Err("the server ended the connection".to_owned()),
                }
            }
        };
        timeout(limits::MEMBER_TIME, echo)
            .await
            .map_err(|_| "the echo did not arrive in time".to_owned())?
    }

    async fn send(&self, message: &[u8]) -> Result<(), String> {
        let sent = match self.dialect.opcode() {
            Opcode::Text => self.socket.send_text_bytes(message).await,
            _ => self.socket.send_binary(message).await,
        };
        sent.map_err(|error| error.to_string())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Reader {
    dialect: Dialect,
    sender: u32,
    events: mpsc::Sender<Heard>,
    socket: Arc<RawSocket>,
}

impl Reader {
    /// Reads until the connection ends or the receiver is dropped; either way it drops `events`, which ends the channel.
    async fn run(self) {
        let mut ready = false;
        while let Ok(payload) = self.socket.next_payload().await
            && self.message(&payload, &mut ready).await
        {}
    }

    /// Returns whether the receiver still exists.
    async fn message(&self, payload: &[u8], ready: &mut bool) -> bool {
        let start = marker::find(payload).filter(|_| !self.dialect.is_reply(payload));
        let text = start
            .and_then(|start| payload.get(start..))
            .and_then(|text| text.first_chunk::<MARKER_BYTES>());
        let Some(marker) = text.and_then(Marker::parse) else {
            if !*ready && self.dialect.is_ready(payload) {
                *ready = true;
                return self.events.send(Heard::Ready).await.is_ok();
            }
            return true;
        };
        if marker.sender & !ANNOUNCEMENT == self.sender {
            // Never lost: its member waits for it, and has emptied the queue up to here.
            return self.events.send(Heard::Own(marker.seq, Instant::now())).await.is_ok();
        }
        if marker.sender & ANNOUNCEMENT != 0 {
            let age = Duration::from_nanos(clock_ns().saturating_sub(marker.at_ns));
            // If the queue is full, the user is not listening and misses the announcement.
            let _ = self.events.try_send(Heard::Announcement(age));
        }
        !self.events.is_closed()
    }
}

/// Nanoseconds on the clock that all members of this process share.
fn clock_ns() -> u64 {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{floor::Floor, saboteur::Sabotage};

    #[tokio::test]
    async fn a_member_has_its_own_echo_and_listeners_hear_announcements() {
        let floor = Floor::bind("127.0.0.1:0".parse().unwrap(), Sabotage::default()).unwrap();
        let address = floor.address().unwrap();
        std::thread::spawn(|| floor.run());
        let mut speaker = Member::enter(address, None, Dialect::Raw, "ann", "hall").await.unwrap();
        let mut listener = Member::enter(address, None, Dialect::Raw, "ben", "hall").await.unwrap();
        let mut elsewhere = Member::enter(address, None, Dialect::Raw, "eve", "yard").await.unwrap();
        speaker.talk(64).await.unwrap();
        speaker.announce(64).await.unwrap();
        assert!(listener.listen(limits::MEMBER_TIME).await.unwrap().is_some());
        elsewhere.talk(64).await.unwrap();
        assert_eq!(elsewhere.listen(Duration::from_millis(1)).await.unwrap(), None);
    }
}
