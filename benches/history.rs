//! The store measured: durable talks per second against a bare rusqlite loop in the same run, pages, search, start-up.
//!
//! `cargo bench --bench history [-- <directory>]` prints a table; the directory decides which disk is measured.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use plaza::{
    chat::{RoomName, SessionTag, TalkKind, UserName},
    history::{Answer, Append, Ask, Durability, History, LogId, Outcome, Retention, Settings, Window},
};

const MEASURE: Duration = Duration::from_secs(3);
const MILLION: u64 = 1_000_000;

fn main() {
    // cargo hands over flags of its own; a plain word is a directory.
    let base = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .unwrap_or_else(|| "target".to_owned());
    let base = Path::new(&base);
    println!(
        "| durable talks, in flight | the store, talks/s | with keys | bare loop, talks/s | the store against it |"
    );
    println!("|---|---|---|---|---|");
    for in_flight in [1, 32, 256, 1_024] {
        let bare = bare_loop(base, in_flight);
        let keyless = talks(base, in_flight, false);
        let keyed = talks(base, in_flight, true);
        println!(
            "| {in_flight} | {keyless:.0} | {keyed:.0} | {bare:.0} | {:.0} % |",
            keyless / bare * 100.0
        );
    }
    million(base);
}

struct Caller {
    history: History<u64>,
    outcomes: mpsc::Receiver<Vec<Outcome<u64>>>,
}

impl Caller {
    fn start(dir: &Path, durability: Durability) -> Self {
        let (sender, outcomes) = mpsc::channel();
        let settings = Settings {
            durability,
            retention: Retention::FOREVER,
            ..Settings::new(dir)
        };
        let deliver = move |batch| drop(sender.send(batch));
        let history = History::start(settings, Arc::new(deliver)).unwrap();
        Self { history, outcomes }
    }

    fn answer(&self, ask: Ask) -> Answer {
        self.history.ask(ask, 0).unwrap();
        match self.outcomes.recv().unwrap().pop().unwrap() {
            Outcome::Answered { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }
}

fn lobby() -> LogId {
    LogId::Room(RoomName::lobby())
}

fn append(n: u64, text: Arc<str>, key: bool) -> Append<u64> {
    Append {
        log: lobby(),
        from: UserName::guest(n % 1_000),
        session: SessionTag(1),
        text,
        kind: TalkKind::Text,
        key: key.then(|| format!("b0e1-{n:020}").into()),
        at: 1_763_000_000_000 + n,
        ticket: n,
    }
}

/// Talks per second with this many on their way.
fn talks(base: &Path, in_flight: u64, key: bool) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    let caller = Caller::start(dir.path(), Durability::Fsync);
    let text: Arc<str> = "x".repeat(64).into();
    let mut next = 0;
    let mut send = |count: u64| {
        for _ in 0..count {
            caller.history.submit(append(next, Arc::clone(&text), key)).unwrap();
            next += 1;
        }
    };
    send(in_flight);
    let (mut done, mut begun) = (0, Instant::now());
    let mut warm = false;
    loop {
        let batch = caller.outcomes.recv().unwrap();
        assert!(batch.iter().all(|outcome| matches!(outcome, Outcome::Committed { .. })));
        done += batch.len() as u64;
        if !warm && begun.elapsed() > MEASURE / 6 {
            (warm, done, begun) = (true, 0, Instant::now());
        }
        if warm && begun.elapsed() > MEASURE {
            return done as f64 / begun.elapsed().as_secs_f64();
        }
        send(batch.len() as u64);
    }
}

/// The same batches written to the same tables by nothing but rusqlite.
fn bare_loop(base: &Path, batch: u64) -> f64 {
    let dir = tempfile::tempdir_in(base).unwrap();
    Caller::start(dir.path(), Durability::Fsync).history.stop();
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    let text = "x".repeat(64);
    let mut seq = 0_i64;
    let begun = Instant::now();
    while begun.elapsed() < MEASURE {
        let transaction = db.unchecked_transaction().unwrap();
        let mut insert = db
            .prepare_cached("INSERT INTO message (log, seq, at, user, session, kind, text, sum, crc) VALUES (1,?1,?2,?3,1,0,?4,?5,?6)")
            .unwrap();
        for _ in 0..batch {
            seq += 1;
            let user = format!("guest-{}", seq % 1_000);
            insert
                .execute(rusqlite::params![
                    seq,
                    1_763_000_000_000 + seq,
                    user,
                    text,
                    seq * 120,
                    0x9abc_def0_u32
                ])
                .unwrap();
        }
        transaction.commit().unwrap();
    }
    seq as f64 / begun.elapsed().as_secs_f64()
}

/// Everything that is measured with a million talks in one room.
fn million(base: &Path) {
    let dir = tempfile::tempdir_in(base).unwrap();
    let caller = Caller::start(dir.path(), Durability::Os);
    let mut dice = fastrand::Rng::with_seed(1);
    let words = Words::new(&mut dice);
    let begun = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < MILLION {
        while sent < MILLION && sent - done < 4_096 {
            let text = if sent == 12_345 {
                "一个 needle 在草堆".into()
            } else {
                words.text(&mut dice)
            };
            caller.history.submit(append(sent, text, false)).unwrap();
            sent += 1;
        }
        done += caller.outcomes.recv().unwrap().len() as u64;
    }
    println!("\n| with a million talks in one room | |\n|---|---|");
    println!(
        "| stored (`os`), talks/s, while being indexed | {:.0} |",
        MILLION as f64 / begun.elapsed().as_secs_f64()
    );
    measure_search(&caller, &words, "partly indexed");
    let indexed = || {
        caller
            .history
            .stats()
            .indexed
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    while indexed() < MILLION {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("| indexed after | {:.1} s |", begun.elapsed().as_secs_f64());
    measure_search(&caller, &words, "indexed");
    for size in [50, 1_000] {
        let begun = Instant::now();
        let mut read = 0_u64;
        while begun.elapsed() < MEASURE {
            let window = Window::Before(dice.u64(size + 1..MILLION));
            let limit = size as usize;
            match caller.answer(Ask::Page {
                log: lobby(),
                window,
                limit,
            }) {
                Answer::Page { talks, .. } => read += talks.len() as u64,
                other => panic!("{other:?}"),
            }
        }
        let rate = read as f64 / begun.elapsed().as_secs_f64();
        println!(
            "| pages of {size}, one at a time: pages/s, talks/s | {:.0}, {rate:.0} |",
            rate / size as f64
        );
    }
    caller.history.stop();
    for file in ["history.db", "search.db"] {
        let bytes = std::fs::metadata(dir.path().join(file)).unwrap().len();
        println!("| {file}, MiB | {:.0} |", bytes as f64 / (1 << 20) as f64);
    }
    drop(caller);
    let begun = Instant::now();
    let caller = Caller::start(dir.path(), Durability::Fsync);
    let Answer::Page { talks, .. } = caller.answer(Ask::Page {
        log: lobby(),
        window: Window::Newest,
        limit: 50,
    }) else {
        panic!()
    };
    assert_eq!(talks.len(), 50);
    println!(
        "| start to the first page | {:.1} ms |",
        begun.elapsed().as_secs_f64() * 1e3
    );
}

fn measure_search(caller: &Caller, words: &Words, state: &str) {
    let mut dice = fastrand::Rng::with_seed(2);
    let mut times: Vec<(Duration, String)> = Vec::new();
    let mut cut = 0;
    for round in 0..400 {
        let text: Arc<str> = match round % 8 {
            0 => "needle".into(),
            1 => "草堆".into(),
            2 => "absent".into(),
            3 => "的".into(),
            _ => words.query(&mut dice),
        };
        let begun = Instant::now();
        let ask = Ask::Search {
            log: lobby(),
            text: Arc::clone(&text),
            before: None,
            limit: 50,
        };
        let Answer::Found { talks, next, .. } = caller.answer(ask) else {
            panic!()
        };
        cut += usize::from(talks.len() < 50 && next.is_some());
        times.push((begun.elapsed(), text.to_string()));
    }
    times.sort();
    let ms = |at: usize| times[times.len() * at / 1_000].0.as_secs_f64() * 1e3;
    println!(
        "| search, {state}: p50, p99, slowest (ms); answered in part | {:.2}, {:.1}, {:.1} ({:?}); {cut} of 400 |",
        ms(500),
        ms(990),
        ms(999),
        times[times.len() - 1].1
    );
}

/// Texts in which some words are common and most are rare, half of them Chinese.
struct Words {
    english: Vec<String>,
    chinese: Vec<String>,
}

impl Words {
    fn new(dice: &mut fastrand::Rng) -> Self {
        let english = (0..20_000)
            .map(|_| (0..dice.usize(2..10)).map(|_| dice.lowercase()).collect())
            .collect();
        let mut glyph = || char::from_u32(0x4E00 + (3_000.0 * dice.f64() * dice.f64()) as u32).unwrap();
        let chinese = (0..20_000).map(|_| [glyph(), glyph()].iter().collect()).collect();
        Self { english, chinese }
    }

    fn word<'w>(words: &'w [String], dice: &mut fastrand::Rng) -> &'w str {
        &words[(words.len() as f64 * dice.f64().powi(4)) as usize]
    }

    fn text(&self, dice: &mut fastrand::Rng) -> Arc<str> {
        let mut text = String::new();
        for _ in 0..dice.usize(3..14) {
            if dice.u8(..2) == 0 {
                text.push_str(Self::word(&self.chinese, dice));
                if dice.u8(..3) == 0 {
                    text.push('的');
                }
            } else {
                text.push(' ');
                text.push_str(Self::word(&self.english, dice));
                text.push(' ');
            }
        }
        text.into()
    }

    fn query(&self, dice: &mut fastrand::Rng) -> Arc<str> {
        let chinese = Self::word(&self.chinese, dice);
        let english = Self::word(&self.english, dice);
        match dice.u8(..4) {
            0 => chinese.into(),
            1 => english.into(),
            2 => format!("{chinese} {english}").into(),
            _ => format!("{chinese}{}", Self::word(&self.chinese, dice)).into(),
        }
    }
}
