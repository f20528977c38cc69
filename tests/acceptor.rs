//! The acceptor without descriptors: connected clients get service, the acceptor waits instead of spinning, and it recovers.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    io::Read,
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use support::{Healthy, Peer, Program, clean, get, metric, until};

/// Less than the connections made below, more than the server needs for itself.
const DESCRIPTORS: u32 = 100;

/// The program with so many open files, as the hard limit (`-n`) or the soft one (`-Sn`).
fn limited(which: &str) -> Command {
    limited_to(which, DESCRIPTORS)
}

fn limited_to(which: &str, descriptors: u32) -> Command {
    let mut shell = clean(Command::new("sh"));
    shell.args([
        "-c",
        &format!("ulimit {which} {descriptors}; exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_plaza"),
    ]);
    shell
}

#[test]
fn out_of_descriptors_users_health_and_store_are_served_and_newcomers_wait_until_there_are_some() {
    let data = tempfile::tempdir().unwrap();
    let arguments = [
        "--data",
        data.path().to_str().unwrap(),
        // Each takes some of the descriptors.
        "--shards",
        "2",
        "--set",
        "http.handshake_timeout=1min",
        "--set",
        "history.all=true",
    ];
    let mut program = Program::from_command(limited("-n"), &arguments);
    let address = program.address();
    let mut healthy = Healthy::in_room(address, "inside");
    let mut writer = Peer::native_in(address, "writer", "inside");
    // Connected in the backlog, more than can be accepted.
    let crowd: Vec<TcpStream> = (0..2 * DESCRIPTORS)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let backoffs = || metric(program.admin, "plaza_accept_backoffs_total", &[]);
    until("as many are in as may be", || backoffs() >= 1.0);
    let most = metric(program.admin, "plaza_connections_limit", &[]);
    assert!(most < f64::from(DESCRIPTORS), "{most}");
    let before = cpu_ticks(program.child.id());
    for _ in 0..20 {
        healthy.check();
        thread::sleep(Duration::from_millis(50));
    }
    // A second of spinning would be a hundred ticks.
    let spent = cpu_ticks(program.child.id()) - before;
    assert!(spent < 50, "{spent} ticks of processor time while it waited");
    for round in 0..10 {
        let asked = Instant::now();
        for path in ["/livez", "/readyz", "/metrics", "/api/rooms"] {
            assert_eq!(get(program.admin, path).status, 200, "{path}");
        }
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        // The first message of a conversation makes an epoch, for which a file is opened.
        let to = format!("newcomer {round}");
        let ack = writer.ask(serde_json::json!({"direct": {"to": to, "text": "hello"}}));
        assert!(ack["ack"].is_object(), "{ack}");
    }
    assert!(
        metric(program.admin, "plaza_accept_errors_total", &[]) < 1.0,
        "the last descriptors were taken"
    );
    drop(crowd);
    // The acceptor looks again on its own.
    let mut newcomer = Peer::native_in(address, "newcomer", "inside");
    assert!(newcomer.ask(serde_json::json!({"ping": {}}))["pong"].is_object());
    healthy.check();
    assert!(backoffs() < 100.0);
    assert!(program.child.try_wait().unwrap().is_none());
    program.signal("TERM");
    let mut log = String::new();
    program.stderr().read_to_string(&mut log).unwrap();
    assert!(
        log.contains("as many connections are open as the limit of open files allows"),
        "{log}"
    );
}

#[test]
fn what_many_shards_and_the_store_open_late_is_not_taken_from_what_is_kept_back() {
    // Large enough for all that is kept back, and for eight shards.
    let (limit, kept_back) = (400, 96);
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap(), "--shards", "8"];
    let program = Program::from_command(limited_to("-n", limit), &arguments);
    let mut writer = Peer::native_in(program.address(), "writer", "lobby");
    let ack = writer.ask(serde_json::json!({"talk": {"room": "lobby", "text": "hello"}}));
    assert!(ack["ack"].is_object(), "{ack}");
    let found = writer.ask(serde_json::json!({"search": {"room": "lobby", "text": "hello"}}));
    assert!(found["search"].is_object(), "{found}");
    let _crowd: Vec<TcpStream> = (0..limit)
        .map(|_| TcpStream::connect(program.address()).unwrap())
        .collect();
    until("as many are in as may be", || {
        metric(program.admin, "plaza_accept_backoffs_total", &[]) >= 1.0
    });
    let open = metric(program.admin, "plaza_process_open_files", &[]);
    // The one that asks, and the one that lists them.
    let asking = 2;
    assert!(
        open <= f64::from(limit - kept_back + asking),
        "{open} of {limit} are open"
    );
}

#[test]
fn silent_connections_to_the_admin_listener_do_not_silence_health_where_descriptors_are_few() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap(), "--shards", "2"];
    // The server leaves fewer than the admin listener has places.
    let program = Program::from_command(limited_to("-n", 60), &arguments);
    let silent: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(program.admin).unwrap()).collect();
    let asked = Instant::now();
    assert_eq!(get(program.admin, "/livez").status, 200);
    // A silent connection that nothing pushes out ends after 10 s.
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
    drop(silent);
}

#[test]
fn a_soft_limit_of_open_files_is_raised_so_that_more_than_that_come_in() {
    let program = Program::from_command(limited("-Sn"), &["--memory"]);
    let _crowd: Vec<Healthy> = (0..DESCRIPTORS)
        .map(|n| Healthy::in_room(program.address(), &format!("room {n}")))
        .collect();
    assert!(metric(program.admin, "plaza_accept_errors_total", &[]) < 1.0);
    assert!(metric(program.admin, "plaza_accept_backoffs_total", &[]) < 1.0);
}

#[test]
fn those_who_say_nothing_are_closed_and_counted_and_their_places_are_taken_again() {
    let program = Program::start(&["--memory", "--set", "http.handshake_timeout=300ms"]);
    for round in 1..=2 {
        let mut silent: Vec<Peer> = (0..50).map(|_| Peer::connect(program.address())).collect();
        let mut healthy = Healthy::in_room(program.address(), &format!("room {round}"));
        for peer in &mut silent {
            peer.assert_over();
        }
        let closed = f64::from(round * 50);
        until("all are counted", || {
            metric(
                program.admin,
                "plaza_handshakes_rejected_total",
                &["reason=\"timeout\""],
            ) >= closed
        });
        healthy.check();
    }
}

/// Processor time of a process so far, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name in brackets may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
