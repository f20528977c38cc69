//! A bare WebSocket: any path, any headers, any bytes.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use fastwebsockets::OpCode;
use tokio::sync::{Mutex, mpsc};

use crate::{
    error::{Closing, Error},
    socket::{Received, Sink, Socket, Target},
};

/// The configuration of a bare WebSocket.
#[derive(Debug, Clone)]
pub struct RawConfig {
    /// `ws://host:port/path?query`; the query is sent unchanged.
    pub url: String,
    /// Headers; values may have any bytes that HTTP allows.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Subprotocols to offer.
    pub subprotocols: Vec<String>,
    /// Whether the socket answers pings.
    pub answer_pings: bool,
    /// Timeout of connecting.
    pub timeout: Duration,
    /// The socket stops reading while this many messages wait.
    pub buffered_messages: usize,
}

/// A bare WebSocket. Dropping it ends the connection without a close frame.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    messages: Mutex<mpsc::Receiver<RawMessage>>,
    /// Set before the channel of messages ends.
    closing: Arc<OnceLock<Closing>>,
}

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawMessage {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// A ping; the socket has answered it, unless that is off.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
}

impl RawConfig {
    /// The defaults, for this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            answer_pings: true,
            timeout: Duration::from_secs(10),
            buffered_messages: 16 * 1024,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a subprotocol.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocols.push(subprotocol.into());
        self
    }

    /// Leaves pings unanswered.
    pub fn without_pongs(self) -> Self {
        Self {
            answer_pings: false,
            ..self
        }
    }

    /// Connects.
    pub async fn connect(self) -> Result<RawSocket, Error> {
        let mut target = Target::parse(&self.url, "/")?;
        target.headers = self.headers;
        target.subprotocols = self.subprotocols;
        let (sender, messages) = mpsc::channel(self.buffered_messages.max(1));
        let closing = Arc::new(OnceLock::new());
        let sink = Messages {
            sender,
            answer_pings: self.answer_pings,
            closing: closing.clone(),
        };
        Ok(RawSocket {
            socket: Socket::open(&target, self.timeout, sink).await?,
            messages: Mutex::new(messages),
            closing,
        })
    }
}

impl RawSocket {
    /// Connects with the defaults.
    pub async fn connect(url: impl Into<String>) -> Result<Self, Error> {
        RawConfig::new(url).connect().await
    }

    /// The negotiated subprotocol.
    pub fn subprotocol(&self) -> Option<&str> {
        self.socket.subprotocol.as_deref()
    }

    /// Sends a text message.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        self.send(OpCode::Text, text.into().into_bytes()).await
    }

    /// Sends bytes as a text message, UTF-8 or not.
    pub async fn send_text_bytes(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send(OpCode::Text, bytes.into()).await
    }

    /// Sends a binary message.
    pub async fn send_binary(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send(OpCode::Binary, bytes.into()).await
    }

    /// Sends a ping; at most 125 bytes.
    pub async fn send_ping(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send(OpCode::Ping, bytes.into()).await
    }

    /// The next message, in the order of the server. Dropping the future loses none.
    pub async fn next(&self) -> Result<RawMessage, Error> {
        match self.messages.lock().await.recv().await {
            Some(message) => Ok(message),
            None => Err(self.ended()),
        }
    }

    /// The next text or binary message, as bytes; skips pings and pongs.
    pub async fn next_payload(&self) -> Result<Bytes, Error> {
        loop {
            match self.next().await? {
                RawMessage::Text(text) => return Ok(text.into()),
                RawMessage::Binary(bytes) => return Ok(bytes),
                RawMessage::Ping(_) | RawMessage::Pong(_) => {}
            }
        }
    }

    /// Sends a close frame and continues to read: [`RawSocket::next`] returns the remaining messages, then how the connection ended.
    pub async fn close(&self, code: u16, reason: &str) -> Result<(), Error> {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        self.send(OpCode::Close, payload).await
    }

    /// Drops the connection without a close frame.
    pub fn abort(self) {}

    async fn send(&self, opcode: OpCode, payload: Vec<u8>) -> Result<(), Error> {
        if self.socket.send(opcode, payload).await {
            Ok(())
        } else {
            Err(self.ended())
        }
    }

    fn ended(&self) -> Error {
        Error::Closed(self.closing.get().cloned().unwrap_or(Closing::Here))
    }
}

struct Messages {
    sender: mpsc::Sender<RawMessage>,
    answer_pings: bool,
    closing: Arc<OnceLock<Closing>>,
}

impl Sink for Messages {
    fn answers_pings(&self) -> bool {
        self.answer_pings
    }

    async fn take(&mut self, received: Received) -> Result<(), Closing> {
        let message = match received {
            // fastwebsockets has checked that it is UTF-8.
            Received::Text(bytes) => RawMessage::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Received::Binary(bytes) => RawMessage::Binary(bytes),
            Received::Ping(bytes) => RawMessage::Ping(bytes),
            Received::Pong(bytes) => RawMessage::Pong(bytes),
        };
        self.sender.send(message).await.map_err(|_| Closing::Here)
    }

    fn end(&mut self, closing: Closing) {
        let _ = self.closing.set(closing);
    }
}
