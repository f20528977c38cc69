//! The admin listener: `/livez`, `/readyz`, `/metrics`, and whatever else is mounted, for the operator.
//!
//! It runs on a thread of its own, so that it answers while the shards are busy or stuck. What it promises: bounded
//! connections, times and sizes, and that a page in the operator's browser cannot use it. What it never does: ask who the
//! caller is. Whoever reaches the address may use it.

mod answer;
mod guard;
mod places;

use std::{
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Metrics, Readiness,
    alive::{Need, Watch},
    metrics,
};
use crate::limits;
pub use answer::Answer;
use guard::{by_address, not_from_a_form, not_from_another_page};
use places::{Guest, Places};

/// What is to be served, before it is.
pub struct Admin {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    mounts: Vec<(&'static str, Arc<dyn Mount>)>,
    connections: usize,
}

/// The running listener. It ends with [`AdminThread::stop`], or with the process.
#[derive(Debug)]
pub struct AdminThread {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
    watch: Watch,
}

/// Something that answers all requests below a path, such as `/api/`.
///
/// It is asked only by programs and pages of the listener's own address: the Host is checked, and what is not a GET has a JSON
/// body, possibly empty.
pub trait Mount: Send + Sync + 'static {
    /// Answers a request.
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

/// A request to a [`Mount`].
#[derive(Debug, Clone)]
pub struct Call {
    /// GET, POST, PUT or DELETE.
    pub method: Method,
    /// What follows the path of the mount, still percent-encoded.
    pub path: String,
    /// What follows the question mark, still percent-encoded.
    pub query: Option<String>,
    /// Whole, at most [`limits::ADMIN_BODY_BYTES`].
    pub body: Bytes,
}

impl Admin {
    /// Serves health and metrics.
    pub fn new(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Self {
        Self {
            readiness,
            metrics,
            mounts: Vec::new(),
            connections: limits::ADMIN_CONNECTIONS,
        }
    }

    /// Serves at most so many connections at once; more wait in the backlog, or take the places of those that say nothing.
    #[must_use]
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Serves what is below `prefix`, which begins and ends with a slash, as well.
    #[must_use]
    pub fn mount(mut self, prefix: &'static str, mount: impl Mount) -> Self {
        self.mounts.push((prefix, Arc::new(mount)));
        self
    }

    /// Listens and starts the thread. The error is one sentence.
    pub fn start(self, address: SocketAddr) -> Result<AdminThread, String> {
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
    /// Where it listens, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it runs.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Ends it and what it is answering.
    pub fn stop(self) {
        // Either may fail only when the thread has ended already.
        let _ = self.stop.send(true);
        let _ = self.thread.join();
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mounts: Vec<_> = self.mounts.iter().map(|(prefix, _)| prefix).collect();
        f.debug_struct("Admin").field("mounts", &mounts).finish_non_exhaustive()
    }
}

async fn serve(listener: tokio::net::TcpListener, admin: Arc<Admin>, mut stopped: watch::Receiver<bool>) {
    let mut places = Places::new(admin.connections);
    let accepting = async {
        loop {
            match listener.accept().await {
                // One more is open than there are places: nobody is to leave before another has come.
                Ok((stream, _)) => {
                    let Some(guest) = places.take().await else { return };
                    tokio::spawn(connection(stream, admin.clone(), guest));
                }
                Err(_) => sleep(limits::ADMIN_ACCEPT_PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        // An error says that the handle is gone: then the listener runs until the process ends.
        () = async { if stopped.wait_for(|stop| *stop).await.is_err() { std::future::pending().await } } => {}
    }
}

/// Serves one connection: one request, and its answer.
async fn connection(stream: TcpStream, admin: Arc<Admin>, guest: Arc<Guest>) {
    let service = service_fn(|request| {
        let (admin, guest) = (admin.clone(), guest.clone());
        async move { Ok::<_, Infallible>(response(admin.answer(request, &guest).await)) }
    });
    let connection = http1::Builder::new()
        // Without a timer hyper has no timeouts at all.
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HANDSHAKE_TIME)
        .max_buf_size(limits::REQUEST_HEAD_BYTES)
        .max_headers(limits::REQUEST_HEADERS)
        .keep_alive(false)
        // Who has sent a request and closes its side, as `nc -N` does, is answered all the same.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        // What goes wrong here is the peer's affair and ends its connection.
        _ = timeout(limits::ADMIN_CONNECTION_TIME, connection) => {}
        () = guest.leave() => {}
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>, guest: &Guest) -> Answer {
        if let Err(answer) = not_from_another_page(request.headers()) {
            return answer;
        }
        let path = request.uri().path();
        match path {
            "/livez" | "/readyz" | "/metrics" if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                Answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here")
            }
            "/livez" => Answer::text(StatusCode::OK, "alive\n"),
            "/readyz" => guest.at_work(self.readyz()).await,
            "/metrics" => self.scrape(),
            _ => match self.mounts.iter().find(|(prefix, _)| path.starts_with(prefix)) {
                Some((prefix, mount)) => self.call(request, prefix, mount.clone(), guest).await,
                None => Answer::error(StatusCode::NOT_FOUND, &self.known_paths()),
            },
        }
    }

    async fn readyz(&self) -> Answer {
        let failures = self.readiness.failures().await;
        // Writing to a string cannot fail.
        if failures.is_empty() {
            let mut lines = "ready\n".to_owned();
            for (part, note) in self.readiness.notes() {
                let _ = writeln!(lines, "{part}: {note}");
            }
            return Answer::text(StatusCode::OK, lines);
        }
        let mut lines = String::new();
        for (part, reason) in failures {
            let _ = writeln!(lines, "{part}: {reason}");
        }
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, lines)
    }

    fn scrape(&self) -> Answer {
        match self.metrics.render() {
            Ok(text) => Answer {
                status: StatusCode::OK,
                content_type: metrics::CONTENT_TYPE,
                body: text.into(),
            },
            Err(error) => Answer::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &format!("the metrics cannot be written: {error}"),
            ),
        }
    }

    async fn call(&self, request: Request<Incoming>, prefix: &str, mount: Arc<dyn Mount>, guest: &Guest) -> Answer {
        if let Err(answer) = by_address(request.headers()).and_then(|()| not_from_a_form(&request)) {
            return answer;
        }
        let uri = request.uri();
        let path = uri.path().strip_prefix(prefix).unwrap_or_default().to_owned();
        let query = uri.query().map(str::to_owned);
        let method = request.method().clone();
        let body = match Limited::new(request.into_body(), limits::ADMIN_BODY_BYTES)
            .collect()
            .await
        {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let sentence = format!(
                    "the body is longer than the {} bytes that are read",
                    limits::ADMIN_BODY_BYTES
                );
                return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, &sentence);
            }
            Err(error) => {
                return Answer::error(StatusCode::BAD_REQUEST, &format!("the body could not be read: {error}"));
            }
        };
        let call = Call {
            method,
            path,
            query,
            body,
        };
        guest.at_work(mount.call(call)).await
    }

    fn known_paths(&self) -> String {
        let mounts = self.mounts.iter().map(|(prefix, _)| *prefix);
        let paths = ["/livez", "/readyz", "/metrics"]
            .into_iter()
            .chain(mounts)
            .collect::<Vec<_>>();
        format!("there is nothing at this path; known are {}", paths.join(", "))
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        io::{Read, Write},
        net,
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::observe::Phase;

    struct Echo;

    impl Mount for Echo {
        fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
            let text = format!("{} {} {:?} {}", call.method, call.path, call.query, call.body.len());
            Box::pin(async { Answer::text(StatusCode::OK, text) })
        }
    }

    struct Bench {
        readiness: Arc<Readiness>,
        metrics: Arc<Metrics>,
        admin: AdminThread,
    }

    impl Bench {
        fn start() -> Self {
            let readiness = Readiness::new();
            let metrics = Metrics::new(1, &["plaza"]);
            let admin = Admin::new(readiness.clone(), metrics.clone()).mount("/api/", Echo);
            Self {
                readiness,
                metrics,
                admin: admin.start("127.0.0.1:0".parse().unwrap()).unwrap(),
            }
        }

        fn connect(&self) -> net::TcpStream {
            let stream = net::TcpStream::connect(self.admin.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        }

        /// The status and the rest of the answer.
        fn ask(&self, request: &str) -> (u16, String) {
            let mut stream = self.connect();
            // A server that refuses early may close before all is written.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            let answer = String::from_utf8(answer).unwrap();
            let status = answer.get(9..12).and_then(|status| status.parse().ok());
            (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
        }

        fn get(&self, path: &str) -> (u16, String) {
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: plaza:8081\r\n\r\n"))
        }

        fn get_by_address(&self, path: &str) -> (u16, String) {
            self.ask(&format!("GET {path} HTTP/1.1\r\nHost: [::1]\r\n\r\n"))
        }
    }

    #[test]
    fn it_says_whether_it_lives_and_is_ready() {
        let bench = Bench::start();
        assert_eq!(bench.get("/livez").0, 200);
        let (status, answer) = bench.get("/readyz");
        assert!(status == 503 && answer.contains("server: starting"), "{answer}");
        bench.readiness.enter(Phase::Ready);
        assert_eq!(bench.get("/readyz").0, 200);
        bench
            .readiness
            .register_fn("history", || async { Err("the disk is full".to_owned()) });
        let deadline = Instant::now() + Duration::from_secs(10);
        let failing = loop {
            let (status, answer) = bench.get("/readyz");
            if status == 503 || Instant::now() > deadline {
                break answer;
            }
        };
        assert!(failing.ends_with("\r\n\r\nhistory: the disk is full\n"), "{failing}");
        bench.readiness.enter(Phase::Draining);
        assert!(bench.get("/readyz").1.contains("server: draining"));
        assert_eq!(bench.get("/livez").0, 200);
        bench.admin.stop();
    }

    #[test]
    fn a_thread_that_panics_is_seen() {
        let admin = Admin::new(Readiness::new(), Metrics::new(1, &[]));
        let panics = |_, _, _| async { panic!("this panic belongs to the test") };
        let admin = admin.spawn("127.0.0.1:0".parse().unwrap(), panics).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !admin.watch().has_ended() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        assert_eq!(admin.watch().need(), Need::Vital);
    }

    #[test]
    fn metrics_are_scraped() {
        let bench = Bench::start();
        bench.metrics.ingress.accepted.inc_by(3);
        let (status, answer) = bench.get("/metrics");
        assert_eq!(status, 200);
        assert!(
            answer.contains("content-type: application/openmetrics-text"),
            "{answer}"
        );
        assert!(answer.contains("\nplaza_accepted_total 3\n"), "{answer}");
    }

    #[test]
    fn what_is_not_there_says_what_is() {
        let bench = Bench::start();
        let (status, answer) = bench.get("/nothing");
        assert!(
            status == 404 && answer.contains("/livez, /readyz, /metrics, /api/"),
            "{answer}"
        );
        let (status, _) = bench.ask("POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(status, 405);
    }

    #[test]
    fn a_mount_is_given_what_is_below_its_path() {
        let bench = Bench::start();
        let (status, answer) = bench.ask(
            "POST /api/rooms/lobby?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: 2\r\n\r\n{}",
        );
        assert!(
            status == 200 && answer.ends_with("POST rooms/lobby Some(\"x=1\") 2"),
            "{answer}"
        );
        let (status, answer) = bench.ask("GET /api/ HTTP/1.1\r\nHost: [::1]:8081\r\n\r\n");
        assert!(status == 200 && answer.ends_with("GET  None 0"), "{answer}");
    }

    #[test]
    fn a_page_in_a_browser_cannot_use_it() {
        let bench = Bench::start();
        let post = |headers: &str| {
            let head = format!("POST /api/x HTTP/1.1\r\nContent-Length: 2\r\n{headers}\r\n{{}}");
            bench.ask(&head).0
        };
        let json = "Content-Type: application/json\r\n";
        assert_eq!(post(&format!("Host: 127.0.0.1\r\n{json}")), 200);
        assert_eq!(
            post(&format!("Host: localhost:1\r\nOrigin: http://localhost:1\r\n{json}")),
            200
        );
        assert_eq!(
            post(&format!("Host: 127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n{json}")),
            200
        );
        assert_eq!(
            post(&format!("Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n{json}")),
            403
        );
        assert_eq!(post(&format!("Host: 127.0.0.1\r\nOrigin: null\r\n{json}")), 403);
        assert_eq!(
            post(&format!("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n{json}")),
            403
        );
        assert_eq!(
            post(&format!("Host: evil.example\r\nOrigin: http://evil.example\r\n{json}")),
            403
        );
        assert_eq!(post("Host: 127.0.0.1\r\nContent-Type: text/plain\r\n"), 415);
        assert_eq!(post("Host: 127.0.0.1\r\n"), 415);
    }

    #[test]
    fn a_request_without_a_body_that_no_form_can_send_needs_no_content_type() {
        let bench = Bench::start();
        let ask = |method: &str, rest: &str| {
            bench
                .ask(&format!("{method} /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\n{rest}"))
                .0
        };
        for method in ["DELETE", "PUT"] {
            assert_eq!(ask(method, "\r\n"), 200, "{method}");
            assert_eq!(ask(method, "Content-Length: 0\r\n\r\n"), 200, "{method}");
            assert_eq!(ask(method, "Content-Length: 2\r\n\r\n{}"), 415, "{method}");
            assert_eq!(ask(method, "Content-Type: text/plain\r\n\r\n"), 415, "{method}");
            assert_eq!(ask(method, "Origin: http://evil.example\r\n\r\n"), 403, "{method}");
        }
        assert_eq!(ask("POST", "\r\n"), 415);
    }

    #[test]
    fn too_much_is_refused_and_what_is_not_http_ends_its_connection() {
        let bench = Bench::start();
        let long = "x".repeat(limits::REQUEST_HEAD_BYTES);
        assert_eq!(
            bench
                .ask(&format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"))
                .0,
            431
        );
        let many = "X: y\r\n".repeat(limits::REQUEST_HEADERS + 1);
        assert_eq!(
            bench.ask(&format!("GET /livez HTTP/1.1\r\nHost: a\r\n{many}\r\n")).0,
            431
        );
        let body = limits::ADMIN_BODY_BYTES + 1;
        let head = "POST /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
        assert_eq!(
            bench
                .ask(&format!("{head}Content-Length: {body}\r\n\r\n{}", "x".repeat(body)))
                .0,
            413
        );
        assert_eq!(bench.ask("\x16\x03\x01 this is not HTTP\r\n\r\n").0, 400);
        assert_eq!(bench.get("/livez").0, 200);
    }

    #[test]
    fn connections_that_say_nothing_do_not_keep_a_probe_waiting() {
        let bench = Bench::start();
        let mut silent: Vec<_> = (0..2 * limits::ADMIN_CONNECTIONS).map(|_| bench.connect()).collect();
        for (stream, part) in silent
            .iter_mut()
            .zip(["", "GET", "PUT /api/x HTTP/1.1\r\n"].into_iter().cycle())
        {
            // Those at the front may have been closed by now.
            let _ = stream.write_all(part.as_bytes());
        }
        let asked = Instant::now();
        assert_eq!(bench.get("/livez").0, 200);
        // Half of the time after which a head that is not complete ends its connection.
        assert!(asked.elapsed() < limits::HANDSHAKE_TIME / 2, "{:?}", asked.elapsed());
        drop(silent);
    }

    /// Answers when it is let.
    struct Slow(watch::Receiver<bool>, mpsc::Sender<()>);

    impl Mount for Slow {
        fn call(&self, _: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
            let (mut let_go, begun) = (self.0.clone(), self.1.clone());
            Box::pin(async move {
                begun.send(()).unwrap();
                let_go.wait_for(|let_go| *let_go).await.unwrap();
                Answer::text(StatusCode::OK, "done")
            })
        }
    }

    #[test]
    fn more_requests_than_allowed_wait_until_one_is_answered() {
        let (let_go, told) = watch::channel(false);
        let (begin, begun) = mpsc::channel();
        let metrics = Metrics::new(1, &[]);
        let admin = Admin::new(Readiness::new(), metrics.clone()).connections(1);
        let bench = Bench {
            readiness: Readiness::new(),
            metrics,
            admin: admin
                .mount("/api/", Slow(told, begin))
                .start("127.0.0.1:0".parse().unwrap())
                .unwrap(),
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| bench.get_by_address("/api/x"));
            begun.recv_timeout(Duration::from_secs(20)).unwrap();
            let mut late = bench.connect();
            late.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            late.set_read_timeout(Some(limits::ADMIN_SILENCE * 3)).unwrap();
            let waited = late.read(&mut [0; 16]).unwrap_err();
            assert!(
                matches!(
                    waited.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ),
                "{waited}"
            );
            let_go.send_replace(true);
            assert_eq!(first.join().unwrap().0, 200);
            late.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut answer = String::new();
            late.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        });
    }

    #[test]
    fn a_client_that_has_closed_its_side_is_answered() {
        let bench = Bench::start();
        bench.readiness.enter(Phase::Ready);
        // Not every round has the end come together with the request.
        for _ in 0..20 {
            let mut stream = bench.connect();
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream.shutdown(net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
        }
    }

    #[test]
    fn a_port_in_use_is_one_sentence() {
        let bench = Bench::start();
        let admin = Admin::new(bench.readiness.clone(), bench.metrics.clone());
        let error = admin.start(bench.admin.address()).map(|_| ()).unwrap_err();
        assert!(
            error.contains(&bench.admin.address().to_string()) && error.contains("--admin"),
            "{error}"
        );
    }
}
