//! A wall clock that jumps while the store runs. The test owns the clock and waits for rounds of retention.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use plaza::{
    chat::RoomName,
    history::{HistorySettings, KeyWindow, LogId, Outcome, Retention},
    observe::Clocks,
};

use crate::support::{Store, append, committed, duplicate, newest, room, unsynced, until};

/// The clocks of the test.
#[derive(Default)]
struct Times {
    wall: AtomicU64,
    running: AtomicU64,
}

const BEGUN: u64 = 1_800_000_000_000;
const HOUR: u64 = 60 * 60 * 1_000;
const DAY: u64 = 24 * HOUR;

impl Times {
    /// A store that keeps messages for 30 days, keys for one day, and only the newest message of the room `marker`.
    fn store(self: &Arc<Self>) -> Store {
        self.wall.store(BEGUN, Ordering::Relaxed);
        let times = self.clone();
        let settings = move |dir: &Path| {
            let (wall, running) = (times.clone(), times.clone());
            HistorySettings {
                retention: Retention {
                    age: Some(Duration::from_millis(30 * DAY)),
                    ..Retention::FOREVER
                },
                rooms: [(RoomName::parse("marker").unwrap(), newest(1))].into(),
                keys: KeyWindow::default(),
                retention_pause: Duration::from_millis(1),
                clocks: Clocks {
                    wall: Arc::new(move || wall.wall.load(Ordering::Relaxed)),
                    running: Arc::new(move || running.running.load(Ordering::Relaxed)),
                },
                ..unsynced(dir)
            }
        };
        Store::with(settings)
    }

    /// Appends a message of this time.
    fn say(&self, store: &Store, log: &LogId, text: &str, key: Option<&str>) -> Outcome<u64> {
        let mut message = append(log, "a", text, key, 0);
        message.at = self.wall.load(Ordering::Relaxed);
        store.append(message)
    }

    /// Returns when retention has looked at all logs that were there before: rounds go through them in the order of their
    /// making, and the marker was made last.
    fn rounds(&self, store: &Store) {
        let marker = room("marker");
        // The first may be the rest of a round that had begun.
        for _ in 0..2 {
            self.say(store, &marker, "x", None);
            let newest = committed(self.say(store, &marker, "x", None)).seq;
            until("a round of retention", || store.head(&marker).first == newest);
        }
    }
}

#[test]
fn a_clock_that_jumps_forward_deletes_no_talk_and_forgets_no_key_and_one_that_stays_there_is_followed() {
    let times = Arc::new(Times::default());
    let store = times.store();
    let lobby = room("lobby");
    for n in 1..=50 {
        committed(times.say(&store, &lobby, &n.to_string(), Some(&n.to_string())));
    }
    times.rounds(&store);
    times.wall.fetch_add(60 * DAY, Ordering::Relaxed);
    times.rounds(&store);
    assert_eq!(store.head(&lobby).first, 1);
    assert_eq!(store.all(&lobby).unwrap().len(), 50);
    duplicate(times.say(&store, &lobby, "50", Some("50")));
    // After 31 days of running the clock has been believed for 62.
    times.running.fetch_add(31 * DAY, Ordering::Relaxed);
    times.rounds(&store);
    let head = store.head(&lobby);
    assert_eq!((head.first, head.seq), (51, 50));
    committed(times.say(&store, &lobby, "50", Some("50")));
}

#[test]
fn a_clock_that_is_set_back_deletes_nothing_and_the_times_of_a_log_never_go_back() {
    let times = Arc::new(Times::default());
    let store = times.store();
    let lobby = room("lobby");
    for (n, now) in [BEGUN, BEGUN - HOUR, BEGUN + DAY, BEGUN, BEGUN + 2 * DAY]
        .into_iter()
        .enumerate()
    {
        times.wall.store(now, Ordering::Relaxed);
        assert_eq!(committed(times.say(&store, &lobby, "x", None)).seq, n as u64 + 1);
        times.rounds(&store);
    }
    let at: Vec<u64> = store.all(&lobby).unwrap().iter().map(|message| message.at).collect();
    assert_eq!(at, [BEGUN, BEGUN, BEGUN + DAY, BEGUN + DAY, BEGUN + 2 * DAY]);
}
