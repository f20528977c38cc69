//! The client against a server that says exactly what each test wants.

#![allow(clippy::unwrap_used)]

use std::{future::Future, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket};
use plaza_client::{Client, Closing, Config, Error, Event, RawConfig, RawMessage, RawSocket, Request, Wire, proto};
use prost::Message as _;
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

// ------------------------------------------------------------------------------------------------------ tools

/// The server's side of one connection.
struct Peer {
    stream: TcpStream,
    /// The request's head as it came.
    head: Vec<u8>,
}

struct Talking {
    socket: WebSocket<TcpStream>,
    wire: Wire,
}

/// Serves one connection, and gives its address.
async fn serve<F, R>(script: F) -> (String, JoinHandle<R::Output>)
where
    F: FnOnce(Peer) -> R + Send + 'static,
    R: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0, "the head is cut off");
        }
        script(Peer { stream, head }).await
    });
    (url, serving)
}

/// A client of a server that goes on like this behind the welcome.
async fn welcomed<F, R>(script: F) -> (Client, JoinHandle<R::Output>)
where
    F: FnOnce(Talking) -> R + Send + 'static,
    R: Future<Output: Send> + Send + 'static,
{
    let (url, server) = serve(async move |peer: Peer| script(peer.welcome().await).await).await;
    (connect(Config::new(url)).await, server)
}

impl Peer {
    fn header(&self, name: &str) -> Option<String> {
        String::from_utf8_lossy(&self.head)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    }

    fn agreement(&self) -> String {
        let key = self.header("sec-websocket-key").unwrap();
        let accept = STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
        );
        if let Some(subprotocol) = self.header("sec-websocket-protocol") {
            head += &format!("Sec-WebSocket-Protocol: {subprotocol}\r\n");
        }
        head + "\r\n"
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn agree(mut self) -> Talking {
        self.write(self.agreement()).await;
        self.talking()
    }

    fn talking(self) -> Talking {
        let wire = match self.header("sec-websocket-protocol").as_deref() {
            Some("plaza.v1.json") => Wire::Json,
            _ => Wire::Proto,
        };
        let mut socket = WebSocket::after_handshake(self.stream, Role::Server);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        Talking { socket, wire }
    }

    /// As far as the welcome.
    async fn welcome(self) -> Talking {
        let mut talking = self.agree().await;
        let (id, _) = talking.hear().await;
        talking.say(id, Event::Welcome(proto::Welcome::default())).await;
        talking
    }
}

impl Talking {
    async fn frame(&mut self) -> (OpCode, Vec<u8>) {
        let frame = self.socket.read_frame().await.unwrap();
        (frame.opcode, frame.payload.to_vec())
    }

    /// The id and the name of the next request.
    async fn hear(&mut self) -> (u64, String) {
        let (opcode, payload) = self.frame().await;
        match self.wire {
            Wire::Proto => {
                assert!(opcode == OpCode::Binary);
                let message = proto::ClientMessage::decode(&payload[..]).unwrap();
                let shown = format!("{:?}", message.request.unwrap());
                (message.id, shown.split('(').next().unwrap().to_lowercase())
            }
            Wire::Json => {
                assert!(opcode == OpCode::Text);
                let message: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                let name = message.as_object().unwrap().keys().find(|key| *key != "id").unwrap();
                (message["id"].as_u64().unwrap_or(0), name.clone())
            }
        }
    }

    async fn say(&mut self, id: u64, event: Event) {
        let message = proto::ServerMessage { id, event: Some(event) };
        let frame = match self.wire {
            Wire::Proto => Frame::binary(Payload::Owned(message.encode_to_vec())),
            Wire::Json => Frame::text(Payload::Owned(serde_json::to_vec(&message).unwrap())),
        };
        self.write(frame).await;
    }

    async fn write(&mut self, frame: Frame<'_>) {
        self.socket.write_frame(frame).await.unwrap();
    }
}

fn ping(payload: &[u8]) -> Frame<'_> {
    Frame::new(true, OpCode::Ping, None, Payload::Borrowed(payload))
}

fn message(seq: u64) -> Event {
    Event::Message(proto::Message {
        room: "lobby".into(),
        seq,
        prev: seq - 1,
        text: "你好 \"\n".into(),
        ..Default::default()
    })
}

/// The frame that pushes a message in protobuf.
fn pushed(seq: u64) -> Vec<u8> {
    let event = Some(message(seq));
    let payload = proto::ServerMessage { id: 0, event }.encode_to_vec();
    [&[0x82, u8::try_from(payload.len()).unwrap()], &payload[..]].concat()
}

async fn connect(config: Config) -> Client {
    Client::connect(config).await.unwrap().0
}

async fn seq(client: &Client) -> u64 {
    match client.next_event().await.unwrap() {
        Event::Message(message) => message.seq,
        other => panic!("{other:?} is no message"),
    }
}

// ------------------------------------------------------------------------------------------------------ requests

#[tokio::test]
async fn replies_find_their_requests_and_pushes_keep_their_order() {
    for wire in [Wire::Proto, Wire::Json] {
        let (url, server) = serve(async |peer: Peer| {
            assert!(peer.head.starts_with(b"GET /chat HTTP/1.1\r\n"));
            let mut talking = peer.welcome().await;
            let (first, talk) = talking.hear().await;
            let (second, ping) = talking.hear().await;
            assert_eq!([talk, ping], ["talk", "ping"]);
            talking.say(0, message(1)).await;
            talking.say(second, Event::Pong(proto::Pong { at: 5 })).await;
            talking.say(0, message(2)).await;
            let ack = proto::Ack {
                seq: 2,
                ..Default::default()
            };
            talking.say(first, Event::Ack(ack)).await;
            talking.say(0, message(3)).await;
        })
        .await;
        let client = connect(Config::new(url).wire(wire).name("ann")).await;
        let (ack, pong) = tokio::join!(client.talk("lobby", "hi"), client.ping());
        assert_eq!((ack.unwrap().seq, pong.unwrap().at), (2, 5));
        for expected in 1..=3 {
            assert_eq!(seq(&client).await, expected);
        }
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_code_and_its_wait() {
    let (client, _server) = welcomed(async |mut talking: Talking| {
        let (id, _) = talking.hear().await;
        let error = proto::Error {
            code: "busy".into(),
            text: "too much".into(),
            retry_after: 250,
        };
        talking.say(id, Event::Error(error)).await;
        talking
    })
    .await;
    let error = client.talk("lobby", "hi").await.unwrap_err();
    assert_eq!(error.code(), Some("busy"));
    assert_eq!(error.to_string(), "busy: too much");
    let wait = Some(Duration::from_millis(250));
    assert!(matches!(error, Error::Refused(refused) if refused.retry_after == wait));
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_a_push() {
    let (client, _server) = welcomed(async |mut talking: Talking| {
        let (first, _) = talking.hear().await;
        // The second request is made after the first one has given up.
        let (second, _) = talking.hear().await;
        talking.say(first, Event::Pong(proto::Pong { at: 1 })).await;
        talking.say(second, Event::Pong(proto::Pong { at: 2 })).await;
        talking
    })
    .await;
    let given_up = tokio::time::timeout(Duration::from_millis(20), client.ping()).await;
    assert!(given_up.is_err(), "a reply came before it was said");
    assert_eq!(client.ping().await.unwrap().at, 2);
    let late = client.next_message().await.unwrap();
    assert_eq!((late.id, late.event), (2, Some(Event::Pong(proto::Pong { at: 1 }))));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_without_end() {
    let (url, _server) = serve(async |peer: Peer| peer.agree().await).await;
    let config = Config::new(url).timeout(Duration::from_millis(50));
    let error = Client::connect(config).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn what_nobody_waits_for_comes_as_a_push_with_its_id() {
    let (client, _server) = welcomed(async |mut talking: Talking| {
        let (id, kind) = talking.hear().await;
        assert_eq!(kind, "leave");
        talking.say(id, Event::Left(proto::Left { room: "lobby".into() })).await;
        assert_eq!(talking.hear().await, (0, "typing".to_owned()));
        talking.say(0, message(1)).await;
        talking
    })
    .await;
    let leave = Request::Leave(proto::Leave { room: "lobby".into() });
    let id = client.send_without_waiting(leave).await.unwrap();
    let left = client.next_message().await.unwrap();
    assert_eq!(left.id, id);
    assert!(matches!(left.event, Some(Event::Left(_))));
    client.typing("lobby").await.unwrap();
    assert_eq!(seq(&client).await, 1);
}

// ------------------------------------------------------------------------------------------------------ the stream

#[tokio::test]
async fn frames_right_behind_the_handshake_are_not_lost() {
    let (url, _server) = serve(async |mut peer: Peer| {
        let mut bytes = peer.agreement().into_bytes();
        bytes.extend((1..=3).flat_map(pushed));
        peer.write(&bytes).await;
        peer.talking()
    })
    .await;
    let client = Client::open(&Config::new(url)).await.unwrap();
    for expected in 1..=3 {
        assert_eq!(seq(&client).await, expected);
    }
}

#[tokio::test]
async fn a_dropped_future_loses_nothing_of_a_torn_frame() {
    let (tear, torn) = tokio::sync::oneshot::channel::<()>();
    let (url, _server) = serve(async |mut peer: Peer| {
        let frame = pushed(1);
        peer.write(peer.agreement()).await;
        peer.write(&frame[..6]).await;
        torn.await.unwrap();
        peer.write(&frame[6..]).await;
        peer.stream
    })
    .await;
    let client = Client::open(&Config::new(url)).await.unwrap();
    for _ in 0..20 {
        let early = tokio::time::timeout(Duration::from_millis(2), client.next_event()).await;
        assert!(early.is_err(), "half a frame is no message");
    }
    tear.send(()).unwrap();
    assert_eq!(seq(&client).await, 1);
}

#[tokio::test]
async fn a_full_buffer_loses_nothing() {
    const PUSHES: u64 = 20_000;
    let (url, server) = serve(async |peer: Peer| {
        let mut talking = peer.welcome().await;
        for seq in 1..=PUSHES {
            talking.say(0, message(seq)).await;
        }
    })
    .await;
    let mut config = Config::new(url);
    config.buffered_events = 4;
    let client = connect(config).await;
    for expected in 1..=PUSHES {
        assert_eq!(seq(&client).await, expected);
    }
    server.await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_while_nobody_asks_for_anything() {
    let (_client, server) = welcomed(async |mut talking: Talking| {
        talking.write(ping(b"beat")).await;
        talking.frame().await
    })
    .await;
    let (opcode, payload) = server.await.unwrap();
    assert!(opcode == OpCode::Pong && payload == b"beat");
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_connection_with_a_reason() {
    let (client, server) = welcomed(async |mut talking: Talking| {
        talking.write(Frame::binary(Payload::Borrowed(b"\x2a\x05"))).await;
        talking.frame().await
    })
    .await;
    let error = client.next_event().await.unwrap_err();
    let is_told = matches!(&error, Error::Closed(Closing::Broken(text)) if text.contains("cannot be read"));
    assert!(is_told, "{error}");
    let (opcode, payload) = server.await.unwrap();
    assert!(opcode == OpCode::Close && payload == 1002u16.to_be_bytes());
}

// ------------------------------------------------------------------------------------------------------ the end

#[tokio::test]
async fn exit_returns_the_last_words_even_behind_a_full_buffer() {
    let (url, server) = serve(async |peer: Peer| {
        let mut talking = peer.welcome().await;
        let (id, kind) = talking.hear().await;
        assert_eq!(kind, "exit");
        for seq in 1..=100 {
            talking.say(0, message(seq)).await;
        }
        let goodbye = proto::Goodbye {
            code: "exit".into(),
            ..Default::default()
        };
        talking.say(id, Event::Goodbye(goodbye)).await;
        talking.write(Frame::close(1000, b"exit")).await;
        talking.frame().await
    })
    .await;
    let mut config = Config::new(url);
    config.buffered_events = 1;
    let client = connect(config).await;
    assert_eq!(client.exit().await.unwrap().code, "exit");
    let (opcode, _) = server.await.unwrap();
    assert!(opcode == OpCode::Close, "the close frame was not echoed");
}

#[tokio::test]
async fn abort_sends_no_close_frame() {
    let (client, server) =
        welcomed(async |mut talking: Talking| talking.socket.read_frame().await.map(|frame| frame.payload.len())).await;
    client.abort();
    assert!(server.await.unwrap().is_err(), "a frame came");
}

#[tokio::test]
async fn a_close_of_the_server_reaches_everyone_who_waits() {
    let (client, _server) = welcomed(async |mut talking: Talking| {
        talking.hear().await;
        talking.write(Frame::close(4000, b"shutting_down")).await;
        talking
    })
    .await;
    let (reply, push) = tokio::join!(client.ping(), client.next_event());
    for error in [reply.unwrap_err(), push.unwrap_err(), client.ping().await.unwrap_err()] {
        let Error::Closed(Closing::Server { code, reason }) = error else {
            panic!("{error:?} is no close of the server");
        };
        assert_eq!((code, reason.as_str()), (4000, "shutting_down"));
    }
    assert!(client.closing().is_some());
}

// ------------------------------------------------------------------------------------------------------ the handshake

#[tokio::test]
async fn a_refused_handshake_says_what_the_server_said() {
    let (url, _server) = serve(async |mut peer: Peer| {
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\n\r\nknown: action, tutorial\n";
        peer.write(answer).await;
        peer.stream
    })
    .await;
    let error = RawSocket::connect(format!("{url}/ws/nothing")).await.unwrap_err();
    let told = "the handshake was answered with 404: known: action, tutorial";
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn an_answer_to_another_key_is_no_handshake() {
    let (url, _server) = serve(async |mut peer: Peer| {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        peer.write(answer).await;
        peer.stream
    })
    .await;
    let error = Client::open(&Config::new(url)).await.unwrap_err();
    assert!(error.to_string().contains("Sec-WebSocket-Accept"), "{error}");
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_named() {
    for (url, expected) in [
        ("wss://127.0.0.1/chat", "TLS"),
        ("http://127.0.0.1", "not one of a WebSocket"),
        ("ws://", "cannot be read"),
        ("a b", "cannot be read"),
    ] {
        let error = Client::open(&Config::new(url)).await.unwrap_err();
        let is_named = matches!(&error, Error::Config(text) if text.contains(expected));
        assert!(is_named, "{url}: {error}");
    }
}

#[tokio::test]
async fn a_bare_socket_sends_any_path_header_and_bytes() {
    let (url, server) = serve(async |mut peer: Peer| {
        let head = peer.head.clone();
        peer.write(peer.agreement()).await;
        // By hand, since fastwebsockets takes no text that is not UTF-8: FIN and text, masked, 4 bytes.
        let mut frame = [0; 10];
        peer.stream.read_exact(&mut frame).await.unwrap();
        let (mask, payload) = frame[2..].split_at_mut(4);
        payload.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= *mask);
        assert_eq!((&frame[..2], &frame[6..]), (&b"\x81\x84"[..], &b"\x0a\x02\xff\xfe"[..]));
        let mut talking = peer.talking();
        talking.write(Frame::text(Payload::Borrowed("回".as_bytes()))).await;
        talking.write(ping(b"p")).await;
        talking.write(Frame::binary(Payload::Borrowed(b"\x01"))).await;
        // No pong comes before the close.
        let (opcode, payload) = talking.frame().await;
        assert!(opcode == OpCode::Close && payload == b"\x03\xe8bye");
        talking.write(Frame::close_raw(Payload::Owned(payload))).await;
        head
    })
    .await;
    let socket = RawConfig::new(format!("{url}//ws?username=%E5%BC%A0"))
        .header("login-username", "张三".as_bytes())
        .without_pongs()
        .connect()
        .await
        .unwrap();
    assert_eq!(socket.subprotocol(), None);
    socket.send_text_bytes(b"\x0a\x02\xff\xfe").await.unwrap();
    assert_eq!(socket.next().await.unwrap(), RawMessage::Text("回".into()));
    assert_eq!(socket.next().await.unwrap(), RawMessage::Ping("p".into()));
    assert_eq!(socket.next_payload().await.unwrap(), "\u{1}");
    socket.close(1000, "bye").await.unwrap();
    let error = socket.next().await.unwrap_err();
    let is_echo = matches!(&error, Error::Closed(Closing::Server { code: 1000, .. }));
    assert!(is_echo, "{error}");
    let head = server.await.unwrap();
    assert!(head.starts_with(b"GET //ws?username=%E5%BC%A0 HTTP/1.1\r\n"));
    let header = "login-username: 张三\r\n".as_bytes();
    assert!(head.windows(header.len()).any(|window| window == header));
}
