//! History through the real server, over sockets, as a client of Plaza's own protocol sees it.

use std::{
    fs,
    io::Read as _,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use plaza::config::Config;
use serde_json::json;

use crate::{
    MILLION, median,
    person::Person,
    store::page_rate,
    support::{self, Program, Running, get, metric, stored},
    words::Words,
};

/// Members of the room whose latency is measured.
const MEMBERS: usize = 20;

/// A room in which one talks and the others listen.
struct Hall {
    server: Running,
    talker: Person,
    members: Vec<Person>,
}

impl Hall {
    fn open(config: &Config) -> Self {
        let server = Running::start(config);
        let members = (0..MEMBERS)
            .map(|n| Person::joined(server.address, &format!("m{n}"), "lobby"))
            .collect();
        let talker = Person::joined(server.address, "talker", "lobby");
        Self {
            server,
            talker,
            members,
        }
    }

    /// Milliseconds from sending a message until the last member has it.
    fn talk(&mut self) -> f64 {
        let begun = Instant::now();
        let talk = json!({"room": "lobby", "text": "x".repeat(64)});
        self.talker.peer.send_text(&json!({ "talk": talk }).to_string());
        for member in &mut self.members {
            member.next("message");
        }
        begun.elapsed().as_secs_f64() * 1e3
    }

    /// The number of commits, and the milliseconds in them.
    fn commits(&self) -> (f64, f64) {
        let name = |what: &str| format!("plaza_history_commit_duration_seconds_{what}");
        let of = |what: &str| metric(self.server.admin, &name(what), &[]);
        (of("count"), of("sum") * 1e3)
    }
}

/// The latency of a message to its last member, with history and without.
pub(crate) fn fan_out(base: &Path) {
    let dir = tempfile::tempdir_in(base).unwrap();
    let (mut with, mut without) = (Hall::open(&stored(dir.path())), Hall::open(&support::config()));
    println!("\n| a message to the last of {MEMBERS} members, over sockets | median ms | p99 ms |\n|---|---|---|");
    let mut times = [const { Vec::new() }; 2];
    let mut commits = Vec::new();
    for round in 0..1_100 {
        let bare = without.talk();
        let before = with.commits();
        let stored = with.talk();
        let after = with.commits();
        if round >= 100 {
            times[0].push(bare);
            times[1].push(stored);
            commits.push((after.1 - before.1) / (after.0 - before.0));
        }
    }
    let p99 = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    };
    let [bare, stored] = times.each_mut().map(|times| (median(times), p99(times)));
    let commit = (median(&mut commits), p99(&mut commits));
    println!("| without history | {:.2} | {:.2} |", bare.0, bare.1);
    println!("| with history | {:.2} | {:.2} |", stored.0, stored.1);
    println!("| a commit, of the same messages | {:.2} | {:.2} |", commit.0, commit.1);
    println!(
        "| so history adds, in commits | {:.1} | {:.1} |",
        (stored.0 - bare.0) / commit.0,
        (stored.1 - bare.1) / commit.1
    );
}

/// The time from the start of the program until it is ready, with a million stored messages: after an orderly stop, and after `kill -9`.
pub(crate) fn start(dir: &Path) {
    let data = dir.to_str().unwrap();
    for what in ["an orderly stop", "kill -9"] {
        let begun = Instant::now();
        let mut command = support::program();
        command.envs([("PLAZA_HISTORY_MAX_AGE", "off"), ("PLAZA_HISTORY_MAX_BYTES", "off")]);
        let mut program = Program::from_command(command, &["--data", data]);
        while get(program.admin, "/readyz").status != 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ready = begun.elapsed();
        let mut ann = Person::joined(program.address(), "ann", "lobby");
        let page = ann.history(json!({"room": "lobby", "limit": 50}));
        assert_eq!(page["messages"].as_array().unwrap().len(), 50, "{page}");
        println!(
            "| program started to ready after {what}, to the first page: ms | {:.0}, {:.0} |",
            ready.as_secs_f64() * 1e3,
            begun.elapsed().as_secs_f64() * 1e3
        );
        if what == "kill -9" {
            program.signal("TERM");
            program.ended(Duration::from_secs(20));
        } else {
            ann.say("lobby", "killed");
            program.child.kill().unwrap();
            program.child.wait().unwrap();
        }
    }
}

fn million(dir: &Path) -> Running {
    let mut config = stored(dir);
    (config.history.max_age, config.history.max_bytes) = (None, None);
    Running::start(&config)
}

/// Resuming after 300 and after 100,000 messages, alone and with others, against the rate at which the store reads pages.
pub(crate) fn resume(dir: &Path) {
    println!(
        "\n| coming back after | at once | messages/s of all (median) | the store's pages, messages/s | against them |\n|---|---|---|---|---|"
    );
    for (missed, people, rounds) in [(300, 1, 101), (300, 32, 21), (100_000, 1, 7), (100_000, 4, 5)] {
        let pages = page_rate(dir, 100_000);
        // With empty rings, so that everything comes from the store.
        let server = million(dir);
        let mut rates: Vec<f64> = (0..rounds).map(|_| come_back(server.address, missed, people)).collect();
        let rate = median(&mut rates);
        println!(
            "| {missed} | {people} | {rate:.0} | {pages:.0} | {:.0} % |",
            rate / pages * 100.0
        );
    }
}

/// Messages per second of all users who resume at once, from the first one's join to the last one's last message.
fn come_back(address: SocketAddr, missed: u64, people: u64) -> f64 {
    let joined = Person::named(address, "ann").join(json!({"room": "lobby", "last": 1}));
    let (epoch, head) = (&joined["epoch"], joined["head"].as_u64().unwrap());
    assert!(head >= MILLION);
    let mut people: Vec<Person> = (0..people)
        .map(|n| Person::named(address, &format!("bob {n}")))
        .collect();
    let begun = Instant::now();
    for bob in &mut people {
        bob.send(json!({"join": {"room": "lobby", "epoch": epoch, "seq": head - missed}}));
    }
    let mut buffer = vec![0; 1 << 20];
    for bob in &mut people {
        hear(bob, missed, &mut buffer);
    }
    (missed * people.len() as u64) as f64 / begun.elapsed().as_secs_f64()
}

/// Reads until this number of messages has arrived.
fn hear(bob: &mut Person, messages: u64, buffer: &mut [u8]) {
    let (mut kept, mut heard) = (bob.peer.buffer.split_off(0), 0);
    while heard < messages {
        let read = bob.peer.stream.read(buffer).unwrap();
        assert!(read > 0, "the server closed");
        kept.extend_from_slice(&buffer[..read]);
        let mut at = 0;
        while let Some(length) = frame_length(&kept[at..]) {
            let mut heads = kept[at..at + length].windows(11).take(8);
            heard += u64::from(heads.any(|head| head == b"{\"message\":"));
            at += length;
        }
        kept.drain(..at);
    }
}

/// The length of the frame at the front; `None` if it is incomplete.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (head, payload) = match *bytes.get(1)? & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
        ),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= head + payload).then_some(head + payload)
}

/// Search through the server, first without an index and while it is being built.
pub(crate) fn search(dir: &Path) {
    println!(
        "\n| search over sockets, a million messages in the room | p50 ms | p99 ms | slowest ms |\n|---|---|---|---|"
    );
    for state in ["no index yet, and being made", "all indexed"] {
        if state != "all indexed" {
            for file in ["search.db", "search.db-wal", "search.db-shm"] {
                let _ = fs::remove_file(dir.join(file));
            }
        }
        let server = million(dir);
        let mut ann = Person::joined(server.address, "ann", "lobby");
        // The index is built from the oldest messages on, so the newest are scanned. A message wakes the indexer.
        ann.say("lobby", "begin");
        if state == "all indexed" {
            // The index of an earlier run continues.
            wait_for_index(&mut ann);
        }
        let mut dice = fastrand::Rng::with_seed(2);
        let words = Words::new(&mut fastrand::Rng::with_seed(1));
        let mut times = Vec::new();
        for round in 0..400 {
            let text = words.question(round, &mut dice);
            let begun = Instant::now();
            ann.get(
                "search",
                json!({"search": {"room": "lobby", "text": &*text, "limit": 50}}),
            );
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "| {state} | {:.1} | {:.1} | {:.1} |",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1]
        );
    }
}

/// Waits until a search finds a word of an old message at once.
fn wait_for_index(ann: &mut Person) {
    loop {
        let found = ann.ask(json!({"search": {"room": "lobby", "text": "needle", "limit": 1}}));
        let messages = found["search"]["messages"].as_array();
        if messages.is_some_and(|found| found.len() == 1) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
