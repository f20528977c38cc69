//! The store alone: durable messages against a bare rusqlite loop, pages, search, start-up.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};
use plaza::{
    chat::{ConnectionSlot, Generation, NewMessage, RoomName, SessionId, SessionTag, ShardId, UserName},
    history::{Answer, Append, Durability, History, HistorySettings, LogId, Outcome, Query, Retention, Window},
};

use crate::{MILLION, median, words::Words};

/// One turn of a loop. Compared loops take turns, so that a busy moment of the machine affects all of them.
const TURN: Duration = Duration::from_millis(400);
const TURNS: usize = 15;

pub(crate) struct Caller {
    pub(crate) history: History<u64>,
    outcomes: mpsc::Receiver<Vec<Outcome<u64>>>,
}

impl Caller {
    pub(crate) fn start(dir: &Path, durability: Durability) -> Self {
        let (sender, outcomes) = mpsc::channel();
        let settings = HistorySettings {
            durability,
            retention: Retention::FOREVER,
            ..HistorySettings::new(dir)
        };
        let deliver = move |batch| drop(sender.send(batch));
        let history = History::start(settings, Arc::new(deliver)).unwrap();
        Self { history, outcomes }
    }

    pub(crate) fn answer(&self, ask: Query) -> Answer {
        self.history.ask(ask, 0).unwrap();
        match self.outcomes.recv().unwrap().pop().unwrap() {
            Outcome::Answered { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn lobby() -> LogId {
    LogId::Room(RoomName::lobby())
}

fn append(n: u64, text: Arc<str>, key: bool) -> Append<u64> {
    let session = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);
    Append {
        log: lobby(),
        message: Box::new(NewMessage {
            key: key.then(|| format!("b0e1-{n:020}").into()),
            ..NewMessage::new(session, UserName::guest(n % 1_000), SessionTag(1), text)
        }),
        at: 1_763_000_000_000 + n,
        ticket: n,
    }
}

/// A closed loop with this many messages in flight.
struct InFlight {
    caller: Caller,
    key: bool,
    next: u64,
    waiting: u64,
    text: Arc<str>,
    _dir: tempfile::TempDir,
}

impl InFlight {
    fn new(base: &Path, key: bool) -> Self {
        let dir = tempfile::tempdir_in(base).unwrap();
        Self {
            caller: Caller::start(dir.path(), Durability::Fsync),
            key,
            next: 0,
            waiting: 0,
            text: "x".repeat(64).into(),
            _dir: dir,
        }
    }

    fn send(&mut self, count: u64) {
        for _ in 0..count {
            let append = append(self.next, Arc::clone(&self.text), self.key);
            self.caller.history.submit(append).unwrap();
            self.next += 1;
        }
        self.waiting += count;
    }

    fn hear(&mut self) -> u64 {
        let batch = self.caller.outcomes.recv().unwrap();
        assert!(batch.iter().all(|outcome| matches!(outcome, Outcome::Committed { .. })));
        self.waiting -= batch.len() as u64;
        batch.len() as u64
    }

    /// Messages per second over one turn, and messages per commit.
    fn turn(&mut self, in_flight: u64) -> (f64, f64) {
        let before = self.caller.history.stats().commits.load(Ordering::Relaxed);
        let (begun, mut done) = (Instant::now(), 0);
        self.send(in_flight);
        while begun.elapsed() < TURN {
            let heard = self.hear();
            done += heard;
            self.send(heard);
        }
        while self.waiting > 0 {
            done += self.hear();
        }
        let rate = done as f64 / begun.elapsed().as_secs_f64();
        let commits = self.caller.history.stats().commits.load(Ordering::Relaxed) - before;
        (rate, done as f64 / commits as f64)
    }

    /// The time for this number of messages, with this many in flight.
    fn time(&mut self, messages: u64, in_flight: u64) -> Duration {
        let begun = Instant::now();
        let mut left = messages;
        while left > 0 || self.waiting > 0 {
            let more = left.min(in_flight - self.waiting);
            self.send(more);
            left -= more;
            self.hear();
        }
        begun.elapsed()
    }
}

/// Writes the same batches to the same tables with rusqlite alone.
struct Bare {
    db: rusqlite::Connection,
    seq: i64,
    text: String,
    _dir: tempfile::TempDir,
}

impl Bare {
    fn new(base: &Path) -> Self {
        let dir = tempfile::tempdir_in(base).unwrap();
        Caller::start(dir.path(), Durability::Fsync).history.stop();
        let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        db.pragma_update(None, "synchronous", "FULL").unwrap();
        Self {
            db,
            seq: 0,
            text: "x".repeat(64),
            _dir: dir,
        }
    }

    fn commit(&mut self, batch: u64) {
        let transaction = self.db.unchecked_transaction().unwrap();
        let mut insert = self
            .db
            .prepare_cached(
                "INSERT INTO message (log, seq, prev, ordinal, at, user, session, kind, text, sum, crc)
                 VALUES (1, ?1, ?1 - 1, ?1, ?2, ?3, 1, 0, ?4, ?5, ?6)",
            )
            .unwrap();
        for _ in 0..batch {
            self.seq += 1;
            let user = format!("guest-{}", self.seq % 1_000);
            let (at, sum) = (1_763_000_000_000 + self.seq, self.seq * 120);
            insert
                .execute(rusqlite::params![self.seq, at, user, self.text, sum, 0x9abc_def0_u32])
                .unwrap();
        }
        transaction.commit().unwrap();
    }

    /// Messages per second over one turn.
    fn turn(&mut self, batch: u64) -> f64 {
        let (begun, before) = (Instant::now(), self.seq);
        while begun.elapsed() < TURN {
            self.commit(batch);
        }
        (self.seq - before) as f64 / begun.elapsed().as_secs_f64()
    }
}

/// Durable messages per second, against the bare loop that writes batches as large as the store's in the turn before, and against one
/// that writes all messages in flight at once. They take short turns, so that a slow moment of the disk affects all of them.
pub(crate) fn durable_talks(base: &Path) {
    println!(
        "\n| durable messages, in flight | in a commit | the store, messages/s | bare loop, the same batches | bare loop, all in flight | store against the same batches: median of turns, quartiles; of medians | against all in flight |"
    );
    println!("|---|---|---|---|---|---|---|");
    for in_flight in [1, 32, 256, 1_024] {
        let mut plain = InFlight::new(base, false);
        let (mut same, mut full) = (Bare::new(base), Bare::new(base));
        let mut rates = [const { Vec::new() }; 3];
        let mut ratios = [const { Vec::new() }; 2];
        let mut batches = Vec::new();
        for turn in 0..=TURNS {
            let (stored, batch) = plain.turn(in_flight);
            let bare = same.turn(batch.round() as u64);
            let now = [stored, bare, full.turn(in_flight)];
            if turn == 0 {
                continue; // to warm up: the first write-ahead log grows
            }
            for (rates, now) in rates.iter_mut().zip(now) {
                rates.push(now);
            }
            ratios[0].push(now[0] / now[1] * 100.0);
            ratios[1].push(now[0] / now[2] * 100.0);
            batches.push(batch);
        }
        let [stored, bare, full] = rates.map(|mut rates| median(&mut rates));
        let [turns, against_full] = ratios.each_mut().map(|ratios| median(ratios));
        let (low, high) = (ratios[0][TURNS / 4], ratios[0][TURNS - 1 - TURNS / 4]);
        println!(
            "| {in_flight} | {:.0} | {stored:.0} | {bare:.0} | {full:.0} | {turns:.0} % ({low:.0} to {high:.0}); {:.0} % | {against_full:.0} % |",
            median(&mut batches),
            stored / bare * 100.0,
        );
    }
}

/// Messages with an idempotency key against messages without. They take turns. Beside the rates there is the CPU time of the writers per
/// message, which a busy machine changes less.
pub(crate) fn keys(base: &Path) {
    println!(
        "\n| in flight | without keys, messages/s | with keys | times as long: median of turns (quartiles) | writer's µs per message | with keys | times as much |"
    );
    println!("|---|---|---|---|---|---|---|");
    for in_flight in [1, 64, 256, 1_024] {
        let mut loops = [false, true].map(|key| InFlight::new(base, key));
        let mut figures = [const { Vec::new() }; 6];
        for turn in 0..=2 * TURNS {
            let [plain, keyed] = loops.each_mut().map(|messages| {
                let (writers, sent) = (writer_time(), messages.next);
                let (rate, _) = messages.turn(in_flight);
                let micros = (writer_time() - writers).as_secs_f64() * 1e6;
                (rate, micros / (messages.next - sent) as f64)
            });
            if turn == 0 {
                continue; // to warm up: the first write-ahead log grows
            }
            let ratios = [plain.0 / keyed.0, keyed.1 / plain.1];
            let all = [plain.0, keyed.0, ratios[0], plain.1, keyed.1, ratios[1]];
            for (figures, now) in figures.iter_mut().zip(all) {
                figures.push(now);
            }
        }
        let [plain, keyed, longer, own, with_keys, more] = figures.each_mut().map(|figures| median(figures));
        let (low, high) = (figures[2][TURNS / 2], figures[2][2 * TURNS - 1 - TURNS / 2]);
        println!(
            "| {in_flight} | {plain:.0} | {keyed:.0} | {longer:.2} ({low:.2} to {high:.2}) | {own:.2} | {with_keys:.2} | {more:.2} |"
        );
    }
}

/// The CPU time of this process's writers.
fn writer_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let read = |name: &str| std::fs::read_to_string(task.as_ref().unwrap().path().join(name)).unwrap_or_default();
        if read("comm").trim() == "history-write" {
            let times = read("schedstat");
            nanos += times.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanos)
}

/// The measurements that criterion compares from change to change.
pub(crate) fn criterion(criterion: &mut Criterion, base: &Path) {
    let mut group = criterion.benchmark_group("history");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for in_flight in [1_u64, 32, 256, 1_024] {
        group.throughput(Throughput::Elements(in_flight));
        let mut store = InFlight::new(base, false);
        group.bench_function(BenchmarkId::new("durable_talks", in_flight), |bench| {
            bench.iter_custom(|batches| store.time(batches * in_flight, in_flight));
        });
        let mut bare = Bare::new(base);
        group.bench_function(BenchmarkId::new("bare_loop", in_flight), |bench| {
            bench.iter(|| bare.commit(in_flight));
        });
    }
    group.finish();
}

/// Fills a room with a million messages, and measures queries during that and afterwards.
pub(crate) fn million(dir: &Path) {
    let caller = Caller::start(dir, Durability::Os);
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
    println!("\n| with a million messages in one room | |\n|---|---|");
    println!(
        "| stored (`os`), messages/s, while being indexed | {:.0} |",
        MILLION as f64 / begun.elapsed().as_secs_f64()
    );
    let indexed = || caller.history.stats().indexed.load(Ordering::Relaxed);
    println!("| of them not indexed yet | {} |", MILLION - indexed());
    measure_search(&caller, &words, "while the index is behind");
    while indexed() < MILLION {
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("| indexed after | {:.1} s |", begun.elapsed().as_secs_f64());
    measure_search(&caller, &words, "all indexed");
    for size in [50, 1_000] {
        let begun = Instant::now();
        let mut read = 0_u64;
        while begun.elapsed() < 4 * TURN {
            let window = Window::Before(dice.u64(size + 1..MILLION));
            read += page(&caller, window, size as usize).1;
        }
        let rate = read as f64 / begun.elapsed().as_secs_f64();
        println!(
            "| pages of {size} anywhere, one at a time: pages/s, messages/s | {:.0}, {rate:.0} |",
            rate / size as f64
        );
    }
    caller.history.stop();
    for file in ["history.db", "search.db"] {
        let bytes = std::fs::metadata(dir.join(file)).unwrap().len();
        println!("| {file}, MiB | {:.0} |", bytes as f64 / (1 << 20) as f64);
    }
}

/// Messages per second that the store reads in consecutive pages as large as those of a resume, up to the newest: the median of several
/// runs.
pub(crate) fn page_rate(dir: &Path, messages: u64) -> f64 {
    let caller = Caller::start(dir, Durability::Os);
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let begun = Instant::now();
        let (mut after, mut read) = (MILLION - messages, 0);
        while after < MILLION {
            let (last, count) = page(&caller, Window::After(after), 1_000);
            after = last;
            read += count;
        }
        assert_eq!(read, messages);
        rates.push(messages as f64 / begun.elapsed().as_secs_f64());
    }
    caller.history.stop();
    median(&mut rates)
}

/// The last message of a page, and the number of messages.
fn page(caller: &Caller, window: Window, limit: usize) -> (u64, u64) {
    let log = lobby();
    match caller.answer(Query::Page { log, window, limit }) {
        Answer::Page { messages, .. } => (messages[messages.len() - 1].seq, messages.len() as u64),
        other => panic!("{other:?}"),
    }
}

fn measure_search(caller: &Caller, words: &Words, state: &str) {
    let mut dice = fastrand::Rng::with_seed(2);
    let mut times: Vec<(Duration, String)> = Vec::new();
    let mut cut = 0;
    for round in 0..400 {
        let text = words.question(round, &mut dice);
        let begun = Instant::now();
        let ask = Query::Search {
            log: lobby(),
            text: Arc::clone(&text),
            before: None,
            limit: 50,
        };
        let Answer::Found { messages, next, .. } = caller.answer(ask) else {
            panic!()
        };
        cut += usize::from(messages.len() < 50 && next.is_some());
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
