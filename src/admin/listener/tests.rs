//! The admin listener over real sockets, with a handler that repeats what it was asked.

use std::{
    io::{Read, Write},
    net,
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use super::*;
use crate::observe::ServerPhase;

struct Echo;

impl Handler for Echo {
    async fn call(&self, call: Call) -> HttpAnswer {
        let text = format!("{} {} {:?} {}", call.method, call.path, call.query, call.body.len());
        HttpAnswer::text(StatusCode::OK, text)
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
        let admin = AdminListener::new(readiness.clone(), metrics.clone(), Echo);
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
    bench.readiness.enter(ServerPhase::Ready);
    assert_eq!(bench.get("/readyz").0, 200);
    bench
        .readiness
        .register("history", || async { Err("the disk is full".to_owned()) });
    let deadline = Instant::now() + Duration::from_secs(10);
    let failing = loop {
        let (status, answer) = bench.get("/readyz");
        if status == 503 || Instant::now() > deadline {
            break answer;
        }
    };
    assert!(failing.ends_with("\r\n\r\nhistory: the disk is full\n"), "{failing}");
    bench.readiness.enter(ServerPhase::Draining);
    assert!(bench.get("/readyz").1.contains("server: draining"));
    assert_eq!(bench.get("/livez").0, 200);
    bench.admin.stop();
}

#[test]
fn a_thread_that_panics_is_seen() {
    let admin = AdminListener::new(Readiness::new(), Metrics::new(1, &[]), Echo);
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
fn the_handler_is_given_what_is_below_its_path() {
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
        // The server may have closed the first ones already.
        let _ = stream.write_all(part.as_bytes());
    }
    let asked = Instant::now();
    assert_eq!(bench.get("/livez").0, 200);
    // Well before the timeout for incomplete heads, so the probe did not wait for it.
    assert!(asked.elapsed() < limits::HANDSHAKE_TIME / 2, "{:?}", asked.elapsed());
    drop(silent);
}

/// Answers once the test allows it.
struct Slow(watch::Receiver<bool>, Mutex<mpsc::Sender<()>>);

impl Handler for Slow {
    async fn call(&self, _: Call) -> HttpAnswer {
        self.1.lock().unwrap().send(()).unwrap();
        self.0.clone().wait_for(|let_go| *let_go).await.unwrap();
        HttpAnswer::text(StatusCode::OK, "done")
    }
}

#[test]
fn more_requests_than_allowed_wait_until_one_is_answered() {
    let (let_go, released) = watch::channel(false);
    let (begin, begun) = mpsc::channel();
    let metrics = Metrics::new(1, &[]);
    let slow = Slow(released, Mutex::new(begin));
    let admin = AdminListener::new(Readiness::new(), metrics.clone(), slow).connections(1);
    let bench = Bench {
        readiness: Readiness::new(),
        metrics,
        admin: admin.start("127.0.0.1:0".parse().unwrap()).unwrap(),
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
    bench.readiness.enter(ServerPhase::Ready);
    // Only in some rounds does the end of the stream arrive together with the request.
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
    let admin = AdminListener::new(bench.readiness.clone(), bench.metrics.clone(), Echo);
    let error = admin.start(bench.admin.address()).map(|_| ()).unwrap_err();
    assert!(
        error.contains(&bench.admin.address().to_string()) && error.contains("--admin"),
        "{error}"
    );
}
