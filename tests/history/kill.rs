//! `kill -9` under load, repeatedly, with a writer that retries unacknowledged messages.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Write as _},
    path::PathBuf,
    process::Stdio,
};

use plaza::history::Outcome;

use crate::support::{CHILD_DIR, Caller, append, child, room, size};

/// Number of keys in flight.
const IN_FLIGHT: usize = 64;

/// Appends messages until it is killed: first those to repeat, then new ones. Prints `ack <n> <epoch> <seq>`.
#[test]
#[ignore = "runs as a child of the tests below"]
fn child_writer() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    let number = |name: &str| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let (mut fresh, end, in_flight) = (number("FRESH"), number("END"), number("IN_FLIGHT") as usize);
    let repeat = std::env::var("REPEAT").unwrap();
    let mut repeat: VecDeque<u64> = repeat.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let caller = Caller::open(&PathBuf::from(dir));
    assert!(caller.history.recovered().is_empty(), "nothing is lost by a kill");
    let lobby = room("lobby");
    let mut waiting = 0;
    let mut out = std::io::stdout();
    loop {
        while waiting < in_flight {
            let n = match repeat.pop_front() {
                Some(n) => n,
                None if fresh < end => {
                    fresh += 1;
                    fresh - 1
                }
                None => break,
            };
            caller.submit(append(&lobby, "a", &format!("text {n}"), Some(&format!("key {n}")), n));
            waiting += 1;
        }
        if waiting == 0 {
            return;
        }
        let (append, position) = match caller.next() {
            Outcome::Committed { append, position, .. } | Outcome::Duplicate { append, position, .. } => {
                (append, position)
            }
            other => panic!("{other:?}"),
        };
        waiting -= 1;
        let line = format!("ack {} {} {}\n", append.ticket, position.epoch, position.seq);
        out.write_all(line.as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acked: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut dice = fastrand::Rng::with_seed(9);
    let mut fresh = 0;
    for _ in 0..size(50, 300) {
        let repeat: Vec<String> = (0..fresh)
            .filter(|n| !acked.contains_key(n))
            .map(|n| n.to_string())
            .collect();
        let mut writer = child("kill::child_writer", dir.path())
            .env("FRESH", fresh.to_string())
            .env("END", u64::MAX.to_string())
            .env("IN_FLIGHT", IN_FLIGHT.to_string())
            .env("REPEAT", repeat.join(" "))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut left = dice.usize(1..1_500);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut take = |line: String| {
            let Some(rest) = line.split("ack ").nth(1) else {
                return 0;
            };
            let words: Vec<u64> = rest.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let place = (words[1], words[2]);
            assert_eq!(
                *acked.entry(words[0]).or_insert(place),
                place,
                "a repeated talk has another number"
            );
            1
        };
        while left > 0 {
            left -= take(lines.next().expect("the writer ended by itself").unwrap());
        }
        writer.kill().unwrap();
        // What it had said before it died counts too; a line may be torn.
        for line in lines.map_while(Result::ok) {
            if line.split_whitespace().count() == 4 && line.starts_with("ack ") {
                take(line);
            }
        }
        writer.wait().unwrap();
        let last = acked.keys().next_back().copied().unwrap_or(0);
        // New ones that were submitted and not acknowledged are repeated too.
        fresh = fresh.max(last + 1) + IN_FLIGHT as u64;
    }
    let caller = Caller::open(dir.path());
    let messages = caller.all(&room("lobby")).unwrap();
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    for (message, seq) in messages.iter().zip(1..) {
        assert_eq!(message.seq, seq);
        let n = message.text.strip_prefix("text ").unwrap().parse().unwrap();
        assert_eq!(found.insert(n, seq), None, "{} is stored twice", message.text);
    }
    for (n, (epoch, seq)) in &acked {
        assert_eq!(found.get(n), Some(seq), "talk {n}");
        assert_eq!(messages[0].epoch, *epoch);
    }
    assert!(acked.len() > 500, "only {} talks were acknowledged", acked.len());
}
