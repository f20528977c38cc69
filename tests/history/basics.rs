use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plaza::{
    chat::{Position, Since},
    history::{
        Answer, Ask, Bearer, Claim, Health, KeyWindow, LogId, LostInterval, NameKey, Outcome, Retention, Settings,
        StartFault, Which, Window,
    },
};

use crate::support::{Caller, append, committed, pair, room, settings, unsynced, user};

#[test]
fn numbers_follow_each_other_per_log_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (lobby, other) = (room("lobby"), room("other"));
    let caller = Caller::open(dir.path());
    let first = committed(caller.say(&lobby, "张三", "你好", None));
    assert_eq!(first.seq, 1);
    assert!((1..1 << 53).contains(&first.epoch));
    assert_eq!(committed(caller.say(&lobby, "b", "2", None)).seq, 2);
    assert_eq!(committed(caller.say(&other, "b", "1", None)).seq, 1);
    caller.history.stop();
    let caller = Caller::open(dir.path());
    let third = committed(caller.say(&lobby, "b", "3", None));
    assert_eq!((third.epoch, third.seq), (first.epoch, 3));
    assert!(caller.history.recovered().is_empty());
    let (messages, more) = caller.page(&lobby, Window::Newest, 2);
    assert_eq!(
        messages
            .iter()
            .map(|message| (message.seq, &*message.text))
            .collect::<Vec<_>>(),
        [(2, "2"), (3, "3")]
    );
    assert!(more);
    let (messages, more) = caller.page(&lobby, Window::Before(3), 2);
    assert_eq!(
        (messages[0].from.as_str(), &*messages[0].text, messages.len(), more),
        ("张三", "你好", 2, false)
    );
    assert_eq!(caller.page(&lobby, Window::After(3), 2), (vec![], false));
    assert_eq!(caller.page(&lobby, Window::Range(2, 2), 9).0.len(), 1);
    assert_eq!(caller.history.health(), Health::Healthy);
}

#[test]
fn a_key_makes_a_repeated_talk_the_same_message() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::open(dir.path());
    // Submitted together: the second finds the first while it still waits for its commit.
    caller.submit(append(&lobby, "a", "x", Some("k"), 1));
    caller.submit(append(&lobby, "a", "x", Some("k"), 2));
    caller.submit(append(&lobby, "a", "y", Some("k"), 3));
    caller.submit(append(&lobby, "b", "x", Some("k"), 4));
    let position = committed(caller.next());
    let again = |outcome: Outcome<u64>| match outcome {
        Outcome::Duplicate { position, at, .. } => (position, at),
        other => panic!("{other:?}"),
    };
    assert_eq!(again(caller.next()), (position, 1_700_000_000_001));
    assert!(matches!(caller.next(), Outcome::KeyConflict { .. }));
    assert_eq!(committed(caller.next()).seq, 2);
    caller.history.stop();
    let caller = Caller::open(dir.path());
    assert_eq!(again(caller.say(&lobby, "a", "x", Some("k"))).0, position);
    assert_eq!(caller.head(&lobby).seq, 2);
}

#[test]
fn keys_run_out_by_age_and_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(Settings {
        keys: KeyWindow {
            age: Duration::from_secs(365 * 24 * 60 * 60 * 100),
            messages: 2,
        },
        retention: Retention::FOREVER,
        retention_pause: Duration::ZERO,
        ..unsynced(dir.path())
    })
    .unwrap();
    for key in ["1", "2", "3"] {
        committed(caller.say(&lobby, "a", key, Some(key)));
    }
    // The third makes the first run out; the writer forgets it beside one of the next commits.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match caller.say(&lobby, "a", "1", Some("1")) {
            Outcome::Duplicate { .. } => assert!(Instant::now() < deadline),
            Outcome::Committed { position, .. } => break assert_eq!(position.seq, 4),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        caller.say(&lobby, "a", "3", Some("3")),
        Outcome::Duplicate { .. }
    ));
}

#[test]
fn retention_by_count_bytes_and_age_keeps_the_newest_and_no_holes() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let hour = 60 * 60 * 1_000;
    let cases = [
        (
            Retention {
                messages: Some(100),
                ..Retention::FOREVER
            },
            901,
        ),
        // Every talk counts 1 + 3 + 48 bytes.
        (
            Retention {
                bytes: Some(52 * 10 + 51),
                ..Retention::FOREVER
            },
            991,
        ),
        (
            Retention {
                age: Some(Duration::from_secs(50 * 3_600)),
                ..Retention::FOREVER
            },
            951,
        ),
        (
            Retention {
                messages: Some(0),
                ..Retention::FOREVER
            },
            1_001,
        ),
    ];
    for (retention, first) in cases {
        let dir = tempfile::tempdir().unwrap();
        let lobby = room("lobby");
        let caller = Caller::start(Settings {
            retention,
            retention_pause: Duration::from_millis(1),
            ..unsynced(dir.path())
        })
        .unwrap();
        for n in 1..=1_000_u64 {
            let mut message = append(&lobby, "a", "xyz", None, n);
            message.at = now - (1_000 - n) * hour - hour / 2;
            caller.submit(message);
        }
        for _ in 0..1_000 {
            committed(caller.next());
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while caller.head(&lobby).first != first {
            assert!(Instant::now() < deadline, "{retention:?}: {:?}", caller.head(&lobby));
        }
        assert_eq!(caller.all(&lobby).unwrap().len() as u64, 1_001 - first);
        let head = caller.head(&lobby);
        let lost = LostInterval {
            epoch: head.epoch,
            from: 11,
            to: first - 1,
        };
        assert_eq!(
            head.go_on(plaza::chat::Position {
                epoch: head.epoch,
                seq: 10
            })
            .lost,
            [lost]
        );
        caller.history.stop();
        let caller = Caller::open(dir.path());
        assert_eq!(caller.head(&lobby).seq, 1_000);
        assert_eq!(committed(caller.say(&lobby, "a", "next", None)).seq, 1_001);
    }
}

#[test]
fn read_positions_grow_and_count_what_others_said() {
    let dir = tempfile::tempdir().unwrap();
    let (lobby, mail) = (room("lobby"), pair("bob", "alice"));
    let caller = Caller::open(dir.path());
    for (from, text) in [("bob", "1"), ("alice", "2"), ("bob", "3"), ("carol", "4")] {
        committed(caller.say(&lobby, from, text, None));
    }
    committed(caller.say(&mail, "bob", "psst", None));
    let mark = |caller: &Caller, log: plaza::history::LogId, seq| match caller.answer(Ask::Mark {
        log,
        user: user("alice"),
        seq,
        bearer: Bearer::Key,
    }) {
        Answer::Marked { seq, unread, .. } => (seq, unread),
        other => panic!("{other:?}"),
    };
    let mark = |caller: &Caller, log: &plaza::history::LogId, seq| mark(caller, log.clone(), seq);
    assert_eq!(mark(&caller, &lobby, 1), (1, 2));
    assert_eq!(mark(&caller, &lobby, 3), (3, 1));
    assert_eq!(mark(&caller, &lobby, 2), (3, 1));
    assert_eq!(mark(&caller, &lobby, 99), (4, 0));
    caller.history.stop();
    let caller = Caller::open(dir.path());
    committed(caller.say(&lobby, "bob", "5", None));
    let list = |which| match caller.answer(Ask::Conversations {
        user: user("alice"),
        which,
    }) {
        Answer::Conversations { conversations, .. } => conversations
            .into_iter()
            .map(|one| (one.log, one.read, one.head.seq, one.unread))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(list(Which::Unread), [(mail.clone(), 0, 1, 1), (lobby.clone(), 4, 5, 1)]);
    assert_eq!(mark(&caller, &mail, 1), (1, 0));
    assert_eq!(list(Which::Unread), [(lobby, 4, 5, 1)]);
    let mail_of = |known| {
        list(Which::Mail {
            bearer: Bearer::Key,
            known,
        })
    };
    assert!(mail_of(vec![]).is_empty(), "what was read to its end is no mail");
    assert_eq!(
        mail_of(vec![user("bob"), user("carol")]),
        [(mail, 1, 1, 0), (pair("alice", "carol"), 0, 0, 0)],
        "but a device may not have had it, or have had what is lost"
    );
    let said_only = pair("alice", "dave");
    committed(caller.say(&said_only, "alice", "hello?", None));
    assert_eq!(mail_of(vec![]), [(said_only, 0, 1, 0)], "another device has not had it");
}

#[test]
fn mail_that_is_never_read_does_not_stand_before_what_others_say_later() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let most = plaza::limits::HISTORY_CONVERSATIONS;
    let mails = || (0..most + 2).map(|n| pair("alice", &format!("sender {n}")));
    for (n, mail) in (0..).zip(mails()) {
        caller.submit(append(&mail, &format!("sender {n}"), "read me", None, n));
    }
    for _ in mails() {
        committed(caller.next());
    }
    let list = |which| match caller.answer(Ask::Conversations {
        user: user("alice"),
        which,
    }) {
        Answer::Conversations {
            conversations, more, ..
        } => (conversations.into_iter().map(|one| one.log).collect::<Vec<_>>(), more),
        other => panic!("{other:?}"),
    };
    let newest: Vec<LogId> = mails().rev().take(most).collect();
    for which in [
        Which::Unread,
        Which::Mail {
            bearer: Bearer::Key,
            known: vec![],
        },
    ] {
        assert_eq!(list(which), (newest.clone(), true));
    }
    for log in newest {
        let read = caller.answer(Ask::Mark {
            log,
            user: user("alice"),
            seq: 1,
            bearer: Bearer::Key,
        });
        assert!(matches!(read, Answer::Marked { unread: 0, .. }), "{read:?}");
    }
    let oldest: Vec<LogId> = mails().rev().skip(most).collect();
    for which in [
        Which::Unread,
        Which::Mail {
            bearer: Bearer::Key,
            known: vec![],
        },
    ] {
        assert_eq!(list(which), (oldest.clone(), false));
    }
}

/// Alice's resume in the lobby: the head, her read marker, and the numbers of the first messages.
fn resumed(caller: &Caller, since: Since, limit: usize) -> (u64, u64, Vec<u64>) {
    match caller.answer(Ask::Resume {
        log: room("lobby"),
        user: user("alice"),
        since,
        upto: u64::MAX,
        limit,
    }) {
        Answer::Resumed {
            head, read, messages, ..
        } => {
            assert_eq!(read.user, user("alice"));
            (
                head.seq,
                read.seq.unwrap(),
                messages.iter().map(|message| message.seq).collect(),
            )
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_goes_on_is_told_the_head_the_read_position_and_the_first_of_what_was_missed() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    assert_eq!(resumed(&caller, Since::Last(5), 10), (0, 0, vec![]));
    for n in 1..=20 {
        committed(caller.say(&room("lobby"), "bob", &format!("{n}"), None));
    }
    caller.answer(Ask::Mark {
        log: room("lobby"),
        user: user("alice"),
        seq: 7,
        bearer: Bearer::Key,
    });
    let epoch = caller.head(&room("lobby")).epoch;
    let after = |seq| Since::Position(Position { epoch, seq });
    for (since, limit, messages) in [
        (after(8), 3, 9..=11),
        (after(18), 100, 19..=20),
        (Since::Last(4), 100, 17..=20),
        (Since::Last(99), 2, 1..=2),
    ] {
        assert_eq!(
            resumed(&caller, since, limit),
            (20, 7, messages.collect()),
            "{since:?}, {limit}"
        );
    }
    for (since, limit) in [(after(20), 100), (Since::Now, 100), (after(8), 0)] {
        assert_eq!(resumed(&caller, since, limit), (20, 7, vec![]), "{since:?}, {limit}");
    }
    caller.history.stop();
    // A damaged talk keeps nobody out: it is told where it is missed.
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.execute("UPDATE message SET text = 'other' WHERE seq = 10", [])
        .unwrap();
    drop(db);
    let caller = Caller::open(dir.path());
    assert_eq!(resumed(&caller, after(8), 100), (20, 7, vec![]));
    assert_eq!(resumed(&caller, after(10), 2), (20, 7, vec![11, 12]));
}

#[test]
fn a_name_has_the_key_that_claimed_it_and_stays_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let claim = |caller: &Caller, key: &str| {
        let ask = Ask::Claim {
            user: user("alice"),
            key: NameKey(key.to_owned()),
        };
        match caller.answer(ask) {
            Answer::Name { claim, .. } => claim,
            other => panic!("{other:?}"),
        }
    };
    let own = "0123456789abcdef0123456789abcdef";
    assert!(!caller.history.claims().has(&user("alice")));
    assert_eq!(claim(&caller, own), Claim::First);
    assert!(caller.history.claims().has(&user("alice")));
    assert_eq!(claim(&caller, own), Claim::Held);
    assert_eq!(claim(&caller, "fedcba9876543210fedcba9876543210"), Claim::Other);
    assert_eq!(claim(&caller, "guess"), Claim::Other);
    caller.history.stop();
    let caller = Caller::open(dir.path());
    assert!(caller.history.claims().has(&user("alice")));
    assert!(!caller.history.claims().has(&user("bob")));
    assert_eq!(claim(&caller, own), Claim::Held);
    caller.history.stop();
    for file in ["history.db", "search.db"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        assert!(
            !bytes.windows(own.len()).any(|window| window == own.as_bytes()),
            "the key itself is in {file}"
        );
    }
}

#[test]
fn a_short_key_claims_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let outcome = caller.ask(Ask::Claim {
        user: user("bob"),
        key: NameKey("short".to_owned()),
    });
    assert!(matches!(outcome, Outcome::Unanswered { .. }), "{outcome:?}");
    assert!(!caller.history.claims().has(&user("bob")));
}

#[test]
fn search_finds_two_characters_and_words_in_the_index_and_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    let texts = ["我爱北京天安门", "Hello World", "在北京", "nothing", "helpful HELLO"];
    for n in 0..2_000_u64 {
        caller.submit(append(&lobby, "a", texts[n as usize % texts.len()], None, n));
        caller.submit(append(&room("elsewhere"), "a", "北京 hello", None, n));
    }
    for _ in 0..4_000 {
        committed(caller.next());
    }
    let find = |text: &str, before, limit| {
        let log = lobby.clone();
        match caller.answer(Ask::Search {
            log,
            text: text.into(),
            before,
            limit,
        }) {
            Answer::Found { messages, next, .. } => {
                (messages.iter().map(|message| message.seq).collect::<Vec<_>>(), next)
            }
            other => panic!("{other:?}"),
        }
    };
    let check = || {
        for (text, last) in [
            ("北京", [1_998, 1_996, 1_993]),
            ("hello", [2_000, 1_997, 1_995]),
            ("门", [1_996, 1_991, 1_986]),
        ] {
            let (found, next) = find(text, None, 3);
            assert_eq!((found.as_slice(), next), (last.as_slice(), Some(last[2])), "{text}");
            let mut all = 0;
            let mut before = None;
            loop {
                let (found, next) = find(text, before, 200);
                all += found.len();
                before = next;
                if next.is_none() {
                    break;
                }
            }
            assert_eq!(all, if text == "门" { 400 } else { 800 }, "{text}");
        }
        assert_eq!(find("京北", None, 3), (vec![], None));
        let mut before = None;
        loop {
            // Punctuation alone is looked for by reading, which may take more than one turn.
            let (found, next) = find("?!", before, 3);
            assert!(found.is_empty(), "{found:?}");
            before = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(find("elpfu", None, 2).0, [2_000, 1_995]);
        assert_eq!(find("world hello", Some(8), 3).0, [7, 2]);
    };
    check();
    let deadline = Instant::now() + Duration::from_secs(20);
    while caller
        .history
        .stats()
        .indexed
        .load(std::sync::atomic::Ordering::Relaxed)
        < 4_000
    {
        assert!(Instant::now() < deadline, "the indexer does not get on");
        std::thread::yield_now();
    }
    check();
}

#[test]
fn a_directory_that_others_use_is_not_closed_to_them() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |dir: &std::path::Path| std::fs::metadata(dir).unwrap().permissions().mode() & 0o7777;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    std::fs::write(dir.path().join("somebody's"), "file").unwrap();
    let Err(why) = Caller::start(settings(dir.path())) else {
        panic!("a shared directory was taken")
    };
    assert!(why.to_string().contains("mode 1777"), "{why}");
    assert_eq!(mode(dir.path()), 0o1777);
    std::fs::remove_file(dir.path().join("somebody's")).unwrap();
    // An empty one is taken, and closed.
    drop(Caller::open(dir.path()));
    assert_eq!(mode(dir.path()) & 0o777, 0o700);
}

#[test]
fn a_second_server_is_refused_in_words_and_a_newer_schema_too() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::open(dir.path());
    let Err(why) = Caller::start(settings(dir.path())) else {
        panic!("two servers on one directory")
    };
    assert!(matches!(why, StartFault::Locked { holder: Some(id), .. } if id == std::process::id()));
    assert!(why.to_string().contains("in use by another plaza"), "{why}");
    caller.history.stop();
    drop(caller);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(dir.path()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let Err(why) = Caller::start(settings(dir.path())) else {
        panic!("a newer schema was opened")
    };
    assert!(why.to_string().contains("schema version 99"), "{why}");
}

#[test]
fn what_was_taken_has_an_outcome_also_when_the_store_stops() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let caller = Caller::start(unsynced(dir.path())).unwrap();
    for n in 0..3_000 {
        caller.submit(append(&lobby, "a", "x", None, n));
    }
    caller.history.stop();
    for n in 1..=3_000 {
        assert_eq!(committed(caller.next()).seq, n);
    }
    assert!(caller.history.submit(append(&lobby, "a", "x", None, 1)).is_err());
    assert!(caller.history.ask(Ask::Head(lobby), 1).is_err());
}
