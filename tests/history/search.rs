//! Search in an index of an older program, and its speed in a large store.

use std::{
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plaza::{
    history::{Answer, Ask, LogId},
    limits,
};

use crate::support::{Caller, append, committed, room, unsynced};

fn find(caller: &Caller, log: &LogId, text: &str, before: Option<u64>, limit: usize) -> (Vec<u64>, Option<u64>) {
    match caller.answer(Ask::Search {
        log: log.clone(),
        text: text.into(),
        before,
        limit,
    }) {
        Answer::Found { messages, next, .. } => (messages.iter().map(|message| message.seq).collect(), next),
        other => panic!("{other:?}"),
    }
}

/// Appends all of it, and returns the number of committed messages.
fn fill(caller: &Caller, log: &LogId, texts: impl Iterator<Item = String>) -> u64 {
    let (mut sent, mut done) = (0, 0);
    for text in texts {
        caller.submit(append(log, "a", &text, None, sent));
        sent += 1;
        while sent - done > 4_000 {
            committed(caller.next());
            done += 1;
        }
    }
    while done < sent {
        committed(caller.next());
        done += 1;
    }
    sent
}

fn indexed(caller: &Caller, messages: u64) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while caller.history.stats().indexed.load(Ordering::Relaxed) < messages {
        assert!(Instant::now() < deadline, "the indexer does not get on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn index(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("search.db")).unwrap()
}

#[test]
fn an_index_of_an_older_version_is_made_anew_behind_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let count = fill(&caller, &lobby, (0..1_000).map(|n| format!("Smartphone {n}")));
    indexed(&caller, count);
    drop(caller);
    // As the first version left it: words, found by their beginning.
    let old = index(dir.path());
    let current = version(&old);
    old.execute_batch(
        "DROP TABLE words;
         CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii', prefix = '1 2');
         INSERT INTO words (rowid, text) VALUES ((1 << 36) + 1, 'smartphone 0');
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);

    let caller = Caller::start(unsynced(dir.path())).unwrap();
    // Found at once, by reading, and by the index once it is there.
    assert_eq!(find(&caller, &lobby, "phone 999", None, 1).0, [1_000]);
    indexed(&caller, count);
    assert_eq!(find(&caller, &lobby, "PHONE 999", None, 1).0, [1_000]);
    assert_eq!(find(&caller, &lobby, "hon", Some(3), 5).0, [2, 1]);
    drop(caller);
    assert_eq!(version(&index(dir.path())), current);
}

fn version(index: &rusqlite::Connection) -> i64 {
    index.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// `cargo test --release --test history a_million -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of minutes"]
fn a_million_messages_are_searched_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let syllables = [
        "ka", "to", "mi", "ser", "an", "do", "lu", "gre", "fi", "pon", "st", "ra", "ve", "ing", "ch", "el",
    ];
    let words: Vec<String> = (0..30_000)
        .map(|_| (0..random.usize(1..5)).map(|_| syllables[random.usize(..16)]).collect())
        .collect();
    // Zipf's law, nearly: the logarithm of the rank is even.
    let rank = |random: &mut fastrand::Rng, most: f64| (most.powf(random.f64()) - 1.0) as usize;
    let text = |random: &mut fastrand::Rng| -> String {
        if random.u8(..) < 77 {
            let length = random.usize(5..30);
            (0..length)
                .filter_map(|_| char::from_u32(0x4E00 + rank(random, 2_000.0) as u32))
                .collect()
        } else {
            let length = random.usize(3..15);
            let chosen: Vec<&str> = (0..length).map(|_| words[rank(random, 30_000.0)].as_str()).collect();
            chosen.join(" ")
        }
    };
    let begun = Instant::now();
    let texts: Vec<String> = (0..1_000_000).map(|_| text(&mut random)).collect();
    let count = fill(&caller, &lobby, texts.iter().cloned());
    println!("said in {:?}", begun.elapsed());
    let begun = Instant::now();
    indexed(&caller, count);
    println!("indexed {:?} later", begun.elapsed());
    let bytes = |file: &str| std::fs::metadata(dir.path().join(file)).map_or(0, |data| data.len()) / 1_000_000;
    println!(
        "history.db {} MB, search.db {} MB",
        bytes("history.db"),
        bytes("search.db")
    );
    let mut ask = |what: &str, query: &mut dyn FnMut(&mut fastrand::Rng) -> String| {
        let mut took: Vec<Duration> = (0..300)
            .map(|_| {
                let query = query(&mut random);
                let begun = Instant::now();
                find(&caller, &lobby, &query, None, limits::PAGE_ENTRIES);
                begun.elapsed()
            })
            .collect();
        took.sort();
        println!("{what}: p50 {:?}, p99 {:?}, most {:?}", took[150], took[296], took[299]);
    };
    ask("a word", &mut |random| words[rank(random, 30_000.0)].clone());
    ask("inside a word", &mut |random| {
        words[rank(random, 30_000.0)].chars().skip(1).collect()
    });
    ask("two words", &mut |random| {
        format!("{} {}", words[rank(random, 30_000.0)], words[random.usize(..30_000)])
    });
    ask("no word", &mut |random| (0..7).map(|_| random.lowercase()).collect());
    ask("two Chinese characters", &mut |random| {
        (0..2)
            .filter_map(|_| char::from_u32(0x4E00 + rank(random, 2_000.0) as u32))
            .collect()
    });
    ask("four of a message", &mut |random| {
        let text = &texts[random.usize(..texts.len())];
        text.chars().skip(1).take(4).collect()
    });
    ask("punctuation alone", &mut |_| "?!".to_owned());
}
