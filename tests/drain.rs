//! Signals: how the program drains, stops and reloads.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Read,
    net::TcpStream,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Peer, Program, Request, TEXT, frame, get, metric, until};

#[test]
fn drain_tells_readiness_first_then_everybody_and_ends_with_0() {
    let mut program = Program::start(&["--memory", "--drain-timeout", "5s"]);
    assert_eq!(get(program.admin, "/readyz").status, 200);
    let mut natives: Vec<Peer> = (0..8)
        .map(|number| Peer::native_in(program.address(), &format!("native {number}"), "lobby"))
        .collect();
    let old = ["communication?username=c", "tutorial", "chatroom", "chat-request"];
    let open = |path: &str| Peer::open(program.address(), &format!("/ws/{path}"), &[("username", b"old")]);
    let mut legacy = old.map(open);
    program.signal("TERM");
    let mut waits = HashSet::new();
    for peer in &mut natives {
        let goodbye = peer.event_where(|event| event["goodbye"].is_object());
        // By the time the first is told, no balancer sends anybody here.
        let not_ready = get(program.admin, "/readyz");
        assert_eq!(not_ready.status, 503);
        assert!(not_ready.body.contains("draining"), "{}", not_ready.body);
        assert_eq!(get(program.admin, "/livez").status, 200);
        let newcomer = TcpStream::connect(program.address());
        assert!(newcomer.is_err(), "newcomers are still accepted");
        assert_eq!(goodbye["goodbye"]["code"], "shutting_down");
        waits.insert(goodbye["goodbye"]["retry_after"].as_u64().unwrap());
        assert_eq!(peer.frame().unwrap().close_code(), Some(4000));
        // Not closed from this side yet: the server waits for it a moment, and can be asked.
    }
    assert!(waits.len() >= 6, "they would all come back at once: {waits:?}");
    assert!(waits.iter().all(|wait| (500..=11_000).contains(wait)), "{waits:?}");
    for peer in &mut legacy {
        assert_eq!(peer.close_code(), Some(1001));
    }
    drop((natives, legacy));
    assert_eq!(program.ended(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn interrupt_drains_as_well() {
    let mut program = Program::start(&["--memory"]);
    let mut peer = Peer::native(program.address(), "somebody");
    program.signal("INT");
    assert_eq!(peer.close_code(), Some(4000));
    drop(peer);
    assert_eq!(program.ended(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn what_was_said_before_the_drain_is_heard_before_the_goodbye() {
    let program = Program::start(&["--memory"]);
    let mut listener = Peer::native_in(program.address(), "listener", "hall");
    let mut talker = Peer::native_in(program.address(), "talker", "hall");
    for number in 0..200 {
        talker.say("hall", &number.to_string());
    }
    program.signal("TERM");
    let mut heard = 0;
    loop {
        let event = listener.event();
        if event["message"].is_object() {
            assert_eq!(event["message"]["text"], heard.to_string());
            heard += 1;
        }
        if event["goodbye"].is_object() {
            break;
        }
    }
    assert_eq!(heard, 200);
}

/// What one member of a room knows when it is told goodbye.
#[derive(Default)]
struct Told {
    /// What it said and was acknowledged, with its number.
    acked: HashMap<String, u64>,
    heard: HashSet<String>,
    /// What it was told that it would not get, where it read more slowly than the others talked.
    gaps: Vec<RangeInclusive<u64>>,
}

/// Talks as fast as it is answered, 16 at a time, and listens until the goodbye.
fn talk_until_goodbye(mut peer: Peer, name: &str, room: &str) -> Told {
    let mut told = Told::default();
    let mut said = 0;
    let mut talk = |peer: &mut Peer| {
        said += 1;
        let talk = json!({"id": said, "talk": {"room": room, "text": format!("{name} {said}")}});
        peer.try_send(&frame(TEXT, talk.to_string().as_bytes()));
    };
    for _ in 0..16 {
        talk(&mut peer);
    }
    loop {
        let event = peer.event();
        if event["goodbye"].is_object() {
            return told;
        }
        if event["ack"].is_object() {
            let seq = event["ack"]["seq"].as_u64().unwrap();
            told.acked.insert(format!("{name} {}", event["id"]), seq);
            talk(&mut peer);
        }
        if let (Some(from), Some(to)) = (event["gap"]["from"].as_u64(), event["gap"]["to"].as_u64()) {
            told.gaps.push(from..=to);
        }
        if let Some(text) = event["message"]["text"].as_str() {
            told.heard.insert(text.to_owned());
        }
    }
}

#[test]
fn whoever_is_told_goodbye_has_heard_all_that_anybody_was_acknowledged() {
    for round in 0..5 {
        let program = Program::start(&["--memory", "--shards", "3"]);
        let rooms = ["hall", "attic", "cellar"];
        let members: Vec<_> = (0..9)
            .map(|number| {
                let (name, room) = (format!("member {number}"), rooms[number % 3]);
                (Peer::native_in(program.address(), &name, room), name, room)
            })
            .collect();
        // All of them are members before the first says something.
        let members: Vec<_> = members
            .into_iter()
            .map(|(peer, name, room)| std::thread::spawn(move || (room, talk_until_goodbye(peer, &name, room))))
            .collect();
        let delivered = || metric(program.admin, "plaza_deliveries_total", &[]);
        until("they talk", || delivered() > 500.0);
        program.signal("TERM");
        let told: Vec<_> = members.into_iter().map(|member| member.join().unwrap()).collect();
        for (room, listener) in &told {
            for (other, talker) in &told {
                if room != other {
                    continue;
                }
                for (text, seq) in &talker.acked {
                    let is_told = listener.heard.contains(text) || listener.gaps.iter().any(|gap| gap.contains(seq));
                    assert!(
                        is_told,
                        "in round {round} a member of {room} missed {seq}: {:?}",
                        listener.gaps
                    );
                }
            }
        }
    }
}

#[test]
fn drain_does_not_wait_for_browsers_that_keep_their_connections() {
    let mut program = Program::start(&["--memory", "--drain-timeout", "1min"]);
    let mut kept = Peer::connect(program.address());
    kept.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", program.address()).as_bytes());
    assert_eq!(kept.response().status, 200);
    let mut silent = Peer::connect(program.address());
    let mut late = Peer::connect(program.address());
    let request = Request::upgrade(program.address(), "/chat").bytes();
    let (head, rest) = request.split_at(20);
    late.send(head);
    let accepted = || metric(program.admin, "plaza_accepted_total", &[]);
    until("all are accepted", || accepted() >= 3.0);
    let since = Instant::now();
    program.signal("TERM");
    kept.assert_over();
    silent.assert_over();
    // A request that had begun is answered, and with a refusal.
    late.send(rest);
    let refused = late.response();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    late.assert_over();
    assert_eq!(program.ended(Duration::from_secs(5)).code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
}

#[test]
fn second_signal_ends_at_once() {
    let mut program = Program::start(&["--memory", "--drain-timeout", "5min"]);
    // It never closes from its side.
    let mut stubborn = Peer::native(program.address(), "stubborn");
    program.signal("TERM");
    stubborn.event_where(|event| event["goodbye"].is_object());
    assert!(program.child.try_wait().unwrap().is_none());
    let since = Instant::now();
    program.signal("TERM");
    let status = program.ended(Duration::from_secs(5));
    assert_eq!(status.code(), Some(1));
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[test]
fn drain_is_not_held_up_by_a_full_socket() {
    let mut program = Program::start(&["--memory", "--drain-timeout", "3s"]);
    let _deaf = Peer::native_in(program.address(), "deaf", "hall");
    let mut talker = Peer::native_in(program.address(), "talker", "hall");
    let text = "x".repeat(60_000);
    for _ in 0..200 {
        talker.say("hall", &text);
    }
    drop(talker);
    let since = Instant::now();
    program.signal("TERM");
    assert_eq!(program.ended(Duration::from_secs(8)).code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[test]
fn hang_up_changes_the_rate_limit_of_sessions_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("plaza.toml");
    fs::write(&settings, "").unwrap();
    let program = Program::start(&["--memory", "--config", settings.to_str().unwrap()]);
    let mut peer = Peer::native_in(program.address(), "fast", "hall");
    let mut say = || drop(peer.say("hall", "x"));
    let rate_limited = || metric(program.admin, "plaza_rate_limit_pauses_total", &[]);
    (0..30).for_each(|_| say());
    assert!(rate_limited() < 1.0);
    fs::write(&settings, "[chat]\nmessages_per_second = 20\nmessages_at_once = 1\n").unwrap();
    program.signal("HUP");
    until("the limit is felt", || {
        say();
        rate_limited() >= 1.0
    });
    fs::write(&settings, "").unwrap();
    program.signal("HUP");
    until("the limit is gone", || {
        let before = rate_limited();
        (0..5).for_each(|_| say());
        rate_limited() <= before
    });
}

#[test]
fn hang_up_shortens_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = dir.path().join("plaza.toml");
    fs::write(&settings, "").unwrap();
    let program = Program::start(&["--data", data.to_str().unwrap(), "--config", settings.to_str().unwrap()]);
    let mut peer = Peer::native_in(program.address(), "ann", "lobby");
    for _ in 0..20 {
        peer.say("lobby", "x");
    }
    fs::write(&settings, "[history]\nmax_count = 5\n").unwrap();
    program.signal("HUP");
    until("the oldest are deleted", || {
        peer.say("lobby", "x");
        metric(program.admin, "plaza_history_expired_messages_total", &[]) >= 15.0
    });
}

#[test]
fn hang_up_opens_the_logs_again_and_takes_over_settings() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = dir.path().join("plaza.toml");
    fs::write(&settings, "[log]\nserver_log = true\n").unwrap();
    let mut program = Program::start(&["--data", data.to_str().unwrap(), "--config", settings.to_str().unwrap()]);
    let mut peer = Peer::native_in(program.address(), "logged", "hall");
    let mut say = |text: &str| drop(peer.say("hall", text));
    let latest = data.join("logs/messages.latest");
    let has = |path: &std::path::Path, text: &str| fs::read_to_string(path).is_ok_and(|log| log.contains(text));
    say("before");
    until("the first line is written", || has(&latest, "before"));
    let file = fs::canonicalize(&latest).unwrap();
    let moved = dir.path().join("moved.jsonl");
    fs::rename(&file, &moved).unwrap();
    say("into the moved file");
    until("the moved file is still written", || has(&moved, "into the moved file"));
    fs::write(
        &settings,
        "[server]\ndrain_timeout = \"7s\"\n[log]\nserver_log = true\n",
    )
    .unwrap();
    program.signal("HUP");
    let mut number = 0;
    until("a new file is written", || {
        number += 1;
        say(&format!("after {number}"));
        has(&latest, "after")
    });
    assert!(!has(&latest, "before") && has(&moved, "before"));
    let logged = |text: &str| {
        let mut files = fs::read_dir(data.join("logs")).unwrap();
        files.any(|entry| has(&entry.unwrap().path(), text))
    };
    until("the change is in the server log", || logged("changed a setting"));
    // A mistake in the file changes nothing and ends nothing.
    fs::write(&settings, "[log]\nfilter = 7\n").unwrap();
    program.signal("HUP");
    until("the mistake is in the server log", || {
        logged("the old ones stay in force")
    });
    say("still here");
    program.signal("TERM");
    assert_eq!(peer.close_code(), Some(4000));
    drop(peer);
    assert_eq!(program.ended(Duration::from_secs(5)).code(), Some(0));
    assert!(has(&latest, "still here"), "the last line was lost");
    let mut errors = String::new();
    program.stderr().read_to_string(&mut errors).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
}
