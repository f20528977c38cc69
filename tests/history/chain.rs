//! Numbers with holes, as where somebody numbers the entries of all logs together: everything that is stored is found, and what is
//! missing is noticed all the same.

use std::fs;

use plaza::{
    chat::Since,
    history::{
        Answer, Ask, Bearer, DirectPage, Epochs, LogId, Outcome, Retention, Settings, StoreFault, Which, Window, tools,
    },
};

use crate::support::{Caller, append, pair, room, settings, user};

/// The numbers of a log, of which only every seventh or so is its own.
fn with_holes(head: u64) -> u64 {
    head + 5 + head % 4
}

fn holey(dir: &std::path::Path) -> Settings {
    Settings {
        numbering: with_holes,
        ..settings(dir)
    }
}

fn fill(caller: &Caller, log: &LogId, messages: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for n in 0..messages {
        let from = ["ann", "bob"][n % 2];
        match caller.say(log, from, &format!("message {n}"), None) {
            Outcome::Committed { position, prev, .. } => {
                assert_eq!(prev, numbers.last().copied().unwrap_or(0));
                assert_eq!(position.seq, with_holes(prev));
                numbers.push(position.seq);
            }
            other => panic!("{other:?}"),
        }
    }
    numbers
}

fn numbers(caller: &Caller, log: &LogId) -> Vec<u64> {
    let messages = caller.all(log).unwrap();
    let mut before = None;
    for message in &messages {
        assert!(before.is_none_or(|before| before == message.prev), "{message:?}");
        before = Some(message.seq);
    }
    messages.iter().map(|message| message.seq).collect()
}

fn offline(caller: &Caller, after: u64) -> DirectPage {
    let ask = Ask::Direct {
        user: user("bob"),
        bearer: Bearer::Name,
        peer: user("ann"),
        after,
    };
    match caller.answer(ask) {
        Answer::Direct(Some(page)) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_markers_and_resumption_count_messages_and_not_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(holey(dir.path())).unwrap();
    let lobby = room("lobby");
    let all = fill(&caller, &lobby, 40);
    assert_eq!(numbers(&caller, &lobby), all);
    let seqs = |window, limit| {
        let (messages, more) = caller.page(&lobby, window, limit);
        (messages.iter().map(|message| message.seq).collect::<Vec<_>>(), more)
    };
    assert_eq!(seqs(Window::Newest, 3), (all[37..].to_vec(), true));
    assert_eq!(seqs(Window::Before(all[3] + 1), 9), (all[..4].to_vec(), false));
    assert_eq!(seqs(Window::After(all[36] - 1), 4), (all[36..].to_vec(), false));
    assert_eq!(seqs(Window::Range(all[4] + 1, all[5] - 1), 9), (vec![], false));
    assert_eq!(seqs(Window::Range(all[4], all[9]), 2), (all[4..6].to_vec(), true));
    let mark = Ask::Mark {
        log: lobby.clone(),
        user: user("ann"),
        seq: all[29] + 2,
        bearer: Bearer::Key,
    };
    let Answer::Marked { seq, unread, .. } = caller.answer(mark) else {
        panic!()
    };
    assert_eq!((seq, unread), (all[29] + 2, 5), "ten more, half of them by ann");
    let resume = |since, upto| {
        let ask = Ask::Resume {
            log: lobby.clone(),
            user: user("ann"),
            since,
            upto,
            limit: 10,
        };
        match caller.answer(ask) {
            Answer::Resumed { after, messages, .. } => {
                (after, messages.iter().map(|message| message.prev).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        }
    };
    let since = Since::Position(plaza::chat::Position {
        epoch: caller.head(&lobby).epoch,
        seq: all[35],
    });
    assert_eq!(resume(since, u64::MAX), (all[35], all[35..39].to_vec()));
    assert_eq!(resume(Since::Last(4), u64::MAX), (all[35], all[35..39].to_vec()));
    assert_eq!(
        resume(Since::Last(4), all[38]).0,
        all[34],
        "counted back from another message"
    );
    assert_eq!(resume(Since::Last(99), u64::MAX).0, 0);
}

#[test]
fn retention_keeps_so_many_messages() {
    let dir = tempfile::tempdir().unwrap();
    let lobby = room("lobby");
    let retention = Retention {
        messages: Some(7),
        ..Retention::FOREVER
    };
    let caller = Caller::start(Settings {
        retention,
        retention_pause: std::time::Duration::ZERO,
        ..holey(dir.path())
    })
    .unwrap();
    let mut all = fill(&caller, &lobby, 30);
    while caller.head(&lobby).first <= all[22] {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let head = caller.head(&lobby);
    assert_eq!(
        (head.first, head.seq),
        (all[22] + 1, all[29]),
        "what was deleted ends at a message"
    );
    all.drain(..23);
    assert_eq!(numbers(&caller, &lobby), all);
    drop(caller);
    let caller = Caller::start(holey(dir.path())).unwrap();
    assert_eq!(numbers(&caller, &lobby), all, "also after a restart");
    let ask = Ask::Conversations {
        user: user("bob"),
        which: Which::Unread,
    };
    assert!(matches!(caller.answer(ask), Answer::Conversations { .. }));
}

#[test]
fn exports_backups_and_imports_keep_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (data, copy, import) = (
        dir.path().join("data"),
        dir.path().join("copy"),
        dir.path().join("import"),
    );
    let caller = Caller::start(holey(&data)).unwrap();
    let logs = [room("lobby"), pair("ann", "bob")];
    let all = logs.clone().map(|log| fill(&caller, &log, 20));
    let mut export = Vec::new();
    tools::export(&data, &mut export).unwrap();
    tools::backup(&data, &copy).unwrap();
    drop(caller);
    let report = tools::check(&data).unwrap();
    assert_eq!((report.messages, report.damages), (40, vec![]));
    let file = dir.path().join("export");
    fs::write(&file, export).unwrap();
    let moved = tools::import(&import, &file, Epochs::Keep).unwrap();
    assert_eq!((moved.messages, moved.renumbered), (40, vec![]));
    for dir in [data, copy, import] {
        let caller = Caller::start(holey(&dir)).unwrap();
        assert_eq!(logs.clone().map(|log| numbers(&caller, &log)), all);
    }
}

#[test]
fn a_message_that_is_missing_is_noticed_among_the_holes() {
    let dir = tempfile::tempdir().unwrap();
    let caller = Caller::start(holey(dir.path())).unwrap();
    let direct = pair("ann", "bob");
    let all = fill(&caller, &direct, 20);
    drop(caller);
    let db = rusqlite::Connection::open(dir.path().join("history.db")).unwrap();
    db.execute_batch(&format!(
        "DELETE FROM message WHERE seq IN ({}, {}); UPDATE message SET prev = prev - 1 WHERE seq = {}",
        all[4], all[5], all[12]
    ))
    .unwrap();
    drop(db);
    let report = tools::check(dir.path()).unwrap();
    let missing = format!("talks {} to {} are missing", all[3] + 1, all[5]);
    assert!(
        report.damages.iter().any(|damage| damage.contains(&missing)),
        "{:?}",
        report.damages
    );
    assert_eq!((report.messages, report.damaged), (17, 2));
    let caller = Caller::start(holey(dir.path())).unwrap();
    for window in [Window::Newest, Window::After(0), Window::Before(all[7])] {
        let page = caller.ask(Ask::Page {
            log: direct.clone(),
            window,
            limit: 20,
        });
        let damaged = matches!(
            page,
            Outcome::Unanswered {
                why: StoreFault::Damaged { .. },
                ..
            }
        );
        assert!(damaged, "{page:?}");
    }
    let page = offline(&caller, 0);
    let lost: Vec<_> = page.lost.iter().map(|lost| (lost.from, lost.to)).collect();
    assert_eq!(lost, [(all[3] + 1, all[5]), (all[11] + 1, all[12])]);
    assert_eq!((page.messages.len(), page.upto), (17, all[19]));
    assert_eq!(
        caller.page(&direct, Window::After(all[12]), 9).0.len(),
        7,
        "behind the damage all is well"
    );
}

#[test]
fn a_store_of_schema_2_is_migrated_with_all_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("history.db"), include_bytes!("version-2.db")).unwrap();
    let caller = Caller::start(holey(dir.path())).unwrap();
    let (lobby, direct) = (room("lobby"), pair("ann", "bob"));
    assert_eq!(numbers(&caller, &lobby), (5..=25).collect::<Vec<_>>());
    assert_eq!(numbers(&caller, &direct), (1..=6).collect::<Vec<_>>());
    assert!(caller.history.claims().has(&user("ann")));
    let head = caller.head(&lobby);
    assert_eq!(
        (
            head.first,
            head.lost.first().map(|tail| (tail.epoch, tail.from, tail.to))
        ),
        (5, Some((66, 20, Some(22))))
    );
    let unread = |log: &LogId, name| match caller.answer(Ask::MarkOf {
        log: log.clone(),
        user: user(name),
    }) {
        Answer::Marked { seq, unread, .. } => (seq, unread),
        other => panic!("{other:?}"),
    };
    // Every third message of the lobby is ann's, every other one of the pair bob's.
    assert_eq!((unread(&lobby, "ann"), unread(&direct, "bob")), ((12, 9), (2, 2)));
    // What is written now has holes, and goes on behind what has none.
    for n in 0..3 {
        caller.submit(append(&lobby, "bob", &format!("new {n}"), None, 0));
    }
    let next: Vec<_> = (0..3)
        .map(|_| match caller.next() {
            Outcome::Committed { position, prev, .. } => (prev, position.seq),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(next[0], (25, with_holes(25)));
    assert_eq!(numbers(&caller, &lobby)[20..], [25, next[0].1, next[1].1, next[2].1]);
    assert_eq!(unread(&lobby, "ann"), (12, 12));
    drop(caller);
    assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
}
