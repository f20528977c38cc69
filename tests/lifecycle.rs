//! How connections end: heartbeats, idle users, full sockets, exits, broken connections. However a user leaves, the lists lose the name
//! once and everybody gets one notice.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use socket2::SockRef;
use support::{CLOSE, Moved, PING, PONG, Peer, Running, TEXT, Watcher, config, frame, metric, strings, until};

const ROOM: &str = "hall";

/// Connections that the server has ended for this reason.
fn closed_for(server: &Running, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    metric(server.admin, "plaza_connections_closed_total", &[&label])
}

#[test]
fn server_pings_at_its_pace() {
    let mut config = config();
    config.chat.native_ping = Duration::from_millis(200);
    let server = Running::start(&config);
    let mut peer = Peer::native(server.address, "pinged");
    let mut ping = || {
        let ping = peer.frame().unwrap();
        assert_eq!(ping.first, PING);
        peer.send(&frame(PONG, &ping.payload));
    };
    // The first comes at random within the pace.
    ping();
    let since = Instant::now();
    for _ in 0..5 {
        ping();
    }
    let five = since.elapsed();
    assert!(
        (Duration::from_millis(700)..Duration::from_secs(3)).contains(&five),
        "{five:?}"
    );
}

#[test]
fn peer_that_stops_answering_is_gone_and_its_presence_is_cleared_once() {
    let mut config = config();
    config.chat.native_ping = Duration::from_millis(150);
    config.chat.dead_after = Duration::from_millis(900);
    let server = Running::start(&config);
    let mut watcher = Watcher::in_room(server.address, ROOM);
    let mut silent = Peer::native_in(server.address, "silent", ROOM);
    let since = Instant::now();
    watcher.gone_once("silent");
    let after = since.elapsed();
    assert!(
        (Duration::from_millis(600)..Duration::from_secs(5)).contains(&after),
        "gone after {after:?}"
    );
    // No close frame: nobody is known to read it.
    while let Some(frame) = silent.frame() {
        assert_ne!(frame.first, CLOSE);
    }
    until("the reason is counted", || closed_for(&server, "dead") == 1.0);
}

#[test]
fn peer_that_only_answers_pings_stays() {
    let mut config = config();
    config.chat.native_ping = Duration::from_millis(150);
    config.chat.dead_after = Duration::from_millis(600);
    let server = Running::start(&config);
    let mut peer = Peer::native_in(server.address, "reader", ROOM);
    let end = Instant::now() + 3 * config.chat.dead_after;
    while Instant::now() < end {
        let ping = peer.frame().expect("a peer that answers was closed");
        if ping.first == PING {
            peer.send(&frame(PONG, &ping.payload));
        }
    }
    peer.get("pong", json!({"ping": {}}));
}

/// A client of the dialect `tutorial`, logged in.
fn tutorial(server: &Running, name: &str) -> Peer {
    let mut peer = Peer::websocket(server.address, "/ws/tutorial");
    peer.send_text(&json!({"type": "login", "content": name}).to_string());
    peer.event_where(|event| event["type"] == "login" && event["content"] == name);
    peer
}

#[test]
fn idle_user_is_told_then_closed_and_a_talking_one_stays() {
    let mut config = config();
    config.chat.idle_kick = Some(Duration::from_millis(800));
    let server = Running::start(&config);
    let mut quiet = tutorial(&server, "quiet");
    let mut lively = tutorial(&server, "lively");
    // What a library does by itself is not the user's doing.
    let mut pings = quiet.stream.try_clone().unwrap();
    let pinging = thread::spawn(move || {
        use std::io::Write;
        while pings.write_all(&frame(PING, b"")).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut logouts = 0;
    let end = Instant::now() + Duration::from_millis(2000);
    let mut said = 0;
    while Instant::now() < end {
        said += 1;
        lively.send_text(&json!({"type": "user", "content": said.to_string()}).to_string());
        let own = lively.event_where(|event| {
            logouts += usize::from(event["type"] == "logout" && event["content"] == "quiet");
            event["type"] == "user"
        });
        assert_eq!(own["content"], said.to_string());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(logouts, 1);
    let mut last_words: Vec<Value> = Vec::new();
    let code = loop {
        let next = quiet.frame().expect("closed without a close frame");
        match next.first {
            TEXT => last_words.push(serde_json::from_slice(&next.payload).unwrap()),
            CLOSE => break next.close_code(),
            first => assert_eq!(first, PONG),
        }
    };
    assert_eq!(code, Some(1000));
    assert_eq!(last_words.last().unwrap()["type"], "system", "{last_words:?}");
    drop(quiet);
    pinging.join().unwrap();
}

/// A member whose socket takes little and who never reads.
fn deaf(server: &Running, name: &str) -> Peer {
    let json = [("Sec-WebSocket-Protocol", &b"plaza.v1.json"[..])];
    let mut peer = Peer::open_narrow(server.address, "/chat", &json);
    peer.get("welcome", json!({"hello": {"name": name}}));
    peer.join(ROOM);
    peer
}

#[test]
fn member_whose_socket_takes_nothing_is_cut_off_and_the_others_are_not_delayed() {
    let mut config = config();
    config.flush.write_timeout = Duration::from_millis(700);
    let server = Running::start(&config);
    let mut watcher = Watcher::in_room(server.address, ROOM);
    let _deaf = deaf(&server, "deaf");
    let mut talker = Peer::native_in(server.address, "talker", ROOM);
    let text = "x".repeat(60_000);
    let mut acks = 0;
    let end = Instant::now() + support::PATIENCE;
    while closed_for(&server, "write_timeout") == 0.0 {
        let since = Instant::now();
        talker.say(ROOM, &text);
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "the talker waited for the deaf"
        );
        acks += 1;
        watcher.settle();
        assert!(
            Instant::now() < end,
            "the deaf member is still there after {acks} talks"
        );
    }
    watcher.gone_once("deaf");
    assert_eq!(watcher.texts.iter().filter(|heard| **heard == text).count(), acks);
    assert_eq!(closed_for(&server, "write_timeout"), 1.0);
}

#[test]
fn exit_in_every_dialect_ends_the_user_once() {
    let server = Running::start(&config());
    let mut watcher = Watcher::in_room(server.address, "lobby");
    for (path, name, exit) in [
        ("/ws/communication?username=com", "com", &["2"][..]),
        ("/ws/chat-request", "req", &["", "exit"]),
        ("/ws/chatroom", "cha", &["exit"]),
    ] {
        let mut peer = Peer::open(server.address, path, &[("username", name.as_bytes())]);
        watcher.wait_for(Moved::Came, name);
        peer.send_binary(&strings(exit));
        assert_eq!(peer.close_code(), Some(1000), "{path}");
        watcher.gone_once(name);
    }
    let mut peer = tutorial(&server, "tut");
    peer.send_text(&json!({"type": "logout", "content": "tut"}).to_string());
    assert_eq!(peer.close_code(), Some(1000));
    watcher.gone_once("tut");

    let mut peer = Peer::native_in(server.address, "nat", "lobby");
    let goodbye = peer.get("goodbye", json!({"exit": {}}));
    assert_eq!((&goodbye["code"], &goodbye["retry_after"]), (&json!("exit"), &json!(0)));
    assert_eq!(peer.close_code(), Some(1000));
    watcher.gone_once("nat");
}

#[test]
fn lines_that_break_in_any_way_end_the_user_once() {
    let server = Running::start(&config());
    let mut watcher = Watcher::in_room(server.address, ROOM);
    /// A way to go.
    type Way = fn(Peer);
    let ways: [(&str, Way); 5] = [
        ("closed politely", |mut peer| {
            peer.send(&frame(CLOSE, &1001_u16.to_be_bytes()));
            assert_eq!(peer.close_code(), Some(1001));
        }),
        ("closed and gone", |mut peer| peer.send(&frame(CLOSE, &[]))),
        ("gone without a word", drop),
        ("reset", |peer| {
            SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap()
        }),
        ("half closed", |mut peer| {
            peer.stream.shutdown(Shutdown::Write).unwrap();
            peer.close_code();
        }),
    ];
    for (name, way) in ways {
        way(Peer::native_in(server.address, name, ROOM));
        watcher.gone_once(name);
    }
    let counted = || metric(server.admin, "plaza_connections", &[]);
    until("only the watcher's is left", || server.server.connections() == 1);
    until("the metric says so too", || counted() == 1.0);
    // In the middle of the handshake's own talk: nobody has come, so nobody goes.
    drop(Peer::native(server.address, "never joined"));
    watcher.settle();
    assert_eq!(watcher.times(Moved::Went, "never joined"), 0);
}

#[test]
fn what_is_said_with_the_last_breath_arrives_and_the_user_is_gone() {
    let server = Running::start(&config());
    let mut watcher = Watcher::in_room(server.address, ROOM);
    let names: Vec<String> = (0..50).map(|number| format!("brief {number}")).collect();
    let come = |name: &String| Peer::native_in(server.address, name, ROOM);
    let mut peers: Vec<Peer> = names.iter().map(come).collect();
    let mut listener = Peer::native_in(server.address, "listener", ROOM);
    // The end of the stream is there together with the words, or right behind them.
    for (peer, name) in peers.iter_mut().zip(&names) {
        peer.send_text(&json!({"talk": {"room": ROOM, "text": name}}).to_string());
        peer.stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut said: Vec<String> = names
        .iter()
        .map(|_| {
            let event = listener.event_where(|event| event["message"].is_object());
            event["message"]["text"].as_str().unwrap().to_owned()
        })
        .collect();
    said.sort_by_key(|name| names.iter().position(|other| other == name));
    assert_eq!(said, names);
    for name in &names {
        watcher.wait_for(Moved::Went, name);
    }
    until("only those who listen are left", || server.server.connections() == 2);
}

#[test]
fn flood_of_requests_is_answered_to_the_last_one() {
    const PINGS: u64 = 40_000;
    let server = Running::start(&config());
    let mut peer = Peer::native(server.address, "eager");
    let mut sending = Peer::over(peer.stream.try_clone().unwrap());
    // A megabyte: more than a shard reads of one socket at a time, and more answers than it keeps for one.
    let sender = thread::spawn(move || {
        for id in 0..PINGS / 100 {
            let pings: Vec<u8> = (1..=100)
                .flat_map(|n| frame(TEXT, json!({"id": id * 100 + n, "ping": {}}).to_string().as_bytes()))
                .collect();
            sending.send(&pings);
        }
    });
    for id in 1..=PINGS {
        let pong = peer.event_where(|event| event["pong"].is_object());
        assert_eq!(pong["id"].as_u64(), Some(id));
    }
    sender.join().unwrap();
}

#[test]
fn user_with_two_sessions_goes_with_the_last() {
    let server = Running::start(&config());
    let mut watcher = Watcher::in_room(server.address, ROOM);
    let one = Peer::native_in(server.address, "twofold", ROOM);
    let two = Peer::native_in(server.address, "twofold", ROOM);
    watcher.wait_for(Moved::Came, "twofold");
    drop(one);
    until("one session is gone", || server.server.connections() == 2);
    watcher.settle();
    assert_eq!(watcher.times(Moved::Went, "twofold"), 0);
    assert!(watcher.users().contains(&"twofold".to_owned()));
    drop(two);
    watcher.gone_once("twofold");
    assert_eq!(watcher.times(Moved::Came, "twofold"), 1);
}

#[test]
fn hundred_who_leave_at_once_are_each_gone_once() {
    let server = Running::start(&config());
    let mut watcher = Watcher::in_room(server.address, ROOM);
    let names: Vec<String> = (0..100).map(|number| format!("one of many {number}")).collect();
    let come = |name: &String| Peer::native_in(server.address, name, ROOM);
    drop(names.iter().map(come).collect::<Vec<_>>());
    for name in &names {
        watcher.wait_for(Moved::Went, name);
    }
    watcher.settle();
    for name in &names {
        let seen = [Moved::Came, Moved::Went].map(|moved| watcher.times(moved, name));
        assert_eq!(seen, [1, 1], "{name}");
    }
    assert_eq!(watcher.users(), ["watcher"]);
}
