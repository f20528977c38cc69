//! The operator's tools work while the server runs, name damage, and restore everything.

use std::fs;

use plaza::{
    chat::ChatMessage,
    history::{Answer, Ask, Bearer, Claim, Epochs, NameKey, tools},
};

use crate::support::{Caller, committed, pair, room, user};

fn filled(dir: &std::path::Path) -> (Caller, NameKey) {
    let caller = Caller::open(dir);
    for n in 0..30 {
        committed(caller.say(
            &room("lobby"),
            "张三",
            &format!("text {n}\n\"quoted\""),
            Some(&format!("k{n}")),
        ));
    }
    committed(caller.say(&pair("a", "b"), "b", "psst", None));
    let (log, user) = (room("lobby"), user("bob"));
    caller.answer(Ask::Mark {
        log,
        user: user.clone(),
        seq: 12,
        bearer: Bearer::Key,
    });
    let key = NameKey("0123456789abcdef0123456789abcdef".to_owned());
    let answer = caller.answer(Ask::Claim { user, key: key.clone() });
    assert!(
        matches!(
            answer,
            Answer::Name {
                claim: Claim::First,
                ..
            }
        ),
        "{answer:?}"
    );
    (caller, key)
}

#[test]
fn an_export_and_a_backup_of_a_running_store_bring_everything_back() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    let (caller, key) = filled(&at("data"));
    let report = tools::check(&at("data")).unwrap();
    assert_eq!((report.logs, report.messages, report.damages), (2, 31, vec![]));
    let mut out = Vec::new();
    let moved = tools::export(&at("data"), &mut out).unwrap();
    assert_eq!((moved.messages, moved.others, moved.left_out.len()), (31, 2, 0));
    fs::write(at("export"), &out).unwrap();
    tools::backup(&at("data"), &at("backup")).unwrap();
    let why = tools::import(&at("data"), &at("export"), Epochs::Begin)
        .unwrap_err()
        .to_string();
    assert!(why.contains("in use by another plaza"), "{why}");
    let lobby = caller.all(&room("lobby")).unwrap();
    drop(caller);
    assert_eq!(
        tools::import(&at("from export"), &at("export"), Epochs::Begin)
            .unwrap()
            .messages,
        31
    );
    assert_eq!(
        tools::import(&at("from backup"), &at("backup"), Epochs::Begin)
            .unwrap()
            .messages,
        31
    );
    for name in ["backup", "from export", "from backup"] {
        assert_eq!(tools::check(&at(name)).unwrap().damages, Vec::<String>::new(), "{name}");
        let caller = Caller::open(&at(name));
        let copied = caller.all(&room("lobby")).unwrap();
        assert_ne!(copied[0].epoch, lobby[0].epoch, "{name}: the original may go on");
        let in_its_epoch = |message: ChatMessage| ChatMessage {
            epoch: lobby[0].epoch,
            ..message
        };
        let copied: Vec<ChatMessage> = copied.into_iter().map(in_its_epoch).collect();
        assert_eq!(copied, lobby, "{name}");
        assert_eq!(caller.all(&pair("a", "b")).unwrap().len(), 1);
        let answer = caller.answer(Ask::MarkOf {
            log: room("lobby"),
            user: user("bob"),
        });
        assert!(
            matches!(
                answer,
                Answer::Marked {
                    seq: 12,
                    unread: 18,
                    ..
                }
            ),
            "{answer:?}"
        );
        let answer = caller.answer(Ask::Claim {
            user: user("bob"),
            key: key.clone(),
        });
        assert!(matches!(answer, Answer::Name { claim: Claim::Held, .. }), "{answer:?}");
        assert_eq!(committed(caller.say(&room("lobby"), "a", "on", None)).seq, 31);
    }
    let why = tools::import(&at("backup"), &at("export"), Epochs::Begin)
        .unwrap_err()
        .to_string();
    assert!(why.contains("give a fresh directory"), "{why}");
}

#[test]
fn a_check_names_every_damaged_row_and_an_export_leaves_it_out() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    drop(filled(&data));
    let db = rusqlite::Connection::open(data.join("history.db")).unwrap();
    db.execute_batch(
        "UPDATE message SET text = 'forged' WHERE log = 1 AND seq IN (5, 9);
         DELETE FROM message WHERE log = 1 AND seq = 20;
         UPDATE mark SET seq = 13;
         INSERT INTO idem VALUES (2, ' direct x b', 'k7', 1, 0, 0, 0, 1);",
    )
    .unwrap();
    drop(db);
    let report = tools::check(&data).unwrap();
    let said = report.damages.join("\n");
    for part in [
        "at seq 5",
        "at seq 9",
        "talks 20 to 20 are missing",
        "table mark",
        "key \"k7\"",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!((report.damaged, report.messages), (5, 28));
    let mut out = Vec::new();
    let moved = tools::export(&data, &mut out).unwrap();
    assert_eq!((moved.messages, moved.left_out.len()), (28, 4));
    let export = base.path().join("export");
    fs::write(&export, out).unwrap();
    let moved = tools::import(&base.path().join("fresh"), &export, Epochs::Begin).unwrap();
    assert_eq!(moved.renumbered, [room("lobby")]);
    let caller = Caller::open(&base.path().join("fresh"));
    assert_eq!(caller.all(&room("lobby")).unwrap().len(), 27);
}

/// The files in a directory, without its lock file.
fn left_in(dir: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "lock").collect()
}

#[test]
fn an_import_that_fails_names_the_line_and_leaves_the_directory_as_fresh_as_it_was() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    drop(filled(&at("data")));
    let mut out = Vec::new();
    tools::export(&at("data"), &mut out).unwrap();
    fs::write(at("export"), &out).unwrap();
    // In the second line, inside the first character of 张三, and in the third, inside an escape.
    let from = |line: usize, text: &str| {
        let start: usize = out
            .split_inclusive(|byte| *byte == b'\n')
            .take(line - 1)
            .map(<[u8]>::len)
            .sum();
        let rest = out.get(start..).unwrap();
        start
            + rest
                .windows(text.len())
                .position(|part| part == text.as_bytes())
                .unwrap()
    };
    for (cut, told) in [
        (from(2, "张三") + 1, "line 2 is not of an export: from its byte "),
        (from(3, "text") + 2, "line 3 is not of an export: EOF"),
    ] {
        fs::write(at("cut"), out.get(..cut).unwrap()).unwrap();
        let why = tools::import(&at("to"), &at("cut"), Epochs::Begin)
            .unwrap_err()
            .to_string();
        assert!(why.contains(told), "{why}");
        assert_eq!(left_in(&at("to")), Vec::<String>::new());
    }
    assert!(tools::import(&at("to"), &at("nowhere"), Epochs::Begin).is_err());
    assert_eq!(
        tools::import(&at("to"), &at("export"), Epochs::Begin).unwrap().messages,
        31
    );
    assert_eq!(tools::check(&at("to")).unwrap().damages, Vec::<String>::new());
    // One that is refused because there is a store takes nothing of it away.
    assert!(tools::import(&at("to"), &at("cut"), Epochs::Begin).is_err());
    assert_eq!(tools::check(&at("to")).unwrap().messages, 31);
}

#[test]
fn an_import_that_fails_keeps_what_was_there_before() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    drop(filled(&at("data")));
    // A head file whose database is gone is what says that something was lost.
    fs::remove_file(at("data").join("history.db")).unwrap();
    let before = fs::read(at("data").join("history.head")).unwrap();
    assert!(tools::import(&at("data"), &at("nowhere"), Epochs::Begin).is_err());
    assert_eq!(fs::read(at("data").join("history.head")).unwrap(), before);
}

#[test]
fn a_backup_that_fails_can_be_made_into_the_same_directory_again() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    drop(filled(&at("data")));
    let database = rusqlite::Connection::open(at("data").join("history.db")).unwrap();
    database.execute("UPDATE log SET head = head + 1", []).unwrap();
    assert!(tools::backup(&at("data"), &at("backup")).is_err());
    assert_eq!(left_in(&at("backup")), Vec::<String>::new());
}
