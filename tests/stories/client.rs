//! A WebSocket client that sends whatever it is told, valid or not, and shows every frame it gets. Blocking: tests read like
//! the story they tell.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

/// What comes from a server, but pings, which are answered, and pongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Close(u16, String),
    /// The end of the stream.
    End,
}

/// One connection. Dropping it ends the connection without a close frame.
pub struct Client {
    stream: TcpStream,
    /// What was read; up to `taken` it has been looked at.
    bytes: Vec<u8>,
    taken: usize,
    /// A pong has come.
    ponged: bool,
}

/// An answer that is not 101.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub text: String,
}

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Longest wait for a frame that must come.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to a path, which may hold any bytes, as may the headers' values.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Self {
        Self::try_open(address, path, headers).unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    pub fn try_open(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Self, Refused> {
        Self::over(TcpStream::connect(address).unwrap(), address, path, headers)
    }

    /// With a receive buffer so small that the server notices soon when nothing is read.
    pub fn open_narrow(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into(), address, path, headers).unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    fn over(stream: TcpStream, address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Self, Refused> {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            stream,
            bytes: Vec::new(),
            taken: 0,
            ponged: false,
        };
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
        )
        .into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        client.stream.write_all(&request).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match client.byte() {
                Some(byte) => head.push(byte),
                None => {
                    return Err(Refused {
                        status: 0,
                        text: String::new(),
                    });
                }
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 101 {
            return Ok(client);
        }
        let length = head
            .to_lowercase()
            .split("content-length:")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok())
            .unwrap_or(0);
        let body: Vec<u8> = (0..length).map_while(|_| client.byte()).collect();
        Err(Refused {
            status,
            text: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    pub fn text(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    pub fn binary(&mut self, payload: &[u8]) {
        self.frame(BINARY, payload);
    }

    /// One unfragmented, masked frame.
    pub fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.raw(&frame(0x80 | opcode, payload));
    }

    /// Any bytes. The server may have closed already: then they go nowhere.
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => panic!("nothing can be sent: {error}"),
        }
    }

    /// What comes next; panics when nothing does.
    pub fn hear(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.hear_or_pong() {
                return heard;
            }
        }
    }

    /// One frame; `None` for a ping, which is answered, or a pong.
    fn hear_or_pong(&mut self) -> Option<Heard> {
        let Some(first) = self.byte() else {
            return Some(Heard::End);
        };
        assert_eq!(first & 0xF0, 0x80, "the server neither fragments nor uses extensions");
        let second = self.byte().expect("a torn frame");
        assert_eq!(second & 0x80, 0, "the server never masks");
        let length = match second {
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()) as usize,
            126 => usize::from(u16::from_be_bytes(self.take(2).try_into().unwrap())),
            short => usize::from(short),
        };
        let payload = self.take(length);
        match first & 0x0F {
            TEXT => return Some(Heard::Text(String::from_utf8(payload).expect("text is UTF-8"))),
            BINARY => return Some(Heard::Binary(payload)),
            CLOSE if payload.is_empty() => return Some(Heard::Close(1005, String::new())),
            CLOSE => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return Some(Heard::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap()));
            }
            PING => self.frame(PONG, &payload),
            PONG => self.ponged = true,
            other => panic!("a frame with opcode {other}"),
        }
        None
    }

    /// Everything until the end of the stream.
    pub fn hear_all(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            match self.hear() {
                Heard::End => return all,
                heard => all.push(heard),
            }
        }
    }

    /// Everything that came before the answer to a ping.
    pub fn hear_until_pong(&mut self) -> Vec<Heard> {
        self.frame(PING, b"now");
        let mut heard = Vec::new();
        while !std::mem::take(&mut self.ponged) {
            match self.hear_or_pong() {
                Some(Heard::End) => break,
                Some(other) => heard.push(other),
                None => {}
            }
        }
        heard
    }

    /// Breaks the connection: the server gets a reset.
    pub fn hang_up(&mut self) {
        // Closed with unread bytes or a linger of zero, a socket sends RST.
        let socket = socket2::SockRef::from(&self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.bytes.len() - self.taken < count {
            assert!(self.fill(), "a torn frame");
        }
        let taken = self.bytes[self.taken..self.taken + count].to_vec();
        self.taken += count;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        if self.taken == self.bytes.len() && !self.fill() {
            return None;
        }
        self.taken += 1;
        Some(self.bytes[self.taken - 1])
    }

    /// Reads more; whether there was any.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        let read = match self.stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came in {PATIENCE:?}: {error}"),
        };
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(&buffer[..read]);
        read > 0
    }
}

/// A masked frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x1B, 0xAD, 0xBE, 0xEF];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
