//! Crashes: `kill -9` under load, syncs and acknowledgements as strace sees them, damage, and subscribers that are disconnected again
//! and again.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use plaza::{codec::DIALECTS, observe::Metrics, server::Server};
use plaza_client::{Client, Config, Event, Wire, proto};
use serde_json::{Value, json};

use crate::{
    forgetful::settle_in,
    kept,
    person::Person,
    size,
    skip::skipped,
    support::{Program, Running, clean, until},
};

fn config(address: SocketAddr, name: &str) -> Config {
    Config::new(format!("ws://{address}"))
        .name(name)
        .wire(Wire::Json)
        .timeout(Duration::from_secs(20))
}

// ------------------------------------------------------------------------------------------------ kill -9

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
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
        let seqs = reader.all("lobby").len() as u64;
        assert!(seqs >= 1);
    }
    stop.store(true, Ordering::Relaxed);
    let acked: Vec<Vec<(u64, String)>> = runtime.block_on(async {
        let mut all = Vec::new();
        for writer in writers {
            all.push(writer.await.unwrap());
        }
        all
    });
    let mut reader = Person::joined(program.address(), "reader", "lobby");
    let stored = reader.all("lobby");
    let mut places: HashMap<&str, u64> = HashMap::new();
    for (message, n) in stored.iter().zip(1..) {
        assert_eq!(
            (&message["seq"], &message["epoch"]),
            (&json!(n), &stored[0]["epoch"]),
            "{message}"
        );
        assert_eq!(
            places.insert(message["text"].as_str().unwrap(), n),
            None,
            "twice: {message}"
        );
    }
    for of_one in &acked {
        assert!(of_one.is_sorted(), "each writer's in its order");
        for (seq, text) in of_one {
            assert_eq!(places.get(&**text), Some(seq), "{text}");
        }
    }
    eprintln!(
        "{rounds} kills, {} acknowledged, {} stored",
        acked.iter().map(Vec::len).sum::<usize>(),
        stored.len()
    );
}

// ------------------------------------------------------------------------------------------------ strace

#[test]
fn between_the_write_of_a_talk_and_its_ack_on_the_socket_a_sync_of_the_log_is_completed() {
    let quiet = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !quiet.is_ok_and(|status| status.success()) {
        skipped("syncs before acknowledgements: there is no strace here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let mut command = clean(Command::new("strace"));
    command
        .args([
            "-f",
            "-y",
            "-s",
            "200000",
            "-e",
            "trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync",
            "-o",
        ])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_plaza"));
    let data = dir.path().join("data");
    let may = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        skipped("syncs before acknowledgements: strace may not trace here");
        return;
    }
    let mut program = Program::from_command(command, &["--data", data.to_str().unwrap(), "--shards", "2"]);
    let messages = size(40, 500);
    let mut ann = Person::joined(program.address(), "ann", "lobby");
    for n in 1..=messages {
        assert_eq!(ann.say("lobby", &format!("proof-{n}-"))["seq"], n);
    }
    drop(ann);
    let children = format!("/proc/{0}/task/{0}/children", program.child.id());
    let server = fs::read_to_string(children).unwrap();
    assert!(Command::new("kill").arg(server.trim()).status().unwrap().success());
    program.ended(Duration::from_secs(60));
    let calls = calls(&fs::read_to_string(&trace).unwrap());
    let place = |what: &str, from: usize, is_it: &dyn Fn(&Call) -> bool| {
        let found = calls.iter().skip(from).position(is_it);
        from + found.unwrap_or_else(|| panic!("{what} is not in the trace"))
    };
    let mut from = 0;
    for n in 1..=messages {
        let text = format!("proof-{n}-");
        let written = place("the write", from, &|call| {
            call.name == "pwrite64" && call.text.contains("history.db-wal") && call.text.contains(&text)
        });
        let sync = calls
            .iter()
            .filter(|call| call.name.ends_with("sync") && call.text.contains("history.db-wal") && call.succeeded)
            .find(|call| call.began > calls[written].ended)
            .unwrap_or_else(|| panic!("talk {n} was never synced"));
        let ack = format!(r#"\"ack\":{{\"seq\":{n},"#);
        let acked = place("the ack", from, &|call| {
            call.text.contains(&ack) && !call.text.contains("history")
        });
        assert!(
            calls[acked].began > sync.ended,
            "talk {n} was acknowledged before it was synced: {sync:?}, {:?}",
            calls[acked]
        );
        from = written;
    }
}

/// A system call of a traced program; its time is the line of the trace.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    began: usize,
    ended: usize,
    succeeded: bool,
}

fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((process, text)) = text.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if text.starts_with("<...") {
            if let Some(call) = unfinished.remove(process) {
                calls[call].ended = line;
                calls[call].succeeded = text.trim_end().ends_with("= 0");
            }
        } else if let Some((name, rest)) = text.split_once('(') {
            if rest.ends_with("<unfinished ...>") {
                unfinished.insert(process, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                text: rest.to_owned(),
                began: line,
                ended: line,
                succeeded: rest.trim_end().ends_with("= 0"),
            });
        }
    }
    calls
}

// ------------------------------------------------------------------------------------------------ damage

const TALKS: u64 = 60;

fn text(n: u64) -> String {
    format!("talk {n} {}", "字".repeat((n % 20) as usize))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verdict {
    Whole,
    /// Everything is there, in a new epoch, because the server cannot know that there was nothing more.
    Doubted,
    Prefix,
    Refused,
}

/// Starts a server on this and checks what it reports.
fn judge(dir: &Path, epoch: &Value, what: &str) -> Verdict {
    let names: Vec<&'static str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    let config = kept(dir);
    let server = match Server::start(&config, &Metrics::new(config.shard_count(2), &names)) {
        Ok(server) => server,
        Err(words) => {
            assert!(
                words.contains("history.") && words.contains("plaza history"),
                "{what}: {words}"
            );
            return Verdict::Refused;
        }
    };
    let mut ann = Person::named(server.addresses()[0], "ann");
    let answer = ann.ask(json!({"join": {"room": "lobby", "epoch": epoch, "seq": TALKS}}));
    let joined = &answer["joined"];
    if joined.is_null() {
        assert_eq!(answer["error"]["code"], "store_failed", "{what}: {answer}");
        return Verdict::Refused;
    }
    let head = joined["head"].as_u64().unwrap();
    let answer = ann.ask(json!({"history": {"room": "lobby", "after": 0, "limit": 200}}));
    let Some(messages) = answer["history"]["messages"].as_array() else {
        assert_eq!(answer["error"]["code"], "store_failed", "{what}: {answer}");
        return Verdict::Refused;
    };
    assert_eq!(messages.len() as u64, head, "{what}: all that is there is given");
    for (message, n) in messages.iter().zip(1..) {
        assert_eq!(
            (&message["seq"], &message["text"]),
            (&json!(n), &json!(text(n))),
            "{what}"
        );
    }
    if head == TALKS && joined["epoch"] == *epoch {
        return Verdict::Whole;
    }
    assert_ne!(joined["epoch"], *epoch, "{what}: the epoch says that the tail is lost");
    if head == TALKS {
        assert!(ann.heard().iter().all(|event| event["gap"].is_null()), "{what}");
        return Verdict::Doubted;
    }
    let gap = ann.next("gap");
    assert_eq!(
        (&gap["epoch"], &gap["from"], &gap["to"], &gap["lost"]),
        (epoch, &json!(head + 1), &json!(TALKS), &json!(true)),
        "{what}"
    );
    // It goes on behind the prefix.
    assert_eq!(ann.say("lobby", "on")["seq"], head + 1, "{what}");
    Verdict::Prefix
}

#[test]
fn a_cut_log_or_a_flipped_bit_gives_a_prefix_with_the_loss_told_or_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut program = Program::start(&["--data", data.to_str().unwrap(), "--shards", "2"]);
    let mut ann = Person::joined(program.address(), "ann", "lobby");
    let mut epoch = Value::Null;
    for n in 1..=TALKS {
        epoch = ann.say("lobby", &text(n))["epoch"].clone();
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let image: Vec<(String, Vec<u8>)> = ["history.db", "history.db-wal", "history.head"]
        .into_iter()
        .map(|name| (name.to_owned(), fs::read(data.join(name)).unwrap()))
        .collect();
    let try_with = |what: &str, name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in &image {
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        settle_in(dir.path());
        if !name.is_empty() {
            let mut bytes = fs::read(dir.path().join(name)).unwrap();
            change(&mut bytes);
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        judge(dir.path(), &epoch, what)
    };
    assert_eq!(try_with("untouched", "", &|_| {}), Verdict::Whole);
    let places = size(100, 1_000);
    let length = |name: &str| image.iter().find(|(file, _)| file == name).unwrap().1.len();
    let wal = length("history.db-wal");
    let mut verdicts: HashMap<Verdict, usize> = HashMap::new();
    for n in 0..places {
        let cut = n * wal / places;
        let verdict = try_with(&format!("cut at {cut} of {wal}"), "history.db-wal", &|bytes| {
            bytes.truncate(cut)
        });
        assert_ne!(verdict, Verdict::Whole, "cut at {cut} of {wal}");
        *verdicts.entry(verdict).or_default() += 1;
    }
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..places {
        let name = ["history.db-wal", "history.db-wal", "history.db", "history.head"][n % 4];
        let bit = random.usize(..length(name) * 8);
        let what = format!("bit {bit} of {name}");
        let verdict = try_with(&what, name, &|bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        *verdicts.entry(verdict).or_default() += 1;
    }
    eprintln!("{places} cuts and {places} flips: {verdicts:?}");
}

// ------------------------------------------------------------------------------------------------ kicked

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
    let dir = tempfile::tempdir().unwrap();
    let server = Running::start(&kept(dir.path()));
    let address = server.address;
    let mut ann = Person::joined(address, "ann", "lobby");
    ann.say("lobby", "1");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let hearing: Vec<_> = (0..subscribers)
        .map(|n| {
            let random = fastrand::Rng::with_seed(n as u64);
            runtime.spawn(is_kicked_again_and_again(address, format!("sub {n}"), last, random))
        })
        .collect();
    ann.say_all((2..=last).map(|n| json!({"talk": {"room": "lobby", "text": n.to_string()}})));
    let kicks: usize = runtime.block_on(async {
        let mut all = 0;
        for one in hearing {
            all += one.await.unwrap();
        }
        all
    });
    assert!(kicks > subscribers, "only {kicks} kicks");
    eprintln!("{subscribers} subscribers, {kicks} kicks, {last} talks");
}
