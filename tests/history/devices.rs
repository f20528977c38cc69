//! Direct conversations as a device gets them: complete, with damage and loss named, and never those of others.

use std::{os::unix::fs::FileExt as _, sync::atomic::Ordering};

use plaza::{
    chat::Position,
    history::{
        Answer, Ask, Bearer, ChangedUpTo, DirectPage, LogId, LostInterval, NameKey, Outcome, Retention, Which, tools,
    },
};

use crate::support::{Caller, append, committed, pair, settings, user};

/// Bob's conversation with ann, with this many messages.
fn conversation(caller: &Caller, peer: &str, count: u64) -> Position {
    let mut last = None;
    for n in 1..=count {
        last = Some(committed(caller.say(
            &pair("bob", peer),
            peer,
            &format!("{peer} {n}"),
            None,
        )));
    }
    last.unwrap()
}

fn page(caller: &Caller, peer: &str, after: u64) -> DirectPage {
    match caller.answer(ask(peer, after, Bearer::Key)) {
        Answer::Direct(Some(page)) => page,
        other => panic!("{other:?}"),
    }
}

fn ask(peer: &str, after: u64, bearer: Bearer) -> Ask {
    Ask::Direct {
        user: user("bob"),
        bearer,
        peer: user(peer),
        after,
    }
}

fn numbers(page: &DirectPage) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

fn lost(page: &DirectPage) -> Vec<(u64, u64)> {
    page.lost.iter().map(|lost| (lost.from, lost.to)).collect()
}

fn change(dir: &std::path::Path, sql: &str) {
    let db = rusqlite::Connection::open(dir.join("history.db")).unwrap();
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

/// Bob's offline messages: the peers, with his read marker and the head.
fn waiting(caller: &Caller, known: &[&str]) -> (Vec<(LogId, u64, u64)>, usize) {
    let which = Which::Mail {
        bearer: Bearer::Key,
        known: known.iter().map(|name| user(name)).collect(),
    };
    match caller.answer(Ask::Conversations {
        user: user("bob"),
        which,
    }) {
        Answer::Conversations {
            conversations,
            unreadable,
            ..
        } => {
            let found = conversations.into_iter().map(|one| (one.log, one.read, one.head.seq));
            (found.collect(), unreadable)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_messages_of_a_page_are_lost_intervals_and_the_others_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let epoch = conversation(&caller, "ann", 12).epoch;
    caller.history.stop();
    drop(caller);
    for damage in [
        "UPDATE message SET text = 'forged' WHERE seq IN (3, 4, 9)",
        "DELETE FROM message WHERE seq = 6",
        "UPDATE message SET crc = crc + 1 WHERE seq = 12",
    ] {
        change(dir.path(), damage);
    }
    let caller = Caller::open(dir.path());
    let all = page(&caller, "ann", 0);
    assert_eq!(numbers(&all), [1, 2, 5, 7, 8, 10, 11]);
    assert_eq!(lost(&all), [(3, 4), (6, 6), (9, 9), (12, 12)]);
    assert_eq!(all.lost[0], LostInterval { epoch, from: 3, to: 4 });
    assert_eq!((all.upto, all.head.seq), (12, 12));
    assert_eq!(lost(&page(&caller, "ann", 3)), [(4, 4), (6, 6), (9, 9), (12, 12)]);
    let damage = caller.history.stats().damage.load(std::sync::atomic::Ordering::Relaxed);
    assert!(damage >= 8, "each interval is counted: {damage}");
    assert_eq!(committed(caller.say(&pair("bob", "ann"), "ann", "on", None)).seq, 13);
    assert_eq!(numbers(&page(&caller, "ann", 11)), [13]);
}

#[test]
fn a_page_behind_what_retention_deleted_begins_with_a_lost_interval() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(plaza::history::Settings {
        directs: Retention {
            messages: Some(4),
            ..Retention::FOREVER
        },
        retention_pause: std::time::Duration::from_millis(1),
        ..settings(dir.path())
    })
    .unwrap();
    conversation(&caller, "ann", 10);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while caller.head(&pair("bob", "ann")).first < 7 {
        assert!(std::time::Instant::now() < deadline, "nothing is deleted");
        std::thread::yield_now();
    }
    let rest = page(&caller, "ann", 2);
    assert_eq!((lost(&rest), numbers(&rest)), (vec![(3, 6)], vec![7, 8, 9, 10]));
}

#[test]
fn a_position_in_a_conversation_that_is_gone_is_answered_with_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    conversation(&caller, "ann", 2);
    let (found, _) = waiting(&caller, &["ann", "carl"]);
    assert_eq!(found, [(pair("bob", "ann"), 0, 2), (pair("bob", "carl"), 0, 0)]);
}

#[test]
fn a_damaged_conversation_or_read_position_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    for peer in ["ann", "carl", "dora"] {
        conversation(&caller, peer, 2);
    }
    let log = pair("bob", "carl");
    let read = Ask::Mark {
        log,
        user: user("bob"),
        seq: 2,
        bearer: Bearer::Key,
    };
    assert!(matches!(caller.answer(read), Answer::Marked { unread: 0, .. }));
    // The server runs: a start would refuse the damaged row of a log.
    change(
        dir.path(),
        "UPDATE log SET crc = crc + 1 WHERE name = 'bob' AND peer = 'dora'",
    );
    change(dir.path(), "UPDATE mark SET crc = crc + 1");
    let (found, unreadable) = waiting(&caller, &["dora"]);
    let due = [(pair("bob", "carl"), 0, 2), (pair("ann", "bob"), 0, 2)];
    assert_eq!(found, due, "what was read is given again");
    assert!(unreadable > 0);
    let (changed, unreadable, _) = changed(&caller, 0, None);
    assert_eq!((changed, unreadable), (vec![("ann".into(), 0), ("carl".into(), 0)], 1));
}

#[test]
fn a_conversation_that_its_user_would_not_find_is_named_by_a_check_and_found_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    for peer in ["ann", "carl"] {
        conversation(&caller, peer, 2);
    }
    drop(caller);
    change(dir.path(), "DELETE FROM pair WHERE user = 'bob'");
    let report = tools::check(dir.path()).unwrap();
    assert_eq!(report.damaged, 2, "{report:?}");
    assert!(report.damages[0].contains("direct \"ann\" and \"bob\""), "{report:?}");
    let caller = Caller::open(dir.path());
    let (found, unreadable) = waiting(&caller, &[]);
    assert_eq!(found, [(pair("bob", "carl"), 0, 2), (pair("ann", "bob"), 0, 2)]);
    assert_eq!(unreadable, 0);
    drop(caller);
    assert_eq!(tools::check(dir.path()).unwrap().damaged, 0);
}

#[test]
fn a_page_of_a_table_that_only_finds_conversations_hides_none() {
    for table in ["pair", "mark"] {
        let dir = tempfile::tempdir().unwrap();
        let caller = Caller::open(dir.path());
        for peer in ["ann", "carl"] {
            conversation(&caller, peer, 2);
        }
        drop(caller);
        let file = dir.path().join("history.db");
        let db = rusqlite::Connection::open(&file).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u32 = db.query_row(sql, [table], |row| row.get(0)).unwrap();
        drop(db);
        let file = std::fs::File::options().write(true).open(&file).unwrap();
        file.write_all_at(&[0; 4096], u64::from(page - 1) * 4096).unwrap();
        let caller = Caller::open(dir.path());
        let (found, _) = waiting(&caller, &[]);
        let due = [(pair("bob", "carl"), 0, 2), (pair("ann", "bob"), 0, 2)];
        assert_eq!(found, due, "{table}");
        assert!(caller.history.stats().damage.load(Ordering::Relaxed) > 0, "{table}");
        assert!(tools::check(dir.path()).unwrap().damaged > 0, "{table}");
    }
}

/// The peers whose conversations have later messages, and the position before these.
fn changed(
    caller: &Caller,
    since: u64,
    after: Option<ChangedUpTo>,
) -> (Vec<(String, u64)>, usize, Option<ChangedUpTo>) {
    let ask = Ask::Changed {
        user: user("bob"),
        bearer: Bearer::Key,
        since,
        after,
    };
    match caller.answer(ask) {
        Answer::Changed {
            conversations,
            next,
            unreadable,
            ..
        } => {
            let found = conversations
                .into_iter()
                .map(|one| (one.peer.as_str().to_owned(), one.before));
            (found.collect(), unreadable, next)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn conversations_that_changed_since_a_time_are_found_in_pages_however_far_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(crate::support::unsynced(dir.path())).unwrap();
    let most = plaza::limits::CHANGED_CONVERSATIONS;
    let name = |n: usize| format!("writer {n:03}");
    // Every message of the second round is of a later time than all of the first.
    let mut at = 0;
    for _ in 0..2 {
        for n in 0..most + 5 {
            at += 1;
            caller.submit(append(&pair("bob", &name(n)), &name(n), "hello", None, at));
            let position = committed(caller.next());
            let read = Ask::Mark {
                log: pair("bob", &name(n)),
                user: user("bob"),
                seq: position.seq,
                bearer: Bearer::Key,
            };
            caller.answer(read);
        }
    }
    let time = 1_700_000_000_000;
    let second = time + (most + 5) as u64 + 1;
    let (first_page, _, next) = changed(&caller, second, None);
    let due: Vec<(String, u64)> = (0..most).map(|n| (name(n), 1)).collect();
    assert_eq!(first_page, due);
    // One that is written in meanwhile moves to the end.
    caller.submit(append(&pair("bob", &name(0)), &name(0), "again", None, at + 1));
    committed(caller.next());
    let (rest, _, next) = changed(&caller, second, next);
    let due: Vec<(String, u64)> = (most..most + 5).chain([0]).map(|n| (name(n), 1)).collect();
    assert_eq!((rest, next), (due, None));
    // From the middle of the first round: all, and of those before it only the second message.
    let (page, _, _) = changed(&caller, time + 3, None);
    assert_eq!(page[..4], [(name(1), 1), (name(2), 0), (name(3), 0), (name(4), 0)]);
    assert_eq!(changed(&caller, time + at + 2, None).0, []);
}

#[test]
fn whoever_only_said_a_name_reads_nothing_of_it_once_somebody_has_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    conversation(&caller, "ann", 2);
    let asks = || {
        let which = Which::Mail {
            bearer: Bearer::Name,
            known: vec![user("ann")],
        };
        let conversations = Ask::Conversations {
            user: user("bob"),
            which,
        };
        let changed = Ask::Changed {
            user: user("bob"),
            bearer: Bearer::Name,
            since: 0,
            after: None,
        };
        [conversations, changed, ask("ann", 0, Bearer::Name)].map(|ask| match caller.answer(ask) {
            Answer::Conversations { conversations, .. } => conversations.len(),
            Answer::Changed { conversations, .. } => conversations.len(),
            Answer::Direct(page) => page.map_or(0, |page| page.messages.len()),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(asks(), [1, 1, 2]);
    let claim = Ask::Claim {
        user: user("bob"),
        key: NameKey("made by bob's client, of 32 bytes".into()),
    };
    assert!(matches!(caller.ask(claim), Outcome::Answered { .. }));
    assert_eq!(asks(), [0, 0, 0]);
}
