//! The operator's tools work while the server runs, name damage, and restore everything.

use std::{fs, path::Path};

use plaza::{
    chat::ChatMessage,
    history::{Claim, Epochs, StartFault, tools},
};

use crate::support::{Caller, committed, contains, is_whole, pair, room, sql};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A store with 31 messages, a read marker and a claimed name.
fn filled(dir: &Path) -> Caller {
    let caller = Caller::open(dir);
    for n in 0..30 {
        let text = format!("text {n}\n\"quoted\"");
        committed(caller.say_with(&room("lobby"), "张三", &text, &format!("k{n}")));
    }
    caller.say(&pair("a", "b"), "b", "psst");
    caller.mark(&room("lobby"), "bob", 12);
    assert_eq!(caller.claim("bob", KEY), Claim::New);
    caller
}

/// Imports into a fresh directory; the number of messages, or why there are none.
fn import(to: &Path, from: &Path) -> Result<u64, StartFault> {
    tools::import(to, from, Epochs::Begin).map(|moved| moved.messages)
}

fn export(data: &Path, to: &Path) -> tools::Moved {
    tools::export(data, &mut fs::File::create(to).unwrap()).unwrap()
}

#[test]
fn an_export_and_a_backup_of_a_running_store_bring_everything_back() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    let caller = filled(&at("data"));
    let report = tools::check(&at("data")).unwrap();
    assert_eq!((report.logs, report.messages, report.damages), (2, 31, vec![]));
    let moved = export(&at("data"), &at("export"));
    assert_eq!((moved.messages, moved.others, moved.left_out.len()), (31, 2, 0));
    tools::backup(&at("data"), &at("backup")).unwrap();
    let refusal = |to: &str| import(&at(to), &at("export")).unwrap_err().to_string();
    contains(&refusal("data"), &["in use by another plaza"]);
    let lobby = caller.all(&room("lobby")).unwrap();
    drop(caller);
    for from in ["export", "backup"] {
        assert_eq!(import(&at(&format!("from {from}")), &at(from)).unwrap(), 31);
    }
    for name in ["backup", "from export", "from backup"] {
        is_whole(&at(name));
        let caller = Caller::open(&at(name));
        let mut copied = caller.all(&room("lobby")).unwrap();
        let epoch = lobby[0].epoch;
        assert_ne!(copied[0].epoch, epoch, "{name}: the original may go on");
        copied = copied
            .into_iter()
            .map(|message| ChatMessage { epoch, ..message })
            .collect();
        assert_eq!(copied, lobby, "{name}");
        assert_eq!(caller.all(&pair("a", "b")).unwrap().len(), 1);
        assert_eq!(caller.mark_of(&room("lobby"), "bob"), (12, 18));
        assert_eq!(caller.claim("bob", KEY), Claim::Matches);
        assert_eq!(caller.say(&room("lobby"), "a", "on").seq, 31);
    }
    contains(&refusal("backup"), &["give a fresh directory"]);
}

#[test]
fn a_check_names_every_damaged_row_and_an_export_leaves_it_out() {
    let base = tempfile::tempdir().unwrap();
    let [data, file, fresh] = ["data", "export", "fresh"].map(|name| base.path().join(name));
    drop(filled(&data));
    sql(
        &data,
        "UPDATE message SET text = 'forged' WHERE log = 1 AND seq IN (5, 9);
         DELETE FROM message WHERE log = 1 AND seq = 20;
         UPDATE mark SET seq = 13;
         INSERT INTO idem VALUES (2, ' direct x b', 'k7', 1, 0, 0, 0, 1);",
    );
    let report = tools::check(&data).unwrap();
    let named = [
        "at seq 5",
        "at seq 9",
        "messages 20 to 20 are missing",
        "table mark",
        "key \"k7\"",
    ];
    contains(&report.damages.join("\n"), &named);
    assert_eq!((report.damaged, report.messages), (5, 28));
    let moved = export(&data, &file);
    assert_eq!((moved.messages, moved.left_out.len()), (28, 4));
    let moved = tools::import(&fresh, &file, Epochs::Begin).unwrap();
    assert_eq!(moved.renumbered, [room("lobby")]);
    assert_eq!(Caller::open(&fresh).all(&room("lobby")).unwrap().len(), 27);
}

/// Nothing but its lock file is in this directory.
fn is_fresh(dir: &Path) {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name != "lock").count(), 0);
}

#[test]
fn an_import_that_fails_names_the_line_and_leaves_the_directory_as_fresh_as_it_was() {
    let base = tempfile::tempdir().unwrap();
    let [data, file, cut, to, nowhere] = ["data", "export", "cut", "to", "nowhere"].map(|name| base.path().join(name));
    drop(filled(&data));
    export(&data, &file);
    let out = fs::read(&file).unwrap();
    // In the second line, inside the first character of 张三, and in the third, inside an escape.
    let from = |line: usize, text: &str| {
        let start: usize = out
            .split_inclusive(|byte| *byte == b'\n')
            .take(line - 1)
            .map(<[u8]>::len)
            .sum();
        let mut places = out[start..].windows(text.len());
        start + places.position(|part| part == text.as_bytes()).unwrap()
    };
    for (end, told) in [
        (from(2, "张三") + 1, "line 2 is not of an export: from its byte "),
        (from(3, "text") + 2, "line 3 is not of an export: EOF"),
    ] {
        fs::write(&cut, &out[..end]).unwrap();
        contains(&import(&to, &cut).unwrap_err().to_string(), &[told]);
        is_fresh(&to);
    }
    assert!(import(&to, &nowhere).is_err());
    assert_eq!(import(&to, &file).unwrap(), 31);
    is_whole(&to);
    // One that is refused because there is a store takes nothing of it away.
    assert!(import(&to, &cut).is_err());
    assert_eq!(tools::check(&to).unwrap().messages, 31);
}

#[test]
fn an_import_that_fails_keeps_what_was_there_before() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("data");
    drop(filled(&data));
    // A head file whose database is gone is what says that something was lost.
    fs::remove_file(data.join("history.db")).unwrap();
    let before = fs::read(data.join("history.head")).unwrap();
    assert!(import(&data, &base.path().join("nowhere")).is_err());
    assert_eq!(fs::read(data.join("history.head")).unwrap(), before);
}

#[test]
fn a_backup_that_fails_can_be_made_into_the_same_directory_again() {
    let base = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| base.path().join(name));
    drop(filled(&data));
    sql(&data, "UPDATE log SET head = head + 1");
    assert!(tools::backup(&data, &backup).is_err());
    is_fresh(&backup);
}
