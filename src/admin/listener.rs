//! Accepts connections on the admin address, bounds their cost, and answers health and metrics.

use std::{
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{Method, Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    guard::{by_address, not_from_a_form, not_from_another_page},
    http::{Call, Handler, HttpAnswer},
    slots::{ConnectionSlots, Slot},
};
use crate::{
    limits,
    observe::{CONTENT_TYPE, Metrics, Need, Readiness, Watch},
};

/// The configured admin listener. [`AdminListener::start`] opens it.
pub(crate) struct AdminListener<H> {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    handler: H,
    connections: usize,
}

/// The running admin listener. [`AdminThread::stop`] ends it.
#[derive(Debug)]
pub(crate) struct AdminThread {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
    watch: Watch,
}

impl<H: Handler> AdminListener<H> {
    pub(crate) fn new(readiness: Arc<Readiness>, metrics: Arc<Metrics>, handler: H) -> Self {
        Self {
            readiness,
            metrics,
            handler,
            connections: limits::ADMIN_CONNECTIONS,
        }
    }

    /// Limits the concurrent connections. Further ones evict silent ones, or wait in the backlog.
    #[must_use]
    pub(crate) fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Listens, and starts the thread. The error is one sentence.
    pub(crate) fn start(self, address: SocketAddr) -> Result<AdminThread, String> {
        self.spawn(address, serve)
    }

    fn spawn<S, F>(self, address: SocketAddr, serve: S) -> Result<AdminThread, String>
    where
        S: FnOnce(tokio::net::TcpListener, Arc<Self>, watch::Receiver<bool>) -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let sentence = |error: std::io::Error| {
            format!("the admin listener cannot use {address}: {error}; choose another with --admin, or --admin off")
        };
        let listener = TcpListener::bind(address).map_err(sentence)?;
        listener.set_nonblocking(true).map_err(sentence)?;
        let address = listener.local_addr().map_err(sentence)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(sentence)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(sentence)?
        };
        let (stop, stopped) = watch::channel(false);
        let (alive, watch) = Watch::over("the admin listener", Need::Vital);
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                let _alive = alive;
                runtime.block_on(serve(listener, Arc::new(self), stopped));
            })
            .map_err(sentence)?;
        Ok(AdminThread {
            address,
            stop,
            thread,
            watch,
        })
    }
}

impl AdminThread {
    /// The bound address. Its port is the system's choice if the setting was 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Ends the thread and drops unfinished answers.
    pub(crate) fn stop(self) {
        // Either fails only if the thread has ended already.
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

async fn serve<H: Handler>(
    listener: tokio::net::TcpListener,
    admin: Arc<AdminListener<H>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut slots = ConnectionSlots::new(admin.connections);
    let accepting = async {
        loop {
            match listener.accept().await {
                // A silent connection is evicted only when another one arrives, so one more than there are slots may be open.
                Ok((stream, _)) => {
                    let Some(slot) = slots.take().await else { return };
                    tokio::spawn(connection(stream, admin.clone(), slot));
                }
                // Descriptors have run out.
                Err(_) => slots.make_room().await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        // The handle was dropped: the listener runs until the process ends.
        () = async { if stopped.wait_for(|stop| *stop).await.is_err() { std::future::pending().await } } => {}
    }
}

/// Serves one request of a connection.
async fn connection<H: Handler>(stream: TcpStream, admin: Arc<AdminListener<H>>, slot: Arc<Slot>) {
    let service = service_fn(|request| {
        let (admin, slot) = (admin.clone(), slot.clone());
        async move { Ok::<_, Infallible>(admin.answer(request, &slot).await.response()) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper has no timeouts at all.
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HANDSHAKE_TIME)
        .max_buf_size(limits::REQUEST_HEAD_BYTES)
        .max_headers(limits::REQUEST_HEADERS)
        .keep_alive(false)
        // A client that shuts down its side after a request, as `nc -N` does, still gets an answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        // Errors concern only this peer.
        _ = timeout(limits::ADMIN_CONNECTION_TIME, connection) => {}
        () = slot.evicted() => {}
    }
}

impl<H: Handler> AdminListener<H> {
    async fn answer(&self, request: Request<Incoming>, slot: &Slot) -> HttpAnswer {
        if let Err(answer) = not_from_another_page(request.headers()) {
            return answer;
        }
        let path = request.uri().path();
        match path {
            "/livez" | "/readyz" | "/metrics" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                HttpAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed")
            }
            "/livez" => HttpAnswer::text(StatusCode::OK, "alive\n"),
            "/readyz" => slot.while_busy(self.readyz()).await,
            "/metrics" => self.scrape(),
            _ if path.starts_with(API) => self.call(request, slot).await,
            _ => HttpAnswer::error(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; known paths are /livez, /readyz, /metrics, /api/",
            ),
        }
    }

    async fn readyz(&self) -> HttpAnswer {
        let failures = self.readiness.failures().await;
        // Writing to a string cannot fail.
        if failures.is_empty() {
            let mut lines = "ready\n".to_owned();
            for (part, note) in self.readiness.notes() {
                let _ = writeln!(lines, "{part}: {note}");
            }
            return HttpAnswer::text(StatusCode::OK, lines);
        }
        let mut lines = String::new();
        for (part, reason) in failures {
            let _ = writeln!(lines, "{part}: {reason}");
        }
        HttpAnswer::text(StatusCode::SERVICE_UNAVAILABLE, lines)
    }

    fn scrape(&self) -> HttpAnswer {
        match self.metrics.render() {
            Ok(text) => HttpAnswer {
                status: StatusCode::OK,
                content_type: CONTENT_TYPE,
                body: text.into(),
            },
            Err(error) => HttpAnswer::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("the metrics cannot be written: {error}"),
            ),
        }
    }

    async fn call(&self, request: Request<Incoming>, slot: &Slot) -> HttpAnswer {
        if let Err(answer) = by_address(request.headers()).and_then(|()| not_from_a_form(&request)) {
            return answer;
        }
        let uri = request.uri();
        let path = uri.path().strip_prefix(API).unwrap_or_default().to_owned();
        let query = uri.query().map(str::to_owned);
        let method = request.method().clone();
        let body = match Limited::new(request.into_body(), limits::ADMIN_BODY_BYTES)
            .collect()
            .await
        {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let sentence = format!(
                    "the body is too long; at most {} bytes are allowed",
                    limits::ADMIN_BODY_BYTES
                );
                return HttpAnswer::error(StatusCode::PAYLOAD_TOO_LARGE, &sentence);
            }
            Err(error) => {
                return HttpAnswer::error(StatusCode::BAD_REQUEST, &format!("could not read the body: {error}"));
            }
        };
        let call = Call {
            method,
            path,
            query,
            body,
        };
        slot.while_busy(self.handler.call(call)).await
    }
}

const API: &str = "/api/";

#[cfg(test)]
mod tests;
