//! The floor: the least that a server must do to fan out, as the baseline for all others.
//!
//! One thread with blocking sockets answers the upgrade, reads a sender's frame, and calls `send()` with the same bytes, unmasked, once per
//! member. Connections with the same path are in the same room. The floor speaks no dialect, stores nothing and has no protection: a
//! member that does not read stops everybody.
//!
//! Options make it fail on purpose, to test the audit.

use std::{
    collections::HashMap,
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};
use sha1::{Digest, Sha1};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    frame::{self, From, Opcode, Scan},
    limits,
    saboteur::{Deed, Sabotage, flip},
};

#[derive(Debug)]
pub struct Floor {
    listener: TcpListener,
    poll: Poll,
    conns: HashMap<usize, Conn>,
    rooms: HashMap<Arc<str>, Vec<usize>>,
    next: usize,
    sabotage: Sabotage,
    /// Answers the upgrade and does nothing more: the least cost of accepting connections.
    accept_only: bool,
    deliveries: u64,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    inbox: Vec<u8>,
    room: Option<Arc<str>>,
    held: Option<Vec<u8>>,
}

const LISTENER: Token = Token(0);
const UPGRADE_SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Floor {
    pub fn bind(address: SocketAddr, sabotage: Sabotage) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
        let (conns, rooms) = (HashMap::new(), HashMap::new());
        Ok(Self {
            listener,
            poll,
            conns,
            rooms,
            next: 1,
            sabotage,
            accept_only: false,
            deliveries: 0,
        })
    }

    /// Answers the upgrade and does nothing more.
    pub fn accept_only(mut self, accept_only: bool) -> Self {
        self.accept_only = accept_only;
        self
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Err(error) = self.poll.poll(&mut events, None) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(id) => self.read(id, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(limits::FLOOR_WRITE_TIME))?;
            let id = self.next;
            self.next += 1;
            self.poll
                .registry()
                .register(&mut SourceFd(&stream.as_raw_fd()), Token(id), Interest::READABLE)?;
            self.conns.insert(
                id,
                Conn {
                    stream,
                    inbox: Vec::new(),
                    room: None,
                    held: None,
                },
            );
        }
    }

    fn read(&mut self, id: usize, buffer: &mut [u8]) {
        while let Some(conn) = self.conns.get_mut(&id) {
            // The socket is blocking, for `send()`; a read must not block.
            let received = rustix::net::recv(&conn.stream, &mut *buffer, rustix::net::RecvFlags::DONTWAIT);
            match received {
                Ok((_, 0)) => return self.remove(id),
                Ok((_, count)) => {
                    conn.inbox.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if conn.inbox.len() > limits::FLOOR_MESSAGE_BYTES || !self.take_in(id) {
                        return self.remove(id);
                    }
                    if count < buffer.len() {
                        return;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => return self.remove(id),
            }
        }
    }

    /// Handles the whole frames from `id`; returns whether the connection stays open.
    fn take_in(&mut self, id: usize) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else {
            return false;
        };
        let mut inbox = std::mem::take(&mut conn.inbox);
        let mut used = 0;
        if conn.room.is_none() {
            let Some(end) = memchr::memmem::find(&inbox, b"\r\n\r\n") else {
                conn.inbox = inbox;
                return true;
            };
            let head = String::from_utf8_lossy(inbox.get(..end).unwrap_or_default()).into_owned();
            let Some((path, answer)) = answer(&head) else {
                return false;
            };
            if conn.stream.write_all(answer.as_bytes()).is_err() {
                return false;
            }
            if self.accept_only {
                return true;
            }
            let room: Arc<str> = path.into();
            conn.room = Some(Arc::clone(&room));
            self.rooms.entry(room).or_default().push(id);
            used = end + 4;
        }
        let mut out = Vec::new();
        loop {
            let rest = inbox.get_mut(used..).unwrap_or_default();
            let found = match frame::scan(rest, From::Client) {
                Scan::Frame(found) => found,
                Scan::Partial(_) => break,
                Scan::Torn(_) => return false,
            };
            used += found.payload.end;
            let payload = rest.get_mut(found.payload).unwrap_or_default();
            frame::unmask(payload, found.mask.unwrap_or_default());
            out.clear();
            match found.opcode {
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    frame::write(&mut out, found.opcode, payload, None);
                    self.fan_out(id, &out);
                }
                Opcode::Ping | Opcode::Close => {
                    let answer = if found.opcode == Opcode::Ping {
                        Opcode::Pong
                    } else {
                        Opcode::Close
                    };
                    frame::write(&mut out, answer, payload, None);
                    let Some(conn) = self.conns.get_mut(&id) else {
                        return false;
                    };
                    if conn.stream.write_all(&out).is_err() || answer == Opcode::Close {
                        return false;
                    }
                }
                Opcode::Pong => {}
            }
        }
        inbox.drain(..used);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.inbox = inbox;
        }
        true
    }

    fn fan_out(&mut self, from: usize, bytes: &[u8]) {
        let room = self.conns.get(&from).and_then(|conn| conn.room.clone());
        let members = room.and_then(|room| self.rooms.get(&room));
        let mut gone = Vec::new();
        for id in members.into_iter().flatten() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            self.deliveries += 1;
            let sent = match self.sabotage.deed(self.deliveries) {
                Deed::Drop => Ok(()),
                Deed::Twice => conn.stream.write_all(&[bytes, bytes].concat()),
                Deed::Swap if conn.held.is_none() => {
                    conn.held = Some(bytes.to_vec());
                    Ok(())
                }
                Deed::Tear => conn.stream.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default()),
                Deed::Flip => {
                    let mut bytes = bytes.to_vec();
                    flip(&mut bytes);
                    conn.stream.write_all(&bytes)
                }
                Deed::Swap | Deed::Right => {
                    let first = conn.stream.write_all(bytes);
                    match conn.held.take() {
                        Some(held) => first.and_then(|()| conn.stream.write_all(&held)),
                        None => first,
                    }
                }
            };
            if sent.is_err() {
                gone.push(*id);
            }
        }
        for id in gone {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: usize) {
        let Some(conn) = self.conns.remove(&id) else { return };
        // Closing removes it from the poll in any case.
        let _ = self.poll.registry().deregister(&mut SourceFd(&conn.stream.as_raw_fd()));
        if let Some(room) = conn.room
            && let Some(members) = self.rooms.get_mut(&room)
        {
            members.retain(|member| *member != id);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

/// The path of an upgrade request and the answer to it; `None` if it is not one.
fn answer(head: &str) -> Option<(String, String)> {
    let path = head.strip_prefix("GET ")?.split(' ').next()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let key = lines
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?
        .1
        .trim();
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{UPGRADE_SALT}")));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Some((path.to_owned(), answer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dialect::{Dialect, UPGRADE_ACCEPT};

    #[test]
    fn the_upgrade_is_answered_as_the_rfc_says() {
        let (path, answer) = answer(&Dialect::Raw.request("h", "/a", "ann")).unwrap();
        assert_eq!(path, "/a");
        assert!(answer.contains(UPGRADE_ACCEPT));
        assert!(super::answer("POST / HTTP/1.1").is_none());
    }
}
