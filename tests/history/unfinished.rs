//! A backup, import or export is complete or absent, even after a kill, and no server takes the rest for an empty store.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use plaza::history::tools;

use crate::support::{Caller, contains, refusal, room, settings, unsynced};

const MESSAGES: u64 = 6_000;

/// A store that takes a moment to copy.
fn filled(dir: &Path) {
    let caller = Caller::start(unsynced(dir)).unwrap();
    caller.fill(&room("lobby"), (0..MESSAGES).map(|_| "x".repeat(2_000)));
}

fn history(data: &Path, arguments: &[&Path]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_plaza"))
        .args(["history", "--data"])
        .arg(data)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the command while `made` exists, and returns whether that was before its end.
fn killed_while(mut command: Child, made: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if made.exists() {
            command.kill().unwrap();
            return !command.wait().unwrap().success();
        }
        if command.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "nothing is made");
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_backup_or_import_is_not_there_and_no_server_starts_on_what_is_left() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    filled(&at("data"));
    tools::backup(&at("data"), &at("source")).unwrap();
    for (what, data, arguments) in [
        ("backup", at("data"), [Path::new("backup"), &at("backup")]),
        ("import", at("import"), [Path::new("import"), &at("source")]),
    ] {
        let made = at(what).join("unfinished/history.db");
        let begun = Instant::now();
        while !killed_while(history(&data, &arguments), &made) {
            // It was faster than this.
            assert!(begun.elapsed() < Duration::from_secs(120), "{what} is never killed");
            fs::remove_dir_all(at(what)).unwrap();
        }
        assert!(!at(what).join("history.db").exists(), "{what}");
        contains(&refusal(settings(&at(what))), &["unfinished", "was not finished"]);
        // The same command again clears what is left.
        assert!(history(&data, &arguments).wait().unwrap().success(), "{what}");
        assert!(!at(what).join("unfinished").exists(), "{what}");
        assert_eq!(tools::check(&at(what)).unwrap().messages, MESSAGES, "{what}");
        assert_eq!(Caller::open(&at(what)).head(&room("lobby")).seq, MESSAGES, "{what}");
    }
}

#[test]
fn a_killed_export_is_not_there_and_one_that_was_cut_is_not_imported() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    filled(&at("data"));
    let export = at("all.jsonl");
    let arguments = [Path::new("export"), export.as_path()];
    let begun = Instant::now();
    while !killed_while(history(&at("data"), &arguments), &at("all.jsonl.unfinished")) {
        assert!(begun.elapsed() < Duration::from_secs(120), "it is never killed");
        fs::remove_file(&export).unwrap();
    }
    assert!(!export.exists());
    assert!(history(&at("data"), &arguments).wait().unwrap().success());
    assert!(!at("all.jsonl.unfinished").exists());
    let whole = fs::read_to_string(&export).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let import = |lines: &[&str]| {
        fs::write(at("cut"), lines.join("\n")).unwrap();
        tools::import(&at("fresh"), &at("cut"), plaza::history::Epochs::Begin)
    };
    // Cut between two lines, as a kill of `export > file` leaves it, and with lines missing in the middle.
    let why = import(&lines[..100]).unwrap_err().to_string();
    contains(&why, &["after line 100", "not finished"]);
    let gone = [&lines[..10], &lines[lines.len() - 1..]].concat();
    contains(&import(&gone).unwrap_err().to_string(), &["lines are missing"]);
    let twice = [&lines[..], &lines[..1]].concat();
    assert!(import(&twice).is_err());
    assert_eq!(import(&lines).unwrap().messages, MESSAGES);
}

#[test]
fn no_server_starts_on_an_empty_or_partial_database() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    let whole = at("whole");
    drop(Caller::open(&whole));
    let bytes = fs::read(whole.join("history.db")).unwrap();
    for (what, content) in [
        ("empty", &[][..]),
        ("zeroes", &[0; 8_192][..]),
        ("half", &bytes[..bytes.len() / 2]),
        ("a page", &bytes[..4_096]),
    ] {
        let dir = at(what);
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("history.db"), content).unwrap();
        contains(&refusal(settings(&dir)), &["history.db", "plaza history"]);
        let left = fs::read(dir.join("history.db")).unwrap();
        assert_eq!(left, content, "{what}: it was changed");
    }
    // What its own first start leaves when it is killed is no such thing.
    let dir = at("first start");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("history.db.new"), &bytes[..4_096]).unwrap();
    Caller::open(&dir).say(&room("lobby"), "ann", "hello");
    assert!(!dir.join("history.db.new").exists());
}
