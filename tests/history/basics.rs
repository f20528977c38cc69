//! Numbers, retention, read markers, inboxes and resumption, from one start to the next.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plaza::{
    chat::{Position, Since},
    history::{
        ConversationFilter, Health, HistorySettings, KeyWindow, LogId, LostInterval, Outcome, Query, Retention, Window,
    },
};

use crate::support::{
    Store, append, committed, contains, duplicate, inbox, newest, only, pair, refusal, room, seqs, settings, sql,
    unsynced, until, user,
};

#[test]
fn numbers_follow_each_other_per_log_also_after_a_restart() {
    let store = Store::new();
    let (lobby, other) = (room("lobby"), room("other"));
    let first = store.say(&lobby, "张三", "你好");
    assert_eq!(first.seq, 1);
    assert!((1..1 << 53).contains(&first.epoch));
    assert_eq!(store.say(&lobby, "b", "2").seq, 2);
    assert_eq!(store.say(&other, "b", "1").seq, 1);
    let store = store.restarted();
    assert_eq!(store.say(&lobby, "b", "3"), Position { seq: 3, ..first });
    assert!(store.history.recovered().is_empty());
    let all = store.all(&lobby).unwrap();
    let all: Vec<_> = all.iter().map(|m| (m.seq, m.from.as_str(), &*m.text)).collect();
    assert_eq!(all, [(1, "张三", "你好"), (2, "b", "2"), (3, "b", "3")]);
    for (window, page) in [
        (Window::Newest, (vec![2, 3], true)),
        (Window::Before(3), (vec![1, 2], false)),
        (Window::After(3), (vec![], false)),
        (Window::Range(2, 2), (vec![2], false)),
    ] {
        assert_eq!(store.seqs(&lobby, window, 2), page, "{window:?}");
    }
    assert_eq!(store.history.health(), Health::Healthy);
}

#[test]
fn keys_run_out_by_age_and_by_count() {
    let store = Store::with(|dir| HistorySettings {
        keys: KeyWindow {
            messages: 2,
            ..settings(dir).keys
        },
        retention_pause: Duration::ZERO,
        ..unsynced(dir)
    });
    let lobby = room("lobby");
    for key in ["1", "2", "3"] {
        committed(store.say_with(&lobby, "a", key, key));
    }
    // The third makes the first run out; the writer forgets it beside one of the next commits.
    until("the first key runs out", || {
        match store.say_with(&lobby, "a", "1", "1") {
            Outcome::Duplicate { .. } => false,
            other => committed(other).seq == 4,
        }
    });
    duplicate(store.say_with(&lobby, "a", "3", "3"));
}

#[test]
fn retention_by_count_bytes_and_age_keeps_the_newest_and_no_holes() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let hour = 60 * 60 * 1_000;
    let (mut bytes, mut age) = (Retention::FOREVER, Retention::FOREVER);
    // Every message counts 1 + 3 + 48 bytes.
    bytes.bytes = Some(52 * 10 + 51);
    age.age = Some(Duration::from_millis(50 * hour));
    for (retention, first) in [(newest(100), 901), (bytes, 991), (age, 951), (newest(0), 1_001)] {
        let store = Store::with(move |dir| HistorySettings {
            retention,
            retention_pause: Duration::from_millis(1),
            ..unsynced(dir)
        });
        let lobby = room("lobby");
        for n in 1..=1_000_u64 {
            let mut message = append(&lobby, "a", "xyz", None, n);
            message.at = now - (1_000 - n) * hour - hour / 2;
            store.submit(message);
        }
        for _ in 0..1_000 {
            committed(store.next());
        }
        until(&format!("{retention:?}"), || store.head(&lobby).first == first);
        assert_eq!(store.all(&lobby).unwrap().len() as u64, 1_001 - first);
        let (head, to) = (store.head(&lobby), first - 1);
        let (epoch, from) = (head.epoch, 11);
        assert_eq!(
            head.go_on(Position { epoch, seq: 10 }).lost,
            [LostInterval { epoch, from, to }]
        );
        let store = store.restarted();
        assert_eq!(store.head(&lobby).seq, 1_000);
        assert_eq!(store.say(&lobby, "a", "next").seq, 1_001);
    }
}

#[test]
fn read_positions_grow_and_count_what_others_said() {
    let store = Store::new();
    let (lobby, mail) = (room("lobby"), pair("bob", "alice"));
    for (from, text) in [("bob", "1"), ("alice", "2"), ("bob", "3"), ("carol", "4")] {
        store.say(&lobby, from, text);
    }
    store.say(&mail, "bob", "psst");
    for (seq, marked) in [(1, (1, 2)), (3, (3, 1)), (2, (3, 1)), (99, (4, 0))] {
        assert_eq!(store.mark(&lobby, "alice", seq), marked);
    }
    let store = store.restarted();
    store.say(&lobby, "bob", "5");
    let list = |filter| {
        let found = store.conversations("alice", filter).found.into_iter();
        found
            .map(|one| (one.log, one.read, one.head.seq, one.unread))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list(ConversationFilter::Unread),
        [(mail.clone(), 0, 1, 1), (lobby.clone(), 4, 5, 1)]
    );
    assert_eq!(store.mark(&mail, "alice", 1), (1, 0));
    assert_eq!(list(ConversationFilter::Unread), [(lobby, 4, 5, 1)]);
    assert!(list(inbox(&[])).is_empty(), "what was read to its end is no mail");
    assert_eq!(
        list(inbox(&["bob", "carol"])),
        [(mail, 1, 1, 0), (pair("alice", "carol"), 0, 0, 0)],
        "but a device may not have had it, or have had what is lost"
    );
    let own = pair("alice", "dave");
    store.say(&own, "alice", "hello?");
    assert_eq!(list(inbox(&[])), [(own, 0, 1, 0)], "another device has not had it");
}

#[test]
fn mail_that_is_never_read_does_not_stand_before_what_others_say_later() {
    let store = Store::unsynced();
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    let mails = || (0..most + 2).map(|n| pair("alice", &format!("sender {n}")));
    for (n, mail) in (0..).zip(mails()) {
        store.submit(append(&mail, &format!("sender {n}"), "read me", None, n));
    }
    for _ in mails() {
        committed(store.next());
    }
    let lists = |logs: &[LogId], more: bool| {
        for filter in [ConversationFilter::Unread, inbox(&[])] {
            let list = store.conversations("alice", filter);
            assert_eq!((list.logs(), list.more), (logs.to_vec(), more));
        }
    };
    let newest_first: Vec<LogId> = mails().rev().collect();
    let (newest, oldest) = newest_first.split_at(most);
    lists(newest, true);
    for log in newest {
        assert_eq!(store.mark(log, "alice", 1), (1, 0));
    }
    lists(oldest, false);
}

#[test]
fn whoever_goes_on_is_told_the_head_the_read_position_and_the_first_of_what_was_missed() {
    let store = Store::new();
    let lobby = room("lobby");
    let is_resumed = |store: &Store, since, limit, head, read, missed: &[u64]| {
        let resumed = store.resume(&lobby, "alice", since, u64::MAX, limit);
        assert_eq!(resumed.read.user, user("alice"));
        assert_eq!((resumed.head.seq, resumed.read.seq), (head, Some(read)), "{since:?}");
        assert_eq!(seqs(&resumed.messages), missed, "{since:?}, {limit}");
    };
    is_resumed(&store, Since::Last(5), 10, 0, 0, &[]);
    store.fill(&lobby, (1..=20).map(|n| n.to_string()));
    store.mark(&lobby, "alice", 7);
    let epoch = store.head(&lobby).epoch;
    let after = |seq| Since::Position(Position { epoch, seq });
    for (since, limit, missed) in [
        (after(8), 3, &[9, 10, 11][..]),
        (after(18), 100, &[19, 20]),
        (after(20), 100, &[]),
        (after(8), 0, &[]),
        (Since::Last(4), 100, &[17, 18, 19, 20]),
        (Since::Last(99), 2, &[1, 2]),
        (Since::Now, 100, &[]),
    ] {
        is_resumed(&store, since, limit, 20, 7, missed);
    }
    // A damaged message keeps nobody out: it is told where it is missed.
    let store = store.changed(|dir| sql(dir, "UPDATE message SET text = 'other' WHERE seq = 10"));
    is_resumed(&store, after(8), 100, 20, 7, &[]);
    is_resumed(&store, after(10), 2, 20, 7, &[11, 12]);
}

fn mode(dir: &Path) -> u32 {
    std::fs::metadata(dir).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_directory_that_others_use_is_not_closed_to_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    std::fs::write(dir.path().join("somebody's"), "file").unwrap();
    contains(&refusal(settings(dir.path())), &["mode 1777"]);
    assert_eq!(mode(dir.path()), 0o1777);
    std::fs::remove_file(dir.path().join("somebody's")).unwrap();
    // An empty one is taken, and closed.
    drop(crate::support::Caller::open(dir.path()));
    assert_eq!(mode(dir.path()) & 0o777, 0o700);
}

#[test]
fn a_newer_schema_is_refused_in_words() {
    let dir = Store::new().stopped();
    sql(dir.path(), "PRAGMA user_version = 99");
    contains(&refusal(settings(dir.path())), &["schema version 99"]);
}

#[test]
fn what_was_taken_has_an_outcome_also_when_the_store_stops() {
    let store = Store::unsynced();
    let lobby = room("lobby");
    for n in 0..3_000 {
        store.submit(append(&lobby, "a", "x", None, n));
    }
    store.history.stop();
    for n in 1..=3_000 {
        let seq = only!(store.next(), Outcome::Committed { position, .. } => position.seq);
        assert_eq!(seq, n);
    }
    assert!(store.history.submit(append(&lobby, "a", "x", None, 1)).is_err());
    assert!(store.history.ask(Query::Head(lobby), 1).is_err());
}
