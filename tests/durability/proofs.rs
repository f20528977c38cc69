//! `kill -9` under load, and subscribers that are disconnected again and again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use plaza_client::{Client, Config, Event, Wire, proto};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::{
    Kept,
    person::Person,
    size,
    support::{Program, until},
    talks,
};

fn two_threads() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn config(address: SocketAddr, name: &str) -> Config {
    Config::new(format!("ws://{address}"))
        .name(name)
        .wire(Wire::Json)
        .timeout(Duration::from_secs(20))
}

async fn hears_until_it_ends(client: &Client) -> plaza_client::Error {
    loop {
        if let Err(error) = client.next_event().await {
            return error;
        }
    }
}

/// Sends one message after the other, each with a key, and repeats each until it is acknowledged.
async fn writes_until_told(
    writer: usize,
    address: Arc<Mutex<SocketAddr>>,
    acks: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Vec<(u64, String)> {
    let mut acked: Vec<(u64, String)> = Vec::new();
    // Relaxed: only has to be seen at some time.
    while !stop.load(Ordering::Relaxed) {
        let at = *address.lock().unwrap();
        // One client over all its connections: a key belongs to it.
        let config = config(at, &format!("w{writer}")).client(format!("{writer:032x}"));
        let Ok((client, _)) = Client::connect(config).await else {
            tokio::task::yield_now().await;
            continue;
        };
        if client.join("lobby").await.is_err() {
            continue;
        }
        while !stop.load(Ordering::Relaxed) {
            let text = format!("{writer} {}", acked.len());
            let message = proto::Talk {
                room: "lobby".into(),
                key: text.clone(),
                text: text.clone(),
                ..Default::default()
            };
            // What the others say is heard too, or a long round fills the queue of events and acks wait behind it.
            let told = tokio::select! {
                told = client.talk_with(message) => told,
                error = hears_until_it_ends(&client) => Err(error),
            };
            match told {
                Ok(ack) => {
                    acked.push((ack.seq, text));
                    acks.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => break,
            }
        }
    }
    acked
}

#[test]
fn after_kill_9_under_load_every_acknowledged_message_is_there_once_in_order() {
    let rounds = size(50, 200);
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--data", dir.path().to_str().unwrap(), "--shards", "2"];
    let mut program = Program::start(&arguments);
    let address = Arc::new(Mutex::new(program.address()));
    let (acks, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let runtime = two_threads();
    let writers: Vec<_> = (0..8)
        .map(|writer| runtime.spawn(writes_until_told(writer, address.clone(), acks.clone(), stop.clone())))
        .collect();
    for round in 0..rounds {
        let enough = acks.load(Ordering::Relaxed) + 20 + fastrand::usize(..200);
        until("the writers are acknowledged", || {
            acks.load(Ordering::Relaxed) >= enough
        });
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        program = Program::start(&arguments);
        *address.lock().unwrap() = program.address();
        let mut reader = Person::joined(program.address(), &format!("reader {round}"), "lobby");
        assert!(!reader.all("lobby").is_empty());
    }
    stop.store(true, Ordering::Relaxed);
    let acked: Vec<Vec<(u64, String)>> = writers.into_iter().map(|one| runtime.block_on(one).unwrap()).collect();
    let mut reader = Person::joined(program.address(), "reader", "lobby");
    let stored = reader.all("lobby");
    let mut places: HashMap<&str, u64> = HashMap::new();
    for (message, n) in stored.iter().zip(1..) {
        let place = (&message["seq"], &message["epoch"]);
        assert_eq!(place, (&json!(n), &stored[0]["epoch"]), "{message}");
        let first = places.insert(message["text"].as_str().unwrap(), n);
        assert_eq!(first, None, "twice: {message}");
    }
    for of_one in &acked {
        assert!(of_one.is_sorted(), "each writer's in its order");
        for (seq, text) in of_one {
            assert_eq!(places.get(&**text), Some(seq), "{text}");
        }
    }
    let acks: usize = acked.iter().map(Vec::len).sum();
    eprintln!("{rounds} kills, {acks} acknowledged, {} stored", stored.len());
}

/// Receives the room from the beginning to the end, over many connections.
async fn is_kicked_again_and_again(address: SocketAddr, name: String, last: u64, mut random: fastrand::Rng) -> usize {
    let (mut epoch, mut seq, mut kicks) = (0, 0, 0);
    loop {
        let (client, _) = Client::connect(config(address, &name).resume("lobby", epoch, seq))
            .await
            .unwrap();
        let most = random.u64(..last / 4);
        let mut heard = 0;
        while heard < most || seq + 50 > last {
            let event = tokio::time::timeout(Duration::from_secs(60), client.next_event()).await;
            match event
                .unwrap_or_else(|_| panic!("{name} hears nothing more after {seq} of {last}"))
                .unwrap()
            {
                Event::Message(message) => {
                    assert_eq!((message.prev, message.seq), (seq, seq + 1), "{name}");
                    (epoch, seq) = (message.epoch, message.seq);
                    assert_eq!(message.text, seq.to_string());
                    heard += 1;
                    if seq == last {
                        return kicks;
                    }
                }
                Event::Gap(gap) => panic!("{name} after {seq}: {gap:?}"),
                _ => {}
            }
        }
        client.abort();
        kicks += 1;
    }
}

#[test]
fn subscribers_that_are_kicked_while_the_room_is_busy_hear_all_that_was_published_once() {
    let subscribers = 500;
    let last = size(2_000, 20_000) as u64;
    let server = Kept::start();
    let address = server.address;
    let mut ann = Person::joined(address, "ann", "lobby");
    ann.say("lobby", "1");
    let runtime = two_threads();
    let hearing: Vec<_> = (0..subscribers)
        .map(|n| {
            let random = fastrand::Rng::with_seed(n as u64);
            runtime.spawn(is_kicked_again_and_again(address, format!("sub {n}"), last, random))
        })
        .collect();
    ann.say_all(talks("lobby", 2..=last));
    let kicks: usize = hearing.into_iter().map(|one| runtime.block_on(one).unwrap()).sum();
    assert!(kicks > subscribers, "only {kicks} kicks");
    eprintln!("{subscribers} subscribers, {kicks} kicks, {last} talks");
}
