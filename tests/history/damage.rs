//! A truncated write-ahead log, and flipped bits: the store starts with a prefix in a new epoch and names the lost interval, or refuses
//! clearly; it never has a hole or another text.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plaza::{
    chat::{Position, Since},
    history::{Ask, Health, LogId, StartFault, StoreFault, Window},
};

use crate::{
    forgetful::settle_in,
    support::{Caller, append, committed, room, settings, size, user},
};

/// The files after a crash: half of the messages in the database, half in its write-ahead log.
struct Image {
    files: Vec<(PathBuf, Vec<u8>)>,
    epochs: Vec<u64>,
}

const TALKS: u64 = 240;
const LOGS: [&str; 2] = ["lobby", "大厅"];

fn text(log: &str, seq: u64) -> String {
    format!("{log} {seq} {}", "字".repeat((seq % 50) as usize))
}

fn image() -> Image {
    let dir = tempfile::tempdir().unwrap();
    let mut epochs = vec![0; LOGS.len()];
    let mut files = Vec::new();
    for half in 0..2 {
        let caller = Caller::open(dir.path());
        for n in half * TALKS / 2 + 1..=(half + 1) * TALKS / 2 {
            for (at, log) in LOGS.iter().enumerate() {
                let outcome = caller.say(&room(log), "a", &text(log, n), Some(&format!("k{n}")));
                let position = committed(outcome);
                assert_eq!(position.seq, n);
                epochs[at] = position.epoch;
            }
        }
        if half == 1 {
            for name in ["history.db", "history.db-wal", "history.head"] {
                files.push((PathBuf::from(name), fs::read(dir.path().join(name)).unwrap()));
            }
        }
    }
    Image { files, epochs }
}

impl Image {
    fn lay(&self, dir: &Path, name: &str, change: impl Fn(&mut Vec<u8>)) {
        for (file, bytes) in &self.files {
            let mut bytes = bytes.clone();
            if file == Path::new(name) {
                change(&mut bytes);
            }
            fs::write(dir.join(file), bytes).unwrap();
        }
        settle_in(dir);
    }

    fn len(&self, name: &str) -> usize {
        self.files
            .iter()
            .find(|(file, _)| file == Path::new(name))
            .unwrap()
            .1
            .len()
    }

    /// Opens the files and checks the result. Returns whether the store refused or lost anything.
    fn judge(&self, dir: &Path, what: &str) -> Verdict {
        let caller = match Caller::start(settings(dir)) {
            Ok(caller) => caller,
            Err(why) => {
                let words = why.to_string();
                assert!(words.contains("history."), "{what}: no file is named: {words}");
                assert!(
                    matches!(why, StartFault::Torn { .. } | StartFault::Store(_)) && words.contains("plaza history"),
                    "{what}: no help: {words}"
                );
                return Verdict::Refused;
            }
        };
        let mut verdict = Verdict::Whole;
        for (at, name) in LOGS.iter().enumerate() {
            let log = room(name);
            let head = match caller.ask(Ask::Head(log.clone())) {
                plaza::history::Outcome::Answered {
                    answer: plaza::history::Answer::Head { head, .. },
                    ..
                } => head,
                other => panic!("{what}: {other:?}"),
            };
            match caller.all(&log) {
                Ok(messages) => {
                    for (message, n) in messages.iter().zip(1..) {
                        assert_eq!(
                            (message.seq, &*message.text, message.from.as_str()),
                            (n, &*text(name, n), "a"),
                            "{what}"
                        );
                    }
                    assert_eq!(messages.len() as u64, head.seq, "{what}");
                }
                Err(StoreFault::Damaged { .. }) => verdict = verdict.max(Verdict::Refused),
                Err(other) => panic!("{what}: {other}"),
            }
            if head.seq == TALKS {
                assert_eq!(head.epoch, self.epochs[at], "{what}: a new epoch without a loss");
                continue;
            }
            verdict = verdict.max(Verdict::Lost);
            assert_ne!(
                head.epoch, self.epochs[at],
                "{what}: talks are gone and the epoch is the same"
            );
            let known = Position {
                epoch: self.epochs[at],
                seq: TALKS,
            };
            let on = head.go_on(known);
            assert_eq!(on.after, head.seq, "{what}");
            assert_eq!(
                on.lost
                    .iter()
                    .map(|lost| (lost.epoch, lost.from, lost.to))
                    .collect::<Vec<_>>(),
                [(self.epochs[at], head.seq + 1, TALKS)],
                "{what}"
            );
            // A client that had seen only the prefix goes on without a gap of its own.
            assert_eq!(
                head.go_on(Position {
                    seq: head.seq.min(3),
                    ..known
                })
                .after,
                head.seq.min(3),
                "{what}"
            );
            assert_eq!(
                committed(caller.say(&log, "b", "after", None)).seq,
                head.seq + 1,
                "{what}"
            );
            assert!(
                caller.history.recovered().iter().any(|found| found.log == log),
                "{what}"
            );
        }
        verdict
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Whole,
    Lost,
    Refused,
}

#[test]
fn a_log_cut_anywhere_is_a_prefix_in_a_new_epoch_with_the_loss_named() {
    let image = image();
    let length = image.len("history.db-wal");
    let places = size(100, 1_000);
    let mut lost = 0;
    for place in 0..places {
        let dir = tempfile::tempdir().unwrap();
        let cut = length * place / places + place % 7;
        image.lay(dir.path(), "history.db-wal", |bytes| bytes.truncate(cut));
        let verdict = image.judge(dir.path(), &format!("cut at {cut} of {length}"));
        assert_ne!(verdict, Verdict::Refused, "cut at {cut}");
        lost += usize::from(verdict == Verdict::Lost);
    }
    assert_eq!(lost, places, "every cut loses something");
}

type Damage = fn(&mut Vec<u8>, usize);

/// Possible damage to this many entries of a head file, the last commits among them.
const HEAD_DAMAGES: [(&str, Damage); 5] = [
    ("the note and the newest entries are unreadable", |head, newest| {
        head[NOTE] ^= 1;
        let end = written(head);
        head[end - newest * ENTRY..end].fill(0xA5);
    }),
    ("everything behind the header is unreadable", |head, _| {
        let end = written(head);
        head[NOTE..end].fill(0xA5);
    }),
    ("the note and the newest entries are zeroes", |head, newest| {
        head[NOTE..NOTE + ENTRY].fill(0);
        let end = written(head);
        head[end - newest * ENTRY..end].fill(0);
    }),
    ("the newest entries are zeroes", |head, newest| {
        let end = written(head);
        head[end - newest * ENTRY..end].fill(0);
    }),
    ("the file is cut and the note unreadable", |head, newest| {
        head[NOTE] ^= 1;
        let end = written(head);
        head.truncate(end - newest * ENTRY);
    }),
];
const NOTE: usize = 512;
const ENTRY: usize = 32;

/// The end of the entries.
fn written(head: &[u8]) -> usize {
    let last = head.iter().rposition(|byte| *byte != 0).unwrap();
    last.next_multiple_of(ENTRY)
}

#[test]
fn a_cut_log_beside_a_damaged_head_file_never_goes_on_in_the_same_epoch() {
    let image = image();
    let length = image.len("history.db-wal");
    let places = size(6, 200);
    for (what, damage) in HEAD_DAMAGES {
        for place in 0..places {
            for newest in [1, 2, 64, 200] {
                let dir = tempfile::tempdir().unwrap();
                let cut = length * place / places + place % 7;
                image.lay(dir.path(), "history.db-wal", |bytes| bytes.truncate(cut));
                let head = dir.path().join("history.head");
                let mut bytes = fs::read(&head).unwrap();
                damage(&mut bytes, newest);
                fs::write(&head, bytes).unwrap();
                let verdict = image.judge(dir.path(), &format!("cut at {cut} of {length}, {newest}: {what}"));
                assert_eq!(verdict, Verdict::Lost, "cut at {cut} of {length}, {newest}: {what}");
            }
        }
    }
}

#[test]
fn a_damaged_head_file_beside_a_whole_log_costs_at_most_an_epoch() {
    let image = image();
    for (what, damage) in HEAD_DAMAGES {
        let dir = tempfile::tempdir().unwrap();
        image.lay(dir.path(), "", |_| ());
        let head = dir.path().join("history.head");
        let mut bytes = fs::read(&head).unwrap();
        damage(&mut bytes, 5);
        fs::write(&head, bytes).unwrap();
        let caller = Caller::open(dir.path());
        for (name, epoch) in LOGS.iter().zip(&image.epochs) {
            let head = caller.head(&room(name));
            let known = Position {
                epoch: *epoch,
                seq: TALKS,
            };
            assert_eq!((head.seq, head.go_on(known).lost), (TALKS, vec![]), "{what}");
        }
    }
}

#[test]
fn a_flipped_bit_is_a_prefix_or_a_refusal() {
    let image = image();
    let flips = size(200, 2_000);
    let mut dice = fastrand::Rng::with_seed(4);
    let mut seen = [0; 3];
    for round in 0..flips {
        let name = if round % 2 == 0 { "history.db-wal" } else { "history.db" };
        let (place, bit) = (dice.usize(..image.len(name)), dice.u8(..8));
        let dir = tempfile::tempdir().unwrap();
        image.lay(dir.path(), name, |bytes| bytes[place] ^= 1 << bit);
        let verdict = image.judge(dir.path(), &format!("bit {bit} of byte {place} of {name}"));
        seen[verdict as usize] += 1;
    }
    assert!(seen[1] > flips / 8 && seen[2] > 0, "too few flips mattered: {seen:?}");
}

#[test]
fn the_head_file_missing_or_foreign_is_noticed() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    image.lay(dir.path(), "", |_| ());
    fs::remove_file(dir.path().join("history.head")).unwrap();
    let caller = Caller::open(dir.path());
    assert_eq!(caller.history.recovered().len(), LOGS.len());
    let head = caller.head(&room("lobby"));
    assert_eq!((head.seq, head.lost[0].to), (TALKS, None));
    // Who has seen no more than is stored has lost nothing.
    let known = Position {
        epoch: image.epochs[0],
        seq: TALKS,
    };
    assert_eq!(head.go_on(known).lost, []);
    assert_eq!(
        head.go_on(Position {
            seq: TALKS + 5,
            ..known
        })
        .lost
        .len(),
        1
    );
    caller.history.stop();
    drop(caller);

    let other = tempfile::tempdir().unwrap();
    committed(Caller::open(other.path()).say(&room("x"), "a", "x", None));
    fs::copy(dir.path().join("history.head"), other.path().join("history.head")).unwrap();
    let why = Caller::start(settings(other.path())).map(drop).unwrap_err().to_string();
    assert!(why.contains("belongs to store"), "{why}");

    fs::remove_file(dir.path().join("history.db")).unwrap();
    let why = Caller::start(settings(dir.path())).map(drop).unwrap_err().to_string();
    assert!(why.contains("history.db") && why.contains("missing"), "{why}");
}

#[test]
fn a_log_without_its_database_is_refused_and_left_alone_also_when_nothing_else_is_there() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    image.lay(dir.path(), "", |_| ());
    for name in ["history.db", "history.head"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let why = Caller::start(settings(dir.path())).map(drop).unwrap_err().to_string();
    assert!(
        why.contains("history.db") && why.contains("write-ahead log") && why.contains("plaza history import"),
        "{why}"
    );
    let left = fs::metadata(dir.path().join("history.db-wal")).unwrap().len();
    assert_eq!(left, image.len("history.db-wal") as u64);
}

#[test]
fn an_unclean_end_without_fsync_and_another_boot_begins_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let os = crate::support::unsynced(dir.path());
    let caller = Caller::start(os).unwrap();
    let position = committed(caller.say(&lobby, "a", "x", None));
    for name in ["history.db", "history.db-wal", "history.head"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let reopen = |copy: &Path| {
        settle_in(copy);
        let caller = Caller::start(crate::support::unsynced(copy)).unwrap();
        caller.head(&lobby).epoch
    };
    // The same run of the operating system: nothing can be lost.
    let same = tempfile::tempdir().unwrap();
    for name in ["history.db", "history.db-wal", "history.head"] {
        fs::copy(copy.path().join(name), same.path().join(name)).unwrap();
    }
    assert_eq!(reopen(same.path()), position.epoch);
    // Another one: the boot id stands at bytes 24 to 40 of the head file, its checksum in the last 4 of 512.
    let head = copy.path().join("history.head");
    let mut bytes = fs::read(&head).unwrap();
    bytes[24] ^= 1;
    let sum = crc32fast::hash(&bytes[..508]).to_le_bytes();
    bytes[508..512].copy_from_slice(&sum);
    fs::write(&head, bytes).unwrap();
    let epoch = reopen(copy.path());
    assert_ne!(epoch, position.epoch);
    assert_eq!(reopen(copy.path()), epoch, "a clean end changes nothing");
}

#[test]
fn a_damaged_talk_is_named_and_the_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::open(dir.path());
    for n in 1..=50 {
        caller.submit(append(&lobby, "a", &format!("text {n}"), None, n));
        committed(caller.next());
    }
    // What is indexed is not read again, so that only those who ask find the damage.
    let deadline = Instant::now() + Duration::from_secs(10);
    while caller.history.stats().indexed.load(Ordering::Relaxed) < 50 {
        assert!(Instant::now() < deadline, "the index does not catch up");
        std::thread::yield_now();
    }
    caller.history.stop();
    drop(caller);
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.execute("UPDATE message SET text = 'forged' WHERE seq = 20", [])
        .unwrap();
    drop(db);
    let caller = Caller::open(dir.path());
    let ask = |window, limit| {
        caller.ask(Ask::Page {
            log: LogId::clone(&lobby),
            window,
            limit,
        })
    };
    match ask(Window::Before(25), 10) {
        plaza::history::Outcome::Unanswered { why, .. } => {
            let words = why.to_string();
            assert!(
                words.contains("history.db is damaged in room \"lobby\" at seq 20"),
                "{words}"
            );
            assert!(words.contains("plaza history check"), "{words}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(caller.page(&lobby, Window::Newest, 30).0.len(), 30);
    assert_eq!(committed(caller.say(&lobby, "a", "on", None)).seq, 51);
    // Whoever finds it, in whichever way, counts it, and health has a word of it.
    let damage = || caller.history.stats().damage.load(Ordering::Relaxed);
    let is_hampered = || match caller.history.health() {
        Health::Degraded(why) => assert!(why.to_string().contains("at seq 20"), "{why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(damage(), 1);
    is_hampered();
    let position = Position {
        epoch: caller.head(&lobby).epoch,
        seq: 15,
    };
    let resumed = caller.answer(Ask::Resume {
        log: lobby.clone(),
        user: user("a"),
        since: Since::Position(position),
        upto: u64::MAX,
        limit: 10,
    });
    assert!(
        matches!(&resumed, plaza::history::Answer::Resumed { messages, .. } if messages.is_empty()),
        "{resumed:?}"
    );
    assert_eq!(damage(), 2);
    is_hampered();
}
