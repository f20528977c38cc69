//! The echo server, for the program in `main.rs` and the tests in `tests/conformance`.

use std::{io, time::Duration};

use fastwebsockets::OpCode;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming as Body},
    server::conn::http1,
    service::service_fn,
    upgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use plaza::{
    limits::{HANDSHAKE_TIME, MESSAGE_FRAGMENTS},
    wire::{
        Flow, FrameReader, Incoming, Message, Progress, ReaderLimits,
        handshake::{self, NullOrigin, OriginPolicy},
        writer,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener, limits: ReaderLimits) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HANDSHAKE_TIME)
                .serve_connection(TokioIo::new(socket), service_fn(move |request| answer(request, limits)))
                .with_upgrades();
            if let Err(error) = connection.await {
                eprintln!("a request could not be served: {error}");
            }
        });
    }
}

/// Answers a request, and begins to echo if it was an upgrade.
async fn answer(mut request: Request<Body>, limits: ReaderLimits) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let origins = OriginPolicy {
        listed: &[],
        null: NullOrigin::Refused,
    };
    let agreed = match handshake::decide(&request, origins, &[]) {
        Ok(agreed) => agreed,
        Err(rejection) => return Ok(rejection.response()),
    };
    let upgrade = upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return;
        };
        if let Err(error) = echo(parts.io.into_inner(), parts.read_buf.to_vec(), limits).await {
            eprintln!("a connection broke: {error}");
        }
    });
    Ok(agreed.response())
}

/// Sends back what comes, until either side closes. `early` is what came together with the request.
async fn echo(mut socket: TcpStream, mut early: Vec<u8>, limits: ReaderLimits) -> io::Result<()> {
    let mut reader = FrameReader::new(limits);
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut out = Vec::new();
    let mut progress = reader.read(&mut early, |incoming| reply(incoming, &mut out));
    loop {
        if let Err(violation) = &progress {
            out.extend_from_slice(violation.close_frame().as_bytes());
        }
        socket.write_all(&out).await?;
        out.clear();
        match progress {
            Ok(Progress::NeedMore | Progress::Paused) => {}
            Ok(Progress::Closed) | Err(_) => return close(socket, &mut scratch).await,
        }
        let bytes = socket.read(&mut scratch).await?;
        if bytes == 0 {
            return Ok(());
        }
        progress = reader.read(&mut scratch[..bytes], |incoming| reply(incoming, &mut out));
    }
}

/// Appends the answer to one thing that came.
fn reply(incoming: Incoming<'_>, out: &mut Vec<u8>) -> Flow {
    match incoming {
        Incoming::Message(Message::Text(text)) => frame(OpCode::Text, text, out),
        Incoming::Message(Message::Binary(bytes)) => frame(OpCode::Binary, bytes, out),
        Incoming::Ping(payload) => out.extend_from_slice(writer::pong(payload).as_bytes()),
        Incoming::Pong(_) => {}
        Incoming::Close { code, .. } => out.extend_from_slice(writer::close_answer(code).as_bytes()),
    }
    Flow::Go
}

fn frame(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(writer::head(opcode, payload.len()).as_bytes());
    out.extend_from_slice(payload);
}

/// Waits for the client's end of the stream: a socket closed with bytes unread is reset, and the close frame lost.
async fn close(mut socket: TcpStream, scratch: &mut [u8]) -> io::Result<()> {
    socket.shutdown().await?;
    let drained = timeout(LINGER, async {
        while socket.read(scratch).await? > 0 {}
        io::Result::Ok(())
    });
    drained.await.unwrap_or(Ok(()))
}

/// The largest messages of both suites have 16 MiB.
pub(crate) const LIMITS: ReaderLimits = ReaderLimits {
    message_bytes: 16 * 1024 * 1024,
    fragments: MESSAGE_FRAGMENTS,
    text_is_utf8: true,
};
const SCRATCH_BYTES: usize = 64 * 1024;
/// How long a client may take to end its side after a close frame.
const LINGER: Duration = Duration::from_secs(2);
