//! A log's chain includes entries that are not messages; no query for messages returns them.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use rusqlite::{Connection, params};

use super::{
    messages::{MessageRow, NewEntry, OTHER_KINDS, select_messages, write_messages},
    rows::LogRow,
    *,
};
use crate::chat::{
    ConnectionSlot, Generation, NewMessage, RoomName, Seq, SessionId, SessionTag, ShardId, Since, UserId, UserName,
};

struct Caller {
    history: History<()>,
    outcomes: mpsc::Receiver<Vec<Outcome<()>>>,
}

fn settings(dir: &Path) -> HistorySettings {
    HistorySettings {
        durability: Durability::None,
        retention: Retention::FOREVER,
        directs: Retention::FOREVER,
        keys: KeyWindow {
            age: Duration::MAX,
            ..KeyWindow::default()
        },
        // Skips every fourth number.
        numbering: |head| if head % 4 == 3 { head + 2 } else { head + 1 },
        ..HistorySettings::new(dir)
    }
}

impl Caller {
    fn start(settings: HistorySettings) -> Self {
        let (sender, outcomes) = mpsc::channel();
        let history = History::start(settings, Arc::new(move |batch| drop(sender.send(batch)))).unwrap();
        Self { history, outcomes }
    }

    fn next(&self) -> Outcome<()> {
        let batch = self.outcomes.recv_timeout(Duration::from_secs(30));
        batch.unwrap().pop().unwrap()
    }

    fn say(&self, log: &LogId, from: &str, n: u64) -> Outcome<()> {
        let session = SessionId::new(ShardId(0), ConnectionSlot::FIRST, Generation::FIRST);
        let message = NewMessage::new(
            session,
            UserName::parse(from).unwrap(),
            SessionTag(7),
            format!("message {n}").into(),
        );
        let append = Append {
            log: log.clone(),
            message: Box::new(NewMessage {
                key: Some(n.to_string().as_str().into()),
                ..message
            }),
            at: 1_700_000_000_000 + n,
            ticket: (),
        };
        assert!(self.history.submit(append).is_ok());
        self.next()
    }

    fn answer(&self, ask: Query) -> Answer {
        self.history.ask(ask, ()).unwrap();
        match self.next() {
            Outcome::Answered { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    fn head(&self, log: &LogId) -> LogHead {
        let answer = self.answer(Query::Head(log.clone()));
        let Answer::Head { head, .. } = answer else {
            panic!("{answer:?}")
        };
        head
    }

    /// Moves ann's read marker. Returns where it is then, and the number of unread messages.
    fn mark(&self, log: &LogId, seq: Seq) -> (Seq, u64) {
        let (log, user, credential) = (log.clone(), user("ann"), Credential::Name);
        let ask = Query::AdvanceMarker {
            log,
            user,
            seq,
            credential,
        };
        let answer = self.answer(ask);
        let Answer::ReadMarker { seq, unread, .. } = answer else {
            panic!("{answer:?}")
        };
        (seq, unread)
    }

    /// The answer to every query about a log.
    fn answers(&self, log: &LogId) -> Vec<Answer> {
        let (log, ann) = (|| log.clone(), || user("ann"));
        let head = self.head(&log());
        let mut asks = vec![
            Query::Head(log()),
            Query::ReadMarker {
                log: log(),
                user: ann(),
            },
        ];
        for seq in 0..=head.seq + 1 {
            let windows = [
                Window::Newest,
                Window::Before(seq),
                Window::After(seq),
                Window::Range(seq, seq + 4),
            ];
            for limit in [1, 3, 100] {
                let pages = windows.map(|window| Query::Page {
                    log: log(),
                    window,
                    limit,
                });
                asks.extend(pages);
            }
            let epoch = head.epoch;
            let position = Since::Position(crate::chat::Position { epoch, seq });
            for since in [position, Since::Last(seq as u32), Since::Now] {
                asks.push(Query::Resume {
                    log: log(),
                    user: ann(),
                    since,
                    upto: seq,
                    limit: 5,
                });
            }
            asks.push(Query::Search {
                log: log(),
                text: "message".into(),
                before: Some(seq),
                limit: 100,
            });
            asks.push(Query::Direct {
                user: ann(),
                credential: Credential::Name,
                peer: user("bob"),
                after: seq,
            });
            asks.push(Query::Changed {
                user: ann(),
                credential: Credential::Name,
                since: 1_700_000_000_000 + seq,
                after: None,
            });
        }
        for known in [vec![], vec![user("bob")]] {
            let credential = Credential::Name;
            asks.push(Query::Conversations {
                user: ann(),
                filter: ConversationFilter::Inbox { credential, known },
            });
        }
        asks.push(Query::Conversations {
            user: ann(),
            filter: ConversationFilter::Unread,
        });
        let mut answers: Vec<_> = asks.into_iter().map(|ask| self.answer(ask)).collect();
        for answer in &mut answers {
            // `before` may be the number of an entry that is not a message: readers of messages cannot tell.
            if let Answer::Changed { conversations, .. } = answer {
                for changed in conversations {
                    changed.before -= u64::from(changed.before > 0 && changed.before % 4 == 0);
                }
            }
        }
        answers
    }
}

fn user(name: &str) -> UserId {
    UserId::of_name(&UserName::parse(name).unwrap())
}

fn logs() -> [LogId; 2] {
    [
        LogId::Room(RoomName::lobby()),
        LogId::Pair(UserPair::of(user("ann"), user("bob"))),
    ]
}

fn open(dir: &Path) -> (Connection, PathBuf) {
    let file = dir.join("history.db");
    (Connection::open(&file).unwrap(), file)
}

/// Inserts an entry that is not a message at every skipped number, and two more after the last message.
fn fill_holes(dir: &Path, log: &LogId) {
    let (db, file) = open(dir);
    let before = LogRow::find(&db, &file, log).unwrap().unwrap();
    let sql = select_messages!("WHERE log = ?1 AND seq >= ?2 ORDER BY seq");
    let mut select = db.prepare(sql).unwrap();
    let rows = select.query_map(params![before.id, 0], |row| {
        Ok(MessageRow::read(row, &file, &before).unwrap())
    });
    let messages: Vec<MessageRow> = rows.unwrap().map(Result::unwrap).collect();
    let first = before.first - 1;
    let mut log = LogRow {
        head: first,
        last: first,
        sum: 0,
        at: 0,
        ordinal: 0,
        ..before
    };
    let other = |log: &mut LogRow, seq: Seq| {
        let entry = NewEntry {
            user: String::new(),
            sender: None,
            session: 0,
            kind: OTHER_KINDS,
            text: "message that is none".to_owned(),
            key: None,
        };
        entry.append_to(log, seq, 0)
    };
    let mut rows = Vec::new();
    for message in messages {
        while log.head + 1 < message.seq {
            let seq = log.head + 1;
            rows.push((log.id, other(&mut log, seq)));
        }
        let entry = NewEntry {
            user: message.user,
            sender: message.sender,
            session: message.session,
            kind: message.kind,
            text: message.text,
            key: message.key,
        };
        rows.push((log.id, entry.append_to(&mut log, message.seq, message.at)));
    }
    for _ in 0..2 {
        let seq = log.head + 1;
        rows.push((log.id, other(&mut log, seq)));
    }
    db.execute("DELETE FROM message WHERE log = ?1", [log.id]).unwrap();
    write_messages(&db, &rows).unwrap();
    log.update(&db).unwrap();
}

/// A store with twenty messages in each log and holes in the numbers. Ann has read half of them.
fn filled(dir: &Path) -> Caller {
    let caller = Caller::start(settings(dir));
    for log in &logs() {
        for n in 1..=20 {
            caller.say(log, ["ann", "bob"][n as usize % 2], n);
        }
        caller.mark(log, 13);
    }
    caller
}

#[test]
fn readers_of_messages_pass_over_other_entries() {
    let dir = tempfile::tempdir().unwrap();
    let caller = filled(dir.path());
    let due = logs().map(|log| caller.answers(&log));
    drop(caller);
    logs().iter().for_each(|log| fill_holes(dir.path(), log));
    assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
    let caller = Caller::start(settings(dir.path()));
    for (log, due) in logs().iter().zip(due) {
        for (seen, due) in caller.answers(log).into_iter().zip(due) {
            assert_eq!(seen, due);
        }
    }
    for log in &logs() {
        let head = caller.head(log);
        // A marker stops at the last message, the key of a stored message is known, and a new message names the last one as its
        // predecessor.
        assert_eq!(caller.mark(log, 1_000), (head.seq, 0));
        let again = caller.say(log, "ann", 20);
        assert!(
            matches!(again, Outcome::Duplicate { position, .. } if position.seq == head.seq),
            "{again:?}"
        );
        match caller.say(log, "ann", 21) {
            Outcome::Committed { position, prev, .. } => {
                assert_eq!((prev, position.seq), (head.seq, head.seq + 3));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn retention_counts_messages_and_deletes_other_entries_with_them() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let [lobby, _] = logs();
    fill_holes(dir.path(), &lobby);
    let caller = Caller::start(HistorySettings {
        retention: Retention {
            messages: Some(7),
            ..Retention::FOREVER
        },
        retention_pause: Duration::ZERO,
        ..settings(dir.path())
    });
    let page = || {
        let ask = Query::Page {
            log: lobby.clone(),
            window: Window::Newest,
            limit: 100,
        };
        match caller.answer(ask) {
            Answer::Page { head, messages, .. } => (head, messages),
            other => panic!("{other:?}"),
        }
    };
    while page().0.first == 1 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let seqs: Vec<_> = page().1.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, [18, 19, 21, 22, 23, 25, 26]);
    drop(caller);
    let (db, _) = open(dir.path());
    let oldest: i64 = db
        .query_row("SELECT min(seq) FROM message WHERE log = 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(oldest, 18);
    assert_eq!(tools::check(dir.path()).unwrap().damages, Vec::<String>::new());
}

#[test]
fn an_export_and_an_import_keep_other_entries() {
    let base = tempfile::tempdir().unwrap();
    let [data, export, import] = ["data", "export", "import"].map(|name| base.path().join(name));
    drop(filled(&data));
    logs().iter().for_each(|log| fill_holes(&data, log));
    let caller = Caller::start(settings(&data));
    let due = logs().map(|log| caller.answers(&log));
    drop(caller);
    let mut file = std::fs::File::create(&export).unwrap();
    let moved = tools::export(&data, &mut file).unwrap();
    assert_eq!((moved.messages, moved.others), (40, 2 + 2 * (6 + 2)));
    let moved = tools::import(&import, &export, Epochs::Keep).unwrap();
    assert_eq!((moved.messages, moved.renumbered), (40, vec![]));
    let caller = Caller::start(settings(&import));
    assert_eq!(logs().map(|log| caller.answers(&log)), due);
}

#[test]
fn another_entry_that_is_missing_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let [lobby, _] = logs();
    fill_holes(dir.path(), &lobby);
    let (db, _) = open(dir.path());
    db.execute("DELETE FROM message WHERE log = 1 AND seq = 8", []).unwrap();
    drop(db);
    let damages = tools::check(dir.path()).unwrap().damages;
    assert_eq!(damages, ["room \"lobby\": messages 8 to 8 are missing"]);
    let caller = Caller::start(settings(dir.path()));
    let ask = Query::Page {
        log: lobby,
        window: Window::After(4),
        limit: 9,
    };
    caller.history.ask(ask, ()).unwrap();
    let outcome = caller.next();
    let Outcome::Unanswered { why, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(why, StoreFault::Damaged { .. }), "{why}");
}
