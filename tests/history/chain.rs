//! Numbers with holes, as where somebody numbers the entries of all logs together: everything that is stored is found, and what is
//! missing is noticed all the same.

use std::{fs, path::Path, time::Duration};

use plaza::{
    chat::{Position, Since},
    history::{ConversationFilter, Credential, Epochs, HistorySettings, LogId, Outcome, StoreFault, Window, tools},
};

use crate::support::{
    Caller, Store, append, contains, is_whole, name_of, newest, only, pair, room, seqs, settings, sql, until,
};

/// The numbers of a log, of which only every seventh or so is its own.
fn with_holes(head: u64) -> u64 {
    head + 5 + head % 4
}

fn holey(dir: &Path) -> HistorySettings {
    HistorySettings {
        numbering: with_holes,
        ..settings(dir)
    }
}

/// Says so many messages behind this one, and returns their numbers.
fn fill(caller: &Caller, log: &LogId, mut last: u64, messages: usize) -> Vec<u64> {
    let say = |n: usize| {
        let from = ["ann", "bob"][n % 2];
        let outcome = caller.append(append(log, from, &format!("message {n}"), None, 0));
        let (prev, seq) = only!(outcome, Outcome::Committed { position, prev, .. } => (prev, position.seq));
        assert_eq!((prev, seq), (last, with_holes(last)));
        last = seq;
        seq
    };
    (0..messages).map(say).collect()
}

fn numbers(caller: &Caller, log: &LogId) -> Vec<u64> {
    let messages = caller.all(log).unwrap();
    assert!(messages.windows(2).all(|two| two[1].prev == two[0].seq), "{messages:?}");
    seqs(&messages)
}

#[test]
fn pages_markers_and_resumption_count_messages_and_not_numbers() {
    let store = Store::with(holey);
    let lobby = room("lobby");
    let all = fill(&store, &lobby, 0, 40);
    assert_eq!(numbers(&store, &lobby), all);
    for (window, limit, page, more) in [
        (Window::Newest, 3, &all[37..], true),
        (Window::Before(all[3] + 1), 9, &all[..4], false),
        (Window::After(all[36] - 1), 4, &all[36..], false),
        (Window::Range(all[4] + 1, all[5] - 1), 9, &[], false),
        (Window::Range(all[4], all[9]), 2, &all[4..6], true),
    ] {
        assert_eq!(store.seqs(&lobby, window, limit), (page.to_vec(), more), "{window:?}");
    }
    let marked = store.mark(&lobby, "ann", all[29] + 2);
    assert_eq!(marked, (all[29] + 2, 5), "ten more, half of them by ann");
    let (epoch, seq) = (store.head(&lobby).epoch, all[35]);
    for since in [Since::Position(Position { epoch, seq }), Since::Last(4)] {
        let resumed = store.resume(&lobby, "ann", since, u64::MAX, 10);
        let prevs: Vec<_> = resumed.messages.iter().map(|message| message.prev).collect();
        assert_eq!((resumed.after, prevs), (all[35], all[35..39].to_vec()));
    }
    let after = |last, upto| store.resume(&lobby, "ann", Since::Last(last), upto, 10).after;
    assert_eq!(after(4, all[38]), all[34], "counted back from another message");
    assert_eq!(after(99, u64::MAX), 0);
}

#[test]
fn retention_keeps_so_many_messages() {
    let lobby = room("lobby");
    let store = Store::with(|dir| HistorySettings {
        retention: newest(7),
        retention_pause: Duration::ZERO,
        ..holey(dir)
    });
    let all = fill(&store, &lobby, 0, 30);
    until("retention deletes", || store.head(&lobby).first > all[22]);
    let head = store.head(&lobby);
    let due = (all[22] + 1, all[29]);
    assert_eq!((head.first, head.seq), due, "what was deleted ends at a message");
    assert_eq!(numbers(&store, &lobby), all[23..]);
    let store = store.restarted();
    assert_eq!(numbers(&store, &lobby), all[23..], "also after a restart");
    store.conversations("bob", ConversationFilter::Unread);
}

#[test]
fn exports_backups_and_imports_keep_the_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let [data, copy, file, import] = ["data", "copy", "export", "import"].map(|name| dir.path().join(name));
    let caller = Caller::start(holey(&data)).unwrap();
    let logs = [room("lobby"), pair("ann", "bob")];
    let all = logs.each_ref().map(|log| fill(&caller, log, 0, 20));
    tools::export(&data, &mut fs::File::create(&file).unwrap()).unwrap();
    tools::backup(&data, &copy).unwrap();
    drop(caller);
    let report = tools::check(&data).unwrap();
    assert_eq!((report.messages, report.damages), (40, vec![]));
    let moved = tools::import(&import, &file, Epochs::Keep).unwrap();
    assert_eq!((moved.messages, moved.renumbered), (40, vec![]));
    for dir in [data, copy, import] {
        let caller = Caller::start(holey(&dir)).unwrap();
        assert_eq!(logs.each_ref().map(|log| numbers(&caller, log)), all);
    }
}

#[test]
fn a_message_that_is_missing_is_noticed_among_the_holes() {
    let store = Store::with(holey);
    let direct = pair("ann", "bob");
    let all = fill(&store, &direct, 0, 20);
    let (gone, last_gone, unchained) = (all[4], all[5], all[12]);
    let store = store.changed(|dir| {
        sql(dir, &format!("DELETE FROM message WHERE seq IN ({gone}, {last_gone})"));
        sql(
            dir,
            &format!("UPDATE message SET prev = prev - 1 WHERE seq = {unchained}"),
        );
        let report = tools::check(dir).unwrap();
        let missing = format!("messages {} to {last_gone} are missing", all[3] + 1);
        contains(&report.damages.join("\n"), &[&missing]);
        assert_eq!((report.messages, report.damaged), (17, 2));
    });
    for window in [Window::Newest, Window::After(0), Window::Before(all[7])] {
        let page = store.try_page(&direct, window, 20);
        assert!(matches!(page, Err(StoreFault::Damaged { .. })), "{page:?}");
    }
    let page = store.directs_of_bob(Credential::Name, "ann", 0).unwrap();
    let lost: Vec<_> = page.lost.iter().map(|lost| (lost.from, lost.to)).collect();
    assert_eq!(lost, [(all[3] + 1, last_gone), (all[11] + 1, unchained)]);
    assert_eq!((page.messages.len(), page.upto), (17, all[19]));
    let behind = store.seqs(&direct, Window::After(unchained), 9).0;
    assert_eq!(behind, all[13..], "behind the damage all is well");
}

#[test]
fn a_store_of_schema_2_is_migrated_with_all_that_it_holds() {
    let file = include_bytes!("version-2.db");
    let store = Store::laid(|dir| fs::write(dir.join("history.db"), file).unwrap(), holey);
    let (lobby, direct) = (room("lobby"), pair("ann", "bob"));
    assert_eq!(numbers(&store, &lobby), Vec::from_iter(5..=25));
    assert_eq!(numbers(&store, &direct), Vec::from_iter(1..=6));
    assert!(store.history.claims().has(&name_of("ann")));
    let head = store.head(&lobby);
    let tail = head.lost.first().map(|tail| (tail.epoch, tail.from, tail.to));
    assert_eq!((head.first, tail), (5, Some((66, 20, Some(22)))));
    // Every third message of the lobby is ann's, every other one of the pair bob's.
    assert_eq!(store.mark_of(&lobby, "ann"), (12, 9));
    assert_eq!(store.mark_of(&direct, "bob"), (2, 2));
    // What is written now has holes, and goes on behind what has none.
    let next = fill(&store, &lobby, 25, 3);
    assert_eq!(numbers(&store, &lobby)[20..], [&[25], &next[..]].concat());
    assert_eq!(store.mark_of(&lobby, "ann"), (12, 10));
    is_whole(store.stopped().path());
}
