use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    chat::{ConnectionSlot, Generation, Key, NewMessage, RoomName, SessionId, SessionTag, ShardId},
    history::{
        schema,
        settings::{Durability, KeyWindow},
    },
};

const WINDOW: KeyWindow = KeyWindow {
    age: Duration::from_secs(60),
    messages: 4,
};

fn entry(room: &str, text: &str, key: Option<&str>, at: u64) -> Append<()> {
    let session = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);
    Append {
        log: LogId::Room(RoomName::parse(room).unwrap()),
        message: Box::new(NewMessage {
            key: key.map(Into::into),
            ..NewMessage::new(session, UserName::parse("ann").unwrap(), SessionTag(1), text.into())
        }),
        at,
        ticket: (),
    }
}

/// Entries of two logs that another system numbered, with times that sometimes go back. Keys repeat inside and outside their
/// window.
fn entries() -> Vec<(Append<()>, Numbered)> {
    let texts = ["one", "two", "one", "three", "one", "one", "four", "one", "two"];
    let keys = [
        Some("k"),
        None,
        Some("k"),
        None,
        Some("k"),
        Some("j"),
        None,
        Some("j"),
        Some("k"),
    ];
    let times = [10_u64, 20, 15, 90, 95, 95, 100, 100, 100];
    let mut entries = Vec::new();
    for round in 0..4_u64 {
        for (n, ((text, key), at)) in texts.into_iter().zip(keys).zip(times).enumerate() {
            let seq = 100 * round + 3 * n as u64 + 1;
            let at = 1_000_000 + 200_000 * round + at * 1_000;
            let room = ["lobby", "hall"][n % 2];
            entries.push((entry(room, text, key, at), Numbered { seq, at, epoch: 7 }));
        }
    }
    entries
}

/// Applies the entries in transactions of this size. Returns the contents of the tables and the plan of each entry.
fn applied(entries: &[(Append<()>, Numbered)], window: KeyWindow, together: usize) -> (Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.db");
    schema::create(&file).unwrap();
    let db = schema::open_writer(&file, Durability::Os).unwrap();
    let (quarantine, claims) = (HashMap::new(), Claims::default());
    let (mut cache, mut plans) = (TableCache::default(), Vec::new());
    for batch in entries.chunks(together) {
        let transaction = db.unchecked_transaction().unwrap();
        for (append, numbered) in batch {
            let live = LiveKeys::at(numbered.at, window);
            let mut work = Transaction::new(&db, &file, &mut cache, &quarantine, &claims, |head| head + 1, live);
            let mut fresh = Vec::new();
            let plan = work.apply(append, *numbered, &mut fresh).unwrap_or_else(|_| panic!());
            work.insert(&mut fresh).unwrap_or_else(|_| panic!());
            work.settle().unwrap_or_else(|_| panic!());
            plans.push(match plan {
                Plan::Commit { position, prev, .. } => format!("{prev} {}", position.seq),
                Plan::Duplicate { position, .. } => format!("copy of {}", position.seq),
                Plan::Conflict => "conflict".to_owned(),
                Plan::Answer(_) | Plan::MarkerAdvanced | Plan::Fault(_) => panic!(),
            });
        }
        transaction.commit().unwrap();
        cache.forget(); // the cache decides nothing
    }
    let tables = ["log", "message", "idem", "key_block", "pair", "mark", "name", "lost"].map(|table| {
        let mut select = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = select.column_count();
        let rows = select.query_map([], |row| {
            let cells = (0..columns).map(|column| format!("{:?}", row.get_ref(column)));
            Ok(cells.collect::<Vec<_>>().join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    });
    (tables.to_vec(), plans)
}

#[test]
fn what_entries_come_to_does_not_depend_on_which_share_a_transaction() {
    let entries = entries();
    let (tables, plans) = applied(&entries, WINDOW, 1);
    for together in [2, 5, 36] {
        assert_eq!(applied(&entries, WINDOW, together), (tables.clone(), plans.clone()));
    }
    // The first round has a copy inside the window, a new message after a minute, and another text under a live key.
    assert_eq!(plans[..5], ["0 1", "0 4", "copy of 1", "4 10", "1 13"]);
    assert_eq!(plans[7], "copy of 16");
    assert_eq!(plans[8], "conflict");
}

/// The definition of whether a key counts.
#[derive(Default)]
struct KeyModel {
    used: HashMap<(LogId, Key), (Arc<str>, Seq, usize)>,
    messages: HashMap<LogId, usize>,
}

impl KeyModel {
    fn apply(&mut self, append: &Append<()>, seq: Seq, messages: u64) -> String {
        let count = self.messages.entry(append.log.clone()).or_default();
        if let Some(key) = &append.message.key {
            let place = (append.log.clone(), key.clone());
            match self.used.get(&place) {
                Some((_, _, ordinal)) if (*count - ordinal) as u64 >= messages => {}
                Some((text, first, _)) if *text == append.message.text => return format!("copy of {first}"),
                Some(_) => return "conflict".to_owned(),
                None => {}
            }
            self.used.insert(place, (append.message.text.clone(), seq, *count + 1));
        }
        *count += 1;
        seq.to_string()
    }
}

#[test]
fn keys_count_in_memory_in_rows_and_in_blocks_alike() {
    let window = KeyWindow {
        messages: 1_500,
        ..WINDOW
    };
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut entries, mut model, mut due) = (Vec::new(), KeyModel::default(), Vec::new());
    for n in 1..=6_000_u64 {
        let key = match dice.u32(..10) {
            0 => None,
            // A key used before, at any distance, and sometimes with another text.
            1 | 2 => Some(dice.u64(1..=n)),
            _ => Some(n),
        };
        let text = if dice.u32(..50) == 0 { "other" } else { "text" };
        let (room, key) = (
            ["lobby", "lobby", "hall"][n as usize % 3],
            key.map(|key| key.to_string()),
        );
        let append = entry(room, text, key.as_deref(), 1_000_000);
        due.push(model.apply(&append, 2 * n, window.messages));
        let numbered = Numbered {
            seq: 2 * n,
            at: 1_000_000,
            epoch: 7,
        };
        entries.push((append, numbered));
    }
    let all = applied(&entries, window, entries.len());
    let plans = all.1.iter().map(|plan| match plan.split_once(' ') {
        Some(("copy", _)) | None => plan.clone(),
        Some((_, seq)) => seq.to_owned(),
    });
    let plans: Vec<_> = plans.collect();
    assert_eq!(plans, due);
    assert!(all.0[3].lines().count() >= 4, "there are blocks");
    for together in [101, 1_024] {
        assert!(applied(&entries, window, together) == all, "{together}");
    }
}
