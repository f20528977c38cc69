//! Load: bursts of connections, senders among members who come and go, and a member of fifty rooms.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::HashMap,
    env, io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plaza::config::ByteCount;
use serde_json::json;
use support::{Peer, Program, Request, Running, TEXT, config, frame, metric, until};

/// Sockets of one burst, which all ask to be accepted before any of them says a word.
const BURST: usize = 500;

/// How many clients connect: 2,000, or as many as `BURST_CLIENTS` says (10,000 for a release build), as far as the limit of
/// open files allows both ends.
fn clients() -> usize {
    let wanted = env::var("BURST_CLIENTS").map_or(2_000, |number| number.parse().unwrap());
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    let possible = soft.saturating_sub(200);
    if possible < wanted {
        eprintln!("only {possible} clients of {wanted}: the limit of open files is {soft}; raise it with ulimit -n");
    }
    wanted.min(possible)
}

#[test]
fn everybody_of_a_burst_is_served_and_hears_everything_once_in_order() {
    let clients = clients();
    // More than 500 make a large room, where nobody is told of each coming; the talks are what counts here.
    let mut program = Program::start(&["--memory"]);
    let address = program.address();
    let since = Instant::now();
    let mut members: Vec<Peer> = Vec::with_capacity(clients);
    while members.len() < clients {
        let first = members.len();
        let burst: Vec<Peer> = (first..clients.min(first + BURST))
            .map(|_| Peer::connect(address))
            .collect();
        members.extend(burst);
        for (number, member) in members.iter_mut().enumerate().skip(first) {
            let request = Request::upgrade(address, "/chat").with("Sec-WebSocket-Protocol", "plaza.v1.json");
            let hello = json!({"id": 1, "hello": {"name": format!("one of the burst {number}")}});
            let join = json!({"id": 2, "join": {"room": "square"}});
            let behind = [hello, join]
                .map(|request| frame(TEXT, request.to_string().as_bytes()))
                .concat();
            member.send(&request.followed_by(&behind).bytes());
        }
        for member in members.iter_mut().skip(first) {
            assert_eq!(member.response().status, 101);
            member.event_where(|event| event["joined"].is_object());
        }
    }
    let connected = since.elapsed();
    let counted = |name: &str| metric(program.admin, name, &[]);
    until("all of them are counted", || counted("plaza_members") == clients as f64);
    let talks = 5;
    for (number, member) in members.iter_mut().take(talks).enumerate() {
        // What comes before the ack is skipped there; the talkers are counted by their acks.
        member.say("square", &number.to_string());
    }
    for member in members.iter_mut().skip(talks) {
        for number in 0..talks {
            let heard = member.event_where(|event| event["message"].is_object());
            assert_eq!(heard["message"]["text"], number.to_string());
        }
    }
    println!("{clients} clients connected in {connected:?}, in bursts of {BURST}");
    drop(members);
    until("all of them are gone", || counted("plaza_connections") == 0.0);
    assert!(program.child.try_wait().unwrap().is_none());
}

#[test]
fn fifty_talk_while_others_come_and_go_and_every_talk_is_heard_once_in_order() {
    const TALKERS: usize = 50;
    const TALKS: usize = 40;
    let program = Program::start(&["--memory", "--shards", "2"]);
    let address = program.address();
    // They stay, and hear everything from the first talk on.
    let mut stable: Vec<Peer> = (0..TALKERS)
        .map(|number| Peer::native_in(address, &format!("talker {number}"), "square"))
        .collect();
    let over = Arc::new(AtomicBool::new(false));
    let crowd: Vec<_> = (0..4)
        .map(|number| {
            let over = over.clone();
            thread::spawn(move || {
                let mut came = 0;
                while !over.load(Ordering::Relaxed) {
                    came += 1;
                    let mut peer = Peer::native_in(address, &format!("passer-by {number}.{came}"), "square");
                    match came % 3 {
                        0 => drop(peer),
                        1 => assert!(peer.ask(json!({"leave": {"room": "square"}}))["left"].is_object()),
                        _ => {
                            // Says something and is gone.
                            peer.send_text(
                                &json!({"id": 9, "talk": {"room": "square", "text": "passing"}}).to_string(),
                            );
                        }
                    }
                }
                came
            })
        })
        .collect();
    let heard: Vec<Heard> = thread::scope(|scope| {
        let talkers: Vec<_> = stable
            .iter_mut()
            .enumerate()
            .map(|(number, peer)| scope.spawn(move || talk_and_listen(number, peer, TALKERS, TALKS)))
            .collect();
        talkers.into_iter().map(|talker| talker.join().unwrap()).collect()
    });
    over.store(true, Ordering::Relaxed);
    let came: u64 = crowd.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(came >= 10, "only {came} came and went");
    for (chain, by_talker) in &heard {
        assert_eq!(by_talker.len(), TALKERS);
        for (talker, numbers) in by_talker {
            assert!(numbers.iter().copied().eq(0..TALKS), "{talker}: {numbers:?}");
        }
        // Each names its predecessor, so nothing of anybody was missed in between.
        for pair in chain.windows(2) {
            assert_eq!(pair[1].1, pair[0].0, "a talk is missing");
        }
    }
    // All saw the same order.
    for pair in heard.windows(2) {
        let common = pair[0].0.len().min(pair[1].0.len());
        assert_eq!(pair[0].0[..common], pair[1].0[..common]);
    }
}

/// (seq, prev) of everything heard, in order, and the numbers of the talks by talker.
type Heard = (Vec<(u64, u64)>, HashMap<String, Vec<usize>>);

/// Says its talks, each when the one before is acknowledged, and listens until it has heard all of everybody.
fn talk_and_listen(number: usize, peer: &mut Peer, talkers: usize, talks: usize) -> Heard {
    let mut chain = Vec::new();
    let mut by_talker: HashMap<String, Vec<usize>> = HashMap::new();
    let mut heard = 0;
    let mut said = 0;
    let say = |peer: &mut Peer, said: usize| {
        let text = format!("{said}");
        let id = 10_000 + said;
        peer.send_text(&json!({"id": id, "talk": {"room": "square", "text": text}}).to_string());
    };
    say(peer, said);
    let end = Instant::now() + Duration::from_secs(120);
    while heard < talkers * talks || said < talks {
        assert!(Instant::now() < end, "talker {number} heard {heard} and said {said}");
        let event = peer.event();
        if let Some(message) = event["message"].as_object() {
            chain.push((message["seq"].as_u64().unwrap(), message["prev"].as_u64().unwrap()));
            let from = message["from"].as_str().unwrap();
            if from.starts_with("talker") {
                let text = message["text"].as_str().unwrap();
                by_talker
                    .entry(from.to_owned())
                    .or_default()
                    .push(text.parse().unwrap());
                heard += 1;
            }
        } else if event["ack"].is_object() {
            said += 1;
            if said < talks {
                say(peer, said);
            }
        } else {
            assert!(event["error"].is_null(), "{event}");
        }
    }
    (chain, by_talker)
}

#[test]
fn member_of_fifty_rooms_hears_each_of_them_in_order() {
    const ROOMS: usize = 50;
    let program = Program::start(&["--memory", "--shards", "2"]);
    let mut member = Peer::native(program.address(), "everywhere");
    let mut talker = Peer::native(program.address(), "talker");
    let rooms: Vec<String> = (0..ROOMS).map(|number| format!("room {number}")).collect();
    for room in &rooms {
        member.join(room);
        talker.join(room);
    }
    for round in 0..10 {
        for room in &rooms {
            talker.say(room, &round.to_string());
        }
    }
    let mut next: HashMap<String, u64> = HashMap::new();
    for _ in 0..10 * ROOMS {
        let event = member.event_where(|event| event["message"].is_object());
        let message = &event["message"];
        let expected = next.entry(message["room"].as_str().unwrap().to_owned()).or_default();
        assert_eq!(message["text"], expected.to_string());
        *expected += 1;
    }
    assert!(next.len() == ROOMS && next.values().all(|count| *count == 10));
    // Leaving half of them leaves the other half as it was.
    for room in rooms.iter().step_by(2) {
        member.get("left", json!({"leave": {"room": room}}));
    }
    for room in &rooms {
        talker.say(room, "after");
    }
    for _ in 0..ROOMS / 2 {
        let event = member.event_where(|event| event["message"].is_object());
        let number = &event["message"]["room"].as_str().unwrap()["room ".len()..];
        let number: usize = number.parse().unwrap();
        assert_eq!(number % 2, 1, "{event}");
    }
}

/// The shards' inboxes are full most of the time, so that messages to the other shard are kept and sent again.
#[test]
fn a_flood_to_a_shard_whose_inbox_is_full_arrives_whole_but_for_what_was_refused() {
    // The owner of one is the talker's shard, that of the other the listener's.
    for room in ["r0", "delta"] {
        flood(room);
    }
}

fn flood(room: &str) {
    let mut config = config();
    config.flush.inbox_messages = 64;
    config.flush.ring_bytes = ByteCount(32 * 1024 * 1024);
    let server = Running::start(&config);
    let socket = TcpStream::connect(server.address).unwrap();
    let mut own = socket.try_clone().unwrap();
    let mut talker = Peer::over(socket);
    talker.become_native(server.address, "flood");
    talker.join(room);
    // Whoever comes second is given the other shard.
    let mut listener = Peer::native_in(server.address, "other bank", room);
    let mut last = Peer::native_in(server.address, "last drop", room);
    let echoes = thread::spawn(move || io::copy(&mut own, &mut io::sink()));
    let flood: Vec<u8> = (0..20_000)
        .map(|number| json!({"talk": {"room": room, "text": format!("drop {number}")}}).to_string())
        .flat_map(|talk| frame(TEXT, talk.as_bytes()))
        .collect();
    let last_room = room.to_owned();
    let flooding = thread::spawn(move || {
        talker.send(&flood);
        // Refused while too much is under way.
        while !last.ask(json!({"talk": {"room": last_room, "text": "the last"}}))["error"].is_null() {}
    });
    let mut seq = 0;
    loop {
        let heard = listener.event_where(|event| !event["message"].is_null());
        let message = &heard["message"];
        seq += 1;
        assert_eq!(message["seq"], seq);
        if message["text"] == "the last" {
            break;
        }
    }
    flooding.join().unwrap();
    drop(server);
    // It ends with the server's word or without one.
    let _ = echoes.join().unwrap();
}
