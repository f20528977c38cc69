//! A WebSocket over TCP: hyper makes the handshake, then one task reads and one writes.
//!
//! Callers await only channels, never a read or a write: dropping `read_frame` of fastwebsockets halfway loses the head of a frame, and
//! dropping a write halfway leaves a partial frame.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, WebSocketWrite, after_handshake_split,
    handshake,
};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming as Body,
    header::{CONNECTION, HOST, HeaderName, HeaderValue, UPGRADE},
};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinHandle,
};

use crate::error::{Closing, Error};

/// Default for the longest message of a server: a page of 200 of the longest texts, with every byte escaped.
pub(crate) const MESSAGE_BYTES: usize = 80 * 1024 * 1024;
/// Most messages that wait to be written. Above it callers wait; a pong is dropped, because a later one is enough.
const OUTGOING: usize = 64;
/// Most bytes of a refused handshake's body in the error.
const REFUSAL_BYTES: usize = 16 * 1024;

/// The address and the headers of a handshake.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) authority: String,
    pub(crate) path_and_query: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) message_bytes: usize,
}

/// What the reading task passes on.
pub(crate) enum Received {
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
}

/// Takes received messages, in order.
pub(crate) trait Sink: Send + 'static {
    /// Whether the socket answers pings.
    fn answers_pings(&self) -> bool {
        true
    }

    /// Takes one message; an error ends the connection.
    fn take(&mut self, received: Received) -> impl Future<Output = Result<(), Closing>> + Send;

    /// The connection has ended. This is the last call.
    fn end(&mut self, closing: Closing);
}

/// A frame to be written.
pub(crate) type Outgoing = (OpCode, Vec<u8>);

/// An open socket with its two tasks, which end when it is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
    pub(crate) subprotocol: Option<String>,
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
}

impl Target {
    /// Parses `ws://host:port/path?query` or `host:port`; `path` is the default.
    pub(crate) fn parse(url: &str, path: &str) -> Result<Self, Error> {
        let bad = |why: &str| Error::Config(format!("the address {url:?} {why}; give ws://host:port/path"));
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("ws://{url}")
        };
        let uri: Uri = url.parse().map_err(|fault| bad(&format!("cannot be read ({fault})")))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(bad("asks for TLS, which this client does not speak")),
            _ => return Err(bad("is not one of a WebSocket")),
        }
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        let authority = match authority.port_u16() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        let path_and_query = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("/") => path.to_owned(),
            Some(path) => path.to_owned(),
        };
        Ok(Self {
            authority,
            path_and_query,
            headers: Vec::new(),
            subprotocols: Vec::new(),
            message_bytes: MESSAGE_BYTES,
        })
    }
}

impl Socket {
    /// Connects, and passes everything that arrives to `sink`.
    pub(crate) async fn open(target: &Target, timeout: Duration, sink: impl Sink) -> Result<Self, Error> {
        let opening = async {
            let stream = TcpStream::connect(&target.authority).await?;
            stream.set_nodelay(true)?;
            upgrade(target, stream).await
        };
        let (stream, early, subprotocol) =
            tokio::time::timeout(timeout, opening)
                .await
                .map_err(|_| Error::Timeout {
                    waited_for: "the handshake",
                    waited: timeout,
                })??;
        let (read, write) = stream.into_split();
        let (mut read, write) = after_handshake_split(Early { early, read }, write, Role::Client);
        read.set_max_message_size(target.message_bytes.saturating_add(1));
        // The code below answers pings; fastwebsockets would hide them.
        read.set_auto_pong(false);
        let (outgoing, waiting) = mpsc::channel(OUTGOING);
        Ok(Self {
            reading: tokio::spawn(read_all(FragmentCollectorRead::new(read), outgoing.clone(), sink)),
            writing: tokio::spawn(write_all(write, waiting)),
            outgoing,
            subprotocol,
        })
    }

    /// Passes a frame to the writing task; waits while too many are queued. `false`: the connection has ended.
    pub(crate) async fn send(&self, opcode: OpCode, payload: Vec<u8>) -> bool {
        self.outgoing.send((opcode, payload)).await.is_ok()
    }

    /// Waits until the connection has ended on both sides.
    pub(crate) async fn ended(&mut self) {
        if !self.reading.is_finished() {
            let _ = (&mut self.reading).await;
        }
        if !self.writing.is_finished() {
            let _ = (&mut self.writing).await;
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}

async fn read_all(mut read: FragmentCollectorRead<Early>, outgoing: mpsc::Sender<Outgoing>, mut sink: impl Sink) {
    let closing = loop {
        // Echoes a close frame. If the queue is full the echo is lost: it could not be written anyway.
        let mut oblige = |frame: Frame<'_>| {
            let _ = outgoing.try_send((frame.opcode, frame.payload.to_vec()));
            std::future::ready(Ok::<(), WebSocketError>(()))
        };
        let frame = match read.read_frame(&mut oblige).await {
            Ok(frame) => frame,
            Err(fault) => break Closing::Broken(format!("the connection broke: {fault}")),
        };
        let payload = Bytes::from(frame.payload.to_vec());
        let taken = match frame.opcode {
            OpCode::Text => sink.take(Received::Text(payload)).await,
            OpCode::Binary => sink.take(Received::Binary(payload)).await,
            OpCode::Pong => sink.take(Received::Pong(payload)).await,
            OpCode::Ping => {
                if sink.answers_pings() {
                    let _ = outgoing.try_send((OpCode::Pong, payload.to_vec()));
                }
                sink.take(Received::Ping(payload)).await
            }
            OpCode::Close => break said_at_close(&payload),
            // The collector has joined these.
            OpCode::Continuation => Ok(()),
        };
        if let Err(closing) = taken {
            break closing;
        }
    };
    // Ends the writing task, which does not send this after the echo of a close frame.
    let _ = outgoing.try_send((OpCode::Close, 1002u16.to_be_bytes().to_vec()));
    sink.end(closing);
}

fn said_at_close(payload: &[u8]) -> Closing {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => Closing::Server {
            code: u16::from_be_bytes(*code),
            reason: String::from_utf8_lossy(reason).into_owned(),
        },
        None => Closing::Server {
            code: 1005,
            reason: String::new(),
        },
    }
}

async fn write_all(mut write: WebSocketWrite<OwnedWriteHalf>, mut waiting: mpsc::Receiver<Outgoing>) {
    while let Some((opcode, payload)) = waiting.recv().await {
        let last = opcode == OpCode::Close;
        let frame = Frame::new(true, opcode, None, Payload::Owned(payload));
        // A failed write also ends the reading task, which reports the reason.
        if write.write_frame(frame).await.is_err() || last {
            return;
        }
    }
}

// ------------------------------------------------------------------------------------------------------ the handshake

/// Returns the stream, the bytes that followed the answer, and the negotiated subprotocol.
async fn upgrade(target: &Target, stream: TcpStream) -> Result<(TcpStream, Bytes, Option<String>), Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Ends with the upgrade, or when `sender` is dropped.
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    let key = handshake::generate_key();
    let mut response = sender.send_request(request(target, &key)?).await.map_err(failed)?;
    let subprotocol = check(&mut response, target, &key).await?;
    let upgraded = hyper::upgrade::on(&mut response).await.map_err(failed)?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| Error::Handshake {
            status: 0,
            text: "the connection is not the one that was opened".to_owned(),
        })?;
    Ok((parts.io.into_inner(), parts.read_buf, subprotocol))
}

fn request(target: &Target, key: &str) -> Result<Request<Empty<Bytes>>, Error> {
    let mut request = Request::builder()
        .uri(&target.path_and_query)
        .header(HOST, &target.authority)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header("sec-websocket-key", key)
        .header("sec-websocket-version", "13");
    if !target.subprotocols.is_empty() {
        request = request.header("sec-websocket-protocol", target.subprotocols.join(", "));
    }
    for (name, value) in &target.headers {
        let bad = |fault: &dyn std::fmt::Display| Error::Config(format!("the header {name:?} cannot be sent: {fault}"));
        let value = HeaderValue::from_bytes(value).map_err(|fault| bad(&fault))?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|fault| bad(&fault))?;
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|fault| {
        Error::Config(format!(
            "the path {:?} cannot be asked for: {fault}",
            target.path_and_query
        ))
    })
}

/// RFC 6455 section 4.1, from "Once the client's opening handshake has been sent".
async fn check(response: &mut Response<Body>, target: &Target, key: &str) -> Result<Option<String>, Error> {
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = Limited::new(response.body_mut(), REFUSAL_BYTES).collect().await;
        let text = body.map_or_else(
            |fault| format!("its text cannot be read ({fault})"),
            |body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        );
        return Err(Error::Handshake {
            status: status.as_u16(),
            text,
        });
    }
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wrong = |text: String| Error::Handshake { status: 101, text };
    if !header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(wrong("the answer does not upgrade to a WebSocket".to_owned()));
    }
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{ACCEPT_SUFFIX}")));
    if header("sec-websocket-accept").map(str::trim) != Some(accept.as_str()) {
        return Err(wrong(
            "Sec-WebSocket-Accept is not the answer to this client's key".to_owned(),
        ));
    }
    match header("sec-websocket-protocol").map(str::trim) {
        None => Ok(None),
        Some(agreed) if target.subprotocols.iter().any(|offered| offered == agreed) => Ok(Some(agreed.to_owned())),
        Some(other) => Err(wrong(format!("the subprotocol {other:?} was not offered"))),
    }
}

fn failed(fault: hyper::Error) -> Error {
    Error::Handshake {
        status: 0,
        text: fault.to_string(),
    }
}

/// RFC 6455 section 1.3.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The reading half, after the bytes that hyper read beyond the answer.
struct Early {
    early: Bytes,
    read: OwnedReadHalf,
}

impl AsyncRead for Early {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.read).poll_read(context, into);
        }
        let take = self.early.len().min(into.remaining());
        into.put_slice(&self.early.split_to(take));
        Poll::Ready(Ok(()))
    }
}
