//! A truncated write-ahead log, and flipped bits: the store starts with a prefix in a new epoch and names the lost interval, or refuses
//! clearly; it never has a hole or another text.

use std::{fs, path::Path};

use plaza::{
    chat::{Position, Since},
    history::{Health, LostInterval, StartFault, StoreFault, Window},
};
use tempfile::TempDir;

use crate::{
    forgetful::settle_in,
    support::{Caller, Store, committed, contains, refusal, room, settings, size, sql, unsynced},
};

const FILES: [&str; 3] = ["history.db", "history.db-wal", "history.head"];

/// The files after a crash: half of the messages in the database, half in its write-ahead log.
struct Image {
    files: [Vec<u8>; 3],
    epochs: [u64; 2],
}

const TALKS: u64 = 240;
const LOGS: [&str; 2] = ["lobby", "大厅"];

fn text(log: &str, seq: u64) -> String {
    format!("{log} {seq} {}", "字".repeat((seq % 50) as usize))
}

fn image() -> Image {
    let dir = tempfile::tempdir().unwrap();
    let say_half = |half: u64| {
        let caller = Caller::open(dir.path());
        let say = |n| {
            LOGS.map(|log| {
                let position = committed(caller.say_with(&room(log), "a", &text(log, n), &format!("k{n}")));
                assert_eq!(position.seq, n);
                position.epoch
            })
        };
        let numbers = half * TALKS / 2 + 1..=(half + 1) * TALKS / 2;
        let epochs: Vec<_> = numbers.map(say).collect();
        (caller, epochs[0])
    };
    drop(say_half(0));
    let (_running, epochs) = say_half(1);
    let files = FILES.map(|name| fs::read(dir.path().join(name)).unwrap());
    Image { files, epochs }
}

impl Image {
    /// The files with a change of this one, in a directory of their own.
    fn lay(&self, name: &str, change: impl Fn(&mut Vec<u8>)) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in FILES.iter().zip(&self.files) {
            let mut bytes = bytes.clone();
            if *file == name {
                change(&mut bytes);
            }
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        settle_in(dir.path());
        dir
    }

    fn len(&self, name: &str) -> usize {
        let (_, bytes) = FILES.iter().zip(&self.files).find(|(file, _)| **file == name).unwrap();
        bytes.len()
    }

    /// Opens the files and checks the result. Returns whether the store refused or lost anything.
    fn judge(&self, dir: &Path, what: &str) -> Verdict {
        let caller = match Caller::start(settings(dir)) {
            Ok(caller) => caller,
            Err(why) => {
                contains(&why.to_string(), &["history.", "plaza history"]);
                let is_of_it = matches!(why, StartFault::Torn { .. } | StartFault::Store(_));
                assert!(is_of_it, "{what}: {why}");
                return Verdict::Refused;
            }
        };
        let mut verdict = Verdict::Whole;
        for (name, epoch) in LOGS.into_iter().zip(self.epochs) {
            let log = room(name);
            let head = caller.head(&log);
            match caller.all(&log) {
                Ok(messages) => {
                    for (message, n) in messages.iter().zip(1..) {
                        let seen = (message.seq, &*message.text, message.from.as_str());
                        assert_eq!(seen, (n, &*text(name, n), "a"), "{what}");
                    }
                    assert_eq!(messages.len() as u64, head.seq, "{what}");
                }
                Err(StoreFault::Damaged { .. }) => verdict = verdict.max(Verdict::Refused),
                Err(other) => panic!("{what}: {other}"),
            }
            if head.seq == TALKS {
                assert_eq!(head.epoch, epoch, "{what}: a new epoch without a loss");
                continue;
            }
            verdict = verdict.max(Verdict::Lost);
            assert_ne!(head.epoch, epoch, "{what}: messages are gone and the epoch is the same");
            let on = head.go_on(Position { epoch, seq: TALKS });
            let (from, to) = (head.seq + 1, TALKS);
            assert_eq!(
                (on.after, on.lost),
                (head.seq, vec![LostInterval { epoch, from, to }]),
                "{what}"
            );
            // A client that had seen only the prefix goes on without a gap of its own.
            let seq = head.seq.min(3);
            assert_eq!(head.go_on(Position { epoch, seq }).after, seq, "{what}");
            assert_eq!(caller.say(&log, "b", "after").seq, head.seq + 1, "{what}");
            let recovered = caller.history.recovered();
            assert!(recovered.iter().any(|found| found.log == log), "{what}");
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
        let cut = length * place / places + place % 7;
        let dir = image.lay("history.db-wal", |bytes| bytes.truncate(cut));
        let verdict = image.judge(dir.path(), &format!("cut at {cut} of {length}"));
        assert_ne!(verdict, Verdict::Refused, "cut at {cut}");
        lost += usize::from(verdict == Verdict::Lost);
    }
    assert_eq!(lost, places, "every cut loses something");
}

type Damage = fn(&mut Vec<u8>, usize);

/// Possible damage to this many entries of a commit marker, the last commits among them.
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

/// Damages the head file in a directory.
fn damage_head(dir: &Path, damage: Damage, newest: usize) {
    let head = dir.join("history.head");
    let mut bytes = fs::read(&head).unwrap();
    damage(&mut bytes, newest);
    fs::write(&head, bytes).unwrap();
}

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
                let cut = length * place / places + place % 7;
                let dir = image.lay("history.db-wal", |bytes| bytes.truncate(cut));
                damage_head(dir.path(), damage, newest);
                let what = format!("cut at {cut} of {length}, {newest}: {what}");
                assert_eq!(image.judge(dir.path(), &what), Verdict::Lost, "{what}");
            }
        }
    }
}

#[test]
fn a_damaged_head_file_beside_a_whole_log_costs_at_most_an_epoch() {
    let image = image();
    for (what, damage) in HEAD_DAMAGES {
        let dir = image.lay("", |_| ());
        damage_head(dir.path(), damage, 5);
        let caller = Caller::open(dir.path());
        for (name, epoch) in LOGS.into_iter().zip(image.epochs) {
            let head = caller.head(&room(name));
            let lost = head.go_on(Position { epoch, seq: TALKS }).lost;
            assert_eq!((head.seq, lost), (TALKS, vec![]), "{what}");
        }
    }
    let mut dice = fastrand::Rng::with_seed(5);
    for _ in 0..size(60, 600) {
        let (place, bit) = (dice.usize(..image.len("history.head")), dice.u8(..8));
        let dir = image.lay("history.head", |bytes| bytes[place] ^= 1 << bit);
        let caller = Caller::open(dir.path());
        for name in LOGS {
            assert_eq!(caller.head(&room(name)).seq, TALKS, "bit {bit} of byte {place}");
            assert_eq!(
                caller.all(&room(name)).unwrap().len() as u64,
                TALKS,
                "bit {bit} of byte {place}"
            );
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
        let dir = image.lay(name, |bytes| bytes[place] ^= 1 << bit);
        let verdict = image.judge(dir.path(), &format!("bit {bit} of byte {place} of {name}"));
        seen[verdict as usize] += 1;
    }
    assert!(seen[1] > flips / 8 && seen[2] > 0, "too few flips mattered: {seen:?}");
}

#[test]
fn the_head_file_missing_or_foreign_is_noticed() {
    let image = image();
    let dir = image.lay("", |_| ());
    fs::remove_file(dir.path().join("history.head")).unwrap();
    let caller = Caller::open(dir.path());
    assert_eq!(caller.history.recovered().len(), LOGS.len());
    let head = caller.head(&room("lobby"));
    assert_eq!((head.seq, head.lost[0].to), (TALKS, None));
    // Who has seen no more than is stored has lost nothing.
    let epoch = image.epochs[0];
    for (seq, lost) in [(TALKS, 0), (TALKS + 5, 1)] {
        assert_eq!(head.go_on(Position { epoch, seq }).lost.len(), lost);
    }
    drop(caller);

    let other = tempfile::tempdir().unwrap();
    Caller::open(other.path()).say(&room("x"), "a", "x");
    fs::copy(dir.path().join("history.head"), other.path().join("history.head")).unwrap();
    contains(&refusal(settings(other.path())), &["belongs to store"]);

    fs::remove_file(dir.path().join("history.db")).unwrap();
    contains(&refusal(settings(dir.path())), &["history.db", "missing"]);
}

#[test]
fn a_log_without_its_database_is_refused_and_left_alone_also_when_nothing_else_is_there() {
    let image = image();
    let dir = image.lay("", |_| ());
    for name in ["history.db", "history.head"] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    let told = ["history.db", "write-ahead log", "plaza history import"];
    contains(&refusal(settings(dir.path())), &told);
    let left = fs::metadata(dir.path().join("history.db-wal")).unwrap().len();
    assert_eq!(left, image.len("history.db-wal") as u64);
}

#[test]
fn an_unclean_end_without_fsync_and_another_boot_begins_a_new_epoch() {
    let copies = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [same, copy] = &copies;
    let lobby = room("lobby");
    let store = Store::unsynced();
    let position = store.say(&lobby, "a", "x");
    for copy in &copies {
        for name in FILES {
            fs::copy(store.path().join(name), copy.path().join(name)).unwrap();
        }
    }
    let reopen = |copy: &Path| {
        settle_in(copy);
        let caller = Caller::start(unsynced(copy)).unwrap();
        caller.head(&lobby).epoch
    };
    // The same run of the operating system: nothing can be lost.
    assert_eq!(reopen(same.path()), position.epoch);
    // Another one: the boot id stands at bytes 24 to 40 of the commit marker, its checksum in the last 4 of 512.
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
    let store = Store::new();
    let lobby = room("lobby");
    store.fill(&lobby, (1..=50).map(|n| format!("text {n}")));
    // What is indexed is not read again, so that only those who ask find the damage.
    store.is_indexed(50);
    let store = store.changed(|dir| sql(dir, "UPDATE message SET text = 'forged' WHERE seq = 20"));
    let why = store.try_page(&lobby, Window::Before(25), 10).unwrap_err().to_string();
    let told = [
        "history.db is damaged in room \"lobby\" at seq 20",
        "plaza history check",
    ];
    contains(&why, &told);
    assert_eq!(store.page(&lobby, Window::Newest, 30).0.len(), 30);
    assert_eq!(store.say(&lobby, "a", "on").seq, 51);
    // Whoever finds it, in whichever way, counts it, and health has a word of it.
    let is_found = |times: u64| {
        assert_eq!(store.damage(), times);
        match store.history.health() {
            Health::Degraded(why) => contains(&why.to_string(), &["at seq 20"]),
            other => panic!("{other:?}"),
        }
    };
    is_found(1);
    let (epoch, seq) = (store.head(&lobby).epoch, 15);
    let since = Since::Position(Position { epoch, seq });
    assert_eq!(store.resume(&lobby, "a", since, u64::MAX, 10).messages, []);
    is_found(2);
}
