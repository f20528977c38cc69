//! Direct conversations as a device gets them: complete, with damage and loss named, and never those of others.

use std::{fs, os::unix::fs::FileExt as _, path::Path, time::Duration};

use plaza::{
    history::{
        Answer, ChangedUpTo, Claim, ConversationFilter, Credential, DirectPage, HistorySettings, LogId, LostInterval,
        Query, tools,
    },
    limits,
};

use crate::support::{
    Caller, Store, append, committed, contains, inbox, newest, only, pair, seqs, settings, sql, until, user,
};

/// Each of these writes so many messages to bob; returns the last epoch.
fn write(caller: &Caller, peers: &[&str], count: u64) -> u64 {
    let texts = peers.iter().flat_map(|peer| (1..=count).map(move |n| (peer, n)));
    let said = texts.map(|(peer, n)| caller.say(&pair("bob", peer), peer, &format!("{peer} {n}")));
    said.fold(0, |_, position| position.epoch)
}

fn page(caller: &Caller, peer: &str, after: u64) -> DirectPage {
    caller.directs_of_bob(Credential::Key, peer, after).unwrap()
}

fn lost(page: &DirectPage) -> Vec<(u64, u64)> {
    page.lost.iter().map(|lost| (lost.from, lost.to)).collect()
}

/// Bob's offline messages: the conversations, with his read marker and the head, and how many are unreadable.
fn waiting(caller: &Caller, known: &[&str]) -> (Vec<(LogId, u64, u64)>, usize) {
    let list = caller.conversations("bob", inbox(known));
    let found = list.found.into_iter().map(|one| (one.log, one.read, one.head.seq));
    (found.collect(), list.unreadable)
}

/// Those of carl and ann, with two messages each and nothing read.
fn carls_and_anns() -> [(LogId, u64, u64); 2] {
    ["carl", "ann"].map(|peer| (pair("bob", peer), 0, 2))
}

#[test]
fn damaged_messages_of_a_page_are_lost_intervals_and_the_others_are_given() {
    let store = Store::new();
    let epoch = write(&store, &["ann"], 12);
    let store = store.changed(|dir| {
        sql(
            dir,
            "UPDATE message SET text = 'forged' WHERE seq IN (3, 4, 9);
             DELETE FROM message WHERE seq = 6;
             UPDATE message SET crc = crc + 1 WHERE seq = 12;",
        );
    });
    let all = page(&store, "ann", 0);
    assert_eq!(seqs(&all.messages), [1, 2, 5, 7, 8, 10, 11]);
    assert_eq!(lost(&all), [(3, 4), (6, 6), (9, 9), (12, 12)]);
    assert_eq!(all.lost[0], LostInterval { epoch, from: 3, to: 4 });
    assert_eq!((all.upto, all.head.seq), (12, 12));
    assert_eq!(lost(&page(&store, "ann", 3)), [(4, 4), (6, 6), (9, 9), (12, 12)]);
    assert!(store.damage() >= 8, "each interval is counted: {}", store.damage());
    assert_eq!(store.say(&pair("bob", "ann"), "ann", "on").seq, 13);
    assert_eq!(seqs(&page(&store, "ann", 11).messages), [13]);
}

#[test]
fn a_page_behind_what_retention_deleted_begins_with_a_lost_interval() {
    let store = Store::with(|dir| HistorySettings {
        directs: newest(4),
        retention_pause: Duration::from_millis(1),
        ..settings(dir)
    });
    write(&store, &["ann"], 10);
    until("retention deletes", || store.head(&pair("bob", "ann")).first == 7);
    let rest = page(&store, "ann", 2);
    assert_eq!((lost(&rest), seqs(&rest.messages)), (vec![(3, 6)], vec![7, 8, 9, 10]));
}

#[test]
fn a_position_in_a_conversation_that_is_gone_is_answered_with_an_empty_one() {
    let store = Store::new();
    write(&store, &["ann"], 2);
    let (found, _) = waiting(&store, &["ann", "carl"]);
    assert_eq!(found, [(pair("bob", "ann"), 0, 2), (pair("bob", "carl"), 0, 0)]);
}

#[test]
fn a_damaged_conversation_or_read_position_does_not_hide_the_others() {
    let store = Store::new();
    write(&store, &["ann", "carl", "dora"], 2);
    assert_eq!(store.mark(&pair("bob", "carl"), "bob", 2), (2, 0));
    // The server runs: a start would refuse the damaged row of a log.
    sql(
        store.path(),
        "UPDATE log SET crc = crc + 1 WHERE name = 'bob' AND peer = 'dora'; UPDATE mark SET crc = crc + 1",
    );
    let (found, unreadable) = waiting(&store, &["dora"]);
    assert_eq!(found, carls_and_anns(), "what was read is given again");
    assert!(unreadable > 0);
    let (changed, unreadable, _) = changed(&store, 0, None);
    assert_eq!((changed, unreadable), (vec![("ann".into(), 0), ("carl".into(), 0)], 1));
}

#[test]
fn a_conversation_that_its_user_would_not_find_is_named_by_a_check_and_found_again_after_a_start() {
    let store = Store::new();
    write(&store, &["ann", "carl"], 2);
    let store = store.changed(|dir| {
        sql(dir, "DELETE FROM pair WHERE user = 'bob'");
        let report = tools::check(dir).unwrap();
        assert_eq!(report.damaged, 2, "{report:?}");
        contains(&report.damages[0], &["direct \"ann\" and \"bob\""]);
    });
    let (found, unreadable) = waiting(&store, &[]);
    assert_eq!((&found[..], unreadable), (&carls_and_anns()[..], 0));
    assert_eq!(tools::check(store.stopped().path()).unwrap().damaged, 0);
}

/// Fills the first page of a table with zeroes.
fn erase(dir: &Path, table: &str) {
    let file = dir.join("history.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u32 = db.query_row(sql, [table], |row| row.get(0)).unwrap();
    drop(db);
    let file = fs::File::options().write(true).open(&file).unwrap();
    file.write_all_at(&[0; 4096], u64::from(page - 1) * 4096).unwrap();
}

#[test]
fn a_page_of_a_table_that_only_finds_conversations_hides_none() {
    for table in ["pair", "mark"] {
        let store = Store::new();
        write(&store, &["ann", "carl"], 2);
        let store = store.changed(|dir| erase(dir, table));
        assert_eq!(waiting(&store, &[]).0, carls_and_anns(), "{table}");
        assert!(store.damage() > 0, "{table}");
        assert!(tools::check(store.path()).unwrap().damaged > 0, "{table}");
    }
}

/// The peers whose conversations have later messages, and the position before these.
fn changed(
    caller: &Caller,
    since: u64,
    after: Option<ChangedUpTo>,
) -> (Vec<(String, u64)>, usize, Option<ChangedUpTo>) {
    let ask = Query::Changed {
        user: user("bob"),
        credential: Credential::Key,
        since,
        after,
    };
    only!(caller.answer(ask), Answer::Changed { conversations, next, unreadable, .. } => {
        let found = conversations.into_iter().map(|one| (one.peer.name().unwrap().as_str().to_owned(), one.before));
        (found.collect(), unreadable, next)
    })
}

#[test]
fn conversations_that_changed_since_a_time_are_found_in_pages_however_far_they_are_read() {
    let store = Store::unsynced();
    let most = limits::CHANGED_CONVERSATIONS;
    let name = |n: usize| format!("writer {n:03}");
    let say = |n: usize, at: u64| {
        let log = pair("bob", &name(n));
        let position = committed(store.append(append(&log, &name(n), "hello", None, at)));
        store.mark(&log, "bob", position.seq);
    };
    // Every message of the second round is of a later time than all of the first.
    let round = most + 5;
    for n in 0..2 * round {
        say(n % round, n as u64 + 1);
    }
    let (time, second) = (1_700_000_000_000, 1_700_000_000_000 + round as u64 + 1);
    let all_of = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(|n| (name(n), 1)).collect::<Vec<_>>();
    let (first_page, _, next) = changed(&store, second, None);
    assert_eq!(first_page, all_of(&mut (0..most)));
    // One that is written in meanwhile moves to the end.
    let last = 2 * round as u64 + 1;
    say(0, last);
    let (rest, _, next) = changed(&store, second, next);
    assert_eq!((rest, next), (all_of(&mut (most..round).chain([0])), None));
    // From the middle of the first round: all, and of those before it only the second message.
    let (page, _, _) = changed(&store, time + 3, None);
    assert_eq!(page[..4], [(name(1), 1), (name(2), 0), (name(3), 0), (name(4), 0)]);
    assert_eq!(changed(&store, time + last + 1, None).0, []);
}

#[test]
fn whoever_only_said_a_name_reads_nothing_of_it_once_somebody_has_its_key() {
    let store = Store::new();
    write(&store, &["ann"], 2);
    let credential = Credential::Name;
    let reads = || {
        let known = vec![user("ann")];
        let waiting = store
            .conversations("bob", ConversationFilter::Inbox { credential, known })
            .found
            .len();
        let changed = Query::Changed {
            user: user("bob"),
            credential,
            since: 0,
            after: None,
        };
        let changed = only!(store.answer(changed), Answer::Changed { conversations, .. } => conversations.len());
        let page = store.directs_of_bob(credential, "ann", 0);
        [waiting, changed, page.map_or(0, |page| page.messages.len())]
    };
    assert_eq!(reads(), [1, 1, 2]);
    assert_eq!(store.claim("bob", "made by bob's client, of 32 bytes"), Claim::New);
    assert_eq!(reads(), [0, 0, 0]);
}
