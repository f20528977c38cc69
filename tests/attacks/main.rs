//! Raw-socket attacks on the handshake and the frame reader of the running server. Each gets its exact answer, costs at most its own
//! connection, and does not affect the clients beside it.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use support::{Healthy, Peer, Program, Request, Running, config, metric, until};

/// Short, so that the slow attacks end soon.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(300);
const NATIVE: &str = "/chat";

macro_rules! attacks {
    (
        $(each $check:ident($each:ident) {$($(#[$note:meta])* $row:ident: $sent:expr => $expected:literal;)*})*
        $($(#[$doc:meta])* fn $name:ident($at:ident) $body:block)*
    ) => {
        $($($(#[$note])* fn $row($each: SocketAddr) { $check($each, $sent, $expected); })*)*
        $($(#[$doc])* fn $name($at: SocketAddr) $body)*

        /// All attacks by name.
        pub(crate) const ATTACKS: &[(&str, fn(SocketAddr))] = &[
            $($((stringify!($row), $row),)*)*
            $((stringify!($name), $name),)*
        ];

        /// Runs each attack alone, on a separate server.
        mod alone {
            $($(#[test] fn $row() { crate::alone(super::$row); })*)*
            $(#[test] fn $name() { crate::alone(super::$name); })*
        }
    };
}

mod frames;
mod requests;

fn alone(attack: fn(SocketAddr)) {
    let mut config = config();
    config.http.handshake_timeout = HANDSHAKE_TIMEOUT;
    config.http.keep_alive = HANDSHAKE_TIMEOUT;
    let server = Running::start(&config);
    let mut healthy = Healthy::in_room(server.address, "beside");
    healthy.check();
    attack(server.address);
    healthy.check();
}

#[test]
fn a_connection_is_kept_for_the_next_page_and_a_half_request_on_it_is_not() {
    let mut config = config();
    config.http.handshake_timeout = HANDSHAKE_TIMEOUT;
    let server = Running::start(&config);
    let request = format!("GET /icon.svg HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut peer = Peer::connect(server.address);
    for _ in 0..3 {
        peer.send(request.as_bytes());
        assert_eq!(peer.response().status, 200);
        // Longer than a request may take, and what it used to take for the time between two.
        thread::sleep(2 * HANDSHAKE_TIMEOUT);
    }
    peer.send(b"GET /icon.svg HT");
    let since = Instant::now();
    peer.assert_over();
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let timeouts = || metric(server.admin, "plaza_handshakes_rejected_total", &["reason=\"timeout\""]);
    until("it is counted", || timeouts() >= 1.0);
}

#[test]
fn a_connection_without_a_next_request_ends_quietly_after_its_time() {
    let mut config = config();
    config.http.keep_alive = HANDSHAKE_TIMEOUT;
    let server = Running::start(&config);
    let mut peer = Peer::connect(server.address);
    peer.send(format!("GET /icon.svg HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes());
    assert_eq!(peer.response().status, 200);
    let since = Instant::now();
    peer.assert_over();
    assert!(since.elapsed() < config.http.handshake_timeout, "{:?}", since.elapsed());
    assert!(metric(server.admin, "plaza_handshakes_rejected_total", &["reason=\"timeout\""]) < 1.0);
}

#[test]
fn all_attacks_at_once_and_again_leave_the_program_and_its_clients_as_they_were() {
    let attacks = [requests::ATTACKS, frames::ATTACKS].concat();
    assert!(attacks.len() >= 41, "only {} attacks", attacks.len());
    let short = ["--set", "http.handshake_timeout=300ms", "--set", "http.keep_alive=1s"];
    let mut program = Program::start(&[&["--memory", "--shards", "2"][..], &short].concat());
    let address = program.address();
    let mut healthy = Healthy::in_room(address, "beside");
    healthy.check();
    let round = |healthy: &mut Healthy| {
        thread::scope(|scope| {
            let attacks: Vec<_> = attacks
                .iter()
                .map(|(name, attack)| (name, scope.spawn(|| attack(address))))
                .collect();
            while !attacks.iter().all(|(_, attack)| attack.is_finished()) {
                healthy.check();
            }
            for (name, attack) in attacks {
                assert!(attack.join().is_ok(), "{name}");
            }
        });
    };
    round(&mut healthy);
    until("the attackers are gone", || connections(&program) == 2.0);
    let after_one = program.memory("VmRSS:");
    for _ in 0..2 {
        round(&mut healthy);
    }
    until("the attackers are gone", || connections(&program) == 2.0);
    let grown = program.memory("VmRSS:").saturating_sub(after_one);
    assert!(grown < 32 * 1024, "two more rounds left {grown} KiB behind");
    healthy.check();
    assert!(program.child.try_wait().unwrap().is_none());
}

fn connections(program: &Program) -> f64 {
    support::metric(program.admin, "plaza_connections", &[])
}

fn upgrade(at: SocketAddr) -> Request {
    Request::upgrade(at, NATIVE)
}
