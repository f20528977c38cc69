//! Search in the index and before it, in an index of an older program, and its speed in a large store.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use plaza::{history::LogId, limits};

use crate::support::{Store, append, committed, room};

/// All that is found, page by page.
fn find_all(store: &Store, log: &LogId, text: &str, limit: usize) -> Vec<u64> {
    let (mut all, mut next) = store.find(log, text, None, limit);
    while next.is_some() {
        let (page, following) = store.find(log, text, next, limit);
        all.extend(page);
        next = following;
    }
    all
}

#[test]
fn search_finds_two_characters_and_words_in_the_index_and_before_it() {
    let store = Store::unsynced();
    let (lobby, elsewhere) = (room("lobby"), room("elsewhere"));
    let texts = ["我爱北京天安门", "Hello World", "在北京", "nothing", "helpful HELLO"];
    for n in 0..2_000_u64 {
        store.submit(append(&lobby, "a", texts[n as usize % texts.len()], None, n));
        store.submit(append(&elsewhere, "a", "北京 hello", None, n));
    }
    for _ in 0..4_000 {
        committed(store.next());
    }
    let check = || {
        for (text, last, count) in [
            ("北京", [1_998, 1_996, 1_993], 800),
            ("hello", [2_000, 1_997, 1_995], 800),
            ("门", [1_996, 1_991, 1_986], 400),
        ] {
            assert_eq!(
                store.find(&lobby, text, None, 3),
                (last.to_vec(), Some(last[2])),
                "{text}"
            );
            assert_eq!(find_all(&store, &lobby, text, 200).len(), count, "{text}");
        }
        assert_eq!(store.find(&lobby, "京北", None, 3), (vec![], None));
        // Punctuation alone is looked for by reading, which may take more than one turn.
        assert!(find_all(&store, &lobby, "?!", 3).is_empty());
        assert_eq!(store.find(&lobby, "elpfu", None, 2).0, [2_000, 1_995]);
        assert_eq!(store.find(&lobby, "world hello", Some(8), 3).0, [7, 2]);
    };
    check();
    store.is_indexed(4_000);
    check();
}

fn index(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("search.db")).unwrap()
}

fn version(dir: &Path) -> i64 {
    index(dir)
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn an_index_of_an_older_version_is_made_anew_behind_the_writer() {
    let store = Store::unsynced();
    let lobby = room("lobby");
    let count = store.fill(&lobby, (0..1_000).map(|n| format!("Smartphone {n}")));
    store.is_indexed(count);
    let current = version(store.path());
    // As the first version left it: words, found by their beginning.
    let store = store.changed(|dir| {
        let old = "DROP TABLE words;
             CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii', prefix = '1 2');
             INSERT INTO words (rowid, text) VALUES ((1 << 36) + 1, 'smartphone 0');
             PRAGMA user_version = 1;";
        index(dir).execute_batch(old).unwrap();
    });
    // Found at once, by reading, and by the index once it is there.
    assert_eq!(store.find(&lobby, "phone 999", None, 1).0, [1_000]);
    store.is_indexed(count);
    assert_eq!(store.find(&lobby, "PHONE 999", None, 1).0, [1_000]);
    assert_eq!(store.find(&lobby, "hon", Some(3), 5).0, [2, 1]);
    assert_eq!(version(store.stopped().path()), current);
}

/// `cargo test --release --test history a_million -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, of minutes"]
fn a_million_messages_are_searched_in_time() {
    let store = Store::unsynced();
    let lobby = room("lobby");
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
    let count = store.fill(&lobby, texts.iter().cloned());
    println!("said in {:?}", begun.elapsed());
    let begun = Instant::now();
    store.is_indexed(count);
    println!("indexed {:?} later", begun.elapsed());
    let bytes = |file: &str| std::fs::metadata(store.path().join(file)).map_or(0, |data| data.len()) / 1_000_000;
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
                store.find(&lobby, &query, None, limits::PAGE_ENTRIES);
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
